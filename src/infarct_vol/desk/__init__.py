"""The reader's desk: everything a page of review asks for and does, without a page."""

from infarct_vol.desk.desk import Desk
from infarct_vol.desk.judging import Judgement

__all__ = ["Desk", "Judgement"]

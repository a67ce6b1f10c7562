"""Files of the clinical data standards body CDISC: SAS transport, Dataset-JSON and define.xml.

Nothing here knows what an infarct is. A dataset is a frame and its metadata (`metadata`), checked the same
way for every format; three writers put it into the three formats, so that labels, lengths and dates agree.
"""

from infarct_vol.cdisc.dataset_json import dataset_json_bytes, write_dataset_json
from infarct_vol.cdisc.define_xml import Document, Standard, define_xml
from infarct_vol.cdisc.identity import SourceSystem, StudyInfo
from infarct_vol.cdisc.metadata import checked
from infarct_vol.cdisc.model import Codelist, Dataset, ValueLevel, Variable
from infarct_vol.cdisc.values import DatasetError, iso_date, sas_date, split_text
from infarct_vol.cdisc.xpt import write_xpt, xpt_bytes

__all__ = [
    "Codelist",
    "Dataset",
    "DatasetError",
    "Document",
    "SourceSystem",
    "Standard",
    "StudyInfo",
    "ValueLevel",
    "Variable",
    "checked",
    "dataset_json_bytes",
    "define_xml",
    "iso_date",
    "sas_date",
    "split_text",
    "write_dataset_json",
    "write_xpt",
    "xpt_bytes",
]

"""Settings of methods, visits and outcomes; each class is one section of the protocol file.

Every field's description becomes the comment above it in the commented protocol, so it states the unit,
the meaning and where the number comes from.
"""

from infarct_vol.settings.acute import AcuteSettings
from infarct_vol.settings.brain import BrainSettings
from infarct_vol.settings.followup import FollowUpSettings
from infarct_vol.settings.images import ImageSettings
from infarct_vol.settings.outcomes import OutcomeSettings, OutcomesSettings
from infarct_vol.settings.registration import RegistrationSettings
from infarct_vol.settings.review import EndpointRule, ReviewSettings
from infarct_vol.settings.section import Section
from infarct_vol.settings.visits import (
    ANALYSED_VISITS,
    MAPPED_VISITS,
    VisitName,
    VisitSettings,
    VisitWindow,
    require_order,
)

__all__ = [
    "ANALYSED_VISITS",
    "MAPPED_VISITS",
    "AcuteSettings",
    "BrainSettings",
    "EndpointRule",
    "FollowUpSettings",
    "ImageSettings",
    "OutcomeSettings",
    "OutcomesSettings",
    "RegistrationSettings",
    "ReviewSettings",
    "Section",
    "VisitName",
    "VisitSettings",
    "VisitWindow",
    "require_order",
]

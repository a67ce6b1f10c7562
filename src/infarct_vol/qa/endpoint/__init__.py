"""The report of the endpoint: pictures, a page of tables, and a PDF to hand over."""

from infarct_vol.qa.endpoint.content import TrialFacts
from infarct_vol.qa.endpoint.outcomes import Outcomes
from infarct_vol.qa.endpoint.report import EndpointPaths, endpoint_pictures, write_endpoint_report
from infarct_vol.qa.endpoint.run import report_run

__all__ = [
    "EndpointPaths",
    "Outcomes",
    "TrialFacts",
    "endpoint_pictures",
    "report_run",
    "write_endpoint_report",
]

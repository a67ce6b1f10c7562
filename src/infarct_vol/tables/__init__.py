"""Tables of a run: volumes, change from baseline, summary, and their data dictionary."""

from infarct_vol.tables.components import ComponentRow, component_rows
from infarct_vol.tables.outcomes import Outcomes, read_outcomes
from infarct_vol.tables.randomization import randomized_arms
from infarct_vol.tables.read import Tables, read_table, read_tables
from infarct_vol.tables.summary import SummaryRow, summary_rows
from infarct_vol.tables.truth import measured_against_truth
from infarct_vol.tables.write import TablePaths, write_tables

__all__ = [
    "ComponentRow",
    "Outcomes",
    "SummaryRow",
    "TablePaths",
    "Tables",
    "component_rows",
    "measured_against_truth",
    "read_outcomes",
    "randomized_arms",
    "read_table",
    "read_tables",
    "summary_rows",
    "write_tables",
]

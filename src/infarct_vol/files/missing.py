"""How tables write that there is no value: one list, for every table that is read."""

from __future__ import annotations

MISSING = frozenset(
    {
        *("", "n/a", "n.a.", "na", "-", "--", "\N{EN DASH}", "\N{EM DASH}"),  # BIDS, R, and hands
        *("nan", "nat", "<na>", "none", "null", "(null)"),  # pandas, Python, SQL
        *(".", "#n/a", "#n/a n/a", "#na"),  # SAS and Stata, Excel
    }
)
"""In lower case; the case of a word does not count."""


def is_missing(text: str) -> bool:
    """Tell whether a field of a table states that there is no value."""
    return text.strip().casefold() in MISSING

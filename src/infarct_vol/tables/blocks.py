"""Columns of a dataset together with what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infarct_vol.cdisc import Variable, split_text


@dataclass(frozen=True)
class Block:
    """Columns by name, and their variables in the same order."""

    columns: Mapping[str, object]
    variables: tuple[Variable, ...]


def joined(*blocks: Block) -> Block:
    """Return blocks side by side."""
    columns = {name: column for block in blocks for name, column in block.columns.items()}
    return Block(columns, tuple(variable for block in blocks for variable in block.variables))


def long_text(values: Sequence[str], *, name: str, label: str) -> Block:
    """Return text in as many columns as the longest needs; those after the first say so in their label."""
    parts = split_text(values, name=name)
    labels = [f"{label}, continued {at}" if at else label for at in range(len(parts))]
    variables = (
        Variable(part, own, "text", origin="Assigned") for part, own in zip(parts, labels, strict=True)
    )
    return Block(parts, tuple(variables))

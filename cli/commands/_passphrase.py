"""How a passphrase reaches a command: asked on the terminal, or read from a file; never as an option."""

from __future__ import annotations

from pathlib import Path

import typer

from infarct_vol.errors import UsageError


def passphrase(file: Path | None, *, of: str, confirm: bool = False) -> str:
    """Return the first line of a file, or what is typed unseen.

    Raises
    ------
    UsageError
        If the file cannot be read, or nothing was typed.
    """
    if file is None:
        try:
            return str(
                typer.prompt(f"Passphrase of {of}", hide_input=True, confirmation_prompt=confirm, err=True)
            )
        except typer.Abort:
            msg = "no passphrase was given; type it, or name a file with --passphrase-file"
            raise UsageError(msg) from None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the passphrase file {file} cannot be read: {error}"
        raise UsageError(msg) from None
    return lines[0] if lines else ""

"""``infarct-vol unlock``: let a locked study change again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infarct_vol_cli.commands._passphrase import passphrase
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a locked study.")],
    reader: Annotated[str, typer.Option(help="Name of the enrolled reader who unlocks.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the audit trail.")],
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the passphrase; it is asked for without.")
    ] = None,
) -> int:
    """Take the lock off a study, with a reason; the lock and the reason stay in the audit trail.

    Example: `infarct-vol unlock results --reader "A. Reader" --reason "a late scan arrived"`
    """
    # loaded here to keep --help quick
    from infarct_vol.audit import AuditTrail
    from infarct_vol.review.freeze import require_results, unlock_study
    from infarct_vol.review.readers import Readers

    require_results(out)
    trail = AuditTrail(out)
    signer = Readers(out, trail).sign_in(reader, passphrase(passphrase_file, of=reader), noted=False)
    entry = unlock_study(out, reader=signer, reason=reason, trail=trail)
    shell.say(f"Unlocked by {entry.who} at {entry.utc}: {entry.reason}")
    shell.say(f"Once it is right again: infarct-vol lock {out} --reader NAME")
    return 0

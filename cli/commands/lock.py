"""``infarct-vol lock``: freeze a study with a signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infarct_vol_cli.commands._passphrase import passphrase
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    reader: Annotated[str, typer.Option(help="Name of the enrolled reader who signs.")],
    meaning: Annotated[
        str | None,
        typer.Option(
            help="What the signature states, at most 200 characters.  [default: that the results were "
            "reviewed and are the endpoint]"
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the passphrase; it is asked for without.")
    ] = None,
    enrol: Annotated[bool, typer.Option("--enrol", help="Enrol the reader first.")] = False,
) -> int:
    """Audit a study, then sign the hash of every mask, table and record; changes are refused from then on.

    Write the head it prints down where nobody who can write to OUT can change it.

    Example: `infarct-vol lock results --reader "A. Reader"`
    """
    # loaded here to keep --help quick
    from infarct_vol.audit import AuditTrail
    from infarct_vol.review.freeze import MEANING, lock_study, require_results
    from infarct_vol.review.manifest import signature_of
    from infarct_vol.review.readers import Readers

    require_results(out)
    trail = AuditTrail(out)
    readers = Readers(out, trail)
    secret = passphrase(passphrase_file, of=reader, confirm=enrol)
    if enrol:
        readers.enrol(reader, secret)
    signer = readers.sign_in(reader, secret, noted=False)
    entry = lock_study(out, reader=signer, trail=trail, meaning=MEANING if meaning is None else meaning)
    signed = signature_of(entry)
    facts = {
        "signed by": entry.who,
        "at (UTC)": entry.utc,
        "stating": signed.meaning,
        "files": signed.counts["files"],
        "head number": entry.sequence,
        "head SHA-256": entry.sha256,
    }
    shell.table("Locked", ("what", "value"), facts.items())
    shell.say(f"Keep the head elsewhere; 'infarct-vol audit {out} --head SHA256' holds the study against it.")
    return 0

"""``infarct-vol protocol``: the imaging charter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.errors import UsageError
from infarct_vol.files import write_text
from infarct_vol_cli.commands._job import ProtocolFile
from infarct_vol_cli.shell import Shell, command

app = typer.Typer(
    help="Write or show the imaging charter (TOML).", no_args_is_help=True, rich_markup_mode="markdown"
)


@app.command("init")
@command
def init(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("protocol.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write the default protocol, every setting with its meaning, unit and source.

    Example: `infarct-vol protocol init protocol.toml`
    """
    if path.exists() and not force:
        msg = f"{path} exists; use --force to replace it"
        raise UsageError(msg)
    write_text(iv.Protocol().to_toml(), path)
    shell.say(f"Protocol: {path.resolve()}")


@app.command("show")
@command
def show(shell: Shell, protocol: ProtocolFile = None) -> None:
    """Print the effective protocol and its SHA-256, as every output carries it.

    Example: `infarct-vol protocol show --protocol protocol.toml`
    """
    effective = iv.load_protocol(protocol)
    sys.stdout.write(f"# sha256 {effective.sha256}\n{effective.to_toml()}")

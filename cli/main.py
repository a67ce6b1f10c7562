"""``infarct-vol``: the commands, put together."""

from __future__ import annotations

import typer

from infarct_vol_cli.commands import (
    agree,
    audit,
    check,
    demo,
    export_seg,
    lock,
    measure,
    protocol,
    register,
    report,
    review,
    run,
    segment,
    simulate,
    tables,
    unlock,
    verify,
)
from infarct_vol_cli.shell import command

app = typer.Typer(
    name="infarct-vol",
    help="Infarct volume in mL from DWI and FLAIR, and its change from baseline.",
    epilog="Start with: infarct-vol demo",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
@command
def _root(shell: object) -> None:
    """Infarct volume in mL from DWI and FLAIR, and its change from baseline."""


_MEASURE = (demo, check, run, segment, register, measure, agree, tables, report)
_READ = (review, lock, unlock, audit)
for _module in (*_MEASURE, *_READ, export_seg, simulate, verify):
    name = _module.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name=name)(command(_module.run))
app.add_typer(protocol.app, name="protocol")


def main() -> None:
    """Run the command line; usage errors end with 2, an interruption with 130."""
    app()


if __name__ == "__main__":
    main()

"""What every command shares: its common options, its messages, and how errors become exit codes.

Messages go to stderr; tables and JSON that were asked for go to stdout.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infarct_vol import __version__
from infarct_vol.errors import InfarctVolError

Level = Literal["debug", "info", "warning", "error"]
INTERRUPTED = 130
_RANK: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_STYLE: dict[Level, str] = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red"}


@dataclass
class Shell:
    """Messages of one command, at the level and in the form asked for."""

    threshold: Level = "info"
    as_json: bool = False

    @property
    def stderr(self) -> Console:
        """Console of messages and progress."""
        return Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str, *, level: Level = "info", **facts: object) -> None:
        """Write one message to stderr."""
        if _RANK[level] < _RANK[self.threshold]:
            return
        if self.as_json:
            sys.stderr.write(json.dumps({"level": level, "message": text, **facts}, default=str) + "\n")
        else:
            # Text, not markup: ids and file names may hold brackets
            self.stderr.print(Text(text, style=_STYLE[level]))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table to stdout."""
        table = Table(title=title, title_justify="left", header_style="bold")
        for name in columns:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        width = None if sys.stdout.isatty() else 160
        Console(highlight=False, width=width).print(table)

    def json(self, value: object) -> None:
        """Print JSON to stdout."""
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[str, int], None]]:
        """Show a progress bar on stderr; the function given advances it with a word on what was done."""
        if self.as_json or self.threshold != "info" or not sys.stderr.isatty():
            done = 0

            def plain(text: str, step: int = 1) -> None:
                nonlocal done
                done += step
                self.say(f"[{done}/{total}] {text}", done=done, total=total)

            yield plain
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.stderr) as bar:
            task = bar.add_task(title, total=total)

            def advance(text: str, step: int = 1) -> None:
                bar.console.print(Text(f"  {text}"))
                bar.advance(task, step)

            yield advance


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"infarct-vol {__version__}\n")
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More detail, and tracebacks of errors.")]
_LogJson = Annotated[bool, typer.Option("--log-json", help="Messages as JSON lines.")]
_COMMON: Mapping[str, Any] = {"version": _Version, "quiet": _Quiet, "verbose": _Verbose, "log_json": _LogJson}


def command(run: Callable[..., int | None]) -> Callable[..., None]:
    """Give a command the common options, a `Shell`, and the mapping of errors to exit codes.

    The function decorated takes the shell first and returns its exit code (``None`` for 0).
    """
    signature = inspect.signature(run, eval_str=True)
    own = list(signature.parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _COMMON.items()
    ]

    @functools.wraps(run)
    def wrapped(**options: Any) -> None:
        flags = {name: options.pop(name) for name in _COMMON}
        threshold: Level = "error" if flags["quiet"] else "debug" if flags["verbose"] else "info"
        shell = Shell(threshold, as_json=flags["log_json"])
        code = _guarded(shell, functools.partial(run, shell, **options))
        if code:
            raise typer.Exit(code)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*keyword, *common], return_annotation=None
    )
    wrapped.__annotations__ = {p.name: p.annotation for p in (*keyword, *common)}
    return wrapped


class _ShellHandler(logging.Handler):
    """Brings what the library logs about faults to the shell: seen with -v."""

    def __init__(self, shell: Shell) -> None:
        super().__init__()
        self.shell = shell

    def emit(self, record: logging.LogRecord) -> None:
        self.shell.say(self.format(record), level="debug")


@contextmanager
def _logged(shell: Shell) -> Iterator[None]:
    library, handler = logging.getLogger("infarct_vol.errors"), _ShellHandler(shell)
    before = library.level
    library.addHandler(handler)
    library.setLevel(logging.DEBUG if shell.threshold == "debug" else before)
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.setLevel(before)


def _guarded(shell: Shell, run: Callable[[], int | None]) -> int:
    try:
        with _logged(shell):
            return run() or 0
    except InfarctVolError as error:
        shell.say(str(error), level="error", kind=type(error).__name__)
        shell.say(traceback.format_exc(), level="debug")
        return error.exit_code
    except KeyboardInterrupt:
        shell.say("interrupted; run the same command again to go on where it stopped", level="error")
        return INTERRUPTED
    except OSError as error:
        shell.say(f"{error.filename or 'a file'}: {error.strerror or error}", level="error", kind="OSError")
        shell.say(traceback.format_exc(), level="debug")
        return 1

"""``infarct-vol review``: the review page."""

from __future__ import annotations

import logging
import signal
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from infarct_vol.errors import UsageError
from infarct_vol_cli.shell import Shell

if TYPE_CHECKING:
    from infarct_vol.desk import Desk
    from infarct_vol.server.serving import Running


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    reader: Annotated[str, typer.Option(help="Name that the sign-in form starts with.")] = "",
    study: Annotated[
        Path | None, typer.Option(help="Study folder, if it is not where the run found it.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> int:
    """Serve the page on which readers see, correct and judge masks; it ends with Ctrl-C.

    Only this machine can reach it. The address holds a secret: give it to nobody who may not read. From
    another machine, forward the same port number over SSH.

    Example: `infarct-vol review results --reader "A. Reader"`
    """
    if shell.threshold == "error" and not browser:
        msg = "--quiet and --no-browser together leave no way to the page; leave one of them out"
        raise UsageError(msg)
    # loaded here to keep --help quick
    from infarct_vol.desk import Desk
    from infarct_vol.server.occupancy import occupied
    from infarct_vol.server.serving import serve

    desk = Desk(out, study=study)
    before = desk.trail.head().sequence
    with (
        _logged(shell),
        _ending() as asked,
        occupied(out) as tell,
        serve(desk, port=port, suggested=reader) as running,
    ):
        tell(running.port)
        shell.say(f"Review page: {running.url}", url=running.url, port=running.port)
        shell.say("Stop it with Ctrl-C; every decision is on disk as soon as the page says so.")
        if browser and not _opened(running):
            shell.say("No browser was found; open the address above by hand.", level="warning")
        while running.alive and not asked.wait(0.5):
            pass
    decisions, edits = _done_since(desk, before)
    shell.say(f"Reviewed: {decisions} decisions, {edits} edits.", decisions=decisions, edits=edits)
    if decisions or edits:
        shell.say(f"Bring tables and report up to date with: infarct-vol tables {out}")
    if not asked.is_set():
        shell.say("the review server ended by itself; start it again", level="error")
        return 1
    return 0


def _done_since(desk: Desk, sequence: int) -> tuple[int, int]:
    from infarct_vol.review.model import DECISION, EDIT

    actions = [entry.action for entry in desk.trail.entries(after=sequence)]
    return actions.count(DECISION), actions.count(EDIT)


def _opened(running: Running) -> bool:
    """Open the page; a browser of the terminal is left alone, it would take over this one."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    if type(found) is webbrowser.GenericBrowser:
        return False
    return found.open(running.ticket_url())


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """Give an event that is set when an end is asked for; whoever asks twice breaks off what is left."""
    asked = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _logged(shell: Shell) -> Iterator[None]:
    """Put what the server logs among the messages of the command."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shell.say(record.getMessage(), level="error" if record.levelno >= logging.ERROR else "debug")

    log, handler = logging.getLogger("infarct_vol.server"), Handler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)

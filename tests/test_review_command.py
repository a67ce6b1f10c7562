"""``infarct-vol review``: starts, says where, refuses what it cannot serve, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fake_desk import PASSPHRASE

from infarct_vol.errors import OutputLockedError, UsageError
from infarct_vol.server.occupancy import occupied

TESTS = Path(__file__).parent
# the command with a desk of one small case in place of a run
PROGRAM = """
import sys, typer
import infarct_vol.desk
from fake_desk import FakeDesk
from infarct_vol_cli.commands import review
from infarct_vol_cli.shell import command
infarct_vol.desk.Desk = lambda out, study=None: FakeDesk(out)
app = typer.Typer()
app.command()(command(review.run))
app(sys.argv[1:])
"""


@contextmanager
def program(*arguments: object, browser: str = "") -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "TERM": "dumb", "BROWSER": browser}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), environment.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    """Return the message that says where the page is."""
    assert process.stderr is not None
    for line in process.stderr:
        message: dict[str, object] = json.loads(line)
        if "url" in message:
            return message
    pytest.fail("the server never said where it is")


def decide(url: str) -> None:
    base = url.partition("/?")[0]
    with httpx.Client(base_url=base, headers={"Origin": base}, timeout=30) as client:
        client.get(url)
        csrf = {"X-CSRF-Token": client.get("/api/session").json()["csrf"]}
        body = {"name": "Ann", "passphrase": PASSPHRASE}
        csrf["X-CSRF-Token"] = client.post("/api/enrol", json=body, headers=csrf).json()["csrf"]
        sent = {"decisions": [{"item": "ses-M03/flair", "verdict": "accept", "revision": 0}]}
        assert client.post("/api/cases/case-1/decisions", json=sent, headers=csrf).status_code == 200


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop_and_says_what_was_done(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with program(tmp_path, "--no-browser", "--log-json", "--reader", "Ann") as process:
        where = told(process)
        url = str(where["url"])
        assert url.startswith(f"http://127.0.0.1:{where['port']}/?token=")
        decide(url)
        process.send_signal(ending)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in messages
    assert '"decisions": 1, "edits": 0' in messages
    assert f"infarct-vol tables {tmp_path}" in messages
    assert not list(tmp_path.glob(".infarct-vol*"))


def test_the_reader_given_is_suggested_and_the_port_given_is_taken(tmp_path: Path) -> None:
    with program(tmp_path, "--no-browser", "--log-json") as process:
        port = told(process)["port"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    with program(tmp_path, "--no-browser", "--log-json", "--reader", "Ann", "--port", port) as process:
        where = told(process)
        assert where["port"] == port
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            client.get(str(where["url"]))
            session = client.get("/api/session").json()
        assert (session["suggested"], session["reader"]) == ("Ann", None)


def test_nothing_done_needs_no_next_step(tmp_path: Path) -> None:
    with program(tmp_path, "--no-browser", "--log-json") as process:
        told(process)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    assert "0 decisions" in messages
    assert "infarct-vol tables" not in messages


def test_a_second_server_for_the_same_folder_names_the_first(tmp_path: Path) -> None:
    with program(tmp_path, "--no-browser", "--log-json") as first:
        port = told(first)["port"]
        with program(tmp_path, "--no-browser", "--log-json") as second:
            _, messages = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"process {first.pid} on" in messages
        assert f"port {port}" in messages


def test_a_killed_server_leaves_no_lock(tmp_path: Path) -> None:
    with program(tmp_path, "--no-browser", "--log-json") as process:
        told(process)
        process.kill()
        process.wait(60)
    with program(tmp_path, "--no-browser", "--log-json") as process:
        assert told(process)["port"]


def test_the_browser_is_opened_with_a_ticket_and_not_the_token(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    script = tmp_path / "browser.sh"
    script.write_text(f'#!/bin/sh\necho "$1" > "{opened}.part"\nmv "{opened}.part" "{opened}"\n')
    script.chmod(0o755)
    (tmp_path / "out").mkdir()
    # the sign at the end asks for a browser beside the terminal, not in it
    with program(tmp_path / "out", "--log-json", browser=f"{script} %s &") as process:
        where = told(process)
        for _ in range(600):
            if opened.exists():
                break
            process_ended = process.poll()
            assert process_ended is None
            signal.sigtimedwait([], 0.05)
        url = opened.read_text().strip()
        assert str(where["url"]).partition("token=")[2] not in url
        with httpx.Client() as client:
            assert client.get(url).status_code == 303
        with httpx.Client() as client:
            assert client.get(url).status_code == 403


def test_quiet_without_a_browser_leaves_no_way_in_and_is_refused(tmp_path: Path) -> None:
    with program(tmp_path, "--no-browser", "--quiet") as process:
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "leave no way to the page" in messages


def test_the_lock_of_a_folder_names_who_holds_it_and_ends_with_it(tmp_path: Path) -> None:
    with occupied(tmp_path) as note:
        note(4321)
        with (
            pytest.raises(OutputLockedError, match=rf"process {os.getpid()} on .*, port 4321; use that page"),
            occupied(tmp_path),
        ):
            pass
    with occupied(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="decisions could not be kept"), occupied(tmp_path / "absent"):
        pass

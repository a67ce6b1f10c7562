"""How fast the review page draws a case, in a real browser, from the real server.

    python bench/review_speed.py OUT                       # OUT is a finished run; it is not changed
    python bench/review_speed.py OUT --keep FOLDER         # keeps the large trials that it makes
    python bench/review_speed.py OUT --only run,tiny       # not all of: run, 512x512x30, 256x256x180, tiny

For every trial the server is started anew and the first case of the list is opened at once (cold), then the
next ones, each once the page says that it is kept in memory. A time is that of the page itself, from the key
to the frame after the drawing. Then a reader judges 30 cases of tiny images in a row by keyboard alone.
The browser draws without a graphics card.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from review_client import PASSPHRASE, enrolled, review_server
from review_scans import point_to_study, regridded, sizes

from infarct_vol.audit import AuditTrail
from infarct_vol.ledger import study_of

READER = "Bench Reader"
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
TRIALS = {"512x512x30": (512, 512, 30), "256x256x180": (256, 256, 180), "tiny": (32, 36, 12)}
COLD_LIMIT_S, NEXT_LIMIT_S = 2.0, 0.5
_PATIENCE_S = 120.0
# asking again and again would slow down what is measured
_DRAWN = """(code) => new Promise((done) => new PerformanceObserver((list) => {
  for (const one of list.getEntries())
    if (one.name === 'case-drawn' && (!code || one.detail === code)) done([one.detail, one.duration]);
}).observe({ type: 'measure', buffered: true }))"""
_KEPT = "(code) => infarctVolReview.state().kept.includes(code)"


def main() -> int:
    """Time every trial; return 1 where a limit was missed or a decision is not in the trail."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the trials it makes")
    parser.add_argument("--only", default="run,512x512x30,256x256x180,tiny")
    parser.add_argument("--repeats", type=int, default=3, help="cold starts of every trial")
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*FLAGS], headless=True
        )
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, browser {browser.version}")
        for name in options.only.split(","):
            out = _trial(name, options.out, options.keep or Path(folder))
            if name == "tiny":
                # judged once and for all: a kept trial stays as it is
                unread = Path(folder) / "unread"
                shutil.copytree(out.parent, unread)
                missed += judge_all(browser, unread / "out")
            else:
                missed += time_cases(browser, out, name=name, repeats=options.repeats)
        browser.close()
    return 1 if missed else 0


def _trial(name: str, source: Path, folder: Path) -> Path:
    """Return a run of one name, made where it is not there yet, that the bench may write into."""
    root = folder / name
    out = root / "out"
    if not out.is_dir():
        if name == "run":
            shutil.copytree(source, out)
            point_to_study(out, study_of(source))
        else:
            regridded(source, root, shape=TRIALS[name], participants=30 if name == "tiny" else 3)
    enrolled(out, [READER])
    return out


class Page:
    """The page with one reader signed in, at the worklist."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(url)
        self.page.get_by_label("Name").fill(READER)
        self.page.get_by_label("Passphrase").fill(PASSPHRASE)
        self.press("Enter")
        self.page.locator(".cases tbody").wait_for()

    def press(self, key: str) -> None:
        """Press a key."""
        self.page.keyboard.press(key)

    def state(self) -> dict[str, Any]:
        """Return what the page says of itself."""
        found: dict[str, Any] = self.page.evaluate("() => infarctVolReview.state()")
        return found

    def until(self, fits: Callable[[], Any], *, what: str) -> Any:
        """Wait for something and return it."""
        end = time.monotonic() + _PATIENCE_S
        while not (found := fits()):
            if time.monotonic() > end:
                msg = f"{what} never came; the page says {json.dumps(self.state())}"
                raise SystemExit(msg)
            self.page.wait_for_timeout(5)
        return found

    def codes(self) -> list[str]:
        """Return the codes of the list, in its order."""
        asked = "async () => (await (await fetch('/api/worklist')).json()).cases.map((one) => one.code)"
        found: list[str] = self.page.evaluate(asked)
        return found

    def drawn(self, code: str = "") -> tuple[str, float]:
        """Wait until a case, or the first one, was drawn; return its code and seconds by the page's clock."""
        found, milliseconds = self.page.evaluate(_DRAWN, code)
        return str(found), float(milliseconds) / 1000

    def kept(self, code: str) -> None:
        """Wait until a case is in memory."""
        self.page.wait_for_function(_KEPT, arg=code, polling=50, timeout=1000 * _PATIENCE_S)


@contextmanager
def opened(browser: Browser, out: Path) -> Iterator[Page]:
    """Start a server and sign a reader in."""
    with review_server(out) as (url, _):
        page = Page(browser, url)
        try:
            yield page
        finally:
            page.page.context.close()


def time_cases(browser: Browser, out: Path, *, name: str, repeats: int) -> int:
    """Print the times of one trial; return how many limits were missed."""
    cold, known, prepared = [], [], []
    for _ in range(repeats):
        with opened(browser, out) as page:
            page.press("Enter")
            code, seconds = page.drawn()
            cold.append(seconds)
            codes = page.codes()
            for following in codes[codes.index(code) + 1 :]:
                began = time.monotonic()
                page.kept(following)
                prepared.append(time.monotonic() - began)
                page.press("k")
                known.append(page.drawn(following)[1])
            if page.problems:
                msg = f"the page had errors: {page.problems}"
                raise SystemExit(msg)
    print(f"{name}: {', '.join(sizes(out))}")
    print(f"  cold: {_told(cold)} (limit {COLD_LIMIT_S} s)")
    print(f"  next, preloaded: {_told(known)} (limit {NEXT_LIMIT_S} s)")
    print(f"  preloading, after the case before was drawn: {_told(prepared)}", flush=True)
    return (max(cold) > COLD_LIMIT_S) + (max(known) > NEXT_LIMIT_S)


def _told(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}"


def judge_all(browser: Browser, out: Path) -> int:
    """Judge every case in a row by keyboard; return how many items of them have no decision then."""
    before = AuditTrail(out).head().sequence
    with opened(browser, out) as page:
        codes = page.codes()
        began = time.monotonic()
        page.press("Enter")
        for code in codes:
            page.until(partial(_is_ready, page, code), what=f"case {code}")
            while page.state()["code"] == code:
                visit = page.state()["visit"]
                page.press("a")
                page.until(partial(_is_past, page, code, visit), what="the next visit")
        seconds = time.monotonic() - began
        page.until(lambda: page.state()["place"] == "list", what="the list")
        cases = page.page.evaluate("async () => (await (await fetch('/api/worklist')).json()).cases")
        problems = page.problems
    decisions = [entry for entry in AuditTrail(out).entries(after=before) if entry.action == "decision"]
    items = {entry.subject for entry in decisions}
    left = sum(case["total"] for case in cases) - len(items)
    print(f"{len(codes)} cases in a row by keyboard: {seconds:.1f} s, {seconds / len(codes):.2f} s a case")
    print(
        f"  {len(decisions)} decisions in the trail, {left} items without one, "
        f"{sum(case['status'] == 'done' for case in cases)} cases done, {len(problems)} errors",
        flush=True,
    )
    return left + len(problems)


def _is_ready(page: Page, code: str) -> bool:
    state = page.state()
    return bool(state["code"] == code and state["drawn"] and not state["busy"])


def _is_past(page: Page, code: str, visit: str) -> bool:
    state = page.state()
    return not state["busy"] and (state["code"], state["visit"]) != (code, visit)


if __name__ == "__main__":
    raise SystemExit(main())

"""The review server, on a real port: who gets in, what is answered, what reaches the desk."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from fake_desk import PARENT, PASSPHRASE, VOLUME, VOXELS, FakeDesk, small_assets

from infarct_vol.errors import AuditError, DamagedFileError, InfarctVolError, OutputLockedError, ReviewError
from infarct_vol.review.model import Reader
from infarct_vol.server.assets import load_assets
from infarct_vol.server.bodies import mask_voxels
from infarct_vol.server.gate import HEADERS, is_plain
from infarct_vol.server.refusals import RefusedRequestError, Wording
from infarct_vol.server.serving import Running, serve
from infarct_vol.server.sessions import MAX_SESSIONS, Sessions

MASK = "/api/cases/case-1/masks/ses-M03%2Fflair/flair"
UPLOAD = "/api/cases/case-1/uploads/ses-M03%2Fflair/flair"
DECISION = {"item": "ses-M03/flair", "verdict": "accept", "revision": 0, "masks": {"flair": PARENT}}


@dataclass
class Browser:
    """A client that keeps cookies and states origin and CSRF token as the page does."""

    running: Running
    client: httpx.Client
    csrf: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def post(self, path: str, json: object = None, **more: object) -> httpx.Response:
        headers = {"Origin": str(self.client.base_url), "X-CSRF-Token": self.csrf}
        headers |= more.pop("headers", {})  # type: ignore[arg-type]
        body = {"json": json} if json is not None else {}
        answer = self.client.post(path, headers=headers, **body, **more)  # type: ignore[arg-type]
        if answer.status_code == 200 and "csrf" in answer.json():
            self.csrf = answer.json()["csrf"]
        return answer

    def enter(self) -> Browser:
        assert self.client.get(self.running.url).status_code == 303
        self.csrf = self.client.get("/api/session").json()["csrf"]
        return self

    def enrol(self, name: str = "Ann") -> Browser:
        assert self.post("/api/enrol", {"name": name, "passphrase": PASSPHRASE}).status_code == 200
        return self

    def save(self, voxels: bytes, *, reason: str = "edge", **query: object) -> httpx.Response:
        asked = {"revision": 0, "parent": PARENT, **query}
        headers = {"X-Reason": quote(reason)}
        return self.post(MASK, params=asked, headers=headers, content=gzip.compress(voxels))

    @property
    def cookie(self) -> str:
        return next(iter(self.client.cookies.values()))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeDesk, Running]]:
    """A server for all tests; each begins with an empty desk."""
    desk = FakeDesk(tmp_path_factory.mktemp("desk"))
    with serve(desk, assets=small_assets()) as server:
        yield desk, server


@pytest.fixture
def desk(shared: tuple[FakeDesk, Running], tmp_path: Path) -> FakeDesk:
    shared[0].begin(tmp_path)
    return shared[0]


@pytest.fixture
def running(shared: tuple[FakeDesk, Running], desk: FakeDesk) -> Running:
    assert desk is shared[0]
    return shared[1]


def stranger(running: Running) -> Browser:
    return Browser(running, httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=30))


@pytest.fixture
def browser(running: Running) -> Iterator[Browser]:
    found = stranger(running)
    with found.client:
        yield found.enter()


@pytest.fixture
def ann(browser: Browser) -> Browser:
    return browser.enrol("Ann")


def message(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


# ---- who gets in -----------------------------------------------------------------------------------------

PATHS = (
    "/",
    "/static/app/main.js",
    "/api/session",
    "/api/worklist",
    "/api/nothing",
    "/?token=wrong",
    "/?token=",
)


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_everything_is_403(running: Running, path: str) -> None:
    answer = stranger(running).get(path)
    assert answer.status_code == 403
    assert "infarct-vol review" in answer.text
    assert running.token not in answer.text


def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_use(
    running: Running,
) -> None:
    browser = stranger(running)
    answer = browser.get(running.url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"infarct_vol_review_{running.port}=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert running.token not in cookie
    assert browser.get("/").text == "<!doctype html><title>t</title>"


def test_a_link_from_another_page_ends_at_the_page_without_a_redirection(running: Running) -> None:
    answer = stranger(running).client.get(
        running.url,
        headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    )
    assert answer.status_code == 200
    assert "url=/" in answer.text
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert running.token not in answer.text


def test_a_ticket_opens_the_page_once(running: Running) -> None:
    url = running.ticket_url()
    assert running.token not in url
    assert stranger(running).get(url).status_code == 303
    assert stranger(running).get(url).status_code == 403


def test_the_token_is_no_cookie_and_a_cookie_no_token(running: Running, browser: Browser) -> None:
    name = f"infarct_vol_review_{running.port}"
    assert stranger(running).get("/", Cookie=f"{name}={running.token}").status_code == 403
    assert stranger(running).get(f"/?token={browser.cookie}").status_code == 403


def test_a_cookie_of_another_application_beside_ours_is_no_obstacle(
    running: Running, browser: Browser
) -> None:
    name = f"infarct_vol_review_{running.port}"
    line = f'odd={{"a": [1]}}; {name}={browser.cookie}; bad name=1'
    assert stranger(running).get("/api/session", Cookie=line).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost.:{port}", ""]
)
def test_another_host_name_is_403_even_with_the_cookie(ann: Browser, host: str) -> None:
    answer = ann.get("/api/worklist", Host=host.format(port=ann.running.port))
    assert answer.status_code == 403
    assert "Host" in message(answer)


def test_localhost_is_the_same_machine(running: Running, browser: Browser) -> None:
    assert browser.get("/api/session", Host=f"LocalHost:{running.port}").status_code == 200


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, "/api/session"),
        ({"Sec-Fetch-Site": "same-site"}, "/api/session"),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, "/api/session"),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "/static/app/main.js"),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "/"),
        ({"Origin": "http://evil.example"}, "/api/session"),
        ({"Origin": "null"}, "/api/session"),
    ],
)
def test_what_another_page_embeds_or_fetches_is_403(ann: Browser, headers: dict[str, str], path: str) -> None:
    assert ann.get(path, **headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "wrong"},
        {"X-CSRF-Token": "\u00e9".encode("latin-1")},
    ],
)
def test_a_post_of_another_page_is_403_and_reaches_nothing(
    ann: Browser, desk: FakeDesk, headers: dict[str, str]
) -> None:
    sent = {k: v.format(port=ann.running.port) if isinstance(v, str) else v for k, v in headers.items()}
    answer = ann.post("/api/cases/case-1/decisions", {"decisions": [DECISION]}, headers=sent)
    assert answer.status_code == 403
    assert desk.calls("judge") == []


def test_a_post_that_does_not_state_its_origin_is_403(ann: Browser, desk: FakeDesk) -> None:
    body = {"decisions": [DECISION]}
    headers = {"X-CSRF-Token": ann.csrf}
    assert ann.client.post("/api/cases/case-1/decisions", json=body, headers=headers).status_code == 403
    assert desk.calls("judge") == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"])
def test_other_methods_are_405(ann: Browser, method: str) -> None:
    answer = ann.client.request(method, "/api/session")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_a_post_where_only_get_is_served_is_405_and_the_reverse(ann: Browser) -> None:
    assert ann.post("/api/worklist", {}).status_code == 405
    assert ann.get("/api/lock").status_code == 405


def test_head_is_a_get_without_the_body(ann: Browser) -> None:
    answer = ann.client.head("/api/cases/case-1/volumes/m03-flair")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(VOLUME))


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%252e%252e/app.py",
        "/static/%2fetc/passwd",
        "/static//etc/passwd",
        "/static/app%5cmain.js",
        "/static/app/main.js%00.txt",
        "/static/app/",
        "/static/app",
        "/static/",
        "/static/index.html",
        "/api/cases/../../etc/volumes/x",
        "/api/cases/case-1/volumes/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/cases/%0a/volumes/x",
        "/api/worklist/",
        "//api/worklist",
        "/API/worklist",
    ],
)
def test_a_way_out_of_the_page_is_404_and_reaches_nothing(ann: Browser, desk: FakeDesk, path: str) -> None:
    # raw, because the client would tidy the dots away
    url = ann.client.base_url.copy_with(raw_path=path.encode())
    assert ann.client.get(url).status_code == 404
    assert desk.asked == []


@pytest.mark.parametrize(
    ("path", "plain"), [("/", True), ("/a/b", True), ("/a//b", False), ("/a/./b", False)]
)
def test_plain_paths(path: str, plain: bool) -> None:
    assert is_plain(path) is plain
    assert not is_plain(path[1:])


# ---- headers, assets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/static/vendor/big.js", "/api/session", "/api/nothing", "/api/worklist"]
)
def test_security_headers_are_on_every_answer(ann: Browser, path: str) -> None:
    for answer in (ann.get(path), stranger(ann.running).get(path), ann.get(path, Host="evil.example")):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "server" not in answer.headers


def test_the_policy_allows_no_inline_script_no_eval_and_no_other_place() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
    for needed in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "script-src 'self'"):
        assert needed in policy


def test_nothing_of_a_patient_is_kept_by_the_browser_and_the_viewer_library_is(ann: Browser) -> None:
    for path in ("/", "/static/app/main.js", "/api/session", "/api/cases/case-1/volumes/m03-flair"):
        assert ann.get(path).headers["cache-control"] == "no-store"
    first = ann.get("/static/vendor/big.js")
    assert first.headers["cache-control"] == "private, no-cache"
    again = ann.client.get("/static/vendor/big.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_files_of_the_page_have_types_a_browser_runs(ann: Browser) -> None:
    assert ann.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert ann.get("/static/app/main.js").headers["content-type"] == "text/javascript; charset=utf-8"


def test_assets_are_found_by_name_and_nothing_hidden_or_foreign_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    for name in ("index.html", "app/x.js", ".hidden.js", "app/x.py", "app/x.js.map"):
        (tmp_path / name).write_text(name)
    assert set(load_assets(tmp_path)) == {"index.html", "app/x.js"}
    (tmp_path / "index.html").unlink()
    with pytest.raises(FileNotFoundError, match=r"no index\.html: the installation is incomplete"):
        load_assets(tmp_path)


def test_the_installed_page_has_no_inline_script_or_style() -> None:
    page = load_assets()["index.html"].content.decode()
    assert "style=" not in page
    assert "<style" not in page
    assert " on" not in "".join(part for part in page.split("<") if part.startswith("body"))
    assert page.count("<script") == page.count('src="/static/')


# ---- readers ---------------------------------------------------------------------------------------------


def test_session_says_who_what_and_how(browser: Browser, desk: FakeDesk) -> None:
    told = browser.get("/api/session").json()
    assert told["reader"] is None
    assert told["study"] == {"name": "Toy", "reads": 1, "blinding": "BLINDED"}
    assert (told["lock"], told["enrolled"], told["idle_minutes"], told["suggested"]) == (None, [], 30, "")
    browser.enrol("Ann")
    desk.trail.append("unblinding", subject="tables")
    told = browser.get("/api/session").json()
    assert told["reader"] == {"name": "Ann", "role": "reader"}
    assert told["enrolled"] == ["Ann"]
    assert told["study"]["blinding"] == "UNBLINDED"


@pytest.mark.parametrize(
    "path", ["/api/worklist", "/api/cases/case-1", "/api/cases/case-1/volumes/m03-flair", MASK]
)
def test_nobody_reads_before_signing_in(browser: Browser, desk: FakeDesk, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, 401)
    assert desk.asked == []


@pytest.mark.parametrize("path", ["/api/cases/case-1/decisions", MASK, UPLOAD, "/api/lock", "/api/unlock"])
def test_nobody_changes_before_signing_in(browser: Browser, desk: FakeDesk, path: str) -> None:
    assert browser.post(path, {"decisions": [DECISION]}).status_code == 401
    assert desk.asked == []


def test_signing_in_changes_cookie_and_csrf_token_and_the_old_ones_are_void(ann: Browser) -> None:
    old_cookie, old_csrf = ann.cookie, ann.csrf
    answer = ann.post("/api/sign-in", {"name": "Ann", "passphrase": PASSPHRASE})
    assert answer.json()["reader"]["name"] == "Ann"
    assert ann.cookie != old_cookie
    assert ann.csrf != old_csrf
    name = f"infarct_vol_review_{ann.running.port}"
    assert stranger(ann.running).get("/api/session", Cookie=f"{name}={old_cookie}").status_code == 403
    assert ann.post("/api/sign-out", {}, headers={"X-CSRF-Token": old_csrf}).status_code == 403


def test_a_wrong_passphrase_is_401_and_signs_nobody_in(ann: Browser) -> None:
    ann.post("/api/sign-out", {})
    for name in ("Ann", "Nobody"):
        answer = ann.post("/api/sign-in", {"name": name, "passphrase": "not the right phrase"})
        assert answer.status_code == 401
        assert message(answer).startswith("name or passphrase is wrong")
    assert ann.get("/api/session").json()["reader"] is None


def test_signing_out_ends_the_reader_not_the_browser(ann: Browser) -> None:
    assert ann.post("/api/sign-out", {}).json()["reader"] is None
    assert ann.get("/api/worklist").status_code == 401
    assert ann.post("/api/sign-in", {"name": "Ann", "passphrase": PASSPHRASE}).status_code == 200
    assert ann.get("/api/worklist").status_code == 200


def test_a_suggested_name_signs_nobody_in(desk: FakeDesk) -> None:
    with serve(desk, assets=small_assets(), suggested="Ann") as running:
        browser = stranger(running).enter()
        told = browser.get("/api/session").json()
        assert (told["suggested"], told["reader"]) == ("Ann", None)
        assert browser.get("/api/worklist").status_code == 401


def test_a_blank_reader_is_refused(browser: Browser) -> None:
    answer = browser.post("/api/enrol", {"name": "  ", "passphrase": PASSPHRASE})
    assert answer.status_code == 422
    assert browser.get("/api/session").json()["enrolled"] == []


def test_an_idle_reader_is_signed_out_and_looking_at_the_session_keeps_nobody_signed_in() -> None:
    time = [0.0]
    sessions = Sessions(idle_seconds=1800, clock=lambda: time[0])
    session = sessions.sign_in(sessions.open(), Reader(name="Ann"))
    for at, active, signed_in in ((1800, True, True), (3000, False, True), (3601, True, False)):
        time[0] = at
        found = sessions.find(session.secret, active=active)
        assert found is not None
        assert (found.reader is not None) is signed_in


def test_a_busy_reader_signs_in_again_after_12_hours() -> None:
    time = [0.0]
    sessions = Sessions(idle_seconds=1800, clock=lambda: time[0])
    session = sessions.sign_in(sessions.open(), Reader(name="Ann"))
    seen = []
    for at in range(0, 12 * 3600 + 1200, 1200):
        time[0] = at
        found = sessions.find(session.secret)
        seen.append(found is not None and found.reader is not None)
    assert seen == [True] * 37
    time[0] = 12 * 3600 + 1
    found = sessions.find(session.secret)
    assert found is not None
    assert found.reader is None


def test_sessions_are_bounded_and_the_most_silent_goes_first() -> None:
    time = [0.0]
    sessions = Sessions(idle_seconds=1800, clock=lambda: time[0])
    first = sessions.open()
    for at in range(1, MAX_SESSIONS + 1):
        time[0] = at
        newest = sessions.open()
        if at == 1:
            second = newest
        if at == 2:
            sessions.find(first.secret)
    assert sessions.find(second.secret) is None
    assert sessions.find(first.secret) is not None
    assert sessions.find(newest.secret) is not None


def test_an_idle_reader_gets_401_and_goes_on_after_signing_in(desk: FakeDesk) -> None:
    with serve(desk, assets=small_assets(), idle_seconds=0.0) as running:
        browser = stranger(running).enter().enrol()
        assert browser.get("/api/worklist").status_code == 401
        assert browser.get("/api/session").json()["reader"] is None


# ---- reading ---------------------------------------------------------------------------------------------


def test_questions_reach_the_desk_with_the_reader(ann: Browser, desk: FakeDesk) -> None:
    assert ann.get("/api/worklist").json()["progress"] == {"done": 0, "total": 1}
    assert ann.get("/api/cases/case-1").json()["code"] == "case-1"
    assert ann.get("/api/cases/case-1/volumes/m03-flair").content == VOLUME
    assert ann.get(f"{MASK}?sha256={PARENT}").content == b"mask"
    assert desk.calls("mask") == [("Ann", "case-1", "ses-M03/flair", "flair", PARENT)]
    assert desk.calls("volume") == [("Ann", "case-1", "m03-flair")]
    assert ann.get(f"{MASK}?sha256=..").status_code == 422


def test_an_unknown_case_is_404(ann: Browser) -> None:
    answer = ann.get("/api/cases/case-2")
    assert (answer.status_code, message(answer)) == (404, "there is no case case-2")


def test_a_download_has_a_name_without_tricks(ann: Browser) -> None:
    answer = ann.get("/api/cases/case-1/download/ses-M03%2Fflair/scan")
    assert answer.content == b"\x1f\x8bfile"
    assert answer.headers["content-disposition"] == 'attachment; filename="case-1__flair___X__y.nii.gz"'
    assert "x" not in answer.headers


# ---- changing --------------------------------------------------------------------------------------------


def test_decisions_reach_the_desk_whole(ann: Browser, desk: FakeDesk) -> None:
    sent = {**DECISION, "verdict": "reject", "reason": "motion <b>&</b> \u2028"}
    answer = ann.post("/api/cases/case-1/decisions", {"decisions": [sent, DECISION]})
    assert answer.status_code == 200
    assert answer.json()["visits"][0]["items"][0]["revision"] == desk.revision
    ((who, code, judgements),) = desk.calls("judge")
    assert (who, code) == ("Ann", "case-1")
    first, second = judgements
    assert (first.item, first.verdict, first.reason) == ("ses-M03/flair", "reject", "motion <b>&</b> \u2028")
    assert (second.revision, second.masks, second.chosen) == (0, {"flair": PARENT}, None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "decisions: Field required"),
        ({"decisions": []}, "decisions"),
        ({"decisions": [DECISION], "role": "adjudicator"}, "role: Extra inputs are not permitted"),
        ({"decisions": [{**DECISION, "who": "Bob"}]}, "who: Extra inputs are not permitted"),
        ({"decisions": [{**DECISION, "verdict": "maybe"}]}, "verdict"),
        ({"decisions": [{**DECISION, "revision": "0"}]}, "revision"),
        ({"decisions": [{**DECISION, "revision": -1}]}, "revision"),
        ({"decisions": [{**DECISION, "masks": {"brain": PARENT}}]}, "masks"),
        ({"decisions": [{**DECISION, "masks": {"flair": "../x"}}]}, "masks"),
        ({"decisions": [{**DECISION, "chosen": 3}]}, "chosen"),
        ({"decisions": [{**DECISION, "reason": "a\u0000b"}]}, "reason"),
        ({"decisions": [{**DECISION, "reason": "x" * 2001}]}, "reason"),
        ({"decisions": [DECISION] * 65}, "decisions"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_json_that_is_not_expected_is_422_and_reaches_nothing(
    ann: Browser, desk: FakeDesk, body: object, told: str
) -> None:
    headers = {"Content-Type": "application/json"}
    if body is None:
        answer = ann.post("/api/cases/case-1/decisions", content=b"\xff{", headers=headers)
    else:
        answer = ann.post("/api/cases/case-1/decisions", body)
    assert answer.status_code == 422
    assert told in message(answer)
    assert desk.calls("judge") == []


@pytest.mark.parametrize(
    "raw", [b'{"name": "\\ud800", "passphrase": "x"}', b"[" * 60_000, b'{"name": 1e999}', b""]
)
def test_hostile_json_is_422(browser: Browser, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert browser.post("/api/sign-in", content=raw, headers=headers).status_code == 422


def test_a_refused_body_does_not_come_back_with_its_passphrase(browser: Browser) -> None:
    answer = browser.post("/api/sign-in", {"name": "Ann", "passphrase": PASSPHRASE * 60})
    assert answer.status_code == 422
    assert PASSPHRASE not in answer.text


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_json_must_say_that_it_is_json(ann: Browser, kind: str) -> None:
    headers = {"Content-Type": kind}
    assert ann.post("/api/sign-out", content=b"{}", headers=headers).status_code == 415


def test_a_mask_reaches_the_desk_unpacked(ann: Browser, desk: FakeDesk) -> None:
    voxels = bytes([0, 1] * 12)
    assert ann.save(voxels, reason="Rand über 5 %").status_code == 200
    ((who, code, item, key, got, said),) = desk.calls("save_mask")
    assert (who, code, item, key, got) == ("Ann", "case-1", "ses-M03/flair", "flair", voxels)
    assert said == {"parent_sha256": PARENT, "revision": 0, "reason": "Rand über 5 %"}


@pytest.mark.parametrize(
    ("voxels", "status", "told"),
    [
        (bytes(VOXELS - 1), 422, "the mask has 23 voxels, its image has 24"),
        (b"", 422, "the mask has 0 voxels, its image has 24"),
        (bytes(VOXELS + 1), 413, "more than the 24 voxels"),
        (bytes(50_000_000), 413, "more than the 24 voxels"),
        (b"\x02" + bytes(VOXELS - 1), 422, "nothing but 0 and 1"),
    ],
)
def test_a_mask_of_another_size_or_other_values_is_refused(
    ann: Browser, desk: FakeDesk, voxels: bytes, status: int, told: str
) -> None:
    answer = ann.save(voxels)
    assert answer.status_code == status
    assert told in message(answer)
    assert desk.calls("save_mask") == []


def test_what_is_not_one_whole_gzip_stream_is_refused() -> None:
    whole = gzip.compress(bytes(VOXELS))
    assert mask_voxels(whole, count=VOXELS) == bytes(VOXELS)
    assert mask_voxels(gzip.compress(b""), count=0) == b""
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    for raw in (
        whole[:-1],
        whole[:-8],
        whole + b"x",
        whole + whole,
        bytes(flipped),
        b"",
        b"\x1f\x8b",
        bytes(50),
    ):
        with pytest.raises(RefusedRequestError, match="gzip stream"):
            mask_voxels(raw, count=VOXELS)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"revision": "-1"}, "revision="),
        ({"revision": "1.0"}, "revision="),
        ({"revision": "\u0663"}, "revision="),
        ({"revision": "9" * 19}, "revision="),
        ({"parent": "A" * 64}, "parent="),
        ({"parent": "../../etc/passwd"}, "parent="),
    ],
)
def test_a_mask_needs_its_revision_and_parent(
    ann: Browser, desk: FakeDesk, query: dict[str, str], told: str
) -> None:
    answer = ann.save(bytes(VOXELS), **query)
    assert answer.status_code == 422
    assert told in message(answer)
    assert desk.calls("save_mask") == []


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001, "a\x00b", "a\x1b[31m"])
def test_a_blank_or_hostile_reason_is_refused(ann: Browser, desk: FakeDesk, reason: str) -> None:
    answer = ann.save(bytes(VOXELS), reason=reason)
    assert answer.status_code == 422
    assert "reason" in message(answer)
    assert desk.calls("save_mask") == []


def test_a_reason_that_is_not_utf8_is_refused(ann: Browser) -> None:
    answer = ann.post(f"{MASK}?revision=0&parent={PARENT}", content=b"", headers={"X-Reason": "%ff"})
    assert (answer.status_code, message(answer)) == (422, "the reason is not UTF-8 text")


def test_a_mask_for_an_image_that_is_not_there_is_404(ann: Browser) -> None:
    path = f"/api/cases/case-1/masks/ses-M06%2Fflair/flair?revision=0&parent={PARENT}"
    assert ann.post(path, content=b"", headers={"X-Reason": "x"}).status_code == 404


def test_an_upload_reaches_the_desk_as_it_came_and_its_name_is_only_a_name(
    ann: Browser, desk: FakeDesk
) -> None:
    asked = {"revision": 0, "parent": PARENT, "name": "..\\..\\/etc/<img src=x onerror=alert(1)>\x07.nii.gz"}
    answer = ann.post(UPLOAD, params=asked, content=b"file", headers={"X-Reason": "Slicer"})
    assert answer.status_code == 200
    ((_, _, item, key, file, name, said),) = desk.calls("upload_mask")
    assert (item, key, file, said["reason"]) == ("ses-M03/flair", "flair", b"file", "Slicer")
    assert name == "<img src=x onerror=alert(1)>.nii.gz"
    without = ann.post(UPLOAD, params={**asked, "name": "/"}, content=b"file", headers={"X-Reason": "Slicer"})
    assert without.status_code == 422


def test_an_upload_of_another_grid_is_422_with_both(ann: Browser) -> None:
    asked = {"revision": 0, "parent": PARENT, "name": "x.nii"}
    answer = ann.post(UPLOAD, params=asked, content=b"other grid", headers={"X-Reason": "x"})
    assert answer.status_code == 422
    assert message(answer) == "the mask's grid is (9, 9, 9), the image's is (4, 3, 2)"


def test_whoever_is_slower_gets_409_with_the_case_as_it_is_now(ann: Browser, desk: FakeDesk) -> None:
    assert ann.save(bytes(VOXELS)).status_code == 200
    for answer in (
        ann.save(bytes(VOXELS)),
        ann.post("/api/cases/case-1/decisions", {"decisions": [DECISION]}),
    ):
        assert answer.status_code == 409
        assert message(answer) == "revision 0 is old"
        assert answer.json()["current"]["visits"][0]["items"][0]["revision"] == desk.revision


def test_a_locked_study_is_423_until_it_is_unlocked(ann: Browser) -> None:
    body = {"passphrase": PASSPHRASE, "meaning": "I have reviewed this"}
    told = ann.post("/api/lock", body).json()["lock"]
    assert (told["who"], told["meaning"], told["sequence"]) == ("Ann", "I have reviewed this", 1)
    assert set(told) == {"who", "utc", "meaning", "sequence"}
    assert ann.save(bytes(VOXELS)).status_code == 423
    assert ann.post("/api/unlock", {"passphrase": PASSPHRASE, "reason": "late scan"}).json()["lock"] is None
    assert ann.save(bytes(VOXELS)).status_code == 200


def test_a_lock_with_a_wrong_passphrase_is_403_and_the_reader_stays_signed_in(
    ann: Browser, desk: FakeDesk
) -> None:
    answer = ann.post("/api/lock", {"passphrase": "not the right phrase", "meaning": "x"})
    assert answer.status_code == 403
    assert not desk.locked
    assert ann.get("/api/worklist").status_code == 200


def test_readers_do_not_mix(running: Running, desk: FakeDesk) -> None:
    names = [f"Reader {n}" for n in range(6)]
    readers = {name: stranger(running).enter().enrol(name) for name in names}
    for name in reversed(names):
        readers[name].get("/api/worklist")
    assert desk.calls("worklist") == [(name, "case-1") for name in reversed(names)]


# ---- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ReviewError("no such verdict", where="sub-001"), 422, "no such verdict"),
        (DamagedFileError("no file at /home/ann smith/trial/x.nii"), 422, "x.nii"),
        (OutputLockedError("another run is at work"), 503, "another run is at work"),
        (AuditError("/data/out/sub-001/mask.nii.gz was altered"), 500, "infarct-vol audit"),
        (InfarctVolError("sub-001 secret"), 500, "nothing was changed"),
        (OSError(28, "No space left on device", "/data/sub-001/x"), 500, "No space left on device"),
        (KeyError("sub-001 secret"), 500, "nothing was changed"),
        (ZeroDivisionError("/home/x"), 500, "nothing was changed"),
    ],
)
def test_every_error_is_one_json_answer_without_path_or_traceback(
    ann: Browser, desk: FakeDesk, error: Exception, status: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.trouble = error
    with caplog.at_level(logging.DEBUG):
        answer = ann.get("/api/worklist")
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, status)
    assert told in message(answer)
    for hidden in ("/home", "/data", "sub-001", "secret", "Traceback", str(desk.out)):
        assert hidden not in answer.text
        assert hidden not in caplog.text
    if status == 500:
        assert type(error).__name__ in caplog.text
        assert "fake_desk.py" in caplog.text
    desk.trouble = None
    assert ann.get("/api/worklist").status_code == 200


def test_messages_keep_what_a_reader_needs_and_lose_places(tmp_path: Path) -> None:
    wording = Wording([tmp_path / "a b"], blinded=False)
    assert (
        wording.plain(f"no file at {tmp_path}/a b/sub-001/x.nii; 3 mm/s")
        == "no file at sub-001/x.nii; 3 mm/s"
    )
    assert wording.plain("see 'C:\\trial\\x.nii' and /var/lib/y.nii") == "see 'x.nii' and y.nii"
    assert wording.plain("sub-001/ses-M03/flair has 1/2 voxels") == "sub-001/ses-M03/flair has 1/2 voxels"


def test_a_blinded_reading_hides_participants_and_sessions_in_messages(tmp_path: Path) -> None:
    told = Wording([tmp_path], blinded=True).plain(
        "sub-001 ses-M03 FLAIR: sub-001_ses-M03_FLAIR.nii.gz is cut"
    )
    assert "sub-001" not in told
    assert "M03" not in told
    assert "is cut" in told


def test_a_blinded_message_names_no_participant_whatever_they_are_called(tmp_path: Path) -> None:
    wording = Wording([tmp_path], blinded=True, hidden=("P-7", "P-77"))
    assert wording.plain("P-77 and P-7: no, P-770") == "the participant and the participant: no, P-770"

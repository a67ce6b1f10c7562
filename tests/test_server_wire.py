"""The review server against clients that are slow, lie, or send too much: bytes on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from fake_desk import PARENT, PASSPHRASE, VOLUME, VOXELS, FakeDesk, small_assets

from infarct_vol.errors import UsageError
from infarct_vol.server import bodies
from infarct_vol.server.connections import Patience, PatientProtocol
from infarct_vol.server.serving import Running, serve

HASTE = Patience(header_seconds=1.0, body_seconds=1.5, rest_seconds=1.0, unread_seconds=1.5)
MASK = f"/api/cases/case-1/masks/ses-M03%2Fflair/flair?revision=0&parent={PARENT}"
UPLOAD = f"/api/cases/case-1/uploads/ses-M03%2Fflair/flair?revision=0&parent={PARENT}&name=x.nii"


class Wire:
    """A signed-in reader who writes requests by hand."""

    def __init__(self, running: Running, name: str = "Ann") -> None:
        self.running = running
        self.base = f"http://127.0.0.1:{running.port}"
        with httpx.Client(base_url=self.base, headers={"Origin": self.base}, timeout=30) as client:
            client.get(running.url)
            csrf = client.get("/api/session").json()["csrf"]
            body = {"name": name, "passphrase": PASSPHRASE}
            told = client.post("/api/enrol", json=body, headers={"X-CSRF-Token": csrf}).json()
            self.cookie = "; ".join(f"{k}={v}" for k, v in client.cookies.items())
            self.csrf = told["csrf"]

    def head(self, line: str, *more: str) -> bytes:
        lines = [
            f"{line} HTTP/1.1",
            f"Host: 127.0.0.1:{self.running.port}",
            f"Cookie: {self.cookie}",
            f"Origin: {self.base}",
            f"X-CSRF-Token: {self.csrf}",
            "X-Reason: edge",
            *more,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.running.port), timeout=20)

    def exchange(self, *pieces: bytes) -> bytes:
        """Send pieces, then read until the server closes."""
        with self.connect() as wire:
            with suppress(OSError):  # the answer may come, and the connection end, before all is sent
                for piece in pieces:
                    wire.sendall(piece)
            return everything(wire)


def everything(wire: socket.socket) -> bytes:
    """Read until the server closes; a connection that it cut ends the same way."""
    found = b""
    try:
        while piece := wire.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


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
def wire(shared: tuple[FakeDesk, Running], desk: FakeDesk) -> Wire:
    assert desk is shared[0]
    return Wire(shared[1])


@pytest.fixture
def hasty(desk: FakeDesk) -> Iterator[Wire]:
    with serve(desk, assets=small_assets(), patience=HASTE) as running:
        yield Wire(running)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"

# ---- where it listens ------------------------------------------------------------------------------------


def test_it_listens_on_this_machine_alone(wire: Wire) -> None:
    found = Path("/proc/net/tcp")
    if not found.is_file():
        pytest.skip("no list of sockets on this system")
    port = f"{wire.running.port:04X}"
    listening = [line.split()[1] for line in found.read_text().splitlines() if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port}")] == [f"0100007F:{port}"]
    six = Path("/proc/net/tcp6")
    assert not six.is_file() or f":{port} 0000" not in six.read_text()


def test_small_answers_are_sent_at_once(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    made = PatientProtocol.connection_made

    def looking(self: PatientProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        held = transport.get_extra_info("socket")
        seen.append(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(PatientProtocol, "connection_made", looking)
    assert status(wire.exchange(wire.head("GET /api/session", CLOSE))) == 200
    assert seen == [1]


@pytest.mark.parametrize("port", [70000, -1])
def test_a_port_that_cannot_be_had_is_named(desk: FakeDesk, port: int) -> None:
    with pytest.raises(UsageError, match=rf"cannot listen on port {port}.*--port"), serve(desk, port=port):
        pass


def test_a_port_in_use_is_named(wire: Wire, desk: FakeDesk) -> None:
    port = wire.running.port
    with pytest.raises(UsageError, match=rf"cannot listen on port {port}"), serve(desk, port=port):
        pass


def test_after_the_end_nobody_answers(desk: FakeDesk) -> None:
    with serve(desk, assets=small_assets()) as running:
        assert running.alive
    assert not running.alive
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=5)


# ---- too much --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/sign-in", "/api/lock", "/api/cases/case-1/decisions"])
def test_json_of_more_than_64_kib_is_413(wire: Wire, path: str) -> None:
    body = json.dumps({"x": "y" * bodies.MAX_JSON_BYTES}).encode()
    kind = "Content-Type: application/json"
    stated = wire.head(f"POST {path}", kind, f"Content-Length: {len(body)}", CLOSE)
    assert status(wire.exchange(stated, body)) == 413
    pieces = [chunk(body[i : i + 8192]) for i in range(0, len(body), 8192)]
    assert (
        status(wire.exchange(wire.head(f"POST {path}", kind, CHUNKED, CLOSE), *pieces, b"0\r\n\r\n")) == 413
    )


def test_a_body_that_only_promises_too_much_is_413_without_waiting_for_it(wire: Wire, desk: FakeDesk) -> None:
    answer = wire.exchange(wire.head(f"POST {UPLOAD}", "Content-Length: 999999999999"), b"x" * 1000)
    assert status(answer) == 413
    assert desk.calls("upload_mask") == []


def test_an_upload_in_chunks_is_counted_as_it_comes(
    wire: Wire, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infarct_vol.server.routes.MAX_UPLOAD_BYTES", 100_000)
    head = wire.head(f"POST {UPLOAD}", CHUNKED, CLOSE)
    fits = wire.exchange(head, chunk(b"x" * 100_000), b"0\r\n\r\n")
    assert status(fits) == 200
    desk.revision = 0
    assert status(wire.exchange(head, chunk(b"x" * 100_000), chunk(b"y"), b"0\r\n\r\n")) == 413
    assert len(desk.calls("upload_mask")) == 1


def test_a_compressed_mask_larger_than_any_of_its_image_is_413(wire: Wire, desk: FakeDesk) -> None:
    size = bodies.max_gzip_bytes(VOXELS) + 1
    head = wire.head(f"POST {MASK}", f"Content-Length: {size}", CLOSE)
    assert status(wire.exchange(head, bytes(size))) == 413
    assert desk.calls("save_mask") == []


def test_a_bomb_is_413_and_never_unpacked(wire: Wire, desk: FakeDesk) -> None:
    bomb = gzip.compress(bytes(60_000_000))
    assert len(bomb) < bodies.max_gzip_bytes(VOXELS)
    head = wire.head(f"POST {MASK}", f"Content-Length: {len(bomb)}", CLOSE)
    assert status(wire.exchange(head, bomb)) == 413
    assert desk.calls("save_mask") == []


def test_a_header_of_more_than_16_kib_is_refused(wire: Wire, desk: FakeDesk) -> None:
    head = wire.head("GET /api/worklist", "X-Long: " + "x" * 20_000, CLOSE)
    assert status(wire.exchange(head)) == 431
    assert status(wire.exchange(head[:20_000], b"x" * 70_000)) == 400
    assert desk.calls("worklist") == []


# ---- lies ------------------------------------------------------------------------------------------------


def test_two_lengths_of_one_body_are_refused(wire: Wire, desk: FakeDesk) -> None:
    head = wire.head(f"POST {UPLOAD}", CHUNKED, "Content-Length: 4", CLOSE)
    assert status(wire.exchange(head)) == 400
    assert desk.calls("upload_mask") == []


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello \r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\r\n",
    ],
)
def test_what_is_no_request_is_400_and_the_server_goes_on(wire: Wire, raw: bytes) -> None:
    answer = wire.exchange(raw)
    assert status(answer) == 400
    assert b"Traceback" not in answer
    assert status(wire.exchange(wire.head("GET /api/session", CLOSE))) == 200


def test_an_address_of_another_server_is_404(wire: Wire) -> None:
    assert status(wire.exchange(wire.head("GET http://evil.example/api/session", CLOSE))) == 404


def test_a_host_in_http_1_0_is_required_too(wire: Wire) -> None:
    assert status(wire.exchange(b"GET / HTTP/1.0\r\n\r\n")) == 403


def test_a_websocket_is_not_opened(wire: Wire) -> None:
    more = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
    with wire.connect() as line:
        line.sendall(wire.head("GET /", *more))
        assert status(line.recv(65536)) == 200


def test_a_request_that_breaks_off_changes_nothing_and_the_server_goes_on(wire: Wire, desk: FakeDesk) -> None:
    with wire.connect() as half:
        half.sendall(wire.head(f"POST {UPLOAD}", "Content-Length: 1000") + b"half")
    assert status(wire.exchange(wire.head("GET /api/worklist", CLOSE))) == 200
    assert desk.calls("upload_mask") == []


# ---- slow clients: each test ends only because the server closes the connection --------------------------


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_header_that_does_not_end_is_not_awaited(hasty: Wire, said: bytes) -> None:
    assert hasty.exchange(said) == b""


def test_a_header_that_comes_byte_by_byte_gains_no_time(hasty: Wire) -> None:
    with hasty.connect() as slow:
        assert sent_before_the_end(slow, at_most=10_000) < 10_000


def sent_before_the_end(slow: socket.socket, *, at_most: int) -> int:
    """Send a byte at a time, and return how many were sent until the server closed."""
    for sent in range(at_most):
        try:
            slow.sendall(b"x")
        except OSError:
            return sent
        threading.Event().wait(0.02)
    return at_most


def test_the_second_header_of_a_connection_is_not_awaited_either(hasty: Wire) -> None:
    first = hasty.head("GET /api/session")
    with hasty.connect() as slow:
        slow.sendall(first)
        assert status(slow.recv(65536)) == 200
        slow.sendall(b"GET / HT")
        everything(slow)


def test_a_body_that_does_not_end_is_408_and_reaches_nothing(
    wire: Wire, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infarct_vol.server.routes.BODY_SECONDS", 0.3)
    monkeypatch.setattr(bodies, "JSON_SECONDS", 0.3)
    for path, kind in ((UPLOAD, "application/octet-stream"), ("/api/lock", "application/json")):
        answer = wire.exchange(
            wire.head(f"POST {path}", f"Content-Type: {kind}", "Content-Length: 1000"), b"{"
        )
        assert status(answer) == 408
    assert desk.calls("upload_mask") == []


def test_a_body_that_nobody_reads_is_cut_off(hasty: Wire) -> None:
    # refused at the door: the answer is given, the rest of the body never comes
    head = f"POST /api/lock HTTP/1.1\r\nHost: 127.0.0.1:{hasty.running.port}\r\nContent-Length: 9\r\n\r\n"
    assert status(hasty.exchange(head.encode(), b"x")) == 403


def test_an_answer_that_nobody_reads_is_given_up(
    hasty: Wire, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = bytes(64_000_000)
    monkeypatch.setattr(desk, "volume", lambda *_: large)
    with hasty.connect() as lazy:
        lazy.sendall(hasty.head("GET /api/cases/case-1/volumes/m03-flair"))
        threading.Event().wait(3)
        assert len(everything(lazy)) < len(large)
    assert status(hasty.exchange(hasty.head("GET /api/session", CLOSE))) == 200


def test_a_desk_that_thinks_long_is_waited_for(
    hasty: Wire, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*_: object) -> bytes:
        threading.Event().wait(2.5)
        return VOLUME

    monkeypatch.setattr(desk, "volume", slowly)
    answer = hasty.exchange(hasty.head("GET /api/cases/case-1/volumes/m03-flair", CLOSE))
    assert answer.endswith(VOLUME)


def test_slow_clients_keep_nobody_else_waiting(wire: Wire) -> None:
    slow = [wire.connect() for _ in range(50)]
    try:
        for each in slow:
            each.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert status(wire.exchange(wire.head("GET /api/worklist", CLOSE))) == 200
    finally:
        for each in slow:
            each.close()


# ---- many at once ----------------------------------------------------------------------------------------


def test_of_20_readers_who_save_at_once_one_is_taken_and_19_are_told(desk: FakeDesk) -> None:
    with serve(desk, assets=small_assets()) as running:
        readers = [Wire(running, f"Reader {n}") for n in range(20)]
        together = threading.Barrier(20)
        voxels = gzip.compress(bytes(VOXELS))

        def save(one: Wire) -> bytes:
            together.wait()
            return one.exchange(one.head(f"POST {MASK}", f"Content-Length: {len(voxels)}", CLOSE), voxels)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(save, readers))
    assert sorted(status(answer) for answer in answers) == [200] + [409] * 19
    for answer in answers:
        view = json.loads(answer.partition(b"\r\n\r\n")[2])
        items = view.get("current", view)["visits"][0]["items"]
        assert items[0]["revision"] == desk.revision


def test_a_call_under_way_is_finished_before_the_end(desk: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*_: object) -> bytes:
        begun.set()
        go_on.wait(20)
        return VOLUME

    monkeypatch.setattr(desk, "volume", slowly)
    with serve(desk, assets=small_assets()) as running, ThreadPoolExecutor(2) as pool:
        wire = Wire(running)
        path = "GET /api/cases/case-1/volumes/m03-flair"
        answer = pool.submit(wire.exchange, wire.head(path, CLOSE))
        begun.wait(20)
        stopped = pool.submit(running.stop)
        threading.Event().wait(0.3)
        go_on.set()
        stopped.result(20)
        assert answer.result(20).endswith(VOLUME)

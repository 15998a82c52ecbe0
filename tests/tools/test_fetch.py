"""Fetching a page: only the open internet, bounded, and text alone. The server here is real; its address is made to count as public."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.builtin import fetch
from nemochat.tools.builtin.fetch import fetch_url, is_public

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "8.8.8.8"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2002:0a00:0001::", "2001:0:0:0:0:0:80ff:fffe", "localhost", "", "1",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


Answer = Callable[[socket.socket], None]


class Server:
    """Answers each connection with the next of its answers."""

    def __init__(self) -> None:
        self.answers: list[Answer | bytes] = []
        self.requests: list[bytes] = []
        self.connected: list[tuple[str, int]] = []
        self.hosts = {"example.org": [PUBLIC]}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                answer = self.answers.pop(0)
                try:
                    connection.sendall(answer) if isinstance(answer, bytes) else answer(connection)
                except OSError:
                    continue

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def resolve(self, host: str, port: int) -> list[str]:
        return self.hosts.get(host, [host])

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        return socket.create_connection(self._listening.getsockname(), timeout=seconds)

    async def fetch(self, url: str, seconds: float = 5.0) -> ToolOutcome:
        return await fetch_url(self.resolve, self.connect, seconds).run({"url": url})


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def page(body: bytes, kind: str = "text/plain", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def test_a_page_comes_as_text_from_the_address_that_was_checked(server: Server) -> None:
    server.answers = [
        page(b"<title>T</title><script>evil()</script><p>Hello <b>you</b> &amp; \x1b[2Jme<style>x</style></p>", "text/html; charset=utf-8")
    ]
    outcome = await server.fetch("http://example.org/a?b=1#c")
    assert outcome.text.split() == ["T", "Hello", "you", "&", "[2Jme"]
    assert outcome.sources == ("http://example.org/a?b=1#c",)
    assert server.connected == [(PUBLIC, 80)]
    assert server.requests[0].startswith(b"GET /a?b=1 HTTP/1.1\r\nHost: example.org\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "example.org", "//example.org", "http://", "javascript:1",
        "http://user:pass@example.org/", "http://example.org:22/", "https://example.org:80/", "http://example.org/a b",
        "http://example.org/\r\nX: y",
        "http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "http://localhost/", "http://0/",
        "http://[::ffff:127.0.0.1]/",
        "http://example.org:99999/", "http://mixed/", "http://nothing/", "http://[bad/",
    ],
)  # fmt: skip
async def test_what_is_not_fetched(server: Server, url: str) -> None:
    server.hosts |= {"localhost": ["127.0.0.1"], "0": ["0.0.0.0"], "mixed": [PUBLIC, "10.0.0.1"], "nothing": []}
    with pytest.raises(NemochatError):
        await server.fetch(url)
    assert server.connected == []


async def test_a_redirect_inwards_is_refused_and_others_are_followed(server: Server) -> None:
    server.answers = [page(b"", "text/plain", "Location: /next", status="302 Found"), page(b"there")]
    assert (await server.fetch("http://example.org/")).text == "there"
    for target in ("http://127.0.0.1/", "file:///etc/passwd", "http://example.org:8080/"):
        server.answers = [page(b"", "text/plain", f"Location: {target}", status="302 Found")]
        with pytest.raises(NemochatError):
            await server.fetch("http://example.org/")
    server.answers = [page(b"", "text/plain", "Location: /", status="302 Found")] * 10
    with pytest.raises(NemochatError, match="on and on"):
        await server.fetch("http://example.org/")


async def test_a_name_that_turns_private_after_it_was_checked_leads_nowhere(server: Server) -> None:
    told = [[PUBLIC], ["127.0.0.1"]]
    server.answers = [page(b"ok")]
    await fetch_url(lambda host, port: told.pop(0), server.connect).run({"url": "http://example.org/"})
    assert server.connected == [(PUBLIC, 80)]
    assert len(told) == 1


async def test_size_kind_and_status(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 1000)
    for answer, why in (
        (page(b"x" * 1001), "larger than"),
        (page(b"x", "image/png"), "not text but image/png"),
        (page(b"x", "text/plain", "Content-Encoding: gzip"), "not text"),
        (page(b"x", status="404 Not\x1b[2J Found"), "404 Not"),
        (b"junk\r\n\r\n", "cannot be fetched"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
    ):
        server.answers = [answer]
        with pytest.raises(NemochatError, match=why) as caught:
            await server.fetch("http://example.org/")
        assert "\x1b" not in caught.value.message
    server.answers = [page(b"{}", "application/json"), page(b"caf\xe9", "text/plain; charset=latin-1"), page(b"a", "text/plain; charset=x")]
    assert [(await server.fetch("http://example.org/")).text for _ in range(3)] == ["{}", "caf\u00e9", "a"]


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"], ids=["headers", "body"])
async def test_a_server_that_drips_is_cut_off(server: Server, start: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start or b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.03)

    server.answers = [drip]
    began = time.monotonic()
    with pytest.raises(NemochatError, match="longer than"):
        await server.fetch("http://example.org/", 0.3)
    assert time.monotonic() - began < 2


async def test_https_checks_who_answers(server: Server) -> None:
    server.answers = [b"no TLS here"]
    with pytest.raises(NemochatError, match="cannot be fetched"):
        await server.fetch("https://example.org/")
    assert server.connected == [(PUBLIC, 443)]

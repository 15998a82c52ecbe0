"""Fetching a page: only the open internet, bounded, and text alone. The server here is real; its address is made to count as public."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.builtin import fetch
from nemochat.tools.builtin.fetch import fetch_url, is_public

PUBLIC = "93.184.216.34"


WITHIN = (
    # this machine, this network, private networks, links, shared addresses, the cloud's own
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "::1", "::", "fe80::1", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00:ec2::254",
    # examples, measurements, protocols, what is not assigned
    "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1",
    "240.0.0.1", "255.255.255.255", "2001:db8::1", "3fff::1", "3fff:fff:ffff::1", "2001:2::1", "2001:10::1", "2001:20::1", "100::1",
    "100:0:0:1::1", "5f00::1", "4000::1", "3ffe::1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1",
    # for many at once
    "224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1",
    # one address in another
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:0a00:0001::", "2002:808:808::1", "2001:0:0:0:0:0:80ff:fffe",
    "2001:0:808:808::1", "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:127.0.0.1",
    # with a zone, and what is no address
    "fe80::1%eth0", "2600::1%1", "8.8.8.8%1", "localhost", "", "1", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "[::1]", " 8.8.8.8",
)  # fmt: skip
WITHOUT = (
    PUBLIC, "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.254", "::ffff:8.8.8.8",
    "64:ff9b::808:808", "2606:2800:220:1:248:1893:25c8:1946", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1",
)  # fmt: skip


@pytest.mark.parametrize("address", WITHOUT)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", WITHIN)
def test_not_public(address: str) -> None:
    assert not is_public(address)


def test_not_public_whatever_this_python_calls_global(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(kind, "is_global", True)
    assert [address for address in WITHIN if is_public(address)] == []
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(kind, "is_global", False)
    assert [address for address in WITHOUT if is_public(address)] == []


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "0", "localhost", "localhost.", "[::1]", "[::]",
        "[fe80::1%25lo]", "[fe80::1%lo]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "127\u30020\u30020\u30021",
        "127.0.0.1\\.example.org", "example.org\\@127.0.0.1", "%31%32%37.0.0.1", "a" * 300 + ".org", "x_y..", "a b", "a\x00b",
    ],
)  # fmt: skip
async def test_no_spelling_of_this_machine_is_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        made.append(address)
        raise OSError("not here")

    monkeypatch.setattr(socket, "getaddrinfo", only_numbers(socket.getaddrinfo))
    with pytest.raises(NemochatError):
        await fetch_url(connect=connect).run({"url": f"http://{host}/"})
    assert made == []


def only_numbers(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """The system's look-up, which asks nobody else: of names it knows this machine's alone."""

    def known(host: str, port: int, **options: Any) -> Any:
        return look_up("127.0.0.1" if host.startswith("localhost") else host, port, flags=socket.AI_NUMERICHOST, **options)

    return known


async def test_a_proxy_of_the_environment_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers = [page(b"ok")]
    await server.fetch("http://example.org/")
    assert server.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<!-- -->", "<![", "<a ", "<a x='", '<a x="', "</a ", "&#", "&", "<", "<?", "<!", "<script>", "<a x==", "</", "<![CDATA[",
    "<!DOCTYPE [", "<a/"],
)
async def test_a_page_made_to_be_slow_is_read_at_once(piece: str, server: Server) -> None:
    body = b"<p>words</p>" + (piece * 2**20)[: 2**20].encode()
    server.answers = [page(body, "text/html")]
    began = time.process_time()
    assert (await server.fetch("http://example.org/")).text.startswith("words")
    assert time.process_time() - began < 20  # quadratic would be minutes


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

    async def fetch(self, url: str, seconds: float = 60.0) -> ToolOutcome:
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
    with pytest.raises(NemochatError, match="too often"):
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
        for _ in range(2000):
            connection.sendall(b"x")
            time.sleep(0.03)

    server.answers = [drip]
    began = time.monotonic()
    with pytest.raises(NemochatError, match="longer than"):
        await server.fetch("http://example.org/", 0.3)
    assert time.monotonic() - began < 30


async def test_https_checks_who_answers(server: Server) -> None:
    server.answers = [b"no TLS here"]
    with pytest.raises(NemochatError, match="cannot be fetched"):
        await server.fetch("https://example.org/")
    assert server.connected == [(PUBLIC, 443)]

"""A server on the loopback that does what no server should: it says what it was told to say, byte by byte, to each path.

It may stand before a server that works (`behind`): what it was told nothing about goes there, and a reply may come from there up to where
it goes wrong (`after`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from nemochat.domain.servers import Server, ServerKind

CERTIFICATE = Path(__file__).with_name("self_signed.pem")
KEY = "sk-hostile-0123456789abcdef"
"""A key to be looked for wherever nemochat writes."""


class Act:
    """What is no bytes: HOLD keeps the connection open and says nothing more, DROP ends it as a crash does."""


HOLD, DROP = Act(), Act()


class Request(NamedTuple):
    """What was asked, the headers by their names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


Says = Iterable[bytes | Act]
Behaviour = Callable[[Request, Iterator[bytes]], Says]
"""From a request, and what the server behind would say to it, line by line, to what is said."""


def answer(body: Any, status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer; what is no bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return begin(kind, status, content_length=str(len(content)), **headers) + content


def begin(kind: str = "text/event-stream", status: str = "200 OK", **headers: str) -> bytes:
    """The head of an answer; without a length it ends with the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(content: bytes) -> bytes:
    """A piece of a body under ``Transfer-Encoding: chunked``, whose end is `chunk(b"")`."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def event(value: Any) -> bytes:
    """An event of a stream; what is no bytes is written as JSON."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def after(events: int, *then: bytes | Act) -> Behaviour:
    """The reply of the server behind up to so many lines with content in its body, and then something else."""

    def behave(request: Request, real: Iterator[bytes]) -> Says:
        yield next(real)
        left = events
        for line in real:
            if line.strip():
                if not left:
                    break
                left -= 1
            yield line
        yield from then

    return behave


class HostileServer:
    """The server, from entering it on. answers: by path, without the query; "*" is for the rest. Some may be given, taken and changed."""

    def __init__(
        self, answers: Mapping[str, bytes | Says | Behaviour] | None = None, *, behind: str = "", has_tls: bool = False, name: str = "lab"
    ) -> None:
        self.answers = dict(answers or {})
        self.requests: list[Request] = []
        self.left: list[str] = []
        """The paths whose connection the other side has closed while it was held."""
        self._behind, self._name = urlsplit(behind), name
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if has_tls else None
        if self._context is not None:
            self._context.load_cert_chain(CERTIFICATE)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hostile = self
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self._server.server_address[1]}"

    def as_server(self, kind: ServerKind | None = None) -> Server:
        """The same as nemochat knows it."""
        return Server(self._name, self.url, kind)

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.path for request in self.requests]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        for connection in list(self._open):
            _end(connection)
        self._server.server_close()

    def serve(self, plain: socket.socket) -> None:
        """One connection with one request."""
        self._open.add(plain)
        connection = plain
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(plain, server_side=True)
            request = _read(connection)
            if request is None:
                return
            self.requests.append(request)
            for said in self._says(request):
                if said is DROP:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()
                    return
                if said is HOLD:
                    while connection.recv(1 << 16):
                        pass
                    self.left.append(request.path)
                    break
                assert isinstance(said, bytes)
                connection.sendall(said)
        except OSError:
            return  # the other side has had enough, as it should
        finally:
            self._open.discard(plain)
            _end(connection)

    def _says(self, request: Request) -> Says:
        path = request.path.partition("?")[0]
        found = self.answers.get(path, self.answers.get("*"))
        if found is None:
            return self._real(request) if self._behind.netloc else [answer(b"nothing here", "404 Not Found", "text/plain")]
        if isinstance(found, bytes):
            return [found]
        return found(request, self._real(request)) if callable(found) else found

    def _real(self, request: Request) -> Iterator[bytes]:
        """What the server behind says: the head, then line by line."""
        real = http.client.HTTPConnection(self._behind.hostname or "", self._behind.port)
        try:
            headers = {name: value for name, value in request.headers.items() if name in ("content-type", "authorization")}
            real.request(request.method, request.path, request.body or None, headers)
            response = real.getresponse()
            yield begin(response.headers.get("content-type", ""), f"{response.status} {response.reason}")
            yield from response
        finally:
            real.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    hostile: HostileServer


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.hostile.serve(self.request)


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(1 << 16)):
            return None
        data += more
        if data[0] == 0x16:  # TLS, where none is spoken
            connection.sendall(answer(b"", "400 Bad Request"))
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(1 << 20)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

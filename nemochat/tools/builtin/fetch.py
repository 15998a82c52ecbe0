"""Fetch a page of the internet. Off unless the user turns it on, and never unasked.

Only http and https, only their own ports, only public addresses: the name is resolved once, every address that it has must be public, and
the connection goes to exactly such an address, so that a name cannot be public when it is checked and private when it is used. Each
redirect is checked in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.making import FunctionTool, builtin

OFFERED = builtin("fetch_url", "Fetch the text of a page of the internet.", {"url": {"type": "string", "maxLength": 2000}}, ("url",))

MAX_BYTES = 2 * 1024 * 1024
_SECONDS = 20.0
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_TEXTS = re.compile(r"text/|application/(?:[a-z0-9.+-]*\+)?(?:json|xml)$|application/(?:javascript|yaml|toml)$")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
# What the standard library calls global differs from Python to Python, and it lets through what is meant for one network only. So both
# have to agree: what the library says, and these lists of IANA's registries of special addresses, with what was once special.
_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
            "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        ),
    )
)  # fmt: skip
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20"))
)  # fmt: skip
_WRAPPING = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""Networks of IPv6 whose last four bytes are an address of IPv4: mapped ones, and the gateway of networks that know IPv6 alone."""
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host. Raises OSError."""
Connect = Callable[[str, int, float], socket.socket]
"""A connection to an address. Raises OSError."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the open internet, also when it is wrapped in another. One with a zone never does."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return False
        if not any(parsed in wrapping for wrapping in _WRAPPING):
            if int(parsed) >> 32 & 0xFFFF_FFFF in _ISATAP or parsed not in _UNICAST_V6:
                return False
            return parsed.is_global and not any(parsed in special for special in _SPECIAL_V6)
        parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return parsed.is_global and not any(parsed in special for special in _SPECIAL_V4)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to an address, which is not looked up again."""
    return socket.create_connection((address, port), timeout=seconds)


def fetch_url(resolve: Resolve = resolve, connect: Connect = connect, seconds: float = _SECONDS) -> FunctionTool:
    """Fetches a page. How names are resolved and connections made can be handed in."""

    async def run(arguments: dict[str, Any]) -> ToolOutcome:
        return await asyncio.to_thread(_Fetch(resolve, connect, seconds).page, arguments["url"])

    return FunctionTool(OFFERED, run)


class _Fetch:
    """One fetch with its redirects, under one time limit."""

    def __init__(self, resolve: Resolve, connect: Connect, seconds: float) -> None:
        self._resolve = resolve
        self._connect = connect
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._late = threading.Event()

    def page(self, url: str) -> ToolOutcome:
        """The text of the page."""
        # A server that sends a byte now and then never runs into the limit of a single read, so the connection is cut from outside.
        timer = threading.Timer(self._seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            outcome = self._follow(url)
            if self._late.is_set():  # a page that does not say how long it is looks whole when it is cut
                raise TimeoutError
            return outcome
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"it took longer than {self._seconds:g} seconds" if self._late.is_set() else sanitize(str(error), strict=True)[:200]
            raise NemochatError(f"The page cannot be fetched: {why or type(error).__name__}.") from None
        finally:
            timer.cancel()
            for opened in self._sockets:
                opened.close()

    def _cut(self) -> None:
        self._late.set()
        for opened in self._sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _follow(self, url: str) -> ToolOutcome:
        for _ in range(_REDIRECTS + 1):
            parts = _checked(url)
            connection = self._open(parts)
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={"User-Agent": "nemochat", "Accept": "text/*", "Accept-Encoding": "identity"})
                response = connection.getresponse()
                if response.status in _MOVED and (moved := response.headers.get("Location")):
                    url = urljoin(url, moved)
                    continue
                return _outcome(url, response)
            finally:
                connection.close()
        raise NemochatError("The page cannot be fetched: it redirects too often.")

    def _open(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, is_safe = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_safe else 80)
        addresses = self._resolve(host, port)
        if not addresses or not all(is_public(address) for address in addresses):
            raise NemochatError(f"{sanitize(host, strict=True)[:100]} is not a public address, and others are not fetched.")
        if self._late.is_set():
            raise TimeoutError
        opened = self._connect(addresses[0], port, self._seconds)
        self._sockets.append(opened)
        if self._late.is_set():
            raise TimeoutError
        if is_safe:
            opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
            self._sockets.append(opened)
        connection = http.client.HTTPConnection(host, port, timeout=self._seconds)
        # The name says what is asked for; where it goes was decided above.
        connection.sock = opened
        return connection


def _checked(url: str) -> SplitResult:
    """The parts of an address that may be fetched. Raises NemochatError."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NemochatError("Only addresses that begin with http:// or https:// are fetched.")
    if parts.username is not None or parts.password is not None:
        raise NemochatError("An address with a name or a password in it is not fetched.")
    if not _HOST.fullmatch(parts.hostname):
        raise NemochatError("The name of the host has characters that are not allowed.", "Write other letters as xn--...")
    if parts.port not in (None, 443 if parts.scheme == "https" else 80):
        raise NemochatError("Only the usual ports of http and https are used.")
    if any(ord(character) <= 32 or ord(character) > 126 for character in parts.path + parts.query):
        raise NemochatError("The address holds blanks or characters that are not ASCII.", "Write them as %20 and so on.")
    return parts


def _outcome(url: str, response: http.client.HTTPResponse) -> ToolOutcome:
    if response.status != 200:
        raise NemochatError(f"The page cannot be fetched: the server says {response.status} {sanitize(response.reason, strict=True)[:60]}.")
    kind = response.headers.get_content_type()
    if not _TEXTS.match(kind) or response.headers.get("Content-Encoding", "identity") != "identity":
        raise NemochatError(f"The page is not text but {sanitize(kind, strict=True)[:60]}.")
    data = response.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise NemochatError(f"The page is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    try:
        text = data.decode(response.headers.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    if kind == "text/html":
        text = _plain(text)
    return ToolOutcome(sanitize(text).strip() or "[The page is empty.]", sources=(sanitize(url, strict=True),))


_BLOCKS = frozenset(re.split(" ", "p div br li ul ol tr table section article header footer h1 h2 h3 h4 h5 h6 pre blockquote hr title"))
_DECLARATION = re.compile("<[!?][^>]*>?")
_LONE = re.compile("<(?![A-Za-z/])")
_UNSEEN = frozenset(("script", "style", "noscript", "template", "svg"))


class _Plain(HTMLParser):
    """The words of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count what is not seen, and break lines."""
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """As above."""
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep what is seen."""
        if not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _plain(page: str) -> str:
    parser = _Plain()
    # What is not closed at the end is left out: `close` would look for its end again from each of its characters.
    parser.feed(_LONE.sub("&lt;", _DECLARATION.sub("", _without_comments(page))))
    lines = (line.strip() for line in "".join(parser.pieces).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _without_comments(page: str) -> str:
    pieces, at = [], 0
    while (start := page.find("<!--", at)) >= 0:
        pieces.append(page[at:start])
        end = page.find("-->", start + 4)
        at = end + 3 if end >= 0 else len(page)
    return "".join([*pieces, page[at:]])

"""HTTP to a server that runs models: JSON there and back, and streams of events.

What a server sends is written by others and may be anything, of any size, at any pace, and may hold our own key: all of it is bounded, and
whatever goes wrong is one sentence (see `faults`).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import json
import logging
import math
import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from nemochat import __version__
from nemochat.domain.servers import Server
from nemochat.engine.remote.faults import Faults, is_lasting
from nemochat.errors import ServerError
from nemochat.reading import TooMuchError, check_json

_TRIED_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0  # seconds; a server that asks for more is not asked again by us
_READ_OF_A_REFUSAL = 1 << 16
_LINES_OF_AN_EVENT = 1000
_KEPT_OPEN = 60.0
_DIGITS = 15  # of a number that fits wherever it is kept


class Limits(msgspec.Struct, frozen=True):
    """How long a server is waited for, in seconds, and how much of it is read, in bytes.

    connect: until it takes the connection. look: until it has said what it knows already, which costs it nothing. first: until it begins
    to answer what it has to work for, until such an answer is there as a whole, and between two events of a stream. silence: between two
    lines of a stream that has begun, where one that only says "I am alive" counts. answer: an answer that is no stream. line: a line of a
    stream, and an event. stream: a stream as a whole. retries: how often what may go better is tried again.
    """

    connect: float = 10.0
    look: float = 60.0
    first: float = 600.0
    silence: float = 120.0
    answer: int = 32 << 20
    line: int = 4 << 20
    stream: int = 1 << 30
    retries: int = 2


PATIENT = Limits()


class ServerClient:
    """A server, spoken to with its key. What goes wrong is a ServerError."""

    def __init__(self, server: Server, key: str = "", *, limits: Limits = PATIENT) -> None:
        self.server = server
        self._limits = limits
        self._url = server.url.rstrip("/")
        self._faults = Faults(server, key)
        if not (key.isascii() and key.isprintable() and key == key.strip()):
            raise self._faults.bad_key()
        _keep_off_the_terminal()
        try:
            address, is_here = urlsplit(self._url), server.is_here
            if address.scheme not in ("http", "https") or not address.hostname or address.port == 0:
                raise self._faults.no_address()
            self._http = httpx2.AsyncClient(
                headers={
                    "User-Agent": f"nemochat/{__version__}",
                    "Accept-Encoding": "identity",
                    **({"Authorization": f"Bearer {key}"} if key else {}),
                },
                # To read all authorities takes 0.1 s; where there is neither TLS nor a proxy none is needed.
                verify=httpx2.create_ssl_context() if address.scheme == "https" or not is_here else False,
                # What runs here is not asked through a proxy, which would hand the words to another machine.
                trust_env=not is_here,
                # Silence is measured from line to line: a byte now and then does not count.
                timeout=httpx2.Timeout(None, connect=limits.connect),
                limits=httpx2.Limits(keepalive_expiry=_KEPT_OPEN),
                follow_redirects=False,
            )
        except (OSError, ValueError, ImportError, httpx2.InvalidURL) as error:
            raise self._faults.unusable(str(error)) from None

    @property
    def name(self) -> str:
        """What people call the server, fit for a sentence."""
        return self._faults.name

    async def get(self, path: str) -> Any:
        """The decoded JSON at a path (``/v1/models``). A number that nothing here can be as large as is None, as is NaN."""
        return await self._answer(path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The decoded JSON that answers a body."""
        return await self._answer(path, body)

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The values of a stream as they come: of server-sent events up to ``[DONE]``, or of lines of JSON. An error in it is raised.

        It may end without having come to its end: only who knows what the last value looks like can tell (see `broke_off`). Closing it
        closes the connection, which ends the work at the server.
        """
        response = await self._begin(path, body)
        try:
            async with contextlib.aclosing(self._events(response)) as events:
                async for data in events:
                    yield self._value(data)
        except httpx2.HTTPError:
            raise self.broke_off() from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def broke_off(self) -> ServerError:
        """The error of a stream whose end never came."""
        return self._faults.broke_off()

    def misread(self, what: str) -> ServerError:
        """The error of an answer that is not what it has to be; `what`: what it lacks or has too much, as "has no text in it"."""
        return self._faults.misread(what)

    async def _answer(self, path: str, body: Mapping[str, Any] | None) -> Any:
        response = await self._begin(path, body)
        try:
            return self._value(await self._whole(response, self._patience(body is not None)))
        except httpx2.HTTPError:
            raise self.broke_off() from None
        finally:
            await response.aclose()

    async def _begin(self, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        """An answer that says that all is well, its content still to come. Tried again where that may help."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        for tried in range(self._limits.retries + 1):
            wait = _FIRST_WAIT * 2**tried * random.uniform(0.75, 1.0)  # noqa: S311 - many who wait are not to come back all at once
            try:
                response = await self._ask(path, content)
            except httpx2.TransportError as error:
                failure = self._faults.unreachable(error, self._limits.connect)
                if not isinstance(error, httpx2.ConnectTimeout | httpx2.NetworkError | httpx2.RemoteProtocolError) or is_lasting(error):
                    raise failure from None
                if not tried and not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                    wait = 0.0  # a connection that was kept open and that the server has closed meanwhile
            else:
                if 200 <= response.status_code < 300:
                    return response
                asked = _retry_after(response)
                failure = await self._refusal(response, path, asked)
                if response.status_code not in _TRIED_AGAIN or (asked is not None and asked > _LONGEST_WAIT):
                    raise failure
                wait = wait if asked is None else asked
            if tried < self._limits.retries:
                await asyncio.sleep(wait)
        raise failure from None

    async def _ask(self, path: str, content: bytes | None) -> httpx2.Response:
        headers = {} if content is None else {"Content-Type": "application/json"}
        patience = self._patience(content is not None)
        try:
            request = self._http.build_request("GET" if content is None else "POST", self._url + path, content=content, headers=headers)
            async with asyncio.timeout(patience):
                response = await self._http.send(request, stream=True)
        except TimeoutError:
            raise self._faults.silent(patience) from None
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise self._faults.unusable(str(error)) from None
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            await response.aclose()  # unpacked, it could be of any size
            raise self.misread("is compressed, unasked")
        return response

    async def _refusal(self, response: httpx2.Response, path: str, asked: float | None) -> ServerError:
        try:
            if 300 <= response.status_code < 400:
                return self._faults.moved(response.headers.get("location", ""), response.status_code)
            try:
                content = await self._whole(response, self._limits.look, _READ_OF_A_REFUSAL)
            except (httpx2.HTTPError, ServerError):
                content = b""  # the status says enough
            wait = asked if asked is not None and asked > _LONGEST_WAIT else None
            return self._faults.refused(response.status_code, content.decode("utf-8-sig", "replace"), path, wait)
        finally:
            await response.aclose()

    def _patience(self, works: bool) -> float:
        return self._limits.first if works else self._limits.look

    async def _whole(self, response: httpx2.Response, patience: float, beginning: int | None = None) -> bytes:
        """The content of an answer that is no stream, or its beginning, of so many bytes at least if there are as many."""
        taken = bytearray()
        try:
            async with asyncio.timeout(patience), contextlib.aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    taken += chunk
                    if beginning is not None and len(taken) >= beginning:
                        break
                    if len(taken) > self._limits.answer:
                        raise self.misread(f"is larger than {_size(self._limits.answer)}")
        except TimeoutError:
            raise self._faults.silent(patience) from None
        return bytes(taken)

    async def _events(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The data of each event of a stream up to ``[DONE]``, and each line that is JSON by itself.

        What kind of content the answer says that it is does not matter: many say something else. One that begins as JSON and is no line of
        it is an answer in one piece, as of a server that streams nothing.
        """
        held: list[bytes] = []
        has_begun = is_in_one_piece = False
        async with contextlib.aclosing(self._lines(response)) as lines:
            async for line in lines:
                field, _, value = line.partition(b":")
                value = value.strip()
                is_in_one_piece = is_in_one_piece or (not has_begun and line[:1] in (b"{", b"[") and not _is_json(line))
                has_begun = has_begun or bool(line)
                if is_in_one_piece:
                    self._hold(held, line)
                elif not line:
                    if held:
                        yield b"\n".join(held)
                        held.clear()
                elif field in (b"data", b"error"):  # llama-server called errors "error" for a while
                    if value == b"[DONE]":
                        return
                    if not held and _is_json(value):
                        yield value  # without waiting for the blank line, which comes with the next event from some and never from others
                    elif value:
                        self._hold(held, value)
                elif line[:1] in (b"{", b"["):
                    yield line
                elif field not in (b"event", b"id", b"retry"):
                    raise self.misread("is a web page, not a reply" if line[:1] == b"<" else "is no stream of events")
        if held:
            yield b"\n".join(held)

    def _hold(self, held: list[bytes], line: bytes) -> None:
        """Keep a line until the event that it is a part of is whole."""
        held.append(line)
        if sum(map(len, held)) > self._limits.line or len(held) > _LINES_OF_AN_EVENT:
            raise self.misread(f"has an event of more than {_size(self._limits.line)}")

    async def _lines(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The lines of a stream without blanks around them, and without those that only say that the server is alive."""
        clock = asyncio.get_running_loop().time
        next_event = until = clock() + self._limits.first
        has_begun, total, rest = False, 0, bytearray()
        async with contextlib.aclosing(response.aiter_raw()) as chunks:
            chunk: bytes | None = b""
            while chunk is not None:
                try:
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    waited = self._limits.silence if has_begun else self._limits.first
                    raise self._faults.silent(waited, in_the_middle=has_begun) from None
                new = b"\n" if chunk is None else chunk
                total += len(new)
                if total > self._limits.stream:
                    raise self.misread(f"is larger than {_size(self._limits.stream)}")
                rest += new
                lines: list[bytearray] = []
                if b"\n" in new:  # what is not yet a line is not looked through for each byte that is added to it
                    *lines, rest = rest.split(b"\n")
                if max(map(len, (*lines, rest))) > self._limits.line:
                    raise self.misread(f"has a line of more than {_size(self._limits.line)}")
                spoken = [bytes(line.removeprefix(b"\xef\xbb\xbf").strip()) for line in lines if not line.startswith(b":")]
                for line in spoken:
                    yield line
                if any(spoken):
                    has_begun, next_event = True, clock() + self._limits.first
                if lines and has_begun:
                    until = min(next_event, clock() + self._limits.silence)

    def _value(self, data: bytes) -> Any:
        """What JSON says, unless it is an error: servers send those with a status of 200 as well, and in the middle of a stream."""
        text = self._faults.without_key(data.decode("utf-8-sig", "replace"))
        try:
            check_json(text)
            value = json.loads(text, parse_int=_whole, parse_float=_number, parse_constant=lambda _: None)
        except TooMuchError as error:
            raise self.misread(str(error).removeprefix("it ")) from None
        except RecursionError:
            raise self.misread("is nested too deep") from None
        except ValueError:
            start = text.strip()[:1]
            raise self.misread("is empty" if not start else "is a web page, not JSON" if start == "<" else "is not JSON") from None
        if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
            raise self._faults.told(value)
        return value


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= _DIGITS else None


def _number(text: str) -> float | None:
    value = float(text)
    return value if abs(value) < 10**_DIGITS else None


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _size(bound: int) -> str:
    return f"{bound >> 20:,} MiB" if bound >= 1 << 20 else f"{bound:,} bytes"


def _retry_after(response: httpx2.Response) -> float | None:
    """In how many seconds a server asks to be asked again; None where it does not say so, or says nonsense."""
    text = response.headers.get("retry-after", "").strip()[:64]
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(text)
            seconds = (at - datetime.datetime.now(at.tzinfo)).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _keep_off_the_terminal() -> None:
    """The libraries log what servers send, headers too; without a handler, Python would print that raw on the screen."""
    for name in ("httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())

"""HTTP to a server that runs models: JSON there and back, streams of events. All of it is bounded, and each failure is one sentence.

What a server sends is text that nobody has checked: it may be anything, of any size, at any pace, and it may hold our own key.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import ipaddress
import json
import logging
import math
import random
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from nemochat import __version__, numbers
from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import Server
from nemochat.errors import ServerError
from nemochat.reading import TooMuchError, check_json

_TRIED_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0  # seconds until it is tried again; a server that asks for more is taken at its word, and not asked again
_QUOTED = 300  # characters of a server's own words in a sentence
_READ_OF_AN_ERROR = 1 << 16
_KEPT = "What has come is kept; go on from there, or ask again."
_AT_THE_NETWORK = "Look at its address and the network."
_SHORTEST_SECRET = 4  # a "key" below that hides nothing, and its letters are in every text

# How llama-server, vLLM, NIM, Ollama, LM Studio and those behind OpenAI's routes say that a prompt does not fit.
_LENGTH = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window|the overflows)|maximum (?:model|input) length|"
    r"max_model_len|(?:prompt|input)\b[^.]{0,60}\btoo long|longer than the maximum|n_keep|too many (?:input )?tokens",
    re.IGNORECASE,
)
_LENGTH_STATUSES = frozenset({None, 200, 400, 413, 422, 500})


class Limits(msgspec.Struct, frozen=True):
    """How long a server is waited for, in seconds, and how much of it is read, in bytes.

    connect: until it takes the connection. first: until it answers, until an answer is there as a whole, and between two events of a
    stream. silence: between two lines of a stream, where a line that only says "I am alive" counts. answer: an answer that is no stream.
    line: a line of a stream, and an event. stream: a stream as a whole. retries: how often what may go better is tried again.
    """

    connect: float = 10.0
    first: float = 600.0
    silence: float = 120.0
    answer: int = 32 << 20
    line: int = 4 << 20
    stream: int = 1 << 30
    retries: int = 2


PATIENT = Limits()


class ServerClient:
    """A server, spoken to with its key. Raises ServerError, and nothing else that is not a mistake of ours."""

    def __init__(self, server: Server, key: str = "", *, limits: Limits = PATIENT) -> None:
        self.server = server
        self.name = sanitize(server.name, strict=True)[:80]
        self._limits = limits
        self._url = base_url(server.url)
        self._secrets = _spellings(key)
        if not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ServerError(f"The key of {self.name} holds characters that no key has.", "Give it again, without line breaks and spaces.")
        _keep_off_the_terminal()
        headers = {"User-Agent": f"nemochat/{__version__}", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        is_here = is_this_machine(server.url)
        try:
            self._http = httpx2.AsyncClient(
                headers=headers,
                # To read all authorities takes 0.1 s; where there is neither TLS nor a proxy none is needed.
                verify=not (is_here and self._url.lower().startswith("http://")),
                # Silence is measured from line to line: a byte now and then does not count.
                timeout=httpx2.Timeout(None, connect=limits.connect),
                # What runs here is not asked for through a proxy, which would also hand the words to another machine.
                mounts={f"all://{urlsplit(self._url).hostname}": None} if is_here else None,
                trust_env=True,
                follow_redirects=False,
            )
        except (OSError, ValueError, ImportError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"{self.name} cannot be asked: {self._said(str(error))}.",
                "Look at its address, at the proxy (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) and at SSL_CERT_FILE.",
            ) from None

    async def get(self, path: str) -> Any:
        """The decoded JSON at a path (``/v1/models``)."""
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
            if response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
                yield self._checked(self._decoded(await self._whole(response)))
                return
            async with contextlib.aclosing(self._events(response)) as events:
                async for data in events:
                    yield self._checked(self._decoded(data))
        except (httpx2.HTTPError, httpx2.StreamError):
            raise self.broke_off() from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def broke_off(self) -> ServerError:
        """The error of a reply whose end never came."""
        return ServerError(f"{self.name} broke off in the middle of its answer.", _KEPT)

    def misread(self, what: str) -> ServerError:
        """The error of an answer that is not what it has to be; `what`: what it lacks or has too much, as "has no text in it"."""
        return ServerError(f"{self.name} sent an answer that {what}.", f"See whether its address is right: {self._place}.")

    @property
    def _place(self) -> str:
        parts = urlsplit(self._url)
        return sanitize(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", strict=True)[:200]

    # A request and its answer

    async def _answer(self, path: str, body: Mapping[str, Any] | None) -> Any:
        response = await self._begin(path, body)
        try:
            return self._checked(self._decoded(await self._whole(response)))
        except (httpx2.HTTPError, httpx2.StreamError):
            raise self.broke_off() from None
        finally:
            await response.aclose()

    async def _begin(self, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        """An answer that says that all is well, its content still to come. Tried again where that may help."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        for left in range(self._limits.retries, -1, -1):
            wait = _FIRST_WAIT * 2 ** (self._limits.retries - left) * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
            try:
                response = await self._ask(path, content)
            except httpx2.TransportError as error:
                failure = self._unreachable(error)
                if not isinstance(error, httpx2.ConnectTimeout | httpx2.NetworkError | httpx2.RemoteProtocolError) or _is_lasting(error):
                    raise failure from None
            else:
                if 200 <= response.status_code < 300:
                    return response
                failure = await self._refusal(response, path)
                asked = _retry_after(response)
                if response.status_code not in _TRIED_AGAIN or (asked is not None and asked > _LONGEST_WAIT):
                    raise failure
                wait = wait if asked is None else asked
            if not left:
                raise failure from None
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _ask(self, path: str, content: bytes | None) -> httpx2.Response:
        try:
            request = self._http.build_request(
                "GET" if content is None else "POST",
                self._url + path,
                content=content,
                headers={} if content is None else {"Content-Type": "application/json"},
            )
            async with asyncio.timeout(self._limits.first):
                response = await self._http.send(request, stream=True)
        except TimeoutError:
            raise self._silent(self._limits.first) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError):
            raise ServerError(f"The address of {self.name} is none: {self._place}.", "It begins with http:// or https://.") from None
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            await response.aclose()  # unpacked, it could be of any size
            raise self.misread("is compressed, unasked")
        return response

    async def _whole(self, response: httpx2.Response, most: int = 0) -> bytes:
        """The content of an answer that is no stream; with `most`, only its beginning."""
        taken = bytearray()
        try:
            async with asyncio.timeout(self._limits.first), contextlib.aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    taken += chunk
                    if most and len(taken) >= most:
                        break
                    if len(taken) > self._limits.answer:
                        raise self.misread(f"is larger than {self._limits.answer >> 20:,} MiB")
        except TimeoutError:
            raise self._silent(self._limits.first) from None
        return bytes(taken)

    async def _lines(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The lines of a stream, without their ends and without those that only say that the server is alive."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._limits.first
        until, total, rest, heard = due, 0, bytearray(), False
        async with contextlib.aclosing(response.aiter_raw()) as chunks:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise self._silent(self._limits.silence if heard else self._limits.first, in_the_middle=heard) from None
                rest += chunk or b"\n"
                total += len(chunk or b"")
                *lines, rest = rest.split(b"\n")
                if len(rest) > self._limits.line or any(len(line) > self._limits.line for line in lines):
                    raise self.misread(f"has a line of more than {self._limits.line >> 10:,} KiB")
                if total > self._limits.stream:
                    raise self.misread(f"is larger than {self._limits.stream >> 20:,} MiB")
                for line in lines:
                    if line.strip() and not line.startswith(b":"):
                        heard, due = True, clock() + self._limits.first
                    if not line.startswith(b":"):
                        yield bytes(line.removesuffix(b"\r"))
                if lines and heard:
                    until = min(due, clock() + self._limits.silence)
                if chunk is None:
                    return

    async def _events(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The data of each event of a stream up to ``[DONE]``, and each line that is JSON by itself."""
        held: list[bytes] = []
        async with contextlib.aclosing(self._lines(response)) as lines:
            async for line in lines:
                field, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
                if not line:
                    if held:
                        yield b"\n".join(held)
                        held.clear()
                elif field in (b"data", b"error"):  # llama-server had "error:" for a while
                    value = value.strip()
                    if value == b"[DONE]":
                        return
                    if not held and _is_json(value):
                        yield value  # without waiting for the blank line, which some send with the next event, and some never
                    elif value:
                        held.append(value)
                        if sum(map(len, held)) > self._limits.line or len(held) > 1000:
                            raise self.misread(f"has an event of more than {self._limits.line >> 10:,} KiB")
                elif line.lstrip()[:1] in (b"{", b"["):
                    yield line
                elif field not in (b"event", b"id", b"retry"):
                    raise self.misread("is no stream of events" if line.lstrip()[:1] != b"<" else "is a web page, where a reply should be")
            if held:
                yield b"\n".join(held)

    def _decoded(self, data: bytes) -> Any:
        text = data.decode("utf-8-sig", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "…")
        try:
            check_json(text)
            return json.loads(text, parse_constant=lambda _: None)
        except TooMuchError as error:
            raise self.misread(str(error).removeprefix("it ")) from None
        except RecursionError:
            raise self.misread("is nested too deep") from None
        except ValueError:
            if not data.strip():
                raise self.misread("is empty") from None
            is_page = text.lstrip()[:1] == "<"
            raise self.misread("is a web page, not JSON" if is_page else "is not JSON") from None

    def _checked(self, value: Any) -> Any:
        """A value that is no error; servers send errors with a status of 200 as well, and in the middle of a stream."""
        if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
            error = value.get("error")
            code = error.get("code") if isinstance(error, dict) else value.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else None
            raise self._failure(status, _words(value), json.dumps(value)[:_READ_OF_AN_ERROR])
        return value

    # What went wrong, in a sentence

    def _said(self, text: str) -> str:
        """Words of a server or a library, fit for a sentence: one line, short, and without our key."""
        line = " ".join(sanitize(text, strict=True).split())
        for secret in self._secrets:
            line = line.replace(secret, "…")
        return (line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…").rstrip(".")

    def _silent(self, seconds: float, *, in_the_middle: bool = False) -> ServerError:
        waited = numbers.duration(seconds * 1000)
        if in_the_middle:
            return ServerError(f"{self.name} fell silent in the middle of its answer, for {waited}.", _KEPT)
        return ServerError(f"{self.name} has not answered for {waited}.", "It may be loading a model or busy with others: try again later.")

    def _unreachable(self, error: httpx2.TransportError) -> ServerError:
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            why = next(cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
            return ServerError(
                f"The certificate of {self.name} is not trusted here: {self._said(why)}.",
                "Have it signed by an authority that this machine knows, or name a file with that authority in SSL_CERT_FILE.",
            )
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return ServerError(f"{self.name} does not speak https at {self._place}.", "Its address may begin with http:// instead.")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return ServerError(f"{self.name} is at {self._place}, and no machine of that name is known.", _AT_THE_NETWORK)
        if isinstance(error, httpx2.ConnectTimeout):
            waited = numbers.duration(self._limits.connect * 1000)
            return ServerError(f"{self.name} takes no connection at {self._place} within {waited}.", _AT_THE_NETWORK)
        if isinstance(error, httpx2.ProxyError):
            said = self._said(str(error))
            return ServerError(f"The proxy does not lead to {self.name}: {said}.", "Look at HTTP_PROXY and HTTPS_PROXY, or set NO_PROXY.")
        if isinstance(error, httpx2.ConnectError):
            return ServerError(f"{self.name} does not answer at {self._place}.", "See that it runs there, and try again.")
        if isinstance(error, httpx2.RemoteProtocolError) and "without sending" not in str(error):
            return ServerError(f"What {self.name} answers at {self._place} is not HTTP.", "Its address or its port may be another.")
        return ServerError(f"{self.name} closed the connection without an answer.", "Its own log may say why; try again.")

    async def _refusal(self, response: httpx2.Response, path: str) -> ServerError:
        """The error of an answer that says that something is not well; its content is read as far as it can be."""
        status = response.status_code
        text = ""
        if not 300 <= status < 400:
            try:
                text = (await self._whole(response, _READ_OF_AN_ERROR)).decode("utf-8-sig", "replace")
            except (httpx2.HTTPError, httpx2.StreamError, ServerError):
                text = ""  # the status says enough
        await response.aclose()
        if 300 <= status < 400:
            there = self._said(response.headers.get("location", "")) or "it does not say which"
            message = f"{self.name} sends us to another address, which is not followed: {there}."
            return ServerError(message, "If that is where it is now, give it that address.", status=status)
        try:
            said = _words(json.loads(text))
        except (ValueError, RecursionError):
            said = "" if text.lstrip()[:1] == "<" else text
        if status == 404 and not said:
            return ServerError(f"{self.name} has nothing at {self._place}{path}.", "See whether its address is right.", status=status)
        asked = _retry_after(response)
        if asked is not None and asked > _LONGEST_WAIT:
            said = f"{self._said(said)}{' ' if said else ''}(try again in {numbers.duration(min(asked, 1e6) * 1000)})"
        return self._failure(status, said, text)

    def _failure(self, status: int | None, said: str, whole: str) -> ServerError:
        """The error for a status and what the server says with it; `whole`: all that it sent, to be understood but not to be shown."""
        said = self._said(said)
        says = f": {said}" if said else ""
        if status in _LENGTH_STATUSES and _LENGTH.search(whole):
            return ServerError(f"The prompt is too long for {self.name}{says}.", "Make it shorter.", status=status, is_length=True)
        match status:
            case 401 | 407:
                what = "does not accept the key" if self._secrets else "wants a key"
                return ServerError(f"{self.name} {what}{says}.", "Give it its key: see `nemochat servers add --help`.", status=status)
            case 403:
                return ServerError(f"{self.name} does not allow that{says}.", "Its key may not be for this model.", status=status)
            case 404:
                return ServerError(f"{self.name} does not know what it was asked for{says}.", "See which models it has.", status=status)
            case 413:
                return ServerError(f"What was sent is too large for {self.name}{says}.", "Send fewer or smaller pictures.", status=status)
            case 429:
                return ServerError(f"{self.name} has too much to do{says}.", "Wait a little, and try again.", status=status)
            case 503:
                return ServerError(f"{self.name} is not ready{says}.", "It may be loading its model: try again in a moment.", status=status)
            case _ if status is not None and status < 500:
                return ServerError(f"{self.name} refuses what it was asked ({status}){says}.", status=status)
            case _:
                number = "" if status is None else f" ({status})"
                return ServerError(f"{self.name} failed{number}{says}.", "Its own log may say more; try again.", status=status)


def base_url(url: str) -> str:
    """An address without a slash and without OpenAI's ``/v1`` at its end."""
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")


def is_this_machine(url: str) -> bool:
    """Whether an address is one of this machine's own, which no word leaves on the way there."""
    try:
        host = urlsplit(url.strip()).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _spellings(key: str) -> tuple[str, ...]:
    """A key as it may be written in what a server sends."""
    return () if len(key) < _SHORTEST_SECRET else tuple({key, json.dumps(key)[1:-1]})


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _words(value: Any) -> str:
    """What a server says of an error: in OpenAI's shape, in Ollama's, in FastAPI's, in that of RFC 9457."""
    for _ in range(4):
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            value = value[0] if value else ""
        elif isinstance(value, dict):
            value = next((value[name] for name in ("error", "message", "detail", "msg", "title") if value.get(name)), "")
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the groups of those who try several addresses opened."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        left += [found.__cause__, found.__context__, *(found.exceptions if isinstance(found, BaseExceptionGroup) else ())]


def _is_lasting(error: BaseException) -> bool:
    """Whether trying again is of no use: the certificate or the name of the machine will be the same."""
    return any(isinstance(cause, ssl.SSLError | socket.gaierror) for cause in _causes(error))


def _retry_after(response: httpx2.Response) -> float | None:
    """When a server asks to be asked again, in seconds from now; None where it does not say so, or says nonsense."""
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

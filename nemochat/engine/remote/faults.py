"""What goes wrong with a server, each in one sentence that names the server, says what to do, and never holds the key.

The words of servers and of the libraries in between are quoted on one line, short and harmless; errors are raised without what they came
from, because that holds the same words as they were.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2

from nemochat import numbers
from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import Server
from nemochat.errors import ServerError

_QUOTED = 300  # characters of somebody else's words in a sentence
_SHORTEST_SECRET = 4
_LONGEST_WORD = 16
_LONGEST_NAMED_WAIT = 86_400.0

_KEPT = "Ask again, or go on from there: a chat keeps what has come."
_AT_THE_NETWORK = "Look at its address and the network."
_AT_THE_ADDRESS = "See whether its address is right."

# How llama-server, vLLM, NIM, Ollama, LM Studio and those behind OpenAI's routes say that a prompt does not fit.
_LENGTH = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window|the overflows)|maximum (?:model|input) length|"
    r"max_model_len|(?:prompt|input)\b[^.]{0,60}\btoo long|longer than the maximum|n_keep|too many (?:input )?tokens",
    re.IGNORECASE,
)
_LENGTH_STATUSES = frozenset({None, 400, 413, 422, 500})


class Faults:
    """The sentences for one server, whose key they leave out."""

    def __init__(self, server: Server, key: str) -> None:
        self.name = sanitize(server.name, strict=True).strip()[:80] or "The server"
        self.place = _without_user(server.url.rstrip("/"))
        self._has_key = bool(key)
        self._spellings = tuple({key, json.dumps(key)[1:-1]}) if len(key) >= _SHORTEST_SECRET else ()
        # Where a key is asked for and none is needed, people give a word ("ollama", "EMPTY"), which may well be one of a reply.
        self._is_word = len(key) < _LONGEST_WORD and (len(key) < _LONGEST_WORD // 2 or not any(map(str.isdigit, key)))

    def without_key(self, data: str) -> str:
        """What a server has sent, without our key, unless that could be any word."""
        return data if self._is_word else self._without(data)

    def _without(self, text: str) -> str:
        for spelling in self._spellings:
            text = text.replace(spelling, "…")
        return text

    def unusable(self, why: str) -> ServerError:
        """A server that cannot even be asked, by what is known of it here."""
        hint = "Look at its address, at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, and at SSL_CERT_FILE."
        return ServerError(f"{self.name} cannot be asked: {self._quoted(why)}.", hint)

    def no_address(self) -> ServerError:
        """An address that leads nowhere."""
        return ServerError(f"{self.name} has no address that leads anywhere: {self.place or 'it is empty'}.", "It begins with http:// or https://.")

    def bad_key(self) -> ServerError:
        """A key that no header can hold."""
        return ServerError(f"The key of {self.name} holds characters that no key has.", "Give it again, without line breaks and spaces.")

    def unreachable(self, error: httpx2.TransportError, seconds_to_connect: float) -> ServerError:
        """No answer at all."""
        causes = list(_causes(error))
        if untrusted := next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None):
            hint = "Have it signed by an authority that this machine knows, or name a file that holds that authority in SSL_CERT_FILE."
            return ServerError(f"The certificate of {self.name} is not trusted: {self._quoted(untrusted.verify_message)}.", hint)
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return ServerError(f"{self.name} does not speak https at {self.place}.", "Its address may begin with http:// instead.")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return ServerError(f"{self.name} is at {self.place}, and no machine of that name is known.", _AT_THE_NETWORK)
        if isinstance(error, httpx2.ConnectTimeout):
            waited = numbers.duration(seconds_to_connect * 1000)
            return ServerError(f"{self.name} takes no connection at {self.place} within {waited}.", _AT_THE_NETWORK)
        if isinstance(error, httpx2.ProxyError):
            said = self._quoted(str(error))
            return ServerError(f"The proxy does not lead to {self.name}: {said}.", "Look at HTTP_PROXY and HTTPS_PROXY, or set NO_PROXY.")
        if isinstance(error, httpx2.ConnectError):
            return ServerError(f"{self.name} does not answer at {self.place}.", "See that it runs there, and try again.")
        if isinstance(error, httpx2.ProtocolError) and "without sending" not in str(error):
            return ServerError(f"What {self.name} answers at {self.place} is not HTTP.", "Its port may be another, or it wants https://.")
        return ServerError(f"{self.name} closed the connection without an answer.", "Its own log may say why; try again.")

    def silent(self, seconds: float, *, in_the_middle: bool = False) -> ServerError:
        """Nothing came for so long."""
        waited = numbers.duration(seconds * 1000)
        if in_the_middle:
            return ServerError(f"{self.name} fell silent in the middle of its answer, for {waited}.", _KEPT)
        return ServerError(f"{self.name} has not answered for {waited}.", "It may be loading a model or busy with others: try again later.")

    def broke_off(self) -> ServerError:
        """An answer whose end never came."""
        return ServerError(f"{self.name} broke off in the middle of its answer.", _KEPT)

    def misread(self, what: str) -> ServerError:
        """An answer that is not what it has to be; `what`: what it lacks or has too much, as "has no text in it"."""
        return ServerError(f"{self.name} sent an answer that {what}.", f"See whether its address is right: {self.place}.")

    def moved(self, where: str, status: int) -> ServerError:
        """An answer that leads elsewhere, where neither the words nor the key are to go."""
        where = self._quoted(where) or "it does not say which"
        message = f"{self.name} sends us to another address, which is not followed: {where}."
        return ServerError(message, "If that is where it is now, give it that address.", status=status)

    def refused(self, status: int, content: str, path: str, wait: float | None) -> ServerError:
        """An answer that says no. content: what it says with it, in whatever shape; wait: in how many seconds it asks to be tried again."""
        try:
            said = _words(json.loads(content))
        except (ValueError, RecursionError):
            said = "" if content.lstrip()[:1] == "<" else content
        if status == 404 and not said:
            return ServerError(f"{self.name} has nothing at {self.place}{path.partition('?')[0]}.", _AT_THE_ADDRESS, status=status)
        if wait is not None and wait < _LONGEST_NAMED_WAIT:
            said = f"{self._quoted(said)}{', and ' if said else ''}asks to be tried again in {numbers.duration(wait * 1000)}"
        return self._failed(status, said, content)

    def told(self, value: dict[str, Any]) -> ServerError:
        """An error in an answer that says that all is well, or in the middle of a reply."""
        error = value.get("error")
        code = error.get("code") if isinstance(error, dict) else value.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else None
        return self._failed(status, _words(value), json.dumps(value))

    def _failed(self, status: int | None, said: str, content: str) -> ServerError:
        name, said = self.name, self._quoted(said)
        says = f": {said}" if said else ""
        if status in _LENGTH_STATUSES and _LENGTH.search(content):
            return ServerError(f"The prompt is too long for {name}{says}.", "Make it shorter.", status=status, is_length=True)
        match status:
            case 401 | 407:
                what = "does not accept the key" if self._has_key else "wants a key"
                hint = f"Give its key: nemochat servers add {name} {self.place} --key"
                return ServerError(f"{name} {what}{says}.", hint, status=status)
            case 403:
                return ServerError(f"{name} does not allow that{says}.", "Its key may not be for this model.", status=status)
            case 404:
                hint = "See which models it has: nemochat models list"
                return ServerError(f"{name} does not know what it was asked for{says}.", hint, status=status)
            case 413:
                return ServerError(f"What was sent is too large for {name}{says}.", "Send fewer or smaller pictures.", status=status)
            case 429:
                return ServerError(f"{name} has too much to do{says}.", "Wait a little, and try again.", status=status)
            case 503:
                hint = "Try again in a moment." if "loading" in said.lower() else "It may be loading its model: try again in a moment."
                return ServerError(f"{name} is not ready{says}.", hint, status=status)
            case _ if status is not None and status < 500:
                hint = "Ask something else, or choose another model." if said else _AT_THE_ADDRESS
                return ServerError(f"{name} refuses what it was asked ({status}){says}.", hint, status=status)
            case _:
                number = "" if status is None else f" ({status})"
                return ServerError(f"{name} failed{number}{says}.", "Its own log may say more; try again.", status=status)

    def _quoted(self, text: str) -> str:
        """Somebody else's words, fit for a sentence: one line, short, and without our key."""
        # The key goes before the end does: half of it at the end would be no key to look for.
        line = self._without(" ".join(sanitize(text, strict=True).split()))
        return (line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…").rstrip(".")


def is_lasting(error: BaseException) -> bool:
    """Whether trying again is of no use: the certificate or the name of the machine will be the same."""
    return any(isinstance(cause, ssl.SSLError | socket.gaierror) for cause in _causes(error))


def _without_user(url: str) -> str:
    """An address fit for a sentence, without a name and a password in it."""
    try:
        parts = urlsplit(url)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        url = url.rpartition("@")[2]
    return sanitize(url, strict=True)[:200]


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

"""Asking servers for models: which key goes where, redirects, bounds, and what a refusal means in words.

httpx2 is imported when the first server is asked: most runs ask none. A key goes to the server that it is for and to no other, also when
that one sends us on to another address, which needs none.
"""

from __future__ import annotations

import base64
import configparser
import ipaddress
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import DownloadError
from nemochat.paths import at_home
from nemochat.reading import TooMuchError, check_json, member, read_regular

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 15.0
READ_SECONDS = 20.0
_MOST_REDIRECTS = 8
_MOST_JSON = 32 << 20
"""Bytes of a list of files. One of 50,000 files, the most that Hugging Face lets a repository have, holds about 20 MB."""
_JSON_SECONDS = 120.0
_MOST_SECRET = 4096
_SECRET = re.compile(r"[\x21-\x7e]{1,2048}")
_SHOWN = 200
_NGC_KEYS = "https://org.ngc.nvidia.com/setup/api-keys"
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be another one in a while."""


class Secret(msgspec.Struct, frozen=True):
    """What a server knows the user by. header: the Authorization, "" for none; it goes to `origin` alone. said_by: where it was found."""

    header: str = ""
    origin: str = ""
    said_by: str = ""

    def __repr__(self) -> str:
        """Never what it holds: a value like this ends up in tracebacks."""
        return f"Secret(said_by={self.said_by!r})"


class Place(msgspec.Struct, frozen=True):
    """What is asked for, in words, for those who are refused. page: where people read about it and accept its terms. service: "hf", "ngc"
    or "" for any other address."""

    what: str
    page: str
    service: str = ""
    secret: Secret = Secret()


class RefusedError(DownloadError):
    """A server did not give what was asked for. status: what it answered. wait: the seconds that it wants us to wait, 0 if it says none."""

    def __init__(self, message: str, hint: str = "", *, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(message, hint)
        self.status, self.wait = status, wait


def client() -> httpx2.Client:
    """One that follows no redirects by itself and asks for nothing packed. Proxies and certificates are as the environment says."""
    import httpx2

    from nemochat import __version__

    headers = {"User-Agent": f"nemochat/{__version__}", "Accept-Encoding": "identity"}
    try:
        return httpx2.Client(headers=headers, timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS), follow_redirects=False)
    except (ValueError, OSError, httpx2.InvalidURL) as error:  # a proxy or a file of certificates that the environment names
        raise DownloadError(f"The proxy or the certificates that the environment names cannot be used: {_short(error)}.") from None


def checked(url: str) -> SplitResult:
    """The parts of an address that may be asked. Raises DownloadError."""
    try:
        parts = urlsplit(url)
        is_meant = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_meant = False
    if not is_meant or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise DownloadError(f"This is no address that can be asked: {_short(url)}", "One begins with https:// and has no blanks.")
    if parts.username is not None:
        raise DownloadError("An address with a name or a password in it is not asked.", "Set HF_TOKEN or NGC_API_KEY instead.")
    return parts


def origin(url: str) -> str:
    """Scheme, host and port of an address: what a key belongs to."""
    parts = checked(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def host(url: str) -> str:
    """The server of an address, for people."""
    return sanitize(checked(url).netloc, strict=True)[:100]


def keeps_secrets(url: str) -> bool:
    """Whether nobody on the way reads what is sent there: it is encrypted, or it is this machine."""
    parts = checked(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


@contextmanager
def opened(
    asker: httpx2.Client, url: str, place: Place, headers: Mapping[str, str] | None = None
) -> Iterator[tuple[httpx2.Response, Mapping[str, str]]]:
    """The answer at an address, whatever its status, and what the servers of the redirects before it said of the file (`x-linked-...`).

    Raises DownloadError for redirects that lead nowhere, and what httpx2 raises for a network that fails.
    """
    linked: dict[str, str] = {}
    for _ in range(_MOST_REDIRECTS):
        now = origin(url)
        sent = dict(headers or {})
        if place.secret.header and now == place.secret.origin and keeps_secrets(url):
            sent["Authorization"] = place.secret.header
        with asker.stream("GET", url, headers=sent) as answer:
            target = answer.headers.get("location")
            if answer.status_code not in (301, 302, 303, 307, 308) or not target:
                yield answer, linked
                return
            for name in ("x-linked-etag", "x-linked-size"):
                linked.setdefault(name, answer.headers.get(name, ""))
        was, url = url, urljoin(url, target)
        if checked(was).scheme == "https" and checked(url).scheme == "http":
            raise DownloadError(f"{host(was)} leads to an address that is not encrypted, which is not followed.")
    raise DownloadError(f"{host(url)} leads from one address to the next without an end.")


def get_json(asker: httpx2.Client, url: str, place: Place) -> Any:
    """What an address says in JSON. Raises DownloadError, a RefusedError for a status that is no success."""
    import httpx2

    until = time.monotonic() + _JSON_SECONDS
    try:
        with opened(asker, url, place, {"Accept": "application/json"}) as (answer, _):
            if answer.status_code != 200:
                raise refused(answer, url, place)
            if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
                raise DownloadError(f"{host(url)} sent a packed answer, which was not asked for.")
            body = bytearray()
            for piece in answer.iter_raw():
                body += piece
                if time.monotonic() > until:
                    raise DownloadError(f"{host(url)} takes more than {_JSON_SECONDS:.0f} seconds to answer.", "Try again later.")
                if len(body) > _MOST_JSON:
                    raise DownloadError(f"The list of {host(url)} is larger than {_MOST_JSON >> 20} MiB, which no list of files is.")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise unreachable(url, error) from None
    try:
        check_json(bytes(body))
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, TooMuchError, RecursionError):
        is_page = b"<html" in bytes(body[:2000]).lower()
        what = "a web page: a proxy or a page to sign in may stand in between" if is_page else "no list of files"
        raise DownloadError(f"What {host(url)} sent is {what}.", f"Open {place.page} in a browser to see what it says.") from None


def unreachable(url: str, error: Exception) -> DownloadError:
    """The sentence for a server that could not be asked, or broke off."""
    why = _short(error) or type(error).__name__
    return DownloadError(f"{host(url)} cannot be reached ({why}).", "Check the network, and HTTPS_PROXY where there is a proxy.")


def refused(answer: httpx2.Response, url: str, place: Place) -> RefusedError:
    """The sentence for a status that is no success, with what to do about it."""
    status, where = answer.status_code, host(url)
    code = answer.headers.get("x-error-code", "")
    message, hint = _refusal(status, code, where, place)
    return RefusedError(message, hint, status=status, wait=_wait(answer.headers.get("retry-after", "")))


def _refusal(status: int, code: str, where: str, place: Place) -> tuple[str, str]:
    what, key = place.what, {"hf": "HF_TOKEN", "ngc": "NGC_API_KEY"}.get(place.service, "")
    known = place.secret.said_by
    make = {"hf": "https://huggingface.co/settings/tokens", "ngc": _NGC_KEYS}.get(place.service, "")
    if code == "GatedRepo" or (status in (403, 412, 451) and key):
        hint = f"Accept them at {place.page}, signed in as whom your key belongs to"
        hint += ", then run this again." if known else f"; make a key at {make}, set {key} to it, and run this again."
        return f"{what} is given only to those who have accepted its terms ({status}).", hint
    if status == 401 and key and known:
        return f"{where} does not accept the key of {known} for {what} (401).", f"Make another one at {make}, and see {place.page}."
    if status == 401 and key:
        hint = f"See {place.page}; with an account, make a key at {make}, set {key} to it, and run this again."
        return f"{what} is given only with an account, or is not there at all (401).", hint
    if status == 404 or code in ("RepoNotFound", "EntryNotFound", "RevisionNotFound"):
        return f"There is no {what} at {where}.", f"Look at {place.page}, and check how its name is written."
    if status == 407:
        return "The proxy of this network wants a name and a password (407).", "Write them into HTTPS_PROXY: http://name:password@proxy:port"
    if status == 429:
        return f"{where} asks for fewer requests (429).", f"Try again in some minutes{f'; {key} allows more' if key and not known else ''}."
    if status in (401, 403):
        return f"{where} does not give {what} to everybody ({status}).", "Download it in a browser, then: nemochat models add FILE"
    if status >= 500:
        return f"{where} has a fault of its own ({status}).", "Try again later: what has come is kept."
    return f"{where} answered {status} for {what}.", f"Open {place.page} in a browser to see what it says."


def _wait(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,5}", text.strip()) else 0.0


def _short(error: object) -> str:
    return sanitize(str(error), strict=True).strip()[:_SHOWN].rstrip(".")


# -- keys


def hub_secret(endpoint: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """The token for Hugging Face: of the environment, or of the file where its own tools keep it. Raises DownloadError for what is none."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if text := environment.get(name, "").strip():
            return _bearer(text, endpoint, name)
    home = environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or at_home("~/.cache"), "huggingface")
    file = at_home(environment.get("HF_TOKEN_PATH") or Path(home, "token"))
    text = _small_file(file)
    return _bearer(text, endpoint, str(file)) if text else Secret()


def ngc_key(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """The key for NGC and where it was found; both "" where there is none. Raises DownloadError for one that is none."""
    for name in ("NGC_CLI_API_KEY", "NGC_API_KEY"):
        if text := environment.get(name, "").strip():
            return _printable(text, name), name
    file = Path(at_home(environment.get("NGC_CLI_HOME") or "~"), ".ngc", "config")
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_small_file(file))
    except configparser.Error:
        return "", ""
    text = parser.get("CURRENT", "apikey", fallback="").strip()
    return (_printable(text, str(file)), str(file)) if text and text != "no-apikey" else ("", "")


def ngc_secret(asker: httpx2.Client, api: str, auth: str, org: str, team: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """What NGC wants to see: a key of the new kind itself, and for one of the old kind a token that its other server gives for it.

    Raises DownloadError.
    """
    key, said_by = ngc_key(environment)
    if not key or key.startswith("nvapi-"):
        return Secret(f"Bearer {key}", origin(api), said_by) if key else Secret()
    basic = base64.b64encode(f"$oauthtoken:{key}".encode()).decode()
    scope = "".join(f"&scope=group/ngc:{each}" for each in (org, f"{org}/{team}" if team else "") if each)
    place = Place("a token for your key", _NGC_KEYS, "ngc", Secret(f"Basic {basic}", origin(auth), said_by))
    token = member(get_json(asker, f"{auth}/token?service=ngc{scope}", place), str, "token") or ""
    if not _SECRET.fullmatch(token):
        raise DownloadError(f"{host(auth)} gave no token for the key of {said_by}.", f"Make another key: {_NGC_KEYS}")
    return Secret(f"Bearer {token}", origin(api), said_by)


def _bearer(text: str, endpoint: str, said_by: str) -> Secret:
    return Secret(f"Bearer {_printable(text, said_by)}", origin(endpoint), said_by)


def _printable(text: str, said_by: str) -> str:
    if not _SECRET.fullmatch(text):
        raise DownloadError(f"{sanitize(said_by, strict=True)} holds no key: it has blanks or letters that no key has.", "Write it anew.")
    return text


def _small_file(file: Path) -> str:
    try:
        return read_regular(file, _MOST_SECRET).decode("utf-8", "replace").strip()
    except OSError:
        return ""  # not signed in

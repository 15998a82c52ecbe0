"""One file from a server, whole and right or not there: over as many connections as it takes, each going on where the last one ended.

What has come lies in ``NAME.part`` with ``NAME.part.json`` beside it, which says of which file it is. It becomes NAME when all of it is
there, its checksum is what was promised and it is what its name says. So it stays after a crash, a lost network and a full disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import DownloadError, ModelFileError
from nemochat.files import make_folder, open_to_append, put, reason, write_whole
from nemochat.models import gguf, web
from nemochat.models.web import Place, RefusedError
from nemochat.numbers import size_text
from nemochat.reading import listed, member, open_regular, read_regular
from nemochat.system.disk import REPLACES_OPEN_FILES
from nemochat.system.locks import lock

if TYPE_CHECKING:
    import httpx2

PART = ".part"
_PIECE = 1 << 20
_MOMENT = 0.25
"""Seconds after which what has come goes to the disk, however little it is."""
_WAITING = 4
"""Pieces that may wait for the disk."""
_TRIES = 6
"""Connections in a row that may fail without a byte: more than a minute, by the pauses between them."""
_FIRST_TRIES = 2
"""The same before the server has ever answered: a name that is not known will not be known in a minute."""
FIRST_PAUSE = 0.25
"""Seconds before the second connection; each further pause is four times as long."""
_LONGEST_PAUSE = 60.0
_MOST_RECORD = 1 << 16
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,512}"')

Report = Callable[["Step"], None]
"""Is told how far it is, often."""
Stopped = Callable[[], bool]
"""Whether it is to stop: what has come stays."""


class StoppedError(DownloadError):
    """The user has stopped it."""


class Remote(msgspec.Struct, frozen=True):
    """A file that a server has. path: its name there, with its folders. size: in bytes, None when it is not known. sha256: in hexadecimal,
    "" when it is not known."""

    path: str
    url: str
    size: int | None = None
    sha256: str = ""


class Step(msgspec.Struct, frozen=True):
    """How far a file is. total: None when it is not known. words: what is done, "" for loading."""

    name: str
    done: int
    total: int | None
    words: str = ""


class _Record(msgspec.Struct, frozen=True):
    """Of which file a part is. etag: the strong one of the server that sent it, "" where it has none."""

    path: str
    size: int | None
    sha256: str
    etag: str = ""


class _BrokeOffError(Exception):
    """The connection ended before the file did, or the server wants us to wait (`seconds`)."""

    def __init__(self, error: DownloadError, seconds: float = 0.0) -> None:
        super().__init__(error.message)
        self.error, self.seconds = error, seconds


def part_of(target: Path) -> Path:
    """Where what has come of a file lies."""
    return target.with_name(target.name + PART)


def fetch(asker: httpx2.Client, remote: Remote, target: Path, place: Place, report: Report, stopped: Stopped = lambda: False) -> None:
    """Bring a file to `target`, going on with what is there of it. A file that is there already and right is left as it is.

    Raises DownloadError; `target` is then as it was, and what has come is kept where it can be used.
    """
    try:
        make_folder(target.parent)
        if _is_there(remote, target, report, stopped):
            return
        handle = open_to_append(part_of(target))
    except OSError as error:
        raise disk_error(error, target) from None
    try:
        if not lock(handle) or not _is_named(handle, part_of(target)):
            raise DownloadError(f"Another nemochat is downloading {_shown(remote.path)} already.", "Wait for it, or stop it.")
        _Part(asker, remote, target, place, report, stopped, handle).complete()
        if REPLACES_OPEN_FILES:
            _put(target)
    except OSError as error:
        raise disk_error(error, target) from None
    finally:
        os.close(handle)
    if not REPLACES_OPEN_FILES:
        _put(target)


def discard(target: Path) -> None:
    """Throw away what has come of a file. Raises OSError."""
    for path in (part_of(target), _record_of(target)):
        path.unlink(missing_ok=True)


class _Part:
    """A file on its way. `have` is what is on the disk of it, `digest` the checksum of just that."""

    def __init__(
        self, asker: httpx2.Client, remote: Remote, target: Path, place: Place, report: Report, stopped: Stopped, handle: int
    ) -> None:
        self._asker, self._remote, self._target, self._place = asker, remote, target, place
        self._report, self._stopped, self._handle = report, stopped, handle
        self._name = remote.path.rpartition("/")[2]
        self._total, self._sha256 = remote.size, remote.sha256
        self._digest = hashlib.sha256()
        self._have = os.fstat(handle).st_size
        self._etag = ""
        self._is_resumed = self._have > 0
        self._is_broken = False

    def complete(self) -> None:
        """All of it, checked and on the disk. Raises DownloadError, and OSError for the disk."""
        self._go_on()
        self._load()
        if self._sha256 and self._digest.hexdigest() != self._sha256 and self._is_resumed:
            self._restart()  # what was there from before may have been damaged by a crash
            self._load()
        self._check()
        os.fsync(self._handle)

    def _go_on(self) -> None:
        """Take what is there where it is of this very file, else begin anew."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            record = msgspec.json.decode(read_regular(_record_of(self._target), _MOST_RECORD), type=_Record)
            is_same = (record.path, record.sha256) == (self._remote.path, self._remote.sha256) and self._total in (None, record.size)
            fits = record.size is None or self._have <= record.size
            if is_same and fits and (record.sha256 or record.etag):
                self._etag, self._total = record.etag, record.size
                if self._sha256:
                    for piece in _pieces(part_of(self._target), self._stopped):
                        self._digest.update(piece)
                        self._tell("checking what is there")
                return
        self._restart()

    def _restart(self) -> None:
        os.ftruncate(self._handle, 0)
        self._have, self._digest, self._etag, self._is_resumed = 0, hashlib.sha256(), "", False
        self._total, self._sha256 = self._remote.size, self._remote.sha256

    def _load(self) -> None:
        """Connect as often as it takes."""
        failures, has_answered = 0, False
        while self._total is None or self._have < self._total or not self._have:
            before = self._have
            try:
                self._connect()
                return
            except _BrokeOffError as broken:
                failures = 1 if self._have > before else failures + 1
                has_answered = has_answered or self._have > before or isinstance(broken.error, RefusedError)
                if failures >= (_TRIES if has_answered else _FIRST_TRIES):
                    kept = f"{size_text(self._have)} have come and are kept: run the same again to go on." if self._have else ""
                    raise DownloadError(broken.error.message, kept or broken.error.hint) from None
                self._pause(min(max(broken.seconds, FIRST_PAUSE * 4.0 ** (failures - 1)), _LONGEST_PAUSE))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._tell("waiting for the network")
            time.sleep(min(left, 0.2))

    def _connect(self) -> None:
        """One connection, as far as it goes. Raises _BrokeOffError for what may be better next time."""
        import httpcore2
        import httpx2

        if self._have and not (self._etag or self._sha256):
            self._restart()  # nothing would say whether the rest is of the same file
        headers = {"Range": f"bytes={self._have}-"} if self._have else {}
        if self._have and self._etag:
            headers["If-Range"] = self._etag
        url = self._remote.url
        try:
            if self._place.service == "ngc":
                url = self._looked_up(url)
            with web.opened(self._asker, url, self._place, headers) as (answer, linked):
                url = str(answer.url)
                self._answered(answer, linked, url)
                self._write(answer)
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpcore2.TimeoutException, httpcore2.NetworkError) as error:
            raise _BrokeOffError(web.unreachable(url, error)) from None
        if self._total is not None and self._have < self._total:
            raise _BrokeOffError(DownloadError(f"{web.host(url)} broke off."))

    def _looked_up(self, url: str) -> str:
        """Where the file itself is: NGC answers with its address, which is good for a while only, or leads there."""
        with web.opened(self._asker, url, self._place) as (answer, _):
            self._refuse(answer, url)
            if not answer.headers.get("content-type", "").lower().startswith("application/json"):
                return url
        said = web.get_json(self._asker, url, self._place)
        urls = listed(said, "urls")
        found = urls[0] if urls else member(said, str, "url")
        if not isinstance(found, str):
            raise DownloadError(f"{web.host(url)} does not say where {_shown(self._name)} is.", f"Look at {self._place.page}.")
        web.checked(found)
        return found

    def _refuse(self, answer: httpx2.Response, url: str) -> None:
        """Raise for a status that is no success; _BrokeOffError for one that may be another in a while."""
        if answer.status_code in web.AGAIN:
            refusal = web.refused(answer, url, self._place)
            raise _BrokeOffError(refusal, refusal.wait)
        if answer.status_code not in (200, 206):
            raise web.refused(answer, url, self._place)

    def _answered(self, answer: httpx2.Response, linked: Mapping[str, str], url: str) -> None:
        """Look at what the server says before a byte of it is taken."""
        status, said = answer.status_code, answer.headers
        where = web.host(url)
        if status == 416 and self._have:
            if said.get("content-range", "").strip() == f"bytes */{self._have}" and self._total is None:
                self._total = self._have
            else:
                self._restart()
            raise _BrokeOffError(DownloadError(f"{where} has another file than before."))
        self._refuse(answer, url)
        if said.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise DownloadError(f"{where} packs {_shown(self._name)}, which was not asked for.")
        if said.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
            raise _web_page(where, self._place)
        size = self._begins(answer, where) if status == 206 else _length(said.get("content-length", ""))
        etag = said.get("etag", "").strip()
        etag = etag if _ETAG.fullmatch(etag) else ""  # a weak one says nothing of bytes
        if status == 200 and self._have:
            self._restart()  # the server knows no ranges, or has another file now
        if self._have and self._etag != etag and not self._sha256:
            self._restart()
            raise _BrokeOffError(DownloadError(f"{where} has another file than before."))
        promised = linked.get("x-linked-etag", "").strip('"').lower()
        if _SHA256.fullmatch(promised):
            if self._sha256 and promised != self._sha256:
                raise self._changed(where)
            self._sha256 = self._sha256 or ("" if self._have else promised)
        if size is not None and self._total not in (None, size):
            if self._remote.size is not None:
                raise self._changed(where)
            self._restart()
            raise _BrokeOffError(DownloadError(f"{where} has another file than before."))
        self._total, self._etag = size if self._total is None else self._total, etag
        record = _Record(self._remote.path, self._total, self._remote.sha256, etag)
        write_whole(_record_of(self._target), msgspec.json.encode(record))

    def _begins(self, answer: httpx2.Response, where: str) -> int | None:
        """The size of the file of which a range came. Raises _BrokeOffError unless it begins where the part ends."""
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if found is None or int(found[1]) != self._have:
            self._restart()
            raise _BrokeOffError(DownloadError(f"{where} sent another piece of the file than it was asked for."))
        return None if found[3] == "*" else int(found[3])

    def _changed(self, where: str) -> DownloadError:
        with contextlib.suppress(OSError):
            discard(self._target)
        hint = "What had come is thrown away: run the same again to get the file that is there now."
        return DownloadError(f"{_shown(self._name)} at {where} is not the file any more that was promised.", hint)

    def _write(self, answer: httpx2.Response) -> None:
        """What comes goes to the disk and into the checksum in a thread of its own; at most a few pieces wait for it."""
        with ThreadPoolExecutor(1, thread_name_prefix="download") as disk:
            waiting: list[Future[None]] = []
            pieces: list[bytes] = []
            gathered, begins, last = 0, self._have == 0, time.monotonic()
            try:
                for raw in _body(answer):
                    if begins:
                        self._look_at(raw, answer)
                        begins = False
                    pieces.append(raw)
                    gathered += len(raw)
                    if self._total is not None and self._have + gathered > self._total:
                        raise DownloadError(f"{web.host(str(answer.url))} sends more than the file has.")
                    if gathered >= _PIECE or time.monotonic() - last >= _MOMENT:
                        last = time.monotonic()
                        waiting.append(disk.submit(self._keep, b"".join(pieces)))
                        self._have, gathered = self._have + gathered, 0
                        pieces.clear()
                        if len(waiting) >= _WAITING:
                            waiting.pop(0).result()
                        self._tell()
            finally:
                # What has come is kept, whatever ended it.
                if pieces:
                    waiting.append(disk.submit(self._keep, b"".join(pieces)))
                for each in waiting:
                    each.result()
                self._have = os.fstat(self._handle).st_size
        self._tell()

    def _keep(self, piece: bytes) -> None:
        """In the disk's thread. Behind a piece that could not be written whole nothing is: a part has no holes."""
        view = memoryview(piece)
        while view and not self._is_broken:
            try:
                written = os.write(self._handle, view)
            except OSError:
                self._is_broken = True
                raise
            if self._sha256:
                self._digest.update(view[:written])
            view = view[written:]

    def _look_at(self, first: bytes, answer: httpx2.Response) -> None:
        """A page to sign in that is sent as if it were the file."""
        if first.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
            raise _web_page(web.host(str(answer.url)), self._place)

    def _check(self) -> None:
        """Raises DownloadError, and throws away what came, unless it is the file."""
        name = _shown(self._name)
        self._tell("checking")
        problem = ""
        if self._total is not None and self._have != self._total:
            problem = f"{name} has {self._have:,} bytes, and {self._total:,} were promised"
        elif self._sha256 and self._digest.hexdigest() != self._sha256:
            problem = f"{name} came damaged, or is another file than was promised: its checksum is not the one of {self._place.what}"
        elif self._name.lower().endswith(".gguf"):
            try:
                gguf.read(part_of(self._target))
            except ModelFileError as error:
                problem = f"What came as {name} is no whole model file: {error.message.rstrip('.')}"
        if problem:
            discard(self._target)
            raise DownloadError(f"{problem}.", "It is thrown away. Try again; if that does not help, get it from somewhere else.")

    def _tell(self, words: str = "") -> None:
        if self._stopped():
            raise StoppedError(f"{_shown(self._name)} is stopped.", f"{size_text(self._have)} have come and are kept.")
        self._report(Step(self._name, self._have, self._total, words))


def _body(answer: httpx2.Response) -> Iterator[bytes]:
    """What comes, in pieces as large as the network gives them.

    httpx2 takes 64 KiB at a time through its parser, which costs more than all the rest. A body of a known length needs none: behind the
    piece that came with the head it is read from the connection itself, which is then used for nothing else.
    """
    pieces, left = answer.iter_raw(), _length(answer.headers.get("content-length", ""))
    stream = answer.extensions.get("network_stream")
    if stream is None or left is None or "transfer-encoding" in answer.headers or answer.http_version != "HTTP/1.1":
        yield from pieces
        return
    piece = next(pieces, b"")
    while piece:
        yield piece
        left -= len(piece)
        piece = stream.read(min(left, _PIECE), timeout=web.READ_SECONDS) if left > 0 else b""


def _is_named(handle: int, path: Path) -> bool:
    """Whether the open file still has this name: another program may have finished it and put it in its place."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _put(target: Path) -> None:
    put(part_of(target), target)
    _record_of(target).unlink(missing_ok=True)


def _is_there(remote: Remote, target: Path, report: Report, stopped: Stopped) -> bool:
    """Whether the file has come before, as its size and its checksum say; without one, its own header has to fit its size."""
    try:
        size = target.lstat().st_size
    except FileNotFoundError:
        return False
    if (remote.size is None and not remote.sha256) or remote.size not in (None, size):
        return False
    if not remote.sha256:
        return True
    digest, done = hashlib.sha256(), 0
    for piece in _pieces(target, stopped):
        digest.update(piece)
        done += len(piece)
        report(Step(target.name, done, size, "checking what is there"))
    return digest.hexdigest() == remote.sha256


def _pieces(path: Path, stopped: Stopped) -> Iterator[bytes]:
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            if stopped():
                raise StoppedError(f"{_shown(path.name)} is stopped.", "What has come is kept.")
            yield piece


def _record_of(target: Path) -> Path:
    return target.with_name(f"{target.name}{PART}.json")


def _length(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text.strip()) else None


def _web_page(where: str, place: Place) -> DownloadError:
    hint = f"A proxy or a page to sign in may stand in between: open {place.page} in a browser."
    return DownloadError(f"{where} sent a web page in place of the file.", hint)


def disk_error(error: OSError, target: Path) -> DownloadError:
    """The sentence for a file that could not be written."""
    folder = sanitize(str(target.parent), strict=True)
    if error.errno in _FULL:
        return DownloadError(f"The disk of {folder} is full ({reason(error)}).", "Make room and run the same again: what has come is kept.")
    return DownloadError(f"{_shown(target.name)} cannot be written into {folder} ({reason(error)}).", "Check its permissions.")


def _shown(name: str) -> str:
    return sanitize(name, strict=True)[:120]

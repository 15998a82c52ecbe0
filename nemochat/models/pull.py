"""Getting a model: which files, whether there is room for them, all of them brought or unpacked, checked, and added to the catalogue."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import DownloadError, ModelFileError
from nemochat.files import make_folder, open_to_append, put, reason, write_whole
from nemochat.models import gguf, web
from nemochat.models.catalogue import Catalogue, Entry, Origin
from nemochat.models.download import Remote, Step, Stopped, StoppedError, discard, disk_error, fetch, part_of
from nemochat.models.elsewhere import in_hub_cache
from nemochat.models.known import About, about, find_known
from nemochat.models.naming import choose_model, models_among, parts, projector_for
from nemochat.models.sources import Offer, Source, look, read_source, safe_path
from nemochat.models.web import Place
from nemochat.numbers import duration, size_text
from nemochat.paths import at_home
from nemochat.reading import listed, read_regular
from nemochat.zips import Zip, ZipError

_SPARE = 64 << 20
"""Bytes that are left free on a disk."""
_MOST_WISH = 1 << 16
_MOST_UNFINISHED = 50
_OVER = 0.6e9
"""What a model takes in memory beside its files, about: the window and working buffers of a small one."""
_PIECE = 1 << 20


class Wish(msgspec.Struct, frozen=True):
    """What the user wants: a source as typed, and which of its models, "" where nothing was said. name: what to call it."""

    source: str
    quant: str = ""
    file: str = ""
    name: str = ""

    @property
    def typed(self) -> str:
        """What is typed behind ``nemochat models pull`` for it."""
        options = {"--quant": self.quant, "--file": self.file, "--name": self.name}
        return shlex.join([self.source, *(word for option, value in options.items() if value for word in (option, value))])


class Plan(msgspec.Struct, frozen=True):
    """What will be done for a wish. files: in the order in which they come, of an archive the archive. model, projector: their paths at the
    source, "" and None until an archive is open. there: where all files lie already. archive: a local one."""

    wish: Wish
    offer: Offer
    files: tuple[Remote, ...]
    model: str = ""
    projector: str | None = None
    there: tuple[Path, ...] = ()
    archive: Path | None = None

    @property
    def is_packed(self) -> bool:
        """Whether the model lies in an archive."""
        return not self.model

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where the server does not say."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def memory(self) -> int | None:
        """About how many bytes it will take when it is loaded; None where that is not known yet."""
        known = find_known(self.wish.source)
        if known is not None:
            return int(known.gigabytes * 1e9 + _OVER)
        return None if self.is_packed or self.size is None else int(self.size + _OVER)

    @property
    def about(self) -> About:
        """What is to be known before it is used."""
        return about(Path(self.model), self.offer.source.typed, self.offer.licence)


class Progress(msgspec.Struct, frozen=True):
    """How far a plan is, in bytes of all files. words: what is done where nothing is loaded. per_second: of late, 0 at first."""

    name: str
    done: int
    total: int | None
    words: str = ""
    per_second: float = 0.0

    def in_words(self) -> str:
        """``34 % of 2.7 GB, 12 MB/s, 2 min 5 s left``."""
        if self.words:
            return f"{self.words} {self._share()}".strip()
        pace = f", {size_text(self.per_second)}/s" if self.per_second else ""
        left = ""
        if self.per_second and self.total:
            left = f", {duration(1000 * max(0, self.total - self.done) / self.per_second)} left"
        return f"{self._share() or size_text(self.done)}{f' of {size_text(self.total)}' if self.total else ''}{pace}{left}"

    def _share(self) -> str:
        return f"{100 * self.done // self.total} %" if self.total else ""


class Puller:
    """Gets models into a folder of nemochat's own and into the catalogue. Everything here waits: call it in a thread."""

    def __init__(self, folder: Path, catalogue: Catalogue, environment: Mapping[str, str] = os.environ) -> None:
        self._folder, self._catalogue, self._environment = folder, catalogue, environment

    def plan(self, wish: Wish) -> Plan:
        """Ask what a wish means. Raises DownloadError and ModelFileError."""
        known = find_known(wish.source)
        quant = wish.quant or (known.quant if known is not None else "")
        path = at_home(wish.source)
        if known is None and "://" not in wish.source and path.is_file() and path.suffix.lower() == ".zip":
            return _plan_for_archive(wish, path.absolute())
        source = read_source(known.source if known is not None else wish.source)
        if source is None:
            hint = "Write owner/repository, ngc:org/model:version, an address that ends with .gguf, or the path of a .zip."
            raise DownloadError(f"This names no place where a model could come from: {sanitize(wish.source, strict=True)[:120]}", hint)
        source = msgspec.structs.replace(source, quant=quant or source.quant, file=wish.file or source.file)
        with web.client() as asker:
            offer = look(asker, source, self._environment)
        return self._chosen(wish, offer)

    def _chosen(self, wish: Wish, offer: Offer) -> Plan:
        by_path = {file.path: file for file in offer.files if _is_taken(file.path)}
        paths, source, what = list(by_path), offer.source, offer.place.what
        archives = [path for path in paths if path.lower().endswith(".zip")]
        if not models_among(paths) and len(archives) == 1 and not source.file:
            safe_path(archives[0])
            return Plan(wish, offer, (by_path[archives[0]],))
        model = choose_model(paths, source.quant, source.file, what)
        projector = projector_for(model, paths)
        chosen = [by_path[path] for path in (*parts(model, paths), *([projector] if projector else []))]
        for file in chosen:
            safe_path(file.path)
        there: list[Path] | None = None
        if source.kind == "hf":
            there = in_hub_cache(source.name, [(file.path, file.size, file.sha256) for file in chosen], self._environment)
        return Plan(wish, offer, tuple(chosen), model, projector, tuple(there or ()))

    def missing_room(self, plan: Plan) -> tuple[int, int] | None:
        """The bytes that are still needed on the disk and those that are free, where those are fewer; else None."""
        if plan.there:
            return None
        targets = [self._target(plan, file.path) for file in plan.files] if plan.archive is None else []
        needed = sum(file.size or 0 for file in plan.files) - sum(max(_size(target), _size(part_of(target))) for target in targets)
        free = _free(self._folder)
        return (needed, free) if needed > 0 and needed + _SPARE > free else None

    def pull(self, plan: Plan, report: Callable[[Progress], None], stopped: Stopped = lambda: False) -> Entry:
        """Bring all files and add the model; what was brought before is gone on with.

        Raises DownloadError and ModelFileError; nothing is added then, and what has come is kept.
        """
        if (room := self.missing_room(plan)) is not None:
            raise no_room(self._folder, *room)
        tell = _Meter(report, plan.size).tell
        if plan.there:
            return self._added(plan, plan.there[0], plan.there[-1] if plan.projector else None)
        noted = self._note(plan)
        if plan.archive is None:
            with web.client() as asker:
                for file in plan.files:
                    fetch(asker, file, self._target(plan, file.path), plan.offer.place, tell, stopped)
        if plan.is_packed:
            archive = plan.archive or self._target(plan, plan.files[0].path)
            source = plan.offer.source
            model, projector = unpack(archive, self._folder / plan.offer.folder, source.quant, source.file, report, stopped)
            entry = self._added(plan, model, projector)
            if plan.archive is None:
                archive.unlink(missing_ok=True)
        else:
            entry = self._added(plan, self._target(plan, plan.model), self._target(plan, plan.projector) if plan.projector else None)
        noted.unlink(missing_ok=True)
        return entry

    def unfinished(self) -> list[Wish]:
        """What was begun and has not come to its end, the newest first."""
        wishes = []
        with contextlib.suppress(OSError):
            notes = sorted(self._notes.glob("*.json"), key=lambda path: -path.lstat().st_mtime)
            for path in notes[:_MOST_UNFINISHED]:
                with contextlib.suppress(OSError, msgspec.MsgspecError):
                    wishes.append(msgspec.json.decode(read_regular(path, _MOST_WISH), type=Wish))
        return wishes

    def give_up(self, wish: Wish) -> None:
        """Throw away what has come of it. Raises DownloadError."""
        note = self._note_of(wish)
        try:
            said = msgspec.json.decode(read_regular(note, _MOST_WISH), type=dict[str, object])
            for each in listed(said, "parts"):
                target = (self._folder / str(each)).absolute()
                if target.is_relative_to(self._folder.absolute()) and ".." not in Path(str(each)).parts:
                    discard(target)
            note.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            raise DownloadError(f"What has come cannot be thrown away: {sanitize(str(error), strict=True)}.") from None

    @property
    def _notes(self) -> Path:
        return self._folder / "unfinished"

    def _note_of(self, wish: Wish) -> Path:
        return self._notes / f"{hashlib.sha256(msgspec.json.encode(wish)).hexdigest()[:16]}.json"

    def _note(self, plan: Plan) -> Path:
        """Remember what was begun, and which files it has."""
        note = self._note_of(plan.wish)
        files = [self._target(plan, file.path).relative_to(self._folder).as_posix() for file in plan.files] if plan.archive is None else []
        try:
            write_whole(note, msgspec.json.encode({**msgspec.structs.asdict(plan.wish), "parts": files}))
        except OSError as error:
            raise disk_error(error, note) from None
        return note

    def _target(self, plan: Plan, path: str) -> Path:
        return self._folder.joinpath(plan.offer.folder, safe_path(path))

    def _added(self, plan: Plan, model: Path, projector: Path | None) -> Entry:
        known = find_known(plan.wish.source)
        source = plan.offer.source.typed if plan.archive is None else ""
        origin = Origin(source, plan.about.licence, is_ours=not plan.there)
        return self._catalogue.add(model, projector, plan.wish.name or (known.name if known is not None else None), origin)


def unpack(
    archive: Path, folder: Path, quant: str, file: str, report: Callable[[Progress], None], stopped: Stopped
) -> tuple[Path, Path | None]:
    """The model of an archive, with its parts and its projector, below `folder`: each whole and right or not there.

    Raises DownloadError.
    """
    name = sanitize(archive.name, strict=True)
    try:
        with archive.open("rb") as opened, Zip(opened) as packed:
            names = [each for each in packed.names if _is_taken(each)]
            model = choose_model(names, quant, file, name)
            projector = projector_for(model, names)
            wanted = [*parts(model, names), *([projector] if projector else [])]
            meter = _Meter(report, sum(packed.size(each) for each in wanted))
            needed = sum(packed.size(each) - _size(folder / safe_path(each)) for each in wanted)
            if needed > 0 and needed + _SPARE > (free := _free(folder)):
                raise no_room(folder, needed, free)
            for each in wanted:
                _unpack_one(packed, each, folder / safe_path(each), meter, stopped)
    except ZipError as error:
        raise DownloadError(f"{name} {error}.", "Download it again.") from None
    except OSError as error:
        raise disk_error(error, archive) from None
    return folder / safe_path(model), folder / safe_path(projector) if projector else None


def _unpack_one(packed: Zip, name: str, target: Path, meter: _Meter, stopped: Stopped) -> None:
    make_folder(target.parent)
    if _size(target) == packed.size(name):
        return  # it was unpacked, and is never there unless whole
    handle = open_to_append(part_of(target))
    try:
        os.ftruncate(handle, 0)
        done = 0
        for piece in packed.pieces(name):
            if stopped():
                raise StoppedError("The unpacking is stopped.")
            view = memoryview(piece)
            while view:
                view = view[os.write(handle, view) :]
            done += len(piece)
            meter.tell(Step(target.name, done, packed.size(name), "unpacking"))
        os.fsync(handle)
    except BaseException:
        discard(target)
        raise
    finally:
        os.close(handle)
    try:
        gguf.read(part_of(target))
    except ModelFileError as error:
        discard(target)
        raise DownloadError(error.message, error.hint) from None
    put(part_of(target), target)


def remove_files(entry: Entry, others: tuple[Entry, ...], folder: Path) -> int:
    """Delete the files that were downloaded for a model and that no other one needs; the bytes that are free now. Raises OSError."""
    from nemochat.reading import all_parts

    def files(each: Entry) -> list[Path]:
        return [*all_parts(Path(each.model_path)), *([Path(each.mmproj_path)] if each.mmproj_path else [])]

    kept = {path for other in others for path in files(other)}
    freed = 0
    for path in files(entry):
        if entry.origin.is_ours and path not in kept and path.is_relative_to(folder):
            freed += _size(path)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else is in it
                for above in path.parents:
                    if above == folder:
                        break
                    above.rmdir()
    return freed


def no_room(folder: Path, needed: int, free: int) -> DownloadError:
    """The sentence for a disk that is too small."""
    where = sanitize(str(folder), strict=True)
    message = f"There is no room for it: {size_text(needed)} are needed and {size_text(free)} are free in {where}."
    return DownloadError(message, "Make room, choose a smaller quantisation, or let NEMOCHAT_DATA_DIR name a folder on another disk.")


class _Meter:
    """Sums the files up, and measures how quick it is."""

    def __init__(self, report: Callable[[Progress], None], total: int | None) -> None:
        self._report, self._total = report, total
        self._name, self._last, self._before = "", 0, 0
        self._marks: list[tuple[float, int]] = []

    def tell(self, step: Step) -> None:
        """Add up."""
        if step.name != self._name:
            self._name, self._before = step.name, self._before + self._last
        self._last = step.total or step.done
        done, now = self._before + step.done, time.monotonic()
        if step.words:
            self._marks.clear()
        self._marks = [mark for mark in self._marks[-400:] if now - mark[0] < 5.0 and mark[1] <= done]
        self._marks.append((now, done))
        elapsed = now - self._marks[0][0]
        pace = (done - self._marks[0][1]) / elapsed if elapsed > 0.5 else 0.0
        total = self._total or (step.total if self._before == 0 else None)
        self._report(Progress(step.name, done, total, step.words, pace))


def _plan_for_archive(wish: Wish, path: Path) -> Plan:
    name = PurePosixPath(path.name)
    place = Place(sanitize(path.name, strict=True), "https://catalog.ngc.nvidia.com")
    source = Source("file", str(path), quant=wish.quant, file=wish.file)
    folder = PurePosixPath("zip", safe_path(name.stem))
    return Plan(wish, Offer(source, (), place, folder), (), archive=path)


def _is_taken(path: str) -> bool:
    """Whether a file may be one of a model; the others' names need not be looked at."""
    return path.lower().endswith((".gguf", ".zip"))


def _free(folder: Path) -> int:
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    try:
        return shutil.disk_usage(at).free
    except OSError as error:
        raise DownloadError(f"The disk of {sanitize(str(at), strict=True)} cannot be looked at ({reason(error)}).") from None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0

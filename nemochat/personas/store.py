"""Personas on the disk: the user's own in a folder each, and the built-in ones, which are never written to.

``FOLDER/ID/persona.toml`` with ``avatar.png`` beside it, and for a card of version 3 ``original.card``,
the file that it came from; ``FOLDER/deleted/`` for what can still be brought back; ``FOLDER/profiles.toml``.
A persona of the user with the id of a built-in one stands in its place: that is what editing a built-in one makes, and deleting the copy
brings the original back.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError, UsageError
from nemochat.files import make_folder, make_new_folder, write_whole
from nemochat.personas import avatars, files, profiles
from nemochat.personas.cards import Spec, read_card, write_charx, write_json, write_png
from nemochat.personas.cleaning import clean
from nemochat.personas.files import MAX_FILE, MAX_TOML, Unreadable
from nemochat.personas.index import Index, PersonaSummary, load_toml
from nemochat.personas.profiles import Profiles
from nemochat.personas.toml_text import read_toml, write_toml
from nemochat.system import disk

PRESETS = Path(__file__).parent / "presets"
SUFFIXES = (".toml", ".json", ".png", ".charx")
"""How the name of an exported persona ends."""

_TOML, _AVATAR, _ORIGINAL, _DELETED = "persona.toml", "avatar.png", "original.card", "deleted"
_RESERVED = {_DELETED, "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_NOT_IN_ID = re.compile(r"[^a-z0-9]+")
_COPY = re.compile(r" \(copy(?: \d+)?\)$")


class ReadPersona(msgspec.Struct, frozen=True):
    """A persona out of a file, which is not kept yet. avatar: its portrait as a PNG. notices: sentences about what the file had besides.
    original: the whole file, of a card of version 3."""

    persona: Persona
    avatar: bytes | None = None
    notices: tuple[str, ...] = ()
    original: bytes | None = None


class Same(msgspec.Struct, frozen=True):
    """A persona of the user's own that has the name of another one. is_equal: everything else of it is the same, too."""

    id: str
    is_equal: bool


class PersonaStore:
    """The personas in a folder, which need not exist yet, and those in `presets`.

    notices: sentences about what the last call could not use: a broken file in `list`, what a card held besides in `import_file`.
    """

    def __init__(self, folder: Path, presets: Path = PRESETS) -> None:
        self._folder = folder
        self._presets = presets
        self._index = Index(folder / ".index.json")
        self._changing = threading.Lock()
        self.notices: tuple[str, ...] = ()

    def list(self) -> tuple[PersonaSummary, ...]:
        """All personas by name. One that cannot be read is left out and named in `notices`."""
        found: dict[str, PersonaSummary] = {}
        problems = []
        try:
            for id_, path, is_builtin in self._files():
                try:
                    found[id_] = self._index.summary(path, id_, is_builtin=is_builtin)
                except NemochatError as error:
                    problems.append(error.message)
        except OSError as error:
            problems.append(f"The personas in {shown(self._folder)} cannot be listed ({error.strerror or error}).")
        self._index.keep()
        self.notices = tuple(problems)
        return tuple(sorted(found.values(), key=lambda each: (each.name.casefold(), each.id)))

    def load(self, id_: str) -> tuple[Persona, bytes | None]:
        """A persona and its portrait (a PNG). Raises NemochatError."""
        path, avatar = self._place(id_)
        persona = load_toml(path)
        try:
            return persona, avatars.as_png(files.read(avatar, MAX_FILE)) if os.path.lexists(avatar) else None
        except NemochatError:
            return persona, None

    def save(self, persona: Persona, id_: str | None = None, avatar: bytes | None = None, original: bytes | None = None) -> str:
        """Keep a persona, and give its id. Without `id_` it is a new one. With the id of a built-in one the user gets a copy in its place.

        avatar: a picture; None leaves the one that is there, b"" takes it away. original: the card that it comes from.

        Raises NemochatError; the persona is then as it was.
        """
        try:
            persona = clean(persona)
        except Unreadable as problem:
            raise NemochatError(f"The persona cannot be saved: {problem}.") from None
        text = write_toml(persona).encode()
        if len(text) > MAX_TOML:
            raise NemochatError(f"The persona cannot be saved: it is larger than {MAX_TOML // 1024 // 1024} MiB.")
        picture = self._picture(id_, avatar)
        with files.saving(f"The persona {persona.name}"):
            if id_ is None:
                id_ = self._new_folder(slug(persona.name))
            else:
                self._place(id_)
            make_folder(self._folder)
            folder = self._folder / id_
            if picture:
                write_whole(folder / _AVATAR, picture)
            if original is not None:
                write_whole(folder / _ORIGINAL, original)
            write_whole(folder / _TOML, text, by_hand=True)
            if picture == b"":
                (folder / _AVATAR).unlink(missing_ok=True)
        return id_

    def change_kept(self, persona: Persona, change: Callable[[Persona], Persona]) -> Persona | None:
        """Change the one that the persona of a chat is: the only one of its name, among several the one that says the same but for its
        memory and lorebooks; as it is then. None where there is none, or no telling which. Raises NemochatError.
        """
        with self._changing:
            found = [each.id for each in self.list() if each.name == persona.name]
            if len(found) > 1:
                found = [id_ for id_ in found if _bare(self.load(id_)[0]) == _bare(persona)]
            if len(found) != 1:
                return None
            changed = change(self.load(found[0])[0])
            self.save(changed, found[0])
            return changed

    def duplicate(self, id_: str) -> str:
        """A copy under another name; its id."""
        persona, avatar = self.load(id_)
        names = {summary.name for summary in self.list()}
        stem, number = _COPY.sub("", persona.name), 1
        while (name := f"{stem} (copy)" if number == 1 else f"{stem} (copy {number})") in names:
            number += 1
        named = msgspec.structs.replace(persona, name=name, nickname=persona.nickname or persona.name)
        return self.save(named, avatar=avatar, original=self._original(id_))

    def delete(self, id_: str) -> str:
        """Take a persona away; what is returned brings it back with `restore`. Raises NemochatError for a built-in one."""
        self._place(id_)
        source = self._folder / id_
        if not os.path.lexists(source / _TOML):
            raise UsageError("This persona comes with nemochat and cannot be deleted.", "It can be duplicated and edited.")
        with files.saving("The change"):
            make_folder(self._folder)
            make_folder(self._folder / _DELETED)
            number = 1
            while os.path.lexists(target := self._folder / _DELETED / f"{id_}~{number}"):
                number += 1
            disk.move(source, target)
        return target.name

    def restore(self, deleted: str) -> str:
        """Bring back what `delete` took away; its id, another one when that is taken by now."""
        source = self._folder / _DELETED / deleted
        if not is_plain(deleted) or not os.path.lexists(source / _TOML):
            raise NemochatError("This persona cannot be brought back: it is not among the deleted ones.")
        id_ = deleted.rpartition("~")[0] or deleted
        with files.saving("The change"):
            if os.path.lexists(self._folder / id_):
                id_ = self._new_folder(id_)
                (self._folder / id_).rmdir()
            disk.move(source, self._folder / id_)
        return id_

    def read(self, path: Path) -> ReadPersona:
        """The persona of a card file (PNG, APNG, JSON, charx) or of a TOML file. Raises NemochatError."""
        data = files.read(path, MAX_FILE)
        if path.suffix.lower() == ".toml":
            try:
                return ReadPersona(read_toml(data.decode(), path.name))
            except UnicodeDecodeError:
                raise NemochatError(f"{shown(path)} cannot be read as a persona: it is not UTF-8 text.") from None
        card = read_card(data, path.name)
        return ReadPersona(card.persona, card.avatar, card.notices, data if card.spec is Spec.V3 else None)

    def keep(self, read: ReadPersona) -> str:
        """Keep what was read; its id. Raises NemochatError."""
        id_ = self.save(read.persona, avatar=read.avatar, original=read.original)
        self.notices = read.notices
        return id_

    def import_file(self, path: Path) -> str:
        """Keep the persona of a file (see `read`), whether it is here or not; its id. Raises NemochatError."""
        return self.keep(self.read(path))

    def find_same(self, persona: Persona, among: Iterable[PersonaSummary] | None = None) -> Same | None:
        """The one of the user's own that has the name of this one, in the first place one that is equal; None where there is none.

        among: where to look, None for everywhere.
        """
        found: Same | None = None
        for each in self.list() if among is None else among:
            if each.is_builtin or each.name.casefold() != persona.name.casefold():
                continue
            with contextlib.suppress(NemochatError):
                known = self.load(each.id)[0]
                if msgspec.structs.replace(known, lorebooks=persona.lorebooks) == persona:
                    return Same(each.id, is_equal=True)
            found = found or Same(each.id, is_equal=False)
        return found

    def export(self, id_: str, path: Path) -> None:
        """Write a persona as TOML, as a JSON card (version 3 where it came as one, else 2), as a PNG card (versions 2 and 3) or as a charx
        (version 3, with the pictures of the one that it came from), by the suffix of `path`.

        Raises UsageError when the file exists already or has another suffix, NemochatError when it cannot be written.
        """
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            wanted = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            raise UsageError(f"{shown(path)}: the name of an exported persona ends with {wanted}.")
        persona, avatar = self.load(id_)
        original = self._original(id_)
        portrait = avatar or (avatars.plain(persona.accent) if suffix in (".png", ".charx") else b"")
        match suffix:
            case ".png":
                data = write_png(persona, portrait)
            case ".charx":
                data = write_charx(persona, portrait, original)
            case ".toml":
                data = write_toml(persona).encode()
            case _:
                data = write_json(persona, Spec.V2 if original is None else Spec.V3).encode()
        with files.saving(shown(path)):
            files.write_new(path, data)

    def _original(self, id_: str) -> bytes | None:
        """The card of version 3 that a persona came from; None when it came otherwise, or when that is gone."""
        path = self._folder / id_ / _ORIGINAL
        try:
            return files.read(path, MAX_FILE) if os.path.lexists(path) else None
        except NemochatError:
            return None

    def profiles(self) -> Profiles:
        """Who the user is. A broken file is kept under another name and named in `notices`."""
        found, notice = profiles.load(self._folder / "profiles.toml")
        self.notices = (notice,) if notice else ()
        return found

    def save_profiles(self, changed: Profiles) -> None:
        """Keep the user's profiles. Raises NemochatError."""
        profiles.save(self._folder / "profiles.toml", changed)

    # -- places

    def _files(self) -> Iterator[tuple[str, Path, bool]]:
        """Every persona's id and file, built-in ones first, so that the user's own take their places."""
        with contextlib.suppress(FileNotFoundError):
            for preset in sorted(self._presets.iterdir()):
                if preset.suffix == ".toml" and not os.path.lexists(self._folder / preset.stem / _TOML):
                    yield preset.stem, preset, True
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._folder) as entries:
            for entry in entries:
                file = Path(entry.path) / _TOML
                if entry.name != _DELETED and is_plain(entry.name) and entry.is_dir() and os.path.lexists(file):
                    yield entry.name, file, False

    def _place(self, id_: str) -> tuple[Path, Path]:
        """The file of a persona and the one of its portrait. Raises NemochatError for an id that nobody has."""
        if is_plain(id_) and id_ != _DELETED:
            own, preset = self._folder / id_ / _TOML, self._presets / f"{id_}.toml"
            if os.path.lexists(own):
                return own, own.with_name(_AVATAR)
            if os.path.lexists(preset):
                return preset, preset.with_suffix(".png")
        raise NemochatError(f"There is no persona “{sanitize(id_, strict=True)[:100]}”.", "`nemochat personas` lists them.")

    def _picture(self, id_: str | None, avatar: bytes | None) -> bytes | None:
        """The portrait to write; None leaves what is there, b"" takes it away. Raises NemochatError for one that is no picture."""
        if not avatar:
            if avatar is None and id_ is not None and not os.path.lexists(self._folder / id_ / _TOML):
                return self.load(id_)[1]  # the user's copy of a built-in one begins with its portrait
            return avatar
        picture = avatars.as_png(avatar)
        if picture is None:
            raise NemochatError("The portrait cannot be used as a picture.", "Choose a PNG, JPEG or WebP file.")
        return picture

    def _new_folder(self, wish: str) -> str:
        """Make an empty folder of a name that neither a persona nor a built-in one has. Raises OSError."""
        make_folder(self._folder)
        number = 1
        while True:
            id_ = wish if number == 1 else f"{wish}-{number}"
            number += 1
            if not os.path.lexists(self._presets / f"{id_}.toml"):
                with contextlib.suppress(FileExistsError):
                    make_new_folder(self._folder / id_)
                    return id_


def _bare(persona: Persona) -> Persona:
    return msgspec.structs.replace(persona, lorebooks=(), remembered=())


def slug(name: str, otherwise: str = "persona") -> str:
    """A name as an id: small Latin letters, digits and hyphens; `otherwise` where it has none of these."""
    latin = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    id_ = _NOT_IN_ID.sub("-", latin).strip("-")[:40].rstrip("-")
    return f"{id_ or otherwise}-1" if id_ in _RESERVED else id_ or otherwise


def is_plain(name: str) -> bool:
    """Whether a text is the name of one thing in a folder, and nothing hidden."""
    harmless = not name.startswith(".") and "/" not in name and "\\" not in name and sanitize(name, strict=True) == name
    return 0 < len(name) <= 200 and harmless

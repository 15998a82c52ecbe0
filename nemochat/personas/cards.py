"""Character cards of the community (versions 1 to 3) in PNG, APNG, JSON and charx files, read and written.

A ``.charx`` file is a zip with ``card.json`` at its root and pictures beside it. Nothing is ever unpacked to the disk: only two members are
read, the card and one portrait, each up to its limit; a member's name is only ever compared, never used as a path.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import PurePath
from typing import Self

import msgspec

from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.numbers import plural
from nemochat.personas import avatars, png_chunks
from nemochat.personas.card_json import Spec, from_fields, from_json, parse, to_json
from nemochat.personas.decorators import without_decorators
from nemochat.personas.files import MAX_AVATAR, MAX_FILE, MAX_JSON, Unreadable
from nemochat.personas.foreign_cards import from_foreign, from_yaml
from nemochat.reading import tables
from nemochat.zips import Zip, ZipError

_SCHEMES = ("embeded://", "embedded://")  # the specification spells it with one d
_MAX_DIRECTORY = 2 * 1024 * 1024
_END, _END_WITHIN = b"PK\x05\x06", 65_557


class Charx:
    """An open card file. Raises `Unreadable` for one that is no zip, or that is built to exhaust its reader."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = Zip(io.BytesIO(data), _MAX_DIRECTORY)
        except ZipError as error:
            raise Unreadable(f"its zip {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.__exit__()

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it besides the card; folders left out."""
        return tuple(name for name in self._zip.names if name != "card.json" and not name.endswith("/"))

    def card(self) -> bytes:
        """The card's JSON."""
        if not self._zip.holds("card.json"):
            raise Unreadable("it is a zip without a card.json at its root")
        try:
            return self._zip.read("card.json", MAX_JSON)
        except ZipError as error:
            raise Unreadable(f"card.json in it {error}") from None

    def asset(self, uri: str) -> bytes | None:
        """The file that an address such as ``embeded://assets/icon/main.png`` means; None when there is none, or when it leads outside."""
        name = member_name(uri)
        return None if name is None else self.member(name)

    def member(self, name: str) -> bytes | None:
        """A file of it by its name; None when there is none that can be read."""
        try:
            return self._zip.read(name, MAX_AVATAR)
        except ZipError:
            return None


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip of files by their names; pictures and sounds are packed already, so nothing is packed once more."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        for name, content in members.items():
            box.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def is_zip(data: bytes) -> bool:
    """Whether a file is a zip, perhaps with a picture before it, as some programs write charx files."""
    return data.startswith(b"PK\x03\x04") or (data.startswith(b"\xff\xd8\xff") and data.rfind(_END, max(0, len(data) - _END_WITHIN)) >= 0)


def member_name(uri: str) -> str | None:
    """The name within the zip that an address means; None for other addresses and for one that leads out of it."""
    scheme = next((scheme for scheme in _SCHEMES if uri.lower().startswith(scheme)), None)
    if scheme is None:
        return None
    name = uri[len(scheme) :]
    parts = name.split("/")
    return None if not name or "\\" in name or ":" in name or ".." in parts or parts[0] == "" else name


__all__ = ["Card", "Spec", "is_card", "read_card", "write_charx", "write_json", "write_png"]

_LOOK = 4096
_BEGINS_YAML = re.compile(r"\A(?:\s|#[^\n]*\n|---)*\"?(?:char_)?name\"?\s*:|^(?:context|greeting|char_persona)\s*:", re.MULTILINE)
_SAYS_V3 = re.compile(r'"spec"\s*:\s*"chara_card_v3"')
_HINT = "A character card is a PNG, JSON, charx or YAML file, as character sites and other chat programs write it."


class Card(msgspec.Struct, frozen=True):
    """What a card file brings: the persona, its portrait as a PNG, sentences about what has no meaning here, and its version."""

    persona: Persona
    avatar: bytes | None = None
    notices: tuple[str, ...] = ()
    spec: Spec = Spec.V2


def read_card(data: bytes, name: str) -> Card:
    """Read a card from the bytes of a file; `name` is the file's, for messages and for a card that names nobody.

    What the bytes are decides, not the suffix. Raises NemochatError with one sentence about what is wrong.
    """
    shown = sanitize(name, strict=True) or "The card"
    if len(data) > MAX_FILE:
        raise NemochatError(f"{shown} is larger than {MAX_FILE // 1024 // 1024} MiB.", "No character card needs as much.")
    fallback = sanitize(PurePath(name).stem, strict=True).strip()[:100] or "Persona"
    try:
        if data.startswith(png_chunks.SIGNATURE):
            return _from_png(data, fallback)
        if is_zip(data):
            return _from_charx(data, fallback)
        return _from_json_file(data, fallback)
    except Unreadable as problem:
        raise NemochatError(f"{shown} cannot be read as a character card: {problem}.", _HINT) from None


def is_card(data: bytes) -> bool:
    """Whether the bytes of a file look like a card, at little cost: a PNG that holds one, a charx, JSON that says so."""
    if data.startswith(png_chunks.SIGNATURE):
        try:
            return bool(png_chunks.card_values(data))
        except Unreadable:
            return False
    if is_zip(data):
        return b"card.json" in data
    start = data[:_LOOK].lstrip()
    return start.startswith(b"{") and (b'"chara_card_v' in start or (b'"first_mes"' in data and b'"mes_example"' in data))


def write_json(persona: Persona, spec: Spec = Spec.V2) -> str:
    """The persona as the JSON of a card."""
    return to_json(persona, spec) + "\n"


def write_png(persona: Persona, avatar_png: bytes) -> bytes:
    """The portrait with the card in it twice, as version 2 and as version 3, in place of any card that it held.

    Raises NemochatError when the portrait is no PNG.
    """
    if not avatar_png.startswith(png_chunks.SIGNATURE) or not png_chunks.is_picture(avatar_png):
        raise NemochatError("The portrait is no PNG picture.", "Choose another picture for this persona.")
    # Programs that know version 2 alone would show the decorators of lorebook entries to the model.
    v2, v3 = to_json(without_decorators(persona), Spec.V2, indent=None), to_json(persona, Spec.V3, indent=None)
    return png_chunks.with_texts(avatar_png, [("chara", base64.b64encode(v2.encode())), ("ccv3", base64.b64encode(v3.encode()))])


def write_charx(persona: Persona, avatar_png: bytes, original: bytes | None = None) -> bytes:
    """The persona as version 3 in a zip with its portrait, and with what else is in the charx that it came from (`original`)."""
    icon = "assets/icon/nemochat/main.png"
    others = [asset for asset in tables(persona.card, "assets") if (asset.get("type"), asset.get("name")) != ("icon", "main")]
    mine = {"type": "icon", "uri": f"embeded://{icon}", "name": "main", "ext": "png"}
    persona = msgspec.structs.replace(persona, card={**persona.card, "assets": [mine, *others]})
    members = {"card.json": to_json(persona, Spec.V3).encode(), icon: avatar_png}
    if original is not None and is_zip(original):
        with Charx(original) as box:
            named = {member_name(str(asset.get("uri", ""))) for asset in others}
            members = {**{name: content for name in box.names if name in named and (content := box.member(name)) is not None}, **members}
    return zipped(members)


def _from_png(data: bytes, fallback: str) -> Card:
    values = png_chunks.card_values(data)
    problem: Unreadable | None = None
    for keyword in png_chunks.KEYWORDS:
        value = values.get(keyword)
        if isinstance(value, bytes):
            try:
                text = from_base64(value)
                persona = from_json(text, fallback)
            except Unreadable as error:
                problem = problem or error
                continue
            avatar = avatars.as_png(data)
            notices = () if avatar else ("The picture of the card is broken and was left out.",)
            return Card(persona, avatar, notices, _spec(text))
        problem = problem or value
    if problem is None:
        cut = png_chunks.cut_off(data)
        problem = Unreadable("it is a picture without a card")
        if cut is not None:
            problem = Unreadable(f"it ends in the middle of a piece that claims {cut.length:,} bytes")
    raise problem


def _from_charx(data: bytes, fallback: str) -> Card:
    with Charx(data) as box:
        text = decoded(box.card())
        persona = from_json(text, fallback)
        avatar = None
        used = ""
        for uri in _icons(persona):
            content = box.asset(uri)
            avatar = avatars.as_png(content) if content is not None else avatars.from_data_uri(uri)
            if avatar is not None:
                used = uri
                break
        if avatar is None and not data.startswith(b"PK"):  # a picture with the zip behind it
            avatar = avatars.as_png(data[:MAX_AVATAR])
        left = len([name for name in box.names if name != member_name(used)])
    if member_name(used) is not None:
        persona = _with_own_icon(persona, used)
    said = f"{plural(left, 'more file')} in the card (pictures, sounds) will not be shown, but stay for exports as .charx."
    return Card(persona, avatar, (said,) if left else (), _spec(text))


def _from_json_file(data: bytes, fallback: str) -> Card:
    if not data.strip():
        raise Unreadable("it is empty")
    text = decoded(data)
    if text[:4096].lstrip("\0\ufeff \t\r\n").startswith(("{", "[")):
        root = parse(text)
    elif _BEGINS_YAML.search(text):
        root = from_yaml(text)
    else:
        raise Unreadable("it is neither a PNG picture nor JSON nor a charx file")
    foreign = from_foreign(root)
    persona, notices = (from_fields(root, fallback), ()) if foreign is None else (from_fields(foreign[0], fallback), foreign[1])
    found = (avatars.from_data_uri(uri) for uri in _icons(persona))
    return Card(persona, next((avatar for avatar in found if avatar is not None), None), notices, _spec(text))


def _spec(text: str) -> Spec:
    return Spec.V3 if _SAYS_V3.search(text) else Spec.V2


def _icons(persona: Persona) -> list[str]:
    """Addresses of the pictures that the card names as portraits, the main one first."""
    icons = [asset for asset in tables(persona.card, "assets") if asset.get("type") == "icon" and isinstance(asset.get("uri"), str)]
    return [str(asset["uri"]) for asset in sorted(icons, key=lambda asset: asset.get("name") != "main")][:16]


def _with_own_icon(persona: Persona, uri: str) -> Persona:
    """The portrait is kept beside the persona from now on: its address in the zip would lead nowhere."""
    assets = [
        {**asset, "uri": "ccdefault:"} if isinstance(asset, dict) and asset.get("uri") == uri else asset for asset in persona.card["assets"]
    ]
    return msgspec.structs.replace(persona, card={**persona.card, "assets": assets})


def from_base64(value: bytes) -> str:
    """The JSON in a chunk of a PNG. White space, padding and the letters of URLs do not matter; JSON that was never encoded is read too."""
    value = value.strip(b"\0 \t\r\n")
    if value.startswith((b"{", b"\xef\xbb\xbf{")):
        return decoded(value)
    compact = b"".join(value.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    if len(compact) % 4 == 1:
        raise Unreadable("the base64 of its card is broken")
    try:
        return decoded(base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise Unreadable("the base64 of its card is broken") from None


def decoded(data: bytes) -> str:
    """A JSON text of any Unicode encoding; single bytes that are none become U+FFFD."""
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")

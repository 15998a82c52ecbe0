"""Files on their way into the chat: dropped, pasted, chosen from a dialog or taken from the clipboard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from nemochat.chat.drops import Drop, DroppedFile, FileKind
from nemochat.chat.locations import file_kind, has_picture_suffix
from nemochat.chat.pictures import OpenedPicture, opened
from nemochat.desk.conversation import Around
from nemochat.desk.documents import Documents
from nemochat.desk.draft import Draft
from nemochat.desk.lore import Lorebooks
from nemochat.desk.moving import Moving
from nemochat.desk.port import Answer, AskOne, Complained, Port, Said, TextInserted
from nemochat.desk.roles import Roles
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import ImageError
from nemochat.images.clipboard import read_clipboard_picture
from nemochat.numbers import count, plural
from nemochat.reading import read_beginning, read_regular

MAX_CARD = 16_000_000
"""The largest file that is looked into for a character card, in bytes; larger ones are imported with /persona import."""
MAX_TEXT_FILE = 200_000
"""The longest text of a file that is put into the prompt, in bytes: more never fits the window."""
MAX_PAGES = 4
"""Pages of a PDF that are attached: each takes hundreds of tokens."""
MAX_PICTURES = 20
"""Pictures of a folder that are attached."""
_LOOKED_AT = 1000
_WHAT = "What do you want to do with it?"
_SVG_HINT = "The model cannot look at a drawing of this kind. To attach it, export it as PNG, which any browser or drawing program can do."
_PACKED = (".zip",)
_PDF_HEAD, _TEXT_HEAD = 1024, 4096
_DOCUMENT_SUFFIXES = (
    ".pdf", ".docx", ".docm", ".dotx", ".odt", ".ods", ".odp", ".rtf", ".xlsx", ".xlsm", ".eml", ".mbox", ".mht", ".ipynb", ".doc", ".xls",
    ".ppt", ".pptx", ".msg", ".epub",
)  # fmt: skip


class Dropping:
    """Takes what was dropped: pictures at once, in their order; what must be asked about one after the other, in theirs."""

    def __init__(
        self, port: Port, draft: Draft, documents: Documents, roles: Roles, lore: Lorebooks, moving: Moving, around: Around
    ) -> None:
        self._port, self._draft, self._documents, self._roles, self._lore, self._around = port, draft, documents, roles, lore, around
        self._moving = moving
        self._asking = asyncio.Lock()

    def take(self, drop: Drop) -> None:
        """All files of one drop."""
        for file in drop.files:
            if file.kind is FileKind.FOLDER:
                self._ask(self._offer_folder, file)
            elif _may_be_card(file.path):
                add = Answer("card", "Add it as a persona")
                self._ask(partial(self._offer_character, "a character card", add, self._roles.import_file), file)
            elif _may_be_lorebook(file.path):
                add = Answer("lore", "Add it to your lorebooks")
                self._ask(partial(self._offer_character, "a lorebook", add, self._lore.offer), file)
            elif file.path.suffix.lower() == ".svg":
                self._ask(self._offer_drawing, file)
            elif file.path.suffix.lower() in _PACKED:
                self._ask(self._offer_packed, file)
            elif file.kind is FileKind.TEXT and file.path.suffix.lower() not in _DOCUMENT_SUFFIXES:
                self._ask(self._offer_text, file)
            elif file.kind is not FileKind.PICTURE and (what := _document_kind(file.path)):
                self._ask(partial(self._offer_document, what), file)
            else:
                # Reading something that is no picture gives the sentence that says what it is.
                self._draft.add_source(str(file.path))
        for uri in drop.data_uris:
            self._draft.add_source(uri)
        self.complain(drop.missing)

    def complain(self, missing: Sequence[str]) -> None:
        """Say of each of these paths that there is no such file here."""
        for path in missing:
            hint = "Over SSH, paths dropped from your own computer are not visible here."
            self._port.tell(Complained(ImageError(f"There is no such file on this machine: {sanitize(path, strict=True)}", hint)))

    def _ask(self, offer: Callable[[DroppedFile], Awaitable[None]], file: DroppedFile) -> None:
        async def ask() -> None:
            async with self._asking:
                await offer(file)

        self._around.do(ask)

    async def _offer_character(self, what: str, add: Answer, take: Callable[[Path], Awaitable[None]], file: DroppedFile) -> None:
        """A card or a lorebook, which may be a picture as well. what: it is; add: what `take` does with it."""
        is_picture = file.kind is FileKind.PICTURE
        answers = (add, Answer("other", "Attach it as a picture" if is_picture else "Use it as a file"))
        answer = await self._port.ask(AskOne(f"{shown(Path(file.path.name))} is {what}", _WHAT, answers))
        if answer == add.value:
            await take(file.path)
        elif answer == "other" and is_picture:
            self._draft.add_source(str(file.path))
        elif answer == "other":
            await self._offer_text(file)

    async def _offer_text(self, file: DroppedFile) -> None:
        what = await asyncio.to_thread(_what_may_come, file.path)
        answers = (
            *((Answer("import", "Import it"),) if what else ()),
            Answer("document", "Search it"),
            Answer("text", "Insert its text"),
            Answer("path", "Insert its path"),
            Answer("no", "Cancel"),
        )
        conversation = self._around.conversation
        match await self._port.ask(AskOne(f"{file.path.name} is {what or 'a text file'}", _WHAT, answers)):
            case "import":
                await self._moving.take(file.path)
            case "document":
                await self._documents.add(conversation, file.path)
            case "path":
                self._port.tell(TextInserted(shown(file.path)))
            case "text":
                self._port.tell(TextInserted(await asyncio.to_thread(_text_of, file.path)))

    async def _offer_document(self, what: str, file: DroppedFile) -> None:
        pages = (Answer("pages", "Attach its pages"),) if what == "a PDF" else ()
        answers = (Answer("document", "Search it"), *pages, Answer("text", "Insert its text"), Answer("no", "Cancel"))
        conversation = self._around.conversation
        match await self._port.ask(AskOne(f"{shown(Path(file.path.name))} is {what}", _WHAT, answers)):
            case "document":
                await self._documents.add(conversation, file.path)
            case "pages":
                await self._attach_pages(file.path)
            case "text":
                text = await self._documents.text_of(file.path)
                if len(text.encode()) > MAX_TEXT_FILE:
                    message = f"The text of {shown(file.path)} is longer than {MAX_TEXT_FILE // 1000} KB: it does not fit the window."
                    raise ImageError(message, "Search it instead: then only what fits a question is put beside it.")
                self._port.tell(TextInserted(f"{shown(Path(file.path.name))}:\n{text.strip()}\n"))

    async def _attach_pages(self, path: Path) -> None:
        """Draw the first pages and attach them as pictures, in their order."""
        drawn = await self._documents.pages_of(path, MAX_PAGES)
        for number, page in enumerate(drawn.pages, 1):
            name = f"{path.name}, page {number}"
            self._draft.add(name, partial(opened, page, name))
        if drawn.total > len(drawn.pages):
            n_pages = f"{len(drawn.pages)} of {count(drawn.total)} pages"
            self._port.tell(Said(f"The first {n_pages} were attached: each takes room in the window."))

    async def _offer_folder(self, file: DroppedFile) -> None:
        pictures = await asyncio.to_thread(_pictures_in, file.path)
        attach = (Answer("pictures", f"Attach its {plural(len(pictures), 'picture')}"),) if pictures else ()
        may_come = await asyncio.to_thread(_may_bring, file.path)
        moves = (Answer("import", "Import its chats, characters and presets"),) if may_come else ()
        answers = (*moves, Answer("document", "Search its texts"), *attach, Answer("no", "Cancel"))
        conversation = self._around.conversation
        match await self._port.ask(AskOne(f"{shown(Path(file.path.name))} is a folder", _WHAT, answers)):
            case "import":
                await self._moving.take(file.path)
            case "document":
                await self._documents.add(conversation, file.path)
            case "pictures":
                for path in pictures:
                    self._draft.add_source(str(path))

    async def _offer_packed(self, file: DroppedFile) -> None:
        what = await asyncio.to_thread(_what_may_come, file.path)
        answers = (Answer("import", "Import it"), Answer("no", "Cancel"))
        if not what:
            self._draft.add_source(str(file.path))
        elif await self._port.ask(AskOne(f"{shown(Path(file.path.name))} is {what}", _WHAT, answers)) == "import":
            await self._moving.take(file.path)

    async def _offer_drawing(self, file: DroppedFile) -> None:
        answers = (Answer("no", "OK"), Answer("text", "Insert its source text"))
        if await self._port.ask(AskOne(f"{shown(Path(file.path.name))} is an SVG drawing", _SVG_HINT, answers)) == "text":
            self._port.tell(TextInserted(await asyncio.to_thread(_text_of, file.path)))


def clipboard_picture() -> OpenedPicture:
    """The clipboard's picture. Raises ImageError."""
    picture = read_clipboard_picture()
    if picture is None:
        raise ImageError("There is no picture on the clipboard.", "Copy one first, or drop its file.")
    return OpenedPicture(picture)


def _text_of(path: Path) -> str:
    """A text file's name and content. Raises ImageError."""
    try:
        data = read_beginning(path, MAX_TEXT_FILE + 1)
    except OSError as error:
        raise ImageError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    if file_kind(path) is not FileKind.TEXT:
        raise ImageError(f"{shown(path)} is not a text file.", "Pictures are attached with /image.")
    if len(data) > MAX_TEXT_FILE:
        raise ImageError(f"{shown(path)} is larger than {MAX_TEXT_FILE // 1000} KB: it does not fit the window.")
    return f"{path.name}:\n{sanitize(data.decode('utf-8', errors='replace')).strip()}\n"


def _may_bring(folder: Path) -> bool:
    """Whether there is anything in a folder that can be imported."""
    from nemochat.moving.finding import may_bring

    return may_bring(folder)


def _what_may_come(path: Path) -> str:
    """What a file is called that can be imported; "" for one that cannot."""
    if path.suffix.lower() not in (".json", ".jsonl", *_PACKED):
        return ""
    from nemochat.moving.finding import Found, look_at

    found = look_at(path, path.name)
    return found.part.words if isinstance(found, Found) else ""


def _document_kind(path: Path) -> str:
    """What a file that may be a document is called; "" for what only the reader of pictures can name."""
    try:
        head = read_beginning(path, _TEXT_HEAD)
    except OSError:
        return ""
    if b"%PDF-" in head[:_PDF_HEAD]:
        return "a PDF"
    if path.suffix.lower() in _DOCUMENT_SUFFIXES or head.startswith(b"{\\rtf"):
        return "a document"
    # Text in another encoding than UTF-8, which the reading of documents finds out.
    is_text = head and b"\0" not in head and sum(byte < 0x20 and byte not in b"\t\n\r\f\x1b" for byte in head) * 100 < len(head)
    return "a text file" if is_text else ""


def _pictures_in(folder: Path) -> list[Path]:
    """The first pictures of a folder by their names, not of those below it."""
    try:
        paths = sorted(islice(folder.iterdir(), _LOOKED_AT))
    except OSError:
        return []
    found = (path for path in paths if has_picture_suffix(path.name) and file_kind(path) is FileKind.PICTURE)
    return list(islice(found, MAX_PICTURES))


def _may_be_lorebook(path: Path) -> bool:
    """Whether a dropped file is a lorebook."""
    from nemochat.personas.lorebook_files import is_lorebook

    return path.suffix.lower() in (".png", ".json", ".lorebook", ".risum") and _is(is_lorebook, path)


def _may_be_card(path: Path) -> bool:
    """Whether a dropped file is a character card."""
    from nemochat.personas.cards import is_card

    return path.suffix.lower() in (".png", ".apng", ".json", ".charx") and _is(is_card, path)


def _is(kind: Callable[[bytes], bool], path: Path) -> bool:
    """Whether a file is of a kind; one that cannot be read is left to those who will say why."""
    try:
        return kind(read_regular(path, MAX_CARD))
    except OSError:
        return False

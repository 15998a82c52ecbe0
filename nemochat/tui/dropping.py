"""Files and pictures on their way into the prompt: dropped, pasted, chosen from a dialog or taken from the clipboard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from nemochat.chat import Chat
from nemochat.chat.album import Album
from nemochat.chat.drops import Drop, DroppedFile, FileKind
from nemochat.chat.file_kinds import file_kind
from nemochat.chat.pictures import OpenedPicture, open_picture, opened, picture_name
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError, NemochatError
from nemochat.images.clipboard import read_clipboard_picture
from nemochat.reading import read_beginning, read_regular
from nemochat.tui.ahead import Ahead
from nemochat.tui.attaching import Incoming, Incomings
from nemochat.tui.holder import SessionHolder
from nemochat.tui.screens.dialogs import Answer, Choose
from nemochat.tui.widgets.attachments import AttachmentItem
from nemochat.tui.widgets.prompt import Prompt

MAX_CARD = 16_000_000
"""The largest file that is looked into for a character card, in bytes; larger ones are imported with /persona import."""
MAX_TEXT_FILE = 200_000
"""The longest text file that is put into the prompt, in bytes: more never fits the window."""


class Host(Protocol):
    """The screen, as far as files are concerned."""

    incomings: Incomings
    holder: SessionHolder
    ahead: Ahead

    @property
    def chat(self) -> Chat:
        """The conversation."""

    def draw_side(self) -> None:
        """Show the panes anew."""

    @property
    def prompt(self) -> Prompt:
        """Where the tokens go."""

    def say(self, text: str) -> None:
        """A short notice."""

    def complain(self, error: NemochatError) -> None:
        """A failure."""

    def show_picture(self, pixels: RgbImage) -> None:
        """A picture on a screen of its own."""

    def add_document(self, path: Path) -> None:
        """Search a file for each message."""

    def import_card(self, path: Path) -> None:
        """Keep the persona of a character card."""

    def in_background(self, screen: Choose, then: Callable[[str | None], None]) -> None:
        """Show a dialog; `then` gets its answer."""


class Dropping:
    """Takes what was dropped; everything it adds goes through `Incomings` and stands as a token in the prompt."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def take(self, drop: Drop) -> None:
        """All files of one drop, in their order."""
        for file in drop.files:
            if file.kind is not FileKind.FOLDER and _may_be_card(file.path):
                self._offer_card(file)
                continue
            match file.kind:
                case FileKind.PICTURE:
                    self.picture(str(file.path))
                case FileKind.TEXT:
                    self._offer_text(file)
                case FileKind.FOLDER:
                    self._host.say(f"{_shown(file.path)} is a folder: drop the pictures in it.")
                case FileKind.OTHER:
                    # Reading it gives the sentence that says what it is.
                    self.picture(str(file.path))
        for uri in drop.data_uris:
            self.picture(uri)
        for path in drop.missing:
            self._host.complain(
                ImageError(
                    f"There is no such file on this machine: {sanitize(path, strict=True)}",
                    "Over SSH, paths dropped from your own computer are not visible here.",
                )
            )

    def picture(self, source: str) -> None:
        """A path or a data URI."""
        self._add(picture_name(source), partial(open_picture, source))

    def opened(self, name: str, picture: OpenedPicture) -> None:
        """A picture that is no file of the user's."""
        self._add(name, lambda: picture)

    def text_file(self, path: Path) -> None:
        """Put a text file's content into the prompt."""
        self._insert_file(path)

    def enlarge(self, key: str) -> None:
        """Show a picture as large as the terminal allows: one of the draft by its key, one of the chat by its digest."""
        items = {item.key: item.attachment.pixels for item in self._host.incomings.items if item.attachment}
        pixels = items.get(key) or self._host.holder.pictures.get(key)
        if pixels is not None:
            self._host.show_picture(pixels)

    def clipboard(self) -> None:
        """The clipboard's picture."""
        self._add("clipboard", _clipboard_picture)

    def bring_back(self, message: Message) -> None:
        """Put the pictures of an earlier message into the draft again."""
        for part in message.images:
            self._add(part.name or "picture", partial(_again, self._host.holder.album, part.digest))

    def changed(self, item: Incoming) -> None:
        """A picture of the draft has news: its words in the prompt, its place in the pane."""
        self._host.prompt.replace_token(item.key, item.label)
        self._host.draw_side()
        if item.attachment is not None:
            self._host.ahead.attached()

    def failed(self, item: Incoming, error: NemochatError) -> None:
        """A picture cannot be used; the text stays."""
        self.remove(item.key)
        self._host.complain(error)

    def remove(self, key: str) -> None:
        """Take a picture out of the draft."""
        self._host.prompt.remove_token(key)
        self._host.incomings.remove(key)
        self._host.draw_side()
        self._host.ahead.count()

    def shown(self) -> list[AttachmentItem]:
        """What the pane shows: the draft's pictures, then the conversation's."""
        drafted = [_drafted(item) for item in self._host.incomings.items]
        said = {part.digest: part for entry in self._host.chat.entries for part in entry.message.images}
        pictures = self._host.holder.pictures
        return [*drafted, *(_held(part, pixels) for digest, part in said.items() if (pixels := pictures.get(digest)) is not None)]

    def move(self, key: str, offset: int) -> None:
        """Change the order of the draft's pictures; the tokens in the prompt follow."""
        keys = [item.key for item in self._host.incomings.items]
        if key not in keys:
            return
        at = keys.index(key)
        to = min(max(at + offset, 0), len(keys) - 1)
        keys.insert(to, keys.pop(at))
        items = {item.key: item for item in self._host.incomings.items}
        text = self._host.prompt.plain_text
        self._host.incomings.arrange(keys)
        self._host.prompt.load_text(text)
        for each in keys:
            self._host.prompt.insert_token(each, items[each].label)

    def _add(self, name: str, read: Callable[[], OpenedPicture]) -> None:
        item = self._host.incomings.add(name, read)
        self._host.prompt.insert_token(item.key, item.label)

    def sent(self, drop: Drop) -> list[str]:
        """The pictures of a drop that is sent with the text around it: their keys, without tokens in the prompt."""
        sources = [*(str(file.path) for file in drop.files), *drop.data_uris]
        return [self._host.incomings.add(picture_name(source), partial(open_picture, source)).key for source in sources]

    def _offer_card(self, file: DroppedFile) -> None:
        is_picture = file.kind is FileKind.PICTURE
        other = Answer("other", "Attach it as a picture" if is_picture else "Take it as a file")
        screen = Choose(f"{file.path.name} is a character card", "What shall become of it?", (Answer("card", "Make it a persona"), other))

        def then(answer: str | None) -> None:
            if answer == "card":
                self._host.import_card(file.path)
            elif answer == "other" and is_picture:
                self.picture(str(file.path))
            elif answer == "other":
                self._offer_text(file)

        self._host.in_background(screen, then)

    def _offer_text(self, file: DroppedFile) -> None:
        name = _shown(file.path)
        answers = (
            Answer("document", "Search it"),
            Answer("text", "Put in its text"),
            Answer("path", "Its path"),
            Answer("no", "Neither"),
        )
        screen = Choose(f"{file.path.name} is a text file", "What shall become of it?", answers)

        def then(answer: str | None) -> None:
            if answer == "document":
                self._host.add_document(file.path)
            elif answer == "path":
                self._host.prompt.insert_text(name)
            elif answer == "text":
                self._insert_file(file.path)

        self._host.in_background(screen, then)

    def _insert_file(self, path: Path) -> None:
        try:
            data = read_beginning(path, MAX_TEXT_FILE + 1)
        except OSError as error:
            self._host.complain(ImageError(f"{_shown(path)} cannot be read: {error.strerror}."))
            return
        if file_kind(path) is not FileKind.TEXT:
            self._host.complain(ImageError(f"{_shown(path)} is not a text file.", "Pictures are attached with /image."))
            return
        if len(data) > MAX_TEXT_FILE:
            self._host.complain(ImageError(f"{_shown(path)} is larger than {MAX_TEXT_FILE // 1000} KB: it does not fit the window."))
            return
        text = sanitize(data.decode("utf-8", errors="replace")).strip()
        self._host.prompt.insert_text(f"{path.name}:\n{text}\n")


def _may_be_card(path: Path) -> bool:
    """Whether a dropped file is a character card; one that cannot be read is left to those who will say why."""
    if path.suffix.lower() not in (".png", ".apng", ".json", ".charx"):
        return False
    from nemochat.personas.cards import is_card

    try:
        return is_card(read_regular(path, MAX_CARD))
    except OSError:
        return False


def _drafted(item: Incoming) -> AttachmentItem:
    width, height = item.size or (0, 0)
    tokens, pixels = (item.attachment.tokens, item.attachment.pixels) if item.attachment else (None, None)
    return AttachmentItem(item.key, item.name, width, height, tokens, item.state, pixels, in_draft=True)


def _held(part: ImagePart, pixels: RgbImage) -> AttachmentItem:
    width, height = part.width or pixels.width, part.height or pixels.height
    return AttachmentItem(part.digest, part.name or "picture", width, height, part.tokens or None, "in the chat", pixels, in_draft=False)


def _clipboard_picture() -> OpenedPicture:
    picture = read_clipboard_picture()
    if picture is None:
        raise ImageError("There is no picture on the clipboard.", "Copy one first, or drop its file.")
    return OpenedPicture(picture)


def _again(album: Album, digest: str) -> OpenedPicture:
    original = album.original(digest)
    if original is None:
        raise ImageError("This picture cannot be found any more.", "Attach its file again.")
    return opened(original.data, "the picture")


def _shown(path: Path) -> str:
    return sanitize(str(path), strict=True)


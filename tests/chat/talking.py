"""A session and the conversation in it, as most tests of the chat core want them: what is asked of either is asked here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from nemochat.chat import Attachment, Chat, ChatEvent, ChatSession, ContextView, Stop, Talk
from nemochat.chat.album import Album
from nemochat.chat.offered import Offered
from nemochat.chat.previews import EMPTY, Preview
from nemochat.chat.toolbox import Toolbox
from nemochat.chat.warming import AtHand
from nemochat.domain.edits import applied
from nemochat.domain.events import Progress
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import Conversation, Message, ToolSpec
from nemochat.domain.sampling import Sampling, Source
from nemochat.engine.protocol import Engine, LoadRequest, Prepared
from nemochat.prompt.format import Piece


class Talking(Talk):
    """A `Talk` with a session of its own."""

    def __init__(self, engine: Engine, request: LoadRequest, sampling: Sampling, image_size: int | None = None) -> None:
        super().__init__(ChatSession(engine, request, {Source.CONFIG: sampling}, image_size))
        self.reader = self.session.reader

    @property
    def tools(self) -> Offered:
        return self.reader.tools

    @property
    def toolbox(self) -> Toolbox | None:
        return self.session.toolbox

    @toolbox.setter
    def toolbox(self, box: Toolbox) -> None:
        self.session.toolbox = box

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        return self.reader.pictures

    @property
    def album(self) -> Album:
        return self.reader.album

    @album.setter
    def album(self, album: Album) -> None:
        self.reader.album = album

    @property
    def at_hand(self) -> AtHand:
        return AtHand(self.reader, self.chat, self.key)

    def open_chat(self, chat: Chat, *, key: str | None = None) -> None:
        self.chat = chat
        self.key = self.key if key is None else key

    def open_conversation(self, conversation: Conversation) -> None:
        self.chat = Chat.of(conversation)

    async def attach(self, picture: RgbImage, name: str = "", original: Original | None = None) -> Attachment:
        return await self.reader.attach(picture, name, original)

    async def context_view(self, draft: Message | None = None) -> ContextView:
        return await self.reader.context_view(self.chat, draft)

    async def preview(self, draft: Message = EMPTY) -> Preview:
        return await self.reader.preview(self.chat, draft)

    def can_read_following(self, shown: Preview) -> bool:
        return self.reader.can_read_following(shown)

    async def prepare(
        self, shown: Preview, on_progress: Callable[[Progress], None] | None = None, *, following: bool = False
    ) -> Prepared:
        return await self.reader.prepare(shown, self.key, on_progress, following=following)

    async def prompt_sizes(self) -> list[tuple[Piece, int]]:
        return await self.reader.prompt_sizes(self.chat)

    async def tool_costs(self, specs: Sequence[ToolSpec]) -> list[int]:
        return await self.reader.tool_costs(specs)

    async def forget_ahead(self) -> bool:
        trim = await self.reader.forget_ahead(self.chat)
        if trim is not None:
            self.chat = applied(self.chat, trim)
        return trim is not None

    async def forget(self, key: str) -> None:
        await self.reader.forget(key)

    def impersonate(self) -> AsyncGenerator[ChatEvent, None]:
        chat, stop = self._begun()
        return self._applied(self.session.impersonate(chat, stop, key=self.key))

    async def suggest_title(self) -> str:
        return await self.session.suggest_title(self.chat, Stop(), key=self.key)

    def start_loading(self) -> None:
        self.session.start_loading()

    def loaded(self) -> AsyncGenerator[Progress, None]:
        return self.session.loaded()

    async def close(self) -> None:
        await self.session.close()

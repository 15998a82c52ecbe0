"""A conversation with a model, but for its turns: what is in it, what its next prompt is, and what of that is evaluated ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from nemochat.chat.album import Album
from nemochat.chat.context import view_of
from nemochat.chat.counting import Counting
from nemochat.chat.held import Held
from nemochat.chat.loading import Loading
from nemochat.chat.lore import with_lore
from nemochat.chat.offered import Offered
from nemochat.chat.passages import FindPassages
from nemochat.chat.previews import EMPTY, Preview, Prompt, known_of, preview
from nemochat.chat.toolbox import Toolbox, with_tools
from nemochat.chat.values import Attachment, ContextView
from nemochat.domain.chat import Chat, Entry, without_pictures
from nemochat.domain.events import Progress
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, ToolSpec
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Engine, LoadRequest, Place, Prepared
from nemochat.errors import EngineError, ImageError
from nemochat.settings import WhenFull

RESERVE = 512
"""Tokens that are kept free for a reply whose length is left to the model."""
NEAR = 0.6
"""The prompt that will follow is read once the present one takes this share of the room."""


class OpenedChat:
    """The conversation's value, and the engine that reads it.

    `image_size`: the side in pixels of what the projector gets when that is fixed, else None.
    save: awaited before the engine is asked, and begun about once a second with the conversation as the reply grows. toolbox: answers the
    calls of tools; without it they end the turn. find_passages: of the conversation's documents, for each message of the user.
    holds_calls_to_schema: whether calls are held to the tools' schemas while they are written. tools: which of them the model is told of.
    key: what the engine knows the conversation by, its id in the library; "" while it has none. album: the pictures; whoever opens
    sessions one after the other gives all of them the same one.
    """

    def __init__(self, engine: Engine, request: LoadRequest, sampling: Sampling, image_size: int | None = None) -> None:
        self.sampling = sampling
        self.save: Callable[[Chat], Awaitable[None]] | None = None
        self.toolbox: Toolbox | None = None
        self.find_passages: FindPassages | None = None
        self.holds_calls_to_schema = True
        self.tools = Offered(engine)
        self.key = ""
        self._engine = engine
        self._request = request
        self._chat = Chat()
        self.album = Album()
        self._side = image_size
        self._told: set[str] = set()
        self._gone: set[str] = set()
        engine.find_image = self.seen
        self._held = Held()
        self._count = Counting(engine)
        self._load = Loading(engine, request)
        self._is_stopped = False
        """Whether the turn under way was stopped."""

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return self._request.name

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands."""
        return self._chat.conversation

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The messages with how they came to be."""
        return self._chat.entries

    @property
    def chat(self) -> Chat:
        """All of the conversation, to be put aside and given to `open_chat` later, here or in a session with another model."""
        return self._chat

    @property
    def model(self) -> ModelRef:
        """The model, as it is stored."""
        return ModelRef(self._request.name)

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """What is shown of each picture, by digest: the pixels that the model gets, but no larger than a screen needs."""
        return self.album.previews(self._side)

    @property
    def originals(self) -> Mapping[str, Original]:
        """The files of the pictures, by digest."""
        return self.album.originals

    def seen(self, digest: str) -> RgbImage | None:
        """The very pixels that the model gets of a picture; None where its file is gone or damaged. Call it in a thread."""
        return self.album.pixels(digest, self._side)

    def open_conversation(self, conversation: Conversation) -> None:
        """Go on with another conversation. Its pictures must be in the album."""
        self.open_chat(Chat.of(conversation))

    def open_chat(self, chat: Chat, *, key: str | None = None) -> None:
        """Go on with another conversation, or with an edited or forked one. Its pictures must be in the album, or found by it.

        key: of another conversation; None for another value of the present one.
        """
        self._chat = chat
        self.key = self.key if key is None else key

    def start_loading(self) -> None:
        """Begin to load the model now, so that the first turn waits less; a failure is reported by the first call that needs the model."""
        self._load.start()

    async def loaded(self) -> AsyncGenerator[Progress, None]:
        """The progress of the load up to its end. Raises ModelFileError and EngineError when the model cannot be loaded."""
        async for progress in self._load.reports(lambda: self._is_stopped):
            yield progress
        await self._load.model()

    async def attach(self, picture: RgbImage, name: str = "", original: Original | None = None) -> Attachment:
        """Give the engine a picture, at its full size; `original` is its file.

        Raises ImageError when the model cannot see, EngineError when the engine fails.
        """
        info = await self._load.model()
        if not info.has_vision:
            hint = "Load it with its projector, or choose another model."
            raise ImageError(f"{info.name} reads text only: it cannot look at pictures.", hint)
        digest = await asyncio.to_thread(self.album.add, picture, original)
        pixels = await asyncio.to_thread(partial(self.album.pixels, digest, self._side, decoded=picture))
        shown = await asyncio.to_thread(partial(self.album.preview, digest, self._side, decoded=picture))
        assert pixels is not None  # it was made of what is at hand
        assert shown is not None
        tokens = await self._engine.add_image(pixels)
        self._told.add(digest)
        return Attachment(ImagePart(digest, name, picture.width, picture.height, tokens), shown, tokens)

    async def prompt_sizes(self) -> list[tuple[Segment, int]]:
        """The whole prompt of the conversation, each segment with its tokens. Nothing is evaluated."""
        prompt = await self._prompt(self.tools.in_force(self._chat))
        return [(segment, prompt.tokens[segment]) for segment in prompt.layout.segments]

    async def tool_costs(self, specs: Sequence[ToolSpec]) -> list[int]:
        """What offering each of these tools costs in every prompt, in tokens. Raises EngineError."""
        await self._load.model()
        return await self.tools.costs(specs)

    async def context_view(self, draft: Message | None = None) -> ContextView:
        """How the next prompt, with `draft` at its end, would fill the window. Nothing is evaluated.

        A draft that does not fit raises nothing here: the view's numbers show it. Raises EngineError when the engine fails.
        """
        chat = self.tools.in_force(self._chat)
        whole = chat.added(Entry(with_lore(chat, draft))) if draft is not None else chat
        return view_of(self._chat, await self._prompt(whole), self._held, has_draft=draft is not None)

    async def close(self) -> None:
        """End the engine, also in the middle of loading."""
        await self._load.close()
        await self._engine.close()

    # -- ahead of the next turn

    @property
    def can_warm(self) -> bool:
        """Whether prompts are to be evaluated ahead, and can be."""
        return self._request.settings.warm_ahead and self._engine.capabilities.can_prepare

    async def preview(self, draft: Message = EMPTY) -> Preview:
        """What is known of the next prompt when the user is writing `draft`. Nothing is evaluated. Raises EngineError.

        Passages are found for whole messages only, and stand before the words: with documents, the words are not part of it.
        """
        known = known_of(draft)
        if self.find_passages is not None and self._chat.collections:
            known = Message(Role.USER, known.images)
        await self._load.model()
        chat = with_tools(self._chat, await self.tools.told_of(self._chat, known.text))
        known = with_lore(chat, known)
        return preview(await self._prompt(chat.added(Entry(known))), known)

    def can_read_following(self, shown: Preview) -> bool:
        """Whether the prompt that will follow is known, is worth reading ahead, and is held beside the present one."""
        is_worth_it = bool(shown.following) and self._request.settings.when_full is WhenFull.REREAD and shown.filled > NEAR
        return is_worth_it and shown.both <= self._held_at_most

    async def prepare(
        self, shown: Preview, on_progress: Callable[[Progress], None] | None = None, *, following: bool = False
    ) -> Prepared:
        """Evaluate a preview, or the one of the prompt that will follow, which is kept beside it. Any other request ends it early.

        Raises EngineError.
        """
        place, segments = Place(self.key, is_next=following), shown.following if following else shown.now
        try:
            done = await self._engine.prepare(segments, on_progress, place=place)
        except EngineError:
            self._held.clear()
            raise
        self._held.prepared(place, segments, done, self._held.common(segments, shown.tokens))
        return done

    async def forget_ahead(self) -> bool:
        """Forget what would have to go soon, as it is idle time, and keep the decision; whether anything changed. Raises EngineError."""
        chat = self._chat
        prompt = await self._prompt(self.tools.in_force(chat).added(Entry(EMPTY)))
        trimmed = prompt.assembled.trimmed(chat, prompt.fit_ahead(early=self._is_last_chance(prompt)))
        if self._chat is not chat or trimmed == chat:
            return False
        self._chat = trimmed
        if self.save is not None:
            # A save that has begun is not left in the middle, whatever becomes of whoever waits for it.
            await asyncio.shield(asyncio.ensure_future(self.save(trimmed)))
        return True

    def _is_last_chance(self, prompt: Prompt) -> bool:
        """Whether the prompt that will follow has been read, and will be held no more when another turn as long as the last is there."""
        shown = preview(prompt, EMPTY)
        said = prompt.size.messages[:-1]
        begins = max((at for at, message in enumerate(said) if message.role is Role.USER), default=0)
        turn = sum(message.tokens for message in said[begins:])
        total = sum(prompt.tokens[segment] for segment in shown.following)
        is_read = total > 0 and self._held.common(shown.following, prompt.tokens) + turn >= total
        return is_read and shown.both + turn > self._held_at_most

    async def forget(self, key: str) -> None:
        """A conversation was deleted: the engine keeps nothing of it. Raises EngineError."""
        self._held.forget(key)
        await self._engine.forget(key)

    # -- for turns

    @property
    def _held_at_most(self) -> int:
        """Tokens of all prompts together that the engine has room for."""
        info = self._engine.info
        return (info.context_length if info is not None else 0) + self._request.settings.spare_tokens

    @property
    def _sampling(self) -> Sampling:
        """The user's, with what the persona asks for."""
        wanted = msgspec.structs.asdict(self._chat.persona.sampling) if self._chat.persona is not None else {}
        return self.sampling.asking(wanted)

    @property
    def _reserve(self) -> int:
        """Tokens of the window that are kept free for the reply: some, where it may be as long as there is room."""
        return self._sampling.max_tokens or RESERVE

    async def _prompt(self, chat: Chat, *, continues: bool = False, speaks: Role = Role.ASSISTANT) -> Prompt:
        """The prompt of a chat: whatever is sent, evaluated ahead or shown is made of this."""
        info = await self._load.model()
        chat = await self._with_pictures(chat)
        return await Prompt.of(chat, self._count, info.context_length, self._reserve, continues=continues, speaks=speaks)

    async def _with_pictures(self, chat: Chat) -> Chat:
        """The chat as far as its pictures can be shown to the model, which is given those that it was not given yet. Raises EngineError.

        A picture whose file is gone or damaged is left out: its conversation goes on without it.
        """
        shown = {image.digest for index in chat.shown for image in chat.entries[index].message.images}
        for digest in sorted(shown - self._told - self._gone):
            pixels = await asyncio.to_thread(self.seen, digest)
            if pixels is None:
                self._gone.add(digest)
            else:
                await self._engine.add_image(pixels)
                self._told.add(digest)
        return without_pictures(chat, shown & self._gone) if shown & self._gone else chat

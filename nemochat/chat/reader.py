"""A model that is open, and what it reads: the prompts of chats, counted, shown in advance, evaluated ahead. It holds no chat."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from nemochat.chat import summing
from nemochat.chat.album import Album
from nemochat.chat.assembly import assemble
from nemochat.chat.cast import Moment, spoken_by
from nemochat.chat.context import Counting, Held, view_of
from nemochat.chat.loading import Loading
from nemochat.chat.lore import Shelf, fired, fired_last, with_lore
from nemochat.chat.meaning import FindPassages
from nemochat.chat.offered import Offered
from nemochat.chat.previews import EMPTY, Preview, Prompt, known_of, preview
from nemochat.chat.toolbox import with_tools
from nemochat.chat.values import Attachment, ContextView
from nemochat.domain.chat import Chat, Entry, without_pictures
from nemochat.domain.edits import Trim, trim_between
from nemochat.domain.events import Progress
from nemochat.domain.groups import Cards
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, TextPart, ToolSpec
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import InForce, Layers, Source, in_force
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.protocol import Counts, Engine, LoadRequest, Place, Prepared
from nemochat.errors import EngineError, ImageError, WindowError
from nemochat.personas.scene import Scene
from nemochat.personas.shared_variables import SharedVariables
from nemochat.prompt.format import Piece
from nemochat.settings import WhenFull

RESERVE = 512
"""Tokens that are kept free for a reply whose length is left to the model."""
NEAR = 0.6
"""The prompt that will follow is read once the present one takes this share of the room."""
_MOST_SWITCHES = 12
"""Members of a group for whom it is counted what a switch to them costs."""
_LAST = 256
"""So many of the last messages are always part of a prompt that is made, because notes stand among them."""


class _Sizes:
    """Tokens of the messages of one conversation, as they stood in a prompt; a message is told from another by being the same value.

    examples: of the persona's example dialogues.
    """

    def __init__(self) -> None:
        self.examples = 0
        self._of: dict[int, tuple[Message, int]] = {}
        self._begins: tuple[Message | None, object] = None, None

    def of(self, message: Message) -> int | None:
        """None for one that was not in a prompt yet."""
        known = self._of.get(id(message))
        return known[1] if known is not None and known[0] is message else None

    def keep(self, chat: Chat, prompt: Prompt) -> None:
        """Know the sizes of a prompt's messages."""
        first = chat.entries[0].message if chat.entries else None
        cast = chat.group.members if chat.group is not None else chat.persona
        if first is not self._begins[0] or cast is not self._begins[1]:
            self._begins, self._of = (first, cast), {}
        if len(chat.entries) <= _LAST:
            return
        if not prompt.assembled.left_out:
            self.examples = sum(size.tokens for size in prompt.size.messages if size.example)
        for source, size in zip(prompt.assembled.sources, prompt.size.messages, strict=True):
            if source is not None and source < len(chat.entries) - 1:  # the last one may be a draft
                message = chat.entries[source].message
                self._of[id(message)] = message, size.tokens


class PromptReader:
    """One engine with one model.

    side: in pixels, of what the projector gets when that is fixed, else None. load: the loading of the model. tools: which of a chat's
    tools the model is told of. find_passages: of a chat's documents, for each of the user's messages. held: what the KV cache holds. album:
    the pictures, shelf: the lorebooks; whoever opens sessions one after the other gives them all the same ones. layers: what is asked of
    sampling outside of the chats. request: what the model was opened with.
    """

    def __init__(self, engine: Engine, request: LoadRequest, layers: Layers, image_size: int | None = None) -> None:
        self.layers = layers
        self.request = request
        self.find_passages: FindPassages | None = None
        self.engine = engine
        self.load = Loading(engine, request)
        self.tools = Offered(engine, lambda: self.load.format)
        self.held = Held()
        self.album = Album()
        self.shelf = Shelf()
        self.side = image_size
        self.clock: Callable[[], datetime] = lambda: datetime.now().astimezone()
        self.shared = SharedVariables()
        """The variables of all chats; whoever opens sessions gives all of them the same."""
        self.left_out: tuple[str, ...] = ()
        """The values of sampling of which the user was told that the server does not take them."""
        self.sums_up = False
        """Whether what is forgotten is summed up first, so that the prompt that will follow is not known before."""
        self._told: set[str] = set()
        self._gone: set[str] = set()
        engine.find_image = self.seen
        self._sizes = _Sizes()
        self._count = Counting(engine)

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return self.request.name

    @property
    def model(self) -> ModelRef:
        """The model, as it is stored."""
        server = self.request.server
        return ModelRef(self.request.name.removeprefix(f"{server}/") if server else self.request.name, server)

    def in_force(self, chat: Chat) -> InForce:
        """How replies in this chat are made; what the model's file or its server asks for is known when it is loaded.

        The length of a reply that nobody asked for takes no more than half the window, which a server may have made small.
        """
        info, persona = self.engine.info, chat.playing
        of_chat = {Source.CHAT: chat.sampling, Source.PERSONA: persona.sampling if persona is not None else None}
        of_model = Source.SERVER if self.request.server else Source.MODEL_FILE
        layers = {**self.layers, **of_chat, of_model: info.recommended if info is not None else None}
        now = in_force(layers, is_served=bool(self.request.server) or (info is not None and info.takes_messages))
        longest = now.sampling.max_tokens
        if info is None or longest is None or now.sources["max_tokens"] is not Source.DEFAULT or 2 * longest <= info.context_length:
            return now
        half = max(1, info.context_length // 2)
        return msgspec.structs.replace(now, sampling=msgspec.structs.replace(now.sampling, max_tokens=half))

    # -- pictures

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """What is shown of each picture, by digest: the pixels that the model gets, but no larger than a screen needs."""
        return self.album.previews(self.side)

    def seen(self, digest: str) -> RgbImage | None:
        """The very pixels that the model gets of a picture; None where its file is gone or damaged. Call it in a thread."""
        return self.album.pixels(digest, self.side)

    async def attach(self, picture: RgbImage, name: str = "", original: Original | None = None) -> Attachment:
        """Give the album and the engine a picture, at its full size; `original` is its file. Raises as `tokens_of`."""
        digest = await asyncio.to_thread(self.album.add, picture, original)
        await asyncio.to_thread(partial(self.album.pixels, digest, self.side, decoded=picture))
        tokens = await self.tokens_of(digest)
        shown = await asyncio.to_thread(partial(self.album.preview, digest, self.side, decoded=picture))
        assert shown is not None  # it was made of what is at hand
        return Attachment(ImagePart(digest, name, picture.width, picture.height, tokens), shown, tokens)

    async def tokens_of(self, digest: str) -> int:
        """What a picture of the album takes in the prompt; the engine has it then.

        Raises ImageError when the model cannot see or the picture is gone, EngineError when the engine fails.
        """
        loaded = await self.load.model()
        info = self.engine.info or loaded  # a server may have turned out to take none
        if not info.has_vision:
            hint = "Load it with its projector, or choose another model."
            raise ImageError(f"{info.name} reads text only: it cannot look at pictures.", hint)
        pixels = await asyncio.to_thread(self.seen, digest)
        if pixels is None:
            raise ImageError("This picture cannot be found any more.", "Attach its file again.")
        tokens = await self.engine.add_image(pixels)
        self._told.add(digest)
        self._gone.discard(digest)
        return tokens

    async def _with_pictures(self, chat: Chat, start: int, *, can_see: bool) -> Chat:
        """The chat as far as its pictures can be shown to the model, which is given those that it was not given yet. Raises EngineError.

        start: the first of the shown messages that matters. A picture whose file is gone or damaged is left out: its conversation goes on
        without it. So are all where the model cannot see.
        """
        shown = {image.digest for index in chat.shown[start:] for image in chat.entries[index].message.images}
        if not can_see:
            return without_pictures(chat, shown) if shown else chat
        for digest in sorted(shown - self._told - self._gone):
            pixels = await asyncio.to_thread(self.seen, digest)
            if pixels is None:
                self._gone.add(digest)
            else:
                await self.engine.add_image(pixels)
                self._told.add(digest)
        return without_pictures(chat, shown & self._gone) if shown & self._gone else chat

    # -- prompts

    async def prompt(
        self,
        chat: Chat,
        *,
        continues: bool = False,
        speaks: Role = Role.ASSISTANT,
        names: bool = True,
        shared: Mapping[str, str] | None = None,
    ) -> Prompt:
        """The prompt of a chat: whatever is sent, evaluated ahead or shown is made of this. names: in a group, who speaks next is said.
        shared: the variables of all chats, None for those that are kept. Raises EngineError.
        """
        loaded = await self.load.model()
        info = self.engine.info or loaded  # a server may have turned out to be another than it was thought to be
        reserve, start = self.in_force(chat).sampling.max_tokens or RESERVE, self._start(chat, info.context_length)
        seen = await self._with_pictures(chat, start, can_see=info.has_vision)
        moment = self.moment() if shared is None else Moment(self.clock(), shared)
        opens = self.opens_with_name if names and not continues else None
        prompt = await Prompt.of(
            assemble(seen, start, self.shelf.lore_of(chat), moment, speaks=speaks, opens=opens),
            self.load.format,
            self._count,
            info.context_length,
            reserve,
            continues=continues,
            speaks=speaks,
            thinks=self.in_force(chat).sampling.think,
        )
        self._sizes.keep(chat, prompt)
        return prompt

    async def summing(self, chat: Chat, until: int, words: str) -> tuple[Prompt, int]:
        """The prompt that asks for a summary of what comes before the entry `until`, or, where not all of it fits, up to an earlier one.

        It begins as the chat's own does. words: what the user wants to be kept. Raises WindowError and EngineError.
        """
        info = self.engine.info or await self.load.model()
        chat = self.tools.in_force(chat)
        turns = [index for index in chat.shown[chat.summed :] if chat.entries[index].message.role is Role.USER and index <= until]
        until = max((index for index in turns if index <= chat.shown[chat.summed] + summing.MOST), default=until)
        while True:
            seen = await self._with_pictures(chat, chat.summed, can_see=info.has_vision)
            longest = summing.tokens_of(info.context_length)
            asked = summing.asked_of(seen, until, words, info.context_length, self.shelf.lore_of(chat))
            prompt = await Prompt.of(asked, self.load.format, self._count, info.context_length, longest, thinks=False)
            if sum(prompt.counts) <= prompt.room:
                return prompt, until
            fewer = summing.shorter(chat, prompt)
            if fewer is None:
                raise WindowError("One turn is too long to be summed up in this window.", "Exclude its longest message, or shorten it.")
            until = fewer

    async def kept_from(self, chat: Chat) -> int:
        """Index of the entry up to which a chat is summed up when the user wants it now; 0 for nothing. Raises EngineError."""
        return summing.kept_from(await self.prompt(self.tools.in_force(chat)))

    def _start(self, chat: Chat, limit: int) -> int:
        """How many of the shown messages were forgotten so long ago that the prompt can be made without them.

        What the window decides hangs on a window's worth before the line of forgetting, on what is pinned, and, for notes, on the last
        messages; so the price of a key does not grow with the conversation.
        """
        at, left = chat.first_shown, limit
        shown = chat.shown if chat.first_kept else ()
        if len(shown) <= _LAST or any(chat.entries[index].message.pinned for index in shown[:at]):
            return 0
        while at > 0 and left > 0:
            at -= 1
            tokens = self._sizes.of(chat.entries[shown[at]].message)
            if tokens is None:
                return 0
            left -= tokens
        at = min(at, len(shown) - _LAST)
        while at > 0 and chat.entries[shown[at]].message.role is not Role.USER:
            at -= 1
        return at

    async def prompt_sizes(self, chat: Chat) -> list[tuple[Piece, int]]:
        """The whole prompt of a chat, each piece with its tokens. Nothing is evaluated."""
        prompt = await self.prompt(self.tools.in_force(chat))
        return list(zip(prompt.layout.pieces, prompt.counts, strict=True))

    async def tokens_in(self, text: str) -> int:
        """Tokens of a text by itself. Raises EngineError."""
        return (await self.engine.count([Control("\n"), Plain(text)]))[1]

    async def tool_costs(self, specs: Sequence[ToolSpec]) -> list[int]:
        """What offering each of these tools costs in every prompt, in tokens. Raises EngineError."""
        await self.load.model()
        return await self.tools.costs(specs)

    def with_lore(self, chat: Chat, message: Message, scene: Scene | None = None) -> Message:
        """The message that is about to be added, with the entries of lorebooks that fire on it."""
        scene = scene or self.moment().scene(chat)
        return with_lore(chat, message, self._room(chat), self.shelf.lore_of(chat), scene)

    def moment(self) -> Moment:
        """Now, with the variables of all chats."""
        return Moment(self.clock(), self.shared.values)

    @property
    def opens_with_name(self) -> bool:
        """Whether a reply can be begun with the name of who speaks. Where words are laid out by a server, or the model may think before it
        speaks, it is asked in words."""
        info, style = self.engine.info, self.load.format.style
        return not (info is not None and info.takes_messages) and style.reasoning is None and style.text == ("", "")

    def _room(self, chat: Chat) -> int | None:
        """Tokens of the window that are not kept for the reply; None before the model is loaded."""
        info = self.engine.info
        return None if info is None else max(0, info.context_length - (self.in_force(chat).sampling.max_tokens or RESERVE))

    async def context_view(self, chat: Chat, draft: Message | None = None) -> ContextView:
        """How the next prompt, with `draft` at its end, would fill the window. Nothing is evaluated.

        A draft that does not fit raises nothing here: the view's numbers show it. Raises EngineError when the engine fails.
        """
        await self.load.model()
        if draft is None and self.load.format.style.reasoning is not None and chat.entries:
            draft = EMPTY  # many templates leave out what was thought before the last question, which is to come
        told = self.tools.in_force(chat)
        whole = told.added(Entry(self.with_lore(told, draft))) if draft is not None else told
        prompt = await self.prompt(whole)
        says = draft is not None and bool(draft.text.strip())
        lore, room = self.shelf.lore_of(told), self._room(told)
        found = fired(told, draft, room, lore) if draft is not None and says else fired_last(told, room, lore)
        left_out = sum(self._sizes.of(chat.entries[index].message) or 0 for index in prompt.assembled.left_out)
        left_out += self._sizes.examples if left_out else 0
        held, counts = self.held if self._knows_cache else None, self.counts_of(prompt.layout.segments)
        switches = await self._switches(whole, held) if held is not None else {}
        return await view_of(
            chat, prompt, held, has_draft=draft is not None, left_out_tokens=left_out, counts=counts, lore=found, switches=switches
        )

    async def _switches(self, chat: Chat, held: Held) -> dict[str, int]:
        """What would have to be read if somebody else of a group spoke, where that one's card takes the place of the speaker's."""
        group = chat.group
        if group is None or group.cards is not Cards.OWN or group.speaker is None:
            return {}
        found: dict[str, int] = {}
        for name in group.names[:_MOST_SWITCHES]:
            if name == group.speaker.name:
                continue
            prompt = await self.prompt(spoken_by(chat, name))
            with contextlib.suppress(WindowError):
                sent = await prompt.sent()
                found[name] = sent.tokens - held.common(sent.layout.segments, prompt.tokens)
        return found

    def counts_of(self, segments: Sequence[Segment]) -> Counts:
        """Where the counts of a prompt come from. What a server makes of a picture it tells afterwards, whatever it counts before."""
        counts = self.engine.capabilities.counts
        has_pictures = any(isinstance(segment, ImageSlot) for segment in segments)
        return Counts.LEARNT if counts is Counts.EXACT and has_pictures and not self.counts_pictures else counts

    @property
    def counts_pictures(self) -> bool:
        """Whether it is known beforehand what a picture takes in the prompt."""
        return self.engine.info is None or not self.engine.info.takes_messages

    @property
    def _knows_cache(self) -> bool:
        """Whether somebody knows what of the next prompt need not be read."""
        return self.engine.info is None or not self.engine.info.takes_messages or self.engine.capabilities.can_prepare

    # -- ahead of the next turn

    @property
    def can_warm(self) -> bool:
        """Whether prompts are to be evaluated ahead, and can be."""
        return self.request.settings.warm_ahead and self.engine.capabilities.can_prepare

    @property
    def can_take_back(self) -> bool:
        """Whether what was read ahead may change: a recurrent model would have to read the whole prompt anew."""
        return self.engine.info is None or self.engine.info.can_take_back

    async def preview(self, chat: Chat, draft: Message = EMPTY) -> Preview:
        """What is known of the next prompt when the user is writing `draft`. Nothing is evaluated. Raises EngineError.

        Passages are found for whole messages only, and stand before the words: with documents, the words are not part of it.
        """
        known = known_of(_without_macros(draft) if chat.playing is not None else draft)
        if self.find_passages is not None and chat.collections:
            known = Message(Role.USER, known.images)
        await self.load.model()
        chat = with_tools(chat, await self.tools.told_of(chat, known.text))
        known = self.with_lore(chat, known)
        return await preview(await self.prompt(chat.added(Entry(known))), known)

    def can_read_following(self, shown: Preview) -> bool:
        """Whether the prompt that will follow is known, is worth reading ahead, and is held beside the present one."""
        is_known = bool(shown.following) and not self.sums_up
        is_worth_it = is_known and self.request.settings.when_full is WhenFull.REREAD and shown.filled > NEAR
        return is_worth_it and self.engine.capabilities.can_hold_next and shown.both <= self._held_at_most

    async def prepare(
        self, shown: Preview, key: str, on_progress: Callable[[Progress], None] | None = None, *, following: bool = False
    ) -> Prepared:
        """Evaluate a preview, or the one of the prompt that will follow, which is kept beside it. Any other request ends it early.

        key: what the engine knows the conversation by. Raises EngineError.
        """
        place, segments = Place(key, is_next=following), shown.following if following else shown.now
        asked = shown.asked_following if following else shown.asked_now
        try:
            done = await self.engine.prepare(segments, on_progress, place=place, asked=asked)
        except EngineError:
            self.held.clear()
            raise
        self.held.prepared(place, segments, done, self.held.common(segments, shown.tokens))
        return done

    async def forget_ahead(self, chat: Chat) -> Trim | None:
        """What of a chat the window is to forget now, as it is idle time and would have to be forgotten soon. Raises EngineError."""
        prompt = await self.prompt(self.tools.in_force(chat).added(Entry(EMPTY)))
        early = await self._is_last_chance(prompt)
        return trim_between(chat, prompt.assembled.trimmed(chat, prompt.fit_ahead(early=early)))

    async def forget(self, key: str) -> None:
        """A conversation was deleted: the engine keeps nothing of it. Raises EngineError."""
        self.held.forget(key)
        await self.engine.forget(key)

    async def close(self) -> None:
        """End the engine, also in the middle of loading."""
        await self.load.close()
        await self.engine.close()

    async def _is_last_chance(self, prompt: Prompt) -> bool:
        """Whether the prompt that will follow has been read, and will be held no more when another turn as long as the last is there."""
        shown = await preview(prompt, EMPTY)
        said = prompt.size.messages[:-1]
        begins = max((at for at, message in enumerate(said) if message.role is Role.USER), default=0)
        turn = sum(message.tokens for message in said[begins:])
        total = sum(prompt.tokens[segment] for segment in shown.following)
        is_read = total > 0 and self.held.common(shown.following, prompt.tokens) + turn >= total
        return is_read and shown.both + turn > self._held_at_most

    @property
    def _held_at_most(self) -> int:
        """Tokens of all prompts together that the engine has room for."""
        info = self.engine.info
        return (info.context_length if info is not None else 0) + self.request.settings.spare_tokens


def _without_macros(draft: Message) -> Message:
    """A draft up to its first macro, whose words are not there before it is sent."""
    text, mark, _ = draft.text.partition("{{")
    return Message(draft.role, (*draft.images, *((TextPart(text),) if text else ()))) if mark else draft

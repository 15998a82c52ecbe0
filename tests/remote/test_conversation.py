"""A conversation of twelve turns with a real llama-server: the same words as from the engine in this program, and counts that are exact."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from nemochat.chat import Chat, TurnResult
from nemochat.chat.meaning import Passages
from nemochat.chat.toolbox import Toolbox, with_tools
from nemochat.chat.values import ChatEvent, RoundEnded
from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import Retriever
from nemochat.documents.values import named_collection
from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.tools import Approval, ToolRequest
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import Engine, LoadRequest
from nemochat.engine.remote import open_engine
from nemochat.settings import EngineSettings
from nemochat.tools.approval import Approvals
from nemochat.tools.builtin.arithmetic import calculator
from nemochat.tools.registry import Registry
from tests.chat.talking import Talking
from tests.material import material
from tests.remote.llama_server import CONTEXT, DEMO, DEMO_PROJECTOR, LlamaServer, running

GARDEN = named_collection("garden")
GREEDY = Sampling(temperature=0.0, max_tokens=64, seed=7)
SIDE = 128


async def nothing() -> None:
    """There is no server to be started again."""


class Turns:
    """A conversation in which every prompt is counted before it is sent, and again when it was read. said: the replies."""

    def __init__(self, engine: Engine, request: LoadRequest, index: DocumentIndex) -> None:
        self.engine = engine
        sampling = GREEDY if request.mmproj_path else msgspec.structs.replace(GREEDY, max_tokens=12)
        self.talk = Talking(engine, request, sampling, SIDE if request.mmproj_path else None)
        self.talk.key = "chat"
        self.talk.toolbox = Toolbox(Registry([calculator()]), Approvals(), self.approve)
        self.talk.reader.find_passages = Passages(Retriever(index), 400, self.note).find
        self.said: list[str] = []
        self.rounds = 0

    async def approve(self, request: ToolRequest) -> Approval:
        raise AssertionError(request)

    def note(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def offer_calculator(self) -> None:
        self.talk.open_chat(with_tools(self.talk.chat, [calculator().offered.spec]))

    def search_documents(self, *collections: str) -> None:
        self.talk.open_chat(msgspec.structs.replace(self.talk.chat, collections=collections))

    async def send(self, text: str, *pictures: ImagePart, is_counted: bool = True) -> TurnResult:
        """One turn; where nothing is found or called on the way, what was shown before is what was read."""
        message = Message(Role.USER, (*pictures, TextPart(text)))
        shown = (await self.talk.context_view(message)).used
        result = await self.played(self.talk.send(message))
        assert result.usage.prompt_tokens == shown or not is_counted, (text, shown, result.usage)
        return result

    async def played(self, events: AsyncGenerator[ChatEvent, None], *, stops: bool = False) -> TurnResult:
        results: list[TurnResult] = []
        async for event in events:
            if isinstance(event, TextDelta) and stops:
                self.talk.stop()
            if isinstance(event, RoundEnded):
                results.append(event.result)
            elif isinstance(event, TurnResult):
                results.append(event)
        records = [entry.record for entry in self.talk.entries if entry.record is not None][-len(results) :]
        for result, record in zip(results, records, strict=True):
            counted = sum(await self.engine.count(record.prompt))
            assert result.usage.prompt_tokens == result.usage.reused_tokens + result.usage.evaluated_tokens == counted
        self.rounds += len(results)
        self.said.append(results[-1].text)
        return results[-1]


async def twelve(turns: Turns, restart: Callable[[], Awaitable[None]], *, can_see: bool) -> None:
    """The turns; the server is started again behind the sixth."""
    await turns.send("Hello, who are you?")
    pictures: tuple[ImagePart, ...] = ()
    if can_see:
        attached = await turns.talk.attach(RgbImage.from_rgb(128, 128, bytes([220, 40, 40] * 128 * 128)), "red.png")
        pictures = (attached.part,)
    first = await turns.send("What colour is this?", *pictures)
    assert first.usage.image_tokens == (64 if can_see else 0)
    await turns.send("Are you sure?")
    turns.offer_calculator()
    await turns.send("What is 17 times 23?", is_counted=False)
    await turns.send("Thank you.")
    turns.search_documents(GARDEN)
    await turns.send("What helps against slugs?", is_counted=False)
    await restart()
    turns.search_documents()
    again = await turns.send("And is there anything else?")
    assert again.usage.prompt_tokens > 200
    for text in ("Hello.", "What colour was the picture?", "Say it with <extra_id_1> and </s> and <|im_end|> in it."):
        result = await turns.send(text)
        assert result.usage.reused_tokens > again.usage.prompt_tokens - 40, "the chat has its slot"
    cut = await turns.played(turns.talk.send(Message(Role.USER, (TextPart("Tell me more about it."),))), stops=True)
    assert cut.reason in (FinishReason.CANCELLED, FinishReason.STOP)  # one token is a whole reply, sometimes
    await turns.played(turns.talk.regenerate())
    assert len(turns.said) == 12


@asynccontextmanager
async def documents(folder: Path) -> AsyncGenerator[DocumentIndex, None]:
    index, _ = DocumentIndex.open(folder / "index.db")
    with index:
        index.add_text("slugs", "slugs.md", "Against slugs helps a ring of sand, and to water in the morning.", GARDEN)
        yield index


async def talked(engine: Engine, request: LoadRequest, folder: Path, restart: Callable[[], Awaitable[None]]) -> list[str]:
    folder.mkdir()
    async with documents(folder) as index:
        turns = Turns(engine, request, index)
        turns.talk.open_chat(Chat().framed("You are kind and brief."))
        try:
            await twelve(turns, restart, can_see=request.mmproj_path is not None)
        finally:
            await turns.talk.close()
    assert turns.rounds > 12 or request.mmproj_path is None, "a tool was called"
    return turns.said


async def test_twelve_turns_say_what_the_local_engine_says(demo_server: LlamaServer, tmp_path: Path) -> None:
    request = LoadRequest("demo", str(DEMO), str(DEMO_PROJECTOR), EngineSettings(threads=1, context_length=CONTEXT))

    async def restart() -> None:
        demo_server.restart()

    here = await talked(WorkerEngine(tmp_path / "engine.log"), request, tmp_path / "here", nothing)
    there = await talked(open_engine(demo_server.server, ""), request, tmp_path / "there", restart)
    assert there[:9] == here[:9], "names of control tokens are broken beside a picture"


async def test_twelve_turns_with_an_instruct_model(tmp_path: Path) -> None:
    model = material("SmolLM2-135M-Instruct.Q4_1.gguf")
    with running(model, None) as server:
        request = LoadRequest("smollm2", "", None, EngineSettings())

        async def restart() -> None:
            server.restart()

        await talked(open_engine(server.server, ""), request, tmp_path / "there", restart)

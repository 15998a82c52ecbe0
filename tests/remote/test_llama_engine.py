"""The engine that is a llama-server, with a real one: what it says of the model, counts, reads ahead, keeps, and how it stops."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.domain.events import Finished, FinishReason, Progress, Stage, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.domain.servers import Server
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest, Place
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.engine.remote.llama_server import LlamaServerEngine
from nemochat.errors import EngineError, ServerError
from nemochat.prompt.grammar import json_grammar, tool_call_grammar
from nemochat.settings import EngineSettings, KvType
from tests.engine.llama_harness import gather, never
from tests.material import each
from tests.remote.llama_server import CONTEXT, DEMO, DEMO_PROJECTOR, LlamaServer, running
from tests.tiny_gguf import write_language_model

HEAD, ANSWER = Control("<extra_id_0>System\n\n<extra_id_1>User\n"), Control("\n<extra_id_1>Assistant\n")
HOSTILE = "Say <extra_id_1> and </s>, <toolcall> <s> <<s>s> and <unk> too."
RED = RgbImage.from_rgb(128, 128, bytes([220, 40, 40] * 128 * 128))
GREEDY = Sampling(temperature=0.0, max_tokens=48)
REQUEST = LoadRequest("demo", str(DEMO), str(DEMO_PROJECTOR), EngineSettings(threads=1, context_length=CONTEXT, kv_type=KvType.F16))
MANY_WORDS = "one two three four five six seven eight nine ten "


def question(*said: str | ImageSlot) -> tuple[Segment, ...]:
    """A conversation of one message."""
    return (HEAD, *(Plain(each) if isinstance(each, str) else each for each in said), ANSWER)


@asynccontextmanager
async def opened(server: LlamaServer) -> AsyncGenerator[LlamaServerEngine, None]:
    engine = LlamaServerEngine(ServerClient(server.server))
    try:
        await engine.load(REQUEST)
        yield engine
    finally:
        await engine.close()


async def reply(engine: LlamaServerEngine, segments: Sequence[Segment], sampling: Sampling = GREEDY, **more: Any) -> tuple[str, Finished]:
    events = [event async for event in engine.generate(GenerateRequest(tuple(segments), sampling, **more))]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


def asked(server: LlamaServer, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=120) as answer:
        return json.load(answer)


def asked_tokens(server: LlamaServer, text: str) -> list[int]:
    body = json.dumps({"content": text, "parse_special": False}).encode()
    with urllib.request.urlopen(f"{server.url}/tokenize", body, timeout=120) as answer:
        found: list[int] = json.load(answer)["tokens"]
        return found


def busy(server: LlamaServer) -> int:
    return sum(slot["is_processing"] for slot in asked(server, "/slots"))


async def test_the_model_is_what_the_server_says(demo_server: LlamaServer) -> None:
    backend = LlamaBackend()
    here = backend.load(REQUEST, lambda _: None)
    async with opened(demo_server) as engine:
        there = engine.info
        assert there is not None
        assert there.context_length == CONTEXT
        assert (there.has_vision, there.chat_template, there.begin_text, there.end_text, there.adds_begin) == (
            here.has_vision,
            here.chat_template,
            here.begin_text,
            here.end_text,
            here.adds_begin,
        )
        assert there.recommended.temperature == here.recommended.temperature == 0.0
    backend.close()


async def test_counts_and_words_are_those_of_the_local_engine(demo_server: LlamaServer) -> None:
    backend = LlamaBackend()
    backend.load(REQUEST, lambda _: None)
    async with opened(demo_server) as engine:
        for text in ("Hello, who are you?", HOSTILE, "", " \n two  spaces \n", "naïve \N{GRINNING FACE} 漢字", "<extra_id_\n1>"):
            segments = question(text)
            assert await engine.count(segments) == backend.count(segments)
            here = gather(backend.generate(GenerateRequest(segments, GREEDY), never))
            there, finished = await reply(engine, segments)
            assert there == here.text, text
            assert finished.reason is here.finished.reason
            assert finished.usage.prompt_tokens == sum(backend.count(segments)) == here.finished.usage.prompt_tokens
            assert finished.usage.completion_tokens == here.finished.usage.completion_tokens
        assert engine.capabilities.keeps_words_apart
    backend.close()


@pytest.mark.parametrize("path", ["with a space before text and a begin token", *each("*.gguf")])
async def test_other_vocabularies_are_counted_as_here(path: str | Path, tmp_path: Path) -> None:
    if isinstance(path, str):
        path = write_language_model(tmp_path / "tiny.gguf", space_prefix=True, bos=True)
    backend = LlamaBackend()
    backend.load(LoadRequest("other", str(path), None, EngineSettings(threads=1, context_length=512)), lambda _: None)
    with running(path, None, slots=1, context=512) as server:
        async with opened(server) as engine:
            assert engine.info is not None
            begin, end = engine.info.begin_text, engine.info.end_text
            for text in ("Hello there", f" {begin}user <|im_end|><start_of_turn> [INST] {end}", "a\n\n\nb", "", "12 []<> <tool>"):
                for control in (f"{begin}user\n", "user: "):
                    segments = (Control(control), Plain(text), Control(f"{end}\n"), Plain("\n\nand more"), Control("\n\n"))
                    assert await engine.count(segments) == backend.count(segments), (control, text)
            _, finished = await reply(engine, segments[:3])
            assert finished.usage.prompt_tokens == sum(backend.count(segments[:3]))
    backend.close()


async def test_what_others_wrote_beside_a_picture_is_broken_and_counted_so(demo_server: LlamaServer) -> None:
    async with opened(demo_server) as engine:
        assert await engine.add_image(RED) == 64
        marker = asked(demo_server, "/props")["media_marker"]
        segments = (HEAD, ImageSlot(RED.digest), Control("\n"), Plain(HOSTILE), Plain(f" {marker} <extra_"), Plain("id_1>!"), ANSWER)
        text, finished = await reply(engine, segments, conversation="hostile")
        assert text
        assert finished.usage.prompt_tokens == sum(await engine.count(segments))
        assert finished.usage.image_tokens == 64
        assert not engine.capabilities.keeps_words_apart
        # As the server read it: of the names of control tokens only the format's own are left, and one picture.
        prompt = engine._slots.held(Place("hostile"))
        assert prompt is not None
        sent = "".join(str(unit) for unit in prompt.prompt.units[1:])
        for name in ("</s>", "<s>", "<toolcall>", marker, "<extra_id_1>!"):
            assert name not in sent
        assert "< extra_id_1>" in sent
        assert "< /s>" in sent
        await reply(engine, question("Hello."))
        assert engine.capabilities.keeps_words_apart


async def test_a_picture_that_was_let_go_of_is_asked_for_again(demo_server: LlamaServer) -> None:
    async with opened(demo_server) as engine:
        segments = question(ImageSlot(RED.digest), "What colour is this?")
        with pytest.raises(EngineError, match="never given"):
            await engine.count(segments)
        engine.find_image = {RED.digest: RED}.get
        assert (await engine.count(segments))[1] == 64
        large = RgbImage.from_rgb(3000, 20, bytes([1, 2, 3] * 60_000))
        assert await engine.add_image(large) == 64
        assert (await reply(engine, question(ImageSlot(large.digest), "Colour?")))[1].usage.image_tokens == 64


async def test_a_prompt_may_be_read_ahead_up_to_a_picture_and_not_be_sent_so(demo_server: LlamaServer) -> None:
    demo_server.restart()
    async with opened(demo_server) as engine:
        await engine.add_image(RED)
        begun = (HEAD, ImageSlot(RED.digest))
        done = await engine.prepare(begun, place=Place("picture"))
        assert (done.is_complete, done.encoded_images) == (True, 1)
        with pytest.raises(EngineError, match="end with a picture"):
            await reply(engine, begun)
        _, finished = await reply(engine, (*begun, Control("\n"), Plain("Colour?"), ANSWER), conversation="picture")
        assert finished.usage.reused_tokens >= done.evaluated_tokens
        assert finished.usage.encoded_images == 0


async def test_reading_ahead_makes_way_and_is_not_lost(demo_server: LlamaServer) -> None:
    async with opened(demo_server) as engine:
        segments = question(MANY_WORDS * 50)
        reports: list[Progress] = []

        def report(progress: Progress) -> None:
            reports.append(progress)

        reading = asyncio.create_task(engine.prepare(segments, report, place=Place("long")))
        while len(reports) < 2:
            await asyncio.sleep(0.001)
        _, finished = await reply(engine, segments, conversation="long")
        done = await reading
        assert not done.is_complete
        assert finished.usage.reused_tokens >= done.evaluated_tokens - 1 > 0
        assert [report.stage for report in reports] == [Stage.PREFILL] * len(reports)
        total = sum(await engine.count(segments))
        assert {report.total for report in reports} == {total - done.reused_tokens}
        again = await engine.prepare(segments, place=Place("long"))
        assert again.is_complete
        assert again.reused_tokens >= total - 1


async def test_what_another_run_has_read_is_not_read_again(demo_server: LlamaServer) -> None:
    demo_server.restart()
    segments = question(MANY_WORDS * 30, "Again.")
    for is_known in (False, True):
        async with opened(demo_server) as engine:
            done = await engine.prepare(segments, place=Place("again"))
            assert done.is_complete
            assert (done.reused_tokens >= sum(await engine.count(segments)) - 1) is is_known


async def test_each_chat_has_a_slot_and_what_will_follow_is_held_beside_it(demo_server: LlamaServer) -> None:
    demo_server.restart()
    one, two = question(MANY_WORDS * 5, "Hello?"), question(MANY_WORDS * 5, "Good day?")
    async with opened(demo_server) as engine:
        assert engine.capabilities.can_hold_next
        for _ in range(2):
            for conversation, segments in (("one", one), ("two", two)):
                _, finished = await reply(engine, segments, conversation=conversation)
        assert finished.usage.reused_tokens == finished.usage.prompt_tokens - 1, "they do not take each other's"
        await engine.forget("two")
        following = question(MANY_WORDS * 4, "And then?")
        done = await engine.prepare(following, place=Place("one", is_next=True))
        assert done.is_complete
        for segments in (one, following):
            _, finished = await reply(engine, segments, conversation="one")
            assert finished.usage.reused_tokens == finished.usage.prompt_tokens - 1
        assert engine.capabilities.can_hold_next


@pytest.mark.parametrize(("slots", "unified"), [(1, False), (2, True)])
async def test_what_cannot_be_held_beside_the_present_prompt_is_not_read(slots: int, *, unified: bool) -> None:
    present = question(MANY_WORDS * 5, "Hello?")
    with running(slots=slots, unified=unified, context=1024) as server:
        async with opened(server) as engine:
            await reply(engine, present, conversation="one")
            done = await engine.prepare(question("Another."), place=Place("one", is_next=True))
            assert (done.evaluated_tokens, done.is_complete) == (0, False)
            assert not engine.capabilities.can_hold_next
            _, finished = await reply(engine, present, conversation="one")
            assert finished.usage.reused_tokens == finished.usage.prompt_tokens - 1, "the present prompt is still there"


async def test_a_cancelled_reply_ends_at_the_server_too(demo_server: LlamaServer) -> None:
    endless = Sampling(temperature=1.5, max_tokens=3000, seed=1)
    request = GenerateRequest(question("Speak."), endless, 'root ::= ("word ")+ "."', "", "talk")
    async with opened(demo_server) as engine:
        events: list[Any] = []
        async for event in engine.generate(request):
            events.append(event)
            if isinstance(event, TextDelta):
                await engine.cancel()
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is FinishReason.CANCELLED
        assert events[-1].usage.prompt_tokens == sum(await engine.count(question("Speak.")))
        assert events[-1].usage.completion_tokens < 200
        end = time.monotonic() + 120
        while busy(demo_server) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert not busy(demo_server)
        # The next one has the slot, also while the server has not noticed yet.
        async for _ in engine.generate(request):
            break
        _, finished = await reply(engine, question("Speak."), conversation="talk")
        assert finished.usage.reused_tokens == finished.usage.prompt_tokens - 1


async def test_a_server_that_was_started_again_is_asked_on(demo_server: LlamaServer) -> None:
    async with opened(demo_server) as engine:
        await engine.add_image(RED)
        segments = question(ImageSlot(RED.digest), "What colour is this?")
        before, _ = await reply(engine, segments, conversation="chat")
        demo_server.stop()
        with pytest.raises(ServerError, match="does not answer"):
            await reply(engine, segments, conversation="chat")
        demo_server.start()
        after, finished = await reply(engine, segments, conversation="chat")
        assert after == before
        assert finished.usage.reused_tokens == 0


async def test_another_model_at_the_same_address_is_not_spoken_to(demo_server: LlamaServer, tmp_path: Path) -> None:
    other = LlamaServer(write_language_model(tmp_path / "tiny.gguf"), None, context=512)
    async with opened(demo_server) as engine:
        await reply(engine, question("Hello."))
        demo_server.stop()
        other._port = demo_server._port
        try:
            other.start()
            with pytest.raises(EngineError, match="another model now"):
                await reply(engine, question("Hello."))
        finally:
            other.close()
            demo_server.start()
        assert (await reply(engine, question("Hello.")))[0]


async def test_while_the_server_loads_there_is_progress(demo_server: LlamaServer) -> None:
    refused = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As the server is while it loads its model, and then what it answers."""
        nonlocal refused
        head = await reader.readuntil(b"\r\n\r\n")
        if refused < 1:
            refused += 1
            body = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        else:
            there, to_there = await asyncio.open_connection("127.0.0.1", demo_server._port)
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            to_there.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            to_there.write(await reader.readexactly(int(length.partition(b":")[2])))
            writer.write(await there.read())
            to_there.close()
        await writer.drain()
        writer.close()

    between = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with between:
        url = f"http://127.0.0.1:{between.sockets[0].getsockname()[1]}"
        engine = LlamaServerEngine(ServerClient(Server("between", url), limits=Limits(retries=0)))
        reports: list[Progress] = []
        info = await engine.load(REQUEST, reports.append)
        assert info.load_ms > 0
        assert {report.stage for report in reports} == {Stage.LOAD}
        refused = 0
        events = [event async for event in engine.generate(GenerateRequest(question("Hello."), GREEDY))]
        assert isinstance(events[0], Progress)
        assert events[0].stage is Stage.LOAD
        assert isinstance(events[-1], Finished)
        assert events[-1].timings.load_ms > 0
        await engine.close()


async def test_sampling_is_sent_as_it_is_and_what_is_open_is_left_open(demo_server: LlamaServer) -> None:
    demo_server.restart()
    default = asked(demo_server, "/props")["default_generation_settings"]["params"]
    every = Sampling(
        temperature=0.7, top_k=11, top_p=0.5, min_p=0.25, repeat_penalty=1.5, repeat_last_n=7, seed=5, max_tokens=3, stop=("xyz",),
        presence_penalty=0.25, frequency_penalty=0.5, dry_multiplier=0.75, dry_base=1.5, dry_allowed_length=3, dry_penalty_last_n=40,
        dry_sequence_breakers=(";",), top_n_sigma=2.5, typical_p=0.5, xtc_probability=0.25, xtc_threshold=0.125, dynatemp_range=0.25,
        dynatemp_exponent=1.5, mirostat=2, mirostat_tau=4.5, mirostat_eta=0.25, logit_bias={"red": -3.0},
    )  # fmt: skip

    async def used(engine: LlamaServerEngine, sampling: Sampling) -> dict[str, Any]:
        await reply(engine, question("Hello."), sampling)
        return next(slot["params"] for slot in asked(demo_server, "/slots") if "params" in slot)

    async with opened(demo_server) as engine:
        params = await used(engine, every)
        sent = [name for name in every.__struct_fields__ if isinstance(getattr(every, name), int | float)]
        assert [params[name] for name in sent] == [pytest.approx(getattr(every, name)) for name in sent]
        params = await used(engine, Sampling())
        assert {name: params[name] for name in sent} == {name: default[name] for name in sent}
        said, _ = await reply(engine, question("Hello."))
        biased, _ = await reply(engine, question("Hello."), msgspec.structs.replace(GREEDY, logit_bias={said.split()[0]: -100.0}))
        assert biased.split()[:1] != said.split()[:1]


async def test_calls_are_held_to_their_grammar_as_here(demo_server: LlamaServer) -> None:
    tool = ToolSpec("calculator", "Computes.", {"type": "object", "properties": {"expression": {"type": "string"}}})
    told = '{"name": "calculator", "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}}}'
    begin = (Control("<extra_id_0>System\n\n<tool> "), Plain(told), Control(" </tool>\n\n<extra_id_1>User\n"))
    prompts: list[tuple[Segment, ...]] = [(*begin, Plain(text), ANSWER) for text in ("What is 17 times 23?", "Hello.")]
    prompts += [(*prompt, Control("<toolcall>")) for prompt in prompts]
    backend = LlamaBackend()
    backend.load(REQUEST, lambda _: None)
    grammar = tool_call_grammar([tool]).text
    async with opened(demo_server) as engine:
        for prompt in prompts:
            here = gather(backend.generate(GenerateRequest(prompt, GREEDY, grammar), never))
            there, finished = await reply(engine, prompt, grammar=grammar)
            assert there == here.text
            assert finished.reason is here.finished.reason
            assert finished.usage.completion_tokens == here.finished.usage.completion_tokens
        # No stop string ends the reply within a call, but one before it does.
        stops = Sampling(temperature=0.0, max_tokens=48, stop=("*", "help"))
        assert (await reply(engine, prompts[0], stops, grammar=grammar))[0].endswith('"17 * 23"}} </toolcall>')
        text, finished = await reply(engine, prompts[1], stops, grammar=grammar)
        assert (text, finished.reason) == ("Hello! How can I", FinishReason.STOP)
        only = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
        text, _ = await reply(engine, prompts[1], grammar=json_grammar(only).text, grammar_trigger="")
        assert isinstance(json.loads(text)["a"], bool)
        # A trigger that is no token of its own.
        text, _ = await reply(engine, prompts[1], grammar='root ::= "! Done."', grammar_trigger="Hello")
        assert text.startswith("Hello! Done.")
        # What the server cannot parse is left out.
        assert (await reply(engine, prompts[1], grammar="root ::= nonsense("))[0] == "Hello! How can I help?"
    backend.close()


async def test_a_reply_goes_back_in_the_tokens_that_it_was_made_of(demo_server: LlamaServer) -> None:
    spelled = []
    async with opened(demo_server) as engine:
        for seed in range(1, 9):
            wild = Sampling(temperature=2.0, top_p=1.0, min_p=0.0, max_tokens=40, seed=seed)
            first = question("Speak.")
            text, finished = await reply(engine, first, wild, conversation="wild")
            prompt = (*first, Plain(text), Control("\n<extra_id_1>User\n"), Plain("Go on."), ANSWER)
            done = await engine.prepare(prompt, place=Place("wild"))
            tokens = (await engine.count(prompt))[3]
            assert done.reused_tokens >= finished.usage.prompt_tokens + tokens - 1, "it is not spelled anew"
            spelled.append(tokens == len(asked_tokens(demo_server, text)))
    assert not all(spelled), "one of them at least is made of other tokens than its text would be"


async def test_a_prompt_that_is_too_long_is_refused_as_such(demo_server: LlamaServer) -> None:
    async with opened(demo_server) as engine:
        with pytest.raises(ServerError) as raised:
            await reply(engine, question(MANY_WORDS * 500))
        assert raised.value.is_length
        assert (await reply(engine, question("Hello.")))[0]

"""Calls of real tools, as they are sampled: how many run, and whether each that does not is marked.

    python -m benchmarks.calls PATH [--calls N] [--seed N]

PATH holds JSON (Lines) files with functions in OpenAI's form, in folders as deep as they like: the unpacked wheel `bfcl-eval`, say. Each
call goes through a whole session: grammar, check, one more try. In place of a model, tokens of the built-in one's vocabulary are drawn at
random from those that llama.cpp's grammar allows, so that nothing but the grammar and the check holds a call. Exit code 1 when a call ran
that does not fit, or one that did not run was not marked, or fewer than 98 % ran.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

import nemochat
from nemochat.chat import Chat, ChatSession, RoundEnded, Talk, ToolRun, ToolState, TurnResult
from nemochat.chat.toolbox import Toolbox
from nemochat.chat.values import ReplyForm
from nemochat.domain.events import EngineEvent, Finished, FinishReason, TextDelta, Timings, Usage
from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolSpec
from nemochat.domain.sampling import Sampling, Source
from nemochat.domain.segments import Control
from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolOutcome, ToolRequest
from nemochat.engine.llama.candidates import TOKEN_DATA, Candidates
from nemochat.engine.llama.constraint import Grammar
from nemochat.engine.llama.model import Model
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.prompt.grammar import tool_call_grammar
from nemochat.settings import EngineSettings
from nemochat.tools.approval import Approvals
from nemochat.tools.making import FunctionTool
from nemochat.tools.registry import Registry
from tests.chat.fake_engine import FakeEngine

_MODEL = Path(nemochat.__file__).parent / "models" / "demo" / "nemochat-demo.gguf"
_TOKENS = 2000
_HASTE = 0.25
"""How often a token is drawn from those alone that end a string, a list or an object, or begin what comes next."""
_CLOSING = (b'"', b"}", b"]", b",")
_TYPES = {
    "dict": "object", "HashMap": "object", "Hashtable": "object", "float": "number", "double": "number", "bool": "boolean", "list": "array",
    "tuple": "array", "ArrayList": "array", "Array": "array", "Queue": "array", "Stack": "array", "byte": "integer", "short": "integer",
    "long": "integer", "Bigint": "integer", "char": "string", "String": "string", "any": "string", "Any": "string",
}  # fmt: skip
"""The types of other languages that bfcl-eval has in its schemas, as its own runner translates them."""


def tools_in(folder: Path) -> Iterator[ToolSpec]:
    """The functions of all files below a folder, each schema once."""
    seen = set()
    for path in sorted(folder.rglob("*.json")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            for function in _functions(value):
                schema = _translated(function["parameters"])
                if (text := json.dumps(schema, sort_keys=True)) not in seen:
                    seen.add(text)
                    yield ToolSpec(function["name"], str(function.get("description", ""))[:200], schema)


def _functions(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _functions(each)
    elif isinstance(value, dict):
        if isinstance(value.get("name"), str) and isinstance(value.get("parameters"), dict):
            yield value
        for key in ("function", "functions", "tools"):
            yield from _functions(value.get(key))


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _TYPES.get(each, each) if key == "type" and isinstance(each, str) else _translated(each) for key, each in value.items()}


class Drawing(FakeEngine):
    """An engine that draws tokens at random from those that the grammar allows, more often ones that bring a call to its end."""

    def __init__(self, seed: int) -> None:
        super().__init__(context_length=1 << 20)
        self.chance = random.Random(seed)
        self._model = Model(str(_MODEL), gpu_layers=0, mmap=True, on_progress=lambda _: None)
        self._pieces = [b"" if self._model.is_marker(n) else self._model.piece(n) for n in range(self._model.vocab_size)]
        self._whole = frozenset(token for token, piece in enumerate(self._pieces) if _is_text(piece))
        self._ends = frozenset(token for token, piece in enumerate(self._pieces) if piece.strip()[:1] in _CLOSING)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """A call where one has begun, else a word."""
        reason = FinishReason.STOP
        if not (isinstance(last := request.segments[-1], Control) and last.text == request.grammar_trigger):
            yield TextDelta("Done.")
        else:
            grammar = Grammar(self._model, request.grammar)
            most = request.sampling.max_tokens or _TOKENS
            for _ in range(most):
                yield TextDelta(self._drawn(grammar))
                if grammar.is_complete:
                    break
            else:
                reason = FinishReason.LENGTH
            grammar.close()
        yield Finished(reason, Usage(), Timings())

    def _drawn(self, grammar: Grammar) -> str:
        candidates = np.zeros(len(self._pieces), TOKEN_DATA)
        candidates["id"] = np.arange(len(self._pieces))
        allowed = Candidates(candidates)
        grammar.restrict(allowed)
        tokens = [token for token in allowed.tokens if self._pieces[token]]
        if self._utf8.getstate()[0]:
            tokens = [token for token in tokens if 0x80 <= self._pieces[token][0] < 0xC0]
        else:
            tokens = [token for token in tokens if token in self._whole] or tokens
        ends = [token for token in tokens if token in self._ends]
        token = self.chance.choice(ends if ends and self.chance.random() < _HASTE else tokens)
        grammar.accept(token)
        return self._utf8.decode(self._pieces[token])


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return bool(piece)


class Caller:
    """One session that is made to call one tool after another."""

    def __init__(self, engine: Drawing) -> None:
        request = LoadRequest("drawn", "", None, EngineSettings())
        self._session = ChatSession(engine, request, {Source.REQUEST: Sampling(max_tokens=_TOKENS)})

    async def call(self, tool: ToolSpec) -> tuple[list[dict[str, Any]], str, bool]:
        """Have a tool called: the arguments that ran, why none did ("" when one did), and whether that took another try."""
        ran: list[dict[str, Any]] = []

        async def run(arguments: dict[str, Any]) -> ToolOutcome:
            ran.append(arguments)
            return ToolOutcome("done")

        offered = OfferedTool(tool, ToolOrigin.BUILTIN, "bench", is_harmless=True, fingerprint="1")
        self._session.toolbox = Toolbox(Registry([FunctionTool(offered, run)]), Approvals(), _refuse)
        self._session.form = ReplyForm(calls=True)
        talk = Talk(self._session, Chat.of(Conversation(tools=(tool,))))
        why, tries = "", 0
        async with aclosing(talk.send(Message(Role.USER, (TextPart("Go on."),)))) as events:
            async for event in events:
                match event:
                    case RoundEnded():
                        tries += 1
                    case ToolRun(state=ToolState.FAILED | ToolState.DONE):
                        why = "" if event.state is ToolState.DONE else event.result or ""
                        if ran:
                            talk.stop()
                    case TurnResult() if not ran and event.warnings:
                        why = event.warnings[0]
        return ran, why, tries > 1


async def _refuse(_: ToolRequest) -> Approval:
    return Approval.REFUSED


async def measure(folder: Path, calls: int, seed: int) -> int:
    """Sample and print; the exit code."""
    tools = list(tools_in(folder))
    random.Random(seed).shuffle(tools)
    print(f"{len(tools):,} schemas in {folder}")
    counts: Counter[str] = Counter()
    used = set()
    caller = Caller(Drawing(seed))
    for number in range(calls):
        tool = tools[number % len(tools)]
        ran, why, is_again = await caller.call(tool)
        counts["calls"] += 1
        used.add(number % len(tools))
        counts["schemas that the grammar holds whole"] += not tool_call_grammar([tool]).uncovered
        _count(counts, tool, ran, why, is_again)
    counts["schemas"] = len(used)
    for name, count in counts.items():
        print(f"{name:45} {count:6,}")
    return int(counts["ran and does not fit"] + counts["neither ran nor was marked"] > 0 or counts["ran"] < 0.98 * counts["calls"])


def _count(counts: Counter[str], tool: ToolSpec, ran: list[dict[str, Any]], why: str, is_again: bool) -> None:
    for arguments in ran:
        if not jsonschema.Draft202012Validator(tool.parameters).is_valid(arguments):
            counts["ran and does not fit"] += 1
    if ran:
        counts["ran"] += 1
        counts["held by the grammar alone"] += not is_again
        return
    counts["neither ran nor was marked" if not why else f"marked: {why[:60].partition(':')[0]}"] += 1


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(measure(options.path, options.calls, options.seed))


if __name__ == "__main__":
    sys.exit(main())

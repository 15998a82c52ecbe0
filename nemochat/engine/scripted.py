"""A deterministic stand-in for a model: it says what a script says. For tests, snapshots and screenshots.

The script is a JSON file (``NAME.script.json``) in the place of the model file; `Script` is its format. The smallest one is
``{"replies": [{"text": "Hello."}]}``. Tokens are pieces of up to 4 characters, special tokens and turn markers are one token each in
control text, a picture costs `image_tokens`. Reuse, encoding and limits are accounted as the real engine does it; times in the reports are
the script's own delays, so that a picture of the screen is the same on every machine.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.backend import NO_MATTER, Cancelled, ProgressSink, Waiting
from nemochat.engine.protocol import UNNAMED, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.errors import EngineError, ModelFileError
from nemochat.reading import read_regular

_MAX_SCRIPT = 64 << 20
_SLICE_SECONDS = 0.01
"""How often a delay looks at the cancel flag."""
_SPECIAL = re.compile(r"(<extra_id_\d+>|</?s>|</?toolcall>)")
_TURN_MARKER = re.compile(r"<extra_id_\d+>|</s>")
_PIECE = re.compile(r"\s?\w{1,4}|\s+|[^\w\s]")


class Pieces(StrEnum):
    """How a reply is cut into events: token by token, character by character, or all at once."""

    TOKENS = "tokens"
    CHARACTERS = "characters"
    WHOLE = "whole"


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reply. With `when`, it answers every prompt whose last plain text contains that; without, it takes its turn in the order
    of the script, the last one again and again. The order starts anew with each load.

    reason: how a reply ends that is neither cancelled nor too long. call_chance: how likely a call is before it; None is 1 where it is one
    and 0 where not. other: what is said in place of it when the gate wants a call of words, or words of a call.
    """

    text: str
    when: str = ""
    pieces: Pieces = Pieces.TOKENS
    reason: FinishReason = FinishReason.STOP
    call_chance: float | None = None
    other: str = ""


class FaultKind(StrEnum):
    """What goes wrong: a signal to itself, an exit with code 3, a process that holds the interpreter lock forever, an exception that
    nobody foresaw, or a failure with a message."""

    SEGV = "segv"
    ABORT = "abort"
    KILL = "kill"
    STOP = "stop"
    EXIT = "exit"
    DEAF = "deaf"
    BUG = "bug"
    REFUSE = "refuse"


class FaultStage(StrEnum):
    """Where it goes wrong."""

    LOAD = "load"
    ENCODE = "encode"
    PREFILL = "prefill"
    DECODE = "decode"


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that goes wrong each time when `after` units of the stage (thousandths, pictures, tokens) are done.

    when: only in prompts whose last plain text contains it; it means nothing while loading.
    """

    at: FaultStage
    kind: FaultKind
    after: int = 0
    when: str = ""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model is and says. Delays are in seconds: for the load, per picture, per prefill batch and per token of the reply.

    recommended: the sampling that its file asks for. chat_template: the one in it; "" for none, and then the Nemotron format.
    """

    replies: tuple[Reply, ...] = (Reply("This is the scripted engine."),)
    faults: tuple[Fault, ...] = ()
    has_vision: bool = True
    context_length: int = 4096
    image_tokens: int = 16
    load_seconds: float = 0.0
    encode_seconds: float = 0.0
    batch_seconds: float = 0.0
    token_seconds: float = 0.0
    recommended: Sampling = Sampling()
    chat_template: str = ""


class Token(NamedTuple):
    """A token: its kind ("text", "special" or "image") and its text, for a picture its digest and the position in it."""

    kind: str
    text: str


def read_script(path: Path) -> Script:
    """Read a script. Raises ModelFileError."""
    try:
        return msgspec.json.decode(read_regular(path, _MAX_SCRIPT), type=Script)
    except OSError as error:
        raise ModelFileError(f"The script {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError(f"The script {path} is not valid: {error}.") from error


def tokenize(segment: Segment, image_tokens: int) -> list[Token]:
    """The tokens of one segment; only control text has special ones."""
    match segment:
        case ImageSlot():
            return [Token("image", f"{segment.digest} {index}") for index in range(image_tokens)]
        case Plain():
            return _text_tokens(segment.text)
        case Control():
            parts = enumerate(_SPECIAL.split(segment.text))
            return [token for index, part in parts for token in ([Token("special", part)] if index % 2 else _text_tokens(part))]


def _text_tokens(text: str) -> list[Token]:
    return [Token("text", piece) for piece in _PIECE.findall(text)]


class ScriptedBackend:
    """A `Backend` that follows a script: the one given, or the file in the load request."""

    def __init__(self, script: Script | None = None) -> None:
        self._given = script
        self._script = script or Script()
        self._batch = 1
        self._window = 0
        self._spoken = 0
        self._images: set[str] = set()
        self._encoded: set[str] = set()
        self._ledgers: dict[Place, list[Token]] = {}
        self._ledger: list[Token] = []
        self._last_text = ""
        self.asked: GenerateRequest | None = None
        """The last request for a reply, for tests that want to see what was sent. Its grammar is not followed."""

    def load(self, request: LoadRequest, on_progress: ProgressSink) -> ModelInfo:
        """Read the script and take the load's time."""
        self._script = script = self._given or read_script(Path(request.model_path))
        self._batch = request.settings.batch
        self._window = min(request.settings.context_length or script.context_length, script.context_length)
        self._spoken = 0
        self._images.clear()
        self._encoded.clear()
        self._ledgers.clear()
        self._last_text = ""
        for done in (0, 500, 1000):
            on_progress(Progress(Stage.LOAD, done, 1000))
            self._fail_if_due(FaultStage.LOAD, done)
            if done < 1000:
                time.sleep(script.load_seconds / 2)
        return ModelInfo(
            name=request.name,
            context_length=self._window,
            has_vision=script.has_vision,
            vocab_size=256,
            load_ms=script.load_seconds * 1000,
            chat_template=script.chat_template,
            recommended=script.recommended,
        )

    def add_image(self, image: RgbImage) -> int:
        """Know a picture. Raises EngineError when the script has no vision."""
        if not self._script.has_vision:
            raise EngineError("This model cannot see pictures.", "Choose a model with a projector (mmproj).")
        self._images.add(image.digest)
        return self._script.image_tokens

    def forget_images(self, digests: Sequence[str]) -> None:
        """Know these pictures no longer."""
        self._images.difference_update(digests)

    def count(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment."""
        return [len(tokens) for tokens in self._tokenize(segments)]

    def prepare(
        self,
        segments: Sequence[Segment],
        cancelled: Cancelled,
        on_progress: ProgressSink,
        place: Place = UNNAMED,
        waiting: Waiting = NO_MATTER,
    ) -> Prepared:
        """Encode and evaluate ahead."""
        reused, encoded = self._plan(segments, place)
        for progress in self._evaluate(segments, cancelled):
            on_progress(progress)
        done = len(self._ledger) - reused
        is_complete = len(self._ledger) == sum(self.count(segments))
        return Prepared(reused, done, encoded, self._encode_ms(encoded) + self._prefill_ms(done), is_complete)

    def forget(self, conversation: str) -> None:
        """Hold nothing of a conversation."""
        for place in [place for place in self._ledgers if place.conversation == conversation]:
            del self._ledgers[place]

    def generate(self, request: GenerateRequest, cancelled: Cancelled) -> Iterator[EngineEvent]:
        """Evaluate the prompt and say the reply."""
        self.asked = request
        prompt = sum(self.count(request.segments))
        if prompt >= self._window:
            raise EngineError(f"The prompt has {prompt} tokens and the window {self._window}.", "Shorten it.")
        reused, encoded = self._plan(request.segments, Place(request.conversation))
        yield from self._evaluate(request.segments, cancelled)
        evaluated = len(self._ledger) - reused
        said = 0
        reason = FinishReason.CANCELLED
        chance = None
        if not cancelled():
            reply = self._reply()
            if (gate := request.gate) is not None:
                is_call = gate.is_call(reply.text)
                chance = float(is_call) if reply.call_chance is None else reply.call_chance
                if gate.threshold is not None and gate.lets_call(chance) != is_call:
                    reply = msgspec.structs.replace(reply, text=reply.other)
            tokens = _text_tokens(cut_at_stop(reply.text, request.sampling.stop or ()))
            room = min(request.sampling.max_tokens or self._window, self._window - prompt)
            reason = reply.reason if len(tokens) <= room else FinishReason.LENGTH
            for piece in _cut(tokens[:room], reply.pieces):
                self._fail_if_due(FaultStage.DECODE, said)
                _pause(self._script.token_seconds * len(piece), cancelled)
                if cancelled():
                    reason = FinishReason.CANCELLED
                    break
                yield from (TextDelta(text) for text in _texts(piece, reply.pieces))
                said += len(piece)
                self._ledger += piece
        image_tokens = sum(isinstance(segment, ImageSlot) for segment in request.segments) * self._script.image_tokens
        usage = Usage(reused + evaluated, image_tokens, reused, evaluated, said, encoded)
        encode_ms, prefill_ms, token_ms = self._encode_ms(encoded), self._prefill_ms(evaluated), self._script.token_seconds * 1000
        first_ms = encode_ms + prefill_ms + (token_ms if said else 0.0)
        yield Finished(reason, usage, Timings(0.0, encode_ms, prefill_ms, token_ms * said, first_ms), chance)

    def close(self) -> None:
        """Forget everything."""
        self._images.clear()
        self._ledgers.clear()

    def _tokenize(self, segments: Sequence[Segment]) -> list[list[Token]]:
        for segment in segments:
            if isinstance(segment, ImageSlot) and segment.digest not in self._images:
                raise EngineError("The engine was never given this picture.", "Attach it again.")
        return [tokenize(segment, self._script.image_tokens) for segment in segments]

    def _plan(self, segments: Sequence[Segment], place: Place) -> tuple[int, int]:
        """How many tokens of a prompt are held, at least one being left to evaluate, and how many pictures need the encoder.

        Its place then holds what is reused, of what any place holds.
        """
        tokens = [token for part in self._tokenize(segments) for token in part]
        self._last_text = next((part.text for part in reversed(segments) if isinstance(part, Plain)), "")
        best: list[Token] = []
        for ledger in self._ledgers.values():
            held = [have for have, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ledger, tokens[:-1], strict=False))]
            best = max(best, held, key=len)
        self._ledger = self._ledgers[place] = best
        return len(best), len(self._new_images(tokens[len(best) :]))

    def _new_images(self, tokens: Sequence[Token]) -> list[str]:
        digests = dict.fromkeys(token.text.split()[0] for token in tokens if token.kind == "image")
        return [digest for digest in digests if digest not in self._encoded]

    def _evaluate(self, segments: Sequence[Segment], cancelled: Cancelled) -> Iterator[Progress]:
        """Encode the new pictures (each to its end, as the real encoder does) and evaluate what the ledger lacks, batch by batch."""
        tokens = [token for part in self._tokenize(segments) for token in part][len(self._ledger) :]
        images = self._new_images(tokens)
        for index, digest in enumerate(images):
            yield Progress(Stage.ENCODE, index, len(images))
            self._fail_if_due(FaultStage.ENCODE, index)
            time.sleep(self._script.encode_seconds)
            self._encoded.add(digest)
            yield Progress(Stage.ENCODE, index + 1, len(images))
            if cancelled():
                return
        for start in range(0, len(tokens), self._batch):
            yield Progress(Stage.PREFILL, start, len(tokens))
            self._fail_if_due(FaultStage.PREFILL, start)
            _pause(self._script.batch_seconds, cancelled)
            if cancelled():
                return
            self._ledger += tokens[start : start + self._batch]
        yield Progress(Stage.PREFILL, len(tokens), len(tokens))

    def _reply(self) -> Reply:
        for reply in self._script.replies:
            if reply.when and reply.when in self._last_text:
                return reply
        in_order = [reply for reply in self._script.replies if not reply.when]
        if not in_order:
            raise EngineError("The script has no reply to this.", "Add one without `when`.")
        reply = in_order[min(self._spoken, len(in_order) - 1)]
        self._spoken += 1
        return reply

    def _fail_if_due(self, stage: FaultStage, done: int) -> None:
        for fault in self._script.faults:
            if fault.at is stage and done >= fault.after and fault.when in self._last_text:
                _commit(fault.kind)

    def _encode_ms(self, images: int) -> float:
        return images * self._script.encode_seconds * 1000

    def _prefill_ms(self, tokens: int) -> float:
        return -(-tokens // self._batch) * self._script.batch_seconds * 1000


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first turn marker or stop string."""
    marker = _TURN_MARKER.search(text)
    ends = [marker.start()] if marker else []
    ends += [text.index(stop) for stop in stops if stop and stop in text]
    return text[: min(ends, default=len(text))]


def _cut(tokens: list[Token], pieces: Pieces) -> Iterator[list[Token]]:
    if pieces is Pieces.WHOLE:
        yield tokens
    else:
        yield from ([token] for token in tokens)


def _texts(piece: list[Token], pieces: Pieces) -> Iterator[str]:
    text = "".join(token.text for token in piece)
    if pieces is Pieces.CHARACTERS:
        yield from text
    elif text:
        yield text


def _pause(seconds: float, cancelled: Cancelled) -> None:
    """Wait, but not past a cancel."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not cancelled():
        time.sleep(min(left, _SLICE_SECONDS))


def _commit(kind: FaultKind) -> None:
    """Let it go wrong."""
    import psutil

    from nemochat.system import threads

    match kind:
        case FaultKind.SEGV:
            signal.raise_signal(signal.SIGSEGV)
        case FaultKind.ABORT:
            os.abort()
        case FaultKind.KILL:
            psutil.Process().kill()
        case FaultKind.STOP:
            psutil.Process().suspend()
        case FaultKind.EXIT:
            os._exit(3)
        case FaultKind.DEAF:
            threads.hold_interpreter()
        case FaultKind.BUG:
            raise RuntimeError("a scripted bug")
        case FaultKind.REFUSE:
            raise EngineError("The scripted engine refuses.", "Change the script.")

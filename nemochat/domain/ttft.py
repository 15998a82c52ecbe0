"""Time to first token (TTFT) and what goes with it, over many replies. Every figure that nemochat shows or prints is made here.

What is measured
- The clock of a reply starts when the user presses Enter, or asks for another reply, and stops at the first text on the stream. The parts
  load, encode, prefill and first token add up to it: "first token" is everything that is none of the other three, also the wait of a
  message that was sent while another reply was being written. Where the model thought before it spoke, the time to the first thought is
  told beside that to the first text, and it is what the parts add up to. On the command line the clock starts with the command, and the
  time until piped text has come is left out.
- A turn with tools has several replies, each with a TTFT of its own: the clock starts again when the tools have answered.
- The time of a reply that was continued is that of its last continuation; one without a record (the engine died, or the words were edited
  or came from elsewhere) has none. A reply without text has no TTFT: it is counted, and is in no other figure.
- ITL, the time between two tokens of a reply, is its decoding after the first token by the tokens that follow: the logits of the first one
  come from the prefill, so the decoding begins with it. Tokens a second are 1 / ITL.

How it is put together
- Replies of this machine and of servers are counted together, and apart where there are both. What a server does until its first token
  only some tell: where it is not known, it is all in "first token", and the reply is in no figure of the parts.
- Cold is a reply that had to wait for the model to load, or evaluated more of its prompt than it reused. Every other one is reused.
- A percentile is by nearest rank: the smallest of the values that so many of a hundred are not above. It is always a value that occurred.
  Each part is ranked by itself, so the percentiles of the parts do not add up to that of the whole.
- Rates over many replies: the p95 of tokens a second is that of the p95 of the ITL, so 95 of a hundred replies are at least as fast;
  the prefill rate is all tokens evaluated by all of the time that took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.events import Timings, Usage
from nemochat.domain.replies import ReplyRecord, TurnResult

COLD_LOAD_MS = 1.0
"""A shorter wait for the model is none: it is what asking takes."""
_MOST_MS = 1e10
_MOST_TOKENS = 1 << 40


class Reading(msgspec.Struct, frozen=True, gc=False):
    """How long one reply took and what it cost. Times are milliseconds, counts are tokens (`encoded_images`: runs of the encoder).

    first_thought_ms: to the first thought, None where there was none. is_split: as in `Timings`. is_served: a server has made it.
    """

    ttft_ms: float | None
    load_ms: float
    encode_ms: float
    prefill_ms: float
    first_token_ms: float
    decode_ms: float
    image_tokens: int
    reused_tokens: int
    evaluated_tokens: int
    completion_tokens: int
    encoded_images: int
    first_thought_ms: float | None = None
    is_split: bool = True
    is_served: bool = False

    @classmethod
    def of(
        cls, usage: Usage, timings: Timings, ttft_ms: float | None, first_thought_ms: float | None = None, *, is_served: bool = False
    ) -> Reading:
        """The figures of a reply; what no clock can have shown, in a file from elsewhere, becomes the nearest that one can."""
        return cls(
            None if ttft_ms is None else _time(ttft_ms),
            _time(timings.load_ms),
            _time(timings.encode_ms),
            _time(timings.prefill_ms),
            _time(timings.first_token_ms),
            _time(timings.decode_ms),
            _count(usage.image_tokens),
            _count(usage.reused_tokens),
            _count(usage.evaluated_tokens),
            _count(usage.completion_tokens),
            _count(usage.encoded_images),
            None if first_thought_ms is None else _time(first_thought_ms),
            timings.is_split,
            is_served,
        )

    @property
    def is_cold(self) -> bool:
        """Whether it had to wait for the model, or evaluated more of its prompt than it reused."""
        return self.load_ms >= COLD_LOAD_MS or self.evaluated_tokens > self.reused_tokens

    @property
    def prompt_tokens(self) -> int:
        """Reused or evaluated."""
        return self.reused_tokens + self.evaluated_tokens

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """Milliseconds of load, encode, prefill and first token."""
        return self.load_ms, self.encode_ms, self.prefill_ms, self.first_token_ms

    @property
    def itl_ms(self) -> float | None:
        """Milliseconds between two tokens; None where there were not two, or nothing was measured."""
        if self.completion_tokens < 2 or self.decode_ms <= 0:
            return None
        return self.decode_ms / (self.completion_tokens - 1)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast it was written."""
        return _per_second(self.itl_ms)

    @property
    def prefill_per_second(self) -> float | None:
        """Tokens of the prompt that were evaluated in a second; None where none were."""
        return _prefill_rate(self.evaluated_tokens, self.prefill_ms)


class ReplyRow(msgspec.Struct, frozen=True, gc=False):
    """A reply among many. at: when it was stored, in seconds since the epoch, 0 where that is not known. conversation: its id, "" where
    it has none yet."""

    reading: Reading
    model: str
    at: float = 0.0
    conversation: str = ""
    title: str = ""


class Spread(msgspec.Struct, frozen=True):
    """Half of the values are not above p50, 95 of a hundred not above p95 (for rates: not below)."""

    p50: float
    p95: float


class Figures(msgspec.Struct, frozen=True):
    """A group of replies with text. None where nothing was measured. reused_share: of all tokens of the prompts, from 0 to 1.
    first_thought_ms: of those that began with a thought."""

    replies: int = 0
    ttft_ms: Spread | None = None
    load_ms: Spread | None = None
    encode_ms: Spread | None = None
    prefill_ms: Spread | None = None
    first_token_ms: Spread | None = None
    itl_ms: Spread | None = None
    tokens_per_second: Spread | None = None
    prefill_per_second: float | None = None
    evaluated_tokens: int = 0
    reused_tokens: int = 0
    reused_share: float | None = None
    completion_tokens: int = 0
    encoded_images: int = 0
    first_thought_ms: Spread | None = None

    @property
    def parts(self) -> tuple[Spread | None, ...]:
        """Of load, encode, prefill and first token."""
        return self.load_ms, self.encode_ms, self.prefill_ms, self.first_token_ms


class Statistics(msgspec.Struct, frozen=True):
    """All replies with text, and the cold and the reused ones apart. without_text: how many there were beside them.

    here, served: those of this machine and those of servers, where there are both.
    """

    all: Figures
    cold: Figures
    reused: Figures
    without_text: int = 0
    here: Figures = Figures()
    served: Figures = Figures()


def reading_of(result: TurnResult) -> Reading:
    """The figures of one reply."""
    return Reading.of(result.usage, result.timings, result.ttft_ms, result.first_thought_ms)


def rows_of(chat: Chat) -> list[ReplyRow]:
    """Every reply of a conversation that has a record, also those that were swiped away, in the order in which they came to be."""
    records: list[tuple[int, ReplyRecord]] = [(node.id, node.entry.record) for node in chat.nodes if node.entry.record is not None]
    return [ReplyRow(_of_record(record), str(record.model)) for _, record in sorted(records, key=lambda pair: pair[0])]


def _of_record(record: ReplyRecord) -> Reading:
    return msgspec.structs.replace(reading_of(record.result), is_served=bool(record.model.server))


def statistics_of(readings: Iterable[Reading]) -> Statistics:
    """What they come to."""
    given = list(readings)
    said = [reading for reading in given if reading.ttft_ms is not None]
    cold = [reading for reading in said if reading.is_cold]
    reused = [reading for reading in said if not reading.is_cold]
    here, served = [reading for reading in said if not reading.is_served], [reading for reading in said if reading.is_served]
    apart = (_figures(here), _figures(served)) if here and served else (Figures(), Figures())
    return Statistics(_figures(said), _figures(cold), _figures(reused), len(given) - len(said), *apart)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that `percent` of a hundred are not above (nearest rank). Raises ValueError where there is none."""
    return _ranked(sorted(values), percent)


def _ranked(ordered: Sequence[float], percent: int) -> float:
    if not ordered or not 0 < percent <= 100:
        raise ValueError("a percentile needs values, and a share of them")
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _figures(said: Sequence[Reading]) -> Figures:
    if not said:
        return Figures()
    itl = _spread(said, lambda reading: reading.itl_ms)
    evaluated = sum(reading.evaluated_tokens for reading in said)
    reused = sum(reading.reused_tokens for reading in said)
    split = [reading for reading in said if reading.is_split]
    rate = _prefill_rate(sum(reading.evaluated_tokens for reading in split), sum(reading.prefill_ms for reading in split))
    return Figures(
        replies=len(said),
        ttft_ms=_spread(said, lambda reading: reading.ttft_ms),
        load_ms=_spread(said, lambda reading: reading.load_ms),
        encode_ms=_spread(split, lambda reading: reading.encode_ms),
        prefill_ms=_spread(split, lambda reading: reading.prefill_ms),
        first_token_ms=_spread(said, lambda reading: reading.first_token_ms),
        itl_ms=itl,
        tokens_per_second=None if itl is None else _rounded(1000 / itl.p50, 1000 / itl.p95),
        prefill_per_second=None if rate is None else round(rate, 3),
        evaluated_tokens=evaluated,
        reused_tokens=reused,
        reused_share=round(reused / (evaluated + reused), 4) if evaluated + reused else None,
        completion_tokens=sum(reading.completion_tokens for reading in said),
        encoded_images=sum(reading.encoded_images for reading in said),
        first_thought_ms=_spread(said, lambda reading: reading.first_thought_ms),
    )


def _spread(said: Sequence[Reading], figure: Callable[[Reading], float | None]) -> Spread | None:
    ordered = sorted(value for value in map(figure, said) if value is not None)
    return _rounded(_ranked(ordered, 50), _ranked(ordered, 95)) if ordered else None


def _rounded(p50: float, p95: float) -> Spread:
    """To microseconds: no clock knows more, and the same digits stand everywhere."""
    return Spread(round(p50, 3), round(p95, 3))


def _per_second(ms: float | None) -> float | None:
    return None if ms is None else 1000 / ms


def _prefill_rate(tokens: int, ms: float) -> float | None:
    return tokens / ms * 1000 if tokens > 0 and ms > 0 else None


def _time(ms: float) -> float:
    return min(max(0.0, ms), _MOST_MS)  # in this order NaN becomes 0


def _count(value: int) -> int:
    return min(max(0, value), _MOST_TOKENS)

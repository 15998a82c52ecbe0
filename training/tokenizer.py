"""The demo model's vocabulary: SentencePiece BPE with byte fallback, and how a rendered prompt becomes token ids.

The ids of a prompt must be the ones that llama.cpp makes of the exported GGUF, so each segment of the product's renderer is tokenised on
its own, and only control text may hold control tokens. Ids as in Nemotron: pad 0, unk 1, bos 2, eos 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sentencepiece

from nemochat.domain.messages import Conversation, ImagePart, Message, Part, Role, TextPart, ToolCallPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt import nemotron
from nemochat.prompt.replies import FORMAT
from training.values import Example, Picture

TURN = "<extra_id_1>"
CONTROL_TOKENS = (
    "<extra_id_0>", TURN, "<extra_id_2>", "<tool>", "</tool>", "<context>", "</context>", "<toolcall>", "</toolcall>",
)  # fmt: skip
IMAGE = -1
"""Stands in `Encoded.ids` where an image embedding goes."""

_CONTROL = re.compile("(" + "|".join(map(re.escape, CONTROL_TOKENS)) + ")")
_TOOLCALL = re.compile(r"<toolcall>(.*?)</toolcall>", re.DOTALL)


@dataclass(frozen=True)
class Encoded:
    """One conversation as ids; `learned` marks the tokens that the model is to predict (replies and what ends them)."""

    skill: str
    ids: list[int]
    learned: list[bool]
    pictures: list[Picture]


class Tokenizer:
    """Text and segments to ids."""

    def __init__(self, path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.control = {token: self.pieces.piece_to_id(token) for token in CONTROL_TOKENS}
        self._control_ids = lru_cache(maxsize=1024)(self._encode_control)

    @property
    def size(self) -> int:
        return int(self.pieces.get_piece_size())

    def segment(self, segment: Control | Plain) -> list[int]:
        """The ids of one segment. Plain text holds no control token, whatever it looks like."""
        if isinstance(segment, Control):
            return list(self._control_ids(segment.text))
        ids: list[int] = []
        for index, part in enumerate(_CONTROL.split(segment.text)):
            # SentencePiece would find a tag in plain text; in two halves it is plain characters, as in llama.cpp.
            for half in (part[:1], part[1:]) if index % 2 else (part,):
                ids += self.pieces.encode(half)
        return ids

    def _encode_control(self, text: str) -> tuple[int, ...]:
        ids: list[int] = []
        for index, part in enumerate(_CONTROL.split(text)):
            ids += [self.control[part]] if index % 2 else self.pieces.encode(part)
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.pieces.decode(list(ids)))

    def encode(self, example: Example, image_tokens: int = 64) -> Encoded:
        """A whole conversation, closed by the marker that ends its last reply; `image_tokens` places for each picture."""
        conversation, pictures = to_conversation(example)
        ids: list[int] = []
        learned: list[bool] = []

        def put(segments: Iterable[Segment], learn: bool, ends_reply: bool = False) -> None:
            for index, segment in enumerate(segments):
                new = [IMAGE] * image_tokens if isinstance(segment, ImageSlot) else self.segment(segment)
                ids.extend(new)
                learned.extend([learn or (ends_reply and index == 0 and at == 0) for at in range(len(new))])

        put(nemotron.system_segments(conversation.system, conversation.tools, conversation.contexts), False)
        after_reply = False
        for message in conversation.messages:
            segments = nemotron.message_segments(message)
            if message.role is Role.ASSISTANT:
                put(segments[:1], False, after_reply)
                put(segments[1:], True)
            else:
                put(segments, False, after_reply)
            after_reply = message.role is Role.ASSISTANT
        if after_reply:
            ids.append(self.control[TURN])
            learned.append(True)
        return Encoded(example.skill, ids, learned, pictures)


def to_conversation(example: Example) -> tuple[Conversation, list[Picture]]:
    """An example as the program holds it, and its pictures in order (an image part's digest is its index)."""
    pictures: list[Picture] = []
    messages = []
    for turn in example.turns:
        parts: list[Part] = []
        for picture in turn.pictures:
            parts.append(ImagePart(str(len(pictures))))
            pictures.append(picture)
        parts += _reply_parts(turn.text) if turn.role == "assistant" else [TextPart(turn.text)]
        messages.append(Message(Role(turn.role), tuple(parts)))
    tools = tuple(ToolSpec(**tool["function"]) for tool in example.tools)
    return Conversation(example.system, tools, example.contexts, tuple(messages)), pictures


def _reply_parts(text: str) -> Iterator[Part]:
    for index, part in enumerate(_TOOLCALL.split(text)):
        if index % 2:
            yield ToolCallPart((), part, FORMAT)
        elif part.strip():
            yield TextPart(part)


def train_tokenizer(examples: Iterable[Example], extra: Iterable[str], path: Path, size: int = 2048) -> None:
    """Learn `size` pieces from the plain text of `examples` and `extra` lines, and write a SentencePiece model to `path`.

    A line seen before counts only now and then, so that fixed answers do not crowd out the words that vary.
    """
    times: dict[str, int] = {}
    for example in examples:
        for segment in nemotron.render(to_conversation(example)[0]):
            if isinstance(segment, Plain):
                for line in segment.text.split("\n"):
                    times[line] = times.get(line, 0) + 1
    lines = [line for line, count in times.items() if line for _ in range(1 + count // 12)]
    lines += [line for line in extra if line]
    lines += ["System", "User", "Assistant", "Tool"] * 1500
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), model_type="bpe", vocab_size=size,
        pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>", user_defined_symbols=[*CONTROL_TOKENS, "\n"],
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
        byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.9999,
        num_threads=1, max_sentence_length=4000, minloglevel=1,
    )  # fmt: skip

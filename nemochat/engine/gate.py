"""The gate before a call: whether a reply calls a tool is decided by how likely the model is to call, where the words of the reply begin.

That place is behind the prompt or, where the model thinks first, behind its reasoning; white space decides nothing. There the next token
is looked at before it stands: with a call's own token (`<toolcall>`) or with the first token that begins the text of one. So it is one
look at a distribution that is there in any case. Where that text takes several tokens, its whole probability would take an evaluation
for each of them, and taking them back where the reply is to be words; that of the first is an upper bound of it, and near it as long as
words hardly ever begin with the same character.
"""

from __future__ import annotations

import msgspec

from nemochat.domain.tools import lets_call


class Gate(msgspec.Struct, frozen=True):
    """How a reply that calls is told from one that does not, and from which probability on it has to call.

    opens: texts that calls begin with, the first of them is how they should. threshold: from this probability of a call on the reply
    begins with one, below it there is none in it; 0 always calls and 1 never; None leaves it to the model, and it is only looked at.
    words: the text that other replies begin with, "" where they have none. reasoning: the texts around what is only thought; is_thinking:
    the prompt has opened it. is_first: behind words the same text is no call, so that it may stand there.
    """

    opens: tuple[str, ...]
    threshold: float | None = None
    words: str = ""
    reasoning: tuple[str, str] | None = None
    is_thinking: bool = False
    is_first: bool = False

    def lets_call(self, chance: float) -> bool:
        """Whether a reply with this probability of a call is to call. Not without a threshold: then it is as the model has it."""
        return self.threshold is not None and lets_call(chance, self.threshold)

    def said(self, text: bytes) -> bytes:
        """What a reply has said so far besides white space and whole reasoning before it; empty while it thinks."""
        said = text.lstrip()
        if self.reasoning is None:
            return said
        opens, closes = (each.strip().encode() for each in self.reasoning)
        said = opens + said if self.is_thinking else said
        while opens and said.startswith(opens):
            said = said[len(opens) :].partition(closes)[2].lstrip()
        return said

    def decides(self, said: bytes) -> bool:
        """Whether it is decided by what was `said` that a reply is a call, or that it is none."""
        thought = self.reasoning[0].strip().encode() if self.reasoning is not None else b""
        if not said or (len(said) < len(thought) and thought.startswith(said)):
            return False
        words = self.words.encode()
        return not any(len(said) < len(opens) and opens.startswith(said) and words.startswith(said) for opens in self._opens)

    def is_call(self, text: str) -> bool:
        """Whether a whole reply begins with a call."""
        return self.said(text.encode()).startswith(self._opens)

    def left(self, said: bytes) -> tuple[str, ...]:
        """What the texts of calls still lack behind what was `said`, of those that it begins."""
        return tuple(opens[len(said) :].decode("utf-8", "replace") for opens in self._opens if opens.startswith(said))

    @property
    def _opens(self) -> tuple[bytes, ...]:
        return tuple(opens.encode() for opens in self.opens)

"""What runs inside the worker process: a model behind blocking calls. llama.cpp is one backend, the scripted one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from nemochat.domain.events import EngineEvent, Progress
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import UNNAMED, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared

ProgressSink = Callable[[Progress], None]
Cancelled = Callable[[], bool]


def _anything(_digest: str) -> bool:
    return True


def _nobody() -> bool:
    return False


class Waiting(NamedTuple):
    """Who waits when something that is only prepared was cancelled. drops: whether the encoder may give up on the picture of a digest.

    for_reply: whether a user waits for a reply. Both are asked only once it is cancelled.
    """

    drops: Callable[[str], bool] = _anything
    for_reply: Cancelled = _nobody


NO_MATTER = Waiting()
"""Everything may be given up, and nothing is urgent."""


class Backend(Protocol):
    """The engine protocol without the process: blocking, one call at a time.

    `cancelled` is asked often (between tokens, and from llama.cpp's abort callback); it may turn true at any moment.
    Failures are EngineError with a sentence for the user; anything else is a bug and ends the worker.
    """

    def load(self, request: LoadRequest, on_progress: ProgressSink) -> ModelInfo:
        """Load a model in place of the present one. After a failed load another may follow."""

    def add_image(self, image: RgbImage) -> int:
        """Keep the pixels under their digest and return the picture's cost in the prompt, in tokens."""

    def forget_images(self, digests: Sequence[str]) -> None:
        """Let go of the pixels of these pictures."""

    def count(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment. Raises EngineError for a picture that was never added."""

    def prepare(
        self,
        segments: Sequence[Segment],
        cancelled: Cancelled,
        on_progress: ProgressSink,
        place: Place = UNNAMED,
        waiting: Waiting = NO_MATTER,
    ) -> Prepared:
        """Encode pictures and evaluate ahead; when cancelled, returns within a piece of work, and all that was done stays."""

    def forget(self, conversation: str) -> None:
        """Remove what is held of a conversation."""

    def generate(self, request: GenerateRequest, cancelled: Cancelled) -> Iterator[EngineEvent]:
        """Yield Progress and TextDelta events, and Finished last."""

    def close(self) -> None:
        """Free everything; called once, at the end."""

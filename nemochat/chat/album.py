"""The pictures of a session: their pixels, their files, and which of them the engine knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from nemochat import images
from nemochat.chat.values import Attachment
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart, Message
from nemochat.engine.protocol import Engine, ModelInfo
from nemochat.errors import ImageError


class Album:
    """pixels: of every picture, by digest; originals: the files of those that came from one, by the digest of their pixels.

    `side`: of what the projector gets, in pixels, when that is fixed, else None.
    """

    def __init__(self, engine: Engine, side: int | None) -> None:
        self.pixels: dict[str, RgbImage] = {}
        self.originals: dict[str, Original] = {}
        self._engine = engine
        self._side = side
        self._told: set[str] = set()

    async def attach(self, info: ModelInfo, picture: RgbImage, name: str, original: Original | None) -> Attachment:
        """Give the engine a picture, at its full size. Raises ImageError when the model cannot see, EngineError when the engine fails."""
        pixels = picture if self._side is None else await asyncio.to_thread(images.fit, picture, self._side)
        if not info.has_vision:
            hint = "Load it with its projector, or choose another model."
            raise ImageError(f"{info.name} reads text only: it cannot look at pictures.", hint)
        tokens = await self._engine.add_image(pixels)
        self.pixels[pixels.digest] = pixels
        self._told.add(pixels.digest)
        if original is not None:
            self.originals[pixels.digest] = original
        return Attachment(ImagePart(pixels.digest, name, picture.width, picture.height, tokens), pixels, tokens)

    async def tell(self, messages: Iterable[Message]) -> None:
        """Give the engine the pictures of these messages that were attached in another session. Raises EngineError."""
        for part in (part for message in messages for part in message.images):
            if part.digest not in self._told and part.digest in self.pixels:
                await self._engine.add_image(self.pixels[part.digest])
                self._told.add(part.digest)

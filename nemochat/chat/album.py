"""The pictures of a conversation: each file as it came, and of its pixels what was wanted last.

This is the one owner of pixels in this process. They are decoded when they are looked at and forgotten within one bound; the files, which
are small, are kept until the library has them. What an engine's process holds, it holds beside this (see `nemochat.engine.client`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

import msgspec

from nemochat import images
from nemochat.domain.images import Original, RgbImage
from nemochat.errors import NemochatError

MAX_BYTES = 256 * 1024 * 1024
"""Of pixels. What was decoded last stays, however large it is."""
PREVIEW_SIDE = 1024
"""A picture that a model gets at its full size is shown no larger than this, in pixels."""

_Size = tuple[int | None, bool]


class Album:
    """Pictures by their digest (see `nemochat.domain.images.Original`). Safe in threads.

    find: the file of a picture that was not given here, from the library; it may wait for the disk, and raise NemochatError.
    """

    def __init__(self, find: Callable[[str], Original | None] = lambda digest: None, max_bytes: int = MAX_BYTES) -> None:
        self.find = find
        self._max_bytes = max_bytes
        self._originals: dict[str, Original] = {}
        self._pixels: OrderedDict[tuple[str, _Size], RgbImage] = OrderedDict()
        self._damaged: set[str] = set()
        self._lock = threading.Lock()

    def keep(self, originals: Mapping[str, Original]) -> None:
        """Know these pictures."""
        self._originals.update(originals)
        self._damaged.difference_update(originals)

    def add(self, picture: RgbImage, original: Original | None) -> str:
        """Know a picture, at its full size, with its file if there is one; return its digest. Encodes it otherwise: call it in a thread."""
        digest = picture.digest if original is None else original.digest
        if digest not in self._originals:
            self._originals[digest] = original or Original(images.to_png(picture), "png")
        self._damaged.discard(digest)
        return digest

    def original(self, digest: str) -> Original | None:
        """The file of a picture, None where it cannot be had. May wait for the disk."""
        if digest not in self._originals:
            try:
                return self.find(digest)
            except NemochatError:  # whoever asks does without the picture
                return None
        return self._originals[digest]

    def pixels(self, digest: str, side: int | None, *, decoded: RgbImage | None = None) -> RgbImage | None:
        """What a projector gets: fitted to `side`, or at its full size. None where the file is gone or damaged. Call it in a thread.

        decoded: the picture at its full size, where it is at hand.
        """
        return self._made(digest, (side, False), lambda full: full if side is None else images.fit(full, side), decoded)

    def preview(self, digest: str, side: int | None, *, decoded: RgbImage | None = None) -> RgbImage | None:
        """What is shown of a picture: the pixels that the projector gets, within PREVIEW_SIDE. None and `decoded` as for `pixels`."""
        if side is not None and side <= PREVIEW_SIDE:
            return self.pixels(digest, side, decoded=decoded)
        return self._made(digest, (side, True), lambda full: images.within(full, PREVIEW_SIDE), decoded)

    def previews(self, side: int | None) -> Mapping[str, RgbImage]:
        """The same for all pictures, as a mapping. Only those that were decoded before come at once."""
        return _Previews(self, side)

    @property
    def originals(self) -> Mapping[str, Original]:
        """The files of all pictures, as a mapping."""
        return _Originals(self)

    @property
    def given(self) -> Mapping[str, Original]:
        """The files that came here, and not from the library."""
        return self._originals

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the pictures that were given here."""
        return tuple(self._originals)

    @property
    def held_bytes(self) -> int:
        """Of pixels."""
        with self._lock:
            return sum(len(image.rgb) for image in self._pixels.values())

    def _made(self, digest: str, size: _Size, make: Callable[[RgbImage], RgbImage], decoded: RgbImage | None) -> RgbImage | None:
        with self._lock:
            if (digest, size) in self._pixels:
                self._pixels.move_to_end((digest, size))
                return self._pixels[digest, size]
        if decoded is None:
            original = self.original(digest) if digest not in self._damaged else None
            if original is None:
                return None
            try:
                decoded = images.load(original.data, "a picture of the conversation")
            except NemochatError:  # once is enough
                self._damaged.add(digest)
                return None
        image = msgspec.structs.replace(make(decoded), digest=digest)
        with self._lock:
            self._pixels[digest, size] = image
            held = sum(len(each.rgb) for each in self._pixels.values())
            while held > self._max_bytes and len(self._pixels) > 1:
                _, dropped = self._pixels.popitem(last=False)
                held -= len(dropped.rgb)
        return image


class _Previews(Mapping[str, RgbImage]):
    def __init__(self, album: Album, side: int | None) -> None:
        self._album, self._side = album, side

    def __getitem__(self, digest: str) -> RgbImage:
        image = self._album.preview(digest, self._side)
        if image is None:
            raise KeyError(digest)
        return image

    def __iter__(self) -> Iterator[str]:
        return iter(self._album.digests)

    def __len__(self) -> int:
        return len(self._album.digests)


class _Originals(Mapping[str, Original]):
    def __init__(self, album: Album) -> None:
        self._album = album

    def __getitem__(self, digest: str) -> Original:
        original = self._album.original(digest)
        if original is None:
            raise KeyError(digest)
        return original

    def __iter__(self) -> Iterator[str]:
        return iter(self._album.digests)

    def __len__(self) -> int:
        return len(self._album.digests)

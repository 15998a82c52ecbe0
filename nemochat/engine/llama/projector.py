"""The vision encoder and its projector: a typed handle over llama.cpp's `mtmd_*` functions."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import llama_cpp
from llama_cpp import mtmd_cpp

from nemochat.domain.images import RgbImage
from nemochat.engine.backend import Cancelled
from nemochat.engine.llama.context import Aborted, Context, check
from nemochat.engine.llama.ledger import Cell, ImageSpan
from nemochat.engine.llama.model import FractionSink, Model
from nemochat.engine.llama.native_log import native_log
from nemochat.errors import EngineError

Embedding = ctypes.Array[ctypes.c_float]
"""What the encoder makes of a picture (or tile): tokens x embedding_length floats."""


_SIDE = 4096
_SHAPES = tuple(shape for side in range(256, _SIDE + 1, 128) for shape in ((_SIDE, side), (side, _SIDE)))
"""Sizes of pictures, from square to sixteen times as long as wide, that show how many tokens one may have at most."""
_NODES_BETWEEN_LOOKS = 32
"""Operations of the encoder between two looks at whether it is still wanted: about 30 looks with CLIP-L."""


def _never() -> bool:
    return False


class Picture:
    """A picture as it stands in a prompt: `cells`, and for each span in them what llama.cpp needs to place it (no pixels)."""

    def __init__(self, cells: tuple[Cell, ...], placements: dict[ImageSpan, mtmd_cpp.mtmd_input_chunk_p]) -> None:
        self.cells = cells
        self.placements = placements

    def close(self) -> None:
        """Free the placements."""
        for chunk in self.placements.values():
            mtmd_cpp.mtmd_input_chunk_free(chunk)
        self.placements = {}


class Projector:
    """An mmproj file, loaded for a language model.

    whole_tokens: what the largest picture has, where the tokens of one attend to those behind them: it has to be evaluated in one batch,
    because llama.cpp would split it silently and read it wrongly. 0 where every token attends to what is before it alone.
    """

    def __init__(
        self, path: str, model: Model, *, device: int | None, threads: int, on_progress: FractionSink, most_tokens: int = 0
    ) -> None:
        """Read the file; `on_progress` gets fractions from 0 to 1. Raises EngineError when llama.cpp refuses it or it cannot see.

        device: llama.cpp's handle of the one that runs it, None for the processor. most_tokens: of a picture, where the resolution is
        dynamic; 0 leaves it to the file.
        """

        def report(fraction: float, _user_data: int | None) -> bool:
            on_progress(fraction)
            return True

        log = native_log()
        callback = mtmd_cpp.mtmd_progress_callback(report)
        params = mtmd_cpp.mtmd_context_params_default()
        params.use_gpu, params.device = device is not None, device
        params.print_timings = False
        params.n_threads = threads
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        # No encoder run: it reserves the buffers, so that what cannot work fails now and not at the first picture.
        params.warmup = True
        params.image_min_tokens = -1
        params.image_max_tokens = most_tokens or -1
        params.batch_max_tokens = 1024
        params.progress_callback = callback
        self._is_dropped: Cancelled = _never
        self._seen_nodes = 0
        self._watch = llama_cpp.ggml_backend_sched_eval_callback(self._goes_on)
        params.cb_eval = self._watch
        log.forget_errors()
        pointer = mtmd_cpp.mtmd_init_from_file(os.fsencode(path), model.pointer, params)
        if not pointer:
            raise log.refusal(f"could not load the projector {Path(path).name}", "Check that it was made for this model.")
        self._pointer = pointer
        self._embedding_length = model.embedding_length
        if not mtmd_cpp.mtmd_support_vision(pointer):
            self.close()
            raise EngineError(f"The projector {Path(path).name} is not made for pictures.")
        is_whole = mtmd_cpp.mtmd_decode_use_non_causal(pointer, None)
        self.whole_tokens = max(map(self._tokens_of_shape, _SHAPES)) if is_whole else 0

    def close(self) -> None:
        """Free the encoder. Pictures made by it must be closed before."""
        if self._pointer:
            mtmd_cpp.mtmd_free(self._pointer)
            self._pointer = None

    def place(self, image: RgbImage) -> Picture:
        """Find out what a picture costs and how it is placed, without running the encoder."""
        cells: list[Cell] = []
        placements: dict[ImageSpan, mtmd_cpp.mtmd_input_chunk_p] = {}
        with self._chunks(image) as chunks:
            for chunk, span in _with_spans(chunks, image.digest):
                if span is None:
                    cells += _text_tokens(chunk)
                    continue
                placement = mtmd_cpp.mtmd_input_chunk_get_placeholder(chunk)
                if not placement:
                    Picture((), placements).close()
                    raise EngineError("llama.cpp could not place the picture.")
                cells.append(span)
                placements[span] = placement
        return Picture(tuple(cells), placements)

    def encode(self, image: RgbImage, dropped: Cancelled) -> dict[ImageSpan, Embedding]:
        """Run the vision encoder over a picture, tile by tile. Raises Aborted soon after `dropped` turns true."""
        embeddings: dict[ImageSpan, Embedding] = {}
        with self._chunks(image) as chunks:
            for chunk, span in _with_spans(chunks, image.digest):
                if span is None:
                    continue
                self._is_dropped, self._seen_nodes = dropped, 0
                try:
                    status = mtmd_cpp.mtmd_encode_chunk(self._pointer, chunk)
                finally:
                    self._is_dropped = _never
                if dropped():
                    raise Aborted
                if status != 0:
                    raise native_log().refusal("could not encode the picture")
                embedding = (ctypes.c_float * (span.tokens * self._embedding_length))()
                ctypes.memmove(embedding, mtmd_cpp.mtmd_get_output_embd(self._pointer), ctypes.sizeof(embedding))
                embeddings[span] = embedding
        return embeddings

    def goes_in_pieces(self, picture: Picture, span: ImageSpan) -> bool:
        """Whether a part of an encoded picture can be evaluated by itself: one position a token, and no attention to what follows."""
        if span.tokens != span.positions or mtmd_cpp.mtmd_decode_use_mrope(self._pointer):
            return False
        return not mtmd_cpp.mtmd_decode_use_non_causal(self._pointer, picture.placements[span])

    def _tokens_of_shape(self, shape: tuple[int, int]) -> int:
        """Of the largest part in which a picture of that size is evaluated. No pixels are needed to know."""
        with self._chunks_of(mtmd_cpp.mtmd_bitmap_init(*shape, None)) as chunks:
            return max((span.tokens for _, span in _with_spans(chunks, "") if span is not None), default=0)

    def decode(
        self,
        context: Context,
        placement: mtmd_cpp.mtmd_input_chunk_p,
        embedding: Embedding,
        position: int,
        sequence: int,
        cancelled: Cancelled | None,
    ) -> None:
        """Evaluate an encoded picture from `position` on. Raises as `Context.decode` does; the sequence then needs `keep(position)`."""
        tokens = mtmd_cpp.mtmd_input_chunk_get_n_tokens(placement)
        if tokens > context.batch_size and mtmd_cpp.mtmd_decode_use_non_causal(self._pointer, placement):
            hint = "Set engine.batch to at least that, or picture_tokens of the model to less."
            raise EngineError(f"A picture of {tokens} tokens is to be read at once, and a batch has {context.batch_size}.", hint)
        native_log().forget_errors()
        next_position = llama_cpp.llama_pos(position)
        with context.abortable(cancelled), context.first.of(("picture", tokens)):
            status = mtmd_cpp.mtmd_helper_decode_image_chunk(
                self._pointer,
                context.pointer,
                placement,
                embedding,
                position,
                sequence,
                context.batch_size,
                ctypes.byref(next_position),
                mtmd_cpp.mtmd_helper_post_decode_callback(),
                ctypes.c_void_p(0),
            )
            context.finish()
        check(status, "the picture")

    def decode_piece(
        self, context: Context, embedding: Embedding, start: int, stop: int, position: int, sequence: int, cancelled: Cancelled | None
    ) -> None:
        """Evaluate the tokens `start` to `stop` of an encoded picture (see `goes_in_pieces`) from `position` on. Raises as `decode`."""
        offset = start * self._embedding_length
        length = (stop - start) * self._embedding_length
        values = (ctypes.c_float * length).from_buffer(embedding, offset * ctypes.sizeof(ctypes.c_float))
        context.decode_embeddings(values, stop - start, position, sequence, cancelled)

    def _goes_on(self, _tensor: int | None, is_question: bool, _user_data: int | None) -> bool:
        """llama.cpp asks at each node of the encoder whether to stop there, and there whether to go on."""
        if not is_question:
            return not self._is_dropped()
        self._seen_nodes += 1
        return self._seen_nodes % _NODES_BETWEEN_LOOKS == 0

    def _chunks(self, image: RgbImage) -> AbstractContextManager[mtmd_cpp.mtmd_input_chunks_p]:
        """The preprocessed picture."""
        pixels = (ctypes.c_uint8 * len(image.rgb)).from_buffer_copy(image.rgb)
        bitmap = mtmd_cpp.mtmd_bitmap_init(image.width, image.height, pixels)
        mtmd_cpp.mtmd_bitmap_set_id(bitmap, image.digest.encode())
        return self._chunks_of(bitmap)

    @contextmanager
    def _chunks_of(self, bitmap: mtmd_cpp.mtmd_bitmap_p) -> Iterator[mtmd_cpp.mtmd_input_chunks_p]:
        """A bitmap by itself, which is freed: parts instead of markers, so that no text can be mistaken for one."""
        native_log().forget_errors()
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        try:
            part = mtmd_cpp.mtmd_input_part(None, bitmap)
            parts = (ctypes.POINTER(mtmd_cpp.mtmd_input_part) * 1)(ctypes.pointer(part))
            if mtmd_cpp.mtmd_tokenize_from_parts(self._pointer, chunks, parts, 1, False) != 0:
                raise EngineError(f"llama.cpp could not prepare the picture: {native_log().reason}.")
            yield chunks
        finally:
            mtmd_cpp.mtmd_input_chunks_free(chunks)
            mtmd_cpp.mtmd_bitmap_free(bitmap)


def _with_spans(chunks: mtmd_cpp.mtmd_input_chunks_p, digest: str) -> Iterator[tuple[mtmd_cpp.mtmd_input_chunk_p, ImageSpan | None]]:
    """Each chunk with its span in the ledger; None for the text that some projectors put around a picture."""
    tiles = 0
    for index in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
        chunk = mtmd_cpp.mtmd_input_chunks_get(chunks, index)
        if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_TEXT:
            yield chunk, None
            continue
        tokens = mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)
        yield chunk, ImageSpan(digest, tiles, tokens, mtmd_cpp.mtmd_input_chunk_get_n_pos(chunk))
        tiles += 1


def _text_tokens(chunk: mtmd_cpp.mtmd_input_chunk_p) -> list[int]:
    count = ctypes.c_size_t(0)
    tokens = mtmd_cpp.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
    return tokens[: count.value] if tokens else []

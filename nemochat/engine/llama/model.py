"""A language model and its vocabulary: a thin typed handle over llama.cpp's `llama_model` and `llama_vocab`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import llama_cpp

from nemochat.domain.sampling import SAMPLING_KEYS, Sampling, recommended
from nemochat.engine.llama import processor
from nemochat.engine.llama.devices import ON_PROCESSOR, Placement
from nemochat.engine.llama.native_log import native_log

FractionSink = Callable[[float], None]

_MOST_TEMPLATE = 1 << 20
"""Bytes of a chat template; the longest of those that llama.cpp comes with has 25,000."""
_UNSEEN = (
    llama_cpp.llama_vocab_pad,
    llama_cpp.llama_vocab_mask,
    llama_cpp.llama_vocab_sep,
    llama_cpp.llama_vocab_fim_pre,
    llama_cpp.llama_vocab_fim_suf,
    llama_cpp.llama_vocab_fim_mid,
    llama_cpp.llama_vocab_fim_pad,
    llama_cpp.llama_vocab_fim_rep,
    llama_cpp.llama_vocab_fim_sep,
)
_FILLER = re.compile(rb"\[PAD\d+\]|<\|?(unused|reserved|dummy|placeholder)[\w ]*\|?>", re.IGNORECASE)
"""User-defined tokens that only fill a vocabulary up."""



class Model:
    """Weights and vocabulary of a GGUF file. Must outlive what is made from it."""

    def __init__(
        self,
        path: str,
        *,
        gpu_layers: int,
        mmap: bool,
        on_progress: FractionSink,
        place: Placement = ON_PROCESSOR,
        use_amx: bool = False,
        vocabulary_only: bool = False,
    ) -> None:
        """Read the file; `on_progress` gets fractions from 0 to 1. place: the devices that take the layers. vocabulary_only: without
        weights. Raises EngineError when llama.cpp refuses it."""

        def report(fraction: float, _user_data: int | None) -> bool:
            on_progress(fraction)
            return True

        log = native_log()
        callback = llama_cpp.llama_progress_callback(report)
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        # An empty list, unlike none at all, keeps llama.cpp away from every device.
        devices = (ctypes.c_void_p * (len(place.handles) + 1))(*place.handles, None)
        params.devices = ctypes.addressof(devices)
        params.split_mode = llama_cpp.LLAMA_SPLIT_MODE_NONE if len(place.handles) == 1 else llama_cpp.LLAMA_SPLIT_MODE_LAYER
        params.main_gpu = 0
        if place.split:
            params.tensor_split = (ctypes.c_float * max(len(place.split), llama_cpp.LLAMA_MAX_DEVICES))(*place.split)
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP if mmap else llama_cpp.LLAMA_LOAD_MODE_NONE
        params.lazy_mode = llama_cpp.LLAMA_LAZY_MODE_OFF
        params.progress_callback = callback
        params.vocab_only = vocabulary_only
        params.check_tensors = False
        params.use_extra_bufts = True
        params.no_host = False
        params.no_alloc = False
        params.load_mtp = False
        log.forget_errors()
        with nullcontext() if use_amx else processor.amx_refused():
            pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not pointer:
            raise log.refusal(f"could not load {Path(path).name}", "Check the file with `nemochat models show`, or free some memory.")
        self.pointer = pointer
        self.vocab = llama_cpp.llama_model_get_vocab(pointer)
        self.vocab_size: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(pointer)
        self.parameters: int = llama_cpp.llama_model_n_params(pointer)
        self.embedding_length: int = llama_cpp.llama_model_n_embd_inp(pointer)
        # A recurrent state is that after the last token, and no other.
        self.can_take_back = not (llama_cpp.llama_model_is_recurrent(pointer) or llama_cpp.llama_model_is_hybrid(pointer))
        self._unseen = frozenset(of(self.vocab) for of in _UNSEEN)
        self._pieces: dict[int, bytes] = {}
        self._attributes: dict[int, int] = {}
        self._buffer = ctypes.create_string_buffer(256)

    def close(self) -> None:
        """Free the weights."""
        if self.pointer:
            llama_cpp.llama_model_free(self.pointer)
            self.pointer = None

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text as llama.cpp makes them, without begin and end markers."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 2
        while True:
            tokens = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self.vocab, data, len(data), tokens, room, False, parse_special)
            if count >= 0:
                return tokens[:count]
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for. Control tokens give their names."""
        piece = self._pieces.get(token)
        if piece is None:
            length = llama_cpp.llama_token_to_piece(self.vocab, token, self._buffer, len(self._buffer), 0, True)
            if length < 0:
                self._buffer = ctypes.create_string_buffer(-length)
                length = llama_cpp.llama_token_to_piece(self.vocab, token, self._buffer, len(self._buffer), 0, True)
            piece = self._pieces[token] = self._buffer.raw[:length]
        return piece

    def is_marker(self, token: int) -> bool:
        """Whether a token is part of the prompt's structure: a control token, or a user-defined one that looks like a tag (``<tool>``)."""
        attributes = self._attribute_bits(token)
        if attributes & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL:
            return True
        if not attributes & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED:
            return False
        name = self.piece(token)
        return (name[:1], name[-1:]) in {(b"<", b">"), (b"[", b"]")} and len(name) > 1

    def is_special(self, token: int) -> bool:
        """Whether llama.cpp looks for the token's name in a text before it takes the rest apart."""
        special = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        return bool(self._attribute_bits(token) & special)

    def is_unknown(self, token: int) -> bool:
        """Whether this is the token for what the vocabulary cannot spell."""
        return bool(self._attribute_bits(token) & llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN)

    def _attribute_bits(self, token: int) -> int:
        bits = self._attributes.get(token)
        if bits is None:
            bits = self._attributes[token] = llama_cpp.llama_vocab_get_attr(self.vocab, token)
        return bits

    def ends_generation(self, token: int) -> bool:
        """Whether the vocabulary calls a token an end of generation: of the text, a turn or a message."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def is_unseen(self, token: int) -> bool:
        """Whether a token says nothing to a reader: a control token, one for infill, or one that only fills the vocabulary up."""
        attributes = self._attribute_bits(token)
        if attributes & (llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNUSED) or token in self._unseen:
            return True
        return bool(attributes & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED) and _FILLER.fullmatch(self.piece(token)) is not None

    def single_token(self, text: str) -> int | None:
        """The control token or tag with this very name, None when the vocabulary has none."""
        ids = [token for token in self.tokenize(text, parse_special=True) if self.is_marker(token)]
        return ids[0] if len(ids) == 1 and self.piece(ids[0]) == text.encode() else None

    @property
    def recommended(self) -> Sampling:
        """What its maker recommends; None where the file says nothing."""
        said: dict[str, float] = {}
        for name, key in SAMPLING_KEYS.items():
            length = llama_cpp.llama_model_meta_val_str(self.pointer, key.encode(), self._buffer, len(self._buffer))
            with contextlib.suppress(ValueError):  # a text that is no number says nothing
                if length > 0:
                    said[name] = float(self._buffer.value)
        return recommended(said)

    @property
    def begin_token(self) -> int | None:
        """What the vocabulary wants before every prompt, None for nothing."""
        return llama_cpp.llama_vocab_bos(self.vocab) if llama_cpp.llama_vocab_get_add_bos(self.vocab) else None

    @property
    def begin_text(self) -> str:
        """The name of the begin-of-sequence token, empty when there is none; whether every prompt wants it is another matter."""
        return self._name(llama_cpp.llama_vocab_bos(self.vocab))

    @property
    def end_text(self) -> str:
        """The name of the end-of-sequence token, empty when there is none."""
        return self._name(llama_cpp.llama_vocab_eos(self.vocab))

    @property
    def chat_template(self) -> str:
        """The chat template in the file, as it stands there; empty when there is none, or one too long to be one."""
        template = llama_cpp.llama_model_chat_template(self.pointer, None) or b""
        return template.decode("utf-8", "replace") if len(template) <= _MOST_TEMPLATE else ""

    @property
    def architecture(self) -> str:
        """What kind of model the file says it is (general.architecture)."""
        length = llama_cpp.llama_model_meta_val_str(self.pointer, b"general.architecture", self._buffer, len(self._buffer))
        return self._buffer.value.decode("utf-8", "replace") if length > 0 else ""

    @property
    def writes_text(self) -> bool:
        """Whether tokens of the vocabulary give back any text as it was: those of BERT and T5 leave out white space and capitals."""
        return llama_cpp.llama_vocab_type(self.vocab) not in (llama_cpp.LLAMA_VOCAB_TYPE_WPM, llama_cpp.LLAMA_VOCAB_TYPE_UGM)

    def _name(self, token: int) -> str:
        return self.piece(token).decode("utf-8", "replace") if token >= 0 else ""

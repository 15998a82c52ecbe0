"""The language model: Nemotron's architecture (LayerNorm, squared ReLU, RoPE on half of each head, grouped KV, untied output) in torch.

It is the graph that llama.cpp runs for ``general.architecture = "nemotron"``; `training.parity` shows that the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class LanguageShape:
    """The widths of the language model; `context` is the number of positions promised in the GGUF."""

    vocab: int
    width: int = 192
    blocks: int = 6
    heads: int = 6
    kv_heads: int = 3
    feed_forward: int = 768
    context: int = 4096
    epsilon: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def rotary(self) -> int:
        """How many of each head's values are rotated: half of them."""
        return self.head_width // 2


class Attention(nn.Module):
    """Causal self-attention with grouped keys and values."""

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        self.shape = shape
        kv = shape.kv_heads * shape.head_width
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, kv, bias=False)
        self.v = nn.Linear(shape.width, kv, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, width = x.shape
        head = self.shape.head_width
        groups = self.shape.heads // self.shape.kv_heads
        q = rotate(self.q(x).view(batch, length, self.shape.heads, head), rope)
        k = rotate(self.k(x).view(batch, length, self.shape.kv_heads, head), rope)
        v = self.v(x).view(batch, length, self.shape.kv_heads, head)
        # Plain matrix products, in bfloat16 throughout: the backward pass of torch's fused attention is several times slower on a CPU.
        q = q.view(batch, length, self.shape.kv_heads, groups, head).permute(0, 2, 3, 1, 4) * head**-0.5
        q = q.reshape(batch * self.shape.kv_heads, groups * length, head).to(v.dtype)
        k = k.permute(0, 2, 3, 1).reshape(batch * self.shape.kv_heads, head, length).to(v.dtype)
        v = v.transpose(1, 2).reshape(batch * self.shape.kv_heads, length, head)
        future = torch.full((length, length), float("-inf"), dtype=v.dtype, device=x.device).triu(1)
        scores = torch.bmm(q, k).view(-1, groups, length, length) + future
        mixed = torch.bmm(torch.softmax(scores, dim=-1).view(-1, groups * length, length).to(v.dtype), v)
        mixed = mixed.view(batch, self.shape.kv_heads, groups, length, head).permute(0, 3, 1, 2, 4)
        return self.output(mixed.reshape(batch, length, width))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then the squared-ReLU feed-forward, each on a normalised input and added to the stream."""

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.ffn_norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(self.attn_norm(x), rope)
        return x + self.down(F.relu(self.up(self.ffn_norm(x))).square())  # type: ignore[no-any-return]


class LanguageModel(nn.Module):
    """Token ids and image embeddings to hidden states and logits."""

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.output = nn.Linear(shape.width, shape.vocab, bias=False)
        self.apply(self._initialise)
        for block in self.blocks:
            # Every block starts as the identity, so that depth costs nothing at the start.
            nn.init.zeros_(block.attention.output.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(block.down.weight)  # type: ignore[union-attr, arg-type]

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.5)

    def hidden(self, ids: Tensor, positions: Tensor, images: Tensor | None = None, image_slots: Tensor | None = None) -> Tensor:
        """Hidden states after the last norm, ``[batch, length, width]``.

        `ids` and `positions` are ``[batch, length]``; `images` holds the embeddings ``[n, width]`` that replace the tokens at the flat
        indices `image_slots` ``[n]``.
        """
        x = self.embedding(ids)
        if images is not None and image_slots is not None:
            flat = x.reshape(-1, x.shape[-1])
            x = flat.index_copy(0, image_slots, images.to(flat.dtype)).view_as(x)
        rope = self.rope(positions)
        for block in self.blocks:
            x = block(x, rope)
        return self.norm(x)  # type: ignore[no-any-return]

    def rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``[batch, length, 1, rotary / 2]`` for NEOX-style rotation (the two halves of the rotated part)."""
        half = self.shape.rotary // 2
        frequencies = self.shape.rope_base ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
        angles = positions[..., None].float() * frequencies
        return angles.cos()[:, :, None, :], angles.sin()[:, :, None, :]


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the first half of each head; `x` is ``[batch, length, heads, head_width]``."""
    cos, sin = (part.to(x.dtype) for part in rope)
    half = cos.shape[-1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)


class Projector(nn.Module):
    """A patch's features to an embedding of the language model: two linear layers with tanh GELU between (llama.cpp's ``mlp``).

    The tower's features have a deviation of about 1 / `SCALE`. Unscaled, they make the first layer learn so fast that the embeddings grow
    far beyond those of words, and the blocks can no longer add to them. In a GGUF the scale is part of the first layer (`first_weight`).
    """

    SCALE = 1 / 40

    def __init__(self, vision_width: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(vision_width, width)
        self.second = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """``[..., vision_width]`` to ``[..., width]``."""
        return self.second(F.gelu(self.first(features * self.SCALE), approximate="tanh"))  # type: ignore[no-any-return]

    @property
    def first_weight(self) -> Tensor:
        """The first layer's weight for features that are not scaled."""
        return self.first.weight * self.SCALE

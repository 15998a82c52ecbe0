"""What servers answer, made safe and bounded: texts for the model, pictures checked by what they hold."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    ReadResourceResult,
    TextContent,
    TextResourceContents,
)

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.tools.mcp.values import Limits, McpError, ResourceContent, shown


def outcome_of(result: CallToolResult, limits: Limits) -> ToolOutcome:
    """What a call brought."""
    texts: list[str] = []
    images: list[bytes] = []
    sources: list[str] = []
    for block in result.content:
        if isinstance(block, ImageContent):
            texts += _take_image(block.data, images, limits)
        elif isinstance(block, EmbeddedResource):
            sources.append(shown(block.resource.uri))
            texts += _embedded(block.resource, images, limits)
        else:
            texts += _words(block)
    if not texts and not images and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    text = bounded("\n".join(texts), limits.text_characters)
    if result.is_error and not text:
        text = "The tool failed and did not say why."
    return ToolOutcome(text, tuple(images), result.is_error, tuple(sources))


def bounded(text: str, limit: int) -> str:
    """Foreign text, sanitised and cut with a word about it."""
    if len(text) > limit:
        text = f"{text[:limit]}\n[Cut here: the whole text has {len(text):,} characters.]"
    return sanitize(text)


def contents_of(result: ReadResourceResult) -> tuple[ResourceContent, ...]:
    """The parts of a resource. Raises McpError for bytes that are not what they say."""
    parts: list[ResourceContent] = []
    for part in result.contents:
        kind = shown(part.mime_type or "", 100)
        if isinstance(part, TextResourceContents):
            parts.append(ResourceContent(shown(part.uri), sanitize(part.text), kind))
        else:
            data = _decoded(part.blob)
            if data is None:
                raise McpError(f"The resource {shown(part.uri)} is not valid base64.")
            parts.append(ResourceContent(shown(part.uri), data, kind))
    return tuple(parts)


def messages_of(result: GetPromptResult, limits: Limits) -> list[tuple[str, str]]:
    """The turns of a prompt: role ("user" or "assistant") and text."""
    turns: list[tuple[str, str]] = []
    for message in result.messages:
        content = message.content
        lines: Iterable[str]
        if isinstance(content, ImageContent):
            lines = ["[A picture was left out.]"]
        elif isinstance(content, EmbeddedResource):
            lines = _embedded(content.resource, [], Limits(images=0))
        else:
            lines = _words(content)
        turns.append((message.role, bounded("\n".join(lines), limits.text_characters)))
    return turns


def _words(block: ContentBlock) -> list[str]:
    if isinstance(block, TextContent):
        return [block.text]
    if isinstance(block, AudioContent):
        return [f"[A recording ({shown(block.mime_type, 100)}) was left out.]"]
    if isinstance(block, ImageContent | EmbeddedResource):
        return []
    described = f" - {shown(block.description)}" if block.description else ""
    return [f"{shown(block.title or block.name)}: {shown(block.uri)}{described}"]


def _embedded(resource: TextResourceContents | BlobResourceContents, images: list[bytes], limits: Limits) -> list[str]:
    if isinstance(resource, TextResourceContents):
        return [f"{shown(resource.uri)}:", resource.text]
    if (resource.mime_type or "").startswith("image/"):
        return _take_image(resource.blob, images, limits)
    kind = shown(resource.mime_type or "of an unknown kind", 100)
    return [f"[The file {shown(resource.uri)} ({kind}) was left out.]"]


def _take_image(encoded: str, images: list[bytes], limits: Limits) -> list[str]:
    """Keep a picture, or say in a line why not."""
    if len(images) >= limits.images:
        return [f"[A picture was left out: only {limits.images} are taken.]"]
    if len(encoded) // 4 * 3 > limits.image_bytes + 3:
        return [f"[A picture was left out: it is larger than {limits.image_bytes:,} bytes.]"]
    data = _decoded(encoded)
    if data is None:
        return ["[A picture was left out: it is not valid base64.]"]
    if not _is_picture(data):
        return ["[A picture was left out: it is not a PNG, JPEG, WebP or GIF file.]"]
    images.append(data)
    return []


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_picture(data: bytes) -> bool:
    """Whether the bytes begin like a picture, whatever they are said to be. They are decoded with bounds where they are attached."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")

"""Which chat format a model is spoken to in: what somebody chose, or what its file says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nemochat.engine.protocol import ModelInfo
from nemochat.errors import TemplateError
from nemochat.files import reason
from nemochat.prompt import call_styles
from nemochat.prompt.format import ChatFormat, Layout, as_text, segments_of
from nemochat.prompt.messages import MessagesFormat
from nemochat.prompt.nemotron import TURN_TAGS, NemotronFormat
from nemochat.prompt.rendering import Renderer
from nemochat.prompt.replies import ReplyStyle
from nemochat.prompt.template import TemplateFormat
from nemochat.reading import NotAFileError, read_regular

AUTO, NEMOTRON, TEMPLATE = "auto", "nemotron", "template"
"""What may be chosen besides the path of a template."""
_SUFFIX = ".jinja"
_MAX_BYTES = 1 << 20
_CHATML = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""For a model whose file has no template: what most of those were trained on, and what llama.cpp takes then."""


async def choose(info: ModelInfo, wanted: str = AUTO) -> ChatFormat:
    """The format of a loaded model. wanted: see `EngineSettings.format`; where the engine lays conversations out, it has no say.

    Raises TemplateError for a template that cannot be used.
    """
    if info.takes_messages:
        return MessagesFormat(takes_tools=info.takes_tools, has_think_switch=info.has_think_switch)
    if wanted == NEMOTRON or (wanted in ("", AUTO) and speaks_nemotron(info.chat_template, info.architecture)):
        return NemotronFormat()
    name, source = f"of {info.name}", info.chat_template or _CHATML
    if wanted not in ("", AUTO, TEMPLATE):
        path = Path(wanted).expanduser()
        name, source = path.name, await asyncio.to_thread(_read, path)
    elif not info.chat_template:
        name = "ChatML"
    renderer = Renderer()
    try:
        return await TemplateFormat.probed(
            name, source, begin=info.begin_text, end=info.end_text, adds_begin=info.adds_begin, renderer=renderer
        )
    except BaseException:
        await renderer.close()
        raise


def speaks_nemotron(template: str, architecture: str) -> bool:
    """Whether a model is one of those that `NemotronFormat` is for: by the markers in its template, or its kind where it has none."""
    return all(tag in template for tag in TURN_TAGS[:2]) if template else architecture in ("", "nemotron")


def _read(path: Path) -> str:
    if path.suffix != _SUFFIX:
        raise TemplateError(f"There is no chat format {path.name!r}.", "Choose auto, nemotron, template, or the path of a .jinja file.")
    try:
        return read_regular(path, _MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise TemplateError(f"The chat template {path.name} is not text.", "Choose another file.") from None
    except (NotAFileError, OSError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no file"
        raise TemplateError(f"The chat template {path.name} cannot be read ({why}).", "Check its path.") from None


def style_of(format_: ChatFormat, layout: Layout) -> ReplyStyle:
    """How the reply to a prompt is read. Some prompts end within a thought, with the tag that opens it."""
    return call_styles.opened_by(format_.style, as_text(segments_of(layout.reply_head)))

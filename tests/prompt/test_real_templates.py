"""The templates of real models, where somebody has them (tests/material.py): what the format says is what the template says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nemochat.prompt.rendering import Renderer
from nemochat.prompt.template import TemplateFormat
from tests.material import each
from tests.prompt.direct import BEGIN, CONVERSATIONS, END, expected, said


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer()
    yield made
    await made.close()


@pytest.mark.parametrize("path", each("templates/*.jinja"))
async def test_every_conversation_is_said_as_the_template_says_it(path: Path, renderer: Renderer) -> None:
    source = path.read_text(encoding="utf-8")
    form = await TemplateFormat.probed(path.stem, source, begin=BEGIN, end=END, adds_begin=False, renderer=renderer)
    differing = []
    for name, conversation in CONVERSATIONS.items():
        layout = await form.lay_out(conversation)
        if said(form, layout) != await expected(form, source, conversation):
            differing.append(name)
    assert not differing

"""What a persona is like, at a glance: portrait, name, what it is, how it opens."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import plural
from nemochat.personas.index import PersonaSummary, summary_line
from nemochat.personas.macros import Macros
from nemochat.tui.widgets.portrait import Portrait

_MOST = 4_000
"""Of one text; the whole card is another screen."""
_MOST_TAGS = 12


class PersonaPreview(VerticalScroll, can_focus=False):
    """Shows one persona; `say` shows a sentence in its place."""

    DEFAULT_CSS = """
    PersonaPreview {
        scrollbar-size-vertical: 1;
        #preview-head { height: auto; margin-bottom: 1; }
        #preview-who { height: auto; width: 1fr; padding-left: 2; }
        #preview-name { text-style: bold; }
        #preview-text { height: auto; }
    }
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._head = Horizontal(id="preview-head")
        self._portrait = Portrait()
        self._name_line = Static(id="preview-name", markup=False)
        self._facts = Static(id="preview-facts", markup=False)
        self._text = Static(id="preview-text", markup=False)
        self.say("")

    def compose(self) -> ComposeResult:
        """Portrait and facts beside each other, the texts below."""
        with self._head:
            yield self._portrait
            with Vertical(id="preview-who"):
                yield self._name_line
                yield self._facts
        yield self._text

    def say(self, text: str) -> None:
        """A sentence and no persona."""
        self._head.display = False
        self._text.update(Content(sanitize(text)))

    def show(self, persona: Persona, png: bytes | None, about: PersonaSummary, user: str) -> None:
        """A persona. user: what its texts call the user."""
        self._head.display = True
        self._portrait.show(png, persona.name, persona.accent)
        self._name_line.update(Content(sanitize(persona.name, strict=True)))
        self._facts.update(_facts(persona, about))
        self._text.update(_texts(persona, Macros(char=persona.called, user=user)))
        self.scroll_home(animate=False)


def _facts(persona: Persona, about: PersonaSummary) -> Content:
    tags = " · ".join(sanitize(tag, strict=True)[:40] for tag in persona.tags[:_MOST_TAGS])
    lines = [
        Content(sanitize(summary_line(persona), strict=True)[:200]),
        Content.styled(tags, "$text-muted"),
        Content.styled(" · ".join(_counted(persona, about)), "$text-muted"),
    ]
    return Content("\n").join(line for line in lines if line)


def _counted(persona: Persona, about: PersonaSummary) -> list[str]:
    entries = len(persona.book.entries) if persona.book is not None else 0
    creator = sanitize(persona.creator, strict=True)[:60]
    mine = f"yours, by {creator}" if creator and creator != "nemochat" else "yours"
    return [
        *([plural(entries, "lore entry", "lore entries")] if entries else []),
        *([plural(len(persona.greetings), "other greeting")] if persona.greetings else []),
        "comes with nemochat" if about.is_builtin else mine,
    ]


def _texts(persona: Persona, macros: Macros) -> Content:
    """The description (else what tells the model whom to play) and the greeting."""
    who = "\n".join(text for text in (persona.description, persona.personality, persona.scenario) if text.strip())
    parts = (("Who", who) if who else ("What the model is told", persona.system), ("Greeting", persona.greeting))
    return Content("\n\n").join(
        Content.assemble((f"{title}\n", "$text-muted"), shortened(sanitize(macros.expand(text[: 2 * _MOST]).strip()), _MOST))
        for title, text in parts
        if text.strip()
    )

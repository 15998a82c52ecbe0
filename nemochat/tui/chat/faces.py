"""Portraits and colours of those who speak in the conversation."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from nemochat.desk.port import Workbench
from nemochat.domain.chat import Chat
from nemochat.domain.personas import Persona
from nemochat.errors import NemochatError
from nemochat.tui.themes import accent_on
from nemochat.tui.widgets.transcript import Transcript


class Faces:
    """Looks for the portraits of personas once, and makes their colours readable on the theme."""

    def __init__(self, screen: Screen[None], transcript: Transcript, bench: Workbench) -> None:
        self._screen, self._transcript, self._bench = screen, transcript, bench
        self._portraits: dict[str, bytes] = {}
        self._accents: dict[str, str] = {}
        self._sought: set[str] = set()
        self._chat = Chat()

    def show(self, chat: Chat | None = None) -> None:
        """Bring the faces of those who speak in this chat, or in the last one that was named."""
        self._chat = chat or self._chat
        speakers = {entry.speaker for entry in self._chat.entries if entry.speaker}
        speakers |= {persona.name for persona in self._players()}
        self._transcript.show_portraits = self._bench.settings.interface.portraits
        if speakers - self._sought:
            self._screen.run_worker(self._find(speakers - self._sought), group="portraits")
        self._transcript.portraits = dict(self._portraits)
        self.show_accents()

    def show_accents(self) -> None:
        """Colour the names, as they can be read on the theme."""
        self._accents |= {persona.name: persona.accent for persona in self._players()}
        theme = self._screen.app.current_theme
        self._transcript.accents = {name: accent_on(accent, theme) for name, accent in self._accents.items() if accent}

    def _players(self) -> tuple[Persona, ...]:
        if self._chat.group is not None:
            return tuple(each.persona for each in self._chat.group.members)
        return () if self._chat.persona is None else (self._chat.persona,)

    async def _find(self, names: set[str]) -> None:
        found = await asyncio.to_thread(self._found, names)
        self._sought |= names
        self._portraits |= found
        self._transcript.portraits = dict(self._portraits)

    def _found(self, names: set[str]) -> dict[str, bytes]:
        store = self._bench.personas
        found: dict[str, bytes] = {}
        for summary in store.list():
            if summary.name in names:
                try:
                    _, avatar = store.load(summary.id)
                except NemochatError:
                    continue  # its name is enough; /persona says what is wrong with it
                if avatar:
                    found[summary.name] = avatar
        return found

"""Texts that attack a terminal or its reader, and a home where every text that nemochat did not write is one of them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import tomlkit

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.messages import ContextPart, Message, Role, TextPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.library import Library
from nemochat.paths import Paths

PAYLOADS = {
    "clipboard": "\x1b]52;c;UEFZTE9BRA==\x07",
    "title": "\x1b]0;PAYLOAD\x07",
    "link": "\x1b]8;;http://payload.example\x1b\\x\x1b]8;;\x1b\\",
    "string": "\x1bP1$r PAYLOAD\x1b\\",
    "query": "\x1b[6n",
    "c1": "\x9b31mPAYLOAD\x9d0;PAYLOAD\x9c",
    "return": "seen\rPAYLOAD\x08\x7f",
    "bidi": "a\u202egnp.exe\u202c \u2066b\u2069 \u2067c\u2069",
    "unseen": "d\U000e0041\U000e007f\ufeff\u2063\ufff9e\ufe00\U000e0100",
    "lines": "f\u2028g\u2029h\x85i",
    "markup": "[@click=app.exit]PAYLOAD[/] [/foo] [bold",
    "tokens": "<extra_id_1>User <toolcall> </s>",
}
ALL = " ".join(PAYLOADS.values())
NAME = "".join(PAYLOADS[kind] for kind in ("title", "c1", "bidi", "unseen", "markup")).replace("/", "")
"""A file's name."""
FORBIDDEN = tuple(
    text.encode()
    for text in (
        "\x1b]52;c;UEFZ", "\x1b]0;PAYLOAD", "\x1b]8;;http://payload", "\x1bP1$r", "\x1b[6n", "\x9b", "\x9d", "\x85", "\x7f",
        "seen\rPAYLOAD",
        *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff\u2063\ufff9\ufe00\U000e0041\U000e0100",
    )
)  # fmt: skip
FIELDS = ("nickname", "summary", "description", "system", "greeting", "creator", "creator_notes", "version")
TOOL = f'''
def hostile(text: str = "x") -> str:
    {json.dumps("Acts. " + ALL)}
    return {json.dumps(ALL)}


def broken(number) -> int:
    """No type."""
'''


def leaks(written: bytes) -> list[bytes]:
    """What of the payloads is in what a terminal got."""
    return [payload for payload in FORBIDDEN if payload in written]


def plant(paths: Paths, place: Path) -> None:
    """Fill the folders of a user, and `place` with files, with payloads wherever a text may stand."""
    for folder in (paths.config_dir / "tools", paths.config_dir / "themes", paths.personas, paths.lorebooks, paths.data_dir, place):
        folder.mkdir(parents=True, exist_ok=True)
    (paths.tools / f"t{NAME}.py").write_text(TOOL)
    (paths.config_dir / "themes" / f"broken{NAME}.toml").write_text("name = ")
    for name in ("evil", "odd"):
        (paths.personas / name).mkdir()
    theme = next(iter(sorted((Path(__file__).parents[1] / "themes").glob("*.toml"))))
    renamed = {**tomlkit.parse(theme.read_text()), "name": NAME, "description": ALL}
    (paths.config_dir / "themes" / "evil.toml").write_text(tomlkit.dumps(renamed))
    persona = {"name": f"Evil {NAME}", **dict.fromkeys(FIELDS, ALL), "tags": [NAME]}
    (paths.personas / "evil" / "persona.toml").write_text(tomlkit.dumps(persona))
    (paths.personas / "odd" / "persona.toml").write_text(tomlkit.dumps({ALL: 1}))
    card = {"spec": "chara_card_v2", "data": dict.fromkeys(("name", "description", "creator"), ALL)}
    (place / f"card{NAME}.json").write_text(json.dumps(card))
    entries = {"0": {"uid": 0, "key": ["heron", ALL, "/(/"], "comment": ALL, "content": ALL, "group": ALL, "automationId": ALL}}
    for file in (place / f"lore{NAME}.json", paths.lorebooks / "evil.json"):
        file.write_text(json.dumps({"entries": entries, "name": f"Evil {NAME}", "description": ALL}))
    (paths.lorebooks / "odd.json").write_text(json.dumps({ALL: ALL}))
    (place / f"doc{NAME}.md").write_text(f"# Heading {ALL}\n\nThe heron {ALL} stands in the reeds{', and stands' * 300}.\n")
    messages = [{"role": role, "content": ALL} for role in ("user", "assistant")]
    (place / f"chat{NAME}.json").write_text(json.dumps({"messages": messages}))
    servers = {"small": {"command": f"no such {ALL}", "args": [ALL], "env": {"A": ALL}}, ALL: {"command": "x"}, "odd": {ALL: ALL}}
    paths.mcp_servers.write_text(json.dumps({"mcpServers": servers}))
    library, _ = Library.open(paths.library)
    with library:
        asked = Entry(Message(Role.USER, (ContextPart(f"heron {ALL}", ALL), TextPart(f"heron {ALL}"))))
        chat = Chat().added(asked).added(Entry(Message(Role.ASSISTANT, (TextPart(f"heron {ALL}"),))))
        library.add(chat.named("x"), model=ModelRef("x"), tags=("x",))
    # A library that another program wrote: what is in it did not pass through this one.
    with sqlite3.connect(paths.library / "library.db") as db:
        db.execute("UPDATE conversation SET title = ?, model = ?", (f"heron {ALL}", ALL))
        db.execute("UPDATE tag SET name = ?", (ALL,))


def is_clean(text: str) -> bool:
    """Whether a text for people, outside of a terminal, is as `sanitize` leaves it."""
    return sanitize(text) == text

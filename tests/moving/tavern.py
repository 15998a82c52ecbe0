"""The folder of a SillyTavern, made up: two cards, a world, chats with swipes, a group, the user's personas, presets, and the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.personas.build import png, text_chunk, v2

MIRA: dict[str, Any] = {
    "name": "Mira", "description": "{{char}} is a clerk.", "first_mes": "Next!", "extensions": {"world": "Harbour", "talkativeness": "0.8"},
}  # fmt: skip
BRAN = {"name": "Bran", "description": "A smith.", "first_mes": "Hm?"}
WORLD = {
    "entries": {
        "0": {
            "uid": 0, "key": ["crane"], "keysecondary": [], "comment": "Crane", "content": "The crane is broken.", "constant": False,
            "selective": True, "selectiveLogic": 0, "order": 100, "position": 0, "disable": False, "probability": 100,
            "useProbability": True,
        }
    }
}  # fmt: skip
HEADER: dict[str, Any] = {
    "user_name": "Anna",
    "character_name": "Mira",
    "create_date": "2024-02-03@10h00m00s",
    "chat_metadata": {
        "note_prompt": "[It rains.]", "note_interval": 1, "note_depth": 3, "note_position": 1, "note_role": 0, "world_info": "Harbour",
        "variables": {"gold": 12}, "integrity": "x", "custom_background": "harbour.png",
    },
}  # fmt: skip
MESSAGES: list[dict[str, Any]] = [
    {
        "name": "Mira", "is_user": False, "is_system": False, "send_date": "February 3, 2024 10:01am", "mes": "Next!",
        "swipes": ["Closed.", "Next!"], "swipe_id": 1, "swipe_info": [{"extra": {"reasoning": "I am tired."}}, {"extra": {}}], "extra": {},
    },
    {
        "name": "Anna", "is_user": True, "is_system": False, "send_date": 1706954580000, "mes": "What is this?",
        "extra": {"image": "/user/images/Mira/pot.png", "file": {"url": "/user/files/list.txt", "name": "list.txt"}},
    },
    {
        "name": "Mira", "is_user": False, "is_system": False, "send_date": "2024-02-03T10:04:00.000Z", "mes": "A pot.",
        "swipes": ["A pan.", "A pot.", "A kettle."], "swipe_id": 1,
        "swipe_info": [{"extra": {}}, {"extra": {}}, {"extra": {"reasoning": "Is it?"}}],
        "extra": {
            "reasoning": "Round.", "reasoning_duration": 1500, "bias": "A", "model": "some-model", "image": "user/images/Mira/pot.png",
            "my_extension": {"x": 1},
        },
    },
    {"name": "Anna", "is_user": True, "is_system": True, "send_date": "2024-02-03 @10h 5m 0s 250ms", "mes": "(hidden)", "extra": {}},
]  # fmt: skip
PRESET = {
    "temp": 1.2, "top_p": 0.9, "top_k": 0, "min_p": 0.05, "rep_pen": 1.1, "rep_pen_range": 0, "typical_p": 1, "tfs": 0.9, "dynatemp": False,
    "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 0, "dry_sequence_breakers": '["\\n", "*"]',
    "xtc_probability": 0, "xtc_threshold": 0.1, "mirostat_mode": 0, "banned_tokens": '"shivers"\n[1, 2]', "samplers": ["top_k"],
    "do_sample": True,
}  # fmt: skip


def lines(*values: object) -> str:
    return "\n".join(json.dumps(value) for value in values)


def make(folder: Path, inside: str = "data/default-user", *, is_broken: bool = True) -> Path:
    """The folder of a SillyTavern, in which the user's own lies at `inside`; three of its files are broken unless not `is_broken`."""
    base = folder / inside
    for name in ("characters/Mira", "worlds", "chats/Mira", "chats/Gone", "groups", "group chats", "TextGen Settings", "instruct", "themes",
                 "User Avatars", "user/images/Mira", "user/files", "backups", "thumbnails/avatar"):  # fmt: skip
        (base / name).mkdir(parents=True)
    (base / "characters" / "Mira.png").write_bytes(png(text_chunk("chara", v2(**MIRA))))
    (base / "characters" / "Bran.png").write_bytes(png(text_chunk("chara", v2(**BRAN))))
    (base / "characters" / "Mira" / "joy.png").write_bytes(png())
    (base / "worlds" / "Harbour.json").write_text(json.dumps(WORLD))
    (base / "chats" / "Mira" / "Mira - 2024.jsonl").write_text(lines(HEADER, *MESSAGES))
    (base / "chats" / "Gone" / "old.jsonl").write_text(lines(MESSAGES[1]) + ("\n{broken\n" if is_broken else ""))
    if is_broken:
        (base / "characters" / "torn.png").write_bytes(png())
        (base / "chats" / "Gone" / "empty.jsonl").write_text("")
    (base / "groups" / "1.json").write_text(
        json.dumps(
            {"id": "1", "name": "The two", "members": ["Mira.png", "Bran.png", "Nobody.png"], "disabled_members": ["Bran.png"],
             "activation_strategy": 1, "generation_mode": 1, "allow_self_responses": True, "chat_id": "g1", "chats": ["g1"]}
        )
    )  # fmt: skip
    said = [{"name": "Mira", "is_user": False, "mes": "You two."}, {"name": "Bran", "is_user": False, "mes": "Hm."}]
    (base / "group chats" / "g1.jsonl").write_text(lines({"chat_metadata": {}, "user_name": "unused", "character_name": "unused"}, *said))
    (base / "TextGen Settings" / "Mine.json").write_text(json.dumps(PRESET))
    (base / "instruct" / "ChatML.json").write_text('{"input_sequence": "x"}')
    (base / "themes" / "Dark.json").write_text("{}")
    (base / "User Avatars" / "a.png").write_bytes(png())
    (base / "user" / "images" / "Mira" / "pot.png").write_bytes(png())
    (base / "user" / "files" / "list.txt").write_text("1 pot")
    (base / "backups" / "chat_mira.jsonl").write_text(lines(HEADER, *MESSAGES[:2]))
    (base / "thumbnails" / "avatar" / "Mira.png").write_bytes(png())
    personas = {"a.png": "Anna", "b.png": "Berta"}
    about = {"a.png": {"description": "A tired traveller.", "position": 0}}
    power = {"personas": personas, "persona_descriptions": about, "default_persona": "a.png"}
    lore = {"world_info": {"globalSelect": ["Harbour"]}}
    (base / "settings.json").write_text(json.dumps({"power_user": power, "world_info_settings": lore}))
    return base

"""How much a card may hold, and the exception that the readers of cards raise among themselves."""

from __future__ import annotations

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a card's file."""
MAX_JSON = 4 * 1024 * 1024
"""Characters of its JSON."""
MAX_BOOK = 16 * 1024 * 1024
"""Characters of the JSON of a lorebook of its own."""
MAX_TOML = 8 * 1024 * 1024
"""Bytes of a persona's TOML: room for the largest JSON with its escapes."""
MAX_NAME = 300
"""Characters of a name. Macros put names in many times, so a long one would blow every text up."""
MAX_TEXT = 1_000_000
"""Characters of any other field."""
MAX_ITEMS = 1_000
"""Greetings, tags, or keys of one entry."""
MAX_ENTRIES = 10_000
"""Entries of a lorebook."""
MAX_DEPTH = 64
"""How deep what other programs keep in a card may be nested."""
MAX_NODES = 200_000
"""How many values it may hold in all."""
MAX_BOOK_NODES = 1_000_000
"""The same for a lorebook of its own: each of its entries may have all that SillyTavern writes."""
MAX_AVATAR = 16 * 1024 * 1024
"""Bytes of a portrait that does not lie in the card's own picture."""


class Unreadable(Exception):
    """Why a card cannot be read, as a clause that goes on from its file's name ("its JSON is broken"). Never leaves this package."""

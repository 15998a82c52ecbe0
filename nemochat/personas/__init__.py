"""Personas: community character cards, the user's own personas and the built-in ones, and what becomes of them in a prompt.

`cards` reads and writes character cards, `toml_text` the readable form; `store` keeps them. `macros`, `lore`, `examples` and `prompt_text`
turn a persona into text for the model. A card comes from a stranger: it is read with limits (`limits`), never run, never fetched.
"""

"""The recipe of the built-in demo model: data, tokenizer, vision tower, language model, export, evaluation.

Run it with ``python -m training`` (see ``training/README.md``). It is not part of the wheel; the GGUF pair that it writes is.
"""

"""Retrieval: documents are read, split into passages, indexed, and the passages for a question found again.

A document is data. Its text is sanitised where it comes in, and nothing here interprets it. What it holds is taken apart in a process of
its own (`isolated`, `child`, `load`, `kinds`), which imports no more than that; the rest never looks into a file.
"""

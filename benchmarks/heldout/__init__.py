"""Held-out questions for the demo model.

Pictures, wordings, names and documents are made here by code of its own: nothing is shared with `training/` but the
description of the domain, so a right answer means that the model understood and not that it remembered.
"""

"""Widgets: each can be mounted alone, takes values in and posts messages out."""

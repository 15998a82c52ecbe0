"""Servers that run models, behind the one engine protocol: spoken to over HTTP, each by its own ways where those tell more."""

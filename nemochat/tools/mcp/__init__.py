"""Servers that speak the Model Context Protocol: their tools, resources and prompts, started on demand and trusted by nobody.

The `mcp` SDK is imported only by `connection`, `transport`, `http`, `offering`, `results` and what they are imported by on demand.
"""

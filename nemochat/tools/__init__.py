"""Function calling: which tools there are, what the user allows, and how a call is run.

`registry` holds the tools and runs calls, `approval` knows what the user allows, `builtin` are nemochat's own tools, `python_tools` the
user's own, `mcp` those of MCP servers. A result is data: nothing in it reaches a rule.
"""

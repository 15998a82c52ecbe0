"""The MCP servers of the user's configuration."""

from __future__ import annotations

import os

from nemochat.paths import Paths
from nemochat.tools.mcp.servers import McpServers


def open_servers(paths: Paths) -> McpServers:
    """The servers; none is started before it is needed, nor before the user trusts it."""
    return McpServers(paths.mcp_servers, paths.mcp_pins, paths.log_dir, environment=os.environ)

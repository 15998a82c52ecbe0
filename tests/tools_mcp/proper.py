"""A well-behaved server made with the SDK: over its pipes, or over HTTP on the port that its argument names."""

import base64
import sys

from mcp.server.mcpserver import Image, MCPServer

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
server = MCPServer("proper", version="1.2")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def dot() -> Image:
    """A picture of a dot."""
    return Image(data=PNG, format="png")


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("as it should")


@server.resource("mem://greeting", mime_type="text/plain")
def greeting() -> str:
    """A greeting."""
    return "Hello"


@server.resource("mem://dot", mime_type="image/png")
def dot_file() -> bytes:
    """The dot."""
    return PNG


@server.prompt()
def review(code: str, tone: str = "kind") -> str:
    """Review some code."""
    return f"Review this in a {tone} tone: {code}"


if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run("stdio")

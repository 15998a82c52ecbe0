"""The commands about tools, servers and documents: their arguments. What they do is imported when they are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli.options import JsonOption

tools_app = typer.Typer(help="Tools that the model may call: list, show and test.", no_args_is_help=True)
mcp_app = typer.Typer(help="MCP servers, which bring tools: add, list, check, remove.", no_args_is_help=True)
docs_app = typer.Typer(help="Documents that answers come from: add, list, search, refresh, remove.", no_args_is_help=True)

DEFAULT_COLLECTION = "default"
CollectionsOption = Annotated[
    list[str] | None, typer.Option("--collection", help="Only this one; may be given several times.", metavar="NAME")
]
ServerArgument = Annotated[str, typer.Argument(help="The server's name.", metavar="NAME")]


@tools_app.command("list")
def tools_list(
    servers: Annotated[bool, typer.Option("--servers", help="Also those of the MCP servers that you allowed, which are started.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the tools, and which of them run without being asked about."""
    from nemochat.cli.tools import print_list

    print_list(servers=servers, as_json=as_json)


@tools_app.command("show")
def tools_show(
    name: Annotated[str, typer.Argument(help="A tool's name, or SERVER/NAME.", metavar="NAME")], as_json: JsonOption = False
) -> None:
    """Show a tool: what the model is told of it, and the rule in force."""
    from nemochat.cli.tools import show

    show(name, as_json=as_json)


@tools_app.command("test")
def tools_test(
    name: Annotated[str, typer.Argument(help="A tool's name, or SERVER/NAME.", metavar="NAME")],
    arguments: Annotated[str, typer.Argument(help='A JSON object, such as {"expression": "12 * 7"}.', metavar="ARGUMENTS")] = "{}",
    yes: Annotated[bool, typer.Option("--yes", help="Run it without asking.")] = False,
) -> None:
    """Run a tool as the model would, and print what the model would read."""
    from nemochat.cli.tools import test

    raise typer.Exit(test(name, arguments, yes=yes))


@mcp_app.command("add")
def mcp_add(
    name: Annotated[str, typer.Argument(help="What to call the server.", metavar="NAME")],
    command: Annotated[
        list[str] | None, typer.Argument(help="The command that starts it, behind --.", metavar="-- COMMAND ARGUMENTS")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="A variable for the server, which gets none of yours but the plain ones (PATH, HOME, LANG and the like); "
            "${NAME} in it is read from yours when it starts.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    cwd: Annotated[
        str,
        typer.Option(
            help="The folder that it runs in. Without it: the current one when the command or an argument names something there, else /.",
            metavar="FOLDER",
        ),
    ] = "",
    header: Annotated[list[str] | None, typer.Option(help="A header for the address.", metavar="NAME=VALUE")] = None,
    url: Annotated[str, typer.Option(help="The address of a server that runs elsewhere, instead of a command.", metavar="URL")] = "",
) -> None:
    """Add a server: nemochat mcp add NAME -- COMMAND ARGUMENTS. It is started by nothing before it is allowed (check)."""
    from nemochat.cli.mcp import add

    add(name, command or (), env=env or (), headers=header or (), url=url, cwd=cwd)


@mcp_app.command("list")
def mcp_list(as_json: JsonOption = False) -> None:
    """List the servers, and whether you have allowed them."""
    from nemochat.cli.mcp import print_list

    print_list(as_json=as_json)


@mcp_app.command("remove")
def mcp_remove(name: ServerArgument) -> None:
    """Remove a server, and forget that it was allowed."""
    from nemochat.cli.mcp import remove

    remove(name)


@mcp_app.command("check")
def mcp_check(
    name: ServerArgument,
    trust: Annotated[bool, typer.Option("--trust", help="Allow it, and its tools as they are, without asking.")] = False,
) -> None:
    """Allow a server, start it, and show and accept what it offers."""
    from nemochat.cli.mcp import check

    check(name, trust=trust)


@mcp_app.command("log")
def mcp_log(
    name: ServerArgument, lines: Annotated[int, typer.Option(min=1, help="The most lines to print.", metavar="N")] = 200
) -> None:
    """Print the end of what a server has logged."""
    from nemochat.cli.mcp import log

    log(name, lines)


@docs_app.command("add")
def docs_add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: text, Markdown, HTML, PDF, DOCX, CSV, JSON, source code.")],
    collection: Annotated[str, typer.Option(help="The collection that they go into.", metavar="NAME")] = DEFAULT_COLLECTION,
) -> None:
    """Read documents, so that answers can come from them."""
    from nemochat.cli.docs import add

    add(paths, collection)


@docs_app.command("list")
def docs_list(collection: CollectionsOption = None, as_json: JsonOption = False) -> None:
    """List the documents."""
    from nemochat.cli.docs import print_list

    print_list(collection or (), as_json=as_json)


@docs_app.command("remove")
def docs_remove(
    path: Annotated[str, typer.Argument(help="A file, or a folder with all below it.")], collection: CollectionsOption = None
) -> None:
    """Take documents out; the files stay."""
    from nemochat.cli.docs import remove

    remove(path, collection or ())


@docs_app.command("refresh")
def docs_refresh(collection: CollectionsOption = None) -> None:
    """Read again what has changed, and drop what is gone."""
    from nemochat.cli.docs import refresh

    refresh(collection or ())


@docs_app.command("search")
def docs_search(
    words: Annotated[list[str], typer.Argument(help="A question, or words to look for.")],
    collection: CollectionsOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The most to print.", metavar="N")] = 6,
    as_json: JsonOption = False,
) -> None:
    """Search in the documents: the passages that a question would be answered from."""
    from nemochat.cli.docs import search

    search(" ".join(words), collection or (), limit=limit, as_json=as_json)

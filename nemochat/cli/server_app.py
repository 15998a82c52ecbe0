"""The commands about servers that run models: their arguments. What they do is imported when they are run."""

from __future__ import annotations

from typing import Annotated

import typer

from nemochat.cli import completing
from nemochat.cli.library_app import JsonOption

servers_app = typer.Typer(help="Servers whose models answer: add, list, check, remove.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The server's name.", metavar="NAME", autocompletion=completing.servers)]


@servers_app.command("add")
def servers_add(
    name: Annotated[str, typer.Argument(help="What to call the server: its models are then NAME/MODEL.", metavar="NAME")],
    url: Annotated[str, typer.Argument(help="Its address, such as http://127.0.0.1:8080 (a /v1 at the end does no harm).", metavar="URL")],
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    key: Annotated[bool, typer.Option("--key", help="Ask for its key, which is not shown.")] = False,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read its key from standard input.")] = False,
    key_env: Annotated[str, typer.Option(help="Take its key from this environment variable.", metavar="NAME")] = "",
) -> None:
    """Add a server, or give one another key. Its key goes into the system's keyring where there is one, else into a file for you alone."""
    from nemochat.cli.model_servers import add

    add(name, url, asks=key, reads=key_stdin, variable=key_env, has_more=bool(more))


@servers_app.command("list")
def servers_list(as_json: JsonOption = False) -> None:
    """List the servers, and what else runs on this machine."""
    from nemochat.cli.model_servers import print_list

    print_list(as_json=as_json)


@servers_app.command("check")
def servers_check(
    name: Annotated[
        str | None,
        typer.Argument(help="The server's name; all of them when left out.", metavar="NAME", autocompletion=completing.servers),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a server which program it is and which models it has."""
    from nemochat.cli.model_servers import check

    raise typer.Exit(check(name, as_json=as_json))


@servers_app.command("remove")
def servers_remove(name: NameArgument) -> None:
    """Forget a server and its key."""
    from nemochat.cli.model_servers import remove

    remove(name)

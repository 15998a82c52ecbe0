"""The commands about models and the servers that run them: their arguments. What they do is imported when they are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli import completing
from nemochat.cli.options import JsonOption, MmprojOption, ModelArgument

models_app = typer.Typer(help="The models that nemochat knows.", no_args_is_help=True)
servers_app = typer.Typer(help="Servers whose models answer: add, list, check, remove.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The server's name.", metavar="NAME", autocompletion=completing.servers)]


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the models, those of servers too; the one in use is marked."""
    from nemochat.cli.models import print_list

    print_list(as_json=as_json)


@models_app.command("add")
def models_add(
    path: Annotated[Path, typer.Argument(help="A GGUF file, a folder with a model and its projector, or an NVIGI folder.")],
    mmproj: MmprojOption = None,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
) -> None:
    """Check a model's files and remember them under a name."""
    from nemochat.cli.models import add

    add(path, mmproj, name)


@models_app.command("pull")
def models_pull(
    source: Annotated[
        str | None,
        typer.Argument(
            help="owner/repository of Hugging Face (with :QUANT or :FILE), ngc:org/model:version, an address, a .zip, or a name of the"
            " short list, which is shown without it.",
        ),
    ] = None,
    quant: Annotated[str, typer.Option(help="The quantisation, such as Q4_K_M.", metavar="QUANT")] = "",
    file: Annotated[str, typer.Option(help="One file of the source, by its name there.", metavar="NAME")] = "",
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    use: Annotated[bool, typer.Option("--use", help="Let it answer from now on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be downloaded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a model with its projector; run again, it goes on where it was interrupted."""
    from nemochat.cli.pull import run

    run(source, quant=quant, file=file, name=name, use=use, is_dry=dry_run, as_json=as_json)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A model's name or path, or SERVER/MODEL.", autocompletion=completing.models_and_servers)],
    mmproj: MmprojOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model's files, or its server, say, and the memory that it will need."""
    from nemochat.cli.models import show

    show(name, mmproj, as_json=as_json)


@models_app.command("use")
def models_use(
    name: Annotated[str, typer.Argument(help="A model's name, or SERVER/MODEL.", autocompletion=completing.models_and_servers)],
) -> None:
    """Choose the model that answers from now on."""
    from nemochat.cli.models import use

    use(name)


@models_app.command("set")
def models_set(
    name: ModelArgument,
    assignment: Annotated[
        str, typer.Argument(metavar="KEY=VALUE", help="format, picture_tokens, gpu_layers, device or a sampling value; nothing unsets it.")
    ],
) -> None:
    """Set something for one model alone."""
    from nemochat.cli.models import set_one

    set_one(name, assignment)


@models_app.command("remove")
def models_remove(name: ModelArgument) -> None:
    """Forget a model; files that nemochat downloaded for it are deleted, others stay."""
    from nemochat.cli.models import remove

    remove(name)


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

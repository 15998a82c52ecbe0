"""The commands about kept conversations, personas, lorebooks and presets: their arguments. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli import completing
from nemochat.cli.options import JsonOption, PersonaArgument

library_app = typer.Typer(help="Conversations: list, export, import, check and repair.", no_args_is_help=True)
lore_app = typer.Typer(help="Lorebooks: list, show, add, export, remove and try.", no_args_is_help=True)
personas_app = typer.Typer(help="Personas: list, show, import and export.", no_args_is_help=True)
presets_app = typer.Typer(help="Sampling presets: list, show, import, export, use and remove.", no_args_is_help=True)


def search(
    words: Annotated[list[str], typer.Argument(help='What to look for; "words in quotes" stand together.')],
    persona: Annotated[str, typer.Option(help="Only conversations with this persona.", metavar="NAME")] = "",
    model: Annotated[str, typer.Option(help="Only conversations with this model.", metavar="NAME")] = "",
    days: Annotated[int | None, typer.Option(min=1, help="Only messages of the last N days.", metavar="N")] = None,
    pictures: Annotated[
        bool | None, typer.Option("--pictures/--no-pictures", help="Only messages with pictures, or without.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to print.", metavar="N")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Search in every conversation."""
    from nemochat.cli.library import search as run

    run(" ".join(words), persona=persona, model=model, days=days, pictures=pictures, limit=limit, as_json=as_json)


@library_app.command("list")
def library_list(
    limit: Annotated[int, typer.Option(min=1, help="The most to print.", metavar="N")] = 50,
    archived: Annotated[bool, typer.Option("--archived", help="Those in the archive instead.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the bin instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the conversations, the newest first."""
    from nemochat.cli.library import print_list

    print_list(limit=limit, archived=archived, deleted=deleted, as_json=as_json)


@library_app.command("export")
def library_export(file: Annotated[Path, typer.Argument(help="The zip file to write.")]) -> None:
    """Write the whole library, pictures too, into one zip file."""
    from nemochat.cli.library import export

    export(file)


@library_app.command("import")
def library_import(
    path: Annotated[
        Path,
        typer.Argument(help="A folder of SillyTavern, any folder or file with chats, cards, lorebooks and presets, an exported library."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Take in what other programs have written; what is here already is not overwritten."""
    from nemochat.cli.moving import import_

    import_(path, as_json=as_json)


@library_app.command("check")
def library_check() -> None:
    """Read the whole library and say what is wrong with it."""
    from nemochat.cli.library import check

    check()


@library_app.command("repair")
def library_repair(
    file: Annotated[Path | None, typer.Argument(help="The broken database; the newest one that was set aside when left out.")] = None,
) -> None:
    """Bring what is readable in a broken database into the library, as new conversations."""
    from nemochat.cli.library import repair

    repair(file)


@library_app.command("purge")
def library_purge(
    days: Annotated[int, typer.Option(min=0, help="Remove what was deleted more than N days ago.", metavar="N")] = 30,
) -> None:
    """Remove deleted conversations for good, with the pictures that nobody uses."""
    from nemochat.cli.library import purge

    purge(days)


@personas_app.command("list")
def personas_list(as_json: JsonOption = False) -> None:
    """List the personas."""
    from nemochat.cli.personas import print_list

    print_list(as_json=as_json)


@personas_app.command("show")
def personas_show(
    name: PersonaArgument,
    prompt: Annotated[bool, typer.Option("--prompt", help="The system text that the model reads instead.")] = False,
) -> None:
    """Print a persona as TOML."""
    from nemochat.cli.personas import show

    show(name, prompt=prompt)


@personas_app.command("import")
def personas_import(files: Annotated[list[Path], typer.Argument(help="Cards (PNG, APNG, JSON, charx) or TOML files.")]) -> None:
    """Keep the personas of community character cards."""
    from nemochat.cli.personas import import_

    import_(files)


@personas_app.command("export")
def personas_export(
    name: PersonaArgument,
    file: Annotated[Path, typer.Argument(help="The file to write: .toml, .json, .png or .charx.")],
) -> None:
    """Write a persona as TOML or as a card."""
    from nemochat.cli.personas import export

    export(name, file)


LorebookArgument = Annotated[str, typer.Argument(help="A lorebook's name or id.", autocompletion=completing.lorebooks)]


@lore_app.command("list")
def lore_list(as_json: JsonOption = False) -> None:
    """List the lorebooks that belong to no single persona."""
    from nemochat.cli.lore import print_list

    print_list(as_json=as_json)


@lore_app.command("show")
def lore_show(name: LorebookArgument) -> None:
    """Print a lorebook as JSON (lorebook_v3)."""
    from nemochat.cli.lore import show

    show(name)


@lore_app.command("add")
def lore_add(
    files: Annotated[
        list[Path], typer.Argument(help="World info of SillyTavern, lorebook_v3, or lorebooks of NovelAI, Agnai and RisuAI (also .risum).")
    ],
) -> None:
    """Keep the lorebooks of files."""
    from nemochat.cli.lore import add

    add(files)


@lore_app.command("export")
def lore_export(
    name: LorebookArgument,
    file: Annotated[Path, typer.Argument(help="The .json file to write.")],
    world_info: Annotated[bool, typer.Option("--world-info", help="As SillyTavern's world info instead of lorebook_v3.")] = False,
) -> None:
    """Write a lorebook to a file."""
    from nemochat.cli.lore import export

    export(name, file, world_info=world_info)


@lore_app.command("remove")
def lore_remove(name: LorebookArgument) -> None:
    """Take a lorebook away."""
    from nemochat.cli.lore import remove

    remove(name)


@lore_app.command("try")
def lore_try(
    name: LorebookArgument,
    text: Annotated[list[str], typer.Argument(help="What somebody might say.")],
    as_json: JsonOption = False,
) -> None:
    """Say which entries of a lorebook a text would call, and why."""
    from nemochat.cli.lore import try_

    try_(name, " ".join(text), as_json=as_json)


PresetArgument = Annotated[str, typer.Argument(help="A preset's name, or its beginning.")]


@presets_app.command("list")
def presets_list(as_json: JsonOption = False) -> None:
    """List the sampling presets."""
    from nemochat.cli.presets import print_list

    print_list(as_json=as_json)


@presets_app.command("show")
def presets_show(name: PresetArgument) -> None:
    """Print a preset as TOML, and the order in which its stages come."""
    from nemochat.cli.presets import show

    show(name)


@presets_app.command("import")
def presets_import(files: Annotated[list[Path], typer.Argument(help="Text completion presets of SillyTavern (JSON).")]) -> None:
    """Keep the sampling of presets of SillyTavern or KoboldAI."""
    from nemochat.cli.moving import import_

    for file in files:
        import_(file, as_json=False)


@presets_app.command("export")
def presets_export(
    name: PresetArgument,
    file: Annotated[Path, typer.Argument(help="The file to write: .toml, or .json as SillyTavern has it.")],
) -> None:
    """Write a preset to a file."""
    from nemochat.cli.presets import export

    export(name, file)


@presets_app.command("use")
def presets_use(
    name: PresetArgument,
    persona: PersonaArgument,
) -> None:
    """Let a persona reply as a preset says. In one chat: /preset NAME."""
    from nemochat.cli.presets import use

    use(name, persona)


@presets_app.command("remove")
def presets_remove(name: PresetArgument) -> None:
    """Take a preset away."""
    from nemochat.cli.presets import remove

    remove(name)

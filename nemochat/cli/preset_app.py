"""The commands about sampling presets: their arguments. What they do is imported when they are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli.library_app import JsonOption, PersonaArgument

presets_app = typer.Typer(help="Sampling presets: list, show, import, export, use and remove.", no_args_is_help=True)
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

"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli import completing

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A model's name, a path to a GGUF file or its folder, or SERVER/MODEL.",
        metavar="NAME_OR_PATH",
        autocompletion=completing.models_and_servers,
    ),
]
ModelArgument = Annotated[str, typer.Argument(help="A model's name.", autocompletion=completing.models)]
MmprojOption = Annotated[
    Path | None, typer.Option("--mmproj", help="The projector's GGUF file, when it is not found by itself.", metavar="PATH")
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="How the model is spoken to: auto, nemotron, template, or a .jinja file.", metavar="FORMAT"),
]
PersonaArgument = Annotated[str, typer.Argument(help="A persona's name or id.", autocompletion=completing.personas)]

"""The command line: commands, options and exit codes.

Nothing heavy is imported here: `nemochat --version` must answer at once, and `ask` must start the engine's process before its own imports.
Exit codes: 0, 1 for a failure with a message, 2 for wrong usage, 130 when interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nemochat import __version__
from nemochat.cli import completing
from nemochat.cli.eval_app import eval_app
from nemochat.cli.library_app import library_app, lore_app, personas_app, presets_app, search
from nemochat.cli.model_app import models_app, servers_app
from nemochat.cli.options import FormatOption, JsonOption, MmprojOption, ModelOption
from nemochat.cli.tool_app import docs_app, mcp_app, tools_app
from nemochat.errors import UsageError
from nemochat.files import narrow
from nemochat.paths import find_paths

GREETING = f"""\
nemochat {__version__}: talk with a vision-language model that runs on your own machine.

  nemochat                        (in a terminal: the full-screen interface)
  nemochat --plain                (line by line: screen readers, pipes)
  nemochat ask "What colour is the circle?" -i picture.png
  nemochat ask "How do I load a real model?"
  nemochat --help

Until you choose another model it answers with a small one of its own, made for trying things out (nemochat models list)."""



class _Commands(TyperGroup):
    """The commands. What typer says of a wrong argument repeats it, and it may be a file's name: such a sentence is sanitised."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the command."""
        with _sanitised():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read what stands behind the command, and run it."""
        with _sanitised():
            return super().invoke(ctx)


@contextlib.contextmanager
def _sanitised() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The classes of such errors are typer's own or click's, depending on its version; all have a message.
        if isinstance(message := getattr(error, "message", None), str):
            from nemochat.domain.sanitize import sanitize

            vars(error)["message"] = sanitize(message)
        raise


app = typer.Typer(cls=_Commands, no_args_is_help=False, pretty_exceptions_enable=False)
app.add_typer(models_app, name="models")
app.add_typer(servers_app, name="servers")
app.add_typer(library_app, name="library")
app.add_typer(personas_app, name="personas")
app.add_typer(lore_app, name="lore")
app.add_typer(presets_app, name="presets")
app.add_typer(tools_app, name="tools")
app.add_typer(mcp_app, name="mcp")
app.add_typer(docs_app, name="docs")
app.add_typer(eval_app, name="eval")
app.command()(search)

def run_commands() -> None:
    """Run the command that the arguments name."""
    app(_with_values(sys.argv[1:]), prog_name="nemochat")


def fail(error: Exception) -> None:
    """End with one sentence on stderr for any failure; NEMOCHAT_DEBUG=1 shows the traceback instead."""
    if os.environ.get("NEMOCHAT_DEBUG"):
        raise error
    from nemochat.cli.output import as_shown, print_error

    shown = as_shown(error)
    print_error(shown)
    sys.exit(shown.exit_code)


def _with_values(arguments: list[str]) -> list[str]:
    """The arguments with an empty value behind a ``--resume`` that has none, which typer cannot express."""
    given: list[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":
            return [*given, *arguments[index:]]
        given.append(argument)
        if argument == "--resume" and (index + 1 == len(arguments) or arguments[index + 1].startswith("-")):
            given.append("")
    return given


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nemochat {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    model: ModelOption = None,
    mmproj: MmprojOption = None,
    format_: FormatOption = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with a conversation: the beginning of its id, or nothing for the last one.",
            metavar="[ID]",
            autocompletion=completing.chats,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Line by line, without a screen: for screen readers, simple terminals and pipes.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Talk with a vision-language model that runs on your own machine."""
    paths = find_paths(os.environ)
    for folder in (paths.config_dir, paths.data_dir, paths.log_dir, paths.cache_dir):
        narrow(folder)
    if context.invoked_subcommand is not None:
        if resume is not None or plain:
            given = "--plain" if plain else "--resume"
            raise UsageError(f"{given} opens a chat and takes no command.", f"nemochat {given}")
        if model or mmproj or format_:
            hint = f"nemochat {context.invoked_subcommand} --model NAME"
            raise UsageError("--model, --mmproj and --format come after the command.", hint)
        return
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if plain or (is_terminal and os.environ.get("TERM") == "dumb"):
        from nemochat.cli.plain import run as run_plain

        raise typer.Exit(run_plain(model, mmproj, _engine(format=format_), resume))
    if not is_terminal:
        typer.echo(GREETING)
        return
    from nemochat.cli.start import run

    run(model, mmproj, _engine(format=format_), resume)


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="What to ask. Text that is piped in is added to it.")] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="A picture to ask about; may be given several times.", metavar="PATH")
    ] = None,
    system: Annotated[str, typer.Option(help="Instructions for the model.", metavar="TEXT")] = "",
    tool: Annotated[
        list[str] | None,
        typer.Option(help="A tool that the model may call; each call is asked about. May be given several times.", metavar="NAME"),
    ] = None,
    yes_tool: Annotated[list[str] | None, typer.Option(help="The same, and it runs without being asked about.", metavar="NAME")] = None,
    gate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Call a tool only from this probability of a call on: 0 always, 1 never.", metavar="X"),
    ] = None,
    doc: Annotated[
        list[Path] | None, typer.Option(help="A file or folder to answer from; may be given several times.", metavar="PATH")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="Documents to answer from that were added before (nemochat docs).", metavar="NAME")
    ] = None,
    model: ModelOption = None,
    mmproj: MmprojOption = None,
    format_: FormatOption = None,
    max_tokens: Annotated[
        str | None, typer.Option(help="The longest reply, in tokens; auto: as long as there is room.", metavar="N")
    ] = None,
    temperature: Annotated[
        str | None, typer.Option(help="0 always takes the likeliest token; auto leaves it to the model.", metavar="X")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=4_294_967_295, help="Makes random choices repeatable.", metavar="N")] = None,
    context_length: Annotated[
        int | None, typer.Option(min=0, max=1_048_576, help="Tokens of the context window; 0 is the model's limit.", metavar="N")
    ] = None,
    gpu_layers: Annotated[int | None, typer.Option(min=-1, help="Layers to put on the GPU; -1 is all.", metavar="N")] = None,
    device: Annotated[
        str | None, typer.Option(help="Devices that take layers, by their names in `nemochat doctor`; cpu for none.", metavar="NAME,NAME")
    ] = None,
    main_gpu: Annotated[int | None, typer.Option(min=0, max=255, help="The one device that takes all of it, from 0.", metavar="N")] = None,
    tensor_split: Annotated[str | None, typer.Option(help="How several devices share the layers.", metavar="N,N")] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, max=1024, help="Processor threads; 0 is one per physical core.", metavar="N")
    ] = None,
    save_pixels: Annotated[
        Path | None, typer.Option(help="Write what the model gets of each picture into this folder.", metavar="FOLDER")
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Print the time to first token, its parts and the speed on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Read one JSON request a line from stdin, print one JSON object a line.")] = False,
    parallel: Annotated[
        int | None, typer.Option(min=1, max=64, help="With --jsonl and a server's model: how many requests at once.", metavar="N")
    ] = None,
) -> None:
    """Ask one question, or many (--jsonl), and print the reply as it comes."""
    asked_at = time.perf_counter()
    from nemochat.cli.ask import run
    from nemochat.cli.exchange import AskOptions

    overrides: dict[str, dict[str, object]] = {
        **_engine(
            context_length=context_length,
            gpu_layers=gpu_layers,
            device=_setting("--device", "engine.device", device),
            main_gpu=main_gpu,
            tensor_split=_setting("--tensor-split", "engine.tensor_split", tensor_split),
            threads=threads,
            format=format_,
        ),
        "sampling": {
            "max_tokens": _setting("--max-tokens", "sampling.max_tokens", max_tokens),
            "temperature": _setting("--temperature", "sampling.temperature", temperature),
            "seed": seed,
        },
        "tools": {"gate": gate},
    }
    given = {group: {name: value for name, value in values.items() if value is not None} for group, values in overrides.items()}
    options = AskOptions(
        question=question or "",
        images=tuple(image or ()),
        system=system,
        model=model,
        mmproj=mmproj,
        overrides=given,
        save_pixels=save_pixels,
        stats=stats,
        as_json=as_json,
        jsonl=jsonl,
        parallel=parallel,
        tools=tuple(tool or ()),
        yes_tools=tuple(yes_tool or ()),
        documents=tuple(doc or ()),
        collections=tuple(collection or ()),
    )
    raise typer.Exit(run(options, asked_at))


def _engine(**values: object) -> dict[str, dict[str, object]]:
    """Settings of the engine that were given as options."""
    return {"engine": {name: value for name, value in values.items() if value is not None}}


def _setting(option: str, key: str, text: str | None) -> object:
    """The value of an option that is a setting, None where it was not given. Raises typer.BadParameter."""
    if text is None:
        return None
    from nemochat.errors import SettingsError
    from nemochat.settings import parse_setting

    try:
        return parse_setting(key, text)
    except SettingsError as error:
        raise typer.BadParameter(f"{text!r} is not allowed. {error.hint}", param_hint=f"'{option}'") from None


@app.command()
def render(
    file: Annotated[Path, typer.Argument(help="A conversation: OpenAI messages, or an object with messages, system, tools and contexts.")],
    model: ModelOption = None,
    mmproj: MmprojOption = None,
    format_: FormatOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the segments with their kinds and token counts.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Show what llama.cpp's own renderer would write differently.")] = False,
) -> None:
    """Show the exact prompt that the model would get for a conversation."""
    from nemochat.cli.render import run

    if compare and as_json:
        raise typer.BadParameter("--compare is for text, so it does not go with --json")
    run(file, model, mmproj, _engine(format=format_), as_json=as_json, compares=compare)


@app.command()
def stats(
    chat: Annotated[
        str | None,
        typer.Argument(
            help="The beginning of a conversation's id; all of them when left out.", metavar="ID", autocompletion=completing.chats
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Only replies of this model.", metavar="NAME")] = "",
    since: Annotated[int | None, typer.Option(min=1, help="Only replies of the last N days.", metavar="DAYS")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the time to first token and what goes with it, over every reply in the library."""
    from nemochat.cli.stats import run

    run(chat, model=model, days=since, as_json=as_json)


@app.command()
def tune(
    model: Annotated[
        str | None,
        typer.Argument(help="A model's name or path; the one in use when left out.", metavar="MODEL", autocompletion=completing.models),
    ] = None,
    mmproj: MmprojOption = None,
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="How long to try settings.", metavar="N")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is best and store nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the fastest settings for a model on this machine, and store them."""
    from nemochat.cli.tune import run

    run(model, mmproj, seconds=seconds, is_dry=dry_run, as_json=as_json)


@app.command()
def doctor(
    as_json: JsonOption = False,
    report: Annotated[
        bool, typer.Option("--report", help="Text to paste into a report: without names, private paths and addresses of servers.")
    ] = False,
) -> None:
    """Look whether everything works here, and say what to do where it does not."""
    from nemochat.cli.doctor import run

    run(as_json=as_json, report=report)


@app.command()
def paths() -> None:
    """Show where nemochat keeps its files."""
    from nemochat.cli.setup import print_paths

    print_paths()

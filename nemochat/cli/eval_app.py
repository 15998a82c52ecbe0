"""The commands about benchmarks: their arguments. What they do is imported when they are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemochat.cli import completing
from nemochat.cli.options import JsonOption, MmprojOption, ModelOption

eval_app = typer.Typer(help="Benchmarks of the model's card, and your own: run, show, compare, report.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(help="A run's name, or its folder.", metavar="RUN")]


@eval_app.command("list")
def eval_list(as_json: JsonOption = False) -> None:
    """List the benchmarks with the card's figures, and the runs that there are."""
    from nemochat.cli.evaluating import print_list

    print_list(as_json=as_json)


@eval_app.command("run")
def eval_run(
    benchmark: Annotated[str, typer.Argument(help="Its name (nemochat eval list).", metavar="BENCHMARK")],
    data: Annotated[
        Path | None,
        typer.Option(help="Its questions: a file, or a folder with the pictures in it; own: those kept in chats.", metavar="PATH"),
    ] = None,
    model: ModelOption = None,
    mmproj: MmprojOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many questions, drawn by the seed.", metavar="N")] = None,
    seed: Annotated[int, typer.Option(min=0, max=4_294_967_295, help="Of what is drawn: questions, guesses.", metavar="N")] = 0,
    out: Annotated[Path | None, typer.Option(help="The folder of the run, in place of one of nemochat's own.", metavar="FOLDER")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="With a server's model: how many questions at once.", metavar="N")] = 4,
    grammar: Annotated[bool, typer.Option("--grammar/--no-grammar", help="Hold calls to the tools' schemas.")] = True,
    gate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Call a tool only from this probability of a call on.", metavar="X")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model a benchmark's questions and score the answers; run again, it goes on where it ended."""
    from nemochat.cli.evaluating import Wish, run

    run(Wish(benchmark, data, model, mmproj, limit, seed, out, parallel, grammar, gate), as_json=as_json)


@eval_app.command("show")
def eval_show(
    run: RunArgument,
    wrong: Annotated[int, typer.Option(min=0, help="How many of the wrong answers.", metavar="N")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show a run's result, what it depends on, and wrong answers."""
    from nemochat.cli.evaluating import show

    show(run, wrong=wrong, as_json=as_json)


@eval_app.command("compare")
def eval_compare(
    first: RunArgument,
    second: Annotated[str, typer.Argument(help="Another run of the same benchmark.", metavar="RUN")],
    as_json: JsonOption = False,
) -> None:
    """Show by how much two runs differ, whether that may be chance, and which questions changed."""
    from nemochat.cli.evaluating import compare

    compare(first, second, as_json=as_json)


@eval_app.command("gate")
def eval_gate(
    runs: Annotated[
        list[str], typer.Argument(help="Runs without a gate, over questions that want a call and that want none.", metavar="RUN...")
    ],
    seed: Annotated[int, typer.Option(min=0, max=4_294_967_295, help="Draws the half that the threshold is chosen on.", metavar="N")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the best threshold for tools.gate, and show whether it helps."""
    from nemochat.cli.evaluating import gate

    gate(runs, seed, as_json=as_json)


@eval_app.command("report")
def eval_report(
    runs: Annotated[list[str], typer.Argument(help="Names of runs, or their folders.", metavar="RUN...")],
    html: Annotated[Path | None, typer.Option(help="Write a page with the wrong answers and their pictures.", metavar="FILE")] = None,
) -> None:
    """Print the results as a Markdown table, with all that they depend on."""
    from nemochat.cli.evaluating import report

    report(runs, html)


@eval_app.command("add")
def eval_add(
    chat: Annotated[
        str, typer.Option(help="The beginning of a conversation's id.", metavar="ID", autocompletion=completing.chats)
    ],
    file: Annotated[
        Path | None, typer.Argument(help="The JSONL file of own questions, in place of the one that chats keep theirs in.", metavar="FILE")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="What would have been right; may be given several times.", metavar="TEXT")
    ] = None,
    regex: Annotated[str, typer.Option(help="What a right answer matches, in place of --answer.", metavar="REGEX")] = "",
    call: Annotated[str, typer.Option(help='The call that would have been right: {"name": ..., "arguments": ...}.', metavar="JSON")] = "",
    message: Annotated[
        int | None, typer.Option(min=1, help="Which of your messages, counted from the first; the last one when left out.", metavar="N")
    ] = None,
) -> None:
    """Keep a question of a chat, with its pictures and what would have been right, as one of your own."""
    from nemochat.cli.evaluating import add

    add(file, chat, answers=tuple(answer or ()), regex=regex, call=call, message=message)

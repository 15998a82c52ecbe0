"""``nemochat models pull``: what would come, how it comes, and what came."""

from __future__ import annotations

import time

from nemochat.cli.opening import available_memory
from nemochat.cli.output import StatusLine, print_json, print_note, print_notes, print_table, say
from nemochat.cli.setup import Setup, read_setup
from nemochat.models.known import known_models
from nemochat.models.pull import Plan, Progress, Puller, Wish, no_room
from nemochat.numbers import size_text

_SECONDS = 0.1
"""Between two looks of the line that says how far it is."""


def run(source: str | None, *, quant: str, file: str, name: str, use: bool, is_dry: bool, as_json: bool) -> None:
    """Serve the command. Raises DownloadError and ModelFileError; KeyboardInterrupt leaves what has come."""
    setup = read_setup()
    puller = Puller(setup.paths.models, setup.catalogue)
    if source is None:
        _print_short_list(puller, as_json=as_json)
        return
    with StatusLine() as status:
        status.show("asking what there is ...")
        plan = puller.plan(Wish(source, quant, file, name))
    if is_dry and as_json:
        print_json(_json(plan))
        return
    if not as_json:
        _tell(plan)
    if (room := puller.missing_room(plan)) is not None:
        raise no_room(setup.paths.models, *room)
    if not is_dry:
        _pull(setup, puller, plan, use=use, as_json=as_json)


def _pull(setup: Setup, puller: Puller, plan: Plan, *, use: bool, as_json: bool) -> None:
    last = 0.0
    with StatusLine() as status:

        def report(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= _SECONDS:
                last = time.monotonic()
                status.show(f"{progress.name}: {progress.in_words()}")

        try:
            entry = puller.pull(plan, report)
        except KeyboardInterrupt:
            status.clear()
            print_note("Stopped. What has come is kept: the same command goes on with it.")
            raise
    if use:
        setup.catalogue.use(entry.name)
    print_notes(setup.catalogue.notices)
    if as_json:
        print_json({**_json(plan), "name": entry.name, "model_path": entry.model_path, "mmproj_path": entry.mmproj_path})
        return
    sight = "with its projector, so it can look at pictures" if entry.mmproj_path else "without a projector, so it reads text only"
    say(f"{entry.name} is there, {sight}.", strict=True)
    say(f"{entry.name} answers from now on." if use else f"Choose it with: nemochat models use {entry.name}", strict=True)


def _tell(plan: Plan) -> None:
    """What is to be known before anything comes."""
    rows = [(file.path, size_text(file.size) if file.size is not None else "size not known") for file in plan.files]
    if plan.there:
        rows = [(file.path, f"is here already: {path}") for file, path in zip(plan.files, plan.there, strict=True)]
    rows += plan.about.lines()
    if plan.offer.terms:
        rows.append(("terms", plan.offer.terms))
    if plan.memory is not None:
        rows.append(("memory", _fits(plan.memory)))
    if not plan.is_packed:
        rows.append(("reads", "text and pictures" if plan.projector else "text"))
    print_table((plan.offer.place.what, ""), rows)


def _fits(needed: int) -> str:
    free = available_memory()
    there = f"{size_text(free)} are available"
    return f"about {size_text(needed)}: {'it fits, ' if needed <= free else 'it does not fit, '}{there}"


def _json(plan: Plan) -> dict[str, object]:
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256 or None} for file in plan.files]
    sizes = {"size": plan.size, "memory": plan.memory}
    return {"source": plan.offer.source.typed, "files": files, **sizes, "about": plan.about, "terms": plan.offer.terms}


def _print_short_list(puller: Puller, *, as_json: bool) -> None:
    """The models that are known to be good for this, and what was begun."""
    free = available_memory()
    if as_json:
        print_json({"models": known_models(), "unfinished": puller.unfinished(), "available_bytes": free})
        return
    rows = []
    for each in known_models():
        fits = "fits" if each.gigabytes * 1e9 < free else "too large"
        loads = f"{each.gigabytes:g} GB, {fits}"
        rows.append((each.name, loads, "text, pictures" if each.sees else "text", each.licence or "its page says", each.why))
    print_table(("name", "loads about", "reads", "licence", ""), rows)
    for wish in puller.unfinished():
        say(f"Begun and not finished: nemochat models pull {wish.typed}", strict=True)
    say("Get one with: nemochat models pull NAME")

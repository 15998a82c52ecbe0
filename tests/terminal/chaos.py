"""A bad day with nemochat: random keys, pauses, signals and kills in the real program, and a ledger of every message that was sent.

    python -m tests.terminal.chaos --seed 1 --actions 200

What was sent is at the end, and after each restart, in the library exactly once and in its chat, or in the prompt or the kept draft again.
What came to stand behind a command was sent as its argument; what was only typed may also be among the earlier prompts.
Everything that is not so, every traceback, every exit code but 0 and every terminal left in disorder is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nemochat.library import Library, ListQuery
from tests.images.pictures import draw_circle
from tests.terminal.tty import ROOT, Terminal, nemochat

UP, DOWN, RIGHT, LEFT, ESC, ENTER, TAB, BACKTAB = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b", "\r", "\t", "\x1b[Z"
CTRL_UP, QUIT, NEW, DRAWER, SUSPEND = "\x1b[1;5A", "\x11", "\x0e", "\x12", "\x1a"
CLEAR = "\x05" + "\x15" * 4
DIALOGS = {"F2": "\x1bOQ", "F3": "\x1bOR", "F4": "\x1bOS", "F5": "\x1b[15~", "^T": "\x14", "^P": "\x10", "F1": "\x1bOP", "^F": "\x06"}
OVER = ("ype to filter", "Esc closes", "Esc cancels", "Esc leaves", "Search for commands", "▔▔▔", "any persona", "Use the demo", "F2 card")
"""Words that stand only on what lies over the conversation."""
GRACE = 0.7
"""Seconds in which a signal that does not come through the keyboard may still overtake what was typed before it."""
BUGS = ("Traceback (most recent call last)", "This is a bug", "in a way it should not")


@dataclass
class Sent:
    """A message. beside: one that was on the screen, of the same chat, when it was typed. is_sure: whether it must be found.

    is_entered: whether Enter came behind it. stood_in: the text of the message in which it was seen last.
    """

    text: str
    at: float
    beside: str = ""
    is_sure: bool = True
    is_entered: bool = True
    repeats: bool = False
    stood_in: str = ""
    way: list[str] = field(default_factory=list)


@dataclass
class Chaos:
    """One home, one or two programs in it, and what was done to them. rush: how much quicker than a person."""

    seed: int
    folder: Path
    rush: float = 1.0
    sent: dict[str, Sent] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    n_actions: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.script = self.folder / "model.script.json"
        r = self.random
        self.script.write_text(
            json.dumps({
                "replies": [{"text": "word " * n} for n in (5, 40, 80)],
                "token_seconds": r.choice((0.002, 0.01, 0.03)),
                "load_seconds": r.choice((0.0, 0.4, 1.5)),
                "batch_seconds": r.choice((0.0, 0.1)),
                "encode_seconds": r.choice((0.0, 0.3)),
            })
        )
        self.picture = self.folder / "a circle.png"
        draw_circle(self.picture, (220, 40, 40))
        self.ttys: list[Terminal] = []
        self.switched = self.edited = self.turned = 0.0
        self.deletes = 0
        self.deleted: set[str] = set()
        self.copied = False
        self.model_gone = False

    # -- the program

    @property
    def tty(self) -> Terminal:
        return self.ttys[-1]

    def start(self, *arguments: str, early: bool = False) -> None:
        folders = {f"NEMOCHAT_{kind}_DIR": str(self.folder / kind.lower()) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
        environment = {**folders, "PYTHONPATH": str(ROOT), "NEMOCHAT_INTERFACE_PICTURES": "halfblocks"}
        command = nemochat("--model", str(self.script), *arguments)
        self.ttys.append(Terminal(command, environment, self.folder, 110, 34))
        self.switched = self.turned = time.monotonic()
        text = ""
        if early:
            time.sleep(self.random.uniform(0.0, 1.5))
            text, enter = self.new_text(is_sure=True), self.random.choice(("", ENTER))
            self.sent[text].is_entered = bool(enter)
            self.tty.send(text + enter)
        # Until then the terminal is in line mode, in which Ctrl+Q and Ctrl+Z are its own.
        self.wait(lambda: b"\x1b[?1049h" in self.tty.written and "Enter" in self.tty.text and text in self.tty.text, 30)
        for each in self.sent.values():
            each.at = time.monotonic() if each.text == text else each.at
        self.note(f"start {' '.join(arguments)}")

    def wait(self, holds: Callable[[], object], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                return False
            if not sum(tty.read(0) for tty in self.ttys) and self.ttys:  # a terminal that is not read stops its program
                self.tty.read(0.02)
        return True

    def pause(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)
        self.look()

    def look(self) -> None:
        """Whether something has gone wrong in the open."""
        for tty in list(self.ttys):
            text = tty.text
            self.copied = self.copied or "as a copy" in text
            if any(bug in text for bug in BUGS):
                self.find("the program says that it has a bug", tty)
            if tty.process.poll() is not None:
                self.find(f"the program ended by itself with {tty.process.returncode}", tty)
                self.gone(tty)

    def gone(self, tty: Terminal) -> None:
        self.ttys.remove(tty)
        tty.__exit__(None, None, None)

    def find(self, what: str, tty: Terminal | None = None) -> None:
        log = self.folder / "log" / "crash.log"
        story = log.read_text()[-3000:] if log.exists() else ""
        log.unlink(missing_ok=True)
        self.findings.append(what)
        screen = tty.text if tty is not None else ""
        print(f"FOUND seed {self.seed}, action {self.n_actions}: {what}\n  {self.done[-250:]}\n{screen}\n{story}", flush=True)

    def note(self, what: str) -> None:
        self.done.append(f"{time.monotonic() % 1000:.2f} {what}")

    def key(self, keys: str, name: str = "") -> None:
        self.note(name or repr(keys))
        self.tty.send(keys)

    # -- messages

    def new_text(self, *, is_sure: bool) -> str:
        mark = f"Z{len(self.sent):04d}Z"
        self.sent[mark] = Sent(mark, time.monotonic(), self.beside(), is_sure)
        return mark

    def beside(self) -> str:
        """A message that stands in the chat on the screen; "" when that is not known."""
        if time.monotonic() - self.switched < 3:
            return ""
        lines = [line for line in self.tty.text.split("\n") if not _in_frame(line)]
        return next((found[1] for line in lines if (found := re.search(r"│ (Z\d+Z)(\s|$)", line))), "")

    def to_prompt(self) -> bool:
        """Close what lies over the conversation, once what was asked for has come."""
        self.wait(lambda: time.monotonic() > self.turned + 1.5, 5)
        for _ in range(8):
            self.pause(0.15)
            if not self.ttys:
                return False
            if not any(words in self.tty.text for words in OVER):
                return True
            self.key(ESC)
        return False

    def write(self) -> str:
        """Type a message as one does who looks at the screen; "" where it never stood in the prompt."""
        for _ in range(5):
            if not self.to_prompt():
                break
            text = self.new_text(is_sure=False)
            self.key(text)
            if self.wait(lambda text=text: text in self.prompt_text(), 10) and not any(words in self.tty.text for words in OVER):  # type: ignore[misc]
                return text
            for _ in range(2):  # in the drawer's filter the first clears it, and the second leaves it
                if self.ttys:
                    self.key(ESC)
                    self.pause(0.15)
        return ""

    def send(self) -> None:
        if text := self.write():
            self.sent[text].is_sure = True
            self.sent[text].at = time.monotonic()
            self.key(ENTER)
            if self.random.random() < 0.7 and not self.wait(lambda: self.in_transcript(text), 6):
                self.note(f"{text} was not seen as sent")

    def in_transcript(self, text: str) -> bool:
        return any(text in line and ("queued" in line or not _in_frame(line)) for line in self.tty.text.split("\n"))

    def burst(self) -> None:
        if first := self.write():
            more = [self.new_text(is_sure=True) for _ in range(self.random.randint(1, 3))]
            self.sent[first].is_sure = True
            self.key(ENTER + ENTER.join(more) + ENTER)

    def send_and_quit(self) -> None:
        if first := self.write():
            more = [self.new_text(is_sure=True) for _ in range(self.random.randint(0, 2))]
            self.sent[first].is_sure = True
            self.key("".join(ENTER + each for each in more) + ENTER)
            time.sleep(self.random.choice((0.0, self.random.uniform(0, 1))))
            self.quit()

    # -- actions

    def drop(self) -> None:
        if self.to_prompt():
            self.note("drop")
            self.tty.paste(f"'{self.picture}' ")

    def edit(self) -> None:
        self.edited = time.monotonic()
        self.turned = time.monotonic()
        self.key(CTRL_UP, "edit last")
        for each in list(self.sent.values()):  # what was edited is there twice, and may be cut off and be sent again
            each.repeats = True
        self.pause(self.random.uniform(0, 0.4))
        if self.random.random() < 0.5:
            self.key(ESC)

    def on_message(self) -> None:
        """A key on a message."""
        keys = self.random.choice(("d", "p", "x", "r", "e", "m" + ESC, "c", "i" + ESC, "du"))
        if "d" in keys:
            self.deletes += 1
        if "e" in keys:
            for each in self.sent.values():
                each.repeats = True
        self.turned = time.monotonic()
        self.key(BACKTAB, "to the messages")
        self.pause(self.random.uniform(0, 0.4))
        if self.ttys:
            self.key("k" * self.random.randint(0, 3) + keys)
            self.pause(0.2)
        if self.ttys:
            self.key(ESC)

    def dialog(self) -> None:
        name = self.random.choice(list(DIALOGS))
        self.turned = time.monotonic()
        self.key(DIALOGS[name], name)
        self.pause(self.random.choice((0.0, 0.05, 0.3)))
        if not self.ttys:
            return
        burst = self.random.choice((ESC + ESC, ESC * 3, DOWN + ESC, "a" + ESC + ESC, UP + TAB + ESC, ENTER + ENTER))
        if name in ("F3", "F5", "^P", "F4"):  # their Enter would change the model or the persona
            burst = burst.replace(ENTER, ESC)
        self.key(burst)

    def rename(self) -> None:
        if self.to_prompt():
            alone = self.random.random() < 0.5
            if self.random.random() < 0.2:
                self.clear()
            self.type_line("/rename", ENTER + ENTER) if alone else self.type_line(f"/rename name {self.random.randint(1, 99)}")

    def clear(self) -> None:
        """Delete what stands in the prompt."""
        for mark, sent in self.sent.items():
            sent.is_sure = sent.is_sure and mark not in self.prompt_text()
        self.key(CLEAR)

    def command(self, line: str) -> Callable[[], None]:
        def run() -> None:
            if self.to_prompt() and self.prompt_is_empty():
                self.type_line(line)

        return run

    def type_line(self, line: str, then: str = ENTER) -> None:
        """Type a command, and send it when it stands in the prompt."""
        self.key(line)
        if self.wait(lambda: re.search(rf"│ .*{line}", self.tty.text), 4):
            self.key(then)

    def prompt_is_empty(self) -> bool:
        return "Ask something" in self.tty.text

    def new(self) -> None:
        self.switched = time.monotonic()
        self.key(NEW, "new chat")

    def open_other(self) -> None:
        self.switched = time.monotonic() + 2
        self.copied = self.copied or len(self.ttys) > 1  # two programs in one chat: one of them goes on in a copy, and says so
        self.turned = time.monotonic()
        self.key(DRAWER, "drawer")
        self.pause(self.random.uniform(0.0, 0.6))
        if self.ttys:
            self.key(DOWN * self.random.randint(0, 4))
            self.key(ENTER)
            if self.random.random() < 0.7:
                self.pause(0.3)
                if self.ttys:
                    self.key(DRAWER + DRAWER)

    def swipe(self) -> None:
        if self.prompt_is_empty():  # else the cursor goes into the middle of what stands there
            self.key(self.random.choice((LEFT, RIGHT, LEFT + LEFT + RIGHT)))

    def resize(self) -> None:
        columns, rows = self.random.choice(((110, 34), (60, 20), (80, 24), (140, 40), (40, 12)))
        self.note(f"resize {columns}x{rows}")
        self.tty.resize(columns, rows)
        if columns < 80:
            self.pause(0.4)
            if self.ttys:
                self.tty.resize(110, 34)

    def suspend(self) -> None:
        process = psutil.Process(self.tty.process.pid)
        self.key(SUSPEND, "suspend")
        stopped = self.wait(lambda: not process.is_running() or process.status() == psutil.STATUS_STOPPED, 10)
        if not stopped:
            self.find("Ctrl+Z does not suspend", self.tty)
        self.pause(self.random.uniform(0, 0.5))
        if self.ttys:
            before = len(self.tty.written)
            self.tty.process.send_signal(signal.SIGCONT)
            self.note("continue")
            if not self.wait(lambda: b"\x1b[?1049h" in self.tty.written[before:], 10):
                self.find("it does not come back from the shell", self.tty)

    def kill_worker(self) -> None:
        children = psutil.Process(self.tty.process.pid).children(recursive=True)
        for child in children:
            try:
                if any("engine.worker" in word for word in child.cmdline()):
                    self.note(f"kill the worker {child.pid}")
                    child.send_signal(self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV)))
            except psutil.Error:
                continue

    def kill(self) -> None:
        tty, now = self.tty, time.monotonic()
        self.note("kill -9")
        for each in self.sent.values():
            each.is_sure = each.is_sure and each.at < now - 2
        os.killpg(tty.process.pid, signal.SIGKILL)
        tty.process.wait()
        self.gone(tty)
        self.ended()

    def terminate(self) -> None:
        tty, now = self.tty, time.monotonic()
        number = self.random.choice((signal.SIGTERM, signal.SIGHUP))
        self.note(number.name)
        for each in self.sent.values():
            each.is_sure = each.is_sure and each.at < now - GRACE
        tty.process.send_signal(number)
        self.leave(tty, {128 + number, -number}, number.name)

    def quit(self) -> None:
        tty = self.tty
        if self.random.random() < 0.2 and self.to_prompt() and self.ttys and self.prompt_is_empty():
            self.type_line("/quit", "")
        if "│ /quit" in tty.text:
            self.key(ENTER)
        else:
            self.key(QUIT, "quit")
        self.leave(tty, {0}, "quit")

    def leave(self, tty: Terminal, codes: set[int], how: str) -> None:
        end = time.monotonic() + 30
        while tty.process.poll() is None and time.monotonic() < end:
            tty.read(0.05)
        while tty.read(0.05):
            continue
        if tty.process.poll() is None:
            self.find(f"{how}: it never ends", tty)
        elif tty.process.returncode not in codes:
            self.find(f"{how}: exit code {tty.process.returncode}", tty)
        if not tty.is_restored():
            self.find(f"{how}: the terminal is not restored", tty)
        self.gone(tty)
        self.ended()

    def ended(self) -> None:
        if not self.ttys:
            self.check()
            self.start("--resume", early=self.random.random() < 0.4)

    def second(self) -> None:
        """Another program on the same home, or the other one of two."""
        if len(self.ttys) < 2:
            arguments = self.random.choice(((), (), ("--resume",)))
            self.copied = self.copied or bool(arguments)
            self.start(*arguments)
        self.ttys.reverse()
        self.switched = time.monotonic() + 1

    # -- the ledger

    def trace(self) -> None:
        """Note where each message is now: a loss is understood by the last place where it was seen."""
        places: dict[str, str] = {}
        if (self.folder / "data" / "library" / "library.db").exists():
            for _, texts in self.stored(checks=False):
                for where, text in texts:
                    here = [mark for mark in self.sent if mark in text]
                    places |= dict.fromkeys(here, where)
                    for mark in here:
                        self.sent[mark].stood_in = text
        shown = self.prompt_text()
        for mark, sent in self.sent.items():
            where = places.get(mark, "nowhere") + (" and in the prompt" if mark in shown else "")
            if not sent.way or not sent.way[-1].endswith(f" {where}"):
                sent.way.append(f"{time.monotonic() % 1000:.2f} {where}")

    def stored(self, *, checks: bool = True) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Chats with the texts in them, and where each stands."""
        library, notices = Library.open(self.folder / "data" / "library")
        with library:
            if checks and (notices or library.check()):
                self.find(f"the library is not in order: {notices} {library.check()}")
            gone = library.conversations(ListQuery(deleted=True, limit=10_000))
            if gone and not self.deletes:
                self.find(f"{len(gone)} chats are in the bin, and nobody deleted one")
            for row in [*library.conversations(ListQuery(archived=None, limit=10_000)), *gone]:
                chat = library.load(row.id).chat
                on_path = {entry.id for entry in chat.entries}
                texts = [("path" if node.id in on_path else "aside", node.entry.message.text) for node in chat.nodes]
                yield row.id, [*texts, *(("waiting", each.message.text) for each in chat.waiting)]

    def check(self) -> None:
        """Compare the ledger with what is there."""
        places: dict[str, list[tuple[str, str, str]]] = {}
        for id_, texts in self.stored():
            for where, text in texts:
                for mark in self.sent:
                    if mark in text:  # two may have run into each other: Z0001Z0002ZZ
                        places.setdefault(mark, []).append((id_, where, text))
        drafts = " ".join(path.read_text() for path in (self.folder / "data").glob("draft*/*.json"))
        drafts += " ".join(tty.text for tty in self.ttys)
        earlier = self.earlier_prompts()
        for mark, sent in self.sent.items():
            found = places.get(mark, [])
            if not found and mark not in drafts:
                is_argument = any(mark in each for each in earlier if each.startswith("/"))
                if sent.is_sure and not is_argument and (sent.is_entered or mark not in earlier) and not self.is_deleted(sent):
                    self.find(f"LOST: {mark}, which was {sent.way}")
                sent.is_sure = False
            exact = [each for each in found if each[2].strip() == mark]
            chats = {each[0] for each in exact}
            if (len(exact) > len(chats) and not sent.repeats) or (len(chats) > 1 and not self.copied):
                self.find(f"TWICE: {mark} {found}")
                sent.repeats = True
            beside = {each[0] for each in places.get(sent.beside, [])}
            if sent.beside and beside and exact and not chats & beside and not self.copied:
                self.find(f"ELSEWHERE: {mark} is in {chats}, but {sent.beside}, beside which it was written, in {beside}")
                sent.beside = ""

    def earlier_prompts(self) -> list[str]:
        file = self.folder / "data" / "prompts.jsonl"
        texts: list[str] = []
        for line in file.read_text().splitlines() if file.exists() else ():
            with suppress(ValueError):  # a kill may have cut it short
                texts.append(json.loads(line))
        return texts

    def is_deleted(self, sent: Sent) -> bool:
        """Whether it went with a message that was deleted: each `d` takes one, in which several texts may stand."""
        message = sent.stood_in or sent.text
        if message not in self.deleted and len(self.deleted) < self.deletes:
            self.deleted.add(message)
        return message in self.deleted

    # -- the whole

    def run(self, n_actions: int) -> None:
        weighted: list[tuple[int, Callable[[], None]]] = [
            (20, self.send), (6, self.burst), (5, self.send_and_quit), (4, self.drop), (8, lambda: self.key(ESC)), (4, self.edit),
            (4, self.command("/undo")), (4, self.rename), (6, self.new), (5, self.open_other), (5, self.swipe), (4, self.command("/regen")),
            (5, self.on_message), (14, self.dialog), (4, self.resize), (2, self.suspend), (4, self.kill_worker), (3, self.kill),
            (3, self.terminate), (4, self.quit), (2, self.second), (1, self.command("/continue")), (1, self.command("/impersonate")),
        ]  # fmt: skip
        self.start(early=True)
        while self.n_actions < n_actions:
            if not self.ttys:
                self.ended()
            (action,) = self.random.choices([each for _, each in weighted], [weight for weight, _ in weighted])
            self.n_actions += 1
            action()
            self.pause(self.random.uniform(0, 0.8) / self.rush)
            self.trace()
            if self.n_actions % 40 == 0 and self.ttys:
                self.come_to_rest()
        while self.ttys:
            self.come_to_rest()
            if self.ttys:
                self.key(QUIT, "quit at the end")
                tty = self.tty
                self.leave_for_good(tty)
        self.check()

    def leave_for_good(self, tty: Terminal) -> None:
        self.note("quit for good")
        code = tty.wait_for_end()
        if code != 0 or not tty.is_restored():
            self.find(f"quit: exit code {code}, restored: {tty.is_restored()}", tty)
        self.gone(tty)

    def come_to_rest(self) -> None:
        """Whatever was done: a message can be sent, and it is answered."""
        self.note("come to rest")
        if not self.to_prompt() or not self.ttys:
            return
        if "press F3" in self.tty.text:
            self.clear()
            self.type_line(f"/model {self.script}")
            self.switched = time.monotonic() + 5
        text = self.write()
        if not text:
            if self.ttys:
                self.find("nothing can be written", self.tty)
            return
        self.sent[text].is_sure = True
        self.key(ENTER)

        def is_answered() -> bool:
            for _, texts in self.stored(checks=False):
                at = [index for index, (where, each) in enumerate(texts) if text in each and where == "path"]
                if at and any("word" in each for _, each in texts[at[0] :]):
                    return True
            return not self.ttys or text in self.prompt_text()

        if not self.wait_slowly(is_answered, 60):
            self.find(f"HANGS: {text} is never answered", self.tty)

    def prompt_text(self) -> str:
        return "\n".join(line for line in self.tty.text.split("\n") if _in_frame(line)) if self.ttys else ""

    def wait_slowly(self, holds: Callable[[], object], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return True
            self.pause(0.5)
        return False

    def close(self) -> None:
        for tty in list(self.ttys):
            self.gone(tty)


def _in_frame(line: str) -> bool:
    """Whether a line of the screen is one of the prompt, with a message in it."""
    return re.search(r"│ .*Z\d+Z.*│", line) is not None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from the first one on")
    parser.add_argument("--actions", type=int, default=200)
    parser.add_argument("--rush", type=float, default=1.0)
    options = parser.parse_args()
    findings: list[str] = []
    begun = time.monotonic()
    n_actions = n_sent = 0
    for seed in range(options.seed, options.seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            chaos = Chaos(seed, Path(folder), options.rush)
            try:
                chaos.run(options.actions)
            finally:
                chaos.close()
        findings += [f"seed {seed}: {each}" for each in chaos.findings]
        n_actions, n_sent = n_actions + chaos.n_actions, n_sent + sum(each.is_sure for each in chaos.sent.values())
        minutes = (time.monotonic() - begun) / 60
        print(f"== seed {seed} done: {n_actions} actions, {n_sent} messages, {minutes:.1f} min, {len(findings)} findings", flush=True)
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

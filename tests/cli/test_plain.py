"""`nemochat --plain`: the desk line by line, from a pipe and in a real terminal, and without anything of Textual."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nemochat.desk.commands import COMMANDS
from nemochat.domain.images import RgbImage
from nemochat.images import save_png
from tests.cli.conftest import Run, WriteScript, command
from tests.terminal.tty import Terminal

CALL = '<toolcall> {"name": "save_note", "arguments": {"text": "hi"}} </toolcall>'
CALCULATION = '<toolcall> {"name": "calculator", "arguments": {"expression": "12*7"}} </toolcall>'
FULL_SCREEN = (b"\x1b[?1049h", b"\x1b[2J", b"\x1b[H", b"\r\x1b[K", b"\x1b[3", b"\x1b[1m", b"\x1b[2m")
"""What clears, moves, or colours."""

Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(*arguments: str, **environment: str) -> Terminal:
            return stack.enter_context(Terminal(command(*arguments), environment, tmp_path, 100, 40))

        yield opened


# -- from a pipe


def test_a_question_from_a_pipe_has_its_answer_alone_on_stdout(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("--plain", "--model", script("It is red."), input="What colour?\n")
    assert (done.returncode, done.stdout) == (0, "It is red.\n")
    assert "TTFT " in done.stderr
    assert "\x1b" not in done.stderr


def test_several_questions_are_answered_in_their_order_and_kept(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    done = nemochat("--plain", "--model", script("One.", "Two.", "Three."), input="a\n\nb\n/export chat.md\nc")
    assert (done.returncode, done.stdout) == (0, "One.\nTwo.\nThree.\n")
    written = (tmp_path / "chat.md").read_text()
    said = [written.index(f"\n{text}\n") for text in ("a", "One.", "b", "Two.")]
    assert said == sorted(said)


def test_a_summary_is_written_before_the_next_line_and_named(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    model = script("One.", "Two.", "Three.", "They counted to three.", "Four.")
    lines = ("a", "b", "c", "/compact the numbers", "/remember It rains.", "d", "/exclude", "/summary off", "/export chat.md")
    done = nemochat("--plain", "--model", model, input="\n".join(lines))
    assert (done.returncode, done.stdout) == (0, "One.\nTwo.\nThree.\nFour.\n"), done.stderr
    assert "The model now reads a summary of " in done.stderr
    assert "The model is told so in this chat." in done.stderr
    assert "The model does not see this message any more." in done.stderr
    assert "The summary is off" in done.stderr
    written = (tmp_path / "chat.md").read_text()
    assert "(off)" in written
    assert "They counted to three." in written
    assert "It rains." in written


def test_nothing_of_textual_is_loaded(script: WriteScript, tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['nemochat', '--plain', '--model', sys.argv[1]]\n"
        "from nemochat.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted(name for name in sys.modules if name.startswith(('textual', 'nemochat.tui.')))) "
    )
    model = script("Yes.")
    done = subprocess.run(
        [sys.executable, "-c", program, model], input="Is it?\n/help\n/stats\n", capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.splitlines() == ["Yes.", "['nemochat.tui.clipboard', 'nemochat.tui.graphics', 'nemochat.tui.tables']"], done.stderr


def test_a_picture_by_its_path_is_seen(nemochat: Run, tmp_path: Path) -> None:
    save_png(RgbImage.from_rgb(64, 64, b"\xff\x00\x00" * 4096), tmp_path / "my red.png")
    done = nemochat("--plain", input="What is in './my red.png'?\n/export seen.json\n")
    assert done.returncode == 0, done.stderr
    assert "With my red.png\n" in done.stderr
    assert '"image_url"' in (tmp_path / "seen.json").read_text()


def test_a_path_alone_attaches_the_picture_to_the_next_line(nemochat: Run, script: WriteScript, red: str, tmp_path: Path) -> None:
    done = nemochat("--plain", "--model", script("Red."), input=f"{red}\nWhat colour?\n/export seen.json\n")
    assert (done.stdout, done.returncode) == ("Red.\n", 0)
    assert (tmp_path / "seen.json").read_text().count('"image_url"') >= 1


def test_a_tool_that_would_be_asked_about_is_refused_from_a_pipe(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[tools]\noffered = ["save_note"]\n')
    done = nemochat("--plain", "--model", script(CALL, "So it stays."), input="Keep hi.\ny\n")
    assert "The model wants to run save_note: the answer is No" in done.stderr
    assert "refused" in done.stderr
    assert done.stdout.startswith("So it stays.\n")


def test_a_harmless_tool_runs_and_its_call_is_a_line_of_its_own(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[tools]\noffered = ["calculator"]\n')
    done = nemochat("--plain", "--model", script(CALCULATION, "It is 84."), input="What is 12*7?\n/tools\n\n")
    assert done.stdout == "It is 84.\n"
    assert 'calculator {"expression": "12*7"} -> 84\n' in done.stderr
    assert "Called: calculator" in done.stderr
    assert "1. calculator (offered): " in done.stderr


def test_an_unknown_command_comes_back_and_is_the_next_draft(nemochat: Run, script: WriteScript, tmp_path: Path, terminal: Open) -> None:
    model = script("Yes.")
    done = nemochat("--plain", "--model", model, input="/nosuch thing\nIs it?\n")
    assert "There is no command /nosuch. /help lists the commands." in done.stderr
    assert "Not sent: /nosuch thing\n" in done.stderr
    assert done.stdout == "Yes.\n"
    assert '"/nosuch thing"' in "".join(path.read_text() for path in tmp_path.rglob("prompts*") if path.is_file())
    again = nemochat("--plain", "--model", model, input="Is it?\n")
    assert "nosuch" not in again.stderr  # the draft of another run is no part of what a pipe says
    tty = terminal("--plain", "--model", model)
    tty.wait_for("You: /nosuch thing")


def test_a_question_that_is_left_open_takes_no_line_that_is_no_answer(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("--plain", "--model", script("Yes."), input="/model\nIs it?\n")
    assert "nemochat-demo: built in" in done.stderr
    assert done.stdout == "Yes.\n"


def test_an_empty_library_says_so(nemochat: Run) -> None:
    done = nemochat("library", "list")
    assert (done.stdout, done.stderr) == ("", "There are no conversations yet: nemochat begins one.\n")
    assert nemochat("library", "list", "--deleted").stderr == "There are no such conversations.\n"


def test_answers_are_the_next_lines(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("--plain", "--model", script("Yes."), input="Is it?\n/rename\nThe name\n/open\n1\n2\nAnother name\n")
    assert "1. The name: 2 messages (this one now)\n" in done.stderr
    assert "Another name" in nemochat("library", "list").stdout


def test_resume_goes_on_and_says_what_was_said(nemochat: Run, script: WriteScript) -> None:
    nemochat("--plain", "--model", script("One."), input="a question\n")
    done = nemochat("--plain", "--model", script("Two."), "--resume", input="b\n")
    assert done.stdout == "Two.\n"
    assert "You: a question\n" in done.stderr
    assert ": One.\n" in done.stderr
    assert nemochat("library", "list").stdout.count("a question") == 1


def test_a_reply_that_the_library_does_not_take_is_in_the_chat_at_the_next_start(
    nemochat: Run, script: WriteScript, tmp_path: Path
) -> None:
    """It was lost with the program, and nobody was told."""
    model = script("One.", "Two.")
    assert nemochat("--plain", "--model", model, input="a").returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "library" / "library.db", isolation_level=None)) as library:
        library.execute("CREATE TRIGGER no BEFORE UPDATE ON conversation BEGIN SELECT RAISE (FAIL, 'full'); END")
        done = nemochat("--plain", "--resume", "--model", model, input="b")
        (kept,) = (tmp_path / "data" / "rescued").iterdir()
        assert f"could not be saved: the next start takes it from {kept}" in done.stderr
        library.execute("DROP TRIGGER no")
    done = nemochat("--plain", "--resume", "--model", model, input="/export chat.md\n")
    assert "is in your chats now" in done.stderr
    written = (tmp_path / "chat.md").read_text()
    said = [written.index(f"\n{text}\n") for text in ("a", "One.", "b")]
    assert said == sorted(said)
    assert len(json.loads(nemochat("library", "list", "--json").stdout)["conversations"]) == 1
    assert not kept.parent.exists()


def test_what_was_said_while_the_library_could_not_be_used_is_taken_in_later(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "library").write_text("in the way")
    done = nemochat("--plain", "--model", script("One.", "Two."), input="a\n/new\nb")
    assert done.stderr.count("taken in when") == 2
    assert nemochat("--plain", "--model", script("One."), input="").stderr.count("taken in when") == 1, "nothing was said"
    (tmp_path / "data" / "library").unlink()
    done = nemochat("library", "list", "--json")
    assert sorted(row["title"] for row in json.loads(done.stdout)["conversations"]) == ["a", "b"]
    assert "is in your chats now" in done.stderr


def test_every_command_is_answered_in_lines(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    """Each does something or says why not; lines with nothing in them leave its questions, and the chat goes on behind it."""
    lines = [f"/{each.name}\n\n\n" for each in COMMANDS if each.name != "quit"]
    done = nemochat("--plain", "--model", script(*["One."] * 9), input=f"a\n{''.join(lines)}/new\n\nb\n/export end.md\n/quit\nc\n")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("Error: ") and "clipboard" not in line] == []
    assert all(f"{each.usage}: {each.help}\n" in done.stderr for each in COMMANDS)  # of /help
    assert f"The settings are in {tmp_path / 'config' / 'config.toml'}" in done.stderr
    assert "\nb\n" in (tmp_path / "end.md").read_text()
    assert "c" not in done.stdout


def test_without_a_model_it_ends_and_what_was_sent_is_sent_the_next_time(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    done = nemochat("--plain", "--model", str(tmp_path / "none.gguf"), input="Is it?\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The model cannot be loaded" in done.stderr
    later = nemochat("--plain", "--model", script("Yes."), "--resume")
    assert later.stdout == "Yes.\n"
    assert "You: Is it?\n" in later.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_crash(closed: str, script: WriteScript, tmp_path: Path) -> None:
    line = f'echo Is it? | "$0" -m nemochat --plain --model "$1" {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable, script("Yes.")], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("Yes.\n" if closed == "2>&-" else "")


def test_a_reader_that_leaves_costs_nothing_that_was_said(script: WriteScript, tmp_path: Path, nemochat: Run) -> None:
    model = script("word " * 200, token_seconds=0.005)
    line = 'printf "a\\n" | "$0" -m nemochat --plain --model "$1" | head -c 20'
    subprocess.run(["sh", "-c", line, sys.executable, model], capture_output=True, text=True, cwd=tmp_path, check=False)
    kept = nemochat("--plain", "--model", script("x"), "--resume", input="/export kept.md\n")
    assert kept.returncode == 0, kept.stderr
    assert "word word" in (tmp_path / "kept.md").read_text()


def test_what_the_model_writes_has_no_power_over_the_terminal(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("--plain", "--model", script("\x1b]0;title\x07\x1b[2Jred"), input="a\x1b[2J\n/copy\n/export x\n")
    assert "\x1b" not in done.stdout + done.stderr


def test_it_stands_alone(nemochat: Run) -> None:
    done = nemochat("--plain", "ask", "Is it?")
    assert done.returncode == 2
    assert "nemochat --plain" in done.stderr


# -- in a terminal


def test_a_conversation_in_a_terminal(terminal: Open, script: WriteScript) -> None:
    tty = terminal("--plain", "--model", script("It is red.", "It is blue."))
    tty.wait_for("You:")
    tty.send("What colour?\r")
    tty.wait_for("It is red.")
    tty.wait_for(lambda text: text.count("You:") == 2)
    assert "TTFT " in tty.text
    tty.send("\x1b[A and now?\r")  # Up brings the last line back
    tty.wait_for("You: What colour? and now?")
    tty.wait_for("It is blue.")
    tty.wait_for(lambda text: text.count("You:") == 3)
    tty.send("/quit\r")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()
    assert not [each for each in FULL_SCREEN if each in tty.written]


def test_ctrl_c_stops_a_reply_and_twice_it_quits(terminal: Open, script: WriteScript) -> None:
    tty = terminal("--plain", "--model", script("word " * 400, token_seconds=0.02))
    tty.wait_for("You:")
    tty.send("Go on.\r")
    tty.wait_for("word word")
    tty.send("\x03")
    tty.wait_for("Stopped by you.")
    tty.wait_for(lambda text: text.rstrip().endswith("You:"))
    tty.send("half a line")
    tty.wait_for("You: half a line")
    tty.send("\x03")
    tty.wait_for("Press Ctrl+C once more to quit.\nYou: half a line")
    tty.send("\x03")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()
    again = terminal("--plain", "--model", script("Yes."))
    again.wait_for("You: half a line")  # what was being written is there again


def test_several_lines_that_are_pasted_are_one_message(terminal: Open, script: WriteScript) -> None:
    tty = terminal("--plain", "--model", script("One.", "Two."))
    tty.wait_for("You:")
    tty.paste("first line\nsecond line")
    tty.send("\r")
    tty.wait_for("One.")
    tty.wait_for(lambda text: text.rstrip().endswith("You:"))
    assert "Two." not in tty.text
    assert b"\x1b[7m" not in tty.written
    tty.send("\x04")
    assert tty.wait_for_end() == 0


def test_a_dumb_terminal_gets_lines_by_itself(terminal: Open) -> None:
    tty = terminal(TERM="dumb")
    tty.wait_for("You:")
    tty.send("/quit\r")
    assert tty.wait_for_end() == 0
    assert b"\x1b" not in tty.written
    assert tty.text.count("You:") == 1


def test_a_tool_is_asked_about_and_runs_after_a_yes_alone(terminal: Open, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[tools]\noffered = ["save_note"]\n')
    tty = terminal("--plain", "--model", script(CALL, "It stays.", CALL, "Kept."))
    tty.wait_for("You:")
    tty.send("Keep hi.\r")
    tty.wait_for("The model wants to run save_note")
    tty.wait_for("Allow it? [y/N]")
    assert '"hi"' in tty.text or "hi" in tty.text
    tty.send("\r")
    tty.wait_for("It stays.")
    tty.wait_for(lambda text: text.rstrip().endswith("You:"))
    tty.send("Keep it now.\r")
    tty.wait_for(lambda text: text.count("Allow it? [y/N]") == 2)
    tty.send("y\r")
    tty.wait_for("2. Always in this chat")
    tty.wait_for("Enter takes 1:")
    tty.send("\r")
    tty.wait_for("Kept.")


def test_ctrl_c_at_a_question_gives_no_permission(terminal: Open, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[tools]\noffered = ["save_note"]\n')
    tty = terminal("--plain", "--model", script(CALL, "Yes."))
    tty.wait_for("You:")
    tty.send("Keep hi.\r")
    tty.wait_for("Allow it? [y/N]")
    tty.send("\x03")
    tty.wait_for("Press Enter to go on.")
    tty.send("y\r")  # it answers nothing any more
    tty.wait_for(lambda text: text.rstrip().endswith("You:"))
    assert "-> " not in tty.text
    tty.send("/quit\r")
    assert tty.wait_for_end() == 0


def test_an_edited_message_stands_in_the_line(terminal: Open, script: WriteScript) -> None:
    tty = terminal("--plain", "--model", script("One.", "Two."))
    tty.wait_for("You:")
    tty.send("first words\r")
    tty.wait_for("One.")
    tty.wait_for(lambda text: text.rstrip().endswith("You:"))
    tty.send("/edit\r")
    tty.wait_for(lambda text: text.rstrip().endswith("You: first words"))
    tty.send(" and more\r")
    tty.wait_for("Two.")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_sigterm_keeps_what_was_written(terminal: Open, script: WriteScript) -> None:
    tty = terminal("--plain", "--model", script("Yes."))
    tty.wait_for("You:")
    tty.send("not sent yet")
    tty.wait_for("You: not sent yet")
    tty.process.terminate()
    assert tty.wait_for_end() == 143
    assert tty.is_restored()
    terminal("--plain", "--model", script("Yes.")).wait_for("You: not sent yet")

"""Prompts come back across runs, and nothing about the disk can stop the typing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nemochat.chat import recall
from nemochat.chat.recall import LONGEST, DraftFile, KeptDraft, PromptHistory
from nemochat.errors import NemochatError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "prompts.jsonl"


def older(history: PromptHistory, current: str = "") -> list[str]:
    """A walk from the newest to the oldest."""
    history.reset()
    found: list[str] = []
    while (text := history.older(found[-1] if found else current)) is not None:
        found.append(text)
    history.reset()
    return found


def fill(path: Path, *texts: str) -> PromptHistory:
    history = PromptHistory(path)
    for text in texts:
        history.add(text)
    return history


def test_up_and_down_and_what_was_being_typed(path: Path) -> None:
    history = fill(path, "one", "two")
    assert history.newer() is None
    assert history.older("thr") == "two"
    assert history.older("two") == "one"
    assert history.older("one") is None
    assert history.newer() == "two"
    assert history.newer() == "thr"
    assert history.newer() is None
    assert history.older("three") == "two"


def test_a_recalled_prompt_that_was_changed_comes_back(path: Path) -> None:
    history = fill(path, "one", "two")
    history.older("")
    assert history.older("two, changed") == "one"
    assert [history.newer(), history.newer(), history.newer()] == ["two", "two, changed", None]


def test_reset_begins_at_the_newest(path: Path) -> None:
    history = fill(path, "one", "two")
    history.older("")
    history.older("two")
    history.reset()
    assert history.newer() is None
    assert history.older("") == "two"


def test_an_empty_history(path: Path) -> None:
    history = PromptHistory(path)
    assert (history.older("x"), history.newer()) == (None, None)
    assert not path.exists()


def test_the_next_run_knows_them(path: Path) -> None:
    fill(path, "one", "two\nlines", "ünï 🐈")
    assert older(PromptHistory(path)) == ["ünï 🐈", "two\nlines", "one"]


def test_what_is_not_kept(path: Path) -> None:
    history = fill(path, "", "  \n", "one", "one", " one ", "two", "one")
    assert older(history) == ["one", "two", "one"]


def test_escape_sequences_and_lone_surrogates_do_not_survive(path: Path) -> None:
    history = fill(path, "a\x1b]52;c;eA==\x07b", "c\ud800d")
    assert older(history) == ["c\ufffdd", "a]52;c;eA==b"]
    path.write_bytes(msgspec.json.encode("x\x1b[2Jy") + b"\n")
    assert older(PromptHistory(path)) == ["x[2Jy"]


def test_broken_lines_are_passed_over_and_spoil_nothing(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'"good"\n{"a": 1}\n17\nnonsense\n\xff\xfe\n\n"cut sho')
    history = PromptHistory(path)
    assert older(history) == ["good"]
    history.add("next")
    assert older(PromptHistory(path)) == ["next", "good"]


def test_only_the_newest_are_kept_and_the_file_is_shortened(path: Path) -> None:
    history = PromptHistory(path, limit=10)
    for number in range(95):
        history.add(f"prompt {number}")
    wanted = [f"prompt {number}" for number in range(94, 84, -1)]
    assert older(history) == older(PromptHistory(path, limit=10)) == wanted
    assert len(path.read_bytes().splitlines()) <= 21
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_large_file_is_shortened_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_MAX_BYTES", 10_000)
    history = fill(path, *(str(number) * 1000 for number in range(40)))
    assert path.stat().st_size <= 12_000
    assert older(history)[:2] == ["39" * 1000, "38" * 1000]


def test_a_very_long_prompt_is_recalled_in_this_run_only(path: Path) -> None:
    long = "x" * (LONGEST + 1)
    history = fill(path, "one", long, "two")
    assert older(history) == ["two", long, "one"]
    assert older(PromptHistory(path)) == ["two", "one"]


def test_two_programs_at_once_see_each_other(path: Path) -> None:
    one, other = PromptHistory(path), PromptHistory(path)
    one.add("from one")
    other.add("from other")
    one.add("one again")
    assert older(one) == older(other) == ["one again", "from other", "from one"]


def test_no_prompt_is_lost_while_two_programs_write_and_shorten(path: Path) -> None:
    def write(name: str) -> None:
        history = PromptHistory(path, limit=400)
        for number in range(300):
            history.add(f"{name} {number}")

    seeded = PromptHistory(path, limit=400)
    for number in range(790):
        seeded.add(f"old {number}")
    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = older(PromptHistory(path, limit=2000))
    for name in ("a", "b"):
        mine = [int(text.split()[1]) for text in texts if text.startswith(name)]
        assert mine == list(range(299, 299 - len(mine), -1))
        assert len(mine) >= 100


@pytest.fixture
def umask_zero() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_zero")
def test_only_the_owner_can_read(path: Path) -> None:
    fill(path, "secret")
    DraftFile(path.with_name("drafts")).save(KeptDraft("secret"))
    (kept,) = path.with_name("drafts").iterdir()
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path, kept.parent, kept)]
    assert modes == [0o700, 0o600, 0o700, 0o600]
    path.chmod(0o644)
    fill(path, "another")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_nothing_can_be_written_recall_still_works_in_this_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    history = fill(tmp_path / "file" / "prompts.jsonl", "one", "two")
    assert older(history) == ["two", "one"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from nemochat.chat.recall import DraftFile, KeptDraft, PromptHistory
from nemochat.errors import NemochatError
folder = Path(sys.argv[1])
history, draft = PromptHistory(folder / "prompts.jsonl"), DraftFile(folder / "drafts")
history.add("before"); draft.save(KeptDraft("kept"))
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
for number in range(20): history.add(f"number {number}")
assert history.older("") == "number 19", history.older("")
try: draft.save(KeptDraft("x" * 1000))
except NemochatError as error: print(error.message)
assert draft.load().text == "kept"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".json cannot be written: File too large." in done.stdout
    assert older(PromptHistory(tmp_path / "prompts.jsonl"))[-1] == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["drafts", "prompts.jsonl"]


def test_a_draft_comes_back_until_it_is_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "drafts"
    draft = DraftFile(folder)
    assert draft.load() == KeptDraft()
    draft.save(KeptDraft("half a thou"))
    draft.save(KeptDraft("half a thought\n  and ünï \ud800", ("/tmp/a picture.png",)))
    assert DraftFile(folder).load() == KeptDraft("half a thought\n  and ünï \ufffd", ("/tmp/a picture.png",))
    draft.clear()
    draft.clear()
    assert draft.load() == KeptDraft()
    assert list(folder.iterdir()) == []


ANOTHER = """
import sys
from pathlib import Path
from nemochat.chat.recall import DraftFile, KeptDraft
draft = DraftFile(Path(sys.argv[1]))
print(draft.load().text, flush=True)
draft.save(KeptDraft("theirs"))
print("saved", flush=True)
sys.stdin.read()
"""


def test_each_program_has_its_own_draft_and_takes_over_what_one_that_is_gone_has_left(tmp_path: Path) -> None:
    mine = DraftFile(tmp_path)
    mine.save(KeptDraft("mine"))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ANOTHER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "\n", "a draft of a program that runs is not taken"
        assert other.stdout.readline() == "saved\n"
        mine.clear()
        assert len(list(tmp_path.iterdir())) == 1, "sending here leaves the other's draft alone"
        assert mine.load() == KeptDraft()
        other.kill()
    assert mine.load() == KeptDraft("theirs")
    assert DraftFile(tmp_path).load() == KeptDraft("theirs"), "and it is this program's now"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_draft_that_version_0_1_left_is_taken_over_once(tmp_path: Path) -> None:
    (tmp_path / "draft.txt").write_text("from before\x1b[2J \N{WAVING HAND SIGN}", encoding="utf-8")
    draft = DraftFile(tmp_path / "drafts")
    draft.save(KeptDraft("newer"))
    assert draft.load() == KeptDraft("newer")
    draft.clear()
    assert draft.load() == KeptDraft("from before[2J \N{WAVING HAND SIGN}")
    draft.clear()
    assert draft.load() == KeptDraft()


def test_a_draft_that_somebody_wrote_into_is_safe_to_show(tmp_path: Path) -> None:
    (tmp_path / "1-0.json").write_bytes(b'{"text": "a\\u001b[2Jb", "pictures": []}')
    (tmp_path / "2-0.json").write_bytes(b"\xff{")
    assert DraftFile(tmp_path).load() == KeptDraft("a[2Jb")


def test_a_draft_that_cannot_be_read_stays_where_it_is(tmp_path: Path) -> None:
    """It was deleted: what a newer version had written, what a bad moment of the disk had hidden."""
    unread = tmp_path / "1-0.json"
    unread.write_bytes(b'{"text": "of a newer version", "pictures": 7}')
    draft = DraftFile(tmp_path)
    assert draft.load() == KeptDraft()
    draft.save(KeptDraft("mine"))
    draft.clear()
    assert unread.read_bytes() == b'{"text": "of a newer version", "pictures": 7}'


def test_a_draft_that_cannot_be_taken_over_stays_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the draft of the program before was deleted, and the new one could not be written."""
    left = tmp_path / "1-0.json"
    left.write_bytes(b'{"text": "half a thou", "pictures": []}')
    draft = DraftFile(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(recall, "write_whole", full)
        assert draft.load() == KeptDraft("half a thou")
        with pytest.raises(NemochatError):
            draft.save(KeptDraft("half a thought"))
        assert left.exists()
    draft.save(KeptDraft("half a thought"))
    assert not left.exists()
    assert DraftFile(tmp_path).load() == KeptDraft("half a thought")


def test_what_was_typed_early_is_another_programs_draft_when_this_one_is_gone(tmp_path: Path) -> None:
    early = DraftFile(tmp_path, is_early=True)
    early.save(KeptDraft("hello"))
    assert DraftFile(tmp_path).load() == KeptDraft(), "it is still being typed"
    (file,) = tmp_path.iterdir()
    file.rename(file.with_name("1-0-early.json"))
    assert DraftFile(tmp_path).load() == KeptDraft("hello")


@pytest.mark.parametrize(
    ("shown", "kept"), [("two", "half a thou"), ("two, changed", "half a thou\ntwo, changed"), ("half a thou", "half a thou\nhalf a thou")]
)
def test_an_earlier_prompt_that_is_only_looked_at_is_no_draft(path: Path, shown: str, kept: str) -> None:
    history = fill(path, "one", "two")
    assert history.to_keep("anything") == "anything"
    assert history.older("half a thou") == "two"
    assert history.to_keep(shown) == kept
    assert history.newer("two") == "half a thou"
    assert history.to_keep("half a thou") == "half a thou"


def test_a_draft_that_cannot_be_written_says_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    draft = DraftFile(tmp_path / "file" / "drafts")
    with pytest.raises(NemochatError, match=r"\.json cannot be written: .*\.$"):
        draft.save(KeptDraft("x"))
    assert draft.load() == KeptDraft()
    draft.clear()


def test_what_was_typed_is_remembered_when_an_earlier_prompt_is_sent_instead(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.jsonl")
    for text in ("one", "two"):
        history.add(text)
    assert history.older("not sent yet") == "two"
    history.add("two")
    assert [history.older(""), history.older("two"), history.older("not sent yet")] == ["two", "not sent yet", "two"]


def test_what_was_typed_is_remembered_when_the_program_ends_over_an_earlier_prompt(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.jsonl")
    history.add("one")
    history.older("not sent yet")
    history.leave()
    assert PromptHistory(tmp_path / "prompts.jsonl").older("") == "not sent yet"


def test_changed_prompts_are_remembered_whichever_way_the_walk_goes_on(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.jsonl")
    for text in ("one", "two", "three"):
        history.add(text)
    history.older("first draft")
    history.older("three, changed")
    history.newer("two, changed")
    history.add("sent")
    assert {"first draft", "three, changed", "two, changed"} <= {history.older("") for _ in range(7)}

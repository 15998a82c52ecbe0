"""Documents on the command line: added, listed, searched, and asked about with their sources shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemochat.cli.docs import add
from nemochat.errors import NemochatError
from tests.cli.conftest import Run, WriteScript, command
from tests.cli.test_commands import invoke
from tests.terminal.tty import Terminal
from tests.tiny_gguf import write_language_model

NOTES = "# Garden\n\nThe lemon tree was planted in 2011 by Mr Okafor.\n"
BOATS = "The ferry to the island leaves at seven, and the captain is called Ilse.\n"


@pytest.fixture
def papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two documents, a picture and a broken PDF, beneath the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "notes.md").write_text(NOTES)
    (folder / "boats.txt").write_text(BOATS)
    (folder / "noise.txt").write_bytes(bytes(range(256)) * 8)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    return folder


# -- nemochat docs


def test_an_embedding_model_makes_vectors_and_one_that_is_gone_is_no_hindrance(papers: Path, tmp_path: Path, nemochat: Run) -> None:
    assert nemochat("docs", "add", "papers/notes.md").returncode == 0
    model = {"NEMOCHAT_TOOLS_EMBEDDING_MODEL": str(write_language_model(tmp_path / "tiny.gguf"))}
    assert "1 passage can be found by meaning" in nemochat("docs", "refresh", **model).stdout
    assert "meaning" not in nemochat("docs", "refresh", **model).stdout, "what is there is not made again"
    assert "1 passage can" in nemochat("docs", "add", "papers/boats.txt", **model).stdout
    assert "Mr Okafor" in nemochat("docs", "search", "lemon tree", **model).stdout
    done = nemochat("docs", "search", "lemon tree", NEMOCHAT_TOOLS_EMBEDDING_MODEL="absent.gguf")
    assert (done.returncode, "Mr Okafor" in done.stdout) == (0, True)
    assert done.stderr.count("absent.gguf cannot be read") == 1


def test_a_folder_is_read_and_what_is_broken_in_it_is_said(papers: Path, nemochat: Run) -> None:
    done = nemochat("docs", "add", "papers")
    assert (done.returncode, done.stdout) == (
        0, "2 documents read in the collection default, 1 passed over, being no text, 1 not readable.\n",
    )  # fmt: skip
    assert "broken.pdf" in done.stderr
    listed = json.loads(invoke("docs", "list", "--json"))["documents"]
    assert [(row["collection"], row["name"], row["kind"]) for row in listed] == [
        ("default", "boats.txt", "text"), ("default", "notes.md", "markdown"),
    ]  # fmt: skip
    assert "notes.md" in invoke("docs", "list")


def test_a_named_file_that_cannot_be_read_fails_in_the_end(papers: Path, nemochat: Run) -> None:
    done = nemochat("docs", "add", "missing.txt", "papers/notes.md", "--collection", "mine")
    assert done.returncode == 1
    assert "1 document read in the collection mine" in done.stdout
    assert "missing.txt" in done.stderr
    assert done.stderr.splitlines()[-1] == "Error: 1 of the files that you named could not be read."


def test_progress_stands_on_the_terminal_alone(papers: Path, tmp_path: Path) -> None:
    with Terminal(command("docs", "add", "papers"), {}, tmp_path) as terminal:
        assert terminal.wait_for_end() == 0
        assert b"reading 1 of 4: " in terminal.written
        assert "reading" not in terminal.text


def test_search_names_document_place_and_score(papers: Path, nemochat: Run) -> None:
    invoke("docs", "add", "papers/notes.md")
    invoke("docs", "add", "papers/boats.txt", "--collection", "sea")
    text = invoke("docs", "search", "who", "planted", "the", "lemon", "tree")
    assert text.splitlines()[0].endswith("  notes.md, Garden")
    assert float(text.split()[0]) > 0.3
    assert "Mr Okafor" in text
    found = json.loads(invoke("docs", "search", "the captain of the ferry", "--json"))
    assert [(each["document"], each["locator"]) for each in found["passages"]] == [("boats.txt", "line 1")]
    nothing = nemochat("docs", "search", "captain of the ferry", "--collection", "default")
    assert (nothing.stdout, nothing.stderr) == ("", "Nothing relevant was found in the documents.\n")
    unknown = nemochat("docs", "search", "x", "--collection", "nope")
    assert unknown.returncode == 2
    assert "There are: default, sea." in unknown.stderr


def test_refresh_reads_what_changed_and_drops_what_is_gone(papers: Path) -> None:
    (papers / "broken.pdf").unlink()
    invoke("docs", "add", "papers")
    (papers / "boats.txt").write_text(BOATS.replace("Ilse", "Wilhelmina"))
    (papers / "notes.md").unlink()
    assert invoke("docs", "refresh").startswith("1 document read, 1 gone")
    assert "Wilhelmina" in invoke("docs", "search", "captain of the ferry")
    assert json.loads(invoke("docs", "search", "lemon tree", "--json"))["passages"] == []


def test_remove_takes_out_of_all_collections_or_one(papers: Path) -> None:
    invoke("docs", "add", "papers/notes.md", "papers/boats.txt")
    invoke("docs", "add", "papers/notes.md", "--collection", "other")
    assert "1 document taken out" in invoke("docs", "remove", "papers/notes.md", "--collection", "other")
    assert "2 documents taken out" in invoke("docs", "remove", "papers")
    assert (papers / "notes.md").exists()
    with pytest.raises(NemochatError, match="is in no collection"):
        invoke("docs", "remove", "papers")


def test_a_collection_needs_a_name(papers: Path) -> None:
    with pytest.raises(NemochatError, match="needs a name"):
        add([papers], "\u200b ")


def test_names_print_no_escapes(papers: Path) -> None:
    (papers / "a\x1b]0;x\x07b.txt").write_text("The zeppelin\x1b[2J lands at noon.")
    invoke("docs", "add", "papers/a\x1b]0;x\x07b.txt", "--collection", "c\x1b[1m")
    text = invoke("docs", "list") + invoke("docs", "search", "zeppelin noon")
    assert "zeppelin" in text
    assert "\x1b" not in text


# -- nemochat ask


def test_passages_stand_beside_the_question_and_their_sources_behind_the_reply(papers: Path, nemochat: Run, script: WriteScript) -> None:
    asked = ("ask", "When was the lemon tree planted?", "--model", script("I see."), "--doc", "papers")
    done = nemochat(*asked)
    assert (done.returncode, done.stdout) == (0, "I see.\n")
    assert done.stderr.splitlines()[-1] == "Sources: notes.md, Garden"
    reply = json.loads(nemochat(*asked, "--json").stdout)
    bare = json.loads(nemochat(*asked[:-2], "--json").stdout)
    assert reply["prompt_tokens"] > bare["prompt_tokens"] + 12
    (source,) = reply["sources"]
    assert (source["document"], source["locator"], source["place"]) == ("notes.md", "Garden", str(papers / "notes.md"))
    assert source["text"] == "The lemon tree was planted in 2011 by Mr Okafor."
    assert source["score"] > 0.3


def test_documents_given_for_one_question_are_kept_nowhere(papers: Path, nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = nemochat("ask", "lemon tree?", "--doc", "papers/notes.md", "--model", script("x"), TMPDIR=str(temporary))
    assert done.returncode == 0
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "data" / "documents").exists()


def test_a_collection_and_files_together(papers: Path, nemochat: Run, script: WriteScript) -> None:
    invoke("docs", "add", "papers/boats.txt", "--collection", "sea")
    done = nemochat(
        "ask", "Who planted the lemon tree, and who is captain of the ferry?", "--collection", "sea", "--doc", "papers/notes.md",
        "--model", script("x"), "--json",
    )  # fmt: skip
    assert {source["document"] for source in json.loads(done.stdout)["sources"]} == {"boats.txt", "notes.md"}


def test_nothing_found_is_said(papers: Path, nemochat: Run, script: WriteScript) -> None:
    done = nemochat("ask", "Which zebra sings?", "--doc", "papers/notes.md", "--model", script("x"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "Nothing relevant was found in the documents.\n")


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--doc", "missing.txt"], 1, "missing.txt"),
        (["--doc", "papers/noise.txt"], 1, "noise.txt"),
        (["--doc", "empty"], 1, "holds nothing that can be read"),
        (["--collection", "nope"], 2, "There is no collection nope."),
    ],
)
def test_documents_that_cannot_be_had(
    papers: Path, nemochat: Run, script: WriteScript, options: list[str], code: int, sentence: str
) -> None:
    Path("empty").mkdir()
    done = nemochat("ask", "x", *options, "--model", script("x"))
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


def test_the_tool_that_searches_uses_the_same_documents(papers: Path, nemochat: Run, script: WriteScript) -> None:
    call = '<toolcall> {"name": "search_documents", "arguments": {"query": "captain of the ferry"}} </toolcall>'
    reply = json.loads(
        nemochat("ask", "Hm?", "--doc", "papers", "--tool", "search_documents", "--model", script(call, "Ilse."), "--json").stdout
    )
    assert [run["result"] for run in reply["tool_runs"]] == [f"boats.txt, line 1: {BOATS.strip()}"]
    assert [source["document"] for source in reply["sources"]] == ["boats.txt"]
    without = json.loads(nemochat("ask", "Hm?", "--tool", "search_documents", "--model", script(call, "No."), "--json").stdout)
    assert [run["result"] for run in without["tool_runs"]] == ["No passages found."]
    invoke("docs", "add", "papers/boats.txt")
    kept = json.loads(nemochat("ask", "Hm?", "--tool", "search_documents", "--model", script(call, "Yes."), "--json").stdout)
    assert [source["document"] for source in kept["sources"]] == ["boats.txt"]


def test_the_demo_model_answers_from_a_document(papers: Path, nemochat: Run) -> None:
    (papers / "tree.txt").write_text("The lemon tree was planted in 2011 by Mr Okafor. It bears fruit in March.\n")
    done = nemochat("ask", "When was the lemon tree planted?", "--doc", "papers/tree.txt", "--max-tokens", "60")
    assert done.returncode == 0
    assert "2011" in done.stdout
    assert done.stderr == "Sources: tree.txt, line 1\n"

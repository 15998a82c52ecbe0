"""What a reply's Markdown looks like: each construct at three widths, and what models write that CommonMark reads otherwise."""

# ruff: noqa: RUF001 - wide signs are what is tested
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.color import Color
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets.markdown import MarkdownFence

from nemochat.tui.themes import built_in_folder, load_themes
from nemochat.tui.widgets import markdown_blocks
from nemochat.tui.widgets.markdown_table import Table, lay_out
from nemochat.tui.widgets.reply_text import OpenBlock, ReplyText

TEN = "\n".join(
    [
        "|" + "|".join(f" {letter * 10} " for letter in "abcdefghij") + "|",
        "|" + "---|" * 10,
        "|" + "|".join(f" {letter * 10} " for letter in "klmnopqrst") + "|",
    ]
)
CONSTRUCTS = {
    "paragraph": ("Words that go on **boldly** and *softly* over the end of a narrow line, `x = 1`.", "Words boldly softly narrow"),
    "line breaks": ("one\ntwo  \nthree<br>four<BR />five", "one two three four five"),
    "heading": ("# First of all\n\nSetext\n------\n\n###### The last one", "First Setext last"),
    "bullets": ("- one\n  - nested **deep**\n    - deeper\n- [ ] to do\n- [x] done", "• one nested deep deeper [ ] done"),
    "numbers": ("9. nine\n10. ten\n\n    more of ten", "9. nine 10. ten more"),
    "quote": ("> said\n> > before\n>\n> - a list", "said before list"),
    "rule": ("above\n\n---\n\nbelow", "above below"),
    "link": ("See [the page](https://example.com/a) and <https://example.com> or www.example.org.", "page https://example.com example.org"),
    "picture": ("![a cat](https://example.com/cat.png)", "cat"),
    "deleted": ("~~gone~~ and \\*not soft\\*", "gone *not soft*"),
    "html": ("<b>shown</b> <div>as it is</div>", "<b>shown</b> <div>as"),
    "code": ("```python\ndef f():\n    return 1\n```", "python f(): return"),
    "tilde code": ("~~~\na\n```\nb\n~~~", "a ``` b"),
    "indented code": ("    x = 1\n\n    y = 2", "x = 1 y"),
    "code in a list": ("- so:\n  ```sh\n  ls -l\n  ```", "so: sh ls -l"),
    "table": ("| Name | Size |\n|:--|--:|\n| **cat** | 12 |\n| `dog` \\| wolf | 1<br>2 |", "Name Size cat 12 dog | wolf 1 2"),
    "wide table": (TEN, " ".join(letter * 10 for letter in "abcdefghijklmnopqrst")),
    "table in a list": ("- see\n\n  | a | b |\n  |---|---|\n  | c | d |", "see a b c d"),
    "formula": ("so \\(a_1 * b_2 * c\\) and\n\\[\nx = y\n- z \\\\\n\\]", "\\(a_1 * b_2 c\\) \\[ - z \\\\ \\]"),
    "dollars": ("$$\na_1\n+ b\n$$\nso $x_1 * y_1$", "$$ a_1 + b $x_1 * y_1$"),
    "cjk": ("これは**「重要」**です", "これは「重要」です"),
    "cjk table": ("| 名前 | 値段 |\n|---|--:|\n| りんご | 120円 |", "名前 値段 りんご 120円"),
}


class Host(App[None]):
    """A reply in a theme of ours."""

    def __init__(self, *shown: Widget) -> None:
        super().__init__()
        self.shown = shown

    def compose(self) -> ComposeResult:
        """The reply alone."""
        self.register_theme(load_themes(built_in_folder(), built_in_folder())[0][0])
        self.theme = self.available_themes["nemochat-dark"].name
        yield VerticalScroll(*self.shown)

    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(strip.text for strip in self.screen._compositor.render_strips())


def content_of(markdown: str) -> str:
    """The text of Markdown's inline parts, a line break as one."""
    tokens = [child for token in markdown_blocks.parser().parse(markdown) for child in token.children or ()]
    return "".join("\n" if token.type == "hardbreak" else token.content for token in tokens)


def styles_of(markdown: str) -> list[tuple[str, str]]:
    """What is emphasised, and how."""
    found: list[tuple[str, str]] = []
    opened: list[tuple[str, list[str]]] = []
    for token in (child for each in markdown_blocks.parser().parse(markdown) for child in each.children or ()):
        if token.nesting > 0:
            opened.append((token.tag, []))
        elif token.nesting < 0:
            tag, texts = opened.pop()
            found.append((tag, "".join(texts)))
        for _, texts in opened:
            texts.append(token.content)
    return found


@pytest.mark.parametrize("width", [40, 80, 200])
async def test_every_construct_is_there_at_every_width(width: int) -> None:
    """Fails when something of a construct is cut, dropped or shown as its source."""
    replies = {name: ReplyText(source) for name, (source, _) in CONSTRUCTS.items()}
    app = Host(*replies.values())
    async with app.run_test(size=(width, 250)) as pilot:
        await pilot.pause()
        rows = app.text().split("\n")
        for name, reply in replies.items():
            text = "\n".join(rows[reply.region.y : reply.region.bottom])
            assert (name, [word for word in CONSTRUCTS[name][1].split() if word not in text]) == (name, [])
            assert (name, [sign for sign in ("**", "~~", "<br>", "|--") if sign in text]) == (name, [])


# -- tables


def table(markdown: str, width: int) -> list[str]:
    """The lines of a table at a width."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.split("\n")]
    aligns = ["center" if cell.startswith(":") and cell.endswith(":") else "right" if cell.endswith(":") else "left" for cell in rows[1]]
    return lay_out([[Content(cell) for cell in row] for row in (rows[0], *rows[2:])], aligns, width).plain.split("\n")


@pytest.mark.parametrize("width", [50, 100])
def test_a_table_that_does_not_fit_becomes_names_and_values(width: int) -> None:
    """Fails as it did: ten columns of ten letters at 100 columns were `aaaaa...`, at 50 one letter each."""
    pairs = zip("abcdefghij", "klmnopqrst", strict=True)
    assert table(TEN, width) == [f"{name * 10}: {value * 10}" for name, value in pairs]


def test_the_rows_of_a_stacked_table_stand_apart_and_long_values_are_indented() -> None:
    rows = "| name | text |\n|---|---|\n| a | some words |\n| b | other |"
    assert table(rows, 10) == ["name: a", "text:", "  some", "  words", "──────────", "name: b", "text:", "  other"]


def test_a_table_that_fits_stands_in_columns() -> None:
    assert table("| a | b |\n|---|---|\n| one | two |", 80) == ["a   │ b  ", "────┼────", "one │ two"]


def test_columns_are_aligned_as_the_line_of_dashes_says() -> None:
    assert table("| left | mid | right |\n|:--|:-:|--:|\n| a | b | c |\n| seven | seven | seven |", 80) == [
        "left  │  mid  │ right",
        "──────┼───────┼──────",
        "a     │   b   │     c",
        "seven │ seven │ seven",
    ]


def test_long_cells_are_wrapped_at_words_and_their_rows_kept_apart() -> None:
    assert table("| n | words |\n|---|---|\n| 1 | some words that go on |\n| 2 | few |", 18) == [
        "n │ words         ",
        "──┼───────────────",
        "1 │ some words    ",
        "  │ that go on    ",
        "──┼───────────────",
        "2 │ few           ",
    ]


def test_a_line_break_in_a_cell_is_one() -> None:
    (cell,) = [token for token in markdown_blocks.parser().parse("| a |\n|---|\n| x<br>y<br/>z |") if token.content.startswith("x")]
    assert [child.type for child in cell.children or ()] == ["text", "hardbreak", "text", "hardbreak", "text"]
    assert content_of("`<br>` stays, this<br>\ndoes not") == "<br> stays, this\ndoes not"


CELLS = st.text(st.sampled_from("ab cdefgh重要😀\n1"), max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 8), st.integers(8, 210), st.data())
def test_nothing_of_a_table_is_cut_at_any_width(columns: int, width: int, data: st.DataObject) -> None:
    """Every character of every cell is drawn, within the width, whatever the cells hold."""
    rows = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=5))
    aligns = data.draw(st.lists(st.sampled_from(["left", "center", "right"]), min_size=columns, max_size=columns))
    text = lay_out([[Content(cell) for cell in row] for row in rows], aligns, width).plain
    assert all(cell_len(line) <= width for line in text.split("\n"))
    letters = sorted(letter for row in rows for cell in row for letter in cell if not letter.isspace())
    shown = sorted(letter for letter in text if letter not in " \n│─┼:")
    if ":" in text:  # each name stands before each of its values
        letters = sorted(letters + sorted("".join("".join(cell.split()) for cell in rows[0])) * max(0, len(rows) - 2))
    assert shown == letters


async def test_a_table_is_laid_out_anew_when_the_width_changes_and_its_links_work() -> None:
    clicked: list[str] = []

    class Clicked(Host):
        def on_markdown_link_clicked(self, event: ReplyText.LinkClicked) -> None:
            clicked.append(event.href)

    app = Clicked(ReplyText("| site | words |\n|---|---|\n| [here](https://example.com) | some that are long enough |"))
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert "here │ some that are long enough" in app.text()
        await pilot.click(Table, offset=(1, 2))
        assert clicked == ["https://example.com"]
        await pilot.resize_terminal(24, 20)
        await pilot.pause()
        assert "here │ some that are" in app.text()
        await pilot.resize_terminal(10, 20)
        await pilot.pause()
        assert "site:" in app.text()


# -- mathematics


@pytest.mark.parametrize(
    "source",
    [
        "\\(a\\)",
        "so \\(x_1 * y_1 * z\\) it is",
        "\\[ a_{i} * b_{j} * c \\]",
        "\\[\nx = a\n+ b\n- c\n= d\n# e\n\\]",
        "$$\n1. x\n> y\n$$",
        "$$ a \\\\ b $$",
        "$x_1 * y_1 * z_1$ and $a\\_b$",
        "a \\\\ b",
        "\\begin{aligned}\na &= b_1 * c \\\\\n- d * e\n\\end{aligned}",
        "in a line \\begin{matrix} a_1 & b \\\\ c_1 & d \\end{matrix}, see",
        "\\(a\nb_1\\)",
        "$$\nnever closed_1\n- x",
        "\\( 5\\% \\{ a \\} \\)",
        "\\(n \\log n\\), \\(ab\\), \\(αβ\\) and \\(7\\)",
        "\\[x\\]",
        "so \\[a + b\\] it is",
        "\\[\\text{speed of light} = c\\]",
    ],
)
def test_mathematics_stays_as_it_was_written(source: str) -> None:
    """Fails as it did: `\\(a\\)` lost its backslashes, of two backslashes one was left, and a formula's minus began a list."""
    assert content_of(source) == source


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("it costs $5, *not* $10", "it costs $5, not $10"),
        ("$HOME and `$PATH` or $A:$B *c*", "$HOME and $PATH or $A:$B c"),
        ("\\*a\\* \\_b\\_ \\# \\`c\\`", "*a* _b_ # `c`"),
        ("US$ and *so on* $", "US$ and so on $"),
        ("\\(never closed *a*", "(never closed a"),
        ("`\\(code\\)`", "\\(code\\)"),
        ("\\[link\\](there) and \\[a second link\\]", "[link](there) and [a second link]"),
        ("\\[TODO\\] write *it*", "[TODO] write it"),
        ("\\[Note: *never* closed", "[Note: never closed"),
        ("\\[note\\]", "[note]"),
        ("\\[链接\\] and \\(ссылка\\)", "[链接] and (ссылка)"),
        ("as shown \\[1\\] and \\[2, 3\\]", "as shown [1] and [2, 3]"),
        ("write \\(see below\\) *c*", "write (see below) c"),
        ("\\( opens a *group* and \\) closes it", "( opens a group and ) closes it"),
        ("\\[see `x_1`\\] *c*", "[see x_1] c"),
        ("the pattern \\[a-z\\]+\\(\\d+\\) *c*", "the pattern \\[a-z\\]+\\(\\d+\\) c"),
        ("^\\[(\\w+)\\]$ *c*", "^\\[(\\w+)\\]$ c"),
    ],
)
def test_what_is_no_formula_is_markdown_as_before(source: str, shown: str) -> None:
    assert content_of(source) == shown


def test_a_formula_ends_at_an_empty_line_so_that_the_rest_of_a_reply_is_no_part_of_it() -> None:
    assert styles_of("$$ is what the shell calls its number\n\nand **this** is bold") == [("strong", "this")]


def test_many_signs_of_formulas_that_never_close_are_read_in_time() -> None:
    """Fails (in seconds, not milliseconds) when each sign is looked for up to the end of the text."""
    for sign in ("\\(", "\\[ ", "$$ ", "$a", "\\begin{a}", "<br", "**「"):
        markdown_blocks.parser().parse("x " + sign * 4000)


# -- emphasis beside wide characters


@pytest.mark.parametrize(
    ("source", "emphasised"),
    [
        ("これは**「重要」**です", [("strong", "「重要」")]),
        ("これは*『文』*です", [("em", "『文』")]),
        ("これは~~「古い」~~です", [("s", "「古い」")]),
        ("**重要：**次の行", [("strong", "重要：")]),
        ("中文**“引号”**后面", [("strong", "“引号”")]),
        ("中文**（括号）**后面", [("strong", "（括号）")]),
        ("이것은 **\"중요\"**합니다", [("strong", '"중요"')]),
        ("これは***「両方」***です", [("strong", "「両方」"), ("em", "「両方」")]),
        ("これは**`code`**です", [("strong", "code")]),
        ("これは**[名](https://example.com)**です", [("a", "名"), ("strong", "名")]),
        ("これは**重要**です", [("strong", "重要")]),
        ("** 重要 **です", []),
        ("2 * 3 * 4 と a_b_c", []),
        ('latin**"as before"**latin', []),
    ],
)
def test_emphasis_beside_wide_characters(source: str, emphasised: list[tuple[str, str]]) -> None:
    """Fails as it did: where words have no spaces between them and a quotation is bold, its asterisks were shown."""
    assert styles_of(source) == emphasised


# -- code and headings


async def test_code_has_a_ground_and_the_name_of_its_language() -> None:
    """While it is written and afterwards."""
    growing = ReplyText()
    app = Host(ReplyText("```python title=x\nx = 1\n```\n\n```\nno name\n```"), growing)
    async with app.run_test(size=(80, 24)) as pilot:
        await growing.add("", "~~~ rust\nlet x", is_fence=True)
        await pilot.pause()
        panel = Color.parse(app.current_theme.panel or "")
        page = app.screen.background_colors[1]
        named, bare = app.query(MarkdownFence)
        opened = app.query_one(OpenBlock)
        for block in (named, bare, opened):
            assert block.background_colors[1] == panel != page
        assert [line.strip() for line in app.text().split("\n") if line.strip()] == ["python", "x = 1", "no name", "rust", "let x"]


def test_headings_grow_less_marked_from_level_to_level() -> None:
    """Fails as it did: the fourth was underlined and the third was not. Only the first is."""
    for theme in load_themes(built_in_folder(), built_in_folder())[0]:
        assert ["underline" in theme.variables[f"markdown-h{level}-text-style"] for level in range(1, 7)] == [True] + [False] * 5

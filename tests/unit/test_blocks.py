"""The cell grammar: what starts a block, what stays text, and what is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from parallm_magics.cell.blocks import parse
from parallm_magics.cell.directives import RESERVED_WORDS
from parallm_magics.errors import CellSyntaxError

BAD = {row["id"]: row for row in json.loads((DATA / "bad-inputs.json").read_text())["inputs"]}


def texts(body: str, magic: str = "fanout") -> dict[str | None, str]:
    """Each block's text by its name."""
    return {block.name: block.text.value for block in parse(magic, "", body).blocks}


def test_a_cell_is_a_preamble_and_blocks() -> None:
    """The text before the first block is shared; each block has its own."""
    cell = parse(
        "fanout", "", "pre\n\n%section a\none\n\ntwo\n\n%section b\nthree\n%synthesis\nmerge\n"
    )
    assert cell.preamble.value == "pre"
    assert [(b.word, b.name, b.text.value) for b in cell.blocks] == [
        ("section", "a", "one\n\ntwo"),
        ("section", "b", "three"),
        ("synthesis", None, "merge"),
    ]
    assert [b.line for b in cell.blocks] == [4, 9, 11]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("%matplotlib inline", id="line magic"),
        pytest.param("%%bash", id="cell magic"),
        pytest.param("% a LaTeX comment", id="latex"),
        pytest.param("%", id="bare percent"),
        pytest.param("text %section b", id="not at column 0"),
        pytest.param("## %section", id="heading"),
        pytest.param("%time", id="another word"),
        pytest.param("# %%", id="jupytext"),
        pytest.param("---", id="rule"),
        pytest.param("50%section", id="percent inside"),
    ],
)
def test_other_lines_are_text(line: str) -> None:
    """Any other line is kept as it stands."""
    assert texts(f"%section a\nx\n{line}\ny") == {"a": f"x\n{line}\ny"}


@pytest.mark.parametrize("magic", ["fanout", "vote"])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("%Section a", id="case"),
        pytest.param("%SYNTHESIS", id="upper"),
        pytest.param("%sections a", id="insertion"),
        pytest.param("%secton a", id="deletion"),
        pytest.param("%sektion a", id="substitution"),
        pytest.param("%setcion a", id="transposition"),
        pytest.param("%Guardrail", id="guardrail case"),
        pytest.param("%vote", id="voter without r"),
        pytest.param("%jugde", id="judge swapped"),
        pytest.param("%panle", id="panel swapped"),
        pytest.param("%systm", id="system"),
        pytest.param("%promt", id="prompt"),
        pytest.param("%section:", id="colon"),
        pytest.param("%section:security", id="colon for a blank"),
        pytest.param("%section,a", id="comma for a blank"),
        pytest.param("%Section-a-long-name-of-a-block", id="dash for a blank"),
        pytest.param("%judge(x)", id="call"),
    ],
)
def test_a_near_miss_is_an_error(magic: str, line: str) -> None:
    """A slip away from a reserved word names its line, the word and how to keep the line."""
    with pytest.raises(CellSyntaxError, match=r"line 4: .*\\%"):
        parse(magic, "", f"x\n\n{line}\ny")


@pytest.mark.parametrize(
    ("magic", "line", "says"),
    [
        pytest.param("fanout", "%voter a", "%%vote", id="voter in fanout"),
        pytest.param("fanout", "%judge", "%%vote", id="judge in fanout"),
        pytest.param("vote", "%section a", "%%fanout", id="section in vote"),
        pytest.param("vote", "%synthesis", "%%fanout", id="synthesis in vote"),
    ],
)
def test_the_other_magics_words_are_errors(magic: str, line: str, says: str) -> None:
    """A reserved word of the other magic says where it belongs."""
    with pytest.raises(CellSyntaxError, match=f"line 3: .*belongs to {says}"):
        parse(magic, "", f"x\n{line}\ny")


@pytest.mark.parametrize("word", RESERVED_WORDS)
def test_a_backslash_keeps_a_directive_as_text(word: str) -> None:
    """One backslash before a directive is taken off and the line stays text."""
    assert texts(f"%section a\n\\%{word} x\n\\\\%{word}")["a"] == f"%{word} x\n\\%{word}"


def test_a_backslash_before_anything_else_stays() -> None:
    """Only what would be a directive needs, and loses, a backslash."""
    text = "\\%time\n\\alpha\n\\\\%\n\\% x"
    assert texts(f"%section a\n{text}")["a"] == text


def test_system_and_prompt_make_a_long_system_prompt() -> None:
    """The pair may stand in a block and before the first one."""
    cell = parse(
        "fanout",
        "",
        "%system\nbe kind\n\nalways\n%prompt\npre\n%section a\n%system\nown\n%prompt\nask",
    )
    assert cell.system is not None
    assert (cell.system.value, cell.preamble.value) == ("be kind\n\nalways", "pre")
    block = cell.blocks[0]
    assert block.system is not None
    assert (block.system.value, block.text.value) == ("own", "ask")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            "%system be kind\nx\n%prompt\ny",
            "line 2: %system must be alone",
            id="text after system",
        ),
        pytest.param(
            "%system\nx\n%prompt now\ny", "line 4: %prompt must be alone", id="text after prompt"
        ),
        pytest.param(
            "%system\nx\n%section a\ny", "line 2: %system needs a %prompt", id="no prompt"
        ),
        pytest.param(
            "%section a\nx\n%prompt\ny", "line 4: %prompt needs a %system", id="no system"
        ),
        pytest.param("%system\n\n%prompt\ny", "line 2: %system is empty", id="empty system"),
        pytest.param(
            "%system\na\n%prompt\nb\n%system\nc\n%prompt\nd",
            "line 6: a block takes one %system",
            id="two pairs",
        ),
        pytest.param("%section a\nx\n%section a\ny", "line 4: .*'a'.*line 2", id="same name"),
        pytest.param(
            "%section a\nx\n%section A\ny", "line 4: .*'A'.*line 2", id="same but for case"
        ),
        pytest.param(
            "%section caf\u00e9\nx\n%section cafe\u0301\ny", "line 4: .*line 2", id="same by NFC"
        ),
        pytest.param("%section <b>x</b>\ny", "line 2: .*not a valid block name", id="markup"),
        pytest.param("%section ../../etc\ny", "line 2: .*not a valid block name", id="path"),
        pytest.param("%section 'a\ny", "line 2: a quote is not closed", id="quote"),
        pytest.param(
            "%synthesis\na\n%synthesis\nb", "line 4: only one %synthesis", id="two syntheses"
        ),
        pytest.param("%section a\nx\ud800", "half a surrogate", id="surrogate"),
    ],
)
def test_what_cannot_be_read_is_refused(body: str, says: str) -> None:
    """Each error names its line."""
    with pytest.raises(CellSyntaxError, match=says):
        parse("fanout", "", body)


@pytest.mark.parametrize(
    "case", ["cell-crlf", "cell-bom", "cell-open-fence", "cell-fenced-heading"]
)
def test_bad_cells_keep_their_sections(case: str) -> None:
    """CRLF, a BOM and fences change nothing about where sections begin."""
    found = texts(BAD[case]["payload"])
    assert list(found) == ["A", "B"]
    assert "\r" not in "".join(found.values())
    assert "\ufeff" not in "".join(found.values())


def test_an_open_fence_swallows_nothing() -> None:
    """There is no fence tracking: the next section begins all the same."""
    assert texts("%section A\n```\nopen\n%section B\ntwo") == {"A": "```\nopen", "B": "two"}


@pytest.mark.parametrize("char", ["\r", "\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c"])
def test_only_line_feeds_end_lines(char: str) -> None:
    """Other separators are text, so nothing after them can be a directive."""
    assert texts(f"%section a\nx{char}%section b{char}y")["a"] == f"x{char}%section b{char}y"


@pytest.mark.parametrize(
    "marker",
    [
        "# NBVAL_IGNORE_OUTPUT",
        "#NBVAL_SKIP",
        "  # NBVAL_CHECK_OUTPUT ",
        "# PYTEST_VALIDATE_IGNORE_OUTPUT",
    ],
)
def test_nbval_markers_never_reach_a_prompt(marker: str) -> None:
    """A line that is nothing but a marker is dropped, wherever it stands."""
    assert texts(f"{marker}\n%section a\nx\n{marker}\ny\n{marker}") == {"a": "x\ny"}


def test_a_sentence_about_a_marker_is_text() -> None:
    """Only a whole marker line is one."""
    assert texts("%section a\nsay # NBVAL_SKIP here")["a"] == "say # NBVAL_SKIP here"


def test_tabs_separate_on_a_directive() -> None:
    """A tab does what a blank does, and trailing ones are nothing."""
    assert texts("%section\tA\t \n\tone\n  %section B\ntwo") == {"A": "\tone", "B": "two"}


plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="%\\\r\ufeff"))


@given(plain_text)
def test_text_without_reserved_lines_is_kept(text: str) -> None:
    """Byte for byte, but for blank lines at the edges and marker lines."""
    lines = text.split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    assert parse("vote", "", text).preamble.value == "\n".join(lines)


@given(st.lists(plain_text.filter(lambda text: text.strip() != ""), min_size=1, max_size=5))
def test_sections_never_leak_into_each_other(bodies: list[str]) -> None:
    """Each section's text is its own, whatever stands in the others."""
    body = "\n".join(f"%section n{at}\n{text}" for at, text in enumerate(bodies))
    assert list(texts(body)) == [f"n{at}" for at in range(len(bodies))]


def test_a_large_cell_is_cut_whole() -> None:
    """A megabyte of text and a thousand sections lose nothing."""
    assert len(texts("%section A\n" + "word " * 200_000)["A"]) == 1_000_000
    many = "".join(f"%section S{at}\nask {at}\n" for at in range(1000))
    assert list(texts(many)) == [f"S{at}" for at in range(1000)]


def test_the_cells_line_has_the_number_above_the_body() -> None:
    """A text with blank lines above its first line is counted as it stands."""
    with pytest.raises(CellSyntaxError, match="line 4: a quote"):
        parse("fanout", "--system 'x", "y", first=5)


def test_what_cannot_be_seen_is_spelt_out_in_an_error() -> None:
    """A character that nobody sees is the reason, so the message must show it."""
    with pytest.raises(CellSyntaxError, match=r"%section\[U\+200B\] is not a block"):
        parse("fanout", "", "%section\u200b a\nx")


@pytest.mark.parametrize("name", ["a" * 10_000, "a" * 10_000 + "!"])
def test_a_huge_name_makes_no_huge_error(name: str) -> None:
    """The place and the way out are still to be seen."""
    with pytest.raises(CellSyntaxError) as error:
        parse("fanout", "", f"%section {name}\nx\n%section {name}\ny")
    assert len(str(error.value)) < 300

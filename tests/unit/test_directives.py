r"""A line that begins with `%`: a directive, a near miss that says so, or text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.cell.blocks import parse
from parallm_magics.cell.directives import (
    BLOCK_WORDS,
    COMMENT_SYNONYMS,
    RESERVED_WORDS,
    SYNONYMS,
    SYSTEM_WORDS,
)
from parallm_magics.errors import CellSyntaxError

MAGICS = ("fanout", "vote")
BLANKS = {
    "blanks": "    ",
    "tab": "\t",
    "mixed": " \t ",
    "nbsp": "\u00a0",
    "ideographic": "\u3000",
    "zero-width": "\u200b",
    "joiner": "\u200d",
    "bom": "\ufeff",
    "bidi": "\u202a",
    "form-feed": "\x0c",
    "carriage-return": "\r",
    "line-separator": "\u2028",
    "braille": "\u2800",
    "hangul-filler": "\u3164",
    "many": "\u00a0\t\u200b ",
}


def text_of(line: str, magic: str = "fanout") -> str:
    """What a block's text says where this line stands in it."""
    word = BLOCK_WORDS[magic][0]
    cell = parse(magic, "", f"%{word} a\nx\n{line}\ny")
    assert len(cell.blocks) == 1
    return cell.blocks[0].text.value.removeprefix("x\n").removesuffix("\ny")


def refusal(line: str, magic: str = "fanout") -> str:
    """What the error says of this line, which is the cell's fourth."""
    with pytest.raises(CellSyntaxError, match=r"^line 4: ") as error:
        parse(magic, "", f"%{BLOCK_WORDS[magic][0]} a\nx\n{line}\ny")
    return str(error.value)


@pytest.mark.parametrize("before", BLANKS.values(), ids=BLANKS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_blanks_hide_no_directive(before: str, ending: str) -> None:
    """White space of any kind, seen or not; its block's lines lose the same where they have it."""
    lines = [
        "pre",
        f"{before}%section a",
        f"{before}one",
        f"{before}{before}two",
        "three",
        "%guardrail",
        "safe?",
        f"{before}%synthesis ",
        f"{before}merge",
    ]
    blocks = parse("fanout", "", ending.join(lines)).blocks
    assert [(block.word, block.name) for block in blocks] == [
        ("section", "a"),
        ("guardrail", None),
        ("synthesis", None),
    ]
    assert [block.text.value for block in blocks] == [f"one\n{before}two\nthree", "safe?", "merge"]


def test_only_the_directives_own_blanks_are_taken_off() -> None:
    """A tab is no four blanks, and the lines of the block before keep what they have."""
    found = parse("vote", "", "  pre\n    %voter a\n\tx\n  y\n    z\n%voter b\n    w")
    assert found.preamble.value == "  pre"
    assert [block.text.value for block in found.blocks] == ["\tx\n  y\nz", "    w"]


def test_a_pair_may_be_indented_too() -> None:
    """The lines below `%system` and `%prompt` lose what stands before each of them."""
    [block] = parse(
        "fanout", "", "%section a\n  %system\n  Be kind.\n   Be.\n\t%prompt\n\tAsk."
    ).blocks
    assert block.system is not None
    assert (block.system.value, block.text.value) == ("Be kind.\n Be.", "Ask.")


SAID = {
    # what is typed: the word that is meant in %%fanout, and in %%vote
    "%guard": ("guardrail", "guardrail"),
    "%Guard": ("guardrail", "guardrail"),
    "%GUARD": ("guardrail", "guardrail"),
    "%guards": ("guardrail", "guardrail"),
    "%guard:": ("guardrail", "guardrail"),
    "%guard-rail": ("guardrail", "guardrail"),
    "%guard_rail x": ("guardrail", "guardrail"),
    "%guardrails": ("guardrail", "guardrail"),
    "%sect": ("section", "section"),
    "%SECTION a": ("section", "section"),
    "%Section": ("section", "section"),
    "%sections": ("section", "section"),
    "%section:": ("section", "section"),
    "%section:a": ("section", "section"),
    "%section-name": ("section", "section"),
    "%section1": ("section", "section"),
    "%section.": ("section", "section"),
    "%secton:a": ("section", "section"),
    "%sec\u200btion": ("section", "section"),
    "%section\u200b a": ("section", "section"),
    "%\u200bsection": ("section", "section"),
    "%ｓｅｃｔｉｏｎ": ("section", "section"),
    "%synth": ("synthesis", "synthesis"),
    "%syntheses": ("synthesis", "synthesis"),
    "%synthesizes": ("synthesis", "judge"),
    "%vote": ("voter", "voter"),
    "%votes": ("voter", "voter"),
    "%voters": ("voter", "voter"),
    "%panels": ("panel", "panel"),
    "%judges": ("judge", "judge"),
    "%systems": ("system", "system"),
    "%prompts": ("prompt", "prompt"),
    "%Summary": ("synthesis", "judge"),
    "%JURY": ("synthesis", "judge"),
    "%worker a -m b": ("section", "voter"),
    "%merge --system x": ("synthesis", "judge"),
}


@pytest.mark.parametrize("magic", MAGICS)
@pytest.mark.parametrize("line", SAID, ids=ascii)
@pytest.mark.parametrize("before", ["", "\t"], ids=["at-the-edge", "indented"])
def test_a_near_miss_names_the_word_and_the_way_to_keep_it(
    magic: str, line: str, before: str
) -> None:
    """Nothing of it becomes text in silence; the backslash that is named keeps it."""
    said = refusal(before + line, magic)
    assert f"%{SAID[line][MAGICS.index(magic)]}" in said
    assert "to keep the line as text, write" in said
    assert text_of(f"{before}\\{line}", magic) == before + line
    assert text_of(f"{before}\\\\{line}", magic) == f"{before}\\{line}"


@pytest.mark.parametrize("magic", MAGICS)
@pytest.mark.parametrize("word", SYNONYMS)
def test_what_other_tools_call_a_block_is_an_error(magic: str, word: str) -> None:
    """Alone, with a name or with options, it names what it is called here."""
    for line in (f"%{word}", f"%{word} a", f"%{word} --model x", f"%{word.title()}"):
        assert f"write %{SYNONYMS[word][magic]}" in refusal(line, magic)
        assert text_of(f"\\{line}", magic) == line


@pytest.mark.parametrize("word", sorted(COMMENT_SYNONYMS))
def test_comments_that_begin_with_such_a_word_are_text_with_a_note(word: str) -> None:
    """MATLAB's and LaTeX's comments begin so in public files."""
    line = f"%{word} of the first two, then the rest"
    cell = parse("fanout", "", f"%section a\n{line}")
    assert cell.blocks[0].text.value == line
    meant = SYNONYMS[word]["fanout"]
    [note] = cell.notes
    assert note.startswith(
        f"line 3: %{word} is sent as text; to start a block, write %{meant} alone on"
    )
    assert note.endswith(f"to hide this note, write \\%{word}")
    quiet = parse("fanout", "", f"%section a\n\\{line}")
    assert (quiet.blocks[0].text.value, quiet.notes) == (line, ())


@given(
    st.sampled_from(MAGICS),
    st.sampled_from(RESERVED_WORDS),
    st.integers(4, 20),
    st.text(string.ascii_letters, max_size=6),
)
def test_beginnings_and_continuations_are_near_misses(
    magic: str, word: str, length: int, more: str
) -> None:
    """Of at least four letters, in any case; the word itself is a directive or the other magic's."""
    for typed in (word[:length], word + more, word[:length].upper()):
        if typed in (*BLOCK_WORDS[magic], *SYSTEM_WORDS):
            continue
        assert "write" in refusal(f"%{typed}", magic)


@given(st.sampled_from(RESERVED_WORDS), st.data())
def test_one_slip_is_a_near_miss(word: str, data: st.DataObject) -> None:
    """A letter too many, too few, another one, or two that changed places."""
    at = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
    )
    for typed in slips:
        if typed not in RESERVED_WORDS:
            assert "to keep the line as text" in refusal(f"%{typed} x")


@pytest.mark.parametrize("magic", MAGICS)
@pytest.mark.parametrize(
    "line",
    [
        "%matplotlib inline",
        "%time f()",
        "%timeit -n 3 f()",
        "%load_ext x",
        "%config A.b = 1",
        "%run x.py",
        "%who",
        "%page",
        "%paste",
        "%pylab",
        "%precision 3",
        "%psource f",
        "%%bash",
        "%%time",
        "%% Voting",
        "%%voted",
        "%%votes",
        "% section one",
        "%\tsection",
        "%\u00a0section",
        "%\u3000section",
        "% the summary",
        "%",
        "%%",
        "%s",
        "%d items",
        "%5.2f",
        "%(name)s",
        "%-10s",
        "%sec",
        "%syn",
        "%gu",
        "%par",
        "%note",
        "%names",
        "%begin",
        "%endif",
        "%include x",
        "%description",
        "%PATH%",
        "50 %section",
        "## %section",
        "- %guard",
        "> %synthesis",
        "'%section'",
        "％ 5",
        "％的人",
        "5％section",
        "\\%time",
        "\\% x",
        "\\\\%",
        "\\%%bash",
    ],
)
def test_any_other_line_is_text(magic: str, line: str) -> None:
    """Byte for byte, indented or not."""
    assert text_of(line, magic) == line
    assert text_of(f"   {line}", magic) == f"   {line}"


@pytest.mark.parametrize("sign", ["％", "﹪", "٪"])
@pytest.mark.parametrize("word", ["section a", "guard", "synthesis", "Prompt", "worker"])
def test_another_percent_sign_is_named(sign: str, word: str) -> None:
    """It looks like a directive and would be text; what only begins with such a sign is text."""
    said = refusal(f"  {sign}{word}")
    assert f"begins with {sign} (U+{ord(sign):04X})" in said
    assert "write %" in said
    assert text_of(f"\\{sign}{word}") == f"{sign}{word}"


@pytest.mark.parametrize("magic", MAGICS)
@pytest.mark.parametrize(
    "line",
    [
        "%%fanout -o q",
        "%%vote",
        "%%vote -n 5",
        "    %%fanout",
        "\u200b%%vote",
        "%%Fanout",
        "%%VOTE x",
        "%%vote:",
        "%%fanout?",
        "%%fan\u200bout",
        "％％vote",
        "%％fanout",
    ],
)
def test_one_magic_a_cell(magic: str, line: str) -> None:
    """A second one would be part of the prompt above it."""
    said = refusal(line, magic)
    assert "a cell takes one magic" in said
    lead = line[: len(line) - len(line.lstrip(" \u200b"))]
    assert text_of(f"{lead}\\{line[len(lead) :]}", magic) == line


def test_an_escaped_line_loses_the_blocks_blanks_too() -> None:
    """What stands before the backslash is treated as on any other line."""
    [block] = parse("fanout", "", "  %section a\n  \\%section b\n    \\%guard\n  \\%%vote").blocks
    assert block.text.value == "%section b\n  %guard\n%%vote"


def test_long_words_and_long_lines_cost_little() -> None:
    """Neither a megabyte of one word nor one of blanks is looked at twice."""
    for line in ("%" + "section" * 150_000, "\u200b" * 1_000_000 + "x", "%" + "é" * 1_000_000):
        cell_text = f"x\n{line}\ny"
        if line.startswith("%section"):
            with pytest.raises(CellSyntaxError) as error:
                parse("fanout", "", cell_text)
            assert len(str(error.value)) < 400
        else:
            assert parse("vote", "", cell_text).preamble.value == cell_text

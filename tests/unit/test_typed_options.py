"""Options as people type and paste them: lists of other notations, typographic characters, hints."""

from __future__ import annotations

from typing import Any

import pytest

from parallm_magics.api import plan_cell
from parallm_magics.cell.blocks import parse, tokens
from parallm_magics.cell.option_layers import read_keywords, read_tokens
from parallm_magics.cell.options import TABLE
from parallm_magics.errors import ParallmError

DASHES = "‐‑‒–—―−﹘﹣－"
QUOTES = ("“”", "„“", "‘’", "«»", "‹›", "＂＂")


def given(line: str, place: str = "vote") -> dict[str, Any]:
    """The options of a line."""
    return read_tokens(tokens(line, 1), place, None)


def refusal(line: str, place: str = "vote") -> str:
    """What the error says of this line."""
    with pytest.raises(ParallmError, match=r"^line 1: ") as error:
        given(line, place)
    return str(error.value)


@pytest.mark.parametrize(
    "typed",
    [
        "safe,unsafe",
        "['safe','unsafe']",
        '["safe","unsafe"]',
        "[safe,unsafe]",
        "('safe','unsafe')",
        "(safe,unsafe)",
        "('safe','unsafe',)",
        '\'["safe", "unsafe"]\'',
        "\"['safe', 'unsafe']\"",
        "'safe','unsafe'",
        '"safe, unsafe"',
        "safe，unsafe",
        "safe、unsafe",
        "'safe， unsafe'",
        "safe،unsafe",
    ],
)
def test_a_list_is_its_labels_however_it_is_written(typed: str) -> None:
    """Python's and JSON's notation, and the commas of other scripts, are no part of a label."""
    assert given(f"--choices {typed}")["choices"] == ("safe", "unsafe")
    assert given(f"--choices={typed}")["choices"] == ("safe", "unsafe")


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("安全，不安全", ("安全", "不安全")),
        ("[A],[B]", ("[A]", "[B]")),
        ("[[A]],[[B]]", ("[[A]]", "[[B]]")),
        ("a),b)", ("a)", "b)")),
        ("(a),(b)", ("(a)", "(b)")),
        (":),:(", (":)", ":(")),
        ("l’été,l’hiver", ("l’été", "l’hiver")),
        ("「安全」,「危険」", ("「安全」", "「危険」")),
    ],
)
def test_a_labels_own_characters_stay(typed: str, labels: tuple[str, ...]) -> None:
    """Brackets around each label, apostrophes and the quotes of a language are the label's."""
    assert given(f"--choices {typed}")["choices"] == labels


@pytest.mark.parametrize("option", ["--choices", "--model", "--compare"])
def test_every_list_option_reads_the_same_notations(option: str) -> None:
    """There is one reader of lists."""
    name = option[2:]
    assert given(f"{option} ['sim:a','sim:b']")[name] == ("sim:a", "sim:b")
    assert given(f"{option} sim:a，sim:b")[name] == ("sim:a", "sim:b")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("“safe”,“unsafe”", "“ (U+201C) is a typographic quote"),
        ("“very good”,bad", "“ (U+201C) is a typographic quote"),
        ("safe,‘unsafe’", "‘ (U+2018) is a typographic quote"),
        ("[‘safe’,‘unsafe’]", "‘ (U+2018) is a typographic quote"),
        ("{safe,unsafe}", "'{safe' contains { without its partner"),
        ("[safe,unsafe", "'[safe' contains [ without its partner"),
        ("safe,unsafe]", "'unsafe]' contains ] without its partner"),
        ("[safe,]unsafe", "contains [ without"),
        ("安全，不安全,不明", "， (U+FF0C)"),
        ("safe;unsafe", "separate them with commas, not ;"),
        ("safe|unsafe", "separate them with commas, not |"),
        ("very good,very bad", '--choices "very good,very bad"'),
        ("['very good', 'bad']", '--choices "[very good, bad]"'),
        ("safe, unsafe", '--choices "safe, unsafe"'),
    ],
)
def test_a_list_that_may_mean_another_names_the_character(typed: str, says: str) -> None:
    """Before any call, never as a label that no answer can match."""
    for form in (f"--choices {typed}", f"--choices={typed}"):
        assert says in refusal(form)


def test_a_scripts_text_is_read_as_a_cells() -> None:
    """Where there is no tokenizer the reader itself names the quote; a list's items are kept."""
    assert read_keywords({"choices": "['a','b']"}, "vote")["choices"] == ("a", "b")
    with pytest.raises(ParallmError, match="typographic quote"):
        read_keywords({"choices": "“a”,“b”"}, "vote")
    assert read_keywords({"choices": ["“a”", "[b"]}, "vote")["choices"] == ("“a”", "[b")


@pytest.mark.parametrize("pair", QUOTES)
@pytest.mark.parametrize(
    "form", ["--system {}", "--system={}", "-n 3 --refusal {}", "--system {} -n 3"]
)
@pytest.mark.parametrize("text", ["You are a poet.", "Poet"])
def test_a_typographic_quote_is_named(pair: str, form: str, text: str) -> None:
    """It groups nothing, so it would split the value, or be sent as a part of it."""
    line = form.format(f"{pair[0]}{text}{pair[1]}")
    place = "guardrail" if "--refusal" in form else "vote"
    assert f"{pair[0]} (U+{ord(pair[0]):04X}) is a typographic quote; use " in refusal(line, place)


def test_within_plain_quotes_and_words_they_are_text() -> None:
    """A value may hold what it likes."""
    assert given('--system "Say “no”."')["system"] == "Say “no”."
    assert given("--system don’t")["system"] == "don’t"
    assert given("--system '“no” is an answer'")["system"] == "“no” is an answer"


@pytest.mark.parametrize("dash", DASHES)
def test_a_typographic_dash_is_named(dash: str) -> None:
    """Editors make one of two hyphens; the flag that is meant is told."""
    for typed, meant in (
        (f"{dash}dry-run", "--dry-run"),
        (f"{dash}{dash}dry-run", "--dry-run"),
        (f"-{dash}dry-run", "--dry-run"),
        (f"--dry{dash}run", "--dry-run"),
        (f"{dash}n 5", "-n"),
        (f"--choices a,b {dash}system=x", "--system"),
        (f"-n 3 {dash}quite", "- or --"),
    ):
        assert f"{dash} (U+{ord(dash):04X}) is a typographic dash; write {meant}" in refusal(typed)
    with pytest.raises(ParallmError, match=r"line 2: .* is a typographic dash"):
        parse("vote", "", f"%voter {dash}system x\ny")
    with pytest.raises(ParallmError, match=r"line 2: .* is a typographic dash; write -m"):
        plan_cell("vote", "", f"%voter a {dash}m x\ny", {})


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("--temp 0.5", "--temperature"),
        ("--temperatures 0.5", "--temperature"),
        ("--choice a,b", "--choices"),
        ("--max-token 5", "--max-tokens"),
        ("--conc 5", "--concurrency"),
        ("--dry", "--dry-run"),
        ("--system-prompt x", "--system"),
        ("--votes 3", "-n"),
        ("--samples 3", "-n"),
        ("--k 3", "-n"),
        ("--labels a,b", "--choices"),
        ("--budget 1", "--max-cost"),
        ("--timout 3", "--timeout"),
    ],
)
def test_an_unknown_option_names_the_one_that_is_meant(line: str, meant: str) -> None:
    """A beginning wins over likeness; what other tools call it is known."""
    assert f"; did you mean '{meant}'?" in refusal(line)


@pytest.mark.parametrize(
    ("keyword", "meant"),
    [("votes", "n"), ("temp", "temperature"), ("labels", "choices"), ("models", "model")],
)
def test_a_scripts_keywords_get_the_same_hints(keyword: str, meant: str) -> None:
    """By the keyword's name."""
    with pytest.raises(ParallmError, match=f"did you mean '{meant}'"):
        read_keywords({keyword: 3}, "vote")


@pytest.mark.parametrize(
    "name", sorted(name for name in TABLE if len(name) > 5 and name != "weights")
)
def test_every_beginning_of_an_option_names_an_option_that_begins_so(name: str) -> None:
    """Whatever its letters are like otherwise."""
    flag = TABLE[name].flags[0]
    place = sorted(TABLE[name].where)[0]
    said = refusal(f"{flag[:-1]} x", place)
    assert f"did you mean '{flag[:-1]}" in said


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("-t 0.2-1.0", "0.2..1.0"),
        ("-t 0.2–1.0", "0.2..1.0"),
        ("-t 0.2...1.0", "0.2..1.0"),
        ("-t 0.2…1.0", "0.2..1.0"),
        ("-t 0:1", "0..1"),
        ("--score 1-10", "1..10"),
        ("--score 1—10", "1..10"),
        ("--score -5--1", "-5..-1"),
        ("--score '1 to 10'", "1..10"),
    ],
)
def test_a_range_of_another_notation_is_written_out(line: str, form: str) -> None:
    """The hint is the value as it has to be typed."""
    assert f"write {form}" in refusal(line)


def test_a_share_without_its_sign_is_written_out() -> None:
    """60 of 3 votes can only be a share."""
    with pytest.raises(ParallmError, match=r"only 3 votes.*for a share, write 60%"):
        plan_cell("vote", "--threshold 60 --choices a,b", "x", {}, settings={"model": ("sim",)})


@pytest.mark.parametrize("blank", ["\u00a0", "\u3000", "\u2009", "\u202f"])
def test_any_white_space_separates(blank: str) -> None:
    """Pages paste such blanks between options; within quotes they are kept."""
    line = f'-n{blank}5{blank}--system{blank}"a{blank}b"'
    assert given(line) == {"n": 5, "system": f"a{blank}b"}
    [block] = parse("vote", "", f"%voter{blank}a{blank}-m{blank}x\ny").blocks
    assert (block.name, [token.text for token in block.arguments]) == ("a", ["-m", "x"])

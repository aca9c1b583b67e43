"""Options: one table for the line, the settings and the script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from growth import assert_in_proportion

from parallm_magics.cell.blocks import tokens
from parallm_magics.cell.help import help_of, keywords_of, with_options
from parallm_magics.cell.option_entry import words
from parallm_magics.cell.option_layers import merge, read_keywords, read_tokens, reading_of
from parallm_magics.cell.options import TABLE, Options, table_of
from parallm_magics.cell.suggestions import suggest
from parallm_magics.errors import CellSyntaxError, OptionError, ParallmError
from parallm_magics.notebook.settings import traits_of


def given(line: str, place: str = "fanout", lookup: Any = None) -> dict[str, Any]:
    """The options of a line."""
    return read_tokens(tokens(line, 1), place, lookup)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param("-o review", "out", "review", id="short flag"),
        pytest.param("--out=review", "out", "review", id="equals"),
        pytest.param("-n5", "n", 5, id="glued"),
        pytest.param("-m a,b", "model", ("a", "b"), id="list"),
        pytest.param(
            "-m 'sim:x?latency=lognormal(1,0.5),b'",
            "model",
            ("sim:x?latency=lognormal(1,0.5)", "b"),
            id="comma in brackets",
        ),
        pytest.param("--system \"You are 'it'.\"", "system", "You are 'it'.", id="quotes"),
        pytest.param("--system='a b'", "system", "a b", id="quotes behind equals"),
        pytest.param("--system a\\b", "system", "a\\b", id="backslash is text"),
        pytest.param("--system a#b", "system", "a#b", id="no comments"),
        pytest.param("--system $5{x}", "system", "$5{x}", id="nothing is expanded"),
        pytest.param("-t 0.3", "temperature", (0.3, 0.3), id="temperature"),
        pytest.param("-t 0..1", "temperature", (0.0, 1.0), id="temperature range"),
        pytest.param("--score 1..10", "score", (1.0, 10.0), id="score"),
        pytest.param("--score -5..5", "score", (-5.0, 5.0), id="negative score"),
        pytest.param(
            "--choices 'very good, bad'", "choices", ("very good", "bad"), id="choices with blanks"
        ),
        pytest.param("--quiet", "quiet", True, id="switch"),
        pytest.param("--min-success 2", "min_success", "2", id="count"),
        pytest.param("--min-success 75%", "min_success", "75%", id="share"),
        pytest.param("--timeout 2.5s", "timeout", 2.5, id="seconds"),
        pytest.param(
            "--param top_p=0.9 --param k=low",
            "param",
            (("top_p", 0.9), ("k", "low")),
            id="repeated",
        ),
        pytest.param(
            """--param 'thinking={"type": "disabled"}'""",
            "param",
            (("thinking", {"type": "disabled"}),),
            id="json",
        ),
    ],
)
def test_a_value_is_read(line: str, name: str, value: Any) -> None:
    """Quotes group, = and blanks separate, and nothing is expanded."""
    assert given(line)[name] == value


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("--timout 3", "no option --timout; did you mean '--timeout'", id="unknown"),
        pytest.param("--time 3", "no option --time", id="no abbreviation"),
        pytest.param("--zzz 3", r"no option --zzz; %%\w+\? lists", id="like none"),
        pytest.param("foo", "unexpected 'foo'.*next line", id="stray word"),
        pytest.param("--timeout", "--timeout needs a value: --timeout S", id="no value"),
        pytest.param("--out --quiet", "--out needs a value", id="flag for a value"),
        pytest.param("--quiet=yes", "switch", id="value for a switch"),
        pytest.param("-n 2 -n 3", "set twice", id="twice"),
        pytest.param("-m a -m b", "set twice.*-m a,b", id="two models"),
        pytest.param("-n {k}", "write {{k}}", id="single braces"),
        pytest.param("-n 0", "at least 1", id="zero"),
        pytest.param("-n 2.5", "whole number", id="fraction"),
        pytest.param("--timeout 0", "above 0", id="no seconds"),
        pytest.param("--timeout nan", "finite", id="nan"),
        pytest.param("--timeout inf", "finite", id="inf"),
        pytest.param("--concurrency 500", "at most 200", id="too many at once"),
        pytest.param("--temperature 3", "from 0 to 2", id="hot"),
        pytest.param("--score 5..5", "empty", id="empty range"),
        pytest.param("--score 9", "such as 1..10", id="no range"),
        pytest.param("--choices a", "two labels", id="one label"),
        pytest.param("--choices a,A", "differ only in case", id="labels alike"),
        pytest.param("--choices a,,b", "missing between", id="hole"),
        pytest.param(
            "--choices a,b --score 1..3",
            "--choices and --score cannot be combined",
            id="two readings",
        ),
        pytest.param("--min-success 0.5", "write 50%", id="bare share"),
        pytest.param("--min-success 200%", "at most 100%", id="more than all"),
        pytest.param("--out class", "not a valid variable name", id="keyword"),
        pytest.param("--out a-b", "not a valid variable name", id="no identifier"),
        pytest.param("--out print", "replace Python's own", id="builtin"),
        pytest.param("--aggregate jion", "did you mean 'join'", id="near value"),
        pytest.param("--param x={a:1}", "not valid JSON.*single quotes", id="broken json"),
        pytest.param(
            "--threshold 0.5", "is not allowed on %%fanout; it is allowed on %%vote", id="misplaced"
        ),
        pytest.param("--system ''", "empty", id="empty text"),
    ],
)
def test_bad_options_are_one_line(line: str, says: str) -> None:
    """The error names line and option, and says what is possible."""
    with pytest.raises(OptionError, match=f"^line 1: .*{says}") as error:
        given(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["--help", "-h", "--zzz"])
@pytest.mark.parametrize(
    ("place", "helps"),
    [
        ("fanout", "%%fanout?"),
        ("section", "%%fanout?"),
        ("synthesis", "%%fanout?"),
        ("vote", "%%vote?"),
        ("voter", "%%vote?"),
        ("panel", "%%vote?"),
        ("judge", "%%vote?"),
        ("guardrail", "%%fanout? or %%vote?"),
    ],
)
def test_help_is_named_where_there_is_some(line: str, place: str, helps: str) -> None:
    """IPython knows the cells' magics alone: `%section?` would find nothing."""
    with pytest.raises(OptionError) as error:
        given(line, place)
    assert f" {helps} " in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("1", "100%", id="ambiguous one"),
        pytest.param("1.5", "more than all", id="over one"),
        pytest.param("120%", "more than all", id="over all"),
        pytest.param("0", "above 0", id="zero"),
        pytest.param("x", "a share", id="word"),
        pytest.param("1/0", "a share", id="no number"),
    ],
)
def test_bad_thresholds_are_refused(text: str, says: str) -> None:
    """A threshold is a share or a count of at least 2."""
    with pytest.raises(OptionError, match=says):
        given(f"--threshold {text}", "vote")


def test_a_quote_must_be_closed() -> None:
    """The error names the line."""
    with pytest.raises(CellSyntaxError, match="line 1: a quote is not closed"):
        given("--system don't")


def test_values_take_variables_after_splitting() -> None:
    """A value with blanks stays one value, and one variable keeps its type."""
    values = {"who": "a nurse --quiet", "k": 3, "labels": ["x", "y"]}
    found = given(
        "--system {{who}} -n {{k}} --choices {{labels}} --effort l{{k}}",
        lookup=lambda ref: values[ref.name],
    )
    assert found == {"system": "a nurse --quiet", "n": 3, "choices": ("x", "y"), "effort": "l3"}


def test_quotes_inside_a_variable_survive() -> None:
    """The key of a variable may be quoted with blanks in it."""
    seen = []
    given('--system {{data["a b"]}}', lookup=lambda ref: seen.append(ref.steps) or "x")
    assert seen == [(("item", "a b"),)]


def test_block_wins_over_cell_wins_over_setting() -> None:
    """Later layers win; a reading replaces a reading; parameters add up."""
    options = merge(
        {"timeout": 1.0, "seed": 7},
        {"timeout": 2.0, "choices": ("a", "b"), "param": (("x", 1), ("y", 1))},
        {"score": (1.0, 3.0), "param": (("y", 2),)},
    )
    assert (options.timeout, options.seed, options.choices) == (2.0, 7, None)
    assert options.param == (("x", 1), ("y", 2))
    reading = reading_of(options)
    assert reading is not None
    assert reading.kind == "score"


def test_keywords_are_the_same_options() -> None:
    """A script's keywords are read by the same readers; None means not given."""
    found = read_keywords(
        {"n": 3, "choices": ["a", "b"], "timeout": None, "temperature": (0, 1), "quiet": True},
        "vote",
    )
    assert found == {"n": 3, "choices": ("a", "b"), "temperature": (0.0, 1.0), "quiet": True}


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        pytest.param({"timout": 3}, "no option 'timout'; did you mean 'timeout'", id="unknown"),
        pytest.param({"n": "x"}, "n: expected a whole number", id="bad value"),
        pytest.param({"n": True}, "n: expected a whole number", id="bool for a number"),
        pytest.param({"quiet": "yes"}, "True or False", id="text for a switch"),
        pytest.param({"choices": 3}, "a list", id="number for a list"),
    ],
)
def test_bad_keywords_are_refused(keywords: dict[str, Any], says: str) -> None:
    """A script gets the same errors as a cell."""
    with pytest.raises(OptionError, match=says):
        read_keywords(keywords, "vote")


def test_every_option_is_complete() -> None:
    """Flags are unique and helpful; each default is what the options hold."""
    flags = [flag for option in TABLE.values() for flag in option.flags]
    assert len(flags) == len(set(flags))
    for option in TABLE.values():
        assert option.help
        assert option.where
        assert getattr(Options(), option.name) == option.default
        assert option.flags[0].lstrip("-").replace("-", "_") == option.name


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param("--system 'x: {{d}}'", "system", 'x: {"a": true}', id="dict as JSON"),
        pytest.param("--param t={{d}}", "param", (("t", {"a": True}),), id="dict as a field"),
        pytest.param("--param t={{yes}}", "param", (("t", True),), id="bool as a field"),
        pytest.param("--param t=v{{n}}", "param", (("t", "v2"),), id="part of a field"),
        pytest.param("--choices {{s}},no", "choices", ("yes", "no"), id="part of a list"),
    ],
)
def test_a_variable_within_a_value_reads_as_in_a_prompt(line: str, name: str, value: Any) -> None:
    """Never Python's own spelling of a value, and never a shortened one."""
    values = {"d": {"a": True}, "yes": True, "n": 2, "s": "yes"}
    assert given(line, lookup=lambda ref: values[ref.name])[name] == value


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("--system 'x {{none}}'", "none is None", id="None in a text"),
        pytest.param("--system 'x {{array}}'", "tolist", id="array in a text"),
        pytest.param("--choices {{labels}},c", "pass the list by itself", id="list within a list"),
    ],
)
def test_a_value_without_text_is_no_part_of_an_option(line: str, says: str) -> None:
    """As in a prompt: what has no faithful text is an error that names the line."""
    values = {"none": None, "array": pd.array([1]), "labels": ["a", "b"]}
    with pytest.raises(ParallmError, match=f"^line 1: .*{says}"):
        given(line, lookup=lambda ref: values[ref.name])


class Raising:
    """A value that cannot be looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __index__(self) -> int:
        raise RuntimeError("no number")

    def tolist(self) -> list[str]:
        """No list either."""
        raise RuntimeError("no list")


@pytest.mark.parametrize("place", ["fanout", "vote"])
@pytest.mark.parametrize("name", sorted(TABLE))
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Raising(), id="raising"),
        pytest.param(np.array([[1, 2], [3, 4]]), id="matrix"),
        pytest.param(np.array(3), id="array without a dimension"),
        pytest.param(np.float64("nan"), id="nan"),
        pytest.param(10**400, id="huge"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("k=" + "[" * 100_000, id="deep JSON"),
        pytest.param("a\ud800b", id="half a character"),
        pytest.param({"x": object()}, id="object in a dict"),
    ],
)
def test_any_value_is_read_or_refused_in_one_line(place: str, name: str, value: Any) -> None:
    """Every option, whatever a script hands over: a value or an OptionError, nothing else."""
    caught: OptionError | None = None
    try:
        read_keywords({name: value}, place)
    except OptionError as error:
        caught = error
    if caught is not None:
        assert "\n" not in str(caught)
        assert len(str(caught)) < 1300
        assert caught.__context__ is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("-t 0...1", "a range such as", id="three dots"),
        pytest.param("--score 0...10", "a range such as", id="three dots for a score"),
        pytest.param("-n 1000000000", "at most 100000 workers", id="more than memory holds"),
        pytest.param("--param model=x", "set by -m", id="model as a field"),
        pytest.param("--param n=3", "set by -n", id="copies as a field"),
        pytest.param("--param p=1e999", "cannot be sent", id="infinity by its digits"),
        pytest.param("--param p=NaN", "not valid JSON", id="nan"),
        pytest.param("--out sum", "replace Python's own", id="any builtin"),
        pytest.param("--out In", "replace", id="IPython's inputs"),
        pytest.param("--out _", "replace", id="IPython's last result"),
    ],
)
def test_a_value_that_would_do_harm_is_refused(line: str, says: str) -> None:
    """Before it fills the memory, loses a field or breaks the notebook."""
    with pytest.raises(OptionError, match=f"^line 1: .*{says}"):
        given(line)


@pytest.mark.parametrize(
    "labels", [["a\nb", "c"], ["a\x1b[31m", "c"], ["a\u200b", "a"], ["a\u2028b", "c"]]
)
def test_labels_are_one_visible_line(labels: list[str]) -> None:
    """A label that no answer can spell, or that looks like another, is refused before any call."""
    with pytest.raises(OptionError, match="choices: the label"):
        read_keywords({"choices": labels}, "vote")


def test_private_characters_on_a_line_are_kept() -> None:
    """Icons of private fonts beside variables stay what they are."""
    icons = "\U000f0000 \U000f0001"
    line = f'--system "{icons} {{{{a}}}} {{{{b}}}}"'
    assert tokens(line, 1)[1].text == f"{icons} {{{{a}}}} {{{{b}}}}"


def test_a_long_line_costs_no_more_than_its_length() -> None:
    """A system prompt of a megabyte does not stop the kernel."""

    def read(size: int) -> None:
        assert len(tokens('--system "' + "word {{a}} " * size + '"', 1)) == 2

    assert_in_proportion(read, 60_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreOptions(Options):
    """With one more."""

    mood: str = words(
        "--mood -M", ("calm", "merry"), "how answers are given", default="calm", also="tone"
    )


def test_an_option_is_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field alone is read on the line, told in help, completed, a setting and a keyword."""
    monkeypatch.setitem(TABLE, "mood", table_of(MoreOptions)["mood"])
    assert given("-M merry") == {"mood": "merry"}
    assert read_keywords({"mood": "merry"}, "fanout") == {"mood": "merry"}
    with pytest.raises(
        OptionError, match=r"line 1: --mood: unknown value 'sad'; possible: calm, m"
    ):
        given("--mood sad")
    with pytest.raises(OptionError, match="did you mean '--mood'"):
        given("--tone merry")
    assert "  --mood, -M calm|merry\n      how answers are given [calm]" in help_of("fanout", "")
    assert "mood (calm|merry): how answers are given [calm]" in keywords_of("fanout")
    assert with_options(lambda text, **options: None, "fanout").parameters["mood"].default == "calm"
    options = suggest("%%fanout --mo", {})
    values = suggest("%%fanout --mood m", {})
    assert options is not None
    assert "--mood" in options.texts
    assert values is not None
    assert values.texts == ("merry",)
    assert traits_of(TABLE.values())["mood"].default_value == "calm"

"""Variables: what is put in, what stays text, and what cannot be text."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from growth import assert_in_proportion
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from parallm_magics.cell.blocks import Text
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.variables import as_text, split, whole
from parallm_magics.errors import VariableError, then

BAD = {row["id"]: row for row in json.loads((DATA / "bad-inputs.json").read_text())["inputs"]}


def rendered(text: str, variables: Mapping[str, Any] | None = None, blind: bool = False) -> str:
    """The text as a prompt."""
    lines = tuple(range(3, 4 + text.count("\n")))
    return Prompts(variables or {}, blind).render(Text(text, lines), "%section a")


class Item:
    """Something with attributes."""

    label = "L"
    part = types.SimpleNamespace(deep=[10, 20])

    @property
    def broken(self) -> str:
        """A property of the user's that fails."""
        raise RuntimeError("secret inside")


VALUES = {
    "name": "V",
    "k": 3,
    "data": {"key": "K", "a b": [1, 2]},
    "items": ["x", "y"],
    "it": Item(),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a {{name}} b", "a V b", id="name"),
        pytest.param("{{ name }}", "V", id="blanks inside"),
        pytest.param("{{name}}{{k}}", "V3", id="side by side"),
        pytest.param('{{data["key"]}}', "K", id="key"),
        pytest.param("{{data['a b'][1]}}", "2", id="key then index"),
        pytest.param("{{data.key}}", "K", id="key as attribute"),
        pytest.param("{{items[0]}}{{items[-1]}}", "xy", id="index from both ends"),
        pytest.param("{{it.label}}", "L", id="attribute"),
        pytest.param("{{it.part.deep[1]}}", "20", id="deep"),
        pytest.param("\\{{name}}", "{{name}}", id="escaped"),
        pytest.param("\\{{nobody}}", "{{nobody}}", id="escaped unknown"),
    ],
)
def test_a_variable_is_put_in(text: str, expected: str) -> None:
    """Every form of the grammar stands for its value."""
    assert rendered(text, VALUES) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{name} {} {0} }{", id="single braces"),
        pytest.param("$name ${name}", id="dollar"),
        pytest.param("${{ name }}", id="GitHub expression"),
        pytest.param("{{ name | upper }}", id="filter"),
        pytest.param("{{#if name}}{{/if}}", id="handlebars"),
        pytest.param("{% for x in name %}{# c #}", id="jinja"),
        pytest.param("{{{name}}}", id="triple"),
        pytest.param("{{name()}}", id="call"),
        pytest.param("{{}}{{ }}{{1}}{{a-b}}{{a..b}}{{a[}}", id="no path"),
        pytest.param("\\{{#if}}", id="backslash before no variable"),
        pytest.param(BAD["tpl-json-body"]["payload"], id="json"),
        pytest.param(BAD["tpl-attr-secret"]["payload"], id="attributes in single braces"),
        pytest.param(BAD["tpl-format-bomb"]["payload"], id="format specification"),
        pytest.param('{"a": {"b": {}}}', id="nested json"),
    ],
)
def test_everything_else_in_braces_is_text(text: str) -> None:
    """It goes out byte for byte."""
    assert rendered(text, VALUES) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{{nam}}", "no variable 'nam'; did you mean 'name'", id="near name"),
        pytest.param("{{zzz}}", "no variable 'zzz'", id="unknown"),
        pytest.param("{{_secret}}", "start with _", id="private name"),
        pytest.param("{{it.__class__}}", "start with _", id="private attribute"),
        pytest.param("{{it.nothing}}", "it has no .nothing", id="no attribute"),
        pytest.param(
            "{{it.broken}}", r"it has no .broken \(RuntimeError\)", id="property that raises"
        ),
        pytest.param("{{items[7]}}", r"items has no \[7\]", id="no index"),
        pytest.param('{{data["no"]}}', r"data has no \['no'\]", id="no key"),
        pytest.param("{{item}}", "with --each NAME", id="item without each"),
    ],
)
def test_what_cannot_be_reached_is_an_error(text: str, says: str) -> None:
    """The error names the line, the block, the variable and the way out."""
    with pytest.raises(VariableError, match=f"line 4, %section a: .*{says}") as error:
        rendered(f"first\n{text}", {**VALUES, "_secret": 1})
    assert "secret inside" not in str(error.value)


def test_jinja_is_not_evaluated() -> None:
    """Private attributes end in an error, not in the environment."""
    with pytest.raises(VariableError, match="start with _"):
        rendered(BAD["tpl-jinja"]["payload"])


def test_a_value_is_never_read_again() -> None:
    """What a value holds is text, however it looks."""
    value = "{{k}} %section b\n\\{{k}} {{{k}}} ${{k}} " + BAD["tpl-value-braces"]["payload"]
    assert rendered("<{{v}}>", {"v": value, "k": "no"}) == f"<{value}>"


def test_without_variables_the_text_is_untouched() -> None:
    """--no-vars keeps braces and their escapes."""
    assert rendered("{{name}} \\{{name}}", VALUES, blind=True) == "{{name}} \\{{name}}"


frame = pd.DataFrame({"a": range(200), "b": ["x"] * 200})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(3, "3", id="int"),
        pytest.param(0.1, "0.1", id="float"),
        pytest.param(True, "True", id="bool"),
        pytest.param(np.True_, "True", id="numpy bool"),
        pytest.param([np.True_, np.int64(2)], "[true, 2]", id="numpy scalars in a list"),
        pytest.param(decimal.Decimal("1.10"), "1.10", id="decimal"),
        pytest.param(datetime.date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(pathlib.PurePosixPath("/a/b"), "/a/b", id="path"),
        pytest.param({"a": [1, {"b": None}]}, '{"a": [1, {"b": null}]}', id="dict"),
        pytest.param(("é", 2), '["é", 2]', id="tuple"),
        pytest.param({"d": datetime.date(2026, 1, 2)}, '{"d": "2026-01-02"}', id="date in a dict"),
        pytest.param(pd.Series([1, 2], name="s"), "s\n1\n2\n", id="series"),
        pytest.param("", "", id="empty"),
        pytest.param("a\x00b", "a\x00b", id="NUL"),
        pytest.param("مرحبا 123 שלום", "مرحبا 123 שלום", id="right to left"),
        pytest.param("a\ud800b", "a\ufffdb", id="half a surrogate pair"),
    ],
)
def test_a_value_has_one_text(value: object, text: str) -> None:
    """Values become text by the table of the grammar."""
    assert as_text(value, "v") == text


def test_a_table_goes_in_with_all_its_rows() -> None:
    """No row is elided on the way to a model."""
    assert as_text(frame, "v").splitlines()[0] == "a,b"
    assert len(as_text(frame, "v").splitlines()) == 201


class Loud:
    """An object whose repr must not be called."""

    def __repr__(self) -> str:
        raise RuntimeError("repr was called")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(None, "v is None", id="None"),
        pytest.param(b"x", r"v\.decode\(\)", id="bytes"),
        pytest.param((i for i in [1]), r"list\(v\)", id="generator"),
        pytest.param(len, "call it first", id="function"),
        pytest.param(json, "a module", id="module"),
        pytest.param({1, 2}, r"sorted\(v\)", id="set"),
        pytest.param(Loud(), r"str\(v\)", id="object"),
        pytest.param(pd.array([1]), "tolist", id="array"),
        pytest.param({"a": math.nan}, "JSON", id="nan in a dict"),
        pytest.param({"a": b"x"}, "JSON", id="bytes in a dict"),
    ],
)
def test_a_value_without_faithful_text_is_refused(value: object, says: str) -> None:
    """The error names the variable and the way out."""
    with pytest.raises(VariableError, match=says):
        as_text(value, "v")


any_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(any_text)
def test_a_text_value_arrives_as_it_is(value: str) -> None:
    """Value in is value out, whatever the characters."""
    assert rendered("[{{v}}]", {"v": value}) == f"[{value}]"


@given(any_text.filter(lambda text: "{{" not in text))
def test_text_without_double_braces_is_unchanged(text: str) -> None:
    """Nothing but a variable is ever replaced."""
    assert rendered(text) == text


@given(st.text())
def test_any_value_is_text_without_an_exception(value: str) -> None:
    """Half surrogate pairs included; the result can be sent."""
    as_text(value, "v").encode()


@given(st.text(alphabet="{}\\ ab$|#.[]\"'0_", max_size=40))
def test_splitting_never_fails(text: str) -> None:
    """Literal pieces and variables add up to the text, escapes aside."""
    pieces = [part if isinstance(part, str) else part.source for part in split(text)]
    assert len("".join(pieces)) + text.count("\\{{") >= len(text)


def test_a_run_of_backslashes_is_read_once() -> None:
    """A long run of backslashes costs no more than its length."""
    assert rendered("\\" * 100_000) == "\\" * 100_000


def test_an_option_that_is_one_variable_keeps_its_type() -> None:
    """A list given to a list option is its items."""
    ref = whole("{{items}}")
    assert ref is not None
    assert Prompts(VALUES).option(ref) == ["x", "y"]


def test_a_str_enum_reads_as_its_value_wherever_it_stands() -> None:
    """Alone and within a list the model reads the same text."""

    class Label(str, enum.Enum):  # noqa: UP042
        SAFE = "safe"

    assert as_text(Label.SAFE, "v") == "safe"
    assert as_text([Label.SAFE], "v") == '["safe"]'


class Lying:
    """Says that it is a text."""

    @property
    def __class__(self) -> type:
        return str


class Broken(Mapping[str, int]):
    """A mapping whose file is closed."""

    def __getitem__(self, key: str) -> int:
        raise OSError("closed")

    def __iter__(self) -> Any:
        raise OSError("the file\nis closed")

    def __len__(self) -> int:
        return 1


class Unprintable(int):
    """A number that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


recursive: list[Any] = []
recursive.append(recursive)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(Lying(), "v is a Lying", id="class that lies"),
        pytest.param(Broken(), "OSError: the file is closed", id="mapping that raises"),
        pytest.param(Unprintable(1), "RuntimeError: no text", id="str that raises"),
        pytest.param(10**5000, "4300 digits", id="int too long for Python"),
        pytest.param(recursive, "contains itself", id="list in itself"),
        pytest.param([decimal.Decimal("12345678901234567.89")], "Decimal", id="digits would go"),
    ],
)
def test_a_value_that_raises_is_one_line(value: object, says: str) -> None:
    """No exception of an object reaches the user as a stack, and none hangs on the error."""
    with pytest.raises(VariableError, match=says) as error:
        rendered("{{v}}", {"v": value})
    assert str(error.value).startswith("line 3, %section a: ")
    assert "\n" not in str(error.value)
    assert error.value.__context__ is None


def test_a_step_that_cannot_be_taken_names_the_nearest_and_the_way_out() -> None:
    """A slip in a key is told like a slip in a name."""
    with pytest.raises(VariableError, match=r"did you mean 'title'\? To keep it as text, write"):
        rendered("{{d.titel}}", {"d": {"title": 1}})


def test_names_that_are_no_text_do_no_harm() -> None:
    """A script's dict may hold any keys."""
    with pytest.raises(VariableError, match="no variable 'x'"):
        rendered("{{x}}", {1: "one", None: "none"})  # type: ignore[dict-item]


def test_many_variables_cost_no_more_than_their_number() -> None:
    """The place of an error is looked for when there is an error."""

    def render(size: int) -> None:
        assert len(rendered("{{v}}\n" * size, {"v": "x"})) == 2 * size

    assert_in_proportion(render, 50_000)


def test_an_items_error_names_the_item() -> None:
    """One bad item among thousands can be found."""
    with pytest.raises(VariableError, match="item 17, line 3"):
        Prompts({}).render(Text("{{item}}", (3,)), "the text", {"item": None, "index": 17})


def test_what_follows_a_question_begins_a_sentence() -> None:
    """A hint ends with a question mark; without one the message goes on."""
    assert then("no 'a'; did you mean 'b'?", "to keep it") == "no 'a'; did you mean 'b'? To keep it"
    assert then("no 'a'", "to keep it") == "no 'a'; to keep it"
    assert then("no 'a'", "") == "no 'a'"

"""What looks like a variable and is none: an error before any call, or text with a note."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from growth import assert_in_proportion

from parallm_magics import fanout, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.tasks import Model
from parallm_magics.errors import VariableError

VALUES = {
    "code": "C",
    "k": 3,
    "df": [1],
    "नाम": "N",
    "ชื่อ": "T",
    "é": "E",
    "_own": 1,
    "json": asyncio,
}


def planned(
    body: str, line: str = "", magic: str = "vote", variables: Mapping[str, Any] = VALUES
) -> Plan:
    """The plan of a cell."""
    cell = parse(magic, line, body)
    return make_plan(cell, variables, lambda text: Model("p", text), {"model": ("m",)})


def sent(body: str, line: str = "-n 1", variables: Mapping[str, Any] = VALUES) -> str:
    """The prompt that this body is."""
    return planned(body, line, variables=variables).tasks[0].prompt


@pytest.mark.parametrize(
    "text",
    [
        "{{code.upper()}}",
        "{{code[:10]}}",
        "{{code[k]}}",
        "{{ code | upper }}",
        "{{code|length}}",
        "{{len(code)}}",
        "{{ str(k) }}",
        "{{df.head()}}",
        "{{json.dumps(df)}}",
        "{{code + 'x'}}",
        "{{'x' + code}}",
        "{{code if k else 1}}",
        "{{not code}}",
        "{{-k}}",
        "{{(code)}}",
        "{{[code]}}",
        "{{code, k}}",
        "{{code!r}}",
        "{{k:>10}}",
        "{{code.}}",
        "{{code-}}",
        "{{- code -}}",
        "{{code}}}",
        '{"a": {{code}}}',
        "{{#code}}",
        "{{/code}}",
        "{{नाम.upper()}}",
        "{{ _own.x() }}",
        "{{k^2}}",
        "{{co\u200bde}}{{code\u200b!}}",
    ],
)
@pytest.mark.parametrize("place", ["preamble", "section", "system", "guard", "option"])
def test_an_expression_of_a_variable_is_an_error(text: str, place: str) -> None:
    """It would reach the model as it stands; the error names the line and the way out."""
    if text.startswith("{{co\u200b"):
        text = "{{code\u200b!}}"
    quote = "'" if '"' in text else '"'
    magic, line, body = {
        "preamble": ("vote", "", f"q\n{text}"),
        "section": ("fanout", "", f"%section a\n{text}"),
        "system": ("vote", "", f"%system\n{text}\n%prompt\nx"),
        "guard": ("fanout", "", f"x\n%guardrail\n{text}"),
        "option": ("fanout", "", f"x\n%section a --system {quote}{text}{quote}\ny"),
    }[place]
    if place == "option" and "'" in text and quote == '"' and '"' in text:
        pytest.skip("holds both quotes")
    number = 4 if place == "guard" else 3
    with pytest.raises(VariableError, match=rf"^line {number}\b") as error:
        planned(body, line, magic)
    assert "to keep it as text, write \\" in str(error.value)


@pytest.mark.parametrize("text", ["{{code.upper()}}", "{{ code | upper }}", '{"a": {{code}}}'])
def test_a_backslash_keeps_an_expression(text: str) -> None:
    """The one that the error names is taken off; so is one of two."""
    escaped = text.replace("{{", "\\{{")
    assert sent(escaped) == text
    assert sent(f"a\n\\{escaped}" if not text.startswith('{"') else escaped).endswith(
        f"\\{text}" if not text.startswith('{"') else text
    )
    assert sent(text, "-n 1 --no-vars") == text


@pytest.mark.parametrize(
    "text",
    [
        "{{other.upper()}}",
        "{{ other | upper }}",
        "{{#if code}}{{/if}}",
        "{{ range .Items }}",
        "{{ .code }}",
        "{{@index}}",
        "{% for x in code %}{# code #}",
        '{{"code": 1}}',
        "{{}}",
        "{{ }}",
        "{{1}}",
        "\\frac{a}{b}",
        "{other} $other ${other} $5 {0} {}",
        '{"code": 1}',
        "{ code: 1 }",
        "US$code",
        "$$code",
        "\\{{code}}",
        "%(other)s",
        "{{other",
    ],
)
def test_what_names_no_variable_first_is_text_without_a_word(text: str) -> None:
    """JSON, templates, LaTeX and shells are prompts like any other."""
    plan = planned(text)
    assert plan.tasks[0].prompt == (text.removeprefix("\\") if text.startswith("\\{{") else text)
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a {code} b", "{code}"),
        ("{ code }", "{ code }"),
        ("{code!r}", "{code!r}"),
        ("{k:.2f}", "{k:.2f}"),
        ("{code.x}", "{code.x}"),
        ("{df[0]}", "{df[0]}"),
        ("f'{code}'", "{code}"),
        ("$code", "$code"),
        ("${code}", "${code}"),
        ("${{ code }}", "${{ code }}"),
        ("{{{code}}}", "{{{code}}}"),
        ("%(code)s", "%(code)s"),
        ("{{code", "{{code"),
        ("{{ code }", "{{ code"),
        ("{code}}", "{code}"),
        ("{नाम}", "{नाम}"),
        ("$é", "$é"),
        ("$e\u0301", "$e\u0301"),
    ],
)
def test_other_notations_of_a_variable_are_text_with_a_note(text: str, shown: str) -> None:
    """It is sent byte for byte; the note names the line and the form."""
    plan = planned(f"q\n\n{text}")
    assert plan.tasks[0].prompt == f"q\n\n{text}"
    [note] = plan.notes
    assert note.startswith(f"line 4: {shown} is ")
    assert "for the variable, write {{" in note


def test_each_notation_is_told_once_and_many_are_counted() -> None:
    """A prompt full of code makes no page of notes."""
    body = "{code} {code}\n" + "\n".join(f"{{v{at}}}" for at in range(20))
    notes = planned(body, variables={"code": 1, **{f"v{at}": at for at in range(20)}}).notes
    assert [note.partition(" ")[2][:9] for note in notes[:2]] == ["2: {code}", "3: {v0} i"]
    assert len(notes) == 6
    assert notes[-1] == "16 more pieces of text look like variables but are not"


def test_items_are_names_where_there_are_items() -> None:
    """`{item}` is plain text without --each, and so is an expression of it."""
    docs = {"docs": ["a"]}
    assert planned("{item} {{item.x()}}", variables=docs).notes == ()
    assert "line 2: {item}" in planned("{item}{{item}}", "--each docs", variables=docs).notes[0]
    with pytest.raises(VariableError, match=r"^line 2.*item.upper"):
        planned("{{item}} {{item.upper()}}", "--each docs", variables=docs)
    with pytest.raises(
        VariableError, match=r"with --each NAME.*to keep it as text, write \\\{\{ item \}\}"
    ):
        planned("{{ item }}")


@pytest.mark.parametrize("word", ["synthesis", "judge"])
def test_answers_are_names_where_they_come_in(word: str) -> None:
    """`{outputs}` in a synthesis and `{candidates}` in a judge are told like any other name."""
    magic = {"synthesis": "fanout", "judge": "vote"}[word]
    name = {"synthesis": "outputs", "judge": "candidates"}[word]
    notes = planned(f"q\n%{word}\n{{{name}}} {{{{task}}}}", magic=magic).notes
    assert notes[0].startswith(f"line 4: {{{name}}} is sent as text")
    with pytest.raises(VariableError, match="line 4"):
        planned(f"q\n%{word}\n{{{{{name} | join}}}}", magic=magic)
    assert planned(f"q\n{{{name}}}\n%{word}\nx", magic=magic).notes == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{नाम}}", "N"),
        ("{{ชื่อ}}", "T"),
        ("{{é}}", "E"),
        ("{{e\u0301}}", "E"),
        ("{{\u00a0code\u3000}}", "C"),
        ("{{\u200bcode\ufeff}}", "C"),
        ("{{ｃｏｄｅ}}", "C"),
    ],
)
def test_names_are_pythons(text: str, value: str) -> None:
    """Every identifier, in every spelling that Python takes for the same one; any blanks inside."""
    assert sent(f"a {text} b") == f"a {value} b"


def test_a_script_may_spell_a_name_either_way() -> None:
    """A dict's keys are not normalised, as a namespace's are; nor are those of a value."""
    assert sent("{{é}}", variables={"e\u0301": "x"}) == "x"
    assert sent("{{d.é}}", variables={"d": {"e\u0301": "x"}}) == "x"
    assert sent("{{d.e\u0301}}", variables={"d": {"é": "x"}}) == "x"
    assert planned("{{item}}", "--each é", variables={"e\u0301": ["x"]}).tasks[0].prompt == "x"


def test_a_long_text_is_looked_through_once() -> None:
    """A quarter of a megabyte of braces, of dollars or of variables takes no longer than it is long."""
    for unit in ("{{code}} {code} ", "{{", "$", "{{code "):
        assert_in_proportion(lambda size, unit=unit: planned(unit * (size // len(unit))), 250_000)


@pytest.mark.parametrize("ask", [fanout, vote])
def test_a_script_finds_the_notes_and_the_dry_run_shows_them(ask: Any) -> None:
    """The same notes by every door, before the first prompt."""
    text = "Review {code}"
    run = asyncio.run(ask(text, variables=VALUES, model="sim:?scale=0"))
    assert run.notes[0].startswith("line 1: {code} is sent as text")
    shown = asyncio.run(ask(text, variables=VALUES, model="sim", dry_run=True))
    assert shown.notes == run.notes[:1]
    for form in shown._repr_mimebundle_().values():
        assert 0 < form.index("{code} is sent as text") < form.index("Review {code}")

"""What may be typed next: of each place what belongs there, and nothing of the user's is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from parallm_magics.cell.directives import BLOCK_WORDS
from parallm_magics.cell.options import TABLE
from parallm_magics.cell.suggestions import known_values, suggest
from parallm_magics.notebook.completion import matcher
from parallm_magics.voting.pick_rules import PICKS


class Doc:
    """A value whose own code must not run while somebody types."""

    kind = "note"

    def __init__(self) -> None:
        self.title = "a"
        self._hidden = 1

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")

    @property
    def body(self) -> str:
        """A property may ask a database."""
        raise AssertionError("run")

    def method(self) -> None:
        """No template can call it."""


@dataclass
class Invoice:
    """What an object is like."""

    vendor: str


class Plain:
    """No field of it is known."""


SCHEMAS = {
    "BaseModel": BaseModel,
    "Invoice": Invoice,
    "Plain": Plain,
    "invoice": {"type": "object", "properties": {"vendor": {"type": "string"}}},
    "prices": {"a": 1},
    "text": "vendor, total: number",
    "_Hidden": Invoice,
}
VARIABLES = {
    "code": "x",
    "codes": ["x"],
    "doc": Doc(),
    "table": {"name": 1, "not a name": 2, 3: 4},
    "_private": 1,
    "function": len,
    "module": pytest,
}
MODELS = ("claude-haiku-5-5", "claude-opus-5-5", "sim", "local:")


def offered(before: str) -> tuple[str, ...] | None:
    """What is offered at the end of this beginning of a cell."""
    found = suggest(before, VARIABLES, MODELS)
    return None if found is None else found.texts


@pytest.mark.parametrize(
    ("before", "texts"),
    [
        pytest.param("%%vote --cho", ("--choices",), id="option"),
        pytest.param("# NBVAL_SKIP\n%%vote --cho", ("--choices",), id="below-a-marker"),
        pytest.param("# a comment\n#| label: x\n%%vote --cho", ("--choices",), id="below-comments"),
        pytest.param("\t%%vote --cho", ("--choices",), id="indented-magic"),
        pytest.param("%%vote", None, id="the-name-itself"),
        pytest.param("%%vote --agg", (), id="option-of-the-other-magic"),
        pytest.param("%%fanout --agg", ("--aggregate",), id="option-of-this-magic"),
        pytest.param("%%vote --seed 1 --se", (), id="given-already"),
        pytest.param("%%vote --param a=1 --par", ("--param",), id="may-be-repeated"),
        pytest.param("%%vote --pick ", tuple(PICKS), id="rules"),
        pytest.param("%%vote --pick=ma", ("majority",), id="after-equals"),
        pytest.param("%%vote --stop ", ("all", "clinch", "beta:"), id="with-a-placeholder"),
        pytest.param("%%vote --ties f", ("first",), id="ties"),
        pytest.param("%%vote -m claude-o", ("claude-opus-5-5",), id="model"),
        pytest.param("%%vote -m sim,cl", ("sim,claude-haiku-5-5", "sim,claude-opus-5-5"), id="two"),
        pytest.param("%%vote -n 3 --choices a,b --flag ", ("a", "b"), id="labels"),
        pytest.param("%%fanout --each c", ("codes",), id="items"),
        pytest.param("%%vote -n ", ("",), id="a-number"),
        pytest.param("%%vote --each codes --sure ", ("",), id="a-share"),
        pytest.param("%%vote --sure pri", ("pri",), id="as-it-is-typed"),
        pytest.param("%%vote --pick pri", ("pri",), id="no-such-rule"),
        pytest.param("%%vote --retries ", ("2",), id="the-default"),
        pytest.param("%%vote --retries=", ("2",), id="the-default-after-equals"),
        pytest.param("%%vote --retries 5", ("5",), id="not-the-default"),
        pytest.param("%%vote --columns ", ("",), id="an-empty-default"),
        pytest.param("%%fanout --out-file re", (), id="a-path-is-the-shells"),
        pytest.param('%%vote --system "be --cho', None, id="in-a-quote"),
        pytest.param("%%fanout\n%se", ("%section",), id="word"),
        pytest.param("%%fanout\nx\n%s", ("%section", "%synthesis", "%system"), id="words"),
        pytest.param("%%fanout\n%synthesis\n%sy", ("%system",), id="one-synthesis"),
        pytest.param(
            "%%vote\n%",
            ("%voter", "%judge", "%guardrail", "%panel", "%system", "%prompt"),
            id="vote",
        ),
        pytest.param("%%fanout\n %se", ("%section",), id="indented"),
        pytest.param(
            "%%fanout\n\u00a0%section a --fl", ("--flag",), id="option-of-an-indented-one"
        ),
        pytest.param("%%fanout\n%section a --fl", ("--flag",), id="of-a-block"),
        pytest.param("%%fanout\n%section a --agg", (), id="not-of-a-block"),
        pytest.param("%%fanout\n%section a --pick med", ("median",), id="value-of-a-block"),
        pytest.param("%%vote\n%guardrail --on-e", ("--on-error",), id="of-a-guard"),
        pytest.param("%%fanout\nA prompt --cho", None, id="text"),
        pytest.param("%%vote\n{{co", ("code", "codes"), id="variable"),
        pytest.param("%%vote --choices {{co", ("code", "codes"), id="variable-on-the-line"),
        pytest.param("%%vote\n{{", ("code", "codes", "doc", "table"), id="all-variables"),
        pytest.param("%%vote\n${{co", None, id="not-a-variable"),
        pytest.param("%%vote\n{{doc.", ("body", "kind", "title"), id="attributes"),
        pytest.param("%%vote\n{{table.", ("name",), id="keys"),
        pytest.param("%%vote\n{{nothing.", (), id="of-nothing"),
        pytest.param("%%fanout --each codes\n{{i", ("item", "index"), id="item"),
        pytest.param("%%vote --each codes\n{{i", ("item", "index"), id="item-of-a-study"),
        pytest.param("%%fanout\n{{i", (), id="no-item"),
        pytest.param("%%fanout\n%synthesis\n{{out", ("outputs",), id="outputs"),
        pytest.param(
            "%%fanout\n%section a-b\nx\n%section c\nx\n%synthesis\n{{outputs.",
            ("a-b", "c"),
            id="of-outputs",
        ),
        pytest.param("%%vote\n%judge\n{{cand", ("candidates",), id="candidates"),
        pytest.param("%%time\n%%vote --cho", None, id="another-magic"),
        pytest.param("x = 1\n%%vote --cho", None, id="code"),
        pytest.param("print(", None, id="python"),
    ],
)
def test_each_place_offers_what_belongs_there(before: str, texts: tuple[str, ...] | None) -> None:
    """Options of this magic or block, values that are known, directives, names."""
    assert offered(before) == texts


def test_what_an_object_is_like_is_offered() -> None:
    """Classes with fields and JSON Schemas of the notebook, and nothing else of it."""
    for before in ("%%vote --schema ", "%%fanout\n%section a --schema="):
        found = suggest(before, SCHEMAS, MODELS)
        assert found is not None
        assert found.texts == ("Invoice", "invoice")
        assert [each.about for each in found.found] == ["class", "JSON Schema"]


@pytest.mark.parametrize("magic", ["fanout", "vote"])
def test_every_option_is_offered(magic: str) -> None:
    """After a blank, all long forms that the magic takes."""
    flags = {option.flags[0] for option in TABLE.values() if magic in option.where}
    assert set(offered(f"%%{magic} ") or ()) == {flag for flag in flags if flag.startswith("--")}


@pytest.mark.parametrize(
    ("before", "text", "about"),
    [
        pytest.param("%%vote --cho", "--choices", "the answer is one of these labels", id="option"),
        pytest.param("%%vote --sto", "--stop", "when to end a vote", id="its-first-words"),
        pytest.param("%%vote --pick pl", "plurality", "the most votes", id="rule"),
        pytest.param("%%vote -m cl", "claude-haiku-5-5", "model", id="model"),
        pytest.param("%%vote -m lo", "local:", "provider", id="provider"),
        pytest.param("%%vote --choices a,b --flag ", "a", "label", id="label"),
        pytest.param("%%fanout --each c", "codes", "list", id="items"),
        pytest.param("%%fanout\n%sy", "%synthesis", "how to merge the answers", id="directive"),
        pytest.param("%%vote\n{{doc", "doc", "Doc", id="variable"),
        pytest.param("%%vote\n{{doc.ti", "title", "attribute", id="attribute"),
        pytest.param("%%vote\n{{table.na", "name", "key", id="key"),
        pytest.param("%%vote\n%judge\n{{c", "candidates", "the answers to choose from", id="own"),
        pytest.param("%%vote --each codes\n{{it", "item", "this worker's item", id="item"),
    ],
)
def test_each_text_comes_with_what_it_does(before: str, text: str, about: str) -> None:
    """An option says what it is for, a rule who wins, a name what it holds."""
    found = suggest(before, VARIABLES, MODELS)
    assert found is not None
    assert found.found[0] == (text, about)


def test_every_option_and_directive_says_what_it_does() -> None:
    """In words of its own that fit beside it."""
    for magic, words in BLOCK_WORDS.items():
        found = suggest(f"%%{magic} ", VARIABLES), suggest(f"%%{magic}\n%", VARIABLES)
        told = [each for some in found if some is not None for each in some.found]
        assert len(told) > 20 + len(words)
        assert all(3 < len(each.about) < 100 and each.about != each.text for each in told)


def test_known_values_can_be_read() -> None:
    """Every value that is offered is one that the option takes."""
    for option in TABLE.values():
        for value in known_values(option):
            option.read(value + "0.95" if value.endswith(":") else value)


@given(st.text(), st.sampled_from(["%%fanout ", "%%vote ", "%%vote\n%", "%%fanout\n{{", ""]))
def test_whatever_is_typed_nothing_is_raised(text: str, lead: str) -> None:
    """What is offered begins with what was typed, and is one line."""
    found = suggest(lead + text, VARIABLES, MODELS)
    if found is not None:
        assert (lead + text).endswith(found.fragment)
        assert all(each.startswith(found.fragment) and "\n" not in each for each in found.texts)


def test_an_older_ipython_completes_without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colab's knows no such matchers; there is none then, and the extension loads all the same."""
    monkeypatch.delattr("IPython.core.completer.context_matcher")
    assert matcher(None) is None

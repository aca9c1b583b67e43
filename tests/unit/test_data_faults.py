"""Faults of the data: whatever a cell, a variable or an answer holds, it arrives, or it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import MODELS, bad_inputs, each_dialect, fanned, served, voted
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import Loopback

from parallm_magics import (
    CellSyntaxError,
    OptionError,
    ParallmError,
    VariableError,
    fanout,
    vote,
    voting,
)
from parallm_magics.core.tasks import Task
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.providers.registry import define_simulated, forget

CELLS = bad_inputs("cell")
MANY = settings(max_examples=300)


@pytest.fixture(scope="module")
def asked() -> Iterator[list[str]]:
    """The prompts that reach the model `parrot`, which repeats them."""
    prompts: list[str] = []

    def repeat(task: Task, index: int) -> str:
        prompts.append(task.prompt)
        return task.prompt

    define_simulated("parrot", repeat)
    yield prompts
    forget("parrot")


def repeated(asked: list[str], text: str, **variables: Any) -> list[str]:
    """What a cell's workers were asked, in the cell's order."""
    asked.clear()
    run = asyncio.run(fanned(text, model="parrot:?scale=0", variables=variables))
    assert [record.text for record in run.results] == asked
    return list(asked)


def trimmed(text: str) -> str:
    """Without the blank lines at a block's edges."""
    lines = text.split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join(lines)


# What is refused.

REFUSED: dict[str, tuple[str, type[ParallmError], tuple[str, ...]]] = {
    "missing variable": (
        "%section sound\nsay {{docc}}",
        VariableError,
        ("line 2", "%section sound", "'docc'", "did you mean 'doc'"),
    ),
    "empty cell": ("", CellSyntaxError, ("has no prompt",)),
    "blank cell": (CELLS["cell-blank"]["payload"], CellSyntaxError, ("has no prompt",)),
    "empty section": (
        "%section a\nx\n%section b\n \n%section c\ny",
        CellSyntaxError,
        ("line 3", "%section b is empty"),
    ),
    "name twice": (
        CELLS["cell-dup-names"]["payload"],
        CellSyntaxError,
        ("line 3", "line 1", "'A'"),
    ),
    "name twice but for case": (
        "%section Tone\nx\n%section tone\ny",
        CellSyntaxError,
        ("line 3", "line 1"),
    ),
    "name twice but for its code points": (
        "%section caf\u00e9\nx\n%section cafe\u0301\ny",
        CellSyntaxError,
        ("line 3", "line 1"),
    ),
    "half a surrogate": ("%section a\nx\ud800", CellSyntaxError, ("half a surrogate",)),
    "None": ("%section a\n{{none}}", VariableError, ("none is None",)),
}


@each_dialect
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_told_before_any_call(
    server: Loopback, dialect: str, name: str
) -> None:
    """One line with the place and what is possible, and no request."""
    text, error, says = REFUSED[name]
    with pytest.raises(error) as raised:
        asyncio.run(fanout(text, model=f"{dialect}:ok", variables={"doc": "x", "none": None}))
    message = str(raised.value)
    assert not [word for word in says if word not in message], message
    assert "\n" not in message
    assert server.log == []


HOSTILE_NAMES = [
    CELLS["cell-name-html"]["payload"],
    CELLS["cell-name-path"]["payload"],
    "a/b",
    "..",
    "C:\\x",
    "a\x00b",
    "'quoted'name'",
    "<b>",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_never_markup_or_a_path(
    server: Loopback, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused on its line, and nothing is written anywhere near."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CellSyntaxError, match=r"^line 1: ") as raised:
        asyncio.run(fanout(f"%section {name}\nx", model="openai:ok"))
    assert str(raised.value).isprintable()
    assert (server.log, list(tmp_path.parent.rglob("*passwd*")), list(tmp_path.iterdir())) == (
        [],
        [],
        [],
    )


def test_a_huge_or_special_name_is_a_key_only(asked: list[str]) -> None:
    """Ten thousand letters, or a name of Python's own: a key of the run, and its row stays short."""
    for name in ("n" * 10_000, "__class__"):
        run = asyncio.run(fanned(f"%section {name}\nx", model="parrot:?scale=0"))
        assert list(run) == [name]
        assert type(run).__name__ == "FanoutRun"
        assert max(map(len, str(run).split("\n"))) <= 100


# What arrives as it is.


@MANY
@given(st.text('{}[]":,$%#| \n\\ab1é\t', min_size=1).map(lambda t: f"<{t}>"))
def test_braces_that_name_nothing_arrive_as_they_are(asked: list[str], text: str) -> None:
    """JSON, templates of others and single braces are prompt text, byte for byte."""
    if "{{" in text or "\n%" in text:
        return
    assert repeated(asked, f"%section a\n{text}") == [text]


@MANY
@given(
    st.text("{}$%#\\ \n\r\x00ab_.🙂é", max_size=30),
    st.sampled_from(["", "{{v}}", "{{w}}", "%section b", "%%bash", "## b", "${{v}}", "\\{{v}}"]),
)
def test_a_value_goes_in_once_and_is_not_read_again(
    asked: list[str], value: str, inside: str
) -> None:
    """Value in is value out, whatever it looks like."""
    value += f"\n{inside}\n{value}"
    prompts = repeated(asked, "%section a\n[{{v}}]\n%section b\n{{w}}", v=value, w="other")
    assert prompts == [f"[{value}]", "other"]


@MANY
@given(st.text(st.characters(), min_size=1))
def test_no_text_is_too_odd_for_a_prompt(asked: list[str], text: str) -> None:
    """Typed text is sent or refused in one line; nothing else happens, half characters included."""
    with contextlib.suppress(CellSyntaxError, VariableError):
        for prompt in repeated(asked, f"%section a\n{text}"):
            prompt.encode()
    for prompt in repeated(asked, "%section a\n<{{v}}>", v=text):
        prompt.encode()


SCRIPTS = [
    "مرحبا 123 שלום",
    "\u202eabc\u202c \u2066x\u2069",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 1️⃣",
    unicodedata.normalize("NFC", "Ångström café 한글"),
    unicodedata.normalize("NFD", "Ångström café 한글"),
    "नमस्ते क्षत्रिय",
    "\u200b\u200c\u200d\ufeff\u00ad",
    "𝔘𝔫𝔦 \U000e0041 \U0010ffff",
    "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "".join(map(chr, [*range(10), 11, 12, *range(14, 32), *range(127, 160)])),
]


@settings(max_examples=8)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=12))
def test_prompts_and_answers_are_the_same_bytes(texts: list[str]) -> None:
    """Any script, either normal form: what a variable holds is asked, what is answered is kept."""
    texts = [text for text in (*SCRIPTS, *texts) if text.strip()]
    cell = "\n".join(f"%section s{at}\n{{{{texts[{at}]}}}}" for at in range(len(texts)))
    with served() as server:
        server.answers = {text: f"<{text}>" for text in texts}

        async def both() -> list[Any]:
            return await asyncio.gather(
                *(
                    fanned(cell, model=MODELS[dialect], variables={"texts": texts}, stream=stream)
                    for dialect in MODELS
                    for stream in ("on", "off")
                )
            )

        for run in asyncio.run(both()):
            assert [record.text for record in run.results] == [f"<{text}>" for text in texts]
        assert sorted(call.prompt for call in server.log) == sorted(texts * 4)


@each_dialect
def test_control_characters_are_kept_and_never_shown(server: Loopback, dialect: str) -> None:
    """NUL, C0 and C1 stay in the result; on a terminal and in a page none is left."""
    controls = "".join(map(chr, [*range(32), *range(127, 160)]))
    server.answers = lambda body: f"before{controls}after"
    run = asyncio.run(fanned("%section a\nx", model=f"{dialect}:ok"))
    assert run["a"] == f"before{controls}after"
    for shown in (str(run), repr(run), *run._repr_mimebundle_().values()):
        assert not set(controls) & set(shown) - {"\n", "\t"}


@settings(max_examples=10)
@given(st.lists(st.text(st.characters(categories=["Cs", "L", "P", "Cc"])), max_size=12))
def test_half_characters_never_come_out(texts: list[str]) -> None:
    """An answer with half characters can be kept, shown and sent on."""
    texts = ["\ud800", "\udc00\ud800", "a\ud83d\ude00", *texts]
    cell = "\n".join(f"%section s{at}\n{at}" for at in range(len(texts)))
    with served() as server:
        server.answers = {str(at): f"x{text}" for at, text in enumerate(texts)}

        async def both() -> list[Any]:
            return await asyncio.gather(
                *(fanned(cell, model=f"{dialect}:ok") for dialect in MODELS)
            )

        runs = asyncio.run(both())
    for run in runs:
        assert [run[f"s{at}"] for at in range(3)] == ["x\ufffd", "x\ufffd\ufffd", "xa😀"]
        assert len(run) == len(texts)
        for shown in (*run.values(), run.text, str(run), *run._repr_mimebundle_().values()):
            shown.encode()


def test_half_characters_of_given_answers_never_come_out() -> None:
    """What the user's own function answers can be kept, shown and sent on as well."""
    define_simulated("halves", lambda task, index: "x\ud800")
    try:
        run = asyncio.run(fanned("%section a\nx", model="halves:?scale=0"))
    finally:
        forget("halves")
    assert (run["a"], run.results[0].text) == ("x\ufffd", "x\ufffd")


# How a cell is cut.


@pytest.mark.parametrize(
    ("body", "prompts"),
    [
        pytest.param("\ufeff%section a\none\n%section b\ntwo", ["one", "two"], id="mark first"),
        pytest.param("%section a\n\ufeffone\n%section b\ntwo", ["\ufeffone", "two"], id="inside"),
        pytest.param("%section\ta\t\n\tone\n%section b\t\ntwo", ["\tone", "two"], id="tabs"),
        pytest.param(
            "%section a  \n  one  \t\n%section b\ntwo ", ["  one  \t", "two "], id="blanks"
        ),
        pytest.param("%section a\r\none\r\n%section b\r\ntwo\r\n", ["one", "two"], id="CRLF"),
        pytest.param("%section a\n\n one\n\n\n%section b\n\ntwo\n\n", [" one", "two"], id="edges"),
    ],
)
def test_marks_tabs_and_blanks(asked: list[str], body: str, prompts: list[str]) -> None:
    """The leading byte order mark goes; in a body all stays, blank lines at its edges aside."""
    assert repeated(asked, body) == prompts


@pytest.mark.parametrize("end", ["\r", "\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1e"])
def test_only_two_line_ends_begin_a_block(asked: list[str], end: str) -> None:
    """What other programs may take for a line's end is text."""
    text = f"one{end}%section b{end}two"
    assert repeated(asked, f"%section a\n{text}\r\n%section c\nthree") == [text, "three"]


@pytest.mark.parametrize(
    "text",
    [
        "```python\n## not a section\nx = {1: 2}\n```\nafter",
        "```\nnever closed\n# heading",
        "~~~~\n```\n%%bash\n## x\n~~~~",
        "    ## indented code\n\n# heading\n=====\nalso\n-----",
    ],
)
def test_a_fence_is_text_and_swallows_nothing(asked: list[str], text: str) -> None:
    """Headings and fences, open ones too, belong to the prompt; the next section begins all the same."""
    assert repeated(asked, f"%section a\n{text}\n%section b\ntwo") == [text, "two"]


def test_a_megabyte_is_cut_whole_and_its_cost_is_told_before_any_call() -> None:
    """A dry run says the size in tokens and the most that it can cost."""
    text = CELLS["cell-huge"]["gen"]["prefix"] + "word " * 200_000
    shown = asyncio.run(fanout(text, model="claude-haiku-5-5", dry_run=True))
    assert isinstance(shown, Preview)
    assert shown.tasks[0].prompt == "word " * 200_000
    assert (shown.input_tokens, shown.most_cost is None) == (250_000, False)
    assert "about 250,000 input tokens, cost at most $" in repr(shown)


class Loud:
    """An object whose repr must not be called."""

    def __repr__(self) -> str:
        raise RuntimeError("repr was called")


VALUES: dict[str, tuple[Any, str]] = {
    "table": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "a,b\n1,x\n2,y\n"),
    "column": (pd.Series([1, 2], name="s"), "s\n1\n2\n"),
    "dict": ({"a": [1, None]}, '{"a": [1, null]}'),
    "path": (Path("/a/b"), "/a/b"),
    "number": (0.1, "0.1"),
    "bytes": (b"x", "!decode"),
    "None": (None, "!None"),
    "generator": (iter([1]), "!list(v)"),
    "function": (len, "!call it"),
    "repr that raises": (Loud(), "!str(v)"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_no_text_has_one_form_or_none(asked: list[str], name: str) -> None:
    """In full as the grammar says, or refused with the way out; never an elided repr."""
    value, expected = VALUES[name]
    if expected.startswith("!"):
        with pytest.raises(VariableError) as raised:
            repeated(asked, "%section a\n{{v}}", v=value)
        assert expected[1:] in str(raised.value)
        assert asked == []
    else:
        assert repeated(asked, "%section a\n<{{v}}>", v=value) == [f"<{expected}>"]


# Votes.


@pytest.mark.parametrize(
    ("texts", "status", "winner"),
    [
        pytest.param(["ANSWER: a", "ANSWER: b"], "tie", None, id="tie"),
        pytest.param(["?", "?", "?"], "no_quorum", None, id="all abstain"),
        pytest.param(["ANSWER: b"], "decided", "b", id="one voter"),
        pytest.param(["a or b, who knows", "ANSWER: a"], "decided", "a", id="doubt abstains"),
    ],
)
def test_an_odd_vote_has_a_named_outcome(texts: list[str], status: str, winner: str | None) -> None:
    """The same one every time."""
    define_simulated("panel", lambda task, index: texts[task.index])
    try:
        for _ in range(3):
            run = asyncio.run(voted("which", n=len(texts), choices="a,b", model="panel:?scale=0"))
            assert (run.status, run.winner) == (status, winner)
            assert len(run.ballots) == len(texts)
    finally:
        forget("panel")


@each_dialect
def test_a_vote_that_all_fail_names_no_winner(server: Loopback, dialect: str) -> None:
    """An error that carries every record, or with no minimum a vote without a quorum."""
    model = f"{dialect}:err-400"
    run = asyncio.run(voted("which", n=3, choices="a,b", model=model))
    assert (run.status, run.winner, len(run.failed)) == ("no_quorum", None, 3)
    with pytest.raises(ParallmError, match="0 of 3"):
        asyncio.run(vote("which", n=3, choices="a,b", model=model))


def test_ten_thousand_tallies_have_an_outcome_each() -> None:
    """Every rule decides every tally, without an exception and the same way twice."""
    chance = random.Random(18)
    outcomes = set()
    for _ in range(10_000):
        counts = {label: chance.randint(0, 4) for label in "abcd"[: chance.randint(1, 4)]}
        requested = sum(counts.values()) + chance.randint(0, 3)
        rule = chance.choice(sorted(voting.RULES))
        threshold = chance.choice(["1/2", "2/3", "0.9"]) if rule == "threshold" else None
        base = chance.choice(["requested", "valid"])
        said = [
            voting.decide(dict(counts), requested, rule, threshold, base, quorum)  # type: ignore[arg-type]
            for quorum in [chance.randint(1, 4)] * 2
        ]
        assert said[0] == said[1]
        outcomes.add(said[0][0])
        assert (said[0][1] is None) == (said[0][0] != "decided")
    assert outcomes == {"decided", "tie", "no_majority", "no_quorum"}


def test_labels_that_could_be_markup_are_refused_or_escaped() -> None:
    """A label is one visible line; what it shows in a page is text."""
    with pytest.raises(OptionError):
        asyncio.run(vote("which", choices=["a\x00", "b"], model="sim:?scale=0"))
    run = asyncio.run(voted("which", choices=["<img src=x>", "b"], model="sim:?scale=0"))
    assert "<img" not in run._repr_mimebundle_()["text/html"]

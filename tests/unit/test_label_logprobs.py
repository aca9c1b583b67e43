"""The probability of each label by the log probabilities of a chat server's tokens."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from asking import served, voted
from provider import Act, Loopback

from parallm_magics.core.tasks import Reading
from parallm_magics.providers.label_logprobs import Token, label_probabilities, tokens_of

LABELS = ("safe", "unsafe")


def token(text: str, **chances: float) -> Token:
    """A token with the probabilities of what could have stood there."""
    named = {name.replace("_", " "): math.log(share) for name, share in chances.items()}
    return Token(text, tuple(named.items()))


def found(*tokens: Token, labels: tuple[str, ...] = LABELS) -> dict[str, float] | None:
    """What the tokens say, to four digits."""
    read = label_probabilities(tokens, Reading("choice", choices=labels))
    return None if read is None else {label: round(share, 4) for label, share in read.items()}


CASES: list[tuple[str, tuple[Token, ...], tuple[str, ...], dict[str, float] | None]] = [
    ("the label alone", (token("safe", safe=0.9, un=0.1),), LABELS, {"safe": 0.9, "unsafe": 0.1}),
    (
        "other words are left out, and the rest sums to 1",
        (token("safe", safe=0.6, un=0.2, I=0.2),),
        LABELS,
        {"safe": 0.75, "unsafe": 0.25},
    ),
    (
        "spellings of one label add up",
        (token("safe", safe=0.4, Safe=0.2, _safe=0.2, unsafe=0.1, UN=0.1),),
        LABELS,
        {"safe": 0.8, "unsafe": 0.2},
    ),
    (
        "behind a marker",
        (token("ANSWER"), token(":"), token(" un", _safe=0.25, _un=0.75), token("safe", safe=1.0)),
        LABELS,
        {"safe": 0.25, "unsafe": 0.75},
    ),
    (
        "in an object",
        (token('{"'), token("answer"), token('":"'), token("safe", safe=0.5, un=0.5), token('"}')),
        LABELS,
        {"safe": 0.5, "unsafe": 0.5},
    ),
    (
        "the last place counts",
        (token("safe", safe=1.0, x=0.0001), token("? No: "), token("unsafe", safe=0.2, unsafe=0.8)),
        LABELS,
        {"safe": 0.2, "unsafe": 0.8},
    ),
    (
        "a label nobody told has none",
        (token("safe", safe=0.9, x=0.1),),
        LABELS,
        {"safe": 1.0, "unsafe": 0.0},
    ),
    ("one option alone says nothing", (token("safe", safe=0.9),), LABELS, None),
    ("no label is named", (token("maybe", maybe=0.9, safe=0.1),), LABELS, None),
    (
        "a token that begins two labels does not tell them apart",
        (token("not", **{"not": 0.9, "yes": 0.1}), token(" spam")),
        ("not spam", "not ham", "yes"),
        None,
    ),
    (
        "unless it is as good as never said",
        (token("yes", **{"not": 0.001, "yes": 0.9, "maybe": 0.099}),),
        ("not spam", "not ham", "yes", "maybe"),
        {"not spam": 0.0, "not ham": 0.0, "yes": 0.9009, "maybe": 0.0991},
    ),
    (
        "a label that begins another one",
        (token("A", A=0.7, AB=0.3),),
        ("A", "AB"),
        {"A": 0.7, "AB": 0.3},
    ),
]


@pytest.mark.parametrize(("name", "tokens", "labels", "expected"), CASES, ids=[c[0] for c in CASES])
def test_the_first_token_of_the_label_counts(
    name: str, tokens: tuple[Token, ...], labels: tuple[str, ...], expected: dict[str, float] | None
) -> None:
    """Computed by hand."""
    assert found(*tokens, labels=labels) == expected


@pytest.mark.parametrize(
    "sent",
    [None, [], {"content": None}, {"content": [None, 3]}, {"content": [{"token": None}]}]
    + [{"content": [{"token": "safe", "logprob": value}]} for value in ("x", None, 5, math.nan)],
    ids=str,
)
def test_what_servers_send_instead_says_nothing(sent: Any) -> None:
    """No odd value is taken for a probability, and none raises."""
    assert label_probabilities(tokens_of(sent), Reading("choice", choices=LABELS)) is None


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A scripted server."""
    with served() as loopback:
        yield loopback


def told(text: str, chances: dict[str, float]) -> dict[str, Any]:
    """The log probabilities of an answer of one token, as chat completions send them."""
    options = [
        {"token": each, "logprob": math.log(p), "bytes": None} for each, p in chances.items()
    ]
    chosen = next(each for each in options if each["token"] == text)
    return {"content": [{**chosen, "top_logprobs": options}], "refusal": None}


@pytest.mark.parametrize("stream", ["on", "off"])
def test_a_record_holds_them_where_they_were_asked_for(server: Loopback, stream: str) -> None:
    """The label that was said stays the vote, however improbable."""
    sent = told("unsafe", {"safe": 0.7, "unsafe": 0.2, "hm": 0.1})
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": sent}
    said = {"role": "assistant", "content": "unsafe"}
    whole = {"model": "m", "choices": [{**choice, "message": said}]}
    chunk = {"model": "m", "choices": [{**choice, "delta": said}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    kind = {"content-type": "text/event-stream"} if stream == "on" else {}
    server.script("m", Act(body=events if stream == "on" else whole, headers=kind))
    params = {"logprobs": True, "top_logprobs": 5}
    options = {"model": "openai:m", "choices": LABELS, "n": 2, "stream": stream, "param": params}
    run = asyncio.run(voted("ask", **options))
    assert server.log[0].body["logprobs"] is True
    for record in run.results:
        assert record.probabilities == pytest.approx({"safe": 7 / 9, "unsafe": 2 / 9})
        assert record.value == "unsafe"


def test_a_log_probability_too_large_for_a_float_loses_no_answer() -> None:
    """JSON has whole numbers of any length."""
    options = [{"token": "safe", "logprob": -0.1}, {"token": "unsafe", "logprob": -(10**400)}]
    sent = {"content": [{"token": "safe", "logprob": -0.1, "top_logprobs": options}]}
    found = label_probabilities(tokens_of(sent), Reading("choice", ("safe", "unsafe")))
    assert found == {"safe": 1.0, "unsafe": 0.0}

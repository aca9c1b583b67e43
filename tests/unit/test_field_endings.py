"""Votes on the fields of objects by real clients at a scripted server, in both dialects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asking import MODELS, each_dialect
from provider import Act as Served
from provider import Loopback

from parallm_magics import BudgetExceeded, VoteRun, vote

THING = {
    "title": "Thing",
    "type": "object",
    "properties": {"a": {"enum": ["x", "y", "z"]}, "b": {"type": "number"}},
    "required": ["a"],
}
GOOD = json.dumps({"a": "x", "b": 1.0})


def asked(model: str, **options: Any) -> VoteRun:
    """A vote on objects of a real client."""
    run = asyncio.run(vote("Read it.", model=model, schema=THING, **options))
    assert isinstance(run, VoteRun)
    return run


@each_dialect
def test_every_ending_of_a_call_is_one_state_in_each_field(server: Loopback, dialect: str) -> None:
    """Words and thinking around an object, a refusal, a cut, a broken object, a failure."""
    model = MODELS[dialect]
    ends = {
        "v1": Served(text=GOOD),
        "v2": Served(text=f"Here it is:\n```json\n{GOOD}\n```", thinking='{"a": "y"}'),
        "v3": Served(text="I cannot help with that.", stop="refusal"),
        "v4": Served(text=GOOD[:9], stop="max_tokens"),
        "v5": Served(text='{"a": "q"}'),
        "v6": Served(
            status=400, body={"error": {"type": "invalid_request_error", "message": "no"}}
        ),
        "v7": Served(text='{"a": "y"}'),
    }
    server.script(
        model, lambda call: next(end for name, end in ends.items() if name in call.prompt)
    )
    body = "Read it." + "".join(f"\n%voter {name}\n{name}" for name in ends)
    run = asyncio.run(vote(body, model=model, schema=THING, min_success=0, retries=0))
    assert isinstance(run, VoteRun)
    assert [ballot.state for ballot in run.ballots] == [
        *("valid", "valid", "abstain", "invalid", "invalid", "failed", "valid")
    ]
    assert run.fields["a"].tally == {"x": 2, "y": 1}
    assert run.fields["b"].tally == {"1.0": 2} or run.fields["b"].tally == {"1": 2}
    assert [vote.status for vote in run.fields.values()] == ["no_quorum", "no_quorum"]
    assert asyncio.run(run.retry()).fields["a"].tally == {"x": 2, "y": 1}


@each_dialect
def test_votes_that_no_field_needs_are_cancelled(server: Loopback, dialect: str) -> None:
    """Their connections are dropped; what was asked is what the log holds."""
    quick, slow = Served(text=GOOD), Served(hang=True)
    left = iter([slow, quick, quick, slow, quick])
    server.script(MODELS[dialect], lambda call: next(left))
    run = asked(MODELS[dialect], n=5, stop="clinch")
    assert (run.decided_after, run.value) == (3, {"a": "x", "b": 1.0})
    assert server.becomes_idle()
    assert sum(call.finished for call in server.log) == 3
    assert run.fields["b"].confidence_range == (0.6, 1.0)


@each_dialect
def test_a_cap_on_the_cost_keeps_what_came(server: Loopback, dialect: str) -> None:
    """The run in the error has the fields of the votes that were paid for."""
    server.answers = lambda body: GOOD
    one = asked(MODELS[dialect], n=1).cost
    assert one is not None
    with pytest.raises(BudgetExceeded) as told:
        asked(MODELS[dialect], n=40, max_cost=30 * one, concurrency=1, max_tokens=10)
    run = told.value.run
    assert isinstance(run, VoteRun)
    assert 0 < run.fields["a"].valid < 40
    assert run.fields["a"].tally == {"x": run.valid}

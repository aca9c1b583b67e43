"""An answer that ends twice is as good as its worse end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable

import pytest
from asking import MODELS, served
from provider import Act, Wire

from parallm_magics import VoteRun, vote

STATUS = {"stop": "ok", "length": "truncated", "content_filter": "refused"}
WORSE = ["stop", "length", "content_filter"]


def _event(content: str | None = None, finish: str | None = None) -> str:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'c', 'choices': [choice]})}\n\n"


async def _awaited(asking: Awaitable[VoteRun]) -> VoteRun:
    return await asking


@pytest.mark.parametrize(("one", "other"), [*itertools.product(WORSE, repeat=2)])
def test_a_filter_that_speaks_after_the_stop_is_heard(one: str, other: str) -> None:
    """No vote is counted that a later piece calls filtered or cut, whatever their order."""
    body = _event("ANSWER: safe") + _event(None, one) + _event(None, other) + "data: [DONE]\n\n"
    with served() as server:
        wire = Wire(pieces=(body.encode(),), kind="text/event-stream")
        server.script(MODELS["openai"], Act(wire=wire))
        asking = vote(
            "Is it safe?",
            model=MODELS["openai"],
            n=1,
            choices="safe,unsafe",
            min_success=0,
            stream="on",
        )
        run = asyncio.run(_awaited(asking))
    worse = max(one, other, key=WORSE.index)
    assert run.results[0].status == STATUS[worse]
    assert (run.winner == "safe") == (worse == "stop")

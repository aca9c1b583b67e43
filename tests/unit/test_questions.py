"""Questions about one state are one request: what is asked together, and what each record holds of it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics import fanout, vote
from parallm_magics.answers.questions import MOST_QUESTIONS, WHOLE, gathered, split_prompt
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Attempt, Fault, Model, Reading, Record, Task, Usage
from parallm_magics.engine.question_records import question_records

SPAM = Reading("choice", ("spam", "ham"))
JEV = Model("sim", "jev", (("sharpness", "1"),), decides=True)
PLAIN = Model("sim", "plain")


def do(pattern, *args, **options):
    """Run a pattern to its end."""
    return asyncio.run(pattern(*args, **{"variables": {}, **options}))


def task(index, own="Is it spam?", shared="The text.", model=JEV, **fields):
    """A section's task below a preamble."""
    prompt = "\n\n".join(filter(None, (shared, own)))
    return Task(index, f"s{index}", model, prompt, shared=shared, reading=SPAM, **fields)


def requests(calls, size=0):
    """The places that each request asks, and what was told."""
    told: list[str] = []
    return [
        [each.index for each in call.asked] for call in gathered(calls, size, told.append)
    ], told


def test_the_preamble_is_the_state_and_the_section_the_instructions():
    """A prompt that is one text is the state, and the instructions are to answer it."""
    assert split_prompt(task(0)) == ("The text.", "Is it spam?")
    assert split_prompt(task(0, own="")) == ("The text.", WHOLE)
    assert split_prompt(task(0, shared="")) == ("Is it spam?", WHOLE)


def test_questions_of_one_model_about_one_state_are_one_request():
    """Whatever stands between them; what has another state, model or field is another request."""
    calls = [
        task(0),
        task(1, model=PLAIN),
        task(2, own="Is it kind?"),
        task(3, shared="Another text."),
        task(4, params={"x": 1}),
        task(5, role="guard"),
        task(6),
    ]
    found, told = requests(calls)
    assert found == [[1], [0, 2, 6], [3], [4], [5]]
    assert not told


def test_items_are_separate_states():
    """Two rounds are never one request, even where their states are the same."""
    found, _ = requests([task(n) for n in range(6)], size=3)
    assert found == [[0, 1, 2], [3, 4, 5]]
    found, _ = requests([task(n) for n in (0, 2, 4, 5, 6)], size=3)
    assert found == [[0, 2], [4, 5], [6]]


def test_more_questions_than_a_request_takes_are_split_and_told():
    """In as few requests as there can be."""
    found, told = requests([task(n) for n in range(2 * MOST_QUESTIONS + 1)])
    assert [len(each) for each in found] == [400, 400, 1]
    assert told == [
        "sim:jev?sharpness=1: 801 questions about one text are asked in 3 requests, as one takes at most 400"
    ]


async def later(calls):
    """The calls of a source that must be awaited."""
    for call in calls:
        yield call


def test_a_source_that_is_awaited_is_gathered_alike():
    """The same requests in the same order."""
    calls = [task(n, shared=f"Text {n // 2}.") for n in range(5)]

    async def main():
        return [
            [each.index for each in call.asked]
            async for call in gathered(later(calls), 2, lambda told: None)
        ]

    assert asyncio.run(main()) == requests(calls, 2)[0] == [[0, 1], [2, 3], [4]]


tokens = st.integers(0, 10**7)


@given(
    st.integers(1, 400),
    st.builds(Usage, tokens, tokens, tokens, tokens),
    st.decimals(0, 1000, places=12),
)
def test_tokens_and_cost_are_shared_out_exactly(count, usage, cost):
    """Their sums are those of the request, and no share differs much from another."""
    questions = tuple(task(n) for n in range(count))
    whole = Record(0, "s0", "ok", str(JEV), usage=usage, cost=cost, attempts=(Attempt("ok", 1.0),))
    asked = task(0, questions=questions)
    found = [own for _, own in question_records(asked, whole, None)]
    assert sum((own.usage for own in found), Usage()) == usage
    assert sum((own.cost for own in found), Decimal(0)) == cost
    assert all(own.cost >= 0 for own in found)
    counts = [own.usage.total_tokens for own in found]
    assert max(counts) - min(counts) <= 4


def test_each_question_has_a_status_of_its_own():
    """One that is refused or has no answer is no vote; the others are not touched."""
    questions = tuple(task(n) for n in range(3))
    whole = Record(0, "s0", "ok", str(JEV), usage=Usage(9), attempts=(Attempt("ok", 1.0),))
    answers = (
        Reply("spam", probabilities={"spam": 0.9, "ham": 0.1}),
        Reply("", "refusal"),
        Fault("not_an_answer", "no answer to this question"),
    )
    end = Reply("", answers=answers)
    found = [own for _, own in question_records(task(0, questions=questions), whole, end)]
    assert [own.status for own in found] == ["ok", "refused", "invalid"]
    assert [own.name for own in found] == ["s0", "s1", "s2"]
    assert found[0].probabilities == {"spam": 0.9, "ham": 0.1}
    assert [own.attempts[-1].outcome for own in found] == ["ok", "refusal", "not_an_answer"]


SECTIONS = "The text.\n\n" + "\n\n".join(
    f"%section s{n} --choices spam,ham\nQuestion {n}?" for n in range(5)
)


@pytest.mark.parametrize("concurrency", [1, 20])
def test_the_sections_of_a_cell_begin_and_end_together(concurrency):
    """One request, so one start and one end, whatever -c is."""
    run = do(fanout, SECTIONS, model="sim:jev?scale=0&sharpness=1", concurrency=concurrency)
    assert len({(record.start, record.end) for record in run.results}) == 1
    assert {record.status for record in run.results} == {"ok"}
    assert set(run.values()) <= {"spam", "ham"}


@pytest.mark.parametrize("seed", range(8))
def test_a_request_fails_as_a_whole(seed):
    """All of its questions with one reason, or none."""
    model = "sim:jev?scale=0&sharpness=1&fail=0.5"
    run = do(fanout, SECTIONS, model=model, seed=seed, min_success=0)
    assert len({record.status for record in run.results}) == 1
    assert len({record.error and record.error.message for record in run.results}) == 1


def test_voters_and_other_models_work_beside_each_other():
    """A decision model's ballot is its most probable label."""
    decides = "sim:jev?scale=0&sharpness=1"
    cell = (
        f"Is it spam?\n\n%voter a -m {decides}\n\n%voter b -m sim:?scale=0\n\n%voter c -m {decides}"
    )
    run = do(vote, cell, choices="spam,ham")
    first = run.results[0]
    assert run.ballots[0].label == max(first.probabilities, key=first.probabilities.get)
    assert run.results[1].probabilities is None
    assert run.results[0].end == run.results[2].end


def test_items_are_asked_one_by_one():
    """The questions of one item are one request."""
    items = [f"text {n}" for n in range(4)]
    cell = "{{item}}\n\n%section a --choices spam,ham\nA?\n\n%section b --score 1..5\nB?"
    run = do(
        fanout, cell, each=items, model="sim:jev?scale=0&sharpness=1", variables={"items": items}
    )
    ends = [record.end for record in run.results]
    assert ends[0::2] == ends[1::2]
    assert len(set(ends)) == 4


def test_a_guard_that_blocks_ends_all_questions_of_a_request():
    """Nothing of it is shown, and each of them has one record."""
    cell = f"{SECTIONS}\n\n%guardrail g -m sim:x?scale=0&truth=BLOCK&accuracy=1&latency=0.01\nIs it bad?"
    run = do(fanout, cell, model="sim:jev?scale=0&sharpness=1")
    assert run.blocked
    assert [record.status for record in run.results] == ["blocked"] * 5
    assert all(record.probabilities is None and not record.text for record in run.results)


def test_a_guard_holds_back_what_had_come():
    """Also where the answers come first: no probability is in anything that is kept."""
    cell = f"{SECTIONS}\n\n%guardrail g -m sim:x?scale=0&truth=BLOCK&accuracy=1&latency=500\nIs it bad?"
    cell = cell.replace("%guardrail g", "%guardrail g --timeout 999 --deadline 999")
    run = do(fanout, cell, model="sim:jev?scale=0&sharpness=1&latency=1")
    assert run.blocked
    assert all(record.probabilities is None for record in run.results)
    assert "0." not in str([record.to_dict()["text"] for record in run.results])


def test_a_retry_asks_what_is_left_as_one_request():
    """What has its answer is kept; the rest is asked together."""

    async def main():
        run = await fanout(
            SECTIONS, model="sim:jev?scale=0&sharpness=1&refuse=0.5", variables={}, min_success=0
        )
        return run, await run.retry()

    run, again = asyncio.run(main())
    refused = [record.index for record in run.results if record.status == "refused"]
    assert 0 < len(refused) < 5
    new = [record for record in again.results if record.index in refused]
    assert len({(record.start, record.end) for record in new}) == 1
    kept = [record for record in again.results if record.index not in refused]
    assert [r.probabilities for r in kept] == [run.results[r.index].probabilities for r in kept]


def test_a_dry_run_tells_requests_and_questions():
    """The state is counted once, and the labels are shown."""
    seen = do(fanout, SECTIONS, model="decide:gpt-6-luna", dry_run=True)
    assert (seen.calls, seen.prompts) == (1, 5)
    texts = ["The text.", *(f"Question {n}?spamham" for n in range(5))]
    assert seen.input_tokens == -(-sum(map(len, texts)) // 4)
    assert seen.most_cost == seen.input_tokens * Decimal("0.1") / 1_000_000
    assert "1 call (5 questions)" in repr(seen)
    assert "spam, ham" in repr(seen)

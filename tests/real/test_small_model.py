"""What the product does with a real model: its bytes, its slots, its unreadable answers, its odds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator

import pytest
from slack import with_slack
from small_model import NAME, SLOTS, SmallModel

from parallm_magics import FanoutRun, StudyRun, VoteRun, fanout, vote

pytestmark = pytest.mark.real

REVIEW = "Is this review positive or negative?\n\nThe lamp broke after a day."
ONE_OF_TWO = {"grammar": 'root ::= "ANSWER: " ("positive" | "negative")'}
VOTERS = 12
LONG = "Write a long story about a lamp."


@pytest.fixture(scope="module")
def served() -> Iterator[SmallModel]:
    """The model, once for all of them."""
    with SmallModel() as model:
        yield model


def fanned(text: str, served: SmallModel, **options: object) -> FanoutRun:
    """A fan-out that has the time it needs on this machine."""
    limits = {"timeout": with_slack(60), "deadline": with_slack(120)}
    run = asyncio.run(fanout(text, **{"model": served.model, **limits, **options}))
    assert isinstance(run, FanoutRun)
    return run


def voted(text: str, served: SmallModel, **options: object) -> VoteRun:
    """A vote that has the time it needs on this machine."""
    limits = {"timeout": with_slack(60), "deadline": with_slack(120)}
    run = asyncio.run(vote(text, **{"model": served.model, **limits, **options}))
    assert isinstance(run, VoteRun)
    return run


@pytest.mark.parametrize("stream", ["on", "off"])
def test_sections_are_answered_and_merged(served: SmallModel, stream: str) -> None:
    """Each has a text of its own, and the synthesis has read them; no price is known."""
    run = fanned(
        "The lamp broke after a day.\n%section name\nName the thing.\n%section fault\nName the fault.\n"
        "%synthesis\nSay both in one sentence.\n",
        served,
        max_tokens=24,
        min_success=0,
        stream=stream,
    )
    assert [record.status in ("ok", "truncated") for record in run.results] == [True, True]
    assert all(record.text.strip() for record in run.results)
    assert run.text
    assert run.usage.output_tokens > 2
    assert run.cost is None


def test_enforced_labels_are_always_read(served: SmallModel) -> None:
    """A grammar leaves the model no other words."""
    run = voted(REVIEW, served, n=6, choices="positive,negative", param=ONE_OF_TWO, max_tokens=8)
    assert sum(run.tally.values()) == 6
    assert {record.text for record in run.results} <= {"ANSWER: positive", "ANSWER: negative"}


@pytest.mark.parametrize(("provider", "votes"), [("llamacpp", VOTERS), ("mine", 4)])
def test_every_enforced_vote_is_read(served: SmallModel, provider: str, votes: int) -> None:
    """By a grammar, and by a schema, which leaves room for blanks and takes longer."""
    options = {"choices": "positive,negative", "max_tokens": 200, "temperature": 1.0}
    limits = {"timeout": with_slack(120), "deadline": with_slack(240)}
    with served.named(provider) as model:
        run = voted(REVIEW, served, n=votes, model=model, enforce="on", **options, **limits)
    assert sum(run.tally.values()) == votes
    assert {record.status for record in run.results} == {"ok"}
    assert not run.adapted


def test_scores_and_objects_are_enforced(served: SmallModel) -> None:
    """A score in its range, a number, and an object of a schema."""
    with served.named("llamacpp") as model:
        for options in ({"score": "1..5"}, {"score": "0..1"}, {"number": True}):
            run = fanned(REVIEW, served, n=4, model=model, enforce="on", max_tokens=32, **options)
            assert [record.status for record in run.results] == ["ok"] * 4
        schema = "mood: positive|negative, stars: integer"
        run = fanned(REVIEW, served, n=4, model=model, schema=schema, max_tokens=64)
    assert [record.status for record in run.results] == ["ok"] * 4
    assert {record.value["mood"] for record in run.results} <= {"positive", "negative"}


def test_label_probabilities_are_the_models_own(served: SmallModel) -> None:
    """The odds of the first token, divided by their sum, are those of the server's own tokens."""
    params = {"logprobs": True, "top_logprobs": 100}
    with served.named("llamacpp") as model:
        options = {"choices": "positive,negative", "enforce": "on", "param": params}
        run = voted(REVIEW, served, n=4, model=model, max_tokens=8, stream="off", **options)
    first, *others = [record.probabilities for record in run.results]
    assert first is not None
    assert sum(first.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in first.values())
    for other in others:
        assert other == pytest.approx(first, abs=0.02)


def test_free_answers_are_read_or_no_vote(served: SmallModel) -> None:
    """Of a model this small only some can be read; none is guessed, and all are counted."""
    run = voted(REVIEW, served, n=8, choices="positive,negative", max_tokens=16, quorum=1)
    read = [record.value for record in run.results if record.value is not None]
    print(f"of 8 free votes {len(read)} can be read")
    assert sum(run.tally.values()) == len(read) < 8
    for record in run.results:
        assert record.value is None or record.value in record.text.casefold()


def test_an_interrupt_frees_the_slots(served: SmallModel) -> None:
    """A cancelled run leaves nothing running on the server."""

    async def cancelled() -> None:
        # Longer than the context has room for, so that only a cancel ends it.
        run = asyncio.create_task(fanout(LONG, model=served.model, n=4, max_tokens=3000))
        while served.busy < SLOTS:
            await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    end = time.monotonic() + with_slack(30)
    while served.busy:
        assert time.monotonic() < end, "the server still works for a run that was cancelled"
        time.sleep(0.05)


def test_a_deadline_cuts_what_is_too_long(served: SmallModel) -> None:
    """The worker ends as timed out, with the text so far, and the next one is answered."""
    run = fanned(LONG, served, n=1, max_tokens=3000, deadline=with_slack(2), min_success=0)
    [record] = run.results
    assert record.status == "timed_out"
    assert fanned("Say hello.", served, n=1, max_tokens=4, min_success=0).results[0].text


def test_more_calls_than_slots_all_end(served: SmallModel) -> None:
    """Twenty calls over four slots: the server queues them, and every one has its record."""
    run = fanned(
        "Name a colour and {{item}}.\n",
        served,
        each=[f"the number {number}" for number in range(20)],
        max_tokens=6,
        min_success=0,
    )
    assert [record.status in ("ok", "truncated") for record in run.results] == [True] * 20


VOTES = 200


def test_the_tally_follows_the_models_own_odds(served: SmallModel) -> None:
    """Of 200 seeded votes as many say A as its probability lets expect, within 99.9 %."""
    question = "Is a lamp A) a light or B) a plant? Answer A or B."
    grammar = 'root ::= "A" | "B"'
    [choice] = served.ask(
        "POST",
        "v1/chat/completions",
        model=NAME,
        messages=[{"role": "user", "content": question}],
        max_tokens=1,
        logprobs=True,
        top_logprobs=100,
        post_sampling_probs=True,
        grammar=grammar,
    )["choices"]
    odds = {each["token"]: each["prob"] for each in choice["logprobs"]["content"][0]["top_probs"]}
    # The server tells the odds of all tokens; the grammar leaves these two.
    expected = odds["A"] / (odds["A"] + odds["B"])
    assert 0.02 < expected < 0.98, "the question has to leave the model a choice"
    voters = "\n".join(f"%voter --param seed={seed}" for seed in range(1, VOTES + 1))
    run = voted(
        f"{question}\n{voters}\n",
        served,
        choices="A,B",
        no_ask=True,
        param={"grammar": grammar},
        max_tokens=4,
        concurrency=SLOTS,
        deadline=with_slack(300),
        stop="all",
    )
    low, high = interval(expected, VOTES, 0.999)
    # The server itself lets a token through now and then that its grammar forbids; it is no vote.
    assert sum(run.tally.values()) >= VOTES - 2
    assert low <= run.tally["A"] <= high


def interval(p: float, n: int, level: float) -> tuple[int, int]:
    """The counts between which a binomial one lies with at least this probability."""
    weights = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    tail = (1 - level) / 2
    low = next(k for k in range(n + 1) if sum(weights[: k + 1]) > tail)
    high = next(k for k in range(n, -1, -1) if sum(weights[k:]) > tail)
    return low, high


PRAISE = ("is lovely", "works well", "is a joy", "does the job", "never failed me")
BLAME = ("is ugly", "broke at once", "is a pain", "fell apart", "never worked")
REVIEWS = [
    {"text": f"The {thing} {what}.", "label": label}
    for thing in ("lamp", "chair", "bag", "clock")
    for label, said in (("positive", PRAISE), ("negative", BLAME))
    for what in said
]


def test_a_study_of_forty_items_comes_to_its_report(served: SmallModel) -> None:
    """Enforced labels are all read, and the model's own probabilities are held against the truth."""
    with served.named("llamacpp") as model:
        run = asyncio.run(
            vote(
                "Is this review positive or negative?\n\n{{item.text}}",
                each=REVIEWS,
                truth="label",
                choices="positive,negative",
                n=1,
                model=model,
                enforce="on",
                param={"logprobs": True, "top_logprobs": 100},
                max_tokens=8,
                stream="off",
                timeout=with_slack(60),
                deadline=with_slack(120),
                sure="60%",
            )
        )
    assert isinstance(run, StudyRun)
    assert len(run.labelled) == 40
    assert {record.value for record in run.results} <= {"positive", "negative"}
    found = run.calibration[run.vote]
    assert (found.kind, found.items) == ("stated", 40)
    assert 0 < found.brier_interval[0] < found.brier < found.brier_interval[1] < 2
    assert sum(each.items for each in found.bins) == 40
    assert run.sure is not None
    assert "Stated probability" in str(run)

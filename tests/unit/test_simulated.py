"""The simulated model: its parameters, its draws, its given answers and its time."""

from __future__ import annotations

import asyncio
import math
import random
import re
import statistics
from collections import Counter
from dataclasses import replace

import pytest
from virtual_time import run_virtual

from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault, Model, Reading, Task
from parallm_magics.errors import ModelError
from parallm_magics.simulation import draws as simulation
from parallm_magics.simulation.sim_settings import PARAMETERS, read_settings
from parallm_magics.simulation.simulated import MOST_PIECES, SimulatedProvider

LABELS = Reading("choice", ("safe", "unsafe", "unclear"))
TWO = Reading("choice", ("safe", "unsafe"))


def model(query="", name="a"):
    """A simulated model with this query, split as the engine splits it."""
    return Model("sim", name, tuple(tuple(p.split("=", 1)) for p in query.split("&") if p))


def task(query="", prompt="Is it safe?", **fields):
    """A worker's task for a simulated model."""
    return Task(
        **{"index": 0, "name": "v1", "model": model(query), "prompt": prompt, **fields},
    )


def ask(asked, answers=None, heard=None):
    """The reply to one task, and the seconds that were slept for it."""
    provider = SimulatedProvider(answers)
    provider.check(asked)
    return run_virtual(provider.complete(asked, heard or (lambda piece: None)))


def failure(asked, answers=None, heard=None):
    """How a call that must fail failed."""
    with pytest.raises(CallFailed) as caught:
        ask(asked, answers, heard)
    return caught.value


def label(asked):
    """The label that the simulated model votes for."""
    settings = read_settings(asked.model)
    return simulation.answer(asked, settings).rpartition("ANSWER: ")[2]


def votes(query, items, voters, reading=TWO):
    """The labels of several voters on each of several items."""
    return [
        [label(task(query, f"item {item}", reading=reading, sample=n)) for n in range(voters)]
        for item in range(items)
    ]


# --- the same answer everywhere -------------------------------------------------------------------


def test_the_draws_are_the_ones_of_the_first_release():
    """Known replies stay as they are: saved notebooks were made with them."""
    asked = task("accuracy=0.5&rho=0.5", reading=LABELS)
    settings = read_settings(asked.model)
    drawn = [
        (label(replace(asked, sample=n)), simulation.latency(replace(asked, sample=n), settings))
        for n in range(4)
    ]
    assert drawn == [
        ("unsafe", 1.361216),
        ("unsafe", 1.109861),
        ("safe", 0.711671),
        ("unsafe", 0.948353),
    ]


def test_python_s_own_random_numbers_are_left_alone():
    """A notebook that seeded its random numbers gets the same ones, simulation or not."""
    before = random.getstate()
    ask(task("rho=0.5&scale=0", reading=LABELS))
    assert random.getstate() == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"prompt": "Is it unsafe?"}, id="prompt"),
        pytest.param({"sample": 1}, id="sample"),
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"model": model(name="b")}, id="model"),
        pytest.param({"system": "You doubt."}, id="system"),
    ],
)
def test_latency_follows_what_is_asked(change):
    """Prompt, sample, seed, model and system prompt each give a draw of their own."""
    assert ask(task("scale=0"))[0].seconds != ask(replace(task("scale=0"), **change))[0].seconds


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "v2", "index": 7}, id="worker"),
        pytest.param({"temperature": 0.3, "max_tokens": 9}, id="settings"),
    ],
)
def test_latency_ignores_what_is_not_asked(change):
    """A worker's place, name and limits change nothing."""
    assert ask(task("scale=0"))[0].seconds == ask(replace(task("scale=0"), **change))[0].seconds


# --- accuracy and correlation ---------------------------------------------------------------------


@pytest.mark.parametrize("accuracy", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.999, 1.0])
def test_the_chance_of_right_has_the_mean_and_correlation_asked_for(accuracy, rho):
    """Over many items the mean is the accuracy, the variance rho * p * (1 - p)."""
    chances = [
        simulation.chance_of_right(accuracy, rho, simulation.stream("test", n)) for n in range(8000)
    ]
    spread = accuracy * (1 - accuracy)
    assert all(0 <= chance <= 1 for chance in chances)
    assert statistics.fmean(chances) == pytest.approx(accuracy, abs=0.02)
    assert statistics.pvariance(chances) == pytest.approx(rho * spread, abs=0.012)


def test_the_share_of_right_votes_is_the_accuracy():
    """One voter is right as often as `accuracy` says, 0.8 by default."""
    right = [vote == "safe" for (vote,) in votes("", items=4000, voters=1)]
    assert statistics.fmean(right) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [
        pytest.param("0", 0.942080, id="independent"),
        pytest.param("0.3", 0.849697, id="correlated"),
        pytest.param("1", 0.8, id="all-alike"),
    ],
)
def test_a_majority_of_five_is_right_as_often_as_the_beta_binomial_says(rho, expected):
    """Correlation takes from a vote what the formula says (scipy's betabinom)."""
    cells = votes(f"accuracy=0.8&rho={rho}", items=3000, voters=5)
    right = statistics.fmean(cell.count("safe") >= 3 for cell in cells)
    error = math.sqrt(expected * (1 - expected) / len(cells))
    assert abs(right - expected) < 4 * error


def test_voters_of_different_models_find_the_same_items_hard():
    """An item's difficulty belongs to the item: with rho 1 two models fail together."""
    for n in range(50):
        asked = task("rho=1&accuracy=0.5", f"item {n}", reading=TWO)
        other = replace(asked, model=model("rho=1&accuracy=0.5", "b"), system="Be strict.")
        assert label(asked) == label(other)


def test_voters_with_prompts_of_their_own_share_the_difficulty_of_the_preamble():
    """Where a cell has a preamble, it is the item, not what each voter adds to it."""
    alike = [
        label(task("rho=1&accuracy=0.5", f"item {n}\n\n{angle}", shared=f"item {n}", reading=TWO))
        for n in range(50)
        for angle in ("strictly", "kindly")
    ]
    assert alike[::2] == alike[1::2]
    assert set(alike) == {"safe", "unsafe"}


def test_a_share_of_rho_of_the_items_has_one_wrong_label():
    """Two wrong voters among K labels agree with probability rho + (1 - rho)/(K - 1)."""
    reading = Reading("choice", ("right", "w1", "w2", "w3", "w4"))
    cells = votes("accuracy=0&rho=0.6", items=3000, voters=2, reading=reading)
    assert statistics.fmean(a == b for a, b in cells) == pytest.approx(0.6 + 0.4 / 4, abs=0.035)


def test_wrong_labels_are_spread_evenly():
    """No wrong label is preferred, whatever its place."""
    reading = Reading("choice", ("right", "w1", "w2", "w3"))
    counts = Counter(cell[0] for cell in votes("accuracy=0", 3000, 1, reading))
    assert set(counts) == {"w1", "w2", "w3"}
    assert min(counts.values()) > 900


# --- what is answered -----------------------------------------------------------------------------


def test_a_vote_is_marked_and_ends_in_its_label():
    """A vote says that it is simulated, then names the label where a reader looks for it."""
    reply, _ = ask(task("accuracy=1&scale=0", reading=LABELS))
    assert reply.text == "Simulated vote.\nANSWER: safe"
    assert (reply.finish, reply.model) == ("stop", "sim:a?accuracy=1&scale=0")


@pytest.mark.parametrize("truth", ["unclear", "UNCLEAR"])
def test_truth_names_the_right_choice(truth):
    """The right label is the one that `truth` names, as the user spelt the choice."""
    assert label(task(f"accuracy=1&truth={truth}", reading=LABELS)) == "unclear"


@pytest.mark.parametrize(
    ("query", "reading", "expected"),
    [
        pytest.param("", Reading("score", (), 1, 10), "5", id="middle-of-1-to-10"),
        pytest.param("", Reading("score", (), 0, 1), "0.5", id="middle-of-0-to-1"),
        pytest.param("truth=8", Reading("score", (), 1, 10), "8", id="score"),
        pytest.param("truth=7.25", Reading("number"), "7.25", id="number"),
        pytest.param("truth=3", Reading("index", (), 1, 4), "3", id="index"),
        pytest.param("truth=safe", Reading("index", (), 1, 4), "1", id="judge-of-voters"),
    ],
)
def test_an_accurate_model_answers_the_true_number(query, reading, expected):
    """Scores, numbers and indices have a truth too."""
    assert label(task(f"accuracy=1&{query}", reading=reading)) == expected


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(Reading("score", (), 1, 10), id="whole"),
        pytest.param(Reading("score", (), 0, 1), id="fractions"),
        pytest.param(Reading("score", (), -2, 2), id="negative"),
        pytest.param(Reading("score", (), 0, 1e9), id="wide"),
        pytest.param(Reading("score"), id="no-range"),
        pytest.param(Reading("index", (), 1, 3), id="index"),
    ],
)
def test_wrong_numbers_stay_in_range(reading):
    """A wrong score or index is another one of the range."""
    right = label(task("accuracy=1", reading=reading))
    low, high = reading.low or 0, reading.high or 10
    drawn = [label(task("accuracy=0", f"item {n}", reading=reading)) for n in range(60)]
    assert right not in drawn
    assert len(set(drawn)) > 1
    assert all(low <= float(number) <= high for number in drawn)


def test_wrong_scores_are_near_the_truth():
    """A score next to the true one comes more often than the farthest."""
    query, reading = "accuracy=0&truth=5", Reading("score", (), 1, 10)
    drawn = Counter(label(task(query, f"item {n}", reading=reading)) for n in range(1000))
    assert min(drawn["4"], drawn["6"]) > 2 * max(drawn["1"], drawn["10"])


def test_right_numbers_of_one_item_agree():
    """Without a truth, the right number is the item's: all voters on it give the same."""
    asked = task("accuracy=1", reading=Reading("number"))
    assert len({label(replace(asked, sample=n)) for n in range(5)}) == 1
    assert len({label(replace(asked, prompt=f"item {n}")) for n in range(30)}) > 10


@pytest.mark.parametrize("reading", [None, Reading("open")])
def test_free_text_says_that_nobody_was_asked(reading):
    """Free text is one sentence that cannot be taken for a model's answer."""
    reply, _ = ask(task("scale=0", "x" * 1234, reading=reading))
    assert reply.text == "[SIMULATED] no model was asked; the prompt had 1,234 characters."


def test_usage_is_estimated_from_lengths():
    """Four characters are a token, the system prompt's included."""
    reply, _ = ask(task("scale=0", "x" * 10, system="y" * 7), {"v1": "z" * 9})
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 3)


# --- failures and refusals ------------------------------------------------------------------------


def test_failures_and_refusals_have_the_rates_asked_for():
    """`fail` and `refuse` are shares of all calls."""
    settings = read_settings(model("fail=0.1&refuse=0.2"))
    fates = Counter(
        simulation.fate(task("fail=0.1&refuse=0.2", sample=n), settings) for n in range(5000)
    )
    assert fates["fail"] / 5000 == pytest.approx(0.1, abs=0.02)
    assert fates["refuse"] / 5000 == pytest.approx(0.2, abs=0.025)


def test_a_failed_call_says_how_it_failed():
    """A drawn failure looks like an overloaded provider, after its latency."""
    heard = []
    error = failure(task("fail=1&latency=3"), heard=heard.append)
    assert error.fault == Fault("server", "simulated failure (HTTP 500)", http=500)
    assert error.seconds == 3
    assert heard == []


def test_a_refused_call_is_a_refusal():
    """A drawn refusal is a reply with that finish, marked as simulated."""
    reply, _ = ask(task("refuse=1&scale=0", reading=LABELS), {"v1": "ANSWER: safe"})
    assert (reply.finish, reply.text) == ("refusal", "[SIMULATED] refused")


# --- bad parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("acuracy=0.8", "'acuracy'.*did you mean 'accuracy'", id="typo"),
        pytest.param("zzz=1", "'zzz'.*known: accuracy, rho", id="unknown"),
        pytest.param("rho=0&rho=1", "'rho' is set twice", id="twice"),
        pytest.param("accuracy=80%", "'accuracy' must be a number from 0 to 1, not '80%'", id="%"),
        pytest.param("accuracy=1.1", "'accuracy' must be a number from 0 to 1", id="above"),
        pytest.param("rho=-0.1", "'rho' must be a number from 0 to 1", id="below"),
        pytest.param("rho=nan", "'rho' must be", id="nan"),
        pytest.param("fail=", "'fail' must be", id="nothing"),
        pytest.param("refuse=often", "'refuse' must be", id="word"),
        pytest.param("fail=0.6&refuse=0.6", "'fail' and 'refuse'", id="more-than-all"),
        pytest.param("scale=-1", "'scale' must be a number of 0 or more", id="scale"),
        pytest.param("scale=inf", "'scale' must be", id="endless"),
        pytest.param("latency=slow", r"'latency' must be lognormal\(MEDIAN,SIGMA\)", id="latency"),
        pytest.param("latency=lognormal(1)", "'latency' must be", id="one-number"),
        pytest.param("latency=lognormal(0,1)", "'latency' must be", id="median-0"),
        pytest.param("latency=exp()", "'latency' must be", id="no-number"),
        pytest.param("latency=exp(1,2)", "'latency' must be", id="two-numbers"),
        pytest.param("latency=uniform(2,1)", "'latency' must be", id="turned"),
        pytest.param("latency=gamma(2,1)", "'latency' must be", id="shape"),
        pytest.param("latency=-1", "'latency' must be", id="negative"),
        pytest.param("truth=saef", "'truth' is 'saef'.*one of safe, unsafe, unclear", id="truth"),
    ],
)
def test_bad_parameters_are_refused_before_any_call(query, says):
    """One line names the parameter and what it can be."""
    with pytest.raises(ModelError, match=says) as caught:
        SimulatedProvider().check(task(query, reading=LABELS))
    assert "\n" not in str(caught.value)
    assert "sim:" in str(caught.value)


@pytest.mark.parametrize("truth", ["11", "high"])
def test_a_true_score_out_of_range_is_refused(truth):
    """The truth of a score is a number of its range."""
    with pytest.raises(ModelError, match="number from 1 to 10"):
        SimulatedProvider().check(task(f"truth={truth}", reading=Reading("score", (), 1, 10)))


def test_every_parameter_has_a_default_that_it_accepts():
    """A model without a query is complete, and each default is a value one may write."""
    query = "&".join(f"{name}={entry.default}" for name, entry in PARAMETERS.items())
    assert read_settings(model(query)) == read_settings(model())


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "median"),
    [
        pytest.param("lognormal(2,0.5)", 2, id="lognormal"),
        pytest.param("exp(2)", 2 * math.log(2), id="exp"),
        pytest.param("uniform(1, 5)", 3, id="uniform"),
        pytest.param("0.25", 0.25, id="fixed"),
        pytest.param("lognormal(2,0)", 2, id="no-spread"),
    ],
)
def test_latencies_have_the_median_asked_for(form, median):
    """Half of the calls are quicker than the shape's median."""
    asked = task(f"latency={form}")
    settings = read_settings(asked.model)
    drawn = [simulation.latency(replace(asked, sample=n), settings) for n in range(2000)]
    assert statistics.median(drawn) == pytest.approx(median, rel=0.08)


def test_a_latency_is_finite_however_wide_its_spread():
    """An absurd sigma gives long calls, not an overflow."""
    asked = task("latency=lognormal(1,1e5)")
    settings = read_settings(asked.model)
    drawn = [simulation.latency(replace(asked, sample=n), settings) for n in range(50)]
    assert all(map(math.isfinite, drawn))


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_sleeps_its_latency_times_scale(stream):
    """What is reported is simulated time, what is slept is scaled."""
    reply, slept = ask(task("latency=10&scale=0.1", stream=stream))
    assert reply.seconds == 10
    assert slept == pytest.approx(1)


def test_scale_0_does_not_sleep_and_reports_the_latency():
    """Simulated seconds cost none."""
    reply, slept = ask(task("latency=10&scale=0"))
    assert (reply.seconds, slept) == (10, 0)


def test_even_a_call_without_sleep_lets_others_run():
    """With scale 0 each call yields once, so that a cell can be stopped."""
    ran = []

    async def other():
        ran.append("other")

    async def work():
        beside = asyncio.create_task(other())
        await SimulatedProvider().complete(task("scale=0"), lambda piece: None)
        ran.append("call")
        await beside

    run_virtual(work())
    assert ran == ["other", "call"]


TEXTS = [
    pytest.param("", id="empty"),
    pytest.param("one", id="word"),
    pytest.param("  two  words \n", id="spaces"),
    pytest.param(" \n ", id="blank"),
    pytest.param("many words\n\n" * 500, id="long"),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("scale", ["0", "1"])
def test_streamed_pieces_join_to_the_text(text, scale):
    """What is heard is what is answered, in few pieces."""
    heard = []
    reply, _ = ask(task(f"scale={scale}"), {"v1": text}, heard.append)
    assert "".join(heard) == reply.text == text
    assert len(heard) <= MOST_PIECES
    assert all(heard)


def test_an_unstreamed_call_is_heard_only_at_its_end():
    """Without streaming there are no pieces."""
    heard = []
    ask(task("latency=1", stream=False), heard=heard.append)
    assert heard == []


def test_the_first_piece_comes_early_and_the_last_at_the_end():
    """A stream begins after three tenths of the latency and goes on evenly."""
    times = []
    ask(
        task("latency=10"),
        {"v1": "one two three"},
        lambda piece: times.append(asyncio.get_running_loop().time()),
    )
    assert times == [pytest.approx(3), pytest.approx(6.5), pytest.approx(10)]


@pytest.mark.parametrize(
    ("limits", "seconds", "says", "text"),
    [
        pytest.param({"deadline": 2.0}, 2, "no answer within 2 s (simulated)", "", id="deadline"),
        pytest.param({"deadline": 7.0}, 7, "no answer within 7 s (simulated)", "a b ", id="cut"),
        pytest.param({"first": 2.5}, 2.5, "no answer within 2.5 s (simulated)", "", id="first"),
        pytest.param({"silence": 3.0}, 6, "silent for 3 s (simulated)", "a ", id="silence"),
        pytest.param(
            {"first": 9.0, "stream": False}, 9, "no answer within 9 s (simulated)", "", id="whole"
        ),
    ],
)
@pytest.mark.parametrize("scale", [0, 0.5])
def test_limits_hold_in_simulated_time(limits, seconds, says, text, scale):
    """A limit that the latency passes ends the call at the limit, with what had been heard."""
    asked = task(f"latency=10&scale={scale}", **limits)
    heard = []

    async def work():
        provider = SimulatedProvider({"v1": "a b c"})
        with pytest.raises(CallFailed) as caught:
            await provider.complete(asked, heard.append)
        return caught.value

    error, slept = run_virtual(work())
    assert error.fault == Fault("timeout", says)
    assert (error.seconds, error.text) == (seconds, text)
    assert slept == pytest.approx(seconds * scale)
    assert "".join(heard) == text


def test_a_limit_that_is_just_met_is_met():
    """An answer at the deadline is in time."""
    reply, _ = ask(task("latency=2", deadline=2.0, first=2.0, stream=False))
    assert reply.seconds == 2


def test_a_failing_call_can_time_out_first():
    """A call that would fail is silent until then, so a limit may come before."""
    assert failure(task("fail=1&latency=9", first=4.0)).fault.kind == "timeout"


def test_a_thousand_calls_at_once_are_quick():
    """A thousand streamed calls end together, at the latency of the slowest."""

    async def work(query):
        calls = (
            SimulatedProvider().complete(task(query, sample=n), lambda piece: None)
            for n in range(1000)
        )
        return await asyncio.gather(*calls)

    at_once, slept = run_virtual(work("scale=0"))
    assert slept == 0
    assert len({reply.seconds for reply in at_once}) > 990
    asleep, slept = run_virtual(work("scale=1"))
    assert slept == pytest.approx(max(reply.seconds for reply in asleep))


# --- given answers --------------------------------------------------------------------------------

GIVEN = {
    "security": "by section",
    "1": "by item",
    "a.b": "by all but the last part",
    "Moby": "by a word of the prompt",
    "Moby Dick": "by the longest words",
    "votes": ["first", "second"],
}


@pytest.mark.parametrize(
    ("name", "prompt", "sample", "expected"),
    [
        pytest.param("security", "Moby", 0, "by section", id="name"),
        pytest.param("2.security", "", 0, "by section", id="after-the-dot"),
        pytest.param("1.security", "", 0, "by item", id="before-the-dot"),
        pytest.param("a.b.c", "", 0, "by all but the last part", id="last-dot"),
        pytest.param("v1", "Read Moby Dick", 0, "by the longest words", id="longest"),
        pytest.param("v1", "Read Moby", 0, "by a word of the prompt", id="word"),
        pytest.param("votes", "", 1, "second", id="sample"),
        pytest.param("votes", "", 2, "first", id="samples-begin-again"),
    ],
)
def test_answers_of_a_dict_are_found(name, prompt, sample, expected):
    """A dict answers by the worker's name, its parts, or words of the prompt."""
    asked = task("scale=0", prompt, name=name, sample=sample, reading=LABELS)
    assert ask(asked, GIVEN)[0].text == expected


def test_what_a_dict_does_not_answer_is_simulated():
    """A worker without an entry gets the default behaviour."""
    assert ask(task("scale=0"), {"other": "text"})[0].text.startswith("[SIMULATED]")


def test_the_empty_key_answers_the_rest():
    """The empty text is in every prompt, after every longer key."""
    assert ask(task("scale=0"), {"": "rest", "safe": "found"})[0].text == "found"
    assert ask(task("scale=0", "?"), {"": "rest", "safe": "found"})[0].text == "rest"


def test_an_answer_of_a_function_is_given_as_it_is():
    """A function sees the task and the sample index."""
    reply, _ = ask(task("scale=0", sample=3), lambda asked, sample: f" {asked.name} {sample}\n")
    assert reply.text == " v1 3\n"


def test_an_async_function_is_awaited():
    """A coroutine function answers too; its own waiting is no simulated time."""

    async def answers(asked, sample):
        await asyncio.sleep(5)
        return "awaited"

    reply, slept = ask(task("latency=1"), answers)
    assert (reply.text, reply.seconds) == ("awaited", 1)
    assert slept == pytest.approx(6)


def test_an_async_function_that_never_ends_times_out():
    """The deadline holds for the user's function, whose time is nobody else's to keep."""

    async def answers(asked, sample):
        await asyncio.sleep(1e9)

    error = failure(task(deadline=7.0), answers)
    assert (error.fault.kind, error.seconds) == ("timeout", 7)


@pytest.mark.parametrize(
    "error", [ValueError("no\nluck"), TimeoutError("no luck")], ids=["plain", "timeout"]
)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_error_of_the_function_is_a_bug_that_is_named(error, is_async):
    """What the user's function raises ends this worker only, in one line."""

    def answers(asked, sample):
        raise error

    async def later(asked, sample):
        raise error

    fault = failure(task(), later if is_async else answers).fault
    assert fault == Fault("bug", f"given answers: {type(error).__name__}: no luck")


def test_a_function_can_play_any_fault():
    """A `CallFailed` of the user's function passes with its fault, after the latency."""
    fault = Fault("rate_limit", "slow down", http=429, retry_after=2)

    def answers(asked, sample):
        raise CallFailed(fault, text="so far")

    error = failure(task("latency=4"), answers)
    assert (error.fault, error.text, error.seconds) == (fault, "so far", 4)


def test_a_function_must_return_text():
    """Anything but text is refused by its type's name."""
    fault = failure(task(), lambda asked, sample: None).fault
    assert fault.kind == "bug"
    assert "must return text, not NoneType" in fault.message


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        pytest.param({"style": 3}, "'style' must map to text", id="number"),
        pytest.param({"style": None}, "'style' must map to text", id="none"),
        pytest.param({"style": []}, "'style' must map to text", id="no-texts"),
        pytest.param({"style": ["a", 3]}, "'style' must map to text", id="number-in-list"),
        pytest.param({1: "a"}, "the key 1 must be", id="key"),
        pytest.param(["a"], "must be a dict or a function", id="list"),
        pytest.param("text", "must be a dict or a function", id="text"),
    ],
)
def test_answers_that_are_no_text_are_refused_at_once(answers, says):
    """The error names the key, before there is any call."""
    with pytest.raises(ModelError, match=re.escape(says)):
        SimulatedProvider(answers)


def test_a_dict_that_was_changed_is_checked_again():
    """A dict is looked at when it is asked: later changes count, and are checked."""
    answers = {"v1": "old"}
    provider = SimulatedProvider(answers)
    answers["v1"] = 3
    with pytest.raises(ModelError, match="'v1' must map to text"):
        provider.check(task())


@pytest.mark.parametrize("function", [lambda prompt: prompt, lambda: "x", lambda a, b, c: "x"])
def test_a_function_of_other_arguments_is_refused(function: object) -> None:
    """When the provider is made, with the arguments that it gets."""
    with pytest.raises(ModelError, match=r"\(task, sample index\) -> text.*task.prompt"):
        SimulatedProvider(function)  # type: ignore[arg-type]

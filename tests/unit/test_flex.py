"""The flex tier: who has it, what is sent, how long it may take, and that the price follows the reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from asking import MODELS, fanned, sections, served, voted
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import KEY, Act, Loopback
from virtual_time import run_virtual

from parallm_magics import StudyRun, fanout, vote
from parallm_magics.api import plan_cell
from parallm_magics.cell.options import Options
from parallm_magics.cell.time_limits import FLEX, USUAL, limits_of
from parallm_magics.core import prices
from parallm_magics.core.batches import AT_BATCH_PRICE
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Record, Said, Task, Usage
from parallm_magics.errors import BudgetExceeded, ModelError, OptionError, ParallmError
from parallm_magics.export.program import program
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.providers import bill, registry
from parallm_magics.providers.entries import ENTRIES, WITH_FLEX
from parallm_magics.providers.faults import Asked, fault_of_answer
from parallm_magics.providers.registry import parse_model
from parallm_magics.simulation.simulated import SimulatedProvider

USED = Usage(1000, 0, 0, 1000)
LUNA = "gpt-6-luna"
BY_RESPONSES = "openai-responses:gpt-6-luna"
WIRES = pytest.mark.parametrize("model", [LUNA, BY_RESPONSES])
STREAMED = pytest.mark.parametrize("stream", ["on", "off"])
FULL = {"error": {"type": "resource_unavailable", "message": "Resource unavailable, try later."}}


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A scripted provider of both makers' dialects."""
    with served() as loopback:
        yield loopback


def task(model: str, tier: Any = "", **params: Any) -> Task:
    """A call at a tier."""
    return Task(0, "w", parse_model(model), "ask", tier=tier, params=params)


def asked(model: str, **options: Any) -> Record:
    """The record of one call."""
    return asyncio.run(fanned("%section a\nask", model=model, **options)).results[0]


def at_usual(record: Record) -> Decimal:
    """What its tokens cost at the usual price."""
    assert record.usage is not None
    found = bill.cost(Model(*record.model.split(":", 1)), record.usage)
    assert found is not None
    return found


def replying(model: str, said: str | None, stream: str = "off") -> Act:
    """A good answer that names this tier, or none; a stream says it in each of its events."""
    tier = {} if said is None else {"service_tier": said}
    if model == BY_RESPONSES:
        text = [{"type": "output_text", "text": "yes"}]
        usage = {"input_tokens": 50, "output_tokens": 5}
        output = [{"type": "message", "content": text}]
        whole = {"status": "completed", "output": output, "model": LUNA, "usage": usage, **tier}
        events: list[dict[str, Any]] = [
            {"type": "response.output_text.delta", "output_index": 0, "delta": "yes"},
            {"type": "response.completed", "response": whole},
        ]
    else:
        usage = {"prompt_tokens": 50, "completion_tokens": 5}
        choice = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
        whole = {"choices": [choice], "model": LUNA, "usage": usage, **tier}
        events = [
            {"choices": [{"index": 0, "delta": {"content": "yes"}}], **tier},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **tier},
            {"choices": [], "usage": usage, **tier},
        ]
    if stream == "off":
        return Act(body=whole)
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Act(headers={"content-type": "text/event-stream"}, body=body)


# --- what is sent ---------------------------------------------------------------------------------


@WIRES
@STREAMED
def test_the_tier_is_asked_for(server: Loopback, model: str, stream: str) -> None:
    """As a field of the request, and only where the user asks for it."""
    asked(model, stream=stream)
    asked(model, stream=stream, tier="default")
    asked(model, stream=stream, tier="flex")
    assert [call.body.get("service_tier") for call in server.log] == [None, None, "flex"]


def test_each_block_may_ask_at_its_own_tier(server: Loopback) -> None:
    """The word stands wherever -m may; a block's own wins."""
    text = "%section a\nx\n%section b --tier default\ny\n%guardrail --tier default\nMay it?"
    server.answers = {"May it?": "ALLOW"}
    asyncio.run(fanned(text, model=LUNA, tier="flex"))
    tiers = {call.prompt.split()[0]: call.body.get("service_tier") for call in server.log}
    assert tiers == {"x": "flex", "y": None, "May": None}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_only_who_has_the_tier_is_asked(entry: Any) -> None:
    """Before any call: the error names the provider, those that have it, and the way back."""
    provider = registry.make(entry)
    call = Task(0, "w", Model(entry.name, "m"), "ask", tier="flex")
    if entry.name in WITH_FLEX or entry.simulated:
        provider.check(call)
        return
    with pytest.raises(ModelError) as caught:
        provider.check(call)
    told = str(caught.value)
    assert f"{entry.name} has no flex tier" in told
    assert "--tier default" in told
    assert all(name in told for name in WITH_FLEX)
    assert ("--batch" in told) == ("batch" in entry.tiers)


def test_the_tier_and_the_field_are_not_both_given(server: Loopback) -> None:
    """They might contradict each other."""
    with pytest.raises(ModelError, match="--tier flex and --param service_tier"):
        asked(LUNA, tier="flex", param='service_tier="priority"')
    assert server.log == []


def test_another_word_is_refused(server: Loopback) -> None:
    """With the words that there are."""
    with pytest.raises(OptionError, match="flex"):
        asked(LUNA, tier="cheap")
    with pytest.raises(ParallmError, match="anthropic has no flex tier"):
        asked(MODELS["anthropic"], tier="flex")
    assert server.log == []


# --- how long it may take -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, USUAL),
        ({"tier": "flex"}, FLEX),
        ({"tier": "flex", "timeout": 5.0}, (5.0, 5.0, 900.0)),
        ({"tier": "flex", "deadline": 30.0}, (600.0, 60.0, 30.0)),
        ({"timeout": 5.0, "deadline": 9.0}, (5.0, 5.0, 9.0)),
    ],
    ids=str,
)
def test_a_flex_call_may_take_minutes(options: dict[str, Any], limits: tuple[float, ...]) -> None:
    """Unless the user has set a limit."""
    assert limits_of(Options(**options)) == limits


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, "timed_out"),
        ({"tier": "flex"}, "ok"),
        ({"tier": "flex", "timeout": 100}, "timed_out"),
        ({"tier": "flex", "deadline": 100}, "timed_out"),
    ],
    ids=str,
)
def test_a_simulated_answer_of_minutes(options: dict[str, Any], status: str) -> None:
    """One of eight minutes comes at the flex tier alone; it costs nothing, as ever."""
    record = asked("sim:?latency=480&scale=0", **options)
    assert (record.status, record.simulated, record.cost) == (status, True, None)


# --- what it costs --------------------------------------------------------------------------------


@WIRES
@STREAMED
@pytest.mark.parametrize(
    ("said", "share"),
    [("flex", "0.5"), ("default", "1"), ("priority", "2"), (None, "1"), ("auto", "1")],
)
def test_the_price_is_the_one_that_the_reply_names(
    server: Loopback, model: str, stream: str, said: str | None, share: str
) -> None:
    """A flex call that is answered at the usual tier costs all; so does one that says nothing."""
    server.script(LUNA, replying(model, said, stream))
    record = asked(model, stream=stream, tier="flex")
    assert record.status == "ok"
    assert record.cost == at_usual(record) * Decimal(share)


@STREAMED
@pytest.mark.parametrize(
    ("header", "share"),
    [("flex", "0.5"), ("FLEX", "0.5"), ("standard", "1"), ("paid", "1"), ("", "1"), (None, "1")],
)
def test_gemini_says_the_tier_in_a_header(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, stream: str, header: str | None, share: str
) -> None:
    """What it says there of other things is no price."""
    monkeypatch.setenv("GEMINI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    model = "gemini:gemini-2.5-flash"
    act = replying(LUNA, None, stream)
    told = {} if header is None else {"x-gemini-service-tier": header}
    kind = {"content-type": "text/event-stream" if stream == "on" else "application/json"}
    server.script("gemini-2.5-flash", replace(act, headers=told | kind))
    record = asked(model, stream=stream, tier="flex")
    assert server.log[0].body["service_tier"] == "flex"
    assert record.cost == at_usual(record) * Decimal(share)


def test_a_tier_that_an_account_uses_by_itself_is_priced_too(server: Loopback) -> None:
    """Nobody asked for it; the reply says it."""
    server.script(LUNA, replying(LUNA, "flex"))
    record = asked(LUNA, stream="off")
    assert record.cost == at_usual(record) / 2


@pytest.mark.parametrize(
    ("model", "tier", "share"),
    [
        # In the table of prices.
        (LUNA, "flex", "0.5"),
        (LUNA, "batch", "0.5"),
        ("claude-haiku-5-5", "batch", "0.5"),
        ("claude-opus-4-6", "batch", "0.5"),
        # Not there: the share that the provider states for all of its models.
        ("gpt-4", "flex", "0.5"),
        ("claude-3-haiku-20240307", "batch", "0.5"),
        ("azure:gpt-6-luna", "flex", "0.5"),
        ("azure:gpt-6-luna", "priority", None),
        ("gemini:gemini-2.0-flash", "flex", "0.5"),
        ("groq:llama-3.3-70b-versatile", "flex", "1"),
        # The provider states none.
        ("openrouter:openai/gpt-6-luna", "flex", None),
        ("mistral:mistral-small-latest", "flex", None),
        ("deepseek:deepseek-chat", "batch", None),
    ],
)
def test_the_share_of_each_provider(model: str, tier: str, share: str | None) -> None:
    """By the table, else as the provider states it for all of its models; else nobody knows."""
    base = bill.cost(parse_model(model), USED)
    assert base is not None
    found = bill.cost(parse_model(model), USED, ((prices.TIER, tier),))
    assert found == (None if share is None else base * Decimal(share))


@pytest.mark.parametrize("model", [LUNA, "claude-haiku-5-5", "azure:gpt-6-luna", "gpt-4"])
@settings(max_examples=30)
@given(
    usage=st.builds(
        Usage, *(st.integers(0, 400_000) | st.sampled_from([0, 272_001]) for _ in range(4))
    )
)
def test_a_cheaper_tier_is_never_dearer(model: str, usage: Usage) -> None:
    """Whatever the tokens, below and above a price tier."""
    usual = bill.cost(parse_model(model), usage)
    for tier in ("flex", "batch"):
        found = bill.cost(parse_model(model), usage, ((prices.TIER, tier),))
        if usual is not None and found is not None:
            assert 0 <= found <= usual


def test_a_provider_of_ones_own_may_state_its_share() -> None:
    """With prices of its own: exactly that share, also of what a call costs at most."""
    registry.register_provider(
        "halves", "https://x.example/v1", prices={"m": (1.0, 4.0)}, tiers={"flex": 0.25}
    )
    try:
        model = parse_model("halves:m")
        usual = bill.cost(model, USED)
        assert usual == Decimal("0.005")
        assert bill.cost(model, USED, ((prices.TIER, "flex"),)) == usual / 4
        assert bill.cost(model, USED, ((prices.TIER, "batch"),)) is None
        assert bill.worst(model, 10, 10, ((prices.TIER, "flex"),)) == bill.worst(model, 10, 10)
    finally:
        registry.forget("halves")


@pytest.mark.parametrize(
    "tiers", [{"cheap": 0.5}, {"flex": 0}, {"flex": 1.5}, {"flex": "half"}, ["flex"]], ids=str
)
def test_a_share_that_cannot_be_is_refused(tiers: Any) -> None:
    """When it is registered, in one line."""
    with pytest.raises(OptionError, match="tiers takes"):
        registry.register_provider("odd", "https://x.example/v1", tiers=tiers)
    assert registry.find("odd") is None


@pytest.mark.parametrize(
    ("said", "dearer"),
    [(("flex", "flex"), 0), (("flex", "default"), 1), ((None, "default"), 2)],
    ids=str,
)
def test_a_run_tells_what_was_not_answered_at_the_tier(
    server: Loopback, said: tuple[str | None, ...], dearer: int
) -> None:
    """So that nobody wonders why it has cost more than half."""
    server.script(LUNA, *(replying(LUNA, tier) for tier in said))
    run = asyncio.run(fanned(sections(LUNA, LUNA), tier="flex", stream="off"))
    told = [note for note in run.notes if "the flex tier does" in note]
    assert len(told) == bool(dearer)
    assert all(f"{dearer} of 2 flex calls cost more than" in note for note in told)


def test_what_is_asked_at_the_usual_price_tells_nothing(server: Loopback) -> None:
    """Nor does a section beside that is asked at it."""
    server.script(LUNA, replying(LUNA, "default"), replying(LUNA, "flex"))
    text = f"%section a --tier default -m {LUNA}\nx\n%section b -m {LUNA}\ny"
    run = asyncio.run(fanned(text, tier="flex", stream="off", concurrency=1))
    assert not any("flex tier" in note for note in run.notes)


# --- a batch --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LUNA, BY_RESPONSES, "claude-haiku-5-5"])
@pytest.mark.parametrize("said", [(), AT_BATCH_PRICE, ((prices.TIER, "default"),)], ids=str)
def test_what_is_asked_within_a_batch_has_its_price(model: str, said: Any) -> None:
    """Whatever the body of the reply says of a tier: there is no other way for it to be answered."""
    usual = bill.price(task(model), USED, Said())
    assert usual is not None
    assert bill.price(task(model, "batch"), USED, Said(said)) == usual / 2
    # What is paid for besides the tokens stays unknown.
    assert bill.price(task(model, "batch"), USED, Said((*said, ("said", "web_search")))) is None


@pytest.mark.parametrize("model", [LUNA, BY_RESPONSES, "claude-haiku-5-5"])
def test_the_worst_of_a_batch_is_its_own_price(model: str) -> None:
    """A flex call may be answered at the usual price, a batch may not."""
    parsed = parse_model(model)
    usual = bill.worst(parsed, 1000, 1000)
    assert usual is not None
    assert bill.worst(parsed, 1000, 1000, AT_BATCH_PRICE) == usual / 2
    if "flex" in registry.entry_of(parsed.provider).tiers:
        assert bill.worst(parsed, 1000, 1000, ((prices.TIER, "flex"),)) == usual


# --- caps -----------------------------------------------------------------------------------------


def test_a_cap_holds_at_the_dearer_price(server: Loopback) -> None:
    """Room for two calls at the flex tier is none for two that may be answered at the usual one."""
    most = bill.worst(parse_model(LUNA), len("ask 0"), 100)
    assert most is not None
    server.script(LUNA, replying(LUNA, "default"), replying(LUNA, "default"))
    more: dict[str, Any] = {"stream": "off", "max_tokens": 100, "concurrency": 1}
    with pytest.raises(BudgetExceeded) as caught:
        asyncio.run(fanned(sections(LUNA, LUNA), tier="flex", max_cost=most, **more))
    first, second = caught.value.records
    assert first.cost == at_usual(first)
    assert (second.attempts, len(server.log)) == ((), 1)


def test_a_cap_is_refused_where_nobody_knows_the_price() -> None:
    """The way out names the option that the user typed."""
    told = bill.unbounded(task("openrouter:openai/gpt-6-luna", "flex"))
    assert "no price is known for openrouter:openai/gpt-6-luna with --tier flex" in told
    assert told.endswith("remove the cap or --tier flex")
    told = bill.unbounded(task("deepseek:deepseek-chat", "batch"))
    assert "with --batch" in told
    assert told.endswith("remove the cap or --batch")
    assert bill.unbounded(task(LUNA, "flex", plugins=1)).endswith("the cap or the parameter")
    assert bill.unbounded(task(LUNA, "flex")) == ""
    assert bill.unbounded(task("claude-haiku-5-5", "batch")) == ""


# --- refusals -------------------------------------------------------------------------------------


@WIRES
def test_no_room_is_a_rate_limit_and_asked_again(server: Loopback, model: str) -> None:
    """However often within the deadline: it costs nothing, and is no matter of money."""
    refusal = Act(status=429, headers={"retry-after-ms": "1"}, body=FULL)
    server.script(LUNA, refusal, refusal, replying(model, "default"))
    record = asked(model, stream="off", tier="flex", retries=0)
    assert [attempt.outcome for attempt in record.attempts] == ["rate_limit"] * 2 + ["ok"]
    assert record.cost == at_usual(record)


@WIRES
def test_no_room_until_the_deadline_says_the_way_out(server: Loopback, model: str) -> None:
    """Two of them: to wait longer, and the usual price."""
    server.script(LUNA, *[Act(status=429, headers={"retry-after": "3600"}, body=FULL)] * 3)
    record = asked(model, stream="off", tier="flex")
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == "rate_limit"
    assert "the flex tier has no room for gpt-6-luna now" in record.error.message
    assert "--deadline" in record.error.message
    assert "--tier default" in record.error.message
    assert record.cost == 0


FAULTS: list[tuple[str, int, Mapping[str, Any], str, str]] = [
    ("by its type", 429, FULL, "rate_limit", "no room"),
    (
        "by its code",
        429,
        {"error": {"code": "resource_unavailable", "message": ""}},
        "rate_limit",
        "no room",
    ),
    ("in words", 429, {"error": {"message": "Resource Unavailable"}}, "rate_limit", "no room"),
    (
        "groq's",
        498,
        {"error": {"code": "capacity_exceeded", "message": "x"}},
        "rate_limit",
        "no room",
    ),
    ("in a stream", 200, FULL, "rate_limit", "no room"),
    (
        "a usual limit",
        429,
        {"error": {"code": "rate_limit_exceeded", "message": "slow"}},
        "rate_limit",
        "rate limit",
    ),
    (
        "money",
        429,
        {"error": {"code": "insufficient_quota", "message": "pay"}},
        "quota",
        "out of money",
    ),
    (
        "no such tier",
        400,
        {"error": {"param": "service_tier", "message": "x"}},
        "bad_request",
        "has no flex tier",
    ),
    (
        "the same in words",
        400,
        {"error": {"message": "Unsupported service_tier: flex"}},
        "bad_request",
        "has no flex tier",
    ),
    (
        "another field",
        400,
        {"error": {"param": "top_k", "message": "x"}},
        "bad_request",
        "does not accept 'top_k'",
    ),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_refusal_of_the_tier_is_told_apart(
    status: int, body: Mapping[str, Any], kind: str, said: str
) -> None:
    """From a usual limit, from money and from other fields; without the tier nothing is said of it."""
    fault = fault_of_answer(status, {}, body, Asked("x.example", "m", tier="flex"))
    assert fault.kind == kind
    assert said in fault.message
    plain = fault_of_answer(status, {}, body, Asked("x.example", "m"))
    assert plain.kind == kind
    assert "flex tier" not in plain.message


# --- what is shown before and without a call ------------------------------------------------------


def previewed(text: str, **options: Any) -> Preview:
    """The dry run of a fan-out."""
    found = asyncio.run(fanout(text, dry_run=True, **options))
    assert isinstance(found, Preview)
    return found


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, {}),
        ({"tier": "default"}, {}),
        ({"tier": "flex"}, {"": 1, "flex": 2, "batch": 2}),
        ({"batch": True}, {"": 1, "flex": 2, "batch": 2}),
        ({"tier": "flex", "model": "azure:gpt-6-luna"}, {"": 1, "flex": 2}),
        ({"batch": True, "model": "claude-haiku-5-5"}, {"": 1, "batch": 2}),
    ],
    ids=str,
)
def test_a_dry_run_tells_the_prices_side_by_side(
    options: dict[str, Any], shares: dict[str, int]
) -> None:
    """Where a cheaper tier is asked for: those that there are, and the most is the asked one's."""
    asking = {"model": LUNA, "each": "docs", "variables": {"docs": ["a", "b"]}, **options}
    found = previewed("ask {{item}}", **asking)
    usual = previewed("ask {{item}}", **asking | {"tier": "default", "batch": False}).most_cost
    assert usual is not None
    assert found.costs == {tier: usual / share for tier, share in shares.items()}
    assert found.most_cost == (usual / 2 if "batch" in options else usual)
    told = " ".join(repr(found).split())
    assert ("at the flex tier" in told) == ("flex" in shares)
    assert ("in a batch)" in told.replace("(in a batch)", "")) == ("batch" in shares)
    assert (", flex tier" in told) == ("flex" in shares and "batch" not in options)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("ask", {"model": "claude-haiku-5-5", "tier": "flex"}, "anthropic has no flex tier"),
        (
            "%section a\nask\n%synthesis -m claude-haiku-5-5 --tier flex\nMerge.",
            {"model": LUNA},
            "anthropic has no flex tier",
        ),
    ],
)
def test_a_dry_run_says_that_the_run_would_be_refused(
    text: str, options: dict[str, Any], said: str
) -> None:
    """As the run itself does, of a worker's call as of any other; a good one says nothing of it."""
    told = " ".join(repr(previewed(text, **options)).split())
    assert "this run would be refused: " in told
    assert said in told
    assert "would be refused" not in repr(previewed("ask", model=LUNA, tier="flex"))


def test_a_dry_run_of_a_simulation_has_no_prices() -> None:
    """At any tier."""
    found = previewed("ask", model="sim", tier="flex")
    assert (found.most_cost, set(found.costs.values())) == (None, {None})
    assert "cost unknown" in repr(found)
    assert "usual price" not in repr(found)


def test_only_what_is_asked_at_a_cheaper_tier_differs() -> None:
    """A guard and a synthesis at the usual one cost the same whatever the workers do."""
    text = "%section a\nask\n%section b\nask\n%synthesis --tier default\nMerge."
    found = previewed(text, model=LUNA, tier="flex")
    alone = previewed(text, model=LUNA)
    usual, flex = found.costs[""], found.costs["flex"]
    assert usual is not None
    assert flex is not None
    assert usual == alone.most_cost
    assert usual / 2 < flex < usual


@WIRES
def test_the_program_asks_at_the_tier(model: str) -> None:
    """By the SDK's own argument, and with time for it."""
    source = program(plan_cell("fanout", f"-m {model} --tier flex", "%section a\nask", {}))
    compile(source, "program", "exec")
    assert "service_tier='flex'" in source or 'service_tier="flex"' in source
    assert "SECONDS = 900" in source
    plain = program(plan_cell("fanout", f"-m {model}", "%section a\nask", {}))
    assert "service_tier" not in plain
    assert "SECONDS = 120" in plain


# --- a study --------------------------------------------------------------------------------------


def studied(server: Loopback, said: str | None, **options: Any) -> StudyRun:
    """A study of three votes on each of two items, whose answers name this tier."""
    server.script(LUNA, *[replying(LUNA, said)] * 6)
    run = asyncio.run(
        vote(
            "Is {{item}} good?",
            model=LUNA,
            n=3,
            choices="yes,no",
            each="docs",
            truth="labels",
            variables={"docs": ["a", "b"], "labels": ["yes", "no"]},
            stream="off",
            **options,
        )
    )
    assert isinstance(run, StudyRun)
    return run


@pytest.mark.parametrize(("said", "share"), [("flex", 2), ("default", 1), (None, 1)])
def test_a_study_shows_both_prices(server: Loopback, said: str | None, share: int) -> None:
    """Of each system: what an item cost as it was answered, and what it would at the usual price."""
    run = studied(server, said, tier="flex")
    systems = run.to_dict()["systems"]
    assert {row["system"] for row in systems} == {"single", "vote"}
    for row in systems:
        assert row["cost"] > 0
        assert row["usual_cost"] == pytest.approx(row["cost"] * share)
    told = " ".join(_shown(run).split())
    assert "Usual price" in told
    assert "At the usual price, without a cheaper tier, an item would cost: a single call $" in told
    assert list(run.to_pandas()["usual_cost"]) == [row["usual_cost"] for row in systems]


def test_a_study_at_the_usual_price_shows_one(server: Loopback) -> None:
    """No column, and no field, that says the same twice; also where an account has its own tier."""
    for said in ("default", "flex"):
        server.clear()
        run = studied(server, said)
        assert all("usual_cost" not in row for row in run.to_dict()["systems"])
        assert "usual price" not in _shown(run).lower()


def _shown(run: StudyRun) -> str:
    return str(run._repr_mimebundle_()["text/plain"])


def test_a_study_of_a_simulation_has_no_prices() -> None:
    """At any tier."""
    run = asyncio.run(
        vote(
            "Is {{item}} good?",
            model="sim",
            choices="yes,no",
            each="docs",
            tier="flex",
            variables={"docs": ["a", "b"]},
        )
    )
    assert isinstance(run, StudyRun)
    assert all("usual_cost" not in row for row in run.to_dict()["systems"])
    assert "usual price" not in _shown(run).lower()


def test_a_panel_of_two_tiers(server: Loopback) -> None:
    """A voter at the usual price costs there what it costs."""
    server.script(LUNA, *[replying(LUNA, "flex")] * 2)
    text = f"%voter a\nIs {{{{item}}}} good?\n%voter b --tier default -m {MODELS['anthropic']}\nIs {{{{item}}}}?"
    server.answers = {f"Is {item}?": "ANSWER: yes" for item in "ab"}
    more = {"choices": "yes,no", "each": "docs", "variables": {"docs": ["a", "b"]}}
    run = asyncio.run(vote(text, model=LUNA, tier="flex", stream="off", **more))
    assert isinstance(run, StudyRun)
    [row] = [each for each in run.to_dict()["systems"] if each["system"] == "vote"]
    costs = {record.model: record.cost for record in run.results}
    flex, usual = costs[f"openai:{LUNA}"], costs[f"anthropic:{MODELS['anthropic']}"]
    assert flex is not None
    assert usual is not None
    assert row["cost"] == pytest.approx(float(flex + usual))
    assert row["usual_cost"] == pytest.approx(float(2 * flex + usual))


# --- decision models and simulations --------------------------------------------------------------


def test_a_decision_model_has_no_tiers() -> None:
    """As a voter it does without, and says so; as a guard of a flex cell it is asked as usual."""
    run = asyncio.run(
        voted(
            "%voter a\nGood?\n%voter b -m sim:?sharpness=3\nGood?",
            model="sim",
            choices="yes,no",
            tier="flex",
        )
    )
    assert any("does not use --tier" in note for note in run.notes)


def test_a_guard_that_is_a_decision_model_is_asked_as_usual() -> None:
    """It has no tiers: those of the cell are not its own."""
    text = "%section a\nask\n%guardrail -m decide:gpt-6-luna\nMay it?"
    plan = plan_cell("fanout", f"-m {LUNA} --tier flex", text, {})
    assert [task.tier for task in plan.tasks] == ["flex"]
    assert [task.tier for task in plan.auxiliary] == [""]


def test_the_simulation_takes_it() -> None:
    """It has no price and no tiers, so that a lesson can be tried without a key."""
    provider = SimulatedProvider()
    call = task("sim", "flex")
    provider.check(call)
    try:
        run_virtual(provider.complete(call, lambda *_: None))
    except CallFailed as failed:  # pragma: no cover
        raise AssertionError from failed

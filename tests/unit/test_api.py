"""The functions: a cell's text runs anywhere, through the real SDKs, in both dialects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import DATA
from provider import Loopback

from parallm_magics import (
    FanoutRun,
    MissingKeyError,
    ModelError,
    OptionError,
    ParallmError,
    TooFewSucceeded,
    VoteRun,
    fanout,
    vote,
)
from parallm_magics.core.tasks import Model, Usage
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.providers import bill

MODELS = {"anthropic": "anthropic:claude-test", "openai": "openai:gpt-test"}
BAD = {row["id"]: row for row in json.loads((DATA / "bad-inputs.json").read_text())["inputs"]}


def prompts(server: Loopback) -> list[str]:
    """The user messages that arrived, in order."""
    found = []
    for call in server.log:
        content = [m["content"] for m in call.body["messages"] if m["role"] == "user"][-1]
        found.append(
            content if isinstance(content, str) else "".join(part["text"] for part in content)
        )
    return found


@pytest.mark.parametrize("stream", ["on", "off"])
@pytest.mark.parametrize("dialect", MODELS)
def test_a_fanout_through_the_real_sdk(server: Loopback, dialect: str, stream: str) -> None:
    """Text, tokens and model come back; prompts arrive byte for byte; all at once."""
    server.answers = {"pre\n\n one {x}\n\ttwo": "first", "pre\n\nthree": "second"}
    run = asyncio.run(
        fanout(
            "pre\n%section a\n one {x}\n\ttwo\n\n%section b --system 'You are B.'\nthree",
            model=MODELS[dialect],
            stream=stream,
        )
    )
    assert isinstance(run, FanoutRun)
    assert dict(run) == {"a": "first", "b": "second"}
    assert sorted(prompts(server)) == ["pre\n\n one {x}\n\ttwo", "pre\n\nthree"]
    assert run.usage is not None
    assert run.usage.output_tokens > 0
    assert run.results[0].model == MODELS[dialect]
    assert not run.simulated
    assert run.addresses, "an address that is not the usual one is shown"


@pytest.mark.parametrize("dialect", MODELS)
def test_a_vote_through_the_real_sdk(server: Loopback, dialect: str) -> None:
    """Several calls of one prompt; labels are read whole."""
    server.answers = lambda body: "It looks bad.\nANSWER: unsafe"
    run = asyncio.run(
        vote(
            "Is {{t}} safe?",
            n=5,
            choices=["safe", "unsafe"],
            variables={"t": "x"},
            model=MODELS[dialect],
        )
    )
    assert isinstance(run, VoteRun)
    assert (run.winner, run.tally["unsafe"], len(server.log)) == ("unsafe", 5, 5)
    assert set(prompts(server)) == {
        "Is x safe?\n\nEnd with one line: ANSWER: <one of safe, unsafe>"
    }


@pytest.mark.parametrize("dialect", MODELS)
def test_a_fault_of_one_worker_stays_its_own(server: Loopback, dialect: str) -> None:
    """Cut streams, refusals, HTML and hollow answers are statuses; the others are not asked twice."""
    provider = MODELS[dialect].split(":")[0]
    names = ["cut", "no-stop", "refusal", "html-200", "empty-200", "length"]
    body = "\n".join(f"%section {name} -m {provider}:{name} \nask {name}" for name in names)
    run = asyncio.run(
        fanout(f"{body}\n%section fine -m {provider}:ok\nask", min_success=1, retries=0)
    )
    found = {record.name: record.status for record in run.results}
    assert found["fine"] == "ok"
    assert (found["cut"], found["no-stop"]) == ("failed", "failed")
    assert (found["refusal"], found["length"]) == ("refused", "truncated")
    assert (found["html-200"], found["empty-200"]) == ("invalid", "invalid")
    assert list(run) == ["fine"]
    assert sum(prompt == "ask" for prompt in prompts(server)) == 1


@pytest.mark.parametrize("dialect", MODELS)
def test_a_missing_key_names_its_variable(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any call, with the ways out."""
    with pytest.raises(MissingKeyError, match=rf"{dialect.upper()}_API_KEY.*sim") as error:
        asyncio.run(vote("x", model=MODELS[dialect]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["key-plain", "key-newline", "key-space", "key-echo-401"])
@pytest.mark.parametrize("dialect", MODELS)
def test_a_key_is_nowhere(
    server: Loopback, dialect: str, case: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """Not in a run, not in an error, not on a stream; after success and after a 401 that echoes it."""
    key = "sk-CANARY-0123456789abcdef"
    payload = BAD[case]["payload"]
    monkeypatch.setenv(f"{dialect.upper()}_API_KEY", payload if case != "key-echo-401" else key)
    fine = asyncio.run(fanout("%section a\nx", model=MODELS[dialect]))
    shown = [repr(fine), str(fine), json.dumps(fine.to_dict()), repr(fine.results)]
    with pytest.raises(TooFewSucceeded) as error:
        asyncio.run(fanout("%section a\nx", model=f"{dialect}:echo-key"))
    shown += [str(error.value), repr(error.value.records), str(error.value.run)]
    shown += [repr(error.value.__cause__), repr(error.value.__context__), *capfd.readouterr()]
    assert not [text for text in shown if "CANARY" in text]
    sent = json.dumps([call.headers for call in server.log])
    assert key in sent, "the key does reach the provider"


def test_no_temperature_for_current_claude_models(server: Loopback) -> None:
    """Refused before any call, naming the model; never dropped silently."""
    with pytest.raises(ModelError, match=r"claude-haiku-5-5.*temperature"):
        asyncio.run(vote("x", model="claude-haiku-5-5", temperature=0.5))
    assert server.log == []


def test_a_cells_first_line_may_lead_its_text() -> None:
    """What is copied from a notebook runs as it is; the wrong function says so."""
    run = asyncio.run(vote("%%vote -n 5 --choices a,b -m sim:?scale=0\nx"))
    assert isinstance(run, VoteRun)
    assert len(run.ballots) == 5
    with pytest.raises(ParallmError, match=r"begins with %%vote, but fanout\(\)"):
        asyncio.run(fanout("%%vote\nx"))


def test_the_environment_may_choose_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """PARALLM_MODEL holds where nothing else is said; a key alone chooses nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    with pytest.raises(ModelError, match="no model is chosen"):
        asyncio.run(vote("x"))
    monkeypatch.setenv("PARALLM_MODEL", "sim:?scale=0")
    assert asyncio.run(vote("x", choices="a,b")).simulated


def test_a_script_has_no_out() -> None:
    """It keeps what the function returns."""
    with pytest.raises(OptionError, match="store the returned run instead"):
        asyncio.run(vote("x", model="sim", out="y"))


def test_a_dry_run_calls_nobody(server: Loopback) -> None:
    """Rendered prompts, calls, tokens and a cost estimate."""
    found = asyncio.run(
        fanout(
            "{{x}}\n%section a\nA\n%section b\nB",
            model="claude-haiku-5-5",
            variables={"x": "<b>X</b>"},
            dry_run=True,
            max_tokens=1000,
        )
    )
    assert isinstance(found, Preview)
    assert (found.calls, [task.prompt for task in found.tasks]) == (
        2,
        ["<b>X</b>\n\nA", "<b>X</b>\n\nB"],
    )
    assert found.most_cost is not None
    assert found.most_cost > 0
    bundle = found._repr_mimebundle_()
    assert "<b>X</b>" in bundle["text/plain"]
    assert "<b>X</b>" not in bundle["text/html"]
    assert server.log == []


def test_simulated_runs_are_the_same_every_time() -> None:
    """Times, answers and pictures are computed from the records alone."""
    text = (
        "{{x}}\n%section a\nA\n%section b --choices u,v\nB\n%section c -n 30\nC\n%synthesis\nmerge"
    )
    runs = [
        asyncio.run(
            fanout(
                text,
                variables={"x": 1},
                model="sim:?scale=0.001&fail=0.1",
                min_success=0,
                concurrency=5,
            )
        )
        for _ in range(2)
    ]
    assert runs[0]._repr_mimebundle_() == runs[1]._repr_mimebundle_()
    assert runs[0].to_dict() == runs[1].to_dict()


def test_simulated_is_said_wherever_it_shows() -> None:
    """In html, plain text, repr and data."""
    run = asyncio.run(vote("x", model="sim:?scale=0", choices="a,b"))
    bundle = run._repr_mimebundle_()
    assert all("SIMULATED" in text for text in (*bundle.values(), repr(run)))
    assert run.to_dict()["simulated"] is True


def test_a_second_run_in_another_loop_works(server: Loopback) -> None:
    """Clients belong to one loop and are closed with the run."""
    for _ in range(3):
        run = asyncio.run(fanout("%section a\nx", model=MODELS["openai"]))
        assert run["a"]


prompt_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="%\\\r\ufeff"), min_size=1
).filter(lambda text: "{{" not in text and text.strip() and "NBVAL" not in text)


@settings(max_examples=25)
@given(prompt_text)
def test_prompts_and_answers_keep_every_byte(text: str) -> None:
    """From the typed text through the real SDK to the provider, and back into the result."""
    with Loopback() as server:
        patch = pytest.MonkeyPatch()
        patch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        patch.setenv("OPENAI_API_KEY", "sk-x")
        server.answers = lambda body: f"<{text}>"
        try:
            run = asyncio.run(fanout(f"%section a\n{text}", model="openai:m"))
        finally:
            patch.undo()
        lines = text.split("\n")
        while not lines[0].strip():
            lines.pop(0)
        while not lines[-1].strip():
            lines.pop()
        assert prompts(server) == ["\n".join(lines)]
        assert run["a"] == f"<{text}>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("\n\n%%fanout\n%section a\nx\n%sectoin b", "^line 6: ", id="below blanks"),
        pytest.param("\n\n%%fanout --opne\nx", "^line 3: .*--open", id="the line itself"),
        pytest.param("# a note\n\n%%fanout\n%sectoin b", "^line 4: ", id="below a comment"),
        pytest.param(
            "%%time\nx", "^line 1: .*%%time, which is not %%fanout", id="no magic of ours"
        ),
        pytest.param("%%vote\nx", "^line 1: .*fanout\\(\\) was called", id="other magic"),
        pytest.param(None, "not NoneType", id="no text"),
        pytest.param(b"x", "not bytes", id="bytes"),
    ],
)
def test_a_scripts_text_is_told_by_its_own_lines(text: Any, says: str) -> None:
    """What stands above the first line counts too."""
    with pytest.raises(ParallmError, match=says):
        asyncio.run(fanout(text, model="sim"))


def test_a_tab_may_follow_the_magics_name() -> None:
    """As on every other line, a tab separates."""
    run = asyncio.run(fanout("%%fanout\t-n 2\nx", model="sim:?scale=0"))
    assert isinstance(run, FanoutRun)
    assert len(run) == 2


def test_variables_are_a_dict() -> None:
    """Anything else is told in one line."""
    with pytest.raises(OptionError, match="variables: expected a dict"):
        asyncio.run(fanout("%section a\nx", variables=[1], model="sim"))  # type: ignore[arg-type]


@pytest.mark.parametrize("usage", [Usage(-1), Usage(10**400, 0, 0, 10**400)])
def test_an_absurd_usage_costs_no_answer(usage: Usage) -> None:
    """The table of prices may raise what it likes; the answer is kept."""
    bill.cost(Model("anthropic", "claude-haiku-5-5"), usage)


def test_a_dry_run_counts_the_synthesis() -> None:
    """Its prompt is shown with the outputs open, its cost is in the most that the cell can cost."""
    text = "%section a\nA\n%synthesis\nMerge {{outputs.a}} well."
    plain = asyncio.run(fanout("%section a\nA", model="gpt-6-luna", dry_run=True))
    whole = asyncio.run(fanout(text, model="gpt-6-luna", dry_run=True))
    assert isinstance(plain, Preview)
    assert isinstance(whole, Preview)
    assert (whole.calls, whole.tasks[-1].prompt) == (2, "Merge {{outputs.a}} well.")
    assert plain.most_cost is not None
    assert whole.most_cost is not None
    assert whole.most_cost > 2 * plain.most_cost


def test_without_pandas_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and to_dict works all the same."""
    run = asyncio.run(fanout("%section a\nA", model="sim:?scale=0"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ParallmError, match="needs pandas"):
        run.to_pandas()
    assert run.to_dict()


@pytest.mark.parametrize(
    ("keyword", "says"), [("m", "did you mean 'model'"), ("o", "did you mean 'out'")]
)
def test_a_short_flag_as_a_keyword_names_the_long_one(keyword: str, says: str) -> None:
    """Scripts use the long names."""
    with pytest.raises(OptionError, match=says):
        asyncio.run(fanout("x", **{keyword: "sim"}))

"""A fourth pattern is one class and one entry: the runner gives it all that a run has."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from display_samples import Page
from fakes import Fake, answer, by_name, failing, run_context
from live_views import live_html
from virtual_time import run_virtual

from parallm_magics import GuardrailBlocked, OptionError, TooFewSucceeded, api, display
from parallm_magics.core.tasks import Event, Record
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.patterns.run import Common, Run
from parallm_magics.patterns.run_view import run_view
from parallm_magics.patterns.runner import Pattern
from parallm_magics.providers.registry import Clients, define_simulated, forget

CELL = "The report.\n\n%section dates\nIts dates.\n\n%section names\nIts names.\n"
GUARDED = f"{CELL}\n%guardrail -m word:?scale=0\nIs it harmless?\n"


class RelayRun(Run):
    """The result of a relay: what each section passes on to the reader."""

    @property
    def text(self) -> str | None:
        """The answers as one chain; the refusal of a blocked run."""
        return self._refusal if self.blocked else " > ".join(r.text for r in self.succeeded)

    def _view(self) -> display.View:
        return run_view(self, f"{len(self.succeeded)} passed on", "fanout", self.text, "Relay")


class RelayPattern(Pattern[RelayRun]):
    """Each section sees the preamble, and nobody waits."""

    name, grammar = "relay", "fanout"
    counted = frozenset({"ok"})
    achieved = "runners arrived"

    def result(self, records: Sequence[Record], common: Common) -> RelayRun:
        """The chain of their answers."""
        return RelayRun(records, **common)


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one entry, and a model that says the word of its query."""
    monkeypatch.setitem(api.PATTERNS, "relay", RelayPattern)
    says = {"dates": "1969", "names": "Neil", "guardrail": "ANSWER: ALLOW"}
    define_simulated("word", lambda task, index: says[task.name])
    yield
    forget("word")


def relayed(text: str = CELL, **options: Any) -> Any:
    """What the public entry gives for a cell of this pattern."""
    given = {"model": "word:?scale=0", **options}
    return asyncio.run(api.run_cell("relay", text, None, given))


def planned(text: str = CELL, line: str = "-m word: --retries 0") -> Any:
    """The plan of a cell of this pattern."""
    return api.plan_cell("relay", line, text, {})


def test_it_runs_is_shown_and_is_pickled() -> None:
    """Simulated, in both pictures, with the numbers that every run has."""
    run = relayed()
    assert run.text == "1969 > Neil"
    assert run.simulated
    assert run.seconds > 0
    assert run.to_dict()["results"][1]["text"] == "Neil"
    bundle = run._repr_mimebundle_()
    assert "2 passed on" in bundle["text/plain"]
    assert "1969 > Neil" in Page(bundle["text/html"]).text
    assert pickle.loads(pickle.dumps(run)).text == run.text  # noqa: S301 - of our own making


def test_each_sees_the_preamble_and_nobody_waits() -> None:
    """The prompts are whole, and the run takes as long as its longest call."""
    fake = Fake(by_name({"names": answer(3.0, "Neil")}, answer(2.0, "1969")))
    plan = planned()
    assert all(task.prompt.startswith("The report.\n\n") for task in plan.tasks)
    run, seconds = run_virtual(RelayPattern.run(plan, run_context(fake)))
    assert (run.text, seconds, fake.most) == ("1969 > Neil", 3.0, 2)


def test_a_guard_withholds_it() -> None:
    """Its refusal stands in place of the work, or the cell ends in an error."""
    assert relayed(GUARDED).text == "1969 > Neil"
    define_simulated("word", lambda task, index: "ANSWER: BLOCK")
    blocked = relayed(GUARDED)
    assert blocked.blocked
    assert "BLOCK" not in blocked.text
    assert {record.status for record in blocked.results} == {"blocked"}
    with pytest.raises(GuardrailBlocked) as error:
        relayed(GUARDED.replace("%guardrail", "%guardrail --on-block raise"))
    assert isinstance(error.value.run, RelayRun)


def test_a_recording_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run again, where nobody may be asked."""
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    first = relayed(GUARDED)
    define_simulated("word", lambda task, index: "something else")
    monkeypatch.setenv("PARALLM_RECORDINGS", f"replay:{path}")
    again = relayed(GUARDED)
    assert again.text == first.text
    assert [(r.start, r.seconds) for r in again.results] == [
        (r.start, r.seconds) for r in first.results
    ]


def test_a_retry_asks_for_the_rest() -> None:
    """The success is kept, the failure asked again, and the old run stays as it is."""
    fake = Fake(by_name({"names": failing("server", 1)}, answer(1.0, "1969")))

    async def twice() -> tuple[RelayRun, RelayRun]:
        plan = planned()
        first = await RelayPattern.run(plan, run_context(fake))
        return first, await RelayPattern.run(plan, run_context(fake), first, 1)

    (first, second), _ = run_virtual(twice())
    assert (first.text, second.text) == ("1969", "1969 > fine")
    assert fake.calls == ["dates", "names", "names"]


def test_its_own_retry_asks_for_the_rest_too() -> None:
    """`await run.retry()` goes through the same runner."""
    lost = iter(["", "Neil"])
    define_simulated("word", lambda task, index: "1969" if task.name == "dates" else next(lost))

    async def again() -> tuple[RelayRun, RelayRun]:
        first = await api.run_cell("relay", CELL, None, {"model": "word:?scale=0"})
        return first, await first.retry()

    first, second = asyncio.run(again())
    assert (first.text, second.text) == ("1969", "1969 > Neil")
    assert type(second) is RelayRun


def test_an_interrupt_keeps_what_is_done() -> None:
    """A stopped run is a result, whatever it was to come to."""
    fake = Fake(by_name({"names": answer(60.0)}, answer(1.0, "1969")))
    stop = Stop()

    async def stopped() -> RelayRun:
        asyncio.get_running_loop().call_later(2.0, stop, "interrupted")
        plan = planned(line="-m word: --min-success 2")
        return await RelayPattern.run(plan, run_context(fake, stop))

    run, seconds = run_virtual(stopped())
    assert (run.text, seconds) == ("1969", 2.0)
    assert [record.status for record in run.results] == ["ok", "cancelled"]


def test_too_few_are_an_error_that_carries_the_run() -> None:
    """Told in the pattern's own words."""
    fake = Fake(by_name({"names": failing("server", 9)}, answer(1.0, "1969")))
    plan = planned(line="-m word: --min-success 2 --retries 0")
    with pytest.raises(TooFewSucceeded, match="1 of 2 runners arrived, 2 required") as error:
        run_virtual(RelayPattern.run(plan, run_context(fake)))
    assert error.value.run.text == "1969"


def test_its_board_and_its_dry_run_come_with_it() -> None:
    """A row a section; a preview of the calls, with options of its grammar."""
    seen = relayed(dry_run=True)
    assert isinstance(seen, Preview)
    assert [task.name for task in seen.tasks] == ["dates", "names"]
    told: list[Event] = []

    async def drawn() -> str:
        plan = planned(line="-m word:?scale=0")
        board = RelayPattern.board(plan, Clients())
        await RelayPattern.run(plan, run_context(Fake(answer(text="x")), tell=told.append))
        for event in told:
            board.tell(event)
        return live_html(board, 1.0)

    html, _ = run_virtual(drawn())
    assert "2 of 2 done" in Page(html).text
    with pytest.raises(OptionError, match="has no option 'pick'"):
        relayed(pick="any")

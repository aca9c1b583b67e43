"""Runs can be pickled and copied: all that they tell, without the way to ask again."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from parallm_magics import FanoutRun, ParallmError, StudyRun, TooFewSucceeded, VoteRun, fanout, vote

SIM = "sim:?scale=0"
DOCS = [{"text": f"t{n}", "label": "a" if n % 2 else "b"} for n in range(12)]
SECRET = "a value of the notebook that no prompt uses"
CELLS: dict[str, Callable[[], Any]] = {
    "fanout": lambda: fanout("%section a\nA\n%section b\nB\n%synthesis\n", model=SIM),
    "guarded": lambda: fanout("%section a\nA\n%guardrail\nIs it safe?", model=SIM),
    "flags": lambda: fanout("%section a -n 3 --choices x,y --flag x\nA", model=SIM),
    "map": lambda: fanout("{{item.text}}", model=SIM, each=DOCS),
    "map-of-a-generator": lambda: fanout("{{item.text}}", model=SIM, each=(d for d in DOCS)),
    "vote": lambda: vote("x", model=SIM, choices="a,b", n=5),
    "early": lambda: vote("x", model=SIM, choices="a,b", n=9, stop="clinch"),
    "weighted": lambda: vote("x\n%voter p --weight 1/3\nP\n%voter q\nQ", model=SIM, choices="a,b"),
    "score": lambda: vote("x", model=SIM, score="1..10", pick="median"),
    "judge": lambda: vote("x\n%judge\nWhich?", model=SIM),
    "study": lambda: vote("{{item.text}}", model=SIM, choices="a,b", each=DOCS, truth="label"),
    "panels": lambda: vote(
        "{{item.text}}\n%panel other -n 3\nThink.",
        model=SIM,
        choices="a,b",
        each=DOCS,
        truth="label",
        compare="single,stop=clinch",
    ),
}


@pytest.mark.parametrize("made", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize(
    "there_and_back",
    [lambda run: pickle.loads(pickle.dumps(run)), copy.deepcopy],  # noqa: S301
    ids=["pickle", "deepcopy"],
)
def test_a_run_comes_back_whole(
    made: Callable[[], Any], there_and_back: Callable[[Any], Any]
) -> None:
    """Its data, its page and its text are the same."""
    run = asyncio.run(made())
    back = there_and_back(run)
    assert type(back) is type(run)
    assert back.to_dict() == run.to_dict()
    assert back._repr_mimebundle_() == run._repr_mimebundle_()
    assert str(back) == str(run)
    assert back.results == run.results
    if not isinstance(run, VoteRun):
        assert dict(back) == dict(run)
    back.to_pandas()
    back.timeline()


@pytest.mark.parametrize("made", [CELLS["fanout"], CELLS["vote"], CELLS["study"]])
def test_a_run_of_a_file_cannot_ask_again(made: Callable[[], Any]) -> None:
    """It says so in one line; the one that was pickled still can."""

    async def main() -> None:
        run = await made()
        back = pickle.loads(pickle.dumps(run))  # noqa: S301
        with pytest.raises(ParallmError, match="read from a file, so it cannot go on"):
            await back.retry()
        assert isinstance(await run.retry(), FanoutRun | VoteRun | StudyRun)

    asyncio.run(main())


@pytest.mark.parametrize("made", CELLS.values(), ids=CELLS)
def test_nothing_else_of_the_notebook_is_in_it(made: Callable[[], Any]) -> None:
    """The prompts of a run know the notebook's variables; a file of it does not."""
    pending = made()
    begin = pending._begin

    def begun() -> Any:
        import inspect

        variables = inspect.getclosurevars(begin).nonlocals
        from parallm_magics import api

        name = "vote" if "vote" in pending.__name__ else "fanout"
        return api.run_cell(name, variables["text"], {"other": SECRET}, variables["options"])

    pending._begin = begun
    assert SECRET.encode() not in pickle.dumps(asyncio.run(pending))


def test_an_error_that_carries_a_run_is_pickled_with_it() -> None:
    """As helpers that run code in other processes do."""
    with pytest.raises(TooFewSucceeded) as error:
        asyncio.run(vote("x", model="sim:?scale=0&fail=1", choices="a,b"))
    back = pickle.loads(pickle.dumps(error.value))  # noqa: S301
    assert str(back) == str(error.value)
    assert len(back.records) == len(back.run.results) == 3

"""What `vote(…)`, `fanout(…)` and `run.retry()` give: a coroutine that says "await me"."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from parallm_magics import FanoutRun, ParallmError, VoteRun, fanout, vote
from parallm_magics.patterns.pending import NotAwaited, Pending

SIM = "sim:?scale=0"


async def asked() -> VoteRun:
    """A run."""
    run = await vote("x", model=SIM, n=2, choices="a,b")
    assert isinstance(run, VoteRun)
    return run


MADE: dict[str, Callable[[], Pending[Any]]] = {
    "vote": lambda: vote("x", model=SIM, choices="a,b"),
    "fanout": lambda: fanout("x", model=SIM, n=2),
    "retry": lambda: asyncio.run(asked()).retry(),
}
each_kind = pytest.mark.parametrize("made", MADE.values(), ids=MADE)
USES: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda run: run.winner,
    "method": lambda run: run.to_pandas(),
    "key": lambda run: run["safety"],
    "loop": list,
    "length": len,
    "membership": lambda run: "a" in run,
    "dict": dict,
    "unpacking": lambda run: [*run],
}


def dropped(pending: Pending[Any]) -> None:
    """Let it go without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pending.close()


@each_kind
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_use_before_the_await_says_so(
    made: Callable[[], Pending[Any]], use: Callable[[Any], Any]
) -> None:
    """In one line that says how it is written; nothing has been asked by then."""
    pending = made()
    with pytest.raises(
        NotAwaited, match=r"write run = await (vote\(…\)|fanout\(…\)|run\.retry\(\))"
    ) as error:
        use(pending)
    assert isinstance(error.value, ParallmError)
    dropped(pending)


@each_kind
def test_its_repr_says_so(made: Callable[[], Pending[Any]]) -> None:
    """It is what a cell shows whose last line forgets the await."""
    pending = made()
    assert repr(pending).startswith("<a run that has not begun; to get it, write run = await ")
    assert not hasattr(pending, "winner")
    dropped(pending)


WAYS: dict[str, Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]] = {}


def way(function: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]) -> Any:
    """One way to wait for a run."""
    WAYS[function.__name__] = function
    return function


@way
async def awaited(made: Callable[[], Any]) -> Any:
    """Plainly."""
    return await made()


@way
async def gathered(made: Callable[[], Any]) -> Any:
    """Several at once."""
    found = await asyncio.gather(made(), made())
    return found[0]


@way
async def in_a_task(made: Callable[[], Any]) -> Any:
    """As a task."""
    task = asyncio.create_task(made(), name="mine")
    assert "mine" in repr(task)
    return await task


@way
async def in_a_group(made: Callable[[], Any]) -> Any:
    """In a group of tasks."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made())
    return task.result()


@way
async def with_a_limit(made: Callable[[], Any]) -> Any:
    """Within a time."""
    async with asyncio.timeout(60):
        return await asyncio.wait_for(made(), 60)


@way
async def shielded(made: Callable[[], Any]) -> Any:
    """Shielded from cancellation."""
    return await asyncio.shield(made())


@each_kind
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_it_is_a_coroutine(made: Callable[[], Any], how: Callable[..., Any]) -> None:
    """Everything that asyncio does with one works."""

    async def main() -> Any:
        run = await asked()
        again = made if made is not MADE["retry"] else run.retry
        return await how(again)

    assert isinstance(asyncio.run(main()), VoteRun | FanoutRun)


def test_asyncio_run_takes_it() -> None:
    """As the body of a script."""
    assert asyncio.iscoroutine(coroutine := vote("x", model=SIM, choices="a,b"))
    assert inspect.isawaitable(coroutine)
    assert isinstance(asyncio.run(coroutine), VoteRun)


def test_it_can_be_cancelled() -> None:
    """With asyncio's own error, which its limits on time look for."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await vote("x", model="sim:?latency=60&scale=1", choices="a,b")

    asyncio.run(main())


def test_one_that_is_dropped_warns() -> None:
    """As Python does of its own coroutines: nothing was asked."""
    with pytest.warns(RuntimeWarning, match=r"never awaited, .*: write await vote\(…\)"):
        vote("x", model=SIM)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(asked())


def test_a_mistake_is_told_when_it_is_awaited() -> None:
    """As by any async function."""

    async def main() -> None:
        with pytest.raises(ParallmError, match="no option 'votes'"):
            await vote("x", model=SIM, votes=3)

    asyncio.run(main())

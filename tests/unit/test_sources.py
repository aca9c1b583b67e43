"""Whatever items come from is asked for one iterator, looked at once: each item once, in order."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from fakes import Fake, answer, run_context
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, ParallmError
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.items import ITEMS_AHEAD, items_of
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task
from parallm_magics.patterns.fanout import FanoutPattern


class Cursor:
    """One cursor behind all iterators, as of a file or a database's result."""

    def __init__(self, count: int) -> None:
        self._numbers = iter(range(count))

    def __iter__(self) -> Iterator[int]:
        return (number for number in self._numbers)


class Counted(Cursor):
    """A cursor that tells its length too."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._count = count

    def __len__(self) -> int:
        return self._count


class Once(Cursor):
    """Only the first iterator is given out."""

    asked = 0

    def __iter__(self) -> Iterator[int]:
        self.asked += 1
        if self.asked > 1:
            raise RuntimeError("this result has been closed")
        return self._numbers


class Own(Cursor):
    """An iterator that is its own, as of a database's cursor."""

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return next(self._numbers)


class Lines(Cursor):
    """A file of JSON lines, as its usual reader goes through it."""

    def __init__(self, count: int) -> None:
        self._file = io.StringIO("".join(f"{number}\n" for number in range(count)))

    def __iter__(self) -> Iterator[int]:
        return (json.loads(line) for line in self._file)


class Endless:
    """A length, and items by number without an end."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> int:
        self.asked.append(at)
        return at


class EndlessSequence(Endless, Sequence[int]):  # type: ignore[misc]
    """The same as a registered sequence."""


class EndlessIterator(Endless):
    """A length, and an iterator without an end."""

    def __iter__(self) -> Iterator[int]:
        return iter(self.asked_for, -1)

    def asked_for(self) -> int:
        return self[len(self.asked)]


class OnceAwaited:
    """Only the first asynchronous iterator is given out."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    def __aiter__(self) -> AsyncIterator[int]:
        self.asked += 1
        if self.asked > 1:
            raise RuntimeError("this stream has been closed")
        return self._read()

    async def _read(self) -> AsyncIterator[int]:
        for number in range(self.count):
            await asyncio.sleep(0)
            yield number


SOURCES: dict[str, Callable[[int], Any]] = {
    kind.__name__: kind
    for kind in (Cursor, Counted, Once, Own, Lines, Endless, EndlessSequence, EndlessIterator)
} | {
    "OnceAwaited": OnceAwaited,
    "zip": lambda count: (n for n, _ in zip(range(count), range(count), strict=True)),
}
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def planned(docs: Any, line: str = "", body: str = "{{item}}") -> Plan:
    """The plan of a map."""
    cell = parse("fanout", f"--each docs {line}", body)
    parse_model = lambda text: Model("fake", text)  # noqa: E731
    return make_plan(cell, {"docs": docs}, parse_model, {"model": ("m",)})


async def echo(task: Task, heard: Heard) -> Reply:
    """Answer with the prompt, the later ones first."""
    await asyncio.sleep(1 / (1 + task.index))
    return Reply(task.prompt)


def mapped(docs: Any, fake: Fake, line: str = "") -> FanoutRun:
    """A map over a fake provider on the virtual clock."""
    run, _ = run_virtual(FanoutPattern.run(planned(docs, line), run_context(fake)))
    return run


@each_source
@pytest.mark.parametrize("count", [1, 3, ITEMS_AHEAD, ITEMS_AHEAD + 3])
def test_each_item_is_asked_once_and_in_order(source: Callable[[int], Any], count: int) -> None:
    """However the source keeps its place, and whether or not it has an end."""
    fake = Fake(echo)
    run = mapped(source(count), fake)
    assert len(fake.calls) == count
    assert dict(run.items()) == {str(n + 1): str(n) for n in range(count)}


@each_source
def test_a_retry_asks_what_is_missing_and_nothing_else(source: Callable[[int], Any]) -> None:
    """Records stay where they were, and no item is lost to a second look at the source."""
    for count in (5, ITEMS_AHEAD + 5):
        broken = {"1", "3"}

        def act(task: Task, heard: Heard, broken: set[str] = broken) -> Any:
            async def said() -> Reply:
                if task.prompt in broken:
                    raise CallFailed(Fault("bad_request", "no"))
                return Reply(f"said {task.prompt}")

            return said()

        fake = Fake(act)
        plan, around = planned(source(count), "--min-success 0"), run_context(fake)

        async def twice(
            plan: Plan = plan, around: Any = around, broken: set[str] = broken
        ) -> FanoutRun:
            run = await FanoutPattern.run(plan, around)
            broken.clear()
            return await FanoutPattern.run(plan, around, run, 1)

        run, _ = run_virtual(twice())
        assert len(fake.calls) == count + 2
        assert dict(run.items()) == {str(n + 1): f"said {n}" for n in range(count)}


def test_a_retry_with_less_than_a_round_left_asks_it() -> None:
    """Of an async source too: the one section that failed is asked again, and not lost."""
    broken = {"b 1"}

    async def act(task: Task, heard: Heard) -> Reply:
        if task.prompt in broken:
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(f"said {task.prompt}")

    async def items() -> Any:
        yield 1

    async def twice() -> FanoutRun:
        body = "%section a\na {{item}}\n%section b\nb {{item}}"
        plan, context = planned(items(), "--min-success 0", body=body), run_context(Fake(act))
        run = await FanoutPattern.run(plan, context)
        broken.clear()
        return await FanoutPattern.run(plan, context, run, 1)

    run, _ = run_virtual(twice())
    assert [record.text for record in run.results] == ["said a 1", "said b 1"]


@pytest.mark.parametrize("kind", [Endless, EndlessSequence, EndlessIterator])
@pytest.mark.parametrize("count", [3, ITEMS_AHEAD + 3])
def test_a_length_is_the_end(kind: type[Endless], count: int) -> None:
    """So many items are asked for, and no more."""
    docs = kind(count)
    mapped(docs, Fake(answer(0.1)))
    assert max(docs.asked) == count - 1


def test_a_source_shorter_than_its_length_says_so() -> None:
    """A few are simply fewer; of many, the record of the first that never came tells."""
    few, many = Counted(3), Counted(ITEMS_AHEAD + 5)
    next(few._numbers), next(many._numbers)
    assert len(mapped(few, Fake(answer(0.1)))) == 2
    run = mapped(many, Fake(answer(0.1)), "--min-success 0")
    [lost] = run.failed
    assert lost.error is not None
    assert lost.error.message == "docs says it has 1,005 items but ended after 1,004"


@given(st.lists(st.sampled_from(["typo", "look", "dry"]), max_size=4), st.integers(1, 5))
def test_cells_that_do_not_run_lose_no_item(cells: list[str], count: int) -> None:
    """An error before any call, and a dry run, leave the first item to the next cell."""
    for docs in (Own(count), (n for n in range(count)), map(int, range(count))):
        for cell in cells:
            if cell == "typo":
                with pytest.raises(ParallmError):
                    planned(docs, body="{{item}} {{nobody}}")
            else:
                planned(docs)
        assert list(mapped(docs, Fake(echo)).values()) == [str(n) for n in range(count)]


def test_a_shared_cursor_that_lost_its_first_item_is_an_error() -> None:
    """Where a cell that did not run has read it, the next one does not begin with the second."""
    docs = Cursor(3)
    planned(docs)
    with pytest.raises(OptionError, match="a cell that did not run; create it again"):
        planned(docs)


class Doc:
    """An item that does not say when it equals another one."""

    text = "x"


@pytest.mark.parametrize("item", [lambda: {"text": "x"}, lambda: "x", lambda: [1, 2], Doc])
def test_a_source_that_begins_anew_is_read_anew(item: Callable[[], Any]) -> None:
    """A dry run before the run, and again after a change, is the usual way to work."""

    class Docs:
        def __init__(self) -> None:
            self.others = ["second"]

        def __iter__(self) -> Iterator[Any]:
            return iter([item(), *self.others])

    docs = Docs()
    planned(docs, body="{{index}}")
    docs.others.append("third")
    run, _ = run_virtual(
        FanoutPattern.run(planned(docs, body="{{index}}"), run_context(Fake(echo)))
    )
    assert len(run) == 3


def test_what_a_source_raises_names_the_item() -> None:
    """By its number, before any call where the items are few."""

    class Broken(Endless):
        def __getitem__(self, at: int) -> int:
            if at == 2:
                raise KeyError("gone")
            return at

    with pytest.raises(OptionError, match="docs failed at item 3 with KeyError: 'gone'"):
        planned(Broken(5))


@pytest.mark.parametrize(
    ("value", "says"),
    [(3, "of type int"), (object(), "of type object"), (len, "needs a list of items")],
)
def test_what_has_no_items_is_an_error(value: object, says: str) -> None:
    """In one line, with what is needed."""
    with pytest.raises(OptionError, match=says):
        items_of(value, "docs")

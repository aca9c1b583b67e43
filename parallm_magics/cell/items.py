"""What `--each` runs over, read one item at a time and never gathered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.errors import OptionError

# Rows of a table that are turned into dicts at a time.
ROWS = 500


class BrokenSourceError(Exception):
    """The source raised while its next item was asked for; says so in one line."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one cell.

    Attributes:
        name: the variable, as errors name it.
        known: how many there are; None where only reading them tells.
        once: whether they can be read only once, as a generator's can.
        read: a new reader; where `once`, it goes on where the last one stopped.
        read_async: the same for an asynchronous source, or None.
        first: the first of them; None where only awaiting it tells.
        index: the labels of a pandas table's rows, by which its columns belong together; else None.
    """

    name: str
    known: int | None
    once: bool
    read: Callable[[], Iterator[Any]]
    read_async: Callable[[], AsyncIterator[Any]] | None = None
    first: Any = None
    index: Any = None

    def __iter__(self) -> Iterator[Any]:
        """The items of a source that is not asynchronous.

        Raises:
            BrokenSourceError: the source raised.
        """
        reader = self.read()
        while True:
            try:
                item = next(reader)
            except StopIteration:
                return
            # The user's own code may raise anything; it becomes one line.
            except (Exception, asyncio.CancelledError) as error:
                problem = _broke_off(self.name, error)
            else:
                yield item
                continue
            raise BrokenSourceError(problem)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The items of an asynchronous source.

        Raises:
            BrokenSourceError: the source raised.
        """
        assert self.read_async is not None
        reader = self.read_async()
        while True:
            try:
                item = await anext(reader)
            except StopAsyncIteration:
                return
            except (Exception, asyncio.CancelledError) as error:  # as above
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # the reading, not the source
                    raise
                problem = _broke_off(self.name, error)
            else:
                yield item
                continue
            raise BrokenSourceError(problem)


def items_of(value: Any, name: str) -> Items:
    """The items of a value of the user's.

    Raises:
        OptionError: nothing to run over, or nothing that has an order; says the way out.
    """
    if isinstance(value, str | bytes):
        raise OptionError(
            f"--each: {name} is one text; a list of items is needed, such as {name}.split()"
        )
    if isinstance(value, Mapping):
        raise OptionError(
            f"--each: {name} is a dict; say which part: list({name}.values()), or .items()"
        )
    if isinstance(value, set | frozenset):
        raise OptionError(f"--each: {name} is a set, without an order; use sorted({name})")
    if hasattr(type(value), "__aiter__"):
        return _asynchronous(value, name)
    return _not_empty(_table(value, name) or _iterable(value, name))


def _not_empty(items: Items) -> Items:
    """The items with the first one looked at, so that an empty source is told before any call."""
    empty = f"--each: {items.name} is empty; a generator can be read once"
    if items.known == 0:
        raise OptionError(empty)
    problem = ""
    try:
        first = list(itertools.islice(iter(items), 1))
    except BrokenSourceError as error:
        problem = f"--each: {error}"
    if problem:
        raise OptionError(problem)
    if not first:
        raise OptionError(empty)
    if not items.once:
        return replace(items, first=first[0])
    whole = itertools.chain(first, items.read())
    return replace(items, read=lambda: whole, first=first[0])


def _iterable(value: Any, name: str) -> Items:
    problem = ""
    try:
        reader = iter(value)
    except TypeError:
        problem = f"{name} is of type {type(value).__name__}; a list of items is needed"
    except Exception as error:  # as above
        problem = _broke_off(name, error)
    if problem:
        raise OptionError(f"--each: {problem}")
    if reader is value:
        return Items(name, None, True, lambda: reader)
    return Items(name, _length(value), False, lambda: iter(value))


def _table(value: Any, name: str) -> Items | None:
    """A data frame's rows as dicts, or a column's values as Python's own types."""
    package = type(value).__module__.partition(".")[0]
    if package == "pandas" and hasattr(value, "to_dict"):
        if type(value).__name__ != "DataFrame":
            return Items(
                name,
                len(value),
                False,
                lambda: _chunked(value, lambda c: c.tolist()),
                index=value.index,
            )
        if not value.columns.is_unique:
            raise OptionError(
                f"--each: {name} has two columns of one name, and a row can hold only one of them; rename one"
            )
        return Items(
            name,
            len(value),
            False,
            lambda: _chunked(value, lambda c: c.to_dict("records")),
            index=value.index,
        )
    if package == "polars" and hasattr(value, "iter_rows"):
        return Items(name, len(value), False, lambda: value.iter_rows(named=True))
    return None


def _chunked(table: Any, rows_of: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    for at in range(0, len(table), ROWS):
        yield from rows_of(table.iloc[at : at + ROWS])


def _asynchronous(value: Any, name: str) -> Items:
    problem = ""
    try:
        reader = aiter(value)
    except Exception as error:  # as above
        problem = _broke_off(name, error)
    if problem:
        raise OptionError(f"--each: {problem}")
    once = reader is value
    again: Callable[[], AsyncIterator[Any]] = (lambda: reader) if once else (lambda: aiter(value))
    return Items(name, None, once, lambda: iter(()), again)


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except Exception:  # most iterables have none, and a length of the user's may raise anything
        return None


def _broke_off(name: str, error: BaseException) -> str:
    why = ""
    with contextlib.suppress(Exception):  # an exception's text is the user's code too
        why = " ".join(str(error).split())[:200]
    return f"{name} broke off with {type(error).__name__}" + (f": {why}" if why else "")

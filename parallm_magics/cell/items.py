"""What `--each` runs over: one iterator, looked at once, each item read when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from parallm_magics.cell.tables import Table, table_of
from parallm_magics.core import user_code
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.errors import OptionError, translated

# Of a source that tells its length, so many items are read before the first call, so that what is
# wrong with any of them costs nothing.
ITEMS_AHEAD = 1_000
# So many sources are remembered whose first item was looked at, and which no run has read then.
REMEMBERED_SOURCES = 16


class BrokenSourceError(Exception):
    """The source raised while its next item was asked for; says so in one line."""


class Reader(Iterator[Any]):
    """Reads a source once, item by item.

    Raises:
        BrokenSourceError: the source raised; names the item.
        UserCodeInterrupted: the user interrupted it.
    """

    def __init__(
        self, name: str, items: Iterator[Any], known: int | None = None, *, exactly: bool = True
    ) -> None:
        """Take the source's one iterator.

        Args:
            known: how many items it has; no more are asked for.
            exactly: whether fewer are a fault of the source.
        """
        self._name, self._items, self._known, self._exactly = name, items, known, exactly
        self._ahead: deque[Any] = deque()
        self._read = 0
        self._cut = ""

    def __next__(self) -> Any:
        if self._ahead:
            _LOOKED_AT.forget(self)
            return self._ahead.popleft()
        return self._asked()

    def first(self) -> list[Any]:
        """Return the next item, which is read all the same; an empty list where there is none."""
        if not self._ahead:
            with contextlib.suppress(StopIteration):
                self._ahead.append(self._asked())
        return list(self._ahead)[:1]

    def put_back(self, item: Any) -> None:
        """Put back an item that could not be used yet; it is the next one again."""
        self._ahead.appendleft(item)

    def _asked(self) -> Any:
        if self._known is not None and self._read >= self._known:
            raise StopIteration
        problem = self._cut
        try:
            if not problem:
                item = user_code.call(next, self._items)
        except StopIteration:
            if self._known is None or not self._exactly:
                raise
            problem = (
                f"{self._name} says it has {self._known:,} items but ended after {self._read:,}"
            )
        except UserCodeInterrupted:
            self._refuse_closed()
            raise
        # The user's own code may raise anything; it becomes one line.
        except (Exception, asyncio.CancelledError) as error:
            problem = broke_off(self._name, error, self._read + 1)
        if problem:
            raise BrokenSourceError(problem)
        self._read += 1
        return item

    def _refuse_closed(self) -> None:
        """Note that a generator is closed, as it is once something was raised into it: that must be told."""
        items = self._items
        if inspect.isgenerator(items) and inspect.getgeneratorstate(items) == "GEN_CLOSED":
            self._cut = _cut(self._name, self._read + 1)


class AsyncReader(AsyncIterator[Any]):
    """The same for a source that must be awaited."""

    def __init__(self, name: str, items: AsyncIterator[Any]) -> None:
        self._name, self._items = name, items
        self._back: deque[Any] = deque()
        self._read = 0
        self._cut = ""

    async def __anext__(self) -> Any:
        if self._back:
            return self._back.popleft()
        problem = self._cut
        try:
            if not problem:
                item = await user_code.Steps(anext(self._items))
        except StopAsyncIteration:
            raise
        except UserCodeInterrupted:
            if getattr(self._items, "ag_frame", self) is None:
                self._cut = _cut(self._name, self._read + 1)
            raise
        except (Exception, asyncio.CancelledError) as error:  # as above
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # the reading, not the source
                raise
            problem = broke_off(self._name, error, self._read + 1)
        if problem:
            raise BrokenSourceError(problem)
        self._read += 1
        return item

    def put_back(self, item: Any) -> None:
        """Put back an item that could not be used yet; it is the next one again."""
        self._back.appendleft(item)


class _LookedAt:
    """Sources whose first item was looked at for a cell that then did not run.

    Whoever reads one next must get that item, as the source itself will not give it again.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Any, Reader]] = {}

    def remember(self, source: Any, reader: Reader) -> None:
        """Keep the reader until it goes on."""
        self._found[id(source)] = source, reader
        while len(self._found) > REMEMBERED_SOURCES:
            del self._found[next(iter(self._found))]

    def reader(self, source: Any) -> Reader | None:
        """Return the reader of a source that was only looked at."""
        found = self._found.get(id(source))
        return found[1] if found is not None and found[0] is source else None

    def forget(self, reader: Reader) -> None:
        """Forget the reader, which goes on."""
        for key, (_, known) in [*self._found.items()]:
            if known is reader:
                del self._found[key]


_LOOKED_AT = _LookedAt()


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one cell.

    Attributes:
        name: the variable, as errors name it.
        known: how many there are; None where only reading them tells.
        once: whether they are read only once, as nobody knows whether they can be read again.
        read: a new reader; where `once`, it goes on where the last one stopped.
        read_async: the same for an asynchronous source, or None.
        first: the first of them; None where only awaiting it tells.
        table: the table whose rows they are, or None.
        keys: the keys of a dict's items, in order; else None.
    """

    name: str
    known: int | None
    once: bool
    read: Callable[[], Reader]
    read_async: Callable[[], AsyncReader] | None = None
    first: Any = None
    table: Table | None = None
    keys: tuple[Any, ...] | None = None

    def __iter__(self) -> Reader:
        """The items of a source that is not asynchronous."""
        return self.read()

    @property
    def index(self) -> Any:
        """The labels of a pandas table's rows, by which its columns belong together; else None."""
        return None if self.table is None else self.table.index


def items_of(value: Any, name: str) -> Items:
    """Return the items of a value of the user's.

    Raises:
        OptionError: nothing to run over, or nothing that has an order; says the way out.
    """
    if isinstance(value, str | bytes):
        raise OptionError(
            f"--each: {name} is a single text; --each needs a list of items, such as {name}.split()"
        )
    if isinstance(value, Mapping):
        return _keyed(value, name)
    if isinstance(value, set | frozenset):
        raise OptionError(f"--each: {name} is a set, which has no order; use sorted({name})")
    if hasattr(type(value), "__aiter__"):
        return _asynchronous(value, name)
    if (table := table_of(value, name)) is not None:
        return _of_table(table, name)
    if _is_kept(value):
        return _again(name, len(value), lambda: iter(value))
    if isinstance(value, Sequence) and (known := _length(value)) is not None:
        return _again(name, known, lambda: map(value.__getitem__, range(known)))
    return _read_once(value, name)


def _is_kept(value: Any) -> bool:
    """Tell whether every iterator of this gives all of it: Python's own sequences, numpy's arrays."""
    own = any(
        type(value).__iter__ is kind.__iter__
        for kind in (list, tuple, range, deque)
        if isinstance(value, kind)
    )
    return own or (type(value).__module__ == "numpy" and getattr(value, "ndim", 0) > 0)


def _of_table(table: Table, name: str) -> Items:
    if not table.once:
        return _again(name, table.length, table.rows, table)
    reader = Reader(name, table.rows())
    return Items(name, None, True, lambda: reader, first=_first(reader, name), table=table)


def _again(
    name: str, known: int | None, rows: Callable[[], Iterator[Any]], table: Table | None = None
) -> Items:
    """Return items that can be read as often as they are wanted."""

    def read() -> Reader:
        return Reader(name, rows(), known)

    return Items(name, known, False, read, first=_first(read(), name), table=table)


def _read_once(value: Any, name: str) -> Items:
    """Return items of a source of the user's, of which one iterator is asked for, once.

    Another one may go on where the first stopped, begin anew, or raise.
    """
    known = _length(value)
    few = known is not None and known <= ITEMS_AHEAD
    reader = _LOOKED_AT.reader(value)
    if reader is None or not hasattr(value, "__next__"):
        looked_at = [] if reader is None else reader.first()
        items = _iterator(value, name, known)
        reader = Reader(name, items, known, exactly=not few)
        if looked_at and not _alike(looked_at, reader.first()):
            _LOOKED_AT.remember(value, reader)
            raise OptionError(
                f"--each: {name} lost its first item to a cell that did not run; create it again, "
                f"or make a list of it first: list({name})"
            )
    first = _first(reader, name)
    if few:
        return _gathered(reader, name)
    _LOOKED_AT.remember(value, reader)
    return Items(name, known, True, lambda: reader, first=first)


def _alike(before: list[Any], now: list[Any]) -> bool:
    """Tell whether a source has begun anew, as far as its first item tells."""
    with contextlib.suppress(Exception):  # a comparison of the user's may raise anything
        for was, is_ in zip(before, now, strict=True):
            if "__eq__" not in {name for kind in type(was).__mro__[:-1] for name in vars(kind)}:
                return _parts(was) == _parts(is_)
            return bool(was == is_)
    return False


def _parts(item: Any) -> object:
    """Return what an object that does not say when it equals another one is made of."""
    return type(item), vars(item) if hasattr(item, "__dict__") else None


def _gathered(reader: Reader, name: str) -> Items:
    found = translated(lambda: list(reader), _told, BrokenSourceError)
    return _again(name, len(found), lambda: iter(found))


def _told(error: BrokenSourceError) -> OptionError:
    return OptionError(f"--each: {error}")


def _iterator(value: Any, name: str, known: int | None) -> Iterator[Any]:
    """Return the one iterator of a source; by number where it has a length and no iterator of its own."""
    if known is not None and not hasattr(type(value), "__iter__") and hasattr(value, "__getitem__"):
        return map(value.__getitem__, range(known))

    def told(error: Exception) -> Exception:
        if isinstance(error, TypeError):
            kind = type(value).__name__
            return OptionError(f"--each: {name} is of type {kind}; --each needs a list of items")
        return _broken(name, error)

    return translated(lambda: user_code.call(iter, value), told, Exception)


def _broken(name: str, error: Exception) -> Exception:
    """Return what the user's own code raised, in one line; an interrupt stays one."""
    if isinstance(error, UserCodeInterrupted):
        return error
    return OptionError(f"--each: {broke_off(name, error)}")


def _keyed(value: Mapping[Any, Any], name: str) -> Items:
    """Return the items of a dict of key and item."""

    def read() -> tuple[tuple[Any, ...], str]:
        keys = user_code.call(tuple, value)
        return keys, user_code.call(_alike_keys, keys, name)

    keys, problem = translated(read, partial(_broken, name), Exception)
    if problem:
        raise OptionError(f"--each: {problem}")
    items = _again(name, len(keys), lambda: map(value.__getitem__, keys))
    return replace(items, keys=keys)


def _alike_keys(keys: Sequence[Any], name: str) -> str:
    """Return which two keys could not be told apart as the names of records; "" where all can."""
    seen: dict[str, Any] = {}
    for key in keys:
        other = seen.setdefault(str(key), key)
        if other is not key:
            return f"the keys {other!r} and {key!r} of {name} look the same as text; rename one"
    return ""


def _first(reader: Reader, name: str) -> Any:
    """Return the first item, so that an empty source is told before any call."""
    for item in translated(reader.first, _told, BrokenSourceError):
        return item
    raise OptionError(f"--each: {name} is empty; a generator can be read only once")


def _asynchronous(value: Any, name: str) -> Items:
    items = translated(lambda: aiter(value), partial(_broken, name), Exception)
    reader = AsyncReader(name, items)
    nothing = Reader(name, iter(()))
    return Items(name, None, True, lambda: nothing, lambda: reader)


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except Exception:  # most iterables have none, and a length of the user's may raise anything
        return None


def _cut(name: str, number: int) -> str:
    return f"{name} is a generator that was interrupted while it produced item {number:,}"


def broke_off(name: str, error: BaseException, number: int = 0) -> str:
    """Say in one line that a source raised, and at which item."""
    why = ""
    with contextlib.suppress(Exception):  # an exception's text is the user's code too
        why = " ".join(str(error).split())[:200]
    at = f" at item {number:,}" if number else ""
    return f"{name} failed{at} with {type(error).__name__}" + (f": {why}" if why else "")

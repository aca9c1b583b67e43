"""What the kernel and the workers of a cluster send each other, and how it is packed."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from parallm_magics.answers.schema_sources import Validated, schema_of
from parallm_magics.cluster.packed_columns import LimitEvent, Thin, thin
from parallm_magics.core.models import Model
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Event, Fault, Reading, Record, Task
from parallm_magics.engine.accounts import Price, Worst
from parallm_magics.engine.retries import Rules
from parallm_magics.errors import OptionError
from parallm_magics.providers import registry
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.entry import ProviderEntry

PROCESS = uuid.uuid4().hex
"""This process: whoever is sent something by itself has its providers already."""


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What every chunk of a run has in common.

    Attributes:
        run: names the run; what workers say of it is published under this topic.
        kernel: the process that has begun it.
        rules: as everywhere; those on successes are kept by the kernel.
        price: the cost of a call's tokens.
        worst: the most that one try can cost.
        capped: whether money is leased too.
        scale: the real seconds of a simulated one, where time is virtual; else None.
        told: whether anybody hears what happens to calls under way.
    """

    run: str
    kernel: str
    rules: Rules
    price: Price
    worst: Worst
    capped: bool
    scale: float | None
    told: bool = True


@dataclass(frozen=True, slots=True)
class Need:
    """What the next try in line would use: tokens, and US dollars at most."""

    tokens: float = 0.0
    dollars: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Question:
    """How a worker stands, by which it asks for what it may use next.

    What is summed is summed from its beginning, so that nothing is lost or doubled with a message.

    Attributes:
        number: counts the questions of a worker.
        heard: the number of the last answer that it goes by.
        under_way: calls at once, by account; "" for all.
        wanted: how many it could have under way.
        needs: what the calls next in line would use, by account.
        used: permits that are over, or were corrected: calls and tokens that were used of each.
        held: US dollars set aside for all tries that have ended.
        cost: US dollars that they have cost.
        returned: leased US dollars that it gives back.
    """

    number: int
    heard: int = -1
    under_way: Mapping[str, int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    needs: Mapping[str, Sequence[Need]] = field(default_factory=dict)
    used: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    held: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    returned: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells the kernel.

    Attributes:
        member: the worker: its address, and which of the processes that had it.
        address: where it is answered.
        records: the records that have ended since the last report, each with its chunk.
        events: what happened to calls under way.
        limits: what their providers were like.
        closed: accounts, or models of theirs, of which no call can succeed any more, and why.
        opening: chunks that wait to hear what of them is done.
        ended: chunks that have ended.
        question: how it stands.
        over: whether it has ended all its chunks, and goes by no lease any more.
        at: when it tells this, on its own clock.
    """

    member: str
    address: str
    records: Sequence[Record] = ()
    events: Sequence[Event] = ()
    limits: Sequence[LimitEvent] = ()
    closed: Sequence[tuple[str, Model | None, Fault]] = ()
    opening: Sequence[int] = ()
    ended: Sequence[int] = ()
    question: Question = field(default_factory=lambda: Question(0))
    over: bool = False
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Permit:
    """So many tries of one account's calls may begin, within a span that counts from the question.

    Attributes:
        calls: how many; None where nobody counts them.
        tokens: how many they may take together; None likewise.
        span: seconds from the moment at which the worker has asked.
    """

    number: int
    account: str
    calls: int | None
    tokens: float | None
    span: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker may use.

    Attributes:
        number: counts the answers to a worker.
        question: the number of its question that is answered; spans count from when that was asked.
        term: seconds for which the slots may be used.
        slots: calls at once, by account; "" for all.
        permits: what is granted of the requests and tokens of a minute.
        dollars: US dollars leased from its beginning.
        left: each cap on cost: its name, the cap, and what is left of it.
        gates: seconds before which no call of an account may begin.
        closed: accounts, or models of theirs, of which no call can succeed any more, and why.
        open: chunks that may begin, each with what of it is done.
        at: seconds since the run's start.
        stop: why the run is stopped; "" where it is not.
    """

    number: int
    question: int
    term: float
    slots: Mapping[str, int] = field(default_factory=dict)
    permits: Sequence[Permit] = ()
    dollars: Decimal = Decimal(0)
    left: Sequence[tuple[str, Decimal, Decimal]] = ()
    gates: Mapping[str, float] = field(default_factory=dict)
    closed: Sequence[tuple[str, Model | None, Fault]] = ()
    open: Mapping[int, Sequence[int]] = field(default_factory=dict)
    at: float = 0.0
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Calls that go to a worker together.

    Attributes:
        tasks: the calls.
        entries: providers that a process of its own would not know.
    """

    tasks: tuple[Task, ...]
    entries: tuple[ProviderEntry, ...]


_COLUMNS: Mapping[type, Sequence[str]] = {
    Report: ("records", "events", "limits"),
    Chunk: ("tasks",),
}
"""By the kind of a message, its fields that hold many objects."""
_LARGE = 20_000
"""Bytes from which on a message is compressed; a smaller one is sent sooner than that."""
_COMPRESSED = b"\x78"
"""With this zlib begins, and pickle does not."""


def packed(message: Any) -> bytes:
    """A message as bytes."""
    names = _COLUMNS.get(type(message))
    data = _dumped(thin(message, names) if names else message)
    return data if len(data) < _LARGE else zlib.compress(data, 1)


def unpacked(data: bytes) -> Any:
    """The message that was packed by this package in another process of the same cluster."""
    from distributed.protocol.pickle import loads

    found = loads(zlib.decompress(data) if data[:1] == _COMPRESSED else data)
    return found.whole() if isinstance(found, Thin) else found


def _dumped(found: Any) -> bytes:
    """An object as bytes; what stands in the notebook itself is taken along, as no worker could import it."""
    from distributed.protocol.pickle import dumps

    data: bytes = dumps(found)
    return data


def pack_chunk(tasks: Sequence[Task]) -> bytes:
    """The calls as bytes, without anything that only the notebook has.

    Raises:
        OptionError: something in them cannot be sent.
    """
    schemas: dict[int, Schema] = {}
    sent = tuple(_portable(task, schemas) for task in tasks)
    names = dict.fromkeys(task.model.provider for task in tasks)
    chunk = Chunk(sent, tuple(_entries(names)))
    try:
        data = packed(chunk)
    # Whatever a value of the user's raises where it is pickled.
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    else:
        return data
    raise OptionError(
        f"--engine dask: a call cannot be sent to the workers ({why}); use --engine local"
    )


def _entries(names: Iterable[str]) -> Iterable[ProviderEntry]:
    """The providers that this process has given a name, or another address.

    Raises:
        OptionError: an address holds credentials, which never leave this process.
    """
    for name in names:
        entry = registry.find(name)
        if entry is None or entry is BY_NAME.get(name):
            continue
        address = urlsplit(entry.base_url)
        if address.username or address.password or address.query:
            raise OptionError(
                f"--engine dask: the address of provider {name!r} holds credentials, which are not sent to the "
                f"workers; name a variable of the workers' environment: %parallm provider {name} --key-env NAME"
            )
        yield entry


def _portable(task: Task, schemas: dict[int, Schema]) -> Task:
    """The call; what reads its answer by a class of the user's does so by the class's JSON Schema."""
    questions = tuple(_portable(each, schemas) for each in task.questions)
    reading = task.reading
    if reading is None or reading.schema is None or not made_by_a_class(reading):
        return replace(task, questions=questions) if questions else task
    schema = reading.schema
    if id(schema) not in schemas:
        by_document = schema_of(json.loads(schema.document))
        schemas[id(schema)] = replace(
            by_document, name=schema.name, document=schema.document, fields=schema.fields
        )
    portable = replace(reading, schema=schemas[id(schema)])
    return replace(task, questions=questions, reading=portable)


def made_by_a_class(reading: Reading) -> bool:
    """Whether the objects of such answers are made by a class of the user's."""
    make: Callable[[Any], Any] | None = None if reading.schema is None else reading.schema.make
    return isinstance(getattr(make, "__self__", None), Validated)

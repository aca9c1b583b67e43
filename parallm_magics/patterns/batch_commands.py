"""What a person may do with the batches of a file of recordings: see, end, decide, give up, collect."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import Batches, BatchState, batches_of
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Record
from parallm_magics.engine.batch_ids import asked_by
from parallm_magics.errors import OptionError, ParallmError, nearest, translated
from parallm_magics.patterns.batch_strays import stray_of
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.batch_ledger import FileLedger
from parallm_magics.recordings.store import Recordings


class LookedAt(NamedTuple):
    """A batch with what its provider says of it.

    Attributes:
        entry: what the file says of it.
        state: what the provider says; None where it was not asked, or did not tell.
        problem: why it did not tell; else "".
    """

    entry: BatchEntry
    state: BatchState | None = None
    problem: str = ""


class Collected(NamedTuple):
    """What has come of reading a batch's results.

    Attributes:
        entry: what the file says of the batch now.
        answers: how many answers it has, those that were recorded before included.
        failed: how many of its requests have none.
        missing: how many it did not tell of; where there are any, the batch stays open.
    """

    entry: BatchEntry
    answers: int
    failed: int
    missing: int


def batches_in(store: Recordings | None) -> list[BatchEntry]:
    """All batches that the file tells of, the oldest first; nobody is asked.

    Raises:
        ParallmError: there is no file, or it cannot be read.
    """
    return _ledger(store)[1]


async def look_at(store: Recordings | None, clients: Clients, name: str = "") -> list[LookedAt]:
    """Ask the providers how far the open batches are, the newest first, or how far that one is."""
    entries = batches_in(store)
    wanted = [_find(entries, name)] if name else [e for e in reversed(entries) if not e.closed]
    return [await _look_at(clients, entry) for entry in wanted]


async def cancel(store: Recordings | None, clients: Clients, name: str) -> LookedAt:
    """Ask the provider to end a batch early; what has ended by then is paid, and can be collected.

    Raises:
        ParallmError: there is no such batch, it is over, or the provider did not take the request.
    """
    ledger, entries = _ledger(store)
    entry = _open(_find(entries, name))
    if not entry.id:
        raise ParallmError(
            f"batch {entry.nonce} has no id yet, so it cannot be cancelled; run the cell again to find it"
        )
    api, problem = await _api(clients, entry), ""
    try:
        state = await api.cancel(entry.id)
    except CallFailed as error:
        problem = f"batch {entry.id} could not be cancelled: {error.fault.message}"
    if problem:
        raise ParallmError(problem)
    _written(lambda: ledger.cancelled(entry))
    return LookedAt(_find(ledger.batches(), entry.nonce), state)


def adopt(store: Recordings | None, known: str, nonce: str = "") -> BatchEntry:
    """Say that the provider's batch of that id is the one whose id was never heard; its results will prove it.

    Args:
        nonce: which of several; may be left out where there is one.

    Raises:
        ParallmError: no batch, or more than one, lacks its id.
    """
    ledger, entries = _ledger(store)
    lacking = [each for each in entries if not (each.closed or each.id)]
    chosen = [_open(_find(entries, nonce))] if nonce else lacking
    if not chosen:
        raise ParallmError("every open batch of the file has its id, so there is nothing to adopt")
    if len(chosen) > 1:
        nonces = ", ".join(each.nonce for each in chosen)
        raise ParallmError(
            f"{len(chosen)} batches lack their id: write %parallm batches adopt {known} NONCE, with one of {nonces}"
        )
    owner = next((each for each in entries if known == each.id), None)
    if owner is not None:
        raise ParallmError(f"batch {known} is in the file already, as {owner.nonce}")
    _written(lambda: ledger.sent(chosen[0], known, sure=False))
    return _find(ledger.batches(), chosen[0].nonce)


def drop(store: Recordings | None, name: str) -> BatchEntry:
    """Give a batch up: its requests are sent anew when a cell asks them. It is not cancelled.

    Raises:
        ParallmError: there is no such batch, or it is over.
    """
    ledger, entries = _ledger(store)
    entry = _open(_find(entries, name))
    _written(lambda: ledger.dropped(entry, "by command"))
    return _find(ledger.batches(), entry.nonce)


async def collect(
    store: Recordings | None,
    clients: Clients,
    name: str,
    count_paid: Callable[[Record], None] | None = None,
) -> Collected:
    """Record the answers of a batch that has ended, whether or not a cell is there that asks for them.

    Args:
        count_paid: hears the record of each answer that was not recorded before.

    Raises:
        ParallmError: there is no such batch, it has not ended, or its results cannot be read.
    """
    ledger, entries = _ledger(store)
    entry = _open(_find(entries, name))
    if not entry.id:
        raise ParallmError(f"batch {entry.nonce} has no id yet; run the cell again to find it")
    api = await _api(clients, entry)
    keep, read, answers, problem = stray_of(ledger, count_paid), set[str](), 0, ""
    known = frozenset(entry.asked)
    try:
        state = await api.state(entry.id)
        if state.status != "ended":
            problem = f"batch {entry.id} has not ended yet ({state.status}); collect it later"
        else:
            async for result in api.results(state, ()):
                asked = asked_by(entry.nonce, result.id)
                if asked not in known or result.id in read:
                    continue
                read.add(result.id)
                if isinstance(result.end, Reply):
                    answers += 1
                    keep(entry, asked, result.end)
    except CallFailed as error:
        problem = f"batch {entry.id} could not be read to its end: {error.fault.message}"
    if problem:
        raise ParallmError(problem)
    missing = max(0, entry.count - len(read))
    if not missing:
        _written(lambda: ledger.collected(entry))
    return Collected(_find(ledger.batches(), entry.nonce), answers, len(read) - answers, missing)


def _ledger(store: Recordings | None) -> tuple[FileLedger, list[BatchEntry]]:
    if store is None:
        raise OptionError(
            "%parallm batches: recordings are off, and batches stand in their file; run %parallm recordings PATH"
        )
    ledger, problem = FileLedger(store), ""
    try:
        return ledger, ledger.batches()
    except OSError as error:
        problem = error.strerror or str(error)
    raise ParallmError(f"%parallm batches: {store.path.name} cannot be read ({problem})")


def _find(entries: list[BatchEntry], name: str) -> BatchEntry:
    for entry in reversed(entries):
        if name and name in (entry.id, entry.nonce):
            return entry
    known = [each for entry in entries for each in (entry.id, entry.nonce) if each]
    raise OptionError(
        f"%parallm batches: the file has no batch {name[:80]!r}{nearest(name, known)}"
    )


def _open(entry: BatchEntry) -> BatchEntry:
    if entry.closed:
        raise ParallmError(f"batch {entry.named} is over: {entry.closed}")
    return entry


async def _look_at(clients: Clients, entry: BatchEntry) -> LookedAt:
    if not entry.id:
        return LookedAt(entry, None, "its id was not heard; run the cell again to find it")
    try:
        state = await (await _api(clients, entry)).state(entry.id)
    except CallFailed as error:
        return LookedAt(entry, None, error.fault.message)
    except ParallmError as error:
        return LookedAt(entry, None, str(error))
    return LookedAt(entry, state)


async def _api(clients: Clients, entry: BatchEntry) -> Batches:
    """Where a batch is.

    Raises:
        ParallmError: its provider is not known here, its key is missing, or it has no batches.
    """
    api = batches_of(await clients.get(Model(entry.provider)))
    if api is None:
        raise ParallmError(f"batch {entry.named}: {entry.provider} has no batch API here")
    return api


def _written(write: Callable[[], None]) -> None:
    """Write a line of the ledger.

    Raises:
        ParallmError: it cannot be written.
    """
    translated(
        write,
        lambda error: ParallmError(
            f"%parallm batches: the recordings file cannot be written ({error.strerror or error})"
        ),
        OSError,
    )

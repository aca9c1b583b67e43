"""`%parallm batches`: what the recordings file tells of batches, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from IPython.display import display as show_it

from parallm_magics import display
from parallm_magics.cell.blocks import Token
from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import Batches, BatchState, batches_of
from parallm_magics.core.provider import CallFailed
from parallm_magics.errors import OptionError, ParallmError, nearest, then
from parallm_magics.patterns.shown import Picture
from parallm_magics.providers.registry import parse_model
from parallm_magics.recordings.batch_ledger import FileLedger

T = TypeVar("T")
MOST_ROWS = 30
"""Most batches that are listed; of more, the open ones first, and of those the newest."""


def batches(magics: Any, rest: Sequence[Token]) -> None:
    """List the batches of --batch, or show, cancel, adopt or drop one of them."""
    words = [token.text for token in rest]
    ledger = _ledger(magics)
    if not words:
        _list(ledger)
        return
    verb, *ids = words
    if verb not in VERBS:
        unknown = f"%parallm batches has no command {verb[:40]!r}{nearest(verb, VERBS)}"
        raise OptionError(then(unknown, f"known: {', '.join(VERBS)}"))
    VERBS[verb](magics, ledger, ids)


def open_ids(shell: Any) -> Sequence[tuple[str, str]]:
    """The open batches with what is known of each, for completion."""
    store = shell.magics_manager.registry["ParallmMagics"].session.recordings
    known = [] if store is None else FileLedger(store).batches()
    return [(each.named, f"{each.count:,} requests") for each in known if not each.closed]


# --- the commands ---------------------------------------------------------------------------------


def _list(ledger: FileLedger) -> None:
    known = ledger.batches()
    if not known:
        print(f"no batches in {_file(ledger)}; add --batch to a cell to send its calls as a batch")
        return
    known.reverse()
    found = sorted(known, key=lambda each: bool(each.closed))
    rows = tuple(
        (each.named, ", ".join(each.models), f"{each.count:,}", _ago(each), _state(each))
        for each in found[:MOST_ROWS]
    )
    left = len(found) - MOST_ROWS
    note = f"{left:,} more" if left > 0 else ""
    head = ("Batch", "Model", ">Requests", "Written", "State")
    _show(display.Table("", head, rows, rest=4, note=note, caption="Batches"))


def show(magics: Any, ledger: FileLedger, ids: Sequence[str]) -> None:
    """Ask the provider how far a batch is; without an id, all that are open."""
    if len(ids) == 1:
        batch = _one(ledger, ids[0], closed=True)
        state = _told(magics, batch, partial(_state_of, batch))
        _show(display.Facts(tuple(_facts(batch, state))))
        return
    _most(ids, 0, "show [ID]")
    rows = []
    for batch in (each for each in ledger.batches() if not each.closed):
        try:
            state = _told(magics, batch, partial(_state_of, batch))
            counts = (f"{state.succeeded:,}", f"{state.failed:,}", _words(state))
        except ParallmError as error:
            counts = ("–", "–", str(error))
        rows.append((batch.named, f"{batch.count:,}", *counts))
    if not rows:
        print(f"no open batches in {_file(ledger)}")
        return
    head = ("Batch", ">Requests", ">Succeeded", ">Failed", "State")
    _show(display.Table("", head, tuple(rows), rest=4, caption="Batches"))


def cancel(magics: Any, ledger: FileLedger, ids: Sequence[str]) -> None:
    """Ask the provider to end a batch early; what has ended by then is kept, and paid."""
    batch = _one(ledger, _only(ids, "cancel ID"))
    state = _told(magics, batch, lambda api: api.cancel(_id(batch)))
    ledger.cancelled(batch)
    print(
        f"batch {batch.named}: {_words(state)}; what has ended by then is paid, and is collected when the cell "
        f"is run again"
    )


def adopt(magics: Any, ledger: FileLedger, ids: Sequence[str]) -> None:
    """Say which batch of the provider one is whose id was never heard."""
    if not 1 <= len(ids) <= 2:
        raise OptionError(
            "%parallm batches adopt ID, or adopt ID NONCE where several are undecided"
        )
    known, *nonce = ids
    batch = _undecided(ledger, nonce)
    owner = next((each for each in ledger.batches() if each.id == known and each.sure), None)
    if owner is not None:
        raise OptionError(
            f"{known[:80]} is another batch of this file, with {owner.count:,} requests"
        )
    state = _told(magics, batch, lambda api: api.state(known))
    if state.total not in (None, batch.count):
        raise OptionError(
            f"{known[:80]} has {state.total:,} requests, and batch {batch.nonce} has {batch.count:,}; it is another "
            f"one"
        )
    ledger.sent(batch, known, sure=False)
    print(
        f"batch {batch.nonce} is taken for {known}; its results will tell. Run the cell again to go on"
    )


def drop(magics: Any, ledger: FileLedger, ids: Sequence[str]) -> None:
    """Give a batch up: its requests are sent again when a cell asks for them."""
    batch = _one(ledger, ids[0]) if len(ids) == 1 else _undecided(ledger, ids)
    ledger.dropped(batch, "by hand")
    paid = f"; the provider goes on with {batch.id} and charges for it" if batch.id else ""
    print(f"batch {batch.named} is dropped: a cell that needs its answers sends them again{paid}")


Verb = Callable[[Any, FileLedger, Sequence[str]], None]
VERBS: dict[str, Verb] = {"show": show, "cancel": cancel, "adopt": adopt, "drop": drop}
FLAGS = {name: (verb.__doc__ or "").partition("\n")[0].rstrip(".") for name, verb in VERBS.items()}
"""The words behind `%parallm batches`, and what each does."""


# --- which batch ----------------------------------------------------------------------------------


def _ledger(magics: Any) -> FileLedger:
    store = magics.session.recordings
    if store is None:
        raise OptionError(
            "%parallm batches: recordings are off, and batches are kept in their file; run %parallm recordings PATH"
        )
    return FileLedger(store)


def _one(ledger: FileLedger, named: str, *, closed: bool = False) -> BatchEntry:
    """The batch of that id or nonce, which must be open unless closed ones will do."""
    known = ledger.batches()
    for batch in reversed(known):
        if named in (batch.id, batch.nonce) and (closed or not batch.closed):
            return batch
    over = next((each for each in known if named in (each.id, each.nonce)), None)
    if over is not None:
        raise OptionError(f"batch {named[:80]} is over: {over.closed}")
    names = [each.named for each in known if not each.closed]
    unknown = f"there is no batch {named[:80]!r} in {_file(ledger)}{nearest(named, names)}"
    raise OptionError(then(unknown, "%parallm batches lists them"))


def _undecided(ledger: FileLedger, nonce: Sequence[str]) -> BatchEntry:
    """The batch of which nobody knows whether it was taken; of several, the one of that nonce."""
    found = [each for each in ledger.batches() if not (each.closed or (each.id and each.sure))]
    found = [each for each in found if not nonce or each.nonce == nonce[0]]
    if len(found) == 1:
        return found[0]
    if not found:
        raise OptionError(f"there is no such batch in {_file(ledger)} whose id is unknown")
    names = ", ".join(each.nonce for each in found[:3])
    raise OptionError(f"{len(found)} batches have no id yet; say which one behind it: {names}")


def _id(batch: BatchEntry) -> str:
    if not batch.id:
        raise OptionError(
            f"batch {batch.nonce}: its id was never heard; run the cell again to look for it"
        )
    return batch.id


def _only(ids: Sequence[str], form: str) -> str:
    if len(ids) != 1:
        raise OptionError(f"expected one id: %parallm batches {form}")
    return ids[0]


def _most(ids: Sequence[str], most: int, form: str) -> None:
    if len(ids) > most:
        raise OptionError(f"unexpected {ids[most][:40]!r}: %parallm batches {form}")


async def _state_of(batch: BatchEntry, api: Batches) -> BatchState:
    return await api.state(_id(batch))


# --- asking the provider --------------------------------------------------------------------------


def _told(magics: Any, batch: BatchEntry, ask: Callable[[Batches], Coroutine[Any, Any, T]]) -> T:
    """What the provider of a batch says.

    Raises:
        ParallmError: it cannot be asked, or it says nothing of use.
    """

    async def asked() -> T | str:
        provider = await magics.session.clients.get(parse_model(batch.models[0]))
        api = batches_of(provider)
        if api is None:
            return f"{batch.provider} has no batch API"
        try:
            return await ask(api)
        except CallFailed as failed:
            return failed.fault.message

    found: T | str = magics.session.waited(asked())
    if isinstance(found, str):
        raise ParallmError(f"batch {batch.named}: {found}")
    return found


# --- in words -------------------------------------------------------------------------------------


def _file(ledger: FileLedger) -> str:
    assert ledger.store is not None
    return repr(ledger.store.path.name)


def _show(block: display.Block) -> None:
    show_it(Picture([block], framed=True))


def _ago(batch: BatchEntry) -> str:
    return f"{display.about(batch.age)} ago"


def _state(batch: BatchEntry) -> str:
    """How far it is, as the file knows."""
    if batch.closed:
        return batch.closed
    if not batch.id:
        return "not known whether it was taken"
    told = "cancelled, not collected" if batch.cancelled else "sent, not collected"
    return told if batch.sure else f"{told}; its results will tell whether it is this one"


def _words(state: BatchState) -> str:
    return f"{state.status}: {state.why}" if state.why else state.status


def _facts(batch: BatchEntry, state: BatchState) -> list[tuple[str, str]]:
    total = batch.count if state.total is None else state.total
    told = [
        ("batch", batch.named),
        ("provider", batch.provider),
        ("model", ", ".join(batch.models)),
        ("state", _words(state)),
        ("requests", f"{total:,}: {state.succeeded:,} succeeded, {state.failed:,} failed"),
    ]
    times = (("created", state.created), ("expires", state.expires), ("ended", state.ended))
    told += [(name, _date(at)) for name, at in times if at is not None]
    return [*told, ("in the file", _state(batch))]


def _date(at: float) -> str:
    """A moment of the provider's clock."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"

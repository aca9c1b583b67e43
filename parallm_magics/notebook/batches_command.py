"""`%parallm batches`: what the recordings file tells of batches, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from IPython.display import display as show_it

from parallm_magics import display
from parallm_magics.cell.blocks import Token
from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import BatchState
from parallm_magics.core.tasks import Record
from parallm_magics.engine.accounts import NOTHING
from parallm_magics.errors import OptionError, nearest, then
from parallm_magics.patterns import batch_commands
from parallm_magics.patterns.shown import Picture

MOST_ROWS = 30
"""Most batches that are listed; of more, the open ones first, and of those the newest."""


def batches(magics: Any, rest: Sequence[Token]) -> None:
    """List the batches of --batch, or show, cancel, collect, adopt or drop one of them."""
    words = [token.text for token in rest]
    if not words:
        _list(magics.session)
        return
    verb, *ids = words
    if verb not in VERBS:
        unknown = f"%parallm batches has no command {verb[:40]!r}{nearest(verb, VERBS)}"
        raise OptionError(then(unknown, f"known: {', '.join(VERBS)}"))
    VERBS[verb](magics.session, ids)


def open_ids(shell: Any) -> Sequence[tuple[str, str]]:
    """The open batches with what is known of each, for completion."""
    session = shell.magics_manager.registry["ParallmMagics"].session
    known = batch_commands.batches_in(session.recordings)
    return [(each.named, _requests(each.count)) for each in known if not each.closed]


# --- the commands ---------------------------------------------------------------------------------


def _list(session: Any) -> None:
    known = batch_commands.batches_in(session.recordings)
    if not known:
        print(f"no batches in {_file(session)}; add --batch to a cell to send its calls as a batch")
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


def show(session: Any, ids: Sequence[str]) -> None:
    """Ask the provider how far a batch is; without an id, all that are open."""
    if len(ids) > 1:
        raise OptionError(f"unexpected {ids[1][:40]!r}: %parallm batches show [ID]")
    name = ids[0] if ids else ""
    found = session.waited(batch_commands.look_at(session.recordings, session.clients, name))
    if name:
        entry, state, problem = found[0]
        _show(display.Facts(tuple(_facts(entry, state, problem))))
        return
    if not found:
        print(f"no open batches in {_file(session)}")
        return
    rows = tuple(
        (each.entry.named, f"{each.entry.count:,}", *_counts(each.state, each.problem))
        for each in found
    )
    head = ("Batch", ">Requests", ">Succeeded", ">Failed", "State")
    _show(display.Table("", head, rows, rest=4, caption="Batches"))


def cancel(session: Any, ids: Sequence[str]) -> None:
    """Ask the provider to end a batch early; what has ended by then is kept, and paid."""
    name = _only(ids, "cancel ID")
    entry, state, _ = session.waited(
        batch_commands.cancel(session.recordings, session.clients, name)
    )
    print(
        f"batch {entry.named}: {_words(state)}; what has ended by then is paid, and is collected when the cell is "
        f"run again"
    )


def collect(session: Any, ids: Sequence[str]) -> None:
    """Record the answers of a batch that has ended, without the cell that asked for them."""
    name = _only(ids, "collect ID")

    def count_paid(record: Record) -> None:
        session.spend.add(record)
        session.ledger.release(NOTHING, record.cost or NOTHING)

    done = session.waited(
        batch_commands.collect(session.recordings, session.clients, name, count_paid)
    )
    told = f"{done.answers:,} answers recorded, {done.failed:,} requests failed"
    if not done.missing:
        session.ledger.free({done.entry.nonce})
    lack = f", {done.missing:,} results are missing" if done.missing else ""
    print(f"batch {done.entry.named}: {told}{lack}")


def adopt(session: Any, ids: Sequence[str]) -> None:
    """Say which batch of the provider is the one whose id was never heard."""
    if not 1 <= len(ids) <= 2:
        raise OptionError("expected an id: %parallm batches adopt ID [NONCE]")
    entry = batch_commands.adopt(session.recordings, *ids)
    print(
        f"batch {entry.nonce} is taken for {ids[0]}; its results will tell. Run the cell again to go on"
    )


def drop(session: Any, ids: Sequence[str]) -> None:
    """Give a batch up: its requests are sent again when a cell asks for them."""
    entry = batch_commands.drop(session.recordings, _only(ids, "drop ID"))
    session.ledger.free({entry.nonce})
    paid = f"; the provider goes on with {entry.id} and charges for it" if entry.id else ""
    print(f"batch {entry.named} is dropped: a cell that needs its answers sends them again{paid}")


VERBS: dict[str, Callable[[Any, Sequence[str]], None]] = {
    "show": show,
    "cancel": cancel,
    "collect": collect,
    "adopt": adopt,
    "drop": drop,
}
FLAGS = {name: (verb.__doc__ or "").partition("\n")[0].rstrip(".") for name, verb in VERBS.items()}
"""The words behind `%parallm batches`, and what each does."""


def _only(ids: Sequence[str], form: str) -> str:
    if len(ids) != 1:
        raise OptionError(f"expected one id: %parallm batches {form}")
    return ids[0]


# --- in words -------------------------------------------------------------------------------------


def _file(session: Any) -> str:
    return repr(session.recordings.path.name)


def _show(block: display.Block) -> None:
    show_it(Picture([block], framed=True))


def _requests(number: int) -> str:
    return display.count(number, "request")


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


def _counts(state: BatchState | None, problem: str) -> tuple[str, str, str]:
    """How many requests have ended how, and how far the batch is."""
    if state is None:
        return "–", "–", problem
    return f"{state.succeeded:,}", f"{state.failed:,}", _words(state)


def _words(state: BatchState) -> str:
    return f"{state.status}: {state.why}" if state.why else state.status


def _facts(batch: BatchEntry, state: BatchState | None, problem: str) -> list[tuple[str, str]]:
    """All that is known of a batch."""
    told = [
        ("batch", batch.named),
        ("provider", batch.provider),
        ("model", ", ".join(batch.models)),
        ("written", _ago(batch)),
        ("in the file", _state(batch)),
    ]
    if state is None:
        return [*told, ("requests", f"{batch.count:,}"), ("at the provider", problem)]
    total = batch.count if state.total is None else state.total
    counts = f"{total:,}: {state.succeeded:,} succeeded, {state.failed:,} failed"
    told += [("at the provider", _words(state)), ("requests", counts)]
    times = (("created", state.created), ("expires", state.expires), ("ended", state.ended))
    return [*told, *((name, _date(at)) for name, at in times if at is not None)]


def _date(at: float) -> str:
    """A moment of the provider's clock."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"

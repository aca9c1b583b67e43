"""Whether a batch that may have been sent was taken: its provider's list decides, or nobody does."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import Batches, BatchState
from parallm_magics.engine.batch_waiting import Waiting
from parallm_magics.errors import ParallmError

LOOK_AGAIN_SECONDS = 10.0
"""A list may come to know a new batch a little later."""
MOST_NAMED = 3


class Found(NamedTuple):
    """A batch in a provider's list.

    Attributes:
        id: the provider's id of it; "" where there is none, so that it was never taken.
        sure: whether it is the one that was looked for; else its results will tell.
    """

    id: str
    sure: bool = False


class UndecidedError(ParallmError):
    """Only a person can tell whether the batch was taken; in one line, with the ways out."""


async def look_for(
    wanted: BatchEntry, api: Batches, others: Collection[BatchEntry], account: str, waiting: Waiting
) -> Found:
    """Look for a batch whose id was never heard.

    Args:
        others: the other batches that are known, with their ids.
        account: what the key and the address are now.

    Raises:
        UndecidedError: several may be it, or the list is another account's.
        CallFailed: the list cannot be read.
        Stopped: somebody has stopped the run.
    """
    for last in (False, True):
        states = await waiting.reply(_listed(api, wanted.newest))
        if found := _picked(wanted, api, others, states, last=last):
            return found
        if not last:
            await waiting.for_seconds(LOOK_AGAIN_SECONDS)
    if wanted.account != account:
        raise UndecidedError(
            f"batch {wanted.nonce} was sent to {wanted.provider} with another key or address, so the list of "
            f"this one does not tell whether it was taken; {_ways_out(wanted, 'ID')}"
        )
    return Found("")


def _picked(
    wanted: BatchEntry,
    api: Batches,
    others: Collection[BatchEntry],
    states: list[BatchState],
    *,
    last: bool,
) -> Found | None:
    for state in states:
        if state.nonce == wanted.nonce:
            return Found(state.id, sure=True)
    # A server may speak as one that keeps nonces, and keep none: a list that tells any is believed.
    if api.keeps_nonce and (not last or any(state.nonce for state in states)):
        return None
    taken = wanted.not_its.union(each.id for each in others if each.sure)
    alike = [
        state.id
        for state in states
        if state.id not in taken and state.total in (None, wanted.count) and not state.nonce
    ]
    # What another one only seems to be may be this one.
    contested = {each.id for each in others if each.id and not each.sure}.intersection(alike)
    if len(alike) > 1 or contested:
        count = f"{len(alike)} batches" if len(alike) > 1 else "a batch"
        more = f" and {len(alike) - MOST_NAMED} more" if len(alike) > MOST_NAMED else ""
        raise UndecidedError(
            f"the answer of {wanted.provider} to batch {wanted.nonce} was lost, and {count} of "
            f"{wanted.count:,} requests may be it ({', '.join(alike[:MOST_NAMED])}{more}); "
            f"{_ways_out(wanted, alike[0])}"
        )
    return Found(alike[0]) if alike else None


def _ways_out(wanted: BatchEntry, known: str) -> str:
    return (
        f"run %parallm batches adopt {known} if it is, or %parallm batches drop {wanted.nonce} to let its "
        f"requests be sent again"
    )


async def _listed(api: Batches, after: str | None) -> list[BatchState]:
    return [state async for state in api.listed(after)]

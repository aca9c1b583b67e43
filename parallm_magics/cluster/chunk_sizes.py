"""How many calls a worker of a cluster is given at once; nothing here waits."""

from __future__ import annotations

from parallm_magics.engine.retries import Rules

CHUNKS_A_WORKER = 2
"""So many chunks a worker has at once, so that it need not wait for its next one."""
SMALL_CHUNKS_A_WORKER = 4
"""And so many if they have few calls."""
USUAL_CHUNK = 200
"""Calls of a chunk of a large map, while nobody knows how fast they are, and of its last ones.
If more are made at once, twice as many as these: the next chunk comes before the last of them begin."""
LARGEST_CHUNK = 2000
LARGEST_TEXT = 1_000_000
"""Characters of prompts after which a chunk has no further call: to pack more would hold up the kernel's loop."""
CHUNK_SECONDS = 0.5
"""A chunk of fast calls takes so long: what it costs to send one is then little beside its calls."""


def chunk_size(rules: Rules, workers: int, sent: int, pace: float) -> int:
    """How many calls the next chunk has: small ones where there are few calls, so that all workers get some.

    The first ones have no more than are made at once, so that these begin soon.

    Args:
        workers: how many share the calls.
        sent: how many calls are sent already.
        pace: how many calls of one worker have ended in a second.

    >>> [chunk_size(Rules(known=known), 2, 0, 0.0) for known in (6, 600, 60_000)]
    [2, 150, 200]
    >>> rules = Rules(known=60_000, concurrency=600)
    >>> [chunk_size(rules, 2, sent, 3_000.0) for sent in (0, 600, 57_000, 59_900)]
    [300, 1500, 750, 200]
    """
    at_once = _shared(rules.concurrency, workers)
    usual = max(USUAL_CHUNK, 2 * at_once)
    if rules.known is None:
        return usual // 2
    fast = max(usual, min(int(pace * CHUNK_SECONDS), LARGEST_CHUNK))
    most = at_once if sent < rules.concurrency else fast
    least = min(USUAL_CHUNK, _shared(rules.known, CHUNKS_A_WORKER * workers))
    # Ever smaller ones, so that all workers end at the same time.
    return max(1, least, min(most, _shared(rules.known - sent, 2 * workers)))


def suffices(rules: Rules, workers: int, chunks: int, calls: int, *, begun: bool) -> bool:
    """Whether workers have so much that nothing more need be sent for now.

    Args:
        workers: how many share the calls.
        chunks: how many they have.
        calls: how many of these have not ended.
        begun: whether a worker has begun. Until then, to read more calls than all need at first would hold up these.
    """
    if not begun and calls >= rules.concurrency and chunks >= workers:
        return True
    few = calls < 2 * rules.concurrency
    return chunks >= workers * (SMALL_CHUNKS_A_WORKER if few else CHUNKS_A_WORKER)


def _shared(calls: int, by: int) -> int:
    """An even share, rounded up."""
    return -(-calls // by)

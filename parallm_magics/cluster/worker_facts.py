"""What a cluster's workers say of themselves before they are given work; never a key's value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parallm_magics.providers import keys
from parallm_magics.recordings.codec import package_version

if TYPE_CHECKING:
    from distributed import Client


FROM_SOURCE = "from its source"


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What is known of a cluster's workers.

    Attributes:
        workers: how many there are.
        threads: how many tasks they take at once, all together.
        versions: how many of them run which version of this package; "" for those without it.
        keys: on how many of them each variable of a key is set, the first first; none that is set on none.
    """

    workers: int
    threads: int
    versions: dict[str, int]
    keys: dict[str, int]


def facts_of(client: Client, variables: Sequence[str]) -> WorkerFacts:
    """Ask every worker, which takes as long as the slowest.

    Args:
        variables: the names of the environment variables that may hold a key.
    """
    threads = client.nthreads()
    answers = client.run(_facts, list(variables), on_error="return") if threads else {}
    versions: Counter[str] = Counter()
    found: Counter[str] = Counter(dict.fromkeys(variables, 0))
    for answer in answers.values():
        here, held = answer if isinstance(answer, tuple) else ("", ())
        versions[here] += 1
        found.update(held)
    kept = {variable: number for variable, number in found.items() if number}
    return WorkerFacts(len(threads), sum(threads.values()), dict(versions), kept)


def _facts(variables: Sequence[str]) -> tuple[str, list[str]]:
    """What one worker says, on that worker."""
    return package_version() or FROM_SOURCE, [name for name in variables if keys.is_set(name)]

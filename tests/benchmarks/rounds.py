"""The same work through several systems, each in a kernel of its own, in interleaved rounds."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import Kernel, Server
from systems import UNPRICED, System, Work

LONGEST = 60
"""Seconds after which a cell counts as hung: the longest takes a few."""
MOST_HANGS = 3


@dataclass(frozen=True)
class Ran:
    """How one cell did its work.

    Attributes:
        seconds, cpu: of the cell.
        kept: answers there at the end.
        sent: requests that reached the server.
        lag: seconds that the kernel's loop was late at most.
        stalled: the part of the cell's time in which it was late by more than 50 ms.
        messages, comm: what went to the page while the cell ran, and its bytes.
        tail: seconds from the last byte that the server sent until the kernel said that it is idle.
    """

    seconds: float
    cpu: float
    kept: int
    sent: int
    lag: float
    stalled: float
    messages: int
    comm: int
    tail: float


@dataclass(frozen=True)
class Line:
    """What one system did, round by round.

    Attributes:
        hung: how many more cells never ended.
    """

    system: str
    dialect: str
    first: Ran
    rounds: Sequence[Ran]
    hung: int = 0

    def each(self, value: Callable[[Ran], float]) -> list[float]:
        """One value of every round."""
        return [value(ran) for ran in self.rounds]

    def median(self, value: Callable[[Ran], float]) -> float:
        """The median over the rounds."""
        return statistics.median(self.each(value))


class Side:
    """One dialect's server and the kernels of the systems that are compared."""

    def __init__(
        self,
        dialect: str,
        server: Server,
        kernels: Mapping[System, Kernel],
        renew: Callable[[Kernel], Kernel],
    ) -> None:
        """Take what runs; `renew` gives a fresh kernel for one that hangs."""
        self.dialect = dialect
        self._server = server
        self._kernels = dict(kernels)
        self._renew = renew

    def measure(self, work: Work, systems: Sequence[System], rounds: int) -> dict[str, Line]:
        """Each system's first run and its rounds, in which each is the first in turn."""
        self._server.behave(work.milliseconds, **work.behaviour)
        first: dict[System, Ran] = {}
        found: dict[System, list[Ran]] = {system: [] for system in systems}
        hung = dict.fromkeys(systems, 0)
        for system in systems:
            self._set_up(system, work)
            first[system] = self._ended(system, work, hung)
        for at in range(rounds):
            turn = at % len(systems)
            for system in (*systems[turn:], *systems[:turn]):
                found[system].append(self._ended(system, work, hung))
        return {s.name: Line(s.name, self.dialect, first[s], found[s], hung[s]) for s in systems}

    def _set_up(self, system: System, work: Work) -> None:
        kernel = self._kernels[system]
        kernel.run(work.docs)
        kernel.run(system.setup(self.dialect, work), timeout=LONGEST)

    def _ended(self, system: System, work: Work, hung: dict[System, int]) -> Ran:
        """A run that ended; one that hangs is counted, and made again in a fresh kernel.

        Raises:
            TimeoutError: it hung too often.
        """
        while True:
            try:
                return self._once(system, work)
            except TimeoutError:
                hung[system] += 1
                told = f"{system.name} did not end {work.name} ({self.dialect}) in {LONGEST} s"
                print(told, file=sys.stderr, flush=True)
                if hung[system] >= MOST_HANGS:
                    raise TimeoutError(f"{told}, {MOST_HANGS} times") from None
                self._kernels[system] = self._renew(self._kernels[system])
                self._set_up(system, work)
                self._once(system, work)

    def _once(self, system: System, work: Work) -> Ran:
        cell = self._kernels[system].run(
            system.cell(self.dialect, work), system.kept, timeout=LONGEST
        )
        tail = cell.idle_at - self._server.last_sent()
        sent = self._server.calls_since(0)
        return Ran(
            seconds=cell.seconds,
            cpu=cell.cpu,
            kept=cell.value,
            sent=sent,
            lag=cell.lag,
            stalled=cell.stalled,
            messages=cell.updates,
            comm=cell.comm,
            tail=tail,
        )


@contextmanager
def side(dialect: str, systems: Sequence[System], site: str = "") -> Iterator[Side]:
    """A server and a kernel for each of these systems.

    Args:
        site: the site-packages of the peers.
    """
    with ExitStack() as stack:
        server = stack.enter_context(Server(0, models=[UNPRICED]))
        environment = server.environment() | {"LANGSMITH_TRACING": "false"}
        environment["PYTHONPATH"] += os.pathsep + site if site else ""
        kernels = {s: stack.enter_context(Kernel(environment)) for s in systems}

        def renew(kernel: Kernel) -> Kernel:
            kernel.__exit__(None, None, None)
            return stack.enter_context(Kernel(environment))

        yield Side(dialect, server, kernels, renew)

"""A kernel that dies at any moment of a batch: nothing is lost, and nothing is sent twice unasked."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_kernel import Kernel
from fake_batches import FakeBatches, failed, unsent
from fakes import tasks
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import VirtualLoop

from parallm_magics.core.batches import BatchLimits
from parallm_magics.core.tasks import Record
from parallm_magics.engine.batch_search import UndecidedError
from parallm_magics.recordings.batch_ledger import FileLedger
from parallm_magics.recordings.store import Recordings


class Death(BaseException):
    """The kernel is killed."""


@dataclass
class Doom:
    """When a kernel dies: at this point, counted over all replies and writes, and how it leaves a line."""

    after: int
    torn: bool

    def point(self, where: str = "") -> None:
        """Die, if this is the moment."""
        self.after -= 1
        if self.after < 0:
            raise Death(where)


def live(work: Coroutine[Any, Any, list[Record]], fake: FakeBatches) -> list[Record]:
    """The records of a kernel that lives to its end; the world's time goes on whatever it does."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            return runner.run(work)
        finally:
            fake.before += runner.get_loop().time()


def doomed(fake: FakeBatches, path: Path, doom: Doom) -> Kernel:
    """A kernel that dies at a point of its provider's or of its file's."""
    kernel = Kernel(fake, path)
    fake.point = doom.point
    assert kernel.store is not None
    file = kernel.store._file
    append = file.append

    def write(line: bytes, *rest: Any, **more: Any) -> None:
        try:
            doom.point("before a line")
        except Death:
            if doom.torn:
                with path.open("ab") as half:
                    half.write(line[: len(line) // 2])
            raise
        append(line, *rest, **more)
        doom.point("after a line")

    file.append = write  # type: ignore[method-assign]
    return kernel


def decide(fake: FakeBatches, path: Path) -> int:
    """What a person does who knows the truth: adopt what was taken, drop what was not; how often."""
    ledger = FileLedger(Recordings(path))
    asked = 0
    for entry in ledger.batches():
        if entry.closed or entry.id:
            continue
        asked += 1
        made = [each.id for each in fake.made.values() if each.nonce == entry.nonce]
        if made:
            ledger.sent(entry, made[0], sure=False)
        else:
            ledger.dropped(entry, "by command")
    return asked


DEATHS = st.lists(st.builds(Doom, st.integers(0, 90), st.booleans()), max_size=6)
FAULTS = {
    "create": st.sampled_from([None, "lost", failed("connection"), unsent("rate_limit")]),
    "state": st.sampled_from([None, failed("server"), failed("rate_limit", retry_after=90.0)]),
    "listed": st.sampled_from([None, failed("timeout")]),
    "newest": st.sampled_from([None, failed("connection")]),
    "results": st.sampled_from([None, failed("server")]),
}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 4),
    st.booleans(),
    DEATHS,
    st.fixed_dictionaries({name: st.lists(each, max_size=3) for name, each in FAULTS.items()}),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_nothing_is_lost_and_nothing_sent_twice_whenever_kernels_die(
    count: int,
    most: int,
    keeps_nonce: bool,
    deaths: list[Doom],
    faults: dict[str, list[Any]],
    broken: list[int],
) -> None:
    """Every request is taken by the provider once, and ends in one record that is a success."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        fake = FakeBatches(
            limits=BatchLimits(most, 10**9), keeps_nonce=keeps_nonce, faults=faults, broken=broken
        )
        for doom in deaths:
            kernel = doomed(fake, path, Doom(doom.after, doom.torn))
            try:
                live(kernel.run(tasks(count)), fake)
            except (Death, UndecidedError):
                pass
            finally:
                kernel.ledger.give_lock_back()
        fake.point = lambda where: None
        for _ in range(20):
            try:
                records = live(Kernel(fake, path).run(tasks(count)), fake)
                break
            except UndecidedError:
                assert not keeps_nonce
                assert decide(fake, path)
        assert [record.status for record in records] == ["ok"] * count
        assert [record.text for record in records] == [f"answer to ask {n}" for n in range(count)]
        asked = fake.times_asked()
        assert len(asked) == count
        assert set(asked.values()) == {1}
        assert all(entry.closed for entry in FileLedger(Recordings(path)).batches())

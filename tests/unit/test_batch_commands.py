"""What a person may do with the batches of a file: see, end, decide, give up and collect them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from batch_kernel import Kernel
from fake_batches import USED, FakeBatches, Made, failed, said
from fakes import FakeClients, tasks
from test_batch_engine import interrupt, statuses
from virtual_time import run_virtual

from parallm_magics.core.batches import BatchResult
from parallm_magics.core.provider import Reply
from parallm_magics.engine.accounts import Ledger
from parallm_magics.errors import ParallmError
from parallm_magics.notebook import batches_command
from parallm_magics.notebook.session import Spend
from parallm_magics.patterns import batch_commands
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.store import Recordings


def clients(fake: FakeBatches) -> Clients:
    """Clients whose every door leads to this provider."""
    return cast("Clients", FakeClients(fake))  # type: ignore[arg-type]


def left_alone(path: Path, count: int = 3) -> FakeBatches:
    """A provider at which a batch is under way that nobody follows."""
    fake = FakeBatches(seconds=1000)
    run_virtual(Kernel(fake, path).run(tasks(count), after=interrupt(10)))
    return fake


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of recordings that is not there yet."""
    return tmp_path / "r.jsonl"


def test_batches_are_listed_and_looked_at(path: Path) -> None:
    """The file tells of them; the provider says how far they are, or why not."""
    fake = left_alone(path)
    store = Recordings(path)
    [entry] = batch_commands.batches_in(store)
    assert (entry.id, entry.count, entry.models, entry.closed) == ("batch_0", 3, ("fake:m",), "")
    [seen], _ = run_virtual(batch_commands.look_at(store, clients(fake)))
    assert seen.state is not None
    assert seen.state.status == "under way"
    fake.faults = {"state": [failed("server")]}
    [seen], _ = run_virtual(batch_commands.look_at(store, clients(fake), "batch_0"))
    assert (seen.state, seen.problem) == (None, "server happened")


def test_of_several_batches_the_newest_is_first(path: Path) -> None:
    """As in the list that asks nobody."""
    fake = left_alone(path, 1)
    run_virtual(Kernel(fake, path).run(tasks(3)[1:], after=interrupt(10)))
    seen, _ = run_virtual(batch_commands.look_at(Recordings(path), clients(fake)))
    assert [each.entry.id for each in seen] == ["batch_1", "batch_0"]


def test_a_cancelled_batch_ends_its_calls(path: Path) -> None:
    """The cell collects what there is."""
    fake = left_alone(path)
    seen, _ = run_virtual(batch_commands.cancel(Recordings(path), clients(fake), "batch_0"))
    assert seen.entry.cancelled
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["cancelled"] * 3
    with pytest.raises(ParallmError, match="is over"):
        run_virtual(batch_commands.cancel(Recordings(path), clients(fake), "batch_0"))


def test_a_dropped_batch_lets_its_requests_be_sent_again(path: Path) -> None:
    """By its id or its nonce."""
    fake = left_alone(path)
    [entry] = batch_commands.batches_in(Recordings(path))
    assert batch_commands.drop(Recordings(path), entry.nonce).closed == "dropped: by command"
    fake.seconds = 10
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert len(fake.made) == 2


def test_a_batch_is_collected_without_its_cell(path: Path) -> None:
    """Then the cell is served from the file, and asks nobody."""
    fake = left_alone(path)
    with pytest.raises(ParallmError, match="has not ended yet"):
        run_virtual(batch_commands.collect(Recordings(path), clients(fake), "batch_0"))
    fake.before = 2000
    done, _ = run_virtual(batch_commands.collect(Recordings(path), clients(fake), "batch_0"))
    assert (done.answers, done.failed, done.missing, done.entry.closed) == (3, 0, 0, "collected")
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert all(record.replayed for record in records)
    assert [record.text for record in records] == [f"answer to ask {n}" for n in range(3)]


def test_only_a_batch_without_an_id_can_be_adopted(path: Path) -> None:
    """Its results then tell whether that was right."""
    fake = left_alone(path)
    with pytest.raises(ParallmError, match="nothing to adopt"):
        batch_commands.adopt(Recordings(path), "batch_9")
    other = path.with_name("other.jsonl")
    fake = FakeBatches(faults={"create": ["lost"]})
    run_virtual(Kernel(fake, other).run(tasks(2), after=interrupt(0.5)))
    adopted = batch_commands.adopt(Recordings(other), "batch_0")
    assert (adopted.id, adopted.sure) == ("batch_0", False)
    fake.faults = {}
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, other).run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert len(fake.made) == 1


def test_what_is_not_there_is_said_in_one_line(path: Path) -> None:
    """With the nearest name."""
    with pytest.raises(ParallmError, match="recordings are off"):
        batch_commands.batches_in(None)
    left_alone(path)
    with pytest.raises(ParallmError, match="did you mean 'batch_0'"):
        batch_commands.drop(Recordings(path), "batch_O")


def test_a_wrong_id_of_a_batch_that_was_refused_gives_nothing_up(path: Path) -> None:
    """What became of somebody else's batch says nothing of the one whose id was never heard."""
    fake = FakeBatches(faults={"create": ["lost"], "listed": [failed("server")] * 50}, seconds=1000)
    run_virtual(Kernel(fake, path).run(tasks(3), after=interrupt(10)))
    fake.made["other"] = Made("other", "1" * 16, {}, 0.0, "refused", "line 3 is wrong")
    fake.faults = {}
    batch_commands.adopt(Recordings(path), "other")
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert set(fake.times_asked().values()) == {1}


def test_answers_asked_for_anew_are_kept_beside_those_of_before(path: Path) -> None:
    """A cell of --mode refresh was left; its batch is collected without it."""
    run_virtual(Kernel(FakeBatches(), path).run(tasks(3)))
    fake = FakeBatches(seconds=1000, end=lambda task: replace(said(task), text="new"))
    kernel = Kernel(fake, path)
    assert kernel.store is not None
    kernel.store.mode = "refresh"
    run_virtual(kernel.run(tasks(3), after=interrupt(10)))
    fake.made["batch_0"].status = "ended"
    done, _ = run_virtual(batch_commands.collect(Recordings(path), clients(fake), "batch_0"))
    assert (done.answers, done.missing) == (3, 0)
    records, _ = run_virtual(Kernel(FakeBatches(), path).run(tasks(3)))
    assert [record.text for record in records] == ["new"] * 3


def test_results_that_a_batch_never_asked_for_stand_for_none_that_is_missing(path: Path) -> None:
    """The batch stays open, and nothing that a server makes up is recorded."""
    fake = left_alone(path)
    made = fake.made["batch_0"]
    made.status = "ended"
    lost = made.results.pop()
    made.results.append(BatchResult(f"{made.nonce}-{'0' * 32}-0", Reply("planted")))
    made.results.append(BatchResult(made.results[0].id.replace("-0", "-00"), Reply("planted")))
    store = Recordings(path)
    done, _ = run_virtual(batch_commands.collect(store, clients(fake), "batch_0"))
    assert (done.answers, done.failed, done.missing, done.entry.closed) == (2, 0, 1, "")
    assert "planted" not in path.read_text()
    made.results.append(lost)
    done, _ = run_virtual(batch_commands.collect(store, clients(fake), "batch_0"))
    assert (done.answers, done.missing, done.entry.closed) == (3, 0, "collected")


def test_what_is_collected_by_command_counts_in_the_session_once(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that were recorded before were counted then."""
    fake = left_alone(path)
    fake.made["batch_0"].status = "ended"
    lost = fake.made["batch_0"].results.pop()
    spend = Spend()
    session = SimpleNamespace(
        recordings=Recordings(path),
        clients=clients(fake),
        waited=lambda asking: run_virtual(asking)[0],
        spend=spend,
        ledger=Ledger("session_max_cost", lasting=True),
    )
    [entry] = batch_commands.batches_in(session.recordings)
    session.ledger.leave(f"{entry.nonce}-{'0' * 32}-0", Decimal(1))
    batches_command.collect(session, ["batch_0"])
    assert "1 results are missing" in capsys.readouterr().out
    assert (spend.calls, spend.usage) == (2, USED + USED)
    fake.made["batch_0"].results.append(lost)
    batches_command.collect(session, ["batch_0"])
    assert spend.calls == 3
    assert not session.ledger.in_batches


def test_answers_that_no_call_of_a_run_asks_for_count_in_the_session() -> None:
    """Its spend and its cap; the cap of the run's own cell is for that cell's calls."""
    ledger, spend = Ledger("session_max_cost"), Spend()
    context = RunContext(clients(FakeBatches()), ledgers=(ledger,), spent=spend.add)
    record = tasks(1)[0].ended("ok", usage=USED, cost=Decimal("0.5"))
    context.count_paid(record)
    assert (ledger.spent, ledger.held, spend.cost) == (Decimal("0.5"), 0, Decimal("0.5"))

"""Caps of a cell and of a session, in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from asking import worst_of
from kernel import Kernel
from provider import KEY, Loopback

from parallm_magics.core.tasks import (
    Model,
    Usage,
)
from parallm_magics.providers import bill

HAIKU = "claude-haiku-5-5"


THREE = "%section a\nA\n%section b\nB\n%section c\nC"


SHORT = 100  # --max-tokens of these cells


COST = bill.cost(Model("anthropic", HAIKU), Usage(10, 0, 0, 5)) or Decimal(0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, where the official providers are looked for."""
    with Loopback() as loopback:
        for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", loopback.url)
        monkeypatch.setenv("OPENAI_BASE_URL", loopback.url + "/v1")
        yield loopback


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel that knows a priced model."""
    with Loopback() as server:
        env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
        with Kernel(**env) as kernel:
            assert kernel.run("%load_ext parallm_magics").outputs == []
            kernel.run("magics = get_ipython().magics_manager.registry['ParallmMagics']")
            yield kernel


def one_line(error: str, name: str) -> str:
    """The message of an error that is one line."""
    assert error.startswith(f"{name}: "), error
    assert "\n" not in error
    return error.partition(": ")[2]


CELL = f"%%fanout -m {HAIKU} --max-tokens {SHORT} -o kept"


def test_a_cell_that_runs_out_of_money_is_a_real_error(kernel: Kernel) -> None:
    """One line; `-o` holds the run, which is shown as well and can go on."""
    cap = worst_of("A") + Decimal("0.000001")
    cell = kernel.run(f"{CELL} -c 1 --max-cost {cap:f}\n{THREE}\n")
    assert cell.reply["status"] == "error"
    message = one_line(cell.error, "BudgetExceeded")
    assert "were not asked" in message
    assert message.endswith("kept holds every record")
    assert cell.outputs == ["display_data", "error"]
    assert kernel.value("len(kept.results)") == 3
    assert kernel.value("sorted({r.error.kind for r in kept.failed})") == ["budget"]


def test_run_all_again_and_again_never_passes_the_sessions_cap(kernel: Kernel) -> None:
    """50 runs: the ledger stays below the cap, and runs without money ask nothing."""
    kernel.run("ledger = magics.session.ledger")
    cap = kernel.value("str(ledger.spent)")
    limit = Decimal(cap) + worst_of("A") + 40 * COST
    kernel.run(f"%config ParallmMagics.session_max_cost = {limit:f}")
    statuses = []
    for _ in range(50):
        statuses.append(kernel.run(f"{CELL}\n{THREE}\n").reply["status"])
        assert Decimal(kernel.value("str(ledger.spent + ledger.held)")) <= limit
    assert statuses[0] == "ok"
    assert statuses[-1] == "error"
    kernel.run("%config ParallmMagics.session_max_cost = None")


def test_the_cap_may_change_during_the_session(kernel: Kernel) -> None:
    """Set, raised, lowered, taken off: the next cell keeps what is in force then."""
    kernel.run(f"{CELL}\n{THREE}\n")
    cell = f"{CELL}\n{THREE}\n"
    for cap, status in ((1, "ok"), (0.0000001, "error"), ("$2", "ok"), (None, "ok"), ("3", "ok")):
        kernel.run(f"%config ParallmMagics.session_max_cost = {cap!r}")
        assert kernel.run(cell).reply["status"] == status, cap
    kernel.run("%config ParallmMagics.session_max_cost = None")
    assert kernel.run(cell).reply["status"] == "ok"


def test_a_retry_of_a_kept_run_keeps_the_sessions_cap(kernel: Kernel) -> None:
    """Without money it is the same error; with some it goes on."""
    kernel.run("%config ParallmMagics.session_max_cost = 0.0000001")
    assert kernel.run(f"{CELL}\n{THREE}\n").reply["ename"] == "BudgetExceeded"
    assert kernel.run("again = await kept.retry()").reply["ename"] == "BudgetExceeded"
    kernel.run("%config ParallmMagics.session_max_cost = 1")
    assert kernel.run("again = await kept.retry()").reply["status"] == "ok"
    assert kernel.value("sorted(again)") == ["a", "b", "c"]
    kernel.run("%config ParallmMagics.session_max_cost = None")


@pytest.mark.parametrize("value", ["0", "-1", "'x'", "'nan'", "float('inf')", "True", "[1]", "''"])
def test_a_bad_cap_is_one_line(kernel: Kernel, value: str) -> None:
    """And the one before stays in force; `%config` shows it as IPython shows all that it refuses."""
    kernel.run("%config ParallmMagics.session_max_cost = 7")
    cell = kernel.run(f"%config ParallmMagics.session_max_cost = {value}")
    [said] = cell.stream("stderr").splitlines()
    assert "ParallmMagics.session_max_cost: " in said
    cell = kernel.run(f"magics.session_max_cost = {value}")
    message = one_line(cell.error, "OptionError")
    assert message.startswith("ParallmMagics.session_max_cost: ")
    assert kernel.value("str(magics.session_max_cost)") == "7"
    kernel.run("%config ParallmMagics.session_max_cost = None")


@pytest.mark.parametrize("line", ["%parallm usage", "%parallm"])
def test_the_cap_stands_beside_the_spend(kernel: Kernel, line: str) -> None:
    """With what is left of it; without a cap there is no such line."""
    assert "session_max_cost" not in kernel.run(line).shown[0]["text/plain"]
    kernel.run("%config ParallmMagics.session_max_cost = 2")
    said = " ".join(kernel.run(line).shown[0]["text/plain"].split())
    left = kernel.value("str(2 - magics.session.ledger.spent)")
    assert f"session_max_cost $2.00: ${Decimal(left):.2f} left" in said
    kernel.run("%config ParallmMagics.session_max_cost = None")

"""Time, cost and memory of one map at 10, 10,000 and 10,000,000 items: plain, flex, batch and cluster."""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import clusters
import measured
from bench import MODELS, Figure, table

from parallm_magics import fanout
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Terms, Usage
from parallm_magics.providers import bill

ITEMS = (10, 10_000, 10_000_000)
ROUNDS = 3
SIMULATED = 10_000
ON_A_CLUSTER = 2_000
MINUTE, HOUR = 60.0, 3600.0
CALLS = "Ten thousand calls"
MEASURED = "A large map, measured"
RESULTS = "Results of a large map"
KERNEL = "µs of the kernel's CPU for a call that a cluster makes"
ACCOUNT = "A large map with an account"
OWN = "A large map on servers of your own"
ABOUT = (
    f"`await fanout(…)` over {SIMULATED:,} items of `sim` with a label each, in virtual time, with "
    "`--out-file` as JSON lines and as Parquet parts: so long it takes to try a large map without a model. "
    f"{ON_A_CLUSTER:,} calls on a cluster of two worker processes, as `clusters.py` makes them. "
    "Simulated answers repeat, so Parquet makes less of them than of others."
)
FILES = {"JSON lines": "run.jsonl", "Parquet": ""}


@dataclass(frozen=True)
class Case:
    """What is given: the call, the account, and how the map is run. What is measured: `cpu` and `kernel_cpu`.

    Attributes:
        model: whose price is taken; None for servers of your own.
        tokens: in and out, of one call.
        seconds: of one call.
        flex_seconds: of one call at the flex tier; no provider promises any.
        rpm: requests that the account has in a minute; None for no limit.
        tpm: tokens, in and out, in a minute; None for no limit.
        queue: input tokens that may wait in batches at once.
        batch_hours: how long a batch takes, often and at most.
        at_once: calls of one process at once (`-c`).
        processes: of the cluster.
        cpu: seconds of one core a call.
        kernel_cpu: seconds of one core that the kernel needs for a call that a cluster makes.
    """

    model: Model | None = None
    tokens: tuple[int, int] = (300, 20)
    seconds: float = 1.0
    flex_seconds: float = 10.0
    rpm: int | None = 10_000
    tpm: int | None = 10_000_000
    queue: int = 1_000_000_000
    batch_hours: tuple[float, float] = (1.0, 24.0)
    at_once: int = 500
    processes: int = 8
    cpu: float = 0.001
    kernel_cpu: float = 0.0004

    def cost(self, items: int, terms: Terms = ()) -> Decimal | None:
        """US dollars of a map; None where no price is known."""
        if self.model is None:
            return None
        each = bill.cost(self.model, Usage(self.tokens[0], output_tokens=self.tokens[1]), terms)
        return None if each is None else each * items


@dataclass(frozen=True)
class Estimate:
    """How long a map takes by one way, and what holds it up."""

    seconds: tuple[float, float]
    limit: str
    cost: Decimal | None


def minutes(items: int, per_minute: float) -> float:
    """Seconds until the last call may begin: the first minute's allowance is used at once."""
    return MINUTE * ((items - 1) // per_minute)


def held_up(case: Case, items: int, seconds: float, processes: int = 1) -> tuple[float, str]:
    """Seconds that so many equal calls need at least, and which limit is the longest."""
    bounds = {
        "one call": seconds,
        "calls at once": math.ceil(items / (case.at_once * processes)) * seconds,
        "CPU": items * case.cpu / processes,
    }
    if processes > 1:  # one kernel takes all records in
        bounds["CPU of the kernel"] = items * case.kernel_cpu
    if case.rpm:
        bounds["requests a minute"] = minutes(items, case.rpm) + seconds
    if case.tpm:
        bounds["tokens a minute"] = minutes(items, case.tpm // sum(case.tokens)) + seconds
    limit = max(bounds, key=lambda name: bounds[name])
    return bounds[limit], limit


def plain(case: Case, items: int) -> Estimate:
    """A cell as it is."""
    seconds, limit = held_up(case, items, case.seconds)
    return Estimate((seconds, seconds), limit, case.cost(items))


def flex(case: Case, items: int) -> Estimate:
    """With `--tier flex`."""
    seconds, limit = held_up(case, items, case.flex_seconds)
    return Estimate((seconds, seconds), limit, case.cost(items, (("service_tier", "flex"),)))


def batch(case: Case, items: int) -> Estimate:
    """With `--batch`: what does not fit in the queue waits for a batch before it to end."""
    turns = math.ceil(items * case.tokens[0] / case.queue)
    least, most = (hours * HOUR * turns for hours in case.batch_hours)
    limit = "a batch" if turns == 1 else f"the queue: {turns} times a batch"
    return Estimate((least, most), limit, case.cost(items, (("service_tier", "batch"),)))


def cluster(case: Case, items: int) -> Estimate:
    """With `--engine dask`."""
    seconds, limit = held_up(case, items, case.seconds, case.processes)
    return Estimate((seconds, seconds), limit, case.cost(items))


WAYS: Mapping[str, Callable[[Case, int], Estimate]] = {
    "plain": plain,
    "`--tier flex`": flex,
    "`--batch`": batch,
    "`--engine dask`": cluster,
}


def span(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for size, unit in ((24 * HOUR, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * size or (unit == "h" and seconds == size):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def dollars(cost: Decimal | None) -> str:
    """A sum that is small or large."""
    if cost is None:
        return "–"
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.2g}"


def size(number: float) -> str:
    """Bytes in the unit that a person would use."""
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def rows(case: Case, ways: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A line for each number of items and each way."""
    for items in ITEMS:
        for way in ways:
            found = WAYS[way](case, items)
            took = " to ".join(dict.fromkeys(map(span, found.seconds)))
            yield f"{items:,} items, {way}", took, found.limit, dollars(found.cost)


def offered(case: Case) -> list[str]:
    """The ways that the provider has a price for; all, where there is no price at all."""
    known = case.cost(1) is not None
    return [way for way in WAYS if not known or WAYS[way](case, 1).cost is not None]


def computed(title: str, case: Case, ways: Sequence[str] = ()) -> str:
    """A heading, what is given and what is measured, and the table."""
    head = ("", "time", "limited by", "cost")
    width = len(head) - (case.model is None)
    lines = [row[:width] for row in (head, *rows(case, ways or offered(case)))]
    return laid_out(title, given(case), lines)


def laid_out(title: str, about: str, lines: Sequence[Sequence[str]]) -> str:
    """A heading, a paragraph and a table as Markdown."""
    head, *rest = (f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
    rule = f"|{'---|' * len(lines[0])}"
    return "\n".join([f"## {title}\n", f"{about}\n", head, rule, *rest, ""])


def given(case: Case) -> str:
    """What the table is computed from, in words."""
    took, gave = case.tokens
    said = [
        f"{took} tokens in and {gave} out",
        f"{case.seconds:g} s a call",
        f"{case.at_once} calls at once in a process (`-c {case.at_once}`)",
        f"{case.processes} processes in the cluster (`-c {case.at_once * case.processes}`)",
    ]
    if case.rpm:
        said.append(f"{case.rpm:,} requests a minute")
    if case.tpm:
        said.append(f"{case.tpm:,} tokens a minute")
    cpu = (
        f"{case.cpu * 1000:.2f} ms of CPU a call, and {case.kernel_cpu * 1000:.2f} ms of the kernel's where a "
        "cluster makes it"
    )
    prices = ""
    if case.model is not None:
        least, most = case.batch_hours
        said += [
            f"{case.flex_seconds:g} s a call with flex",
            f"a batch of {least:g} to {most:g} hours",
            f"{case.queue:,} input tokens in batches at once",
        ]
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        prices = f" Prices: {case.model}, genai-prices {version('genai-prices')}, {day}."
    return f"Given: {', '.join(said)}. Measured: {cpu}.{prices}"


def figure(part: str, pattern: str) -> float:
    """A median of RESULTS.md."""
    found = next(measured.shown([("", part, pattern)]))
    return float(found[1].partition(" ")[0])


def usual(kernel_cpu: float | None = None) -> Case:
    """The case of the page, with the CPU that was measured, now or before."""
    cpu = figure(CALLS, "openai: CPU ms a call, ours") / 1000
    kernel_cpu = kernel_cpu or figure(MEASURED, KERNEL) / 1e6
    return Case(model=Model("openai", MODELS["openai"]), cpu=cpu, kernel_cpu=kernel_cpu)


def of_the_kernel() -> Figure:
    """What a kernel spends on a call that a cluster of two worker processes makes."""
    with clusters.LeanServer(clusters.CALL) as server, clusters.cluster(server, 2) as client:
        clusters.cost_of(client, 500)  # imports and connections are no call's
        found = [clusters.cost_of(client, ON_A_CLUSTER).kernel for _ in range(ROUNDS)]
    return Figure(KERNEL, found, digits=0)


def own(case: Case) -> Case:
    """The same map on servers of your own: no price, no limit but what they bear."""
    return replace(case, model=None, rpm=None, tpm=None)


async def simulated(out: Path, name: str) -> tuple[float, float]:
    """Items a CPU second of a simulated map that is written to files, and their bytes a result.

    Args:
        out: an empty folder.
        name: the file in it; "" for Parquet parts.
    """
    began = time.process_time()
    await fanout(
        "Is number {{item}} about a leak?",
        model="sim:?latency=lognormal(1,0.5)&scale=0",
        each=range(SIMULATED),
        choices="yes,no",
        out_file=f"{out}/{name}",
    )
    took = time.process_time() - began
    return SIMULATED / took, sum(each.stat().st_size for each in out.iterdir()) / SIMULATED


def rounds_of(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The speeds and the sizes of some maps."""
    found = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(simulated(Path(folder), name)))
    speeds, sizes = zip(*found, strict=True)
    return speeds, sizes


def results(kernel: Figure) -> str:
    """The tables of what results take, measured and computed."""
    found = [kernel]
    each = {"memory": figure(CALLS, "openai: MiB grown, ours") * 2**20 / 10_000}
    for kind, name in FILES.items():
        speeds, sizes = rounds_of(name)
        found.append(Figure(f"simulated items a second of CPU, {kind}", speeds, digits=0))
        found.append(Figure(f"bytes a result, {kind}", sizes, digits=0))
        each[kind] = statistics.median(sizes)
    rows = [(f"{n:,} items", *(size(n * one) for one in each.values())) for n in ITEMS]
    about = f"Computed from bytes a result: {', '.join(f'{b:.0f} ({n})' for n, b in each.items())}."
    return f"{table(MEASURED, ABOUT, found)}\n{laid_out(RESULTS, about, [('', *each), *rows])}"


def main() -> str:
    """Measure, compute and give out the tables."""
    kernel = of_the_kernel()
    case = usual(statistics.median(kernel.values) / 1e6)
    ours = computed(OWN, own(case), ("plain", "`--engine dask`"))
    return f"{results(kernel)}\n{computed(ACCOUNT, case)}\n{ours}"


def asked() -> str:
    """The computed table for what the command line gives."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", metavar="PROVIDER:NAME")
    options.add_argument("--tokens", metavar="IN,OUT")
    for name, kind in {
        "seconds": float,
        "flex-seconds": float,
        "rpm": int,
        "tpm": int,
        "queue": int,
        "at-once": int,
        "processes": int,
    }.items():
        options.add_argument(f"--{name}", type=kind)
    told = {name: value for name, value in vars(options.parse_args()).items() if value is not None}
    if "model" in told:
        told["model"] = Model(*told["model"].split(":", 1))
    if "tokens" in told:
        took, gave = told["tokens"].split(",")
        told["tokens"] = int(took), int(gave)
    return computed(ACCOUNT, replace(usual(), **told)) if told else main()


if __name__ == "__main__":
    print(asked())

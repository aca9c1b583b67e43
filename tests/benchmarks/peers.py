"""The same work through parallm_magics and its peers, into PEERS.md and a picture: one command."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

import raw
from bench import MODELS, PACKAGES, Kernel, Server, load, processor
from systems import SYSTEMS, System, Work

HERE = Path(__file__).parent
RESULTS = HERE / "PEERS.md"
PICTURE = HERE.parents[1] / "notebooks" / "images" / "peers.png"
PEERS = ("langchain-anthropic", "langchain-openai")
PLOT = ("matplotlib",)
RAW = "raw sockets: the server's own limit"
LONGEST = 300
ABOUT = (
    "Written by `python tests/benchmarks/peers.py`, which installs the peers into a temporary "
    "environment: no address but loopback, no key, no model. Every system works in a cell of a kernel "
    "of its own against the same server, a process apart; its cell runs once unmeasured (`first` is "
    "that run: connections are opened, limits not yet learnt) and then in rounds, all systems in "
    "each, in random order. Every system has its defaults, the SDKs their two retries, and the same "
    "number of calls at once, but for `gather`, which has no bound. Exceptions are caught one by one, "
    "so that a failed call loses only itself. Seconds are the cell's, from `pre_run_cell` to "
    "`post_run_cell`, median [smallest .. largest]; × limit is the median over the physical limit; "
    "CPU is the kernel process's; kept are the answers there at the end, sent the requests that "
    "reached the server, both medians."
)


def works(scale: float) -> list[Work]:
    """What is done, at full size or a part of it."""

    def part(calls: int, concurrency: int) -> int:
        return max(concurrency, round(calls * scale))

    few, many, some, asked = part(200, 50), part(2_000, 200), part(500, 100), part(600, 100)
    return [
        Work(
            "latency",
            f"{few} plain calls of 1 s, 50 at once.",
            few,
            50,
            1_000,
            -(-few // 50) * 1.0,
            few,
            {},
        ),
        Work(
            "throughput",
            f"{many:,} plain calls of 20 ms, 200 at once.",
            many,
            200,
            20,
            -(-many // 200) * 0.020,
            many,
            {},
        ),
        Work(
            "panel",
            "20 streams of 200 tokens, one every 10 ms.",
            20,
            20,
            0,
            2.0,
            20,
            {"tokens": 200, "gap": 0.010},
            stream=True,
        ),
        Work(
            "faults",
            f"{some:,} plain calls of 100 ms, 100 at once; one in ten is answered at first by a 429 "
            "with Retry-After 1 or, in turn, by a 500. parallm_magics takes a 429 for the whole key's and "
            "lets all calls wait for what one was told; its peers let only that call wait, which pays "
            "where refusals have nothing to do with how much is asked, as here, and not below.",
            some,
            100,
            100,
            max(-(-some // 100) * 0.100, 1.1),
            some,
            {"faulty": 10},
        ),
        Work(
            "rate limit",
            f"{asked:,} plain calls of 100 ms, 100 at once; the provider bears 150 requests a second "
            "and answers all others with a 429 and Retry-After 1.",
            asked,
            100,
            100,
            asked / 150,
            asked,
            {"rate": 150},
        ),
        Work(
            "hanging",
            "20 plain calls of 100 ms at once with a limit of 1 s each; one never answers, one loses "
            "its connection every time, one gets a 429 first.",
            20,
            20,
            100,
            1.0,
            18,
            {"hang": 1, "dead": 1, "limited": 1},
            timeout=1.0,
        ),
    ]


@dataclass(frozen=True)
class Ran:
    """How one cell did its work.

    Attributes:
        seconds, cpu: of the cell.
        kept: answers there at the end.
        sent: requests that reached the server.
    """

    seconds: float
    cpu: float
    kept: int
    sent: int


@dataclass(frozen=True)
class Line:
    """What one system did, round by round."""

    system: str
    dialect: str
    first: Ran
    rounds: Sequence[Ran]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(ran.seconds for ran in self.rounds)

    def row(self, work: Work) -> str:
        """As a line of Markdown."""
        walls = [ran.seconds for ran in self.rounds]
        cpu = statistics.median(ran.cpu for ran in self.rounds) / work.calls * 1000
        kept = statistics.median(ran.kept for ran in self.rounds)
        sent = statistics.median(ran.sent for ran in self.rounds)
        span = f"{self.seconds:.2f} [{min(walls):.2f} .. {max(walls):.2f}]"
        return (
            f"| {self.dialect} | {self.system} | {span} | {self.seconds / work.limit:.2f} "
            f"| {cpu:.2f} | {kept:g} of {work.can_be_kept} | {sent:g} | {self.first.seconds:.2f} |"
        )


@contextmanager
def installed(*packages: str) -> Iterator[tuple[str, str]]:
    """The Python and the site-packages of an environment with these, on top of the running one.

    Raises:
        RuntimeError: pip could not install them.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.check_output([python, "-c", where], text=True).strip()
        # What runs here is found there too, and keeps its version, so that the SDKs are the same.
        (Path(site) / "running.pth").write_text(sysconfig.get_path("purelib"))
        pins = Path(folder) / "pins.txt"
        pins.write_text(
            "".join(f"{d.name}=={d.version}\n" for d in distributions() if d.name != "pip")
        )
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", "-c", str(pins), *packages],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise RuntimeError(f"pip could not install {', '.join(packages)}: {last}")
        yield python, site


def prompts(work: Work) -> list[str]:
    """What is asked: the number decides what goes wrong."""
    return [f"Say something about document number {n}." for n in range(work.calls)]


def in_rounds(
    work: Work, dialect: str, systems: Sequence[System], site: str, rounds: int
) -> list[Line]:
    """Every system's kernel, and the rounds."""
    chance = random.Random(work.name)
    docs = f"docs = {prompts(work)!r}"
    with ExitStack() as stack:
        server = stack.enter_context(Server(work.milliseconds, **work.behaviour))
        environment = server.environment() | {"LANGSMITH_TRACING": "false"}
        environment["PYTHONPATH"] = os.pathsep.join(
            [*filter(None, [os.environ.get("PYTHONPATH")]), site]
        )
        kernels = {s.name: stack.enter_context(Kernel(environment)) for s in systems}

        def once(system: System) -> Ran:
            cell = kernels[system.name].run(
                system.cell(dialect, work), system.kept, timeout=LONGEST
            )
            return Ran(cell.seconds, cell.cpu, cell.value, server.calls_since(0))

        first: dict[str, Ran] = {}
        found: dict[str, list[Ran]] = {system.name: [] for system in systems}
        for system in systems:
            kernels[system.name].run(docs)
            kernels[system.name].run(system.setup(dialect, work), timeout=LONGEST)
            first[system.name] = once(system)
        limits = []
        for _ in range(rounds):
            for system in chance.sample(systems, len(systems)):
                found[system.name].append(once(system))
            if _nothing_fails(work):
                limits.append(by_raw_sockets(work, dialect, server))
    lines = [Line(s.name, dialect, first[s.name], found[s.name]) for s in systems]
    return [*lines, Line(RAW, dialect, limits[0], limits)] if limits else lines


def _nothing_fails(work: Work) -> bool:
    return not set(work.behaviour) - {"tokens", "gap"}


def by_raw_sockets(work: Work, dialect: str, server: Server) -> Ran:
    """The same requests without a client worth the name."""
    model = MODELS[dialect]
    requests = [raw.request(dialect, model, text, stream=work.stream) for text in prompts(work)]
    cpu = time.process_time()
    took = raw.seconds(server.url, requests, work.concurrency)
    return Ran(took, time.process_time() - cpu, work.calls, server.calls_since(0))


def section(work: Work, lines: Sequence[Line], before: str) -> str:
    """The table of one kind of work."""
    head = (
        "| SDK | system | seconds | × limit | CPU ms a call | kept | sent | first, s |\n"
        "|---|---|--:|--:|--:|--:|--:|--:|"
    )
    return "\n".join(
        [
            f"## {work.name.capitalize()}\n",
            f"{work.about} Physical limit: {work.limit:.2f} s.\n",
            head,
            *(line.row(work) for line in lines),
            f"\n{len(lines[0].rounds)} rounds; load average before {before}, after {load()}.\n",
        ]
    )


def drawn(found: Iterable[tuple[Work, Sequence[Line]]]) -> str:
    """What the plot needs, as JSON."""
    return json.dumps(
        [
            {
                "title": work.name,
                "about": work.about,
                "bars": [
                    {
                        "system": line.system,
                        "dialect": line.dialect,
                        "ratio": line.seconds / work.limit,
                        "kept": statistics.median(r.kept for r in line.rounds) / work.can_be_kept,
                    }
                    for line in lines
                    if line.system != RAW
                ],
            }
            for work, lines in found
        ]
    )


def heading(site: str) -> str:
    """What was compared, on what."""
    peers = {d.name: d.version for d in distributions(path=[site])}
    names = [f"{name} {version(name)}" for name in PACKAGES]
    names += [
        f"{name} {peers[name]}" for name in sorted(peers) if name in (*PEERS, "langchain-core")
    ]
    return (
        f"# parallm_magics beside its peers\n\n{ABOUT}\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {', '.join(names)}; "
        f"{os.cpu_count()} CPUs ({processor()}), {platform.system()}.\n\n"
        "![The ratio to the physical limit](../../notebooks/images/peers.png)\n\n"
    )


def main() -> None:
    """Install, measure, print and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs="*", help="the work's names")
    options.add_argument("--scale", type=float, default=1.0, help="a part of the calls")
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--picture", type=Path, default=PICTURE)
    given = options.parse_args()
    # Ended from outside, the kernels and the temporary environment go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found: list[tuple[Work, list[Line]]] = []
    parts = []
    with installed(*PEERS, *PLOT) as (python, site):
        for work in works(given.scale):
            if given.only and work.name not in given.only:
                continue
            before = load()
            lines = [
                line
                for dialect in MODELS
                for line in in_rounds(work, dialect, SYSTEMS, site, given.rounds)
            ]
            found.append((work, lines))
            parts.append(section(work, lines, before))
            print(parts[-1], flush=True)
        given.results.write_text(heading(site) + "\n".join(parts))
        subprocess.run(
            [python, str(HERE / "peers_plot.py"), str(given.picture)],
            input=drawn(found),
            text=True,
            check=True,
        )


if __name__ == "__main__":
    main()

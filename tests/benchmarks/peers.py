"""The same work through parallm_magics and its peers, into PEERS.md and a picture: one command."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from bench import MODELS, PACKAGES, load, processor
from rounds import Line, side
from systems import OURS, SYSTEMS, System, Work

HERE = Path(__file__).parent
RESULTS = HERE / "PEERS.md"
PICTURES = HERE.parents[1] / "notebooks" / "images"
PEERS = ("langchain-anthropic", "langchain-openai", "chatlas")
PLOT = ("matplotlib",)
TOLD = (*PEERS, "langchain-core")
ABOUT = (
    "Written by `python tests/benchmarks/peers.py`, which installs the peers into a temporary "
    "environment: no address but loopback, no key, no model. Every system works in a cell of a kernel "
    "of its own against the same server, a process apart. Its cell runs once unmeasured (`first` is "
    "that run: connections are opened, limits not yet learnt) and then in rounds, all systems in "
    "each, the order rotated. Every system has its defaults, the SDKs their two retries, and the same "
    "number of calls at once. Exceptions are caught one by one, so that a failed call loses only "
    "itself."
)
SYSTEMS_ABOUT = (
    "parallm_magics and the lean cell show a live table; the others show nothing, but for chatlas' "
    "progress bar. The lean cell is what a careful person types: the SDK's `client.post` on aiohttp "
    "under a semaphore, and a table of its own in an HTML widget, ten times a second. `gather` is a "
    "semaphore round the SDK's own call. chatlas has no streams here, and a rate limit of its own that "
    "never makes it wait. Raw aiohttp posts JSON and reads bytes: it has no SDK, and tries nothing again."
)
COLUMNS_ABOUT = (
    "Seconds are the cell's, from `pre_run_cell` to `post_run_cell`, median [smallest .. largest]; × "
    "ideal is the median over what the server alone takes. CPU is the kernel process's. Lag is how late "
    "a timer of 5 ms was at most on the kernel's loop, stalled the part of the time in which it was late "
    "by more than 50 ms. Messages and kB went to the page while the cell ran, its result apart. To idle "
    "is the time from the last byte that the server sent until the kernel said that it is idle. Kept "
    "are the answers there at the end, sent the requests that reached the server. All but the seconds "
    "are medians. A cell that has not ended after a minute is counted as hung, and made again in a fresh "
    "kernel."
)


PICTURED = {
    "20 streams": "20 streams of 200 tokens at once",
    "100 calls": "100 calls of 50 ms, 20 at once",
    "200 calls": "200 calls of 50 ms, 20 at once",
    "throughput": "1,000 calls of 20 ms, 100 at once",
    "faults": "200 calls, one in ten fails at first",
    "rate limit": "300 calls, 150 a second are borne",
}
"""The works that stand in the picture, and their titles there."""


def panels() -> list[Work]:
    """Panels as people watch them."""
    sizes = ((3, 3), (20, 20), (100, 20), (200, 20))
    plain = [_plain(calls, at_once) for calls, at_once in sizes]
    streamed = [
        _streamed(calls, at_once, 200 if calls <= at_once else 20) for calls, at_once in sizes
    ]
    return [
        *plain,
        _plain(100, 20, priced=False),
        *streamed,
        _streamed(100, 20, 20, priced=False),
    ]


def _plain(calls: int, at_once: int, priced: bool = True) -> Work:
    rest = "" if priced else ", a model without a price"
    return Work(
        f"{calls} calls{rest}",
        f"{calls} plain calls of 50 ms, {at_once} at once{rest}.",
        calls,
        at_once,
        50,
        -(-calls // at_once) * 0.050,
        priced=priced,
    )


def _streamed(calls: int, at_once: int, tokens: int, priced: bool = True) -> Work:
    rest = "" if priced else ", a model without a price"
    return Work(
        f"{calls} streams{rest}",
        f"{calls} streams of {tokens} tokens, one every 10 ms, {at_once} at once{rest}.",
        calls,
        at_once,
        0,
        -(-calls // at_once) * tokens * 0.010,
        {"tokens": tokens, "gap": 0.010},
        stream=True,
        priced=priced,
    )


def others() -> list[Work]:
    """Long calls, many calls, and what goes wrong."""
    return [
        Work("latency", "100 plain calls of 1 s, 50 at once.", 100, 50, 1_000, 2.0),
        Work("throughput", "1,000 plain calls of 20 ms, 100 at once.", 1_000, 100, 20, 0.2),
        Work(
            "faults",
            "200 plain calls of 100 ms, 50 at once; one in ten is answered at first by a 429 "
            "with Retry-After 1 or, in turn, by a 500. parallm_magics takes a 429 for the whole key's and "
            "lets all calls wait for what one was told; its peers let only that call wait, which pays "
            "where refusals have nothing to do with how much is asked, as here, and not below.",
            200,
            50,
            100,
            1.1,
            {"faulty": 10},
        ),
        Work(
            "rate limit",
            "300 plain calls of 100 ms, 100 at once; the provider bears 150 requests a second "
            "and answers all others with a 429 and Retry-After 1.",
            300,
            100,
            100,
            2.0,
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
            {"hang": 1, "dead": 1, "limited": 1},
            can_be_kept=18,
            timeout=1.0,
        ),
    ]


def fails(work: Work) -> bool:
    """Whether something goes wrong at the server, from which some learn."""
    return bool(set(work.behaviour) - {"tokens", "gap"})


def able(work: Work) -> list[System]:
    """The systems that can do this work."""
    return [
        system
        for system in SYSTEMS
        if (system.streams or not work.stream) and (system.retries or not fails(work))
    ]


def row(line: Line, work: Work) -> str:
    """One system as a line of Markdown."""
    seconds, median = line.each(lambda ran: ran.seconds), line.median
    kept = f"{median(lambda ran: ran.kept):g} of {work.can_be_kept or work.calls}"
    hung = f" (hung {line.hung} times)" if line.hung else ""
    cells = [
        line.dialect,
        f"{line.system}{hung}",
        f"{median(lambda ran: ran.seconds):.2f} [{min(seconds):.2f} .. {max(seconds):.2f}]",
        f"{median(lambda ran: ran.seconds) / work.limit:.2f}",
        f"{median(lambda ran: ran.cpu) / work.calls * 1000:.2f}",
        f"{median(lambda ran: ran.lag) * 1000:.0f}",
        f"{median(lambda ran: ran.stalled):.0%}",
        f"{median(lambda ran: ran.messages):g}",
        f"{median(lambda ran: ran.comm) / 1000:.0f}",
        f"{median(lambda ran: ran.tail) * 1000:.0f}",
        kept,
        f"{median(lambda ran: ran.sent):g}",
        f"{line.first.seconds:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


TITLE = "## "
HEAD = (
    "| SDK | system | seconds | × ideal | CPU ms a call | lag, ms | stalled | messages | kB "
    "| to idle, ms | kept | sent | first, s |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def section(work: Work, lines: Sequence[Line], rounds: int, before: str) -> str:
    """The table of one kind of work."""
    return "\n".join(
        [
            f"{TITLE}{titled(work)}\n",
            f"{work.about} Ideal: {work.limit:.2f} s.\n",
            HEAD,
            *(row(line, work) for line in lines),
            f"\n{datetime.now(UTC):%Y-%m-%d}, {rounds} rounds, load average before {before}, after {load()}.\n",
        ]
    )


def titled(work: Work) -> str:
    """The title of a work's table."""
    return f"{work.name[:1].upper()}{work.name[1:]}"


def kept(results: Path) -> dict[str, str]:
    """The tables of works that were measured before and have today's columns, by their titles."""
    text = results.read_text() if results.exists() else ""
    _, *parts = text.split(f"\n{TITLE}")
    tables = {part.partition("\n")[0]: f"{TITLE}{part.strip()}\n" for part in parts}
    return {title: table for title, table in tables.items() if HEAD in table}


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


def measured(works: Sequence[Work], site: str, rounds: int) -> Iterator[tuple[Work, list[Line]]]:
    """Each work and its lines; works in which something fails get kernels of their own."""
    fine = [work for work in works if not fails(work)]
    for group in (fine, *([work] for work in works if fails(work))):
        with ExitStack() as stack:
            sides = [
                stack.enter_context(side(dialect, SYSTEMS, site)) for dialect in MODELS if group
            ]
            for work in group:
                lines: list[Line] = []
                for one in sides:
                    print(f"{one.dialect}: {work.name}", file=sys.stderr, flush=True)
                    lines += one.measure(work, able(work), rounds).values()
                yield work, lines


def drawn(tables: Mapping[str, str]) -> str:
    """What the plot needs, as JSON."""
    titles = {titled(work): PICTURED.get(work.name, "") for work in (*panels(), *others())}
    pictured = [title for title in titles if title in tables and titles[title]]
    return json.dumps(
        [
            {"title": titles[title], "bars": [*map(bar, rows_of(tables[title]))]}
            for title in pictured or tables
        ]
    )


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row of a work's table."""
    rows = table.partition(HEAD)[2].strip().partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def bar(cells: Sequence[str]) -> dict[str, Any]:
    """A row of a table as the plot needs it."""
    names = [name.strip() for name in HEAD.partition("\n")[0].strip("| ").split("|")]
    said = dict(zip(names, cells, strict=True))
    there, _, of = said["kept"].partition(" of ")
    return {
        "system": said["system"].partition(" (hung")[0],
        "dialect": said["SDK"],
        "ratio": float(said["× ideal"]),
        "kept": float(there) / float(of),
    }


def heading(site: str) -> str:
    """What was compared, on what."""
    peers = {d.name: d.version for d in distributions(path=[site])}
    names = [f"{name} {version(name)}" for name in PACKAGES]
    names += [f"{name} {peers[name]}" for name in sorted(peers) if name in TOLD]
    return (
        f"# {OURS.name} beside its peers\n\n{ABOUT}\n\n{SYSTEMS_ABOUT}\n\n{COLUMNS_ABOUT}\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {', '.join(names)}; "
        f"{os.cpu_count()} CPUs ({processor()}), {platform.system()}.\n\n"
        "<picture>\n"
        '  <source media="(prefers-color-scheme: dark)" '
        'srcset="../../notebooks/images/peers-dark.png">\n'
        '  <img alt="Seconds over the ideal, by system and work" '
        'src="../../notebooks/images/peers.png">\n'
        "</picture>\n\n"
    )


def main() -> None:
    """Install, measure, print and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs="*", help="the work's names; what others gave stays")
    options.add_argument("--missing", action="store_true", help="works that have no figures yet")
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--pictures", type=Path, default=PICTURES, help="a folder")
    given = options.parse_args()
    every, tables = (*panels(), *others()), kept(given.results)
    works = [work for work in every if not given.only or work.name in given.only]
    if given.missing:
        works = [work for work in works if titled(work) not in tables]
    # Ended from outside, the kernels and the temporary environment go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with installed(*PEERS, *PLOT) as (python, site):
        before = load()
        for work, lines in measured(works, site, given.rounds):
            tables[titled(work)] = section(work, lines, given.rounds, before)
            print(tables[titled(work)], flush=True)
            inside = [tables[titled(each)] for each in every if titled(each) in tables]
            given.results.write_text(heading(site) + "\n".join(inside))
            before = load()
        subprocess.run(
            [python, str(HERE / "peers_plot.py"), str(given.pictures)],
            input=drawn(tables),
            text=True,
            check=True,
        )


if __name__ == "__main__":
    main()

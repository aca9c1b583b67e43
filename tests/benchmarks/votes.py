"""How much sooner a vote ends that stops when it is decided, and what a guard beside an answer costs."""

from __future__ import annotations

import asyncio
import os

from bench import MODELS, OURS, Cell, Figure, Kernel, Server, ratios, table

from parallm_magics import VoteRun, vote

SEEDS = 60
RUNS = 1000
GUARDED = 31
CALL = 200
DELAYS = (0.20, 0.26, 0.32, 0.80, 1.20)
CLINCH = sorted(DELAYS)[2]
MODEL = "sim:?accuracy=0.8&latency=lognormal(1,1)&scale={scale}"
ABOUT = (
    f"A vote of five on two labels in a cell of a real kernel, simulated at p = 0.8 with log-normal "
    f"latencies (sigma 1.0), {SEEDS} seeds, with `--stop clinch` and without; the ratio is that of the "
    "sums, as theory's 0.45 is a ratio of means. `In the records` is the same from the simulated times, "
    f"without the cell around them. The winners are compared in {RUNS:,} seeded runs. Guarded: one "
    f"worker and a guard that lets it pass, calls of {CALL} ms at a server on this machine; the cell's "
    "time over the slower of its two calls."
)


def early() -> list[Figure]:
    """The wall time of a vote that stops when it is decided over that of the whole vote."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    line = "%%vote -n 5 --choices yes,no --seed {seed} --stop {stop} -o run -m " + MODEL.format(
        scale=0.2
    )
    walls: dict[str, list[float]] = {"clinch": [], "all": []}
    records: dict[str, list[float]] = {"clinch": [], "all": []}
    with Kernel(environment) as kernel:
        kernel.run(line.format(seed=SEEDS, stop="all") + "\nIs it?")
        for seed in range(SEEDS):
            for stop in walls:
                cell = kernel.run(line.format(seed=seed, stop=stop) + "\nIs it?", "run.seconds")
                walls[stop].append(cell.seconds)
                records[stop].append(cell.value)
    return [
        Figure(
            "clinch / all, in a kernel",
            [sum(walls["clinch"]) / sum(walls["all"])],
            0.50,
            whole=True,
        ),
        Figure("clinch / all, in the records", [sum(records["clinch"]) / sum(records["all"])]),
        Figure("clinch / all, seed by seed", ratios(walls["clinch"], walls["all"])),
    ]


async def _winner(seed: int, stop: str) -> tuple[object, str]:
    run = await vote(
        "Is it?", n=5, choices="yes,no", seed=seed, stop=stop, model=MODEL.format(scale=0)
    )
    assert isinstance(run, VoteRun)
    return run.winner, run.status


async def _unequal() -> int:
    return sum(
        [await _winner(seed, "clinch") != await _winner(seed, "all") for seed in range(RUNS)]
    )


def guarded() -> list[Figure]:
    """A guarded answer's wall time over the slower of its two calls."""
    found = []
    with Server(CALL, text="ALLOW") as server:
        for dialect, model in MODELS.items():
            code = (
                f"%%fanout --no-ask -m {dialect}:{model} -o run\nAnswer me.\n"
                "%guardrail\nSay the word ALLOW"
            )
            with Kernel(server.environment()) as kernel:
                slower = "[max(r.seconds for r in (*run.results, *run.guard.records)), run.guard.verdict]"
                kernel.run(code)
                cells = [kernel.run(code, slower) for _ in range(GUARDED)]
            assert {cell.value[1] for cell in cells} == {"ALLOW"}
            found.append(
                Figure(
                    f"{dialect}: guarded cell / slower call",
                    [cell.seconds / cell.value[0] for cell in cells],
                    1.05,
                )
            )
    return found


def clinched(dialect: str, rounds: int) -> list[Cell]:
    """Votes of five at a server that answers all alike, one after the other: the third decides."""
    code = (
        f"%%vote -n 5 --choices yes,no --stop clinch -m {dialect}:{MODELS[dialect]} -o run\nIs it?"
    )
    with (
        Server(0, delays=DELAYS, text="ANSWER: yes") as server,
        Kernel(server.environment()) as kernel,
    ):
        found = []
        for _ in range(rounds + 1):
            found.append(kernel.run(code, "[run.winner, run.status]"))
            server.calls_since(0)
    assert {cell.value[0] for cell in found} == {"yes"}
    return found[1:]


def main() -> str:
    """Measure and give out the table."""
    unequal = Figure(
        f"winners that differ in {RUNS:,} runs", [asyncio.run(_unequal())], 0, whole=True, digits=0
    )
    return table(
        "Votes that end early, guards beside answers", ABOUT, [*early(), unequal, *guarded()]
    )


if __name__ == "__main__":
    print(main())

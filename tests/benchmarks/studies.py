"""How often a study is wrong about what is better, and what a large one costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from bench import MODELS, Cell, Figure, Kernel, Server, ratios, table
from systems import LOOP_ON_AIOHTTP, Work

from parallm_magics import StudyRun, vote
from parallm_magics.voting import beta_binomial_majority

SEEDS = 200
SMALL, LARGE = 30, 400
SINGLE = {"accuracy": 0.8, "rho": 0.3}
GAINS_5 = {"accuracy": 0.8, "rho": 0.3, "n": 5}
GAINS_10 = {"accuracy": 0.75, "rho": 0.15, "n": 7}
TRUE_5, TRUE_10 = (
    beta_binomial_majority(int(each["n"]), each["accuracy"], each["rho"]) - each["accuracy"]
    for each in (GAINS_5, GAINS_10)
)
VERDICTS = (
    f"Simulated studies, {SEEDS} seeds each, `%%vote --each items --truth label` on two labels, through "
    "the public function. The votes' true gain over a single call is that of the beta-binomial: "
    f"{TRUE_5 * 100:.1f} points for {GAINS_5['n']} votes at p = {GAINS_5['accuracy']}, rho = "
    f"{GAINS_5['rho']}, and {TRUE_10 * 100:.1f} points for {GAINS_10['n']} at p = {GAINS_10['accuracy']}, "
    f"rho = {GAINS_10['rho']}. `No gain`: another model of the same accuracy, asked once, against the "
    "single call. Shares of all studies, in percent."
)

ITEMS, VOTERS = 1_000, "abcde"
ROUNDS = 5
CALL, CONCURRENCY = 200, 50
WORK = Work("study", "", ITEMS * len(VOTERS), CONCURRENCY, CALL, 0)
AT_A_SERVER = (
    f"{ITEMS:,} items, {len(VOTERS)} voters each, plain calls of {CALL} ms, {CONCURRENCY} at once, from a "
    "cell of a real kernel through the SDKs, the server in another process: the whole cell, its report "
    "included, over a cell with a semaphore round the SDK's own call on its aiohttp transport, which "
    "reads and counts nothing. The report: everything that it shows, computed once more from the "
    "records, as html and as text."
)
READY = f"""
import random, time
lot = random.Random(1)
items = []
for at in range({ITEMS}):
    label = "AB"[at % 2]
    wrong = "BA"[at % 2]
    said = {{v: label if lot.random() < 0.8 else wrong for v in {VOTERS!r}}}
    items.append({{"label": label, "text": f"document number {{at}}"}} | said)
docs = [f"Which is it?\\n\\n{{item['text']}}\\n\\nANSWER: {{item[v]}}" for item in items for v in {VOTERS!r}]
def report_seconds(run):
    began = time.perf_counter()
    again = type(run)(run.results, run._plan)
    again._repr_mimebundle_()
    return time.perf_counter() - began
"""


def truth(items: int) -> list[dict[str, str]]:
    """Items of two labels in turn."""
    return [{"text": f"item {at}", "label": "AB"[at % 2]} for at in range(items)]


async def study(seed: int, items: int, shape: Mapping[str, float], **more: object) -> StudyRun:
    """One simulated study."""
    model = f"sim:?accuracy={shape['accuracy']}&rho={shape['rho']}&scale=0"
    given = {"each": truth(items), "truth": "label", "choices": "A,B", "seed": seed, "model": model}
    run = await vote("Which is it?\n\n{{item.text}}", **given, n=int(shape.get("n", 1)), **more)
    assert isinstance(run, StudyRun)
    return run


async def verdicts(items: int, shape: Mapping[str, float], **more: object) -> Counter[str]:
    """How many of all studies come to which verdict on the last system against the single call."""
    found: Counter[str] = Counter()
    for seed in range(SEEDS):
        run = await study(seed, items, shape, **more)
        [compared] = [each for each in run.comparisons if each.alternative != "single"][:1]
        found[compared.verdict] += 1
    return found


def figures(what: str, found: Counter[str], **targets: tuple[float, bool]) -> list[Figure]:
    """The shares of the verdicts that matter; targets are a bound and whether it is the least."""
    lines = []
    for word in ("better", "worse"):
        target, least = targets.get(word, (None, False))
        share = 100 * found[word] / SEEDS
        lines.append(Figure(f"{what}: “{word}”", [share], target, least=least, digits=1))
    return lines


def told() -> str:
    """The table of what studies say."""
    other = f"sim:other?accuracy={SINGLE['accuracy']}&rho={SINGLE['rho']}&scale=0"
    lines = figures(
        f"{SMALL} items, votes gain {TRUE_5 * 100:.1f} points",
        asyncio.run(verdicts(SMALL, GAINS_5)),
        better=(3.0, False),
        worse=(1.0, False),
    )
    lines += figures(
        f"{LARGE} items, votes gain {TRUE_10 * 100:.1f} points",
        asyncio.run(verdicts(LARGE, GAINS_10)),
        better=(90.0, True),
    )
    for items in (SMALL, LARGE):
        found = asyncio.run(verdicts(items, SINGLE, compare=other))
        lines += figures(f"{items} items, no gain", found, better=(3.0, False))
    return table("What studies say", VERDICTS, lines)


def cell(dialect: str) -> str:
    """The cell of the study."""
    voters = "\n".join(f"%voter {v}\nANSWER: {{{{item.{v}}}}}" for v in VOTERS)
    return (
        f"%%vote --each items --truth label --choices A,B --no-ask -m {dialect}:{MODELS[dialect]} "
        f"-c {CONCURRENCY} --stream off -o run\nWhich is it?\n\n{{{{item.text}}}}\n\n{voters}"
    )


def one_round(server: Server, dialect: str) -> tuple[Cell, Cell, float]:
    """The study and the bare calls, each in a new kernel, and the seconds of the report."""
    with Kernel(server.environment()) as kernel:
        kernel.run(READY)
        kernel.run("items, whole = items[:20], items")
        kernel.run(cell(dialect))
        kernel.run("items = whole")
        ours = kernel.run(cell(dialect), "[len(run.measured), report_seconds(run)]", timeout=300)
    with Kernel(server.environment()) as kernel:
        kernel.run(LOOP_ON_AIOHTTP.setup(dialect, WORK))
        kernel.run(READY)
        kernel.run("docs, whole = docs[:100], docs")
        kernel.run(LOOP_ON_AIOHTTP.cell(dialect, WORK))
        kernel.run("docs = whole")
        bare = kernel.run(LOOP_ON_AIOHTTP.cell(dialect, WORK), LOOP_ON_AIOHTTP.kept, timeout=300)
    server.calls_since(0)
    measured, seconds = ours.value
    assert measured == ITEMS
    assert bare.value == ITEMS * len(VOTERS)
    return ours, bare, seconds


def large() -> str:
    """The table of a large study."""
    lines: list[Figure] = []
    with Server(CALL) as server:
        for dialect in MODELS:
            rounds = [one_round(server, dialect) for _ in range(ROUNDS)]
            ours, bare, reports = ([*column] for column in zip(*rounds, strict=True))
            lines += [
                Figure(
                    f"{dialect}: study / bare calls",
                    ratios([each.seconds for each in ours], [each.seconds for each in bare]),
                    1.1,
                ),
                Figure(f"{dialect}: report, seconds", reports, 1.0, whole=True),
                Figure(f"{dialect}: study, seconds", [each.seconds for each in ours], digits=1),
            ]
    return table("A study of a thousand items", AT_A_SERVER, lines)


def main() -> str:
    """Measure and give out both tables."""
    return f"{told()}\n{large()}"


if __name__ == "__main__":
    print(main())

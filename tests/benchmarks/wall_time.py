"""How much longer a cell takes than its longest worker, and than the same calls typed by hand."""

from __future__ import annotations

from bench import MODELS, Cell, Figure, Kernel, Server, ratios, table
from systems import BARE

ROUNDS = 21
CALL = 200
ABOUT = (
    "Workers of 200 ms in a cell of a real kernel, streamed (the default for a panel), default "
    "display; the cell's time is taken inside the kernel from `pre_run_cell` to `post_run_cell`, so "
    "that parsing and the result's HTML are in it (a live table appears only after 250 ms). Fresh "
    "client: no client and no connection, the SDK imported; TLS roots are read once a process, and "
    "the line that says so reads them again. `gather`: the SDK's own streamed call on the same "
    "transport under `asyncio.gather`, warm, typed in a cell of the same kernel. The rounds of all "
    "are interleaved."
)
FRESH = """
_session = get_ipython().find_cell_magic("fanout").__self__.session
await _session.clients.close()
_session.clients = type(_session.clients)()
"""
ROOTS = """
from parallm_magics.providers import transport as _transport
_transport._roots.cache_clear()
"""


def cell(dialect: str, workers: int) -> str:
    """A panel of sections."""
    sections = "".join(f"\n%section s{n}\nReport concern {n}.\n" for n in range(workers))
    return f"%%fanout -m {dialect}:{MODELS[dialect]} -o run\nReview this for one concern only.\n{sections}"


def gather(dialect: str, workers: int) -> str:
    """The same, by hand."""
    prompts = [f"Review this for one concern only.\n\nReport concern {n}." for n in range(workers)]
    return f"await asyncio.gather(*[streamed(client, {MODELS[dialect]!r}, prompt) for prompt in {prompts!r}])"


def measure(kernel: Kernel, dialect: str, workers: int) -> list[Figure]:
    """The figures of one dialect and one size of panel."""
    ours, typed = cell(dialect, workers), gather(dialect, workers)
    longest = "[max(r.seconds for r in run.results), len(run.succeeded)]"
    kernel.run(BARE[dialect] + "\nclient = make_client()")
    kernel.run(ours, longest)
    kernel.run(typed)
    warm, fresh, rooted, by_hand = [], [], [], []
    for _ in range(ROUNDS):
        warm.append(kernel.run(ours, longest))
        by_hand.append(kernel.run(typed))
        kernel.run(FRESH)
        fresh.append(kernel.run(ours, longest))
        kernel.run(FRESH + ROOTS)
        rooted.append(kernel.run(ours, longest))
    assert all(each.value[1] == workers for each in (*warm, *fresh)), "a worker failed"
    name = f"{dialect}, {workers} workers"
    walls = [each.seconds for each in warm]

    def over_longest(cells: list[Cell]) -> list[float]:
        return [each.seconds / each.value[0] for each in cells]

    return [
        Figure(f"{name}: cell / longest worker", over_longest(warm), 1.06),
        Figure(f"{name}: same, fresh client", over_longest(fresh), 1.12),
        Figure(f"{name}: same, TLS roots read again", over_longest(rooted)),
        Figure(f"{name}: cell / `gather`", ratios(walls, [c.seconds for c in by_hand]), 1.03),
        Figure(f"{name}: cell / 200 ms", [wall / 0.2 for wall in walls]),
        Figure(f"{name}: `gather` / 200 ms", [c.seconds / 0.2 for c in by_hand]),
        Figure(f"{name}: cell / 200 ms, fresh client", [c.seconds / 0.2 for c in fresh]),
        Figure(
            f"{name}: cell / `gather`, seen by the front end",
            ratios([c.outside for c in warm], [c.outside for c in by_hand]),
        ),
    ]


def main() -> str:
    """Measure and give out the table."""
    figures: list[Figure] = []
    with Server(CALL) as server:
        for dialect in MODELS:
            with Kernel(server.environment()) as kernel:
                for workers in (3, 5):
                    figures += measure(kernel, dialect, workers)
    return table("Wall time", ABOUT, figures)


if __name__ == "__main__":
    print(main())

"""The CPU of twenty streams with their live table beside that of a bare loop over the SDK's streams."""

from __future__ import annotations

from bench import BARE, BARE_MANY, MODELS, Cell, Figure, Kernel, Server, ratios, table

ROUNDS = 9
STREAMS = 20
TOKENS = 200
GAP = 0.010
ABOUT = (
    f"{STREAMS} streams of {TOKENS} tokens at once, a token every {GAP * 1000:g} ms, the server in "
    "another process: the CPU of the kernel's process, from `pre_run_cell` to `post_run_cell`, with "
    "the live table on, over that of a cell with a bare loop of the SDK's own stream on the same "
    "transport. Updates are the messages to the live table's widgets. The rounds are interleaved."
)


def measure(kernel: Kernel, dialect: str) -> list[Figure]:
    """The figures of one dialect."""
    kernel.run(f"{BARE[dialect]}{BARE_MANY}\nclient = make_client()")
    kernel.run(f"docs = [f'document number {{n}}' for n in range({STREAMS})]")
    ours = f"%%fanout -m {dialect}:{MODELS[dialect]} --each docs --stream on -o run\nRead {{{{item}}}}."
    by_hand = (
        "prompts = [f'Read {doc}.' for doc in docs]\n"
        f"answers = await many(streamed, client, {MODELS[dialect]!r}, prompts, {STREAMS})"
    )

    def both() -> tuple[Cell, Cell]:
        return kernel.run(ours, "len(run.succeeded)"), kernel.run(by_hand, "len(answers)")

    both()
    first, second = zip(*[both() for _ in range(ROUNDS)], strict=True)
    assert all(cell.value == STREAMS for cell in (*first, *second)), "a stream failed"
    cpu, bare = [cell.cpu for cell in first], [cell.cpu for cell in second]
    return [
        Figure(f"{dialect}: CPU / bare loop", ratios(cpu, bare), 1.15),
        Figure(f"{dialect}: CPU ms a stream", [c * 1000 / STREAMS for c in cpu], digits=1),
        Figure(f"{dialect}: same, bare loop", [c * 1000 / STREAMS for c in bare], digits=1),
        Figure(f"{dialect}: updates", [cell.updates for cell in first], 1, least=True, digits=0),
        Figure(f"{dialect}: seconds", [cell.seconds for cell in first]),
        Figure(f"{dialect}: same, bare loop", [cell.seconds for cell in second]),
    ]


def main() -> str:
    """Measure and give out the table."""
    found: list[Figure] = []
    with Server(0, tokens=TOKENS, gap=GAP) as server:
        for dialect in MODELS:
            with Kernel(server.environment()) as kernel:
                found += measure(kernel, dialect)
    return table("Streams", ABOUT, found)


if __name__ == "__main__":
    print(main())

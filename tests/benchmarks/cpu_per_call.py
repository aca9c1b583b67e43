"""The CPU of a call beside that of a bare loop over the SDK: many calls, through both doors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench import MODELS, Cell, Figure, Kernel, Server, environment, ratios, table
from systems import BARE, BARE_MANY, bare

from parallm_magics import fanout
from parallm_magics.core.tasks import Task
from parallm_magics.providers.registry import Clients, parse_model

ROUNDS = 9
CALLS = 1_000
CONCURRENCY = 100
CALL = 20
MODES = {"off": "plain", "on": "streamed"}
ABOUT = (
    f"{CALLS:,} calls of 20 ms, {CONCURRENCY} at once, the server in another process; CPU of the "
    "client's process per call over that of a bare loop (one semaphore, the SDK's own call, the same "
    "transport), plain beside plain and streamed beside streamed (a few chunks an answer). Python: "
    "`await fanout(…)`, which opens and closes its own client, and so does the bare loop. Cell: "
    "`%%fanout --each` in a real kernel with its live table and the result's HTML, beside a cell with "
    "the bare loop; clients warm. The SDK's own call builds typed objects, which ours leaves out; "
    "`without the engine` is therefore a bare loop of our own providers' calls: over it stands what "
    "admission, limits, retries, records and the run add. The rounds are interleaved."
)


def options(stream: str) -> dict[str, Any]:
    """How both doors ask for the same."""
    return {"each": "docs", "concurrency": CONCURRENCY, "stream": stream}


def cost(call: Callable[[], Awaitable[Any]]) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds and result of one run on a loop of its own."""

    async def timed() -> tuple[float, float, Any]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = await call()
        return time.process_time() - cpu, time.perf_counter() - wall, result

    return asyncio.run(timed())


def figures(
    name: str,
    ours: Sequence[tuple[float, float]],
    by_hand: Sequence[tuple[float, float]],
) -> list[Figure]:
    """The lines of one comparison of (CPU, wall)."""
    cpu, bare_cpu = [c for c, _ in ours], [c for c, _ in by_hand]
    return [
        Figure(f"{name}: CPU / bare loop", ratios(cpu, bare_cpu), 1.15),
        Figure(f"{name}: CPU ms per call", [c * 1000 / CALLS for c in cpu], digits=2),
        Figure(f"{name}: same, bare loop", [c * 1000 / CALLS for c in bare_cpu], digits=2),
        Figure(f"{name}: calls/s", [CALLS / w for _, w in ours], digits=0),
        Figure(f"{name}: same, bare loop", [CALLS / w for _, w in by_hand], digits=0),
    ]


def in_python(dialect: str, stream: str) -> list[Figure]:
    """Through the function, in this process."""
    hand = bare(dialect)
    ask = hand[MODES[stream]]
    docs = [f"document number {n}" for n in range(CALLS)]

    async def ours() -> int:
        run = await fanout(
            "Say something about {{item}}.",
            variables={"docs": docs},
            model=f"{dialect}:{MODELS[dialect]}",
            **options(stream),
        )
        return len(run.succeeded)

    async def by_hand() -> int:
        prompts = [f"Say something about {doc}." for doc in docs]
        async with hand["make_client"]() as client:
            return len(await hand["many"](ask, client, MODELS[dialect], prompts, CONCURRENCY))

    async def without_engine() -> int:
        clients, model = Clients(), parse_model(f"{dialect}:{MODELS[dialect]}")
        provider = await clients.get(model)

        async def own(_client: object, _model: str, prompt: str) -> object:
            task = Task(0, "w", model, prompt, stream=stream == "on")
            return await provider.complete(task, lambda piece: None)

        prompts = [f"Say something about {doc}." for doc in docs]
        try:
            return len(await hand["many"](own, None, MODELS[dialect], prompts, CONCURRENCY))
        finally:
            await clients.close()

    ways = (ours, by_hand, without_engine)
    for way in ways:
        cost(way)
    rounds = [[cost(way) for way in ways] for _ in range(ROUNDS)]
    assert all(result == CALLS for each in rounds for _, _, result in each), "a call failed"
    name = f"{dialect}, {MODES[stream]}, Python"
    first, second, third = ([run[:2] for run in column] for column in zip(*rounds, strict=True))
    cpu = [our for our, _ in first]
    return [
        *figures(name, first, second),
        Figure(f"{name}: CPU / same without the engine", ratios(cpu, [c for c, _ in third])),
    ]


def in_a_cell(kernel: Kernel, dialect: str, stream: str) -> list[Figure]:
    """Through the magic, in a kernel."""
    flags = " ".join(f"--{name} {value}" for name, value in options(stream).items())
    ours = (
        f"%%fanout -m {dialect}:{MODELS[dialect]} {flags} -o run\nSay something about {{{{item}}}}."
    )
    ask = MODES[stream]
    by_hand = (
        "prompts = [f'Say something about {doc}.' for doc in docs]\n"
        f"answers = await many({ask}, client, {MODELS[dialect]!r}, prompts, {CONCURRENCY})"
    )
    kernel.run(BARE[dialect] + BARE_MANY + "\nclient = make_client()")
    kernel.run(f"docs = [f'document number {{n}}' for n in range({CALLS})]")

    def both() -> tuple[Cell, Cell]:
        return kernel.run(ours, "len(run.succeeded)"), kernel.run(by_hand, "len(answers)")

    both()
    rounds = [both() for _ in range(ROUNDS)]
    assert all(each.value == CALLS for pair in rounds for each in pair), "a call failed"
    return figures(
        f"{dialect}, {ask}, cell",
        [(our.cpu, our.seconds) for our, _ in rounds],
        [(by_hand.cpu, by_hand.seconds) for _, by_hand in rounds],
    )


def main() -> str:
    """Measure and give out the table."""
    found: list[Figure] = []
    with Server(CALL) as server, environment(server.environment()):
        for dialect in MODELS:
            for stream in MODES:
                found += in_python(dialect, stream)
                with Kernel(server.environment()) as kernel:
                    found += in_a_cell(kernel, dialect, stream)
                server.calls_since(0)
    return table("CPU of a call", ABOUT, found)


if __name__ == "__main__":
    print(main())

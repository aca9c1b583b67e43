"""Panels as people watch them: the live table on, beside a lean, a naive and a bare cell."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import BARE, BARE_MANY, MODELS, Cell, Figure, Kernel, Server, ratios, table

ROUNDS = 7
CALL = 50
TOKENS, GAP = 200, 0.010
UNPRICED = "a-model-without-a-price"
ABOUT = (
    "Calls at a server on this machine, a process apart, in a cell of a kernel; rounds are interleaved "
    f"in random order, medians of ratios. A plain call takes {CALL} ms, 20 at once; a stream has {TOKENS} "
    f"tokens, one every {GAP * 1000:g} ms. The lean cell is the SDK's `client.post` on aiohttp under a "
    "semaphore with a table of its own in an HTML widget, ten times a second; the naive cell is the SDK's "
    "usual client under a semaphore, without a table; raw aiohttp reads bytes and makes JSON of them. "
    "Comm is what the kernel sent to widgets; lag is the longest time that a timer of 5 ms was late."
)

# The loop's lag while a cell runs, measured in the kernel by a timer of its own.
LAG = """
import asyncio as _asyncio
_lag = [0.0]
async def _watch():
    loop = _asyncio.get_running_loop()
    while True:
        before = loop.time()
        await _asyncio.sleep(0.005)
        _lag[0] = max(_lag[0], loop.time() - before - 0.005)
_watcher = _asyncio.ensure_future(_watch())
"""

LEAN = """
import html, time
import ipywidgets
from IPython.display import display
class Table:
    def __init__(self, count):
        self.rows = ["waiting"] * count
        self.slot = ipywidgets.HTML()
        display(self.slot)
        self.over = False
    async def draw(self):
        while not self.over:
            self.show()
            await asyncio.sleep(0.1)
    def show(self):
        rows = "".join(f"<tr><td>{n}</td><td>{html.escape(r[-80:])}</td></tr>"
                       for n, r in enumerate(self.rows))
        self.slot.value = f"<table>{rows}</table>"
async def lean(client, model, prompts, concurrency, stream):
    gate, shown = asyncio.Semaphore(concurrency), Table(len(prompts))
    drawing = asyncio.ensure_future(shown.draw())
    async def one(n, prompt):
        async with gate:
            shown.rows[n] = "running"
            body = request(model, prompt) | ({"stream": True} if stream else {})
            answer = await client.post(PATH, cast_to=Response, body=body, stream=True, stream_cls=object)
            if not stream:
                text = WHOLE(json.loads(await answer.aread()))
            else:
                text = ""
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        text += PIECE(json.loads(line[6:]))
                        shown.rows[n] = text
            await answer.aclose()
            shown.rows[n] = text
            return text
    answers = await asyncio.gather(*[one(n, p) for n, p in enumerate(prompts)])
    shown.over = True
    await drawing
    shown.show()
    return answers
"""
RAW = """
import aiohttp, os
async def raw(model, prompts, concurrency, stream):
    gate = asyncio.Semaphore(concurrency)
    async def one(session, prompt):
        body = request(model, prompt) | ({"stream": True} if stream else {})
        async with gate, session.post(URL, json=body, headers=HEADERS) as answer:
            if not stream:
                return WHOLE(json.loads(await answer.read()))
            text = ""
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    text += PIECE(json.loads(line[6:]))
            return text
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        return await asyncio.gather(*[one(session, p) for p in prompts])
"""
WAYS = {
    "anthropic": """
import json
from httpx2 import Response
PATH = "/v1/messages"
URL = os.environ["ANTHROPIC_BASE_URL"] + PATH
HEADERS = {"x-api-key": "none", "anthropic-version": "2023-06-01"}
def WHOLE(data): return data["content"][0]["text"]
def PIECE(data): return data["delta"].get("text", "") if data["type"] == "content_block_delta" else ""
""",
    "openai": """
import json
from httpx2 import Response
PATH = "/chat/completions"
URL = os.environ["OPENAI_BASE_URL"] + PATH
HEADERS = {"authorization": "Bearer none"}
def WHOLE(data): return data["choices"][0]["message"]["content"]
def PIECE(data):
    return (data["choices"][0]["delta"].get("content") or "") if data["choices"] else ""
""",
}


@dataclass(frozen=True)
class Panel:
    """What is asked.

    Attributes:
        calls, at_once: how many, and how many at once.
        stream: whether the answers are streamed.
        priced: whether the model has a price.
    """

    calls: int
    at_once: int
    stream: bool = False
    priced: bool = True

    @property
    def name(self) -> str:
        """In words."""
        kind = "streams" if self.stream else "calls"
        return f"{self.calls} {kind}" + ("" if self.priced else ", no price")

    @property
    def ideal(self) -> float:
        """Seconds that the server alone takes."""
        one = TOKENS * GAP if self.stream else CALL / 1000
        return -(-self.calls // self.at_once) * one


PANELS = (
    Panel(3, 3),
    Panel(20, 20),
    Panel(100, 20),
    Panel(100, 20, priced=False),
    Panel(200, 20),
    Panel(20, 20, stream=True),
)


def _ours(panel: Panel, dialect: str, model: str) -> str:
    stream = "on" if panel.stream else "off"
    return (
        f"%%fanout -m {dialect}:{model} --each docs -c {panel.at_once} --stream {stream} -o run\n"
        "{{item}}"
    )


def _call(function: str) -> Callable[[Panel, str, str], str]:
    def cell(panel: Panel, dialect: str, model: str) -> str:
        client = "client, " if function == "lean" else ""
        return (
            f"answers = await {function}({client}{model!r}, docs, {panel.at_once}, {panel.stream})"
        )

    return cell


def _naive(panel: Panel, dialect: str, model: str) -> str:
    ask = "streamed" if panel.stream else "plain"
    return f"answers = await many({ask}, plain_client, {model!r}, docs, {panel.at_once})"


SYSTEMS = {
    "parallm_magics": _ours,
    "lean": _call("lean"),
    "naive": _naive,
    "raw": _call("raw"),
}


def measured(panel: Panel, dialect: str, rounds: int = ROUNDS) -> dict[str, list[Cell]]:
    """How each system did its work, round by round."""
    chance = random.Random(panel.name)
    model = MODELS[dialect] if panel.priced else UNPRICED
    behaviour = {"tokens": TOKENS, "gap": GAP} if panel.stream else {}
    client = {"anthropic": "AsyncAnthropic", "openai": "AsyncOpenAI"}[dialect]
    setup = (
        f"import os\n{BARE[dialect]}{BARE_MANY}{WAYS[dialect]}{LEAN}{RAW}{LAG}"
        f"client, plain_client = make_client(), {dialect}.{client}()\n"
        f"docs = [f'Say something about document number {{n}}.' for n in range({panel.calls})]"
    )
    with ExitStack() as stack:
        server = stack.enter_context(
            Server(0 if panel.stream else CALL, models=[model], **behaviour)
        )
        kernels = {name: stack.enter_context(Kernel(server.environment())) for name in SYSTEMS}
        found: dict[str, list[Cell]] = {name: [] for name in SYSTEMS}
        for name, kernel in kernels.items():
            kernel.run(setup)
            kernel.run(SYSTEMS[name](panel, dialect, model))
        for _ in range(rounds):
            for name in chance.sample([*SYSTEMS], len(SYSTEMS)):
                kernels[name].run("_lag[0] = 0.0")
                cell = SYSTEMS[name](panel, dialect, model)
                found[name].append(kernels[name].run(cell, "_lag[0]"))
    return found


def figures(panel: Panel, dialect: str, found: dict[str, list[Cell]]) -> list[Figure]:
    """The ratios that matter, and what the page cost."""
    walls = {name: [cell.seconds for cell in cells] for name, cells in found.items()}
    cpu = {name: [cell.cpu for cell in cells] for name, cells in found.items()}
    lag = {name: [cell.value for cell in cells] for name, cells in found.items()}
    ours, what = "parallm_magics", f"{dialect}, {panel.name}"
    live = panel.calls == 100
    many = panel.calls == 200
    return [
        Figure(f"{what}: wall / ideal", [w / panel.ideal for w in walls[ours]]),
        Figure(
            f"{what}: wall / lean cell",
            ratios(walls[ours], walls["lean"]),
            1.15 if live else 1.25 if many else None,
        ),
        Figure(
            f"{what}: wall / naive cell",
            ratios(walls[ours], walls["naive"]),
            0.95 if live else None,
        ),
        Figure(f"{what}: CPU / lean cell", ratios(cpu[ours], cpu["lean"]), 1.1 if many else None),
        Figure(f"{what}: CPU / raw aiohttp", ratios(cpu[ours], cpu["raw"])),
        Figure(f"{what}: lag / lean cell", ratios(lag[ours], lag["lean"]), 1.0 if many else None),
        Figure(
            f"{what}: comm, kB", [cell.comm / 1000 for cell in found[ours]], 800 if many else None
        ),
        Figure(f"{what}: ms from the last answer to idle", [_tail(cell) for cell in found[ours]]),
    ]


def _tail(cell: Cell) -> float:
    return (cell.outside - cell.seconds) * 1000


def main(panels: Sequence[Panel] = PANELS) -> str:
    """Measure and give out the table."""
    rows = [
        figure
        for panel in panels
        for dialect in MODELS
        for figure in figures(panel, dialect, measured(panel, dialect))
    ]
    return table("Panels with the live table on", ABOUT, rows)


if __name__ == "__main__":
    chosen = [p for p in PANELS if not sys.argv[1:] or str(p.calls) in sys.argv[1:]]
    print(main(chosen))

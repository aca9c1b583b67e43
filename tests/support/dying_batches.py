"""Cells of batches in processes that are killed again and again, until the cell has all of its answers.

Each process is made by a fork server that has everything imported, so that a death costs no import. It runs one
cell with `batch=True` over many items on a scripted provider, and is killed with SIGKILL at a random moment: after
a random time, when the request that makes a batch has arrived (with the batch being made, or not), or just after the
answer to that has left. Now and then a batch of somebody else of the same size appears in the provider's list in
that moment. Where a cell stops and asks, the truth is looked up at the server and told to it, as a person would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from provider import KEY, Loopback
from provider_acts import Act

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
KINDS = {"anthropic": "msgbatch", "openai": "batch"}
PRELOADED = ["dying_batches", "anthropic", "openai", "parallm_magics.api", "genai_prices"]
STRANGER = "stranger"

Moment = Literal["any", "made unheard", "never made", "just answered"]
"""When a process dies: at any time; as a batch is being made, whose answer nobody hears; as one was about to be
made, and is not; within milliseconds after the answer."""
MOMENTS: dict[Moment, int] = {"any": 8, "made unheard": 5, "never made": 2, "just answered": 5}
"""How often each comes, against the others."""


@dataclass(frozen=True)
class Cell:
    """One cell, which all processes of a trial run in turn.

    Attributes:
        dialect: of `MODELS`.
        file: of its recordings.
        items: how many.
        chunk: most requests of a batch.
        name: part of every item.
    """

    dialect: str
    file: Path
    items: int
    chunk: int
    name: str

    @property
    def texts(self) -> list[str]:
        """The items."""
        return [f"{self.name}: document {at}" for at in range(self.items)]


@dataclass
class Told:
    """What became of the trials.

    Attributes:
        requests: how many items the cells had.
        batches: how many batches were made.
        deaths: how many processes were killed, by the moment.
        asked: how often a cell stopped and asked.
        strangers: how many batches of somebody else appeared.
        lost: items without their answer at the end.
        twice: requests that were sent once more than needed.
        again: batches that were made by running a finished cell once more.
        wrong: what else was not as it must be.
    """

    requests: int = 0
    batches: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    strangers: int = 0
    lost: int = 0
    twice: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)


# --- in the process that dies ---------------------------------------------------------------------


def run_cell(cell: Cell, url: str, end: Any) -> None:
    """Run the cell to its end, and send how it ended."""
    os.environ |= {
        "PARALLM_RECORDINGS": str(cell.file),
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{url}/v1",
    }
    from parallm_magics import fanout
    from parallm_magics.errors import ParallmError

    _hurry(cell.chunk)
    texts = cell.texts
    model = f"{cell.dialect}:{MODELS[cell.dialect]}"
    try:
        run = asyncio.run(fanout("{{item}}", each=texts, model=model, batch=True, min_success="0%"))
    except ParallmError as error:
        end.send({"error": f"{type(error).__name__}: {error}"})
        return
    right = [
        r.ok and r.text == f"echo: {text[-60:]}" for r, text in zip(run.results, texts, strict=True)
    ]  # type: ignore[union-attr]
    bad = {r.error.message for r in run.results if r.error}  # type: ignore[union-attr]
    end.send({"right": sum(right), "bad": " ".join(sorted(bad))})


def _hurry(chunk: int) -> None:
    """Lower the limits of a batch, and the pauses between two looks at one."""
    from parallm_magics.engine import batch_queue, batch_search, batch_sending, run_batch
    from parallm_magics.providers.anthropic_batches import AnthropicBatches
    from parallm_magics.providers.openai_batches import OpenAIBatches

    for kind in (AnthropicBatches, OpenAIBatches):
        kind.limits = kind.limits._replace(requests=chunk)

    def soon(batch: Any, now: float, note: str = "", least: float = 0.0) -> None:
        batch.due, batch.note = now + 0.03, note

    def later(queue: Any, now: float, note: str, least: float = 0.0) -> None:
        queue.ready, queue.note = now + 0.03, note

    run_batch.RunBatch.look_later = soon  # type: ignore[method-assign]
    batch_queue.Queue.wait = later  # type: ignore[method-assign]
    batch_search.LOOK_AGAIN_SECONDS = 0.1
    batch_sending.LOCK_SECONDS = 0.02


# --- who kills it ---------------------------------------------------------------------------------


class Killer:
    """Kills a process when the provider is about to make a batch, or has just made one."""

    def __init__(self, server: Loopback, chance: random.Random, told: Told) -> None:
        self._server, self._chance, self._told = server, chance, told
        self._lock = threading.Lock()
        self._moment: Moment | None = None
        self._wait = 0
        self._pid = 0
        self._do = server.batches._openai, server.batches._anthropic
        server.batches._openai = self._around(server.batches._openai)  # type: ignore[method-assign]
        server.batches._anthropic = self._around(server.batches._anthropic)  # type: ignore[method-assign]

    def arm(self, pid: int, moment: Moment | None, wait: int) -> None:
        """Kill that process at such a moment, after so many others of this kind."""
        with self._lock:
            self._pid, self._moment, self._wait = pid, moment, wait

    def _around(self, do: Any) -> Any:
        def done(call: Any, raw: bytes, found: Any, operation: str) -> Act:
            with self._lock:
                moment = self._moment if operation == "create" else None
                if moment is not None and self._wait > 0:
                    self._wait -= 1
                    moment = None
                if moment is not None:
                    self._moment = None
            if moment in ("made unheard", "never made"):
                os.kill(self._pid, signal.SIGKILL)
                self._perhaps_a_stranger(call)
            if moment == "never made":
                return Act(reset="before")
            answer: Act = do(call, raw, found, operation)
            if moment == "just answered":
                delay = self._chance.uniform(0.0, 0.006)
                threading.Timer(delay, os.kill, (self._pid, signal.SIGKILL)).start()
            return answer

        return done

    def _perhaps_a_stranger(self, call: Any) -> None:
        """Somebody else makes a batch of that size with the same key."""
        if self._chance.random() > 0.2:
            return
        made = self._server.batches
        if "requests" in call.body:
            kind, size = "msgbatch", len(call.body["requests"])
            body = call.body["requests"][0]["params"]
        else:
            lines = made.files[call.body["input_file_id"]].splitlines()
            kind, size, body = "batch", len(lines), json.loads(lines[0])["body"]
        names = {f"{STRANGER}-{at}": body for at in range(size)}
        made._make(kind, names, call.endpoint, call)
        self._told.strangers += 1


class Trial:
    """Runs cells in processes that die."""

    def __init__(self, server: Loopback, chance: random.Random) -> None:
        self._server, self._chance = server, chance
        self.told = Told()
        self._killer = Killer(server, chance, self.told)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the fork server's
        self._seconds = 1.0

    def run(self, cell: Cell, deaths: int) -> None:
        """Run a cell to its end, killing its process at most so often before."""
        known = {*self._server.batches.made}
        began = time.monotonic()
        end = self._to_its_end(cell, deaths)
        mine = [
            b
            for name, b in self._server.batches.made.items()
            if name not in known and not _strange(b)
        ]
        sent = Counter(_prompt(body) for batch in mine for body in batch.requests.values())
        self.told.requests += cell.items
        self.told.batches += len(mine)
        self.told.lost += cell.items - end["right"]
        self.told.twice += sum(sent.values()) - len(sent)
        if end["bad"]:
            self.told.wrong.append(end["bad"])
        self._once_more(cell)
        self._seconds = max(0.5, min(self._seconds, time.monotonic() - began))
        for name in [n for n in self._server.batches.made if n not in known]:  # memory
            batch = self._server.batches.made[name]
            batch.requests, batch.lines = {}, ([], [])
        self._server.batches.files.clear()

    def _to_its_end(self, cell: Cell, deaths: int) -> dict[str, Any]:
        while True:
            moment = self._moment() if deaths > 0 else None
            told = self._process(cell, moment)
            if told is None:
                deaths -= 1
            elif _asks(why := told.get("error") or told["bad"]):
                self.told.asked += 1
                self._decide(cell, why)
            elif "error" in told:
                raise RuntimeError(told["error"])
            else:
                return told

    def _moment(self) -> Moment:
        return self._chance.choices([*MOMENTS], [*MOMENTS.values()])[0]

    def _process(self, cell: Cell, moment: Moment | None) -> dict[str, Any] | None:
        """What a process says at its end; None where it was killed."""
        mine, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=run_cell, args=(cell, self._server.url, theirs))
        process.start()
        theirs.close()
        assert process.pid is not None
        at_create = moment not in (None, "any")
        self._killer.arm(process.pid, moment if at_create else None, self._chance.randrange(3))
        if moment == "any":
            process.join(self._chance.uniform(0.02, self._seconds))
            if process.is_alive():
                process.kill()
        process.join(300)
        self._killer.arm(0, None, 0)
        if process.exitcode is None:
            process.kill()
            raise RuntimeError("a cell did not end")
        told = None
        with contextlib.suppress(EOFError):
            told = mine.recv() if mine.poll() else None
        mine.close()
        if process.exitcode == 0 and told is not None:
            return told  # type: ignore[no-any-return]
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a cell ended with {process.exitcode}")
        self.told.deaths[str(moment)] += 1
        return None

    def _decide(self, cell: Cell, error: str) -> None:
        """Say what became of the batches that the cell asks about, as the server knows it."""
        from parallm_magics.recordings.batch_ledger import FileLedger
        from parallm_magics.recordings.store import Recordings

        ledger = FileLedger(Recordings(cell.file))
        for entry in ledger.batches():
            if entry.closed or (entry.id and entry.sure) or entry.nonce not in error:
                continue
            made = self._server.batches.made
            true = [
                n for n, b in made.items() if next(iter(b.requests), "").startswith(entry.nonce)
            ]
            if true:
                ledger.sent(entry, true[0], sure=False)
            else:
                ledger.dropped(entry, "by hand")

    def _once_more(self, cell: Cell) -> None:
        """A finished cell is served from its file: no batch more."""
        before = len(self._server.batches.made)
        told = self._process(cell, None)
        if told is None or told.get("right") != cell.items:
            self.told.wrong.append(f"once more: {told}")
        self.told.again += len(self._server.batches.made) - before


def _asks(why: str) -> bool:
    """Whether a cell, or some of its records, say that a person must decide."""
    return "%parallm batches adopt" in why


def _strange(batch: Any) -> bool:
    return next(iter(batch.requests), "").startswith(STRANGER)


def _prompt(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@contextmanager
def trials(seed: int) -> Iterator[Trial]:
    """A server whose batches take a moment, and what runs cells on it."""
    chance = random.Random(seed)
    with Loopback() as server:
        server.batches.seconds = 0.05
        yield Trial(server, chance)

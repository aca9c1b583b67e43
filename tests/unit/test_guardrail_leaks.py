"""Not one character of blocked work is drawn, streamed, kept or sent on, whatever the timing.

What the events tell is for the board alone, which withholds it; nobody else hears them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import types
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from fakes import USED, Fake, FakeClients
from live_views import live_html
from provider import Act, Call, Loopback
from virtual_time import run_virtual

from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, FaultKind, Task
from parallm_magics.display import Board
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import UnfinishedError
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers import registry
from parallm_magics.providers.registry import Clients, parse_model
from parallm_magics.recordings.store import Recordings

RUNNERS: dict[str, Any] = {"fanout": FanoutPattern.run, "vote": VotePattern.run}
HARMFUL = "Is this harmful?"
SEEDS = 200
LOST: list[FaultKind] = ["bad_request", "cut", "refusal", "length", "not_an_answer"]


def canary() -> str:
    """Put together only when it is said, so that no test holds it in a variable of its own."""
    return "".join([*"CANARY", "-7F3A"])


class Cellar(NamedTuple):
    """A cell, and how it is to run."""

    magic: str
    line: str
    body: str
    variables: dict[str, Any]


def some_cell(lot: random.Random, guard: str) -> Cellar:
    """A cell of either magic with what may follow the work."""
    line = lot.choice(["", "", "-c 1", "-c 3"])
    line += lot.choice(["", " --min-success 0"])
    if lot.random() < 0.5:
        after = lot.choice(["", "%synthesis\nMerge.\n"])
        if lot.random() < 0.3:
            docs = {"docs": [f"item {n}" for n in range(lot.choice([3, 30]))]}
            return Cellar("fanout", f"{line} --each docs", "{{item}}\n" + after + guard, docs)
        sections = "".join(f"%section n{n}\nask {n}\n" for n in range(lot.randint(1, 5)))
        return Cellar("fanout", line, sections + after + guard, {})
    rule = lot.choice(
        ["--pick judge", "--pick best", "--choices x,y", "--choices x,y --stop clinch"]
    )
    return Cellar("vote", f"-n {lot.randint(1, 6)} {line} {rule}", "which\n" + guard, {})


def some_guards(lot: random.Random) -> str:
    """One guard, two, or a vote."""
    rest = f"-n {lot.choice([1, 3])}"
    first = f"%guardrail g {rest}\n{HARMFUL}\n"
    return first if lot.random() < 0.6 else f"{first}%guardrail h\n{HARMFUL} Really?\n"


class Viewer:
    """A board that is drawn while a run goes on.

    Attributes:
        drawn: every page of it.
    """

    def __init__(self, lot: random.Random) -> None:
        self._lot = lot
        self.drawn: list[str] = []
        self.board: Board | None = None

    def tell(self, event: Any) -> None:
        """Listen as a live table does, and look at it now and then."""
        assert self.board is not None
        self.board.tell(event)
        if self._lot.random() < 0.3:
            self.draw()

    def draw(self) -> None:
        """Look at the board now."""
        if self.board is not None:
            self.drawn.append(live_html(self.board, asyncio.get_running_loop().time()))


class Scene:
    """A provider whose work says the canary.

    Attributes:
        viewer: who looks at it.
        followed: the prompts of synthesis and judge.
    """

    def __init__(self, lot: random.Random, verdict: str) -> None:
        self._lot, self._verdict = lot, verdict
        self._guard = (lot.uniform(0, 3), lot.choice([0.0, 0.0, 0.4]))
        self.viewer = Viewer(lot)
        self.followed: list[str] = []

    async def act(self, task: Task, heard: Heard) -> Reply:
        """Answer as guard, as work, or as what follows it."""
        lot = self._lot
        if HARMFUL in task.prompt:
            base, spread = self._guard
            await asyncio.sleep(base + lot.uniform(0, spread))
            return self._said()
        if task.name.startswith(("synthesis", "judge")):
            self.followed.append(task.prompt)
            return Reply('{"winner": 1, "score": 5}', usage=USED)
        pieces = [f"x {canary()} {task.index}", "", "\n", canary(), " and so on, long enough"]
        for piece in pieces:
            await asyncio.sleep(lot.choice([0.0, 0.0, 0.1, 0.5, 1.0]))
            heard(piece)
        whole = "".join(pieces)
        if lot.random() < 0.3:
            fault = Fault(lot.choice(LOST), f"cannot use {canary()}")
            raise CallFailed(fault, text=whole, usage=USED)
        return Reply(f"{whole}\nANSWER: x", usage=USED)

    def _said(self) -> Reply:
        if self._verdict == "fails":
            raise CallFailed(Fault("server", "overloaded"), usage=USED)
        return Reply(self._verdict, usage=USED)


class Places(NamedTuple):
    """Everywhere that a word of the work might be found."""

    drawn: str
    shown: str
    held: bool
    recorded: str
    written: str
    followed: str
    said: str

    @property
    def found(self) -> set[str]:
        """Where the canary is."""
        texts = self._asdict()
        held = {"held"} if texts.pop("held") else set()
        return held | {name for name, text in texts.items() if canary() in text}


# The test's own provider leads to its viewer; the run must not.
NOT_OURS = (types.ModuleType, type, asyncio.AbstractEventLoop, Scene)


def holds(value: Any) -> bool:
    """Whether the canary is in anything that can be reached from a value, closures included."""
    seen: set[int] = set()
    kept: list[Any] = []
    left = [value]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, NOT_OURS):
            continue
        seen.add(id(item))
        kept.append(item)
        if isinstance(item, str | bytes):
            if canary() in (item if isinstance(item, str) else item.decode("utf-8", "replace")):
                return True
        elif isinstance(item, Mapping):
            with contextlib.suppress(Exception):
                left += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            left += item
        elif isinstance(item, functools.partial):
            left += [item.func, *item.args, item.keywords]
        elif isinstance(item, types.MethodType):
            left += [item.__self__, item.__func__]
        elif isinstance(item, types.FunctionType):
            for cell in item.__closure__ or ():
                with contextlib.suppress(ValueError):
                    left.append(cell.cell_contents)
            left += [item.__defaults__, item.__kwdefaults__]
        if isinstance(item, BaseException):
            left += [item.args, item.__cause__, item.__context__]
        left.append(getattr(item, "__dict__", None))
        for kind in type(item).__mro__:
            names = kind.__dict__.get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                left.append(getattr(item, name, None))
    return False


def shown(run: Any) -> str:
    """Everything that a run says of itself."""
    bundle = run._repr_mimebundle_()
    pictures = [run.timeline()] + ([run.tally_bars()] if hasattr(run, "tally_bars") else [])
    texts = [
        repr(run),
        str(run),
        json.dumps(run.to_dict()),
        run.to_pandas().to_csv(),
        *bundle.values(),
    ]
    for picture in pictures:
        texts += [repr(picture), *picture._repr_mimebundle_().values()]
    names = [name for name in dir(type(run)) if not name.startswith("_")]
    texts += [repr(getattr(run, name)) for name in names if not callable(getattr(run, name))]
    return "\n".join(texts)


async def run_of(
    plan: Plan, scene: Scene, clients: Any, folder: Path, stop: Stop | None = None
) -> tuple[Any, Exception | None]:
    """The run of a plan and the error that carried it, watched and recorded."""

    @contextlib.asynccontextmanager
    async def renew(plan: Plan) -> AsyncIterator[RunContext]:
        yield RunContext(clients)

    scene.viewer.board = PATTERNS[plan.pattern].board(plan, clients)
    store = Recordings(folder / "recorded.jsonl")
    around = RunContext(
        clients, tell=scene.viewer.tell, stop=stop or Stop(), recordings=store, renew=renew
    )
    try:
        return await RUNNERS[plan.magic](plan, around), None
    except UnfinishedError as error:
        return error.run, error
    finally:
        scene.viewer.draw()


def looked_at(run: Any, error: Exception | None, scene: Scene, folder: Path) -> Places:
    """All places of a run."""

    def read(name: str) -> str:
        path = folder / name
        return path.read_text() if path.exists() else ""

    return Places(
        drawn="\n".join(scene.viewer.drawn),
        shown=shown(run),
        held=holds(run) or holds(error),
        recorded=read("recorded.jsonl"),
        written=read("out.jsonl"),
        followed="\n".join(scene.followed),
        said=str(error),
    )


def timed(seed: int, verdict: str, folder: Path, interrupts: bool = False) -> tuple[Any, Places]:
    """A run with the timing of this seed over the fake provider, in virtual time."""
    lot = random.Random(seed)
    cell = some_cell(lot, some_guards(lot))
    scene = Scene(lot, verdict)
    line = f"{cell.line} --out-file '{folder}/out.jsonl'"
    plan = make_plan(
        parse(cell.magic, line, cell.body), cell.variables, parse_model, {"model": ("fake:m",)}
    )
    fake = Fake(scene.act)

    async def main() -> tuple[Any, Exception | None]:
        loop, stop = asyncio.get_running_loop(), Stop()
        for _ in range(20):
            loop.call_later(lot.uniform(0, 4), scene.viewer.draw)
        if interrupts:
            # Never after the first guard can have ended.
            loop.call_later(lot.uniform(0, scene._guard[0]), stop, "interrupted")
        return await run_of(plan, scene, cast("Clients", FakeClients(fake)), folder, stop)

    run, error = run_virtual(main()).result
    assert fake.running == 0
    return run, looked_at(run, error, scene, folder)


@pytest.fixture(autouse=True)
def _fake_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models of a provider that only the tests know."""
    registry.define_simulated("fake")
    monkeypatch.setattr("parallm_magics.core.prices.are_loaded", lambda: True)
    yield
    registry.forget("fake")


@pytest.mark.parametrize("part", range(10))
def test_blocked_work_is_nowhere(part: int, tmp_path: Path) -> None:
    """Of 200 random timings with every way to block, the work's words are nowhere in any."""
    for seed in range(part, SEEDS, 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        verdict = ("BLOCK", "bad!\nANSWER: BLOCK", "fails", "purple", "I don't know")[seed % 5]
        run, places = timed(seed, verdict, folder)
        assert run.blocked, seed
        assert places.found == set(), seed
        assert places.followed == "", seed
        assert places.drawn
        assert places.written


@pytest.mark.parametrize("part", range(4))
def test_interrupted_work_is_nowhere(part: int, tmp_path: Path) -> None:
    """Likewise where the user stops the run before any guard can have passed it."""
    for seed in range(1000 + part, 1060, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run, places = timed(seed, "ALLOW", folder, interrupts=True)
        assert run.blocked, seed
        assert places.found == set(), seed


def test_work_that_has_passed_is_everywhere(tmp_path: Path) -> None:
    """The same search finds it in every place once the guards have passed."""
    found: dict[str, int] = {}
    for seed in range(40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run, places = timed(seed, "ALLOW", folder)
        assert not run.blocked
        assert {"drawn", "shown", "held", "recorded", "written"} <= places.found, seed
        for place in places.found:
            found[place] = found.get(place, 0) + 1
    assert set(found) == set(Places._fields)
    assert found["followed"] > 5


# --- over sockets ---------------------------------------------------------------------------------


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server that both official providers lead to, with a key."""
    with Loopback() as server:
        for name in ("ANTHROPIC", "OPENAI"):
            monkeypatch.setenv(f"{name}_API_KEY", "sk-a-key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


def streamed(seed: int, verdict: str, door: Loopback, folder: Path) -> tuple[Any, Places]:
    """A run through the real SDKs, streamed, with the timing of this seed."""
    lot = random.Random(seed)
    cell = some_cell(lot, some_guards(lot))
    model = lot.choice(["claude-haiku-5-5", "gpt-6-luna"])
    scene = Scene(lot, verdict)
    moments = {True: lot.uniform(0, 0.15), False: lot.uniform(0, 0.1)}

    def acts(call: Call) -> Act:
        return Act(delay=moments[HARMFUL in call.prompt], gap=lot.choice([0.0, 0.01]))

    def answers(body: dict[str, Any]) -> str:
        text = json.dumps(body)
        if HARMFUL in text:
            return verdict
        if "candidate" in text or "Merge." in text:
            scene.followed.append(text)
            return '{"winner": 1, "score": 5}'
        return f"x {canary()} is what I say, and I say it at some length: {canary()}\nANSWER: x"

    door.script(model, acts)
    door.answers = answers
    line = f"{cell.line} --stream on --out-file '{folder}/out.jsonl'"
    plan = make_plan(
        parse(cell.magic, line, cell.body), cell.variables, parse_model, {"model": (model,)}
    )

    async def main() -> tuple[Any, Exception | None]:
        clients = Clients()
        try:
            return await run_of(plan, scene, clients, folder)
        finally:
            await clients.close()

    run, error = asyncio.run(main())
    return run, looked_at(run, error, scene, folder)


def test_blocked_work_that_was_streamed_is_nowhere(door: Loopback, tmp_path: Path) -> None:
    """Through the real SDKs, with both dialects."""
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run, places = streamed(seed, ("BLOCK", "purple")[seed % 2], door, folder)
        assert run.blocked, seed
        assert places.found == set(), seed
        assert places.followed == "", seed
    for seed in range(4):
        folder = tmp_path / f"passed {seed}"
        folder.mkdir()
        run, places = streamed(seed, "ALLOW", door, folder)
        assert not run.blocked
        assert {"drawn", "shown", "held", "recorded", "written"} <= places.found, seed


# --- in a real kernel -----------------------------------------------------------------------------

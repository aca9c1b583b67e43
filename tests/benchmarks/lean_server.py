"""A server that speaks just enough of OpenAI's chat completions to bear thousands of calls a second."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple, Self

NUMBER = re.compile(rb"number (\d+)")
MODEL = re.compile(rb'"model": ?"([^"]+)"')
LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)
TOKENS = 5, 10
"""Input and output tokens that every answer says it took."""


class Asked(NamedTuple):
    """One call as it arrived.

    Attributes:
        number: the number in its prompt.
        at: when it arrived, on the monotonic clock.
        sent: when its answer was sent; 0 where it was not.
        model: whom it asked.
    """

    number: int
    at: float
    sent: float
    model: str


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, log: list[list[object]], delay: float) -> None:
        self._log, self._delay, self._got = log, delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answers go there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < int((LENGTH.search(head) or [b"", b"0"])[1]):
            return
        self._got = b""
        model = (MODEL.search(body) or [b"", b"?"])[1].decode()
        entry = [int((NUMBER.search(body) or [b"", b"-1"])[1]), time.monotonic(), 0.0, model]
        self._log.append(entry)
        asyncio.get_running_loop().call_later(self._delay, self._answer, entry)

    def _answer(self, entry: list[object]) -> None:
        if self._transport.is_closing():
            return
        message = {"role": "assistant", "content": f"answer {entry[0]}"}
        reply = {
            "id": "x", "object": "chat.completion", "created": 1, "model": entry[3],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {
                "prompt_tokens": TOKENS[0],
                "completion_tokens": TOKENS[1],
                "total_tokens": sum(TOKENS),
            },
        }  # fmt: skip
        data = json.dumps(reply).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        self._transport.write(head.encode() + data)
        entry[2] = time.monotonic()


def main(milliseconds: str) -> None:
    """Say the address; then answer "calls", which forgets them, and "count" on a line each."""
    log: list[list[object]] = []
    loop = asyncio.new_event_loop()
    making = loop.create_server(
        lambda: _Connection(log, float(milliseconds) / 1000), "127.0.0.1", 0
    )
    server = loop.run_until_complete(making)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    for line in sys.stdin:
        told: object = len(log)
        if line.strip() == "calls":
            told, log[:] = json.dumps(log), []
        print(told, flush=True)


class LeanServer:
    """The server in a process of its own, each answer so long; a context manager.

    Attributes:
        url: its address, as OPENAI_BASE_URL takes it.
        pid: of its process.
    """

    def __init__(self, milliseconds: float) -> None:
        self._command = [sys.executable, str(Path(__file__)), str(milliseconds)]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.url, self.pid = self._process.stdout.readline().strip(), self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def calls(self) -> list[Asked]:
        """All calls since they were forgotten; forgets them."""
        return [Asked(*each) for each in json.loads(self._ask("calls"))]

    def count(self) -> int:
        """How many calls have arrived since they were forgotten."""
        return int(self._ask("count"))

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])

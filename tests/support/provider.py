"""A scripted provider on 127.0.0.1 that speaks both dialects, for tests through the real SDKs.

    with Loopback() as server:
        server.url                       # ANTHROPIC_BASE_URL; server.url + "/v1" is OPENAI_BASE_URL
        server.script("m", Act(status=500), Act())        # first call fails, every later one is fine
        server.answers = {"the whole prompt": "its answer"}   # or a callable(body) -> text
        server.log, server.max_in_flight
    server.cache = PromptCache(512)  # usages tell what a prompt cache would have done

What a call gets is chosen by its model's name: a script of that name, else a name of `NAMED`
("html-200", "cut", "no-stop", "hang" …), else a pattern ("slow-200ms", "err-429-ra-1", "format-held" and
others of `provider_formats`), else an answer.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Self

from provider_acts import NAMED, Act, Wire
from provider_batches import Batches
from provider_dialects import DIALECTS, Call, Fed, as_frame
from provider_formats import PREFIX, act_on_format
from slack import with_slack

__all__ = ["KEY", "Act", "Call", "Loopback", "PromptCache", "Wire"]

KEY = "sk-CANARY-0123456789abcdef"
"""A key as providers give them; nothing that anybody sees may hold it."""

SLOW = re.compile(r"slow-(\d+)ms")
STATUS = re.compile(r"err-(\d{3})(?:-ra-(.+))?")
HEAD = 2**18  # of one request, at most
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
Script = Act | Callable[[Call], Act]
Answers = Mapping[str, str] | Callable[[dict[str, Any]], str] | None


class Loopback:
    """The server, in a thread with a loop of its own; a context manager.

    Attributes:
        url: "http://127.0.0.1:PORT", without a path.
        answers: prompt -> text, or a callable of the request's body; else the prompt is echoed.
        log: every request in order of arrival; those in batches are none.
        batches: its batch APIs.
        cache: simulates the provider's prompt cache; None has no effect on usages.
        max_in_flight: the most requests that were open at once.
    """

    def __init__(self, answers: Answers = None) -> None:
        self.answers = answers
        self.log: list[Call] = []
        self.batches = Batches(self)
        self.cache: PromptCache | None = None
        self.max_in_flight = 0
        self.in_flight = 0
        self._idle = threading.Event()
        self._idle.set()
        self.url = ""
        self._scripts: dict[str, list[Script]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="loopback", daemon=True)
        self._ready = threading.Event()
        self._connections: set[_Connection] = set()

    def script(self, model: str, *acts: Script) -> None:
        """Make calls of this model get these acts in turn, the last one for good."""
        self._scripts[model] = list(acts)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def becomes_idle(self, seconds: float = 5.0) -> bool:
        """Whether within so many seconds no request is open any more."""
        return self._idle.wait(with_slack(seconds))

    def clear(self) -> None:
        """Forget what was logged."""
        self.log.clear()
        self.max_in_flight = 0

    def act_for(self, call: Call) -> Act:
        """What this call gets."""
        if scripted := self._scripts.get(call.model):
            act = scripted.pop(0) if len(scripted) > 1 else scripted[0]
            return act if isinstance(act, Act) else act(call)
        if call.model in NAMED:
            return NAMED[call.model]
        if call.model.startswith(PREFIX):
            return act_on_format(call)
        if slow := SLOW.fullmatch(call.model):
            return Act(delay=int(slow[1]) / 1000)
        if status := STATUS.fullmatch(call.model):
            return Act(
                status=int(status[1]), headers={"retry-after": status[2]} if status[2] else {}
            )
        return Act()

    def answer(self, call: Call) -> str:
        """The normal answer's text."""
        if callable(self.answers):
            return self.answers(call.body)
        if self.answers is not None and call.prompt in self.answers:
            return self.answers[call.prompt]
        return f"echo: {call.prompt[-60:]}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        tasks = [c.task for c in self._connections if c.task is not None]
        for connection in list(self._connections):
            connection.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class PromptCache:
    """What a provider keeps of prompts, at four characters a token.

    A beginning can be read by calls that arrive after the first answer to it has begun. Anthropic
    keeps what ends in a mark, from `least` tokens on, and bills the writing; OpenAI keeps the first
    1,024 tokens of calls with one `prompt_cache_key`, for nothing.
    """

    def __init__(self, least: int = 512) -> None:
        self.least = least
        self._kept: set[tuple[str, str, str]] = set()

    def fed(self, call: Call) -> Fed:
        """How the input tokens of a call that arrives now are billed."""
        total = len("".join(text for text, _ in call.blocks)) // 4
        entry = self._entry(call)
        if entry is None:
            return Fed(total)
        size = len(entry[-1]) // 4
        if entry in self._kept:
            return Fed(total - size, read=size)
        return Fed(total - size, written=size) if call.dialect == "anthropic" else Fed(total)

    def keep(self, call: Call) -> None:
        """The answer begins: from now on others can read what this call wrote."""
        if entry := self._entry(call):
            self._kept.add(entry)

    def _entry(self, call: Call) -> tuple[str, str, str] | None:
        blocks = call.blocks
        if call.dialect == "anthropic":
            last = max((at for at, (_, mark) in enumerate(blocks, 1) if mark), default=0)
            text, key, least = "".join(text for text, _ in blocks[:last]), "-", self.least
        else:
            text = "".join(text for text, _ in blocks)[: 4 * 1024]
            key, least = call.body.get("prompt_cache_key", ""), 1024
        return (call.model, key, text) if key and len(text) // 4 >= least else None


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered by a task."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.buffer = bytearray()
        self.head: list[str] | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._connections.discard(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if (
            self.head is None and self.buffer[:1] == b"\x16"
        ):  # a TLS handshake: this server speaks none
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.transport.close()
            return
        if self.head is None:
            head, end, _ = bytes(self.buffer[:HEAD]).partition(b"\r\n\r\n")
            if not end:
                return
            self.head = head.decode("latin-1").split("\r\n")
            del self.buffer[: len(head) + len(end)]
        first, *lines = self.head
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(self.buffer) < length:
            return
        self.head, raw = None, bytes(self.buffer[:length])
        del self.buffer[:length]
        method, path, *_ = first.split()
        self.task = asyncio.get_running_loop().create_task(self._serve(method, path, headers, raw))

    async def _serve(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        server = self.server
        server.in_flight += 1
        server._idle.clear()
        server.max_in_flight = max(server.max_in_flight, server.in_flight)
        form = headers.get("content-type", "").startswith(FORMS)
        body = json.loads(raw) if raw and not form else {}
        now = time.monotonic()
        call = Call(path, headers, body, len(server.log), now, server.in_flight, method)
        server.log.append(call)
        try:
            act = server.batches.act_for(call, raw) or server.act_for(call)
            text = act.text or ""
            if act.text is None and call.answers:
                text = server.answer(call)
            await _Answer(server, self.transport, call, act, text).send()
            call.finished = True
        except ConnectionError:
            pass  # the act was to break the connection
        finally:
            server.in_flight -= 1
            if not server.in_flight:
                server._idle.set()


class _Answer:
    """One act, played on one connection."""

    def __init__(
        self, server: Loopback, out: asyncio.Transport, call: Call, act: Act, text: str
    ) -> None:
        self.cache, self.out, self.call, self.act = server.cache, out, call, act
        fed = self.cache.fed(call) if self.cache else None
        self.words = DIALECTS[call.dialect](call, act, text, fed)

    async def send(self) -> None:
        act = self.act
        await asyncio.sleep(act.delay)
        if act.hang:
            await asyncio.sleep(3600)
        if act.reset:
            self._end_connection(rst=act.reset == "before")
        elif act.wire is not None:
            await self._exactly(act.wire)
        elif act.status != 200 or act.body is not None:
            await self._whole(self._scripted_body(), act.status)
        elif self.call.endpoint == "/token":
            token = {"access_token": "ya29-CANARY", "expires_in": 3600, "token_type": "Bearer"}
            await self._whole(json.dumps(token).encode(), 200)
        elif not self.call.answers:
            await self._whole(b'{"data": []}', 200)
        else:
            await self._answer()

    async def _exactly(self, wire: Wire) -> None:
        """The body byte for byte."""
        framing = {"connection": "close"} if wire.end == "eof" else {"transfer-encoding": "chunked"}
        self._head(self.act.status, {"content-type": wire.kind, **framing})
        write = self._write if wire.end == "eof" else self._chunk
        for piece in wire.pieces:
            if isinstance(piece, bytes):
                await write(piece)
                await asyncio.sleep(0)  # a chunk of its own for whoever reads
            else:
                await asyncio.sleep(piece)
        while wire.end == "beat":
            await self._chunk(b": still here\n\n")
            await asyncio.sleep(0.05)
        if wire.end == "open":
            await asyncio.sleep(3600)
        if wire.end == "end":
            self.out.write(b"0\r\n\r\n")
        else:
            self.out.close()
            if wire.end == "break":
                raise ConnectionError

    async def _answer(self) -> None:
        self.call.fed, self.call.gave = self.words.fed, self.words.gave
        if self.cache:
            self.cache.keep(self.call)
        if self.call.stream:
            await self._events()
        else:
            await self._whole(json.dumps(self.words.message()).encode(), 200)

    def _end_connection(self, *, rst: bool) -> None:
        if rst:  # a close that may not linger sends RST instead of FIN
            self.out.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.out.abort()
        raise ConnectionError

    def _scripted_body(self) -> bytes:
        body = self.act.body
        if isinstance(body, bytes):
            return body
        if body is None:
            status = self.act.status
            kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
            text = f"scripted status {status}"
            body = {"error": {"type": kind, "code": None, "param": None, "message": text}}
        text = body if isinstance(body, str) else json.dumps(body)
        key = self.call.headers.get("x-api-key") or self.call.headers.get("authorization", "")
        return text.replace("{key}", key.removeprefix("Bearer ")).encode()

    async def _whole(self, body: bytes, status: int) -> None:
        if self.act.gzip:
            body = gzip.compress(body)
        self._head(status, {"content-length": str(len(body))})
        if self.act.then in ("abort", "hang"):
            await self._write(body[: len(body) // 2])
            await self._break_off()
        await self._write(body)

    def _head(self, status: int, more: Mapping[str, str | None]) -> None:
        number = f"req_{self.call.number}"
        headers = {
            "content-type": "application/json",
            "request-id": number,
            "x-request-id": number,
            **more,
            **({"content-encoding": "gzip"} if self.act.gzip else {}),
            **self.act.headers,
        }
        lines = "".join(f"{n}: {v}\r\n" for n, v in headers.items() if v is not None)
        self.out.write(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1", "replace"))

    async def _events(self) -> None:
        kind = "application/vnd.amazon.eventstream" if self.call.framed else "text/event-stream"
        self._head(200, {"content-type": kind, "transfer-encoding": "chunked"})
        packer = zlib.compressobj(wbits=31)
        now = asyncio.get_running_loop().time
        began = now()
        for number, event in enumerate(self.words.stream(), 1):
            if event is None:
                await self._break_off()
            elif self.act.gzip:
                packed = packer.compress(str(event).encode())
                await self._chunk(packed + packer.flush(zlib.Z_SYNC_FLUSH))
            else:
                await self._chunk(as_frame(event) if self.call.framed else event.encode())
            # By the clock, so that a busy machine does not stretch the stream.
            await asyncio.sleep(max(0.0, began + number * self.act.gap - now()))
        if self.act.gzip:
            await self._chunk(packer.flush())
        self.out.write(b"0\r\n\r\n")

    async def _chunk(self, data: bytes) -> None:
        await self._write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _write(self, data: bytes) -> None:
        if not self.act.drip:
            self.out.write(data)
            self.call.sent = time.time()
            return
        for byte in data:
            self.out.write(bytes([byte]))
            await asyncio.sleep(self.act.drip)

    async def _break_off(self) -> None:
        if self.act.then == "hang":
            await asyncio.sleep(3600)
        self.out.close()  # what was written leaves first; the chunked body has no end
        raise ConnectionError

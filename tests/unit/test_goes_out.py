"""The moment at which a request is sent: known to whoever counts a minute, who may hold it back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from provider import KEY

from parallm_magics import fanout
from parallm_magics.core.provider import NotNow
from parallm_magics.engine.worker import Worker

MODELS = ("anthropic:claude-haiku-5-5", "openai:gpt-6-luna", "openai-responses:gpt-6-luna")
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"


class Listener:
    """A server that counts its connections, and notes when requests arrive."""

    def __init__(self) -> None:
        self.connections, self.came = 0, list[float]()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Refuse whatever comes."""
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.came.append(asyncio.get_running_loop().time())
                writer.write(REFUSED)
        writer.close()


@pytest.mark.parametrize("sent_by", ["template", "sdk"])
@pytest.mark.parametrize("model", MODELS)
def test_a_request_is_held_back_at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, model: str, sent_by: str
) -> None:
    """It is not sent, and what it had connected serves for its next try; one without a limit is never asked."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    if sent_by == "sdk":
        monkeypatch.setattr("parallm_magics.providers.sdk.session_of", lambda http: None)
    asked: list[float] = []
    until: list[float] = []

    def goes_out(self: Worker) -> None:
        now = asyncio.get_running_loop().time()
        asked.append(now)
        if len(asked) == 2:  # the first time is before anything was done
            until.append(now)
            raise NotNow

    monkeypatch.setattr(Worker, "goes_out", goes_out)
    listener = Listener()

    async def ask(**options: int) -> None:
        server = await asyncio.start_server(listener.answer, "127.0.0.1", 0)
        async with server:
            url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
            monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
            monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
            run = await fanout("Hello.", model=model, n=1, min_success=0, **options)
            assert run.results[0].error is not None
            assert run.results[0].error.http == 400

    asyncio.run(ask(rpm=10))
    assert len(asked) == 4
    assert len(listener.came) == listener.connections == 1
    assert listener.came[0] > asked[3] > until[0]  # its next try: before it, and as it is sent
    asked.clear()
    asyncio.run(ask())
    assert not asked

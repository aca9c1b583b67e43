"""Server-sent events as servers really write them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from parallm_magics.providers.json_values import parsed

DONE = "[DONE]"


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[list[str]]:
    """The data of the events that a chunk ends, all at once; "" for a comment, which is a sign of life.

    Event names are left out, as both dialects repeat them in the data; what is named an error comes
    out as one. A last event that no blank line ends is given out if it is whole, also where the
    connection breaks behind it: half of one was cut.
    """
    lines, event = _Lines(), _Event()
    broken: Exception | None = None
    try:
        async for chunk in chunks:
            if ended := event.take(lines.of(chunk)):
                yield ended
    except Exception as error:
        broken = error
    event.take([lines.rest()])
    if last := [data for data in event.ended() if data == DONE or parsed(data) is not None]:
        yield last
    if broken is not None:
        raise broken


class _Lines:
    """Bytes cut at line feeds, carriage returns, or both."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._after_return = False

    def of(self, chunk: bytes) -> list[str]:
        """The lines that this chunk ends."""
        if not chunk:
            return []
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        ended, end, rest = chunk.rpartition(b"\n")
        if not end:
            self._open.append(rest)
            return []
        self._open.append(ended)
        whole = b"".join(self._open)
        self._open = [rest]
        return whole.decode("utf-8", "replace").split("\n")

    def rest(self) -> str:
        """The last line, which nothing ends."""
        return b"".join(self._open).decode("utf-8", "replace")


class _Event:
    """The event under way."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._name = ""

    def take(self, lines: Sequence[str]) -> list[str]:
        """Take in lines; what they let be given out."""
        found: list[str] = []
        for line in lines:
            if line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
            elif not line:
                found += self.ended()
            elif line.startswith("event:"):
                self._name = line[6:].strip()
            elif line.startswith(":"):
                found.append("")
        return found

    def ended(self) -> list[str]:
        """The data of the event that ends here; of each line, where only they make sense alone."""
        lines, self._data = self._data, []
        name, self._name = self._name, ""
        whole = "\n".join(lines)
        if len(lines) > 1 and parsed(whole) is None:
            return lines  # a server that puts no blank line between its events
        if name == "error" and lines:
            return [_as_error(whole)]
        return [whole] if lines else []


def _as_error(data: str) -> str:
    """An event that only its name calls an error, as one that says so itself."""
    said = parsed(data)
    if isinstance(said, dict) and said.get("error"):
        return data
    return json.dumps({"error": said if isinstance(said, dict) else {"message": data}})

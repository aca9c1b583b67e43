"""The files of a batch: requests written one to a line, and results read line by line, never held whole."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import IO, Any, NamedTuple

from parallm_magics.core.foreign_text import one_line
from parallm_magics.providers.body import BOM, Body
from parallm_magics.providers.json_values import parsed
from parallm_magics.providers.keys import scrub

MOST_BYTES = 8 * 2**20  # of one result, as of an answer by itself
PIECE = 2**16
HELD_BYTES = 2**20  # of the requests; more of them lie in a file of the system's, without a name
ID = re.compile(rb'"custom_id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
HEAD = 400


def encoded(request: Any) -> bytes:
    """A request as it is sent.

    Raises:
        ValueError: it cannot be JSON, or its text holds half a character.
    """
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def written(pieces: Iterable[bytes]) -> IO[bytes]:
    """A file of these pieces, at its beginning; whoever closes it deletes it."""
    file = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115  closed by the caller
    try:
        for piece in pieces:  # `writelines` would hold them all before it moves to the disk
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def pieces_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    """What a file holds, piece by piece."""
    while piece := file.read(PIECE):
        yield piece


class Line(NamedTuple):
    """One line of a file of results.

    Attributes:
        value: its JSON value; None where it is none, or too long to be read.
        id: of the request, where only the beginning of a line can be read.
        head: its first characters, to be shown.
        long: whether it is too long.
    """

    value: Any
    id: str = ""
    head: str = ""
    long: bool = False


async def lines_of(body: Body) -> AsyncIterator[Line]:
    """The lines of a body that are not empty; of one that is too long only the beginning is kept."""
    cutter = _Cutter()
    async for chunk in body:
        for line in cutter.taken(chunk):
            yield line
    for line in cutter.rest():
        yield line


class _Cutter:
    """Cuts bytes into lines."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._size = 0
        self._first = True

    def taken(self, chunk: bytes) -> Iterator[Line]:
        """The lines that this chunk ends."""
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            self._add(end)
            yield from self.rest()
        self._add(rest)

    def rest(self) -> Iterator[Line]:
        """What stands open, as a line."""
        line = b"".join(self._open)
        size, self._open, self._size = self._size, [], 0
        if self._first:
            line, self._first = line.removeprefix(BOM), False
        if line.strip():
            yield _read(line, size > MOST_BYTES)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if (
            piece and self._size - len(piece) <= MOST_BYTES
        ):  # what follows would only be thrown away
            self._open.append(piece)


def _read(line: bytes, long: bool) -> Line:
    value = None if long else parsed(line)
    if value is not None:
        return Line(value)
    found = ID.search(line[:HEAD])
    head = one_line(scrub(line[:HEAD].decode("utf-8", "replace")), 120)
    return Line(None, found[1].decode() if found else "", head, long)

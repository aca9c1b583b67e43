"""The most that the server can answer: the same requests over raw sockets, next to no work of a client."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
QUIET = 10.0


def request(dialect: str, model: str, prompt: str, *, stream: bool = False) -> bytes:
    """One call as it goes over the wire."""
    message = {"role": "user", "content": prompt}
    asked = {"model": model, "max_tokens": 4096, "messages": [message], "stream": stream}
    body = json.dumps(asked).encode()
    head = (
        f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def whole(data: bytes) -> bool:
    """Whether an answer has arrived to its end."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    if b"chunked" in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    at = head.lower().find(b"content-length: ")
    return len(body) >= int(head[at + 16 :].split(b"\r\n", 1)[0])


def seconds(url: str, requests: list[bytes], concurrency: int) -> float:
    """How long so many connections need for all requests.

    Raises:
        TimeoutError: the server has said nothing for ten seconds.
    """
    address = urlsplit(url)
    left: Iterator[bytes] = iter(requests)
    answered = 0
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        for first in list(zip(range(concurrency), left, strict=False)):
            connection = socket.create_connection((address.hostname, address.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(first[1])
            selector.register(connection, selectors.EVENT_READ, bytearray())
        while answered < len(requests):
            ready = selector.select(QUIET)
            if not ready:
                raise TimeoutError(f"{answered} of {len(requests)} answers")
            for key, _ in ready:
                answered += _read(key, left)
        took = time.perf_counter() - start
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return took


def _read(key: selectors.SelectorKey, left: Iterator[bytes]) -> bool:
    """Take what has arrived; send the next request where the answer is whole."""
    connection, buffer = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    got = connection.recv(65536)
    if not got:
        raise ConnectionError("the server closed a connection")
    buffer += got
    if not whole(bytes(buffer)):
        return False
    buffer.clear()
    if following := next(left, None):
        connection.sendall(following)
    return True

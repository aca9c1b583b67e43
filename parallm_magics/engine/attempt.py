"""One try of one call, under the task's time limits."""

from __future__ import annotations

import asyncio

from parallm_magics.types import CallFailed, Fault, Heard, Provider, Reply, Task


async def attempt(provider: Provider, task: Task, heard: Heard, remaining: float) -> Reply:
    """Make one call and bound its silence and its length.

    Args:
        provider: the door to the model.
        task: the call; its `first`, `silence` are the limits on waiting, in seconds.
        heard: told of every piece of text.
        remaining: seconds left until the worker's deadline.

    Raises:
        CallFailed: whatever went wrong, time-outs included; nothing else but a cancellation.
    """
    if provider.keeps_time:
        return await provider.complete(task, heard)
    loop = asyncio.get_running_loop()
    end = loop.time() + remaining
    pieces: list[str] = []
    limit = task.first

    def alive(piece: str) -> None:
        nonlocal limit
        limit = task.silence
        clock.reschedule(min(loop.time() + limit, end))
        if piece:
            pieces.append(piece)
            heard(piece)

    fault: Fault | None = None
    try:
        async with asyncio.timeout_at(min(loop.time() + limit, end)) as clock:
            return await provider.complete(task, alive)
    except TimeoutError:
        if not clock.expired():
            raise CallFailed(Fault("timeout", "the connection timed out")) from None
        over = loop.time() >= end
        fault = Fault("timeout", _silence(task, limit, bool(pieces), over))
    except CallFailed:
        raise
    # The worker's boundary: whatever a provider lets slip must not take other workers along.
    except Exception as error:
        fault = Fault("bug", f"unexpected {type(error).__name__} in the provider")
    raise CallFailed(fault, text="".join(pieces))


def _silence(task: Task, limit: float, begun: bool, over: bool) -> str:
    if over:
        return f"no complete answer by the deadline of {task.deadline:g} s"
    if begun:
        return f"silent for {limit:g} s in the middle of the answer"
    if limit == task.silence and task.stream:
        return f"silent for {limit:g} s"
    return f"no {'first token' if task.stream else 'answer'} within {limit:g} s"

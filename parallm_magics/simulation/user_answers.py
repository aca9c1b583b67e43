"""Which of the answers given by the user a worker of a simulated model gets."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from parallm_magics.core import user_code
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault, Task, Usage
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.engine.clock import real_time
from parallm_magics.errors import ModelError

Answers = Mapping[str, str | Sequence[str]] | Callable[[Task, int], str | Awaitable[str]]
"""A dict by worker name or by words of the prompt, or a function of the task and sample index."""


def _checked(key: Any, value: Any) -> Sequence[str]:
    """The answers under one key, a single one as a list of one."""
    if not isinstance(key, str):
        raise ModelError(
            f"given answers: the key {key!r} must be a worker's name, or words from the prompt"
        )
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and texts and all(isinstance(t, str) for t in texts):
        return texts
    raise ModelError(f"given answers: {key!r} must map to text or a list of texts, not {value!r}")


def check_answers(answers: object) -> None:
    """Refuse answers of which any could not be given.

    Raises:
        ModelError: names the key whose value is no text.
    """
    if isinstance(answers, Mapping):
        for key, value in answers.items():
            _checked(key, value)
    elif answers is not None and not (callable(answers) and _takes_two(answers)):
        kind = "a function with other arguments" if callable(answers) else type(answers).__name__
        raise ModelError(
            f"given answers must be a dict or a function (task, sample index) -> text, not {kind}; "
            "task.prompt and task.name say what is asked"
        )


def _takes_two(function: Callable[..., object]) -> bool:
    """Whether it can be called with a task and a sample index, as far as it tells."""
    try:
        inspect.signature(function).bind(None, 0)
    except TypeError:
        return False
    except ValueError:  # a built-in that does not say
        return True
    return True


def find_answer(answers: Mapping[str, str | Sequence[str]], task: Task) -> str | None:
    """The answer for this task, or None where no key fits it.

    The worker's name comes first; then, for a name with a dot such as `1.security`, the part
    before the last dot and the part after the first; then the longest key that the prompt holds
    (the key "" is in every prompt).

    Raises:
        ModelError: names the key whose value is no text.
    """
    names = (task.name, task.name.rpartition(".")[0], task.name.partition(".")[2])
    in_prompt = sorted((key for key in answers if key in task.prompt), key=len, reverse=True)
    for key in [*filter(None, names), *in_prompt]:
        if key in answers:
            texts = _checked(key, answers[key])
            return texts[task.sample % len(texts)]
    return None


async def user_answer(answers: Answers, task: Task) -> str | None:
    """What the user's dict or function answers to this task; None where it has no answer.

    Raises:
        CallFailed: the function raised, gave no text, or did not end in time.
            A `CallFailed` of its own passes, so that a function can play any fault.
    """
    try:
        if isinstance(answers, Mapping):
            return find_answer(answers, task)
        context = real_time()
        text: Any = context.run(user_code.call, answers, task, task.sample)
        if inspect.isawaitable(text):
            limited = _in_time(text, min(task.first, task.deadline))
            answering = asyncio.get_running_loop().create_task(limited, context=context)
            # Where the call has been cancelled meanwhile, nobody hears how the function ended.
            answering.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            text = await answering
    except CallFailed:
        raise
    except UserCodeInterrupted:
        fault = Fault("cancelled", "interrupted")
        raise CallFailed(fault, usage=Usage(), seconds=0.0) from None
    except Exception as error:  # user code may raise anything; it must not take the cell along
        why = f"given answers: {type(error).__name__}: {error}"
        raise CallFailed(Fault("bug", " ".join(why.split())), usage=Usage(), seconds=0.0) from error
    if not isinstance(text, str):
        why = f"given answers: the function must return text, not {type(text).__name__}"
        raise CallFailed(Fault("bug", why), usage=Usage(), seconds=0.0)
    return text


async def _in_time(text: Awaitable[Any], seconds: float) -> Any:
    """What an async function answers; nobody else would stop one that never ends."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await user_code.Steps(text)
    except TimeoutError:
        if not limit.expired():
            raise
        why = f"given answers: the function took longer than {seconds:g} s"
        raise CallFailed(Fault("timeout", why), usage=Usage(), seconds=seconds) from None

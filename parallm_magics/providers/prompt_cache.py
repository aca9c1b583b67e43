"""How a request is marked so that the provider keeps the text that its workers share."""

from __future__ import annotations

from typing import Any

from parallm_magics.core.tasks import CHARS_PER_TOKEN, Task

Content = str | list[dict[str, Any]]


def marked(task: Task, mark: dict[str, Any]) -> tuple[Content | None, Content]:
    """The system prompt and the prompt, with the mark at the end of what is shared.

    The texts stay as they are, byte for byte.
    """
    if beginning_of(task).strip() and task.prompt.startswith(beginning_of(task)):
        return task.system, _divided(task, mark)
    if task.system is not None and task.system.strip():
        return [_block(task.system) | mark], task.prompt
    return task.system, task.prompt


def beginning_of(task: Task) -> str:
    """The text that the prompt has in common with those of other workers."""
    return task.shared if task.begins is None else task.begins


def prefix_tokens(task: Task) -> float:
    """How long the text is that the task shares with others, estimated."""
    return (len(beginning_of(task)) + len(task.system or "")) / CHARS_PER_TOKEN


def _divided(task: Task, mark: dict[str, Any]) -> list[dict[str, Any]]:
    start = beginning_of(task)
    rest = task.prompt[len(start) :]
    if not rest.strip():  # the API refuses a block that holds nothing but blanks
        return [_block(task.prompt) | mark]
    return [_block(start) | mark, _block(rest)]


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}

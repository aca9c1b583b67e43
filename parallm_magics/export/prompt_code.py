"""The part of a program that holds the prompts, and makes a call of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Task
from parallm_magics.export.code_text import literal, name_of, quoted
from parallm_magics.recordings.misses import shared_start

if TYPE_CHECKING:
    from parallm_magics.export.call_code import Asking

TAKEN = {"MODEL", "MAX_TOKENS", "SECONDS", "AT_ONCE", "SHARED", "ITEMS", "BEFORE", "AFTER"}


class Prompts:
    """The prompts of some calls as constants.

    Of a cell that runs one prompt over items, they are the items and what stands around them; of
    repeats, one; else one a worker, and the text that all begin with is a constant of its own.
    """

    def __init__(self, plan: Plan, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._guards = [task for guard in plan.guards for task in guard.tasks]
        self._repeated = len({task.prompt for task in tasks}) == 1
        self._frame: tuple[str, str] | None = None
        if plan.calls.by_item and plan.calls.size == 1 and len(tasks) > 1:
            self._frame = frame_of([task.prompt for task in tasks])
        shared = plan.shared
        parts = [own_part(task.prompt, shared) for task in tasks]
        self._shared = shared if not self._repeated and len(tasks) > 1 and all(parts) else ""
        taken = set(TAKEN)
        self._names: dict[str, str] = {}
        for task in (*(() if self._frame else tasks), *self._guards):
            if task.prompt not in self._names:
                stem = "prompt" if self._repeated and task is tasks[0] else task.name
                self._names[task.prompt] = name_of(stem.removesuffix(".1"), taken)

    @property
    def constants(self) -> str:
        """The lines that give the prompts names."""
        lines = [f"SHARED = {literal(self._shared)}"] if self._shared else []
        lines += self._items()
        for prompt, name in self._names.items():
            lines.append(f"{name} = {literal(own_part(prompt, self._shared) or prompt)}")
        return "\n".join(lines)

    def _items(self) -> list[str]:
        if self._frame is None:
            return []
        before, after = self._frame
        stop = -len(after) if after else None
        items = [literal(task.prompt[len(before) : stop]) for task in self._tasks]
        listed = "".join(f"    {item},\n" for item in items)
        return [
            f"BEFORE = {literal(before)}",
            f"AFTER = {literal(after)}",
            f"ITEMS = [\n{listed}]",
        ]

    def calls(self, asking: Asking) -> str:
        """The lines that give back the calls by name."""
        first = self._tasks[0]
        if self._frame is not None:
            call = asking.call(first, "BEFORE + item + AFTER")
            return f"return {{str(n): {call} for n, item in enumerate(ITEMS, 1)}}"
        written = self._written(self._tasks, asking)
        same = {call for _, call in written}
        if len(same) == 1 and len(written) > 1 and _counted(self._tasks):
            stem = first.name[: -len("1")]
            name = f'f"{stem}{{n}}"' if stem else "str(n)"
            return f"return {{{name}: {written[0][1]} for n in range(1, {len(written) + 1})}}"
        lines = "".join(f"    {quoted(name)}: {call},\n" for name, call in written)
        return f"return {{\n{lines}}}"

    def guard(
        self, tasks: Sequence[Task], asking: Asking, blocks: tuple[str, float] | None = None
    ) -> str:
        """The dict of a guard's calls by name; it may block from a probability on."""
        written = ((task.name, asking.call(task, self._prompt(task), blocks)) for task in tasks)
        pairs = (f"{quoted(name)}: {call}" for name, call in written)
        return f"{{{', '.join(pairs)}}}"

    def _written(self, tasks: Sequence[Task], asking: Asking) -> list[tuple[str, str]]:
        return [(task.name, asking.call(task, self._prompt(task))) for task in tasks]

    def _prompt(self, task: Task) -> str:
        name = self._names[task.prompt]
        own = own_part(task.prompt, self._shared)
        return f'f"{{SHARED}}\\n\\n{{{name}}}"' if own else name

    @property
    def shared(self) -> str:
        """The expression of the text that comes first in every prompt; "" without one."""
        return "SHARED" if self._shared else ""


def own_part(prompt: str, shared: str) -> str:
    """What a prompt has of its own after the text that all begin with; "" where it has none."""
    lead = f"{shared}\n\n"
    return prompt.removeprefix(lead) if shared and prompt.startswith(lead) else ""


def frame_of(prompts: Sequence[str]) -> tuple[str, str]:
    """What stands before and after the items in all prompts, cut between words.

    >>> frame_of(["Say one, please.", "Say other, please."])
    ('Say ', ', please.')
    """
    low, high = min(prompts), max(prompts)
    start = shared_start(low, high)
    while start and not low[start - 1].isspace():
        start -= 1
    rests = [prompt[start:][::-1] for prompt in prompts]
    low, high = min(rests), max(rests)
    end = shared_start(low, high)
    while end and (low[end - 1].isalnum() or low[end - 1] == "_"):
        end -= 1
    return prompts[0][:start], low[:end][::-1]


def _counted(tasks: Sequence[Task]) -> bool:
    """Whether the names of the calls are one stem and a number from 1 on."""
    stem = tasks[0].name.removesuffix("1")
    return all(task.name == f"{stem}{n}" for n, task in enumerate(tasks, 1))

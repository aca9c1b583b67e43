"""What a cell would send and what it might cost, without a call."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from parallm_magics import display, prices
from parallm_magics.cell.plan import Plan
from parallm_magics.patterns.synthesis import MERGE
from parallm_magics.types import Task, Usage

CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Preview:
    """The rendered calls of a cell.

    Attributes:
        tasks: every worker's call, then the synthesis with its `{{outputs}}` still open.
        calls: how many calls the cell makes when nothing is tried twice.
        input_tokens: estimated, at four characters a token.
        most_cost: US dollars if every answer used all of its max_tokens; None where no price is known.
    """

    tasks: tuple[Task, ...]
    calls: int
    input_tokens: int
    most_cost: Decimal | None

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(task.name, str(task.model), _whole(task)) for task in self.tasks]

    @property
    def _title(self) -> str:
        most = "unknown" if self.most_cost is None else f"at most {display.money(self.most_cost)}"
        calls = display.count(self.calls, "call")
        return f"Dry run, nothing was sent: {calls}, about {self.input_tokens:,} input tokens, cost {most}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/plain": display.preview_plain(self._title, self._rows()),
            "text/html": display.preview_html(self._title, self._rows()),
        }

    def __repr__(self) -> str:
        return display.preview_plain(self._title, self._rows())


def preview(plan: Plan) -> Preview:
    """The calls that a plan stands for."""
    tasks = [*plan.tasks]
    costs = [_most(task) for task in plan.tasks]
    if plan.synthesis is not None:
        parts = plan.synthesis.parts or ("{{outputs}}", "\n\n", MERGE)
        text = "".join(part if isinstance(part, str) else part.source for part in parts)
        merging = replace(plan.synthesis.task, prompt=text)
        tasks.append(merging)
        costs.append(_most(merging, read=sum(task.max_tokens for task in plan.tasks)))
    known = [cost for cost in costs if cost is not None]
    return Preview(
        tasks=tuple(tasks),
        calls=len(tasks),
        input_tokens=sum(_tokens(task) for task in tasks),
        most_cost=sum(known, Decimal()) if len(known) == len(costs) else None,
    )


def _whole(task: Task) -> str:
    return f"[system]\n{task.system}\n\n[prompt]\n{task.prompt}" if task.system else task.prompt


def _tokens(task: Task) -> int:
    return math.ceil((len(task.prompt) + len(task.system or "")) / CHARS_PER_TOKEN)


def _most(task: Task, read: int = 0) -> Decimal | None:
    """The cost where the answer, and the answers that it reads, use all of their max_tokens."""
    tokens = Usage(input_tokens=_tokens(task) + read, output_tokens=task.max_tokens)
    return prices.cost(task.model, tokens)

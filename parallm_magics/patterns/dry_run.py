"""What a cell would send and what it might cost, without a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from parallm_magics import display
from parallm_magics.answers.label_probabilities import labels_of_reading
from parallm_magics.answers.questions import gathered
from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Task, Tier
from parallm_magics.errors import OptionError, ParallmError
from parallm_magics.patterns.guard_verdicts import percent
from parallm_magics.patterns.guardrail import guard_tasks
from parallm_magics.patterns.opening import most_of_try
from parallm_magics.patterns.shown import drawn, printed
from parallm_magics.patterns.tier_costs import TierCosts, tokens_of, told
from parallm_magics.providers import bill, registry

MOST_TASKS = 200

MOST_PROMPTS = 50
"""Prompts that are shown; the preview object holds more of them."""


@dataclass(frozen=True)
class Preview:
    """The rendered calls of a cell.

    Attributes:
        tasks: the workers' calls, of many the first 200, then those of the guards, then the judge or
            the synthesis with its `{{candidates}}` or `{{outputs}}` still open.
        calls: how many calls the cell makes at most when nothing is tried twice.
        input_tokens: estimated, at four characters a token.
        most_cost: US dollars if every answer used all of its max_tokens; None where no price is known.
        no_cap: why the run would be refused, as its `--max-cost` cannot be kept; "" where it can.
        unpaid: which call the run would not ask, as its `--max-cost` is too low for it; "" for none.
        prompts: how many prompts there are, where one call may ask several questions.
        costs: where some calls are asked at a cheaper tier, US dollars if every answer used all of its
            max_tokens and came at this tier, for the usual one ("") and each that could be asked for;
            None where no price is known.
        blocks: the label by which a guard blocks, by the place of each of its calls.
        notes: what the reader should know of the cell's text, one line each.
    """

    tasks: tuple[Task, ...]
    calls: int
    input_tokens: int
    most_cost: Decimal | None
    no_cap: str = ""
    blocks: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unpaid: str = ""
    prompts: int = 0
    costs: Mapping[Tier, Decimal | None] = field(default_factory=dict)

    def _blocks(self) -> list[display.Block]:
        workers = [task for task in self.tasks if task.role == "worker"]
        # Auxiliary calls are shown of any number of calls.
        beside = [task for task in self.tasks if task.role != "worker"]
        shown = [*workers[: max(MOST_PROMPTS - len(beside), 0)], *beside][:MOST_PROMPTS]
        left = max(self.calls, self.prompts) - MOST_PROMPTS
        return [
            display.Heading(self._title),
            *(display.Notes((note,)) for note in self.notes),
            *(
                display.Prompt(self._name(task), _asked(task), _whole(task), len(shown) <= 3)
                for task in shown
            ),
            *([display.Says((f"… and {left:,} more",))] if left > 0 else []),
        ]

    def _name(self, task: Task) -> str:
        against = self.blocks.get(task.index)
        name = _titled(task)
        return name if against is None else f"{name} · {against} blocks"

    @property
    def _title(self) -> str:
        first = self.tasks[0]
        how = "streamed" if first.stream else "plain requests"
        how = "in a batch" if first.tier == "batch" else how
        if self.prompts > self.calls:
            how = display.count(self.prompts, "question")
        calls = f"{display.count(self.calls, 'call')} ({how})"
        refused = f"; this run would be refused by --max-cost: {self.no_cap}" if self.no_cap else ""
        refused += f"; this run would skip {self.unpaid}" if self.unpaid else ""
        return (
            f"Dry run, no model was called: {calls}, about {self.input_tokens:,} input tokens, "
            f"cost {told(self.most_cost, self.costs)}{refused}"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return drawn(self._blocks())

    def __repr__(self) -> str:
        return printed(self._blocks())


class Ahead(NamedTuple):
    """A call that follows the workers, as far as it is known before they answer.

    Attributes:
        task: the call, what it is told of the answers still open.
        times: how often it is made at most.
        read: the most tokens of answers that it reads each time.
    """

    task: Task
    times: int
    read: int


def preview(plan: Plan, ahead: Callable[[Plan, int], Sequence[Ahead]]) -> Preview:
    """The calls that a plan stands for.

    Args:
        ahead: from the plan and the most tokens of all answers to the calls that follow the workers.

    Raises:
        OptionError: looking at the items would use them up.
    """
    if plan.calls.once or plan.calls.asynchronous:
        raise OptionError(
            f"--dry-run: {plan.calls.source} can be read only once, and a dry run would use it up; try it with a "
            f"short list first"
        )
    shown: list[Task] = []
    calls = tokens = answers = prompts = 0
    costs = TierCosts((*plan.calls.kinds, *plan.auxiliary))
    split: list[str] = []
    for task in gathered(plan.calls.read(), plan.calls.size, split.append):
        if isinstance(task, Task):
            calls += 1
            prompts += len(task.asked)
            tokens += tokens_of(task)
            answers += 0 if task.model.decides else task.max_tokens
            costs.add(task)
            shown += task.asked[: max(MOST_TASKS - len(shown), 0)]
    shown.sort(key=lambda task: task.index)
    for task in gathered(guard_tasks(plan.guards), 0, split.append):
        assert isinstance(task, Task)
        calls += 1
        prompts += len(task.asked)
        tokens += tokens_of(task)
        costs.add(task)
        shown += task.asked
    before = calls
    for task, times, read in ahead(plan, answers):
        calls += times
        tokens += times * tokens_of(task)
        costs.add(task, times, read)
        shown.append(task)
    blocks = {task.index: _blocking(guard) for guard in plan.guards for task in guard.tasks}
    notes = (*_refused(plan), *plan.notes, *split)
    prompts += calls - before
    return Preview(
        tuple(shown),
        calls,
        tokens,
        costs.most,
        _no_cap(plan),
        blocks,
        notes,
        _unpaid(plan),
        prompts,
        costs.at,
    )


def _refused(plan: Plan) -> list[str]:
    """A note where the run would end before any call, as a model cannot do what it is asked; else nothing."""
    for task in (*(plan.calls.rendered or plan.calls.head), *plan.auxiliary):
        try:
            registry.make(registry.entry_of(task.model.provider)).check(task)
        except ParallmError as error:
            return [f"this run would be refused: {error}"]
    return []


def _no_cap(plan: Plan) -> str:
    """Why the run would refuse its cap; "" where it would not, and where it has none."""
    if plan.options.max_cost is None:
        return ""
    real = (task for task in (*plan.calls.kinds, *plan.auxiliary) if not _simulated(task))
    return next((why for task in real if (why := bill.unbounded(task))), "")


def _unpaid(plan: Plan) -> str:
    """The first call that the run's cap could never pay, and why; "" where there is none."""
    cap = plan.options.max_cost
    tasks = (*(plan.calls.rendered or plan.calls.head), *guard_tasks(plan.guards))
    for task in gathered(tasks, plan.calls.size, lambda told: None):
        assert isinstance(task, Task)
        most = None if cap is None or _simulated(task) else most_of_try(task)
        if cap is not None and most is not None and most > cap:
            cost = f"the call may cost up to {display.money(most)}"
            return f"{task.name}: {cost}, more than --max-cost {cap:f}"
    return ""


def _simulated(task: Task) -> bool:
    return registry.entry_of(task.model.provider).simulated


def _titled(task: Task) -> str:
    """A call's name and, where there are items, what it is about."""
    item = display.item_of(task)
    return task.name if item in ("", task.name) else f"{task.name} · {display.one_line(item, 60)}"


def _asked(task: Task) -> str:
    """Which model is asked, and how."""
    temperature = [] if task.temperature is None else [f"temperature {task.temperature:g}"]
    effort = [] if task.effort is None else [f"effort {task.effort}"]
    tier = ["flex tier"] if task.tier == "flex" else []
    return ", ".join([str(task.model), *temperature, *effort, *tier])


def _whole(task: Task) -> str:
    if task.model.decides and task.reading is not None:
        return f"{task.prompt}\n\n[labels]\n{', '.join(labels_of_reading(task.reading))}"
    return f"[system]\n{task.system}\n\n[prompt]\n{task.prompt}" if task.system else task.prompt


def _blocking(guard: Guard) -> str:
    """The label by which a guard blocks, with how many votes, or what probability, it takes."""
    if guard.least_probability is not None:
        return f"{guard.block} from {percent(guard.least_probability)} on"
    if guard.least is None:
        return guard.block
    return f"{guard.least} of {len(guard.tasks)} {guard.block}"

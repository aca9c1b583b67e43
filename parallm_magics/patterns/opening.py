"""What must hold before a run asks anything: models that can do it, keys, prices, caps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from parallm_magics.answers.questions import WRAPPING_BYTES, sent_texts
from parallm_magics.cell.calls import Calls
from parallm_magics.core import prices
from parallm_magics.core.models import Model
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Event, Task
from parallm_magics.engine.accounts import Budget, Ledger
from parallm_magics.engine.cancel_token import unless_stopped
from parallm_magics.engine.clock import Clock, VirtualClock
from parallm_magics.errors import OptionError, RecordingMissing
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import bill
from parallm_magics.providers.answer_formats import most_bytes
from parallm_magics.recordings.modes import VARIABLE
from parallm_magics.simulation.simulated import scale_of

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""Fields by which a server is told how long an answer may be."""
COUNT_FIELDS = ("n", "best_of")
"""Fields by which it is told to write several."""


class OpenModels:
    """The models that a run asks: who provides them, and what they may cost.

    Attributes:
        providers: their providers by name.
        real: those of them that a simulation does not stand for.
        decide: whether any of them is a decision model.
        budget: the caps on cost.
        clock: a virtual one where no call takes real time, or none is made at all; else the loop's.
    """

    def __init__(
        self,
        calls: Calls,
        auxiliary: Sequence[Task],
        context: RunContext,
        max_cost: Decimal | None,
        *,
        elsewhere: bool = False,
    ) -> None:
        """Refuse what a model cannot do, and a cap that cannot be kept.

        Args:
            elsewhere: whether the calls of workers are made by other processes, so that this one needs no
                key for them.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        self._calls, self._auxiliary, self._context = calls, auxiliary, context
        models = dict.fromkeys([*calls.models, *(task.model for task in auxiliary)])
        self.providers: Mapping[str, Provider] = {
            name: context.clients.provider(name)
            for name in dict.fromkeys(model.provider for model in models)
        }
        own_calls = {task.model for task in auxiliary}
        self._asked_here = own_calls if elsewhere else {*models}
        self.decide = any(model.decides for model in models)
        self.real = [model for model in models if not self.providers[model.provider].simulated]
        own = () if max_cost is None else (Ledger("--max-cost", max_cost),)
        self.budget = Budget((*own, *context.ledgers), self._worst)
        for task in (*(calls.rendered or calls.head), *auxiliary):
            self.providers[task.model.provider].check(task)
        store = context.recordings
        if store is None and self.budget.capped:
            self._check_prices(self.real)
        if store is not None and store.replays:
            self.clock: Clock = VirtualClock()
        else:
            batched = any(task.tier == "batch" for task in calls.kinds)
            self.clock = Clock() if self.real else VirtualClock(scale_of(models, batched=batched))

    def check(self, task: Task) -> None:
        """Refuse what the model of a call cannot do."""
        self.providers[task.model.provider].check(task)

    async def open(self, models: Iterable[Model]) -> None:
        """Import and build what calls of these models need.

        Raises:
            ParallmError: a key is missing, a cap cannot be kept, or nothing may be asked at all.
        """
        real, stop, store = {*self.real} & {*models}, self._context.stop, self._context.recordings
        if not real or (store is not None and store.replays):
            return
        asked = [model for model in self.real if model in real]
        if self._context.offline:
            raise RecordingMissing(
                f"{asked[0]}: {VARIABLE}=replay allows no calls, and no recordings file is set; run %parallm "
                f"recordings PATH in the notebook"
            )
        if self.budget.capped:
            self._check_prices(asked)
        tell = self._context.tell or (lambda event: None)
        tell(Event("loading", -1, 0.0))
        try:
            here = [model for model in asked if model in self._asked_here]
            for model in {model.provider: model for model in here}.values():
                await unless_stopped(self._context.clients.get(model), stop)
            for model in {model.provider: model for model in asked}.values():
                if (tariff := bill.tariff(model)) is not None and not prices.are_loaded():
                    await unless_stopped(asyncio.to_thread(prices.prepare, tariff), stop)
        finally:
            tell(Event("loaded", -1, 0.0))

    def _check_prices(self, models: Sequence[Model]) -> None:
        for task in (*self._calls.kinds, *self._auxiliary):
            if task.model in models and (why := bill.unbounded(task)):
                raise OptionError(f"{self.budget.name}: {why}")

    def _worst(self, task: Task) -> Decimal:
        """The most that one try can cost; a model without a price was refused before."""
        simulated = self.providers[task.model.provider].simulated
        return Decimal(0) if simulated else worst_of_try(task)


def worst_of_try(task: Task) -> Decimal:
    """US dollars that one try can cost at most, of a call whose price was found to be known."""
    return most_of_try(task) or Decimal(0)


def most_of_try(task: Task) -> Decimal | None:
    """US dollars that one try of a call can cost at most; None where no price is known."""
    params = task.params
    parts = sent_texts(task)
    if params:  # tools, schemas and further messages are read by the model as well
        parts.append(json.dumps(dict(params), default=str))
    size = sum(
        len(part) if part.isascii() else len(part.encode("utf-8", "replace")) for part in parts
    )
    if task.enforced and task.reading is not None:
        size += most_bytes(task.reading)
    if task.model.decides:
        size += WRAPPING_BYTES * len(parts)
    most = 0 if task.model.decides else task.max_tokens
    if params and not task.model.decides:
        most = max(most, *(_whole(params.get(name)) for name in LENGTH_FIELDS))
        most *= max(1, *(_whole(params.get(name)) for name in COUNT_FIELDS))
    return bill.worst(task.model, size, most, bill.asked_terms(task))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0

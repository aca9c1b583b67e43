"""The calls that are no worker's: guards beside the work, a judge or a synthesis after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from parallm_magics.cell.asking import asking
from parallm_magics.cell.blocks import Block, Cell, name_key
from parallm_magics.cell.calls import Calls
from parallm_magics.cell.decision_calls import least_probability
from parallm_magics.cell.enforcing import is_enforced
from parallm_magics.cell.item_prompts import names_item
from parallm_magics.cell.option_layers import Layer, Layers
from parallm_magics.cell.options import Options
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.rendering import ParseModel, call_fields, model_of
from parallm_magics.cell.variables import Part
from parallm_magics.cell.verdict_words import (
    VERDICTS,
    Pair,
    blocking_label,
    pair_asked_for,
    way_out,
)
from parallm_magics.cell.worker_specs import step_of
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Reading, Role, Task
from parallm_magics.errors import OptionError
from parallm_magics.voting import need

SCORE_RANGE = (1.0, 10.0)
# However many items there will be, no worker has such a number.
_FIRST_INDEX = 10**9
_MOST_GUARD_CALLS = 1000


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A call that follows the workers, its text complete but for what they answer.

    Attributes:
        task: the call, with the prompt still empty.
        parts: its text; the variables left in it are `task` and `outputs` or `candidates`.
        span: the range of a judge's scores.
    """

    task: Task
    parts: tuple[Part, ...]
    span: tuple[float, float] = SCORE_RANGE


@dataclass(frozen=True, slots=True)
class Guard:
    """One guardrail, which starts with the work.

    Attributes:
        name: the guard's name.
        tasks: its calls; several are a vote.
        block: the label that blocks.
        refusal: what stands in place of blocked work.
        passes_on_error: whether the work passes where the guard gives no verdict.
        raises: whether a blocked run is an error.
        asks_for: the labels that its own text asks for, where they are not its choices; else None.
        least: so many votes for that label block, whatever the others say; None for the rule of most.
        least_probability: from this probability of that label on it blocks; None where votes are counted.
    """

    name: str
    tasks: tuple[Task, ...]
    block: str
    refusal: str
    passes_on_error: bool
    raises: bool
    asks_for: Pair | None = None
    least: int | None = None
    least_probability: float | None = None

    @property
    def reading(self) -> Reading:
        """How its answers are read."""
        reading = self.tasks[0].reading
        assert reading is not None
        return reading


class AuxiliaryCalls:
    """Builds the calls of one cell that are no worker's."""

    def __init__(
        self, cell: Cell, prompts: Prompts, parse_model: ParseModel, layers: Layers
    ) -> None:
        self._cell, self._prompts, self._layers = cell, prompts, layers
        self._parse = parse_model

    def synthesis(self, block: Block | None, own: Layer, calls: Calls) -> FollowUp:
        """Build the call that merges the sections; its block says by standing there that it is wanted."""
        parts: tuple[Part, ...] = ()
        options = self._layers.options(own)
        if block is not None:
            if options.aggregate in ("join", "none"):
                raise OptionError(
                    f"line {block.line}: --aggregate {options.aggregate} cannot be combined with "
                    f"a %synthesis block; remove one of them"
                )
            parts = self._prompts.template(block.text, block.where, "outputs", calls)
        system = options.system
        # The items' shared system text speaks of items, which a synthesis has none of.
        if self._cell.system is not None and options.each is None and "system" not in own:
            system = self._prompts.render(self._cell.system, "%system")
        return FollowUp(self._follow_up("synthesis", block, own, options, system), parts)

    def judge(self, block: Block | None, own: Layer) -> FollowUp:
        """Build the judge's call, for each rotation or candidate anew."""
        parts: tuple[Part, ...] = ()
        if block is not None and block.text.value:
            parts = self._prompts.template(block.text, block.where, "candidates", None)
        task = self._follow_up("judge", block, own, self._layers.options(own), own.get("system"))
        return FollowUp(task, parts, own.get("score") or SCORE_RANGE)

    def _follow_up(
        self, name: Role, block: Block | None, own: Layer, options: Options, system: str | None
    ) -> Task:
        if block is not None and block.system is not None:
            system = self._prompts.render(block.system, f"{block.where} %system")
        if len(options.model) > 1:
            raise OptionError(
                f"line {block.line if block else 1}: the {name} is a single call; give it one "
                f"model with -m"
            )
        low, high = options.temperature or (None, None)
        if block is not None and "temperature" in own:
            _refuse_range(own["temperature"], f"line {block.line}: {block.where}")
        return Task(
            index=_FIRST_INDEX + _MOST_GUARD_CALLS,
            name=name,
            role=name,
            model=model_of(options.model[0] if options.model else None, {}, self._parse),
            prompt="",
            system=system,
            temperature=low if low == high else None,  # a range is for workers
            **call_fields(options, 1),
        )

    def guards(self, blocks: Sequence[tuple[Block, Layer]], calls: Calls) -> tuple[Guard, ...]:
        """Build the guardrails, in the cell's order."""
        names = _names([block for block, _ in blocks], self._cell)
        samples = Counter(_request(task) for task in calls.rendered or ())
        found: list[Guard] = []
        calls_so_far = 0
        for (block, own), name in zip(blocks, names, strict=True):
            guard = self._guard(block, own, name, _FIRST_INDEX + calls_so_far, samples)
            found.append(guard)
            calls_so_far += len(guard.tasks)
        if calls_so_far > _MOST_GUARD_CALLS:
            raise OptionError(
                f"there are {calls_so_far:,} guard calls; a cell may have at most "
                f"{_MOST_GUARD_CALLS:,}"
            )
        return tuple(found)

    def _guard(
        self, block: Block, own: Layer, name: str, first: int, samples: Counter[object]
    ) -> Guard:
        at = f"line {block.line}: {block.where}"
        if names_item(self._prompts, block.text, block.system):
            raise OptionError(
                f"{at}: a guard runs once for all items, so it cannot use {{{{item}}}}; to check "
                f"each item, use a %section with --choices and --flag"
            )
        options = self._layers.options(own)
        choices = own.get("choices") or VERDICTS
        blocks = blocking_label(own.get("block"), choices, at)
        asks_for = None if "choices" in own else pair_asked_for(block.text.value)
        if asks_for is not None:
            self._prompts.notes.append(
                f"{at} asks for {asks_for[1]} or {asks_for[0]}, but its choices are "
                f"{', '.join(choices)}: add {way_out(asks_for)}"
            )
        tasks = self._guard_calls(block, own, name, options, Reading("choice", choices=choices))
        for place, task in enumerate(tasks):
            request = _request(task)
            tasks[place] = replace(task, index=first + place, sample=samples[request])
            samples[request] += 1
        threshold = own.get("threshold")
        alone = len(tasks) == 1 and "n" not in own
        return Guard(
            name=name,
            tasks=tuple(tasks),
            block=blocks,
            refusal=options.refusal,
            passes_on_error=options.on_error == "pass",
            raises=options.on_block == "raise",
            asks_for=asks_for,
            least=None if alone else _least(threshold, len(tasks), at),
            least_probability=least_probability(threshold, tasks[0].model, at) if alone else None,
        )

    def _guard_calls(
        self, block: Block, own: Layer, name: str, options: Options, reading: Reading
    ) -> list[Task]:
        """Build the calls of a guard, each as if it were the first."""
        at = f"line {block.line}: {block.where}"
        text = self._prompts.render(block.text, block.where)
        system = own.get("system")
        if block.system is not None:
            system = self._prompts.render(block.system, f"{block.where} %system")
        models = own.get("model") or options.model[:1] or (None,)
        count = own.get("n") or len(models)
        if count < len(models):
            raise OptionError(
                f"{at}: -n {count} is too few for {len(models)} models; raise -n or "
                f"list fewer models"
            )
        span = own.get("temperature")
        if span is not None and count == 1:
            _refuse_range(span, at)
        fields = call_fields(options, count)
        parsed: dict[str, Model] = {}
        calls = []
        for turn in range(count):
            model = model_of(models[turn % len(models)], parsed, self._parse)
            enforced = is_enforced(options, reading, model)
            closing = "" if options.no_ask or model.decides else asking(reading, enforced=enforced)
            calls.append(
                Task(
                    index=turn,
                    role="guard",
                    name=name if count == 1 else f"{name}.{turn + 1}",
                    model=model,
                    prompt="\n\n".join(part for part in (text, closing) if part),
                    system=system,
                    temperature=None if span is None else step_of(span[0], span[1], turn, count),
                    reading=reading,
                    enforced=enforced,
                    **(fields | {"tier": ""} if model.decides else fields),
                )
            )
        return calls


def _least(threshold: str | None, votes: int, at: str) -> int | None:
    """Tell how many of a guard's votes block, as its threshold says; None without one.

    Raises:
        OptionError: there is nothing to count, or there are fewer votes.
    """
    if threshold is None:
        return None
    if votes == 1:
        raise OptionError(
            f"{at}: --threshold {threshold} counts votes, but this guard has only one; add votes "
            f"with -n, or remove --threshold"
        )
    asked = Fraction(threshold.removesuffix("%")) / (100 if threshold.endswith("%") else 1)
    if asked > votes:
        raise OptionError(
            f"{at}: --threshold {threshold}: there are only {votes} votes; lower the threshold, "
            f"or raise -n"
        )
    return need(asked, votes) if asked <= 1 else int(asked)


def _refuse_range(span: tuple[float, float], at: str) -> None:
    """Refuse a range of temperatures where there is one call."""
    low, high = span
    if low != high:
        raise OptionError(
            f"{at}: -t {low:g}..{high:g} is a range for several calls, but this block makes only "
            f"one; write one temperature"
        )


def _request(task: Task) -> object:
    """Return the same for calls that ask the same of the same model."""
    asked = (task.model, task.prompt, task.system, task.temperature, task.effort, task.max_tokens)
    return hash((*asked, repr(sorted(task.params.items()))))


def _names(blocks: Sequence[Block], cell: Cell) -> list[str]:
    """Find a name for each guard that no other block has."""
    taken = {name_key(block.name) for block in cell.blocks if block.name}
    alone = len(blocks) == 1
    names = []
    for at, block in enumerate(blocks, 1):
        name = block.name or ("guardrail" if alone else f"guardrail{at}")
        while block.name is None and name_key(name) in taken:
            name += "_"
        taken.add(name_key(name))
        names.append(name)
    return names

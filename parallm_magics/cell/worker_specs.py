"""How workers multiply: which worker asks which model, before any text is rendered."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.cell.blocks import Block, Text
from parallm_magics.cell.options import Options
from parallm_magics.errors import CellSyntaxError, OptionError

WORKERS = 3
"""How many ask one prompt where nobody says."""

Given = Mapping[str, Any]
Merge = Callable[[Given], Options]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker, its text not yet rendered.

    Attributes:
        name: the worker's name.
        section: the key of the result that it answers.
        block: its block, or None where the preamble is the whole prompt.
        options: its options, all layers merged.
        model: the model's text, or None where nobody chose one.
        own: the names of the options that its block gives.
        temperature: its share of a range, or the one temperature.
        span: the range that nobody else of its round shares, so that the items do; else None.
        above: the `%panel` that it belongs to, where that has a text of its own.
    """

    name: str
    section: str
    block: Block | None
    options: Options
    model: str | None
    own: frozenset[str] = frozenset()
    temperature: float | None = None
    span: tuple[float, float] | None = None
    above: Block | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks whose texts make its prompt, in order."""
        return tuple(block for block in (self.above, self.block) if block is not None)

    @property
    def texts(self) -> tuple[Text | None, ...]:
        """What it is asked besides the preamble, its system prompts included."""
        return tuple(text for block in self.blocks for text in block.texts)


def fanout_specs(
    options: Options,
    given: Given,
    workers: Sequence[tuple[Block, Given]],
    merged: Merge,
    guarded: bool = False,
) -> list[WorkerSpec]:
    """One seat a section, or as many as its -n or its models say.

    Args:
        guarded: whether a guard stands beside the work, so that one worker is enough.
    """
    if not workers:
        return _plain_fanout(options, guarded)
    if "n" in given:
        raise OptionError(
            "line 1: -n with %section blocks: put it on a block, as in %section NAME -n 3"
        )
    if len(given.get("model", ())) > 1:
        raise OptionError(
            "line 1: several models with %section blocks: put them on a block, as in %section NAME -m a,b"
        )
    seats: list[WorkerSpec] = []
    taken: dict[str, Block] = {}
    for at, (block, own) in enumerate(workers, 1):
        name = _free(block.name or f"s{at}", block, taken)
        block_options = merged(own)
        models = own.get("model") or block_options.model[:1]
        count = _count(own.get("n"), models, 1, f"line {block.line}: {block.where}")
        mine = [
            WorkerSpec(
                name=name if count == 1 else f"{name}.{turn + 1}",
                section=name,
                block=block,
                options=block_options,
                model=_dealt(models, turn),
                own=frozenset(own),
            )
            for turn in range(count)
        ]
        seats += _spread(mine) if "temperature" in own else mine
    shared = [seat for seat in seats if seat.temperature is None]
    return _in_order(seats, _spread(shared))


def _plain_fanout(options: Options, guarded: bool) -> list[WorkerSpec]:
    """The workers of one prompt: three, as in a vote; beside a guard, or for each item, one."""
    alone = guarded or options.each is not None
    count = _count(options.n, options.model, 1 if alone else WORKERS, "line 1")
    return _spread(
        [
            WorkerSpec(f"s{turn + 1}", f"s{turn + 1}", None, options, _dealt(options.model, turn))
            for turn in range(count)
        ]
    )


def vote_specs(
    options: Options,
    workers: Sequence[tuple[Block, Given]],
    merged: Merge,
    where: str = "line 1",
) -> list[WorkerSpec]:
    """The voters: models and %voter blocks dealt in turn.

    Args:
        where: the line whose options say how many, as errors name it.
    """
    if not workers:
        count = _count(options.n, options.model, WORKERS, where)
        return _spread(
            [
                WorkerSpec(f"v{i + 1}", "vote", None, options, _dealt(options.model, i))
                for i in range(count)
            ]
        )
    count = options.n or max(len(workers), len(options.model))
    if count < max(len(workers), len(options.model)):
        raise OptionError(
            f"{where}: -n {count} leaves out some of {len(workers)} voters and {len(options.model)} models; "
            f"-n is the total: {max(len(workers), len(options.model))} or more"
        )
    seats: list[WorkerSpec] = []
    taken: dict[str, Block] = {}
    dealt = 0
    for turn in range(count):
        at, lap = turn % len(workers), turn // len(workers)
        block, own = workers[at]
        if len(own.get("model", ())) > 1:
            raise OptionError(
                f"line {block.line}: {block.where} is one voter; give it one model with -m"
            )
        name = block.name or f"v{at + 1}"
        if lap == 0:
            _free(name, block, taken)
        repeated = count > len(workers) and (lap > 0 or turn + len(workers) < count)
        model = own["model"][0] if own.get("model") else _dealt(options.model, dealt)
        dealt += not own.get("model")
        seats.append(
            WorkerSpec(
                name=f"{name}.{lap + 1}" if repeated else name,
                section="vote",
                block=block,
                options=merged(own),
                model=model,
                own=frozenset(own),
            )
        )
    if dealt < len(options.model) > 1:
        raise OptionError(
            f"{where}: only {dealt} votes are left for {len(options.model)} models, as the other "
            "voters have a model of their own; give fewer models or a larger -n"
        )
    for block, own in workers:
        if "temperature" in own:
            seats = _in_order(seats, _spread([seat for seat in seats if seat.block is block]))
    return _in_order(seats, _spread([seat for seat in seats if seat.temperature is None]))


def _count(n: int | None, models: Sequence[str], default: int, where: str) -> int:
    if n is None:
        return len(models) if len(models) > 1 else default
    if n < len(models):
        raise OptionError(
            f"{where}: -n {n} leaves out some of {len(models)} models; -n is the total"
        )
    return n


def _dealt(models: Sequence[str], turn: int) -> str | None:
    return models[turn % len(models)] if models else None


def _free(name: str, block: Block, taken: dict[str, Block]) -> str:
    """A name that no earlier block took; numbering an unnamed block can run into a typed name."""
    key = unicodedata.normalize("NFC", name).casefold()
    if key in taken:
        raise CellSyntaxError(
            f"line {block.line}: {block.where} would be called {name!r}, as the block on line "
            f"{taken[key].line} is; give it another name"
        )
    taken[key] = block
    return name


def _spread(seats: Sequence[WorkerSpec]) -> list[WorkerSpec]:
    """Each seat with its temperature: ranges from the low end to the high end in equal steps."""
    spread = []
    for at, seat in enumerate(seats):
        if seat.options.temperature is None:
            spread.append(seat)
            continue
        low, high = seat.options.temperature
        alone = (low, high) if len(seats) == 1 and low < high else None
        temperature = step_of(low, high, at, len(seats))
        spread.append(replace(seat, temperature=temperature, span=alone))
    return spread


def step_of(low: float, high: float, at: int, steps: int) -> float:
    """The temperature at a place, from 0, of so many from the low end to the high one."""
    share = at / (steps - 1) if steps > 1 else 0.0
    return round(low + (high - low) * share, 6)


def _in_order(seats: Sequence[WorkerSpec], changed: Sequence[WorkerSpec]) -> list[WorkerSpec]:
    """The seats in the cell's order, with the changed ones in place of those of the same name."""
    by_name = {seat.name: seat for seat in changed}
    return [by_name.get(seat.name, seat) for seat in seats]

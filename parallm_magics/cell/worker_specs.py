"""How workers multiply: which worker asks which model, before any text is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from parallm_magics.cell.blocks import Block, Text, name_key
from parallm_magics.cell.option_layers import Layer, Layers
from parallm_magics.cell.options import Options
from parallm_magics.errors import CellSyntaxError, OptionError

DEFAULT_WORKERS = 3
"""How many ask one prompt where nobody says."""


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
        panel: the `%panel` that it belongs to, where that has a text of its own.
    """

    name: str
    section: str
    block: Block | None
    options: Options
    model: str | None
    own: frozenset[str] = frozenset()
    temperature: float | None = None
    span: tuple[float, float] | None = None
    panel: Block | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks whose texts make its prompt, in order."""
        return tuple(block for block in (self.panel, self.block) if block is not None)

    @property
    def texts(self) -> tuple[Text | None, ...]:
        """What it is asked besides the preamble, its system prompts included."""
        return tuple(text for block in self.blocks for text in block.texts)


def fanout_specs(
    layers: Layers,
    cell_layer: Layer,
    sections: Sequence[tuple[Block, Layer]],
    guarded: bool = False,
) -> list[WorkerSpec]:
    """Make one worker a section, or as many as its -n or its models say.

    Args:
        cell_layer: the options of the cell itself.
        guarded: whether a guard stands beside the work, so that one worker is enough.
    """
    options = layers.options()
    if not sections:
        alone = guarded or options.each is not None
        return _of_one_prompt("s", None, options, 1 if alone else DEFAULT_WORKERS, "line 1")
    if "n" in cell_layer:
        raise OptionError(
            "line 1: -n cannot be used on the first line of a cell with %section blocks; put it "
            "on a block, as in %section NAME -n 3"
        )
    if len(cell_layer.get("model", ())) > 1:
        raise OptionError(
            "line 1: several models cannot be used on the first line of a cell with %section "
            "blocks; put them on a block, as in %section NAME -m a,b"
        )
    workers: list[WorkerSpec] = []
    taken: dict[str, Block] = {}
    for at, (block, own) in enumerate(sections, 1):
        name = _free(block.name or f"s{at}", block, taken)
        block_options = layers.options(own)
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
        workers += _spread(mine, range(count)) if "temperature" in own else mine
    return _spread(workers)


def _of_one_prompt(
    letter: str, section: str | None, options: Options, default: int, where: str
) -> list[WorkerSpec]:
    """Make the workers of a preamble alone."""
    count = _count(options.n, options.model, default, where)
    names = [f"{letter}{turn + 1}" for turn in range(count)]
    workers = [
        WorkerSpec(name, section or name, None, options, _dealt(options.model, turn))
        for turn, name in enumerate(names)
    ]
    return _spread(workers)


def vote_specs(
    options: Options, layers: Layers, voters: Sequence[tuple[Block, Layer]], where: str = "line 1"
) -> list[WorkerSpec]:
    """Deal models and %voter blocks to the voters, in turn.

    Args:
        options: those of the panel.
        layers: what those of its %voter blocks are put over.
        where: the line whose options say how many, as errors name it.
    """
    if not voters:
        return _of_one_prompt("v", "vote", options, DEFAULT_WORKERS, where)
    count = _number_of_votes(options, len(voters), where)
    names = _names_of(voters)
    merged = [layers.options(own) for _, own in voters]
    workers: list[WorkerSpec] = []
    dealt = 0
    for turn in range(count):
        at, lap = turn % len(voters), turn // len(voters)
        block, own = voters[at]
        repeated = count > len(voters) and (lap > 0 or turn + len(voters) < count)
        model = own["model"][0] if own.get("model") else _dealt(options.model, dealt)
        dealt += not own.get("model")
        name = f"{names[at]}.{lap + 1}" if repeated else names[at]
        workers.append(WorkerSpec(name, "vote", block, merged[at], model, frozenset(own)))
    if dealt < len(options.model) > 1:
        raise OptionError(
            f"{where}: only {dealt} votes are left for {len(options.model)} models, because the "
            f"other voters have their own model; list fewer models or raise -n"
        )
    for block, own in voters:
        if "temperature" in own:
            mine = [place for place, worker in enumerate(workers) if worker.block is block]
            workers = _spread(workers, mine)
    return _spread(workers)


def _number_of_votes(options: Options, voters: int, where: str) -> int:
    least = max(voters, len(options.model))
    if options.n is not None and options.n < least:
        raise OptionError(
            f"{where}: -n {options.n} is too few for {voters} voters and {len(options.model)} "
            f"models; -n is the total number of votes: use {least} or more"
        )
    return options.n or least


def _names_of(voters: Sequence[tuple[Block, Layer]]) -> list[str]:
    taken: dict[str, Block] = {}
    names = []
    for at, (block, own) in enumerate(voters, 1):
        if len(own.get("model", ())) > 1:
            raise OptionError(
                f"line {block.line}: {block.where} is a single voter; give it one model with -m"
            )
        names.append(_free(block.name or f"v{at}", block, taken))
    return names


def _count(n: int | None, models: Sequence[str], default: int, where: str) -> int:
    if n is None:
        return len(models) if len(models) > 1 else default
    if n < len(models):
        raise OptionError(
            f"{where}: -n {n} is too few for {len(models)} models; -n is the total number of "
            f"workers"
        )
    return n


def _dealt(models: Sequence[str], turn: int) -> str | None:
    return models[turn % len(models)] if models else None


def _free(name: str, block: Block, taken: dict[str, Block]) -> str:
    """Return a name that no earlier block took; numbering an unnamed block can run into a typed name."""
    key = name_key(name)
    if key in taken:
        raise CellSyntaxError(
            f"line {block.line}: {block.where} would get the name {name!r}, which the block on "
            f"line {taken[key].line} already has; give it another name"
        )
    taken[key] = block
    return name


def _spread(workers: Sequence[WorkerSpec], places: Sequence[int] | None = None) -> list[WorkerSpec]:
    """Give the workers their temperatures: a range is shared by those at the places, from its low end.

    Args:
        places: without it those that have none yet.
    """
    if places is None:
        places = [place for place, worker in enumerate(workers) if worker.temperature is None]
    spread = list(workers)
    for at, place in enumerate(places):
        worker = workers[place]
        if worker.options.temperature is not None:
            low, high = worker.options.temperature
            alone = (low, high) if len(places) == 1 and low < high else None
            temperature = step_of(low, high, at, len(places))
            spread[place] = replace(worker, temperature=temperature, span=alone)
    return spread


def step_of(low: float, high: float, at: int, steps: int) -> float:
    """Return the temperature at a place, from 0, of so many from the low end to the high one."""
    share = at / (steps - 1) if steps > 1 else 0.0
    return round(low + (high - low) * share, 6)

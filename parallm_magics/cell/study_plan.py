"""What is measured on the items of a study: which systems, and which calls they need for an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from parallm_magics.cell.blocks import PREAMBLE_PLACE, Block, Cell
from parallm_magics.cell.item_prompts import names_item, refuse_label
from parallm_magics.cell.items import Items
from parallm_magics.cell.option_layers import Layer, Layers, reading_of
from parallm_magics.cell.options import TABLE, Options
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.true_labels import Labels, labels_of
from parallm_magics.cell.worker_specs import WorkerSpec, vote_specs
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import ModelError, OptionError, nearest, then, translated
from parallm_magics.voting.pick_rules import asks_judge, rule_where

SystemKind = Literal["single", "vote", "stop", "model", "panel"]


class SystemEntry(NamedTuple):
    """What is known of a kind of systems.

    Attributes:
        votes: whether its calls vote; else one call answers.
        own: whether it is made of the calls of the cell's own vote.
        early: whether it ends as soon as the open votes cannot change the outcome.
    """

    votes: bool = False
    own: bool = False
    early: bool = False


SYSTEM_KINDS: Mapping[SystemKind, SystemEntry] = {
    "single": SystemEntry(own=True),
    "vote": SystemEntry(votes=True, own=True),
    "stop": SystemEntry(votes=True, own=True, early=True),
    "model": SystemEntry(),
    "panel": SystemEntry(votes=True),
}

SINGLE, VOTE = "single", "vote"
_TAKEN_NAMES = (SINGLE, VOTE)


@dataclass(frozen=True, slots=True)
class System:
    """One way to answer an item.

    Attributes:
        name: as it is shown and named in the result.
        kind: a `single` call, the cell's `vote`, that vote with an early `stop`, another `model`
            asked once, or another `panel`.
        places: which of an item's calls it is made of.
        options: the options by which its votes are counted.
    """

    name: str
    kind: SystemKind
    places: tuple[int, ...]
    options: Options = field(default_factory=Options)

    @property
    def entry(self) -> SystemEntry:
        """What is known of its kind."""
        return SYSTEM_KINDS[self.kind]

    @property
    def is_main(self) -> bool:
        """Whether it is the cell's own vote, with all of its calls."""
        return self.entry == SYSTEM_KINDS["vote"]


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured where a vote is held on each of many items.

    Attributes:
        systems: the ways to answer an item that are compared.
        labels: what is known of the items.
    """

    systems: tuple[System, ...]
    labels: Labels

    @property
    def main(self) -> System:
        """The cell's own vote."""
        return next(system for system in self.systems if system.is_main)


@dataclass(frozen=True, slots=True)
class PanelBlock:
    """A `%panel` with what belongs to it.

    Attributes:
        block: the block itself.
        own: the options on its line.
        voters: the `%voter` blocks below it, each with its own options.
        name: its name.
    """

    block: Block
    own: Layer
    voters: tuple[tuple[Block, Layer], ...]
    name: str


def cut_panels(
    blocks: Sequence[tuple[Block, Layer]],
) -> tuple[list[tuple[Block, Layer]], list[PanelBlock]]:
    """Cut the blocks into the cell's own voters and its panels: a `%voter` belongs to the `%panel` above it.

    Raises:
        OptionError: a panel's name that would be confused with another system's.
    """
    voters: list[tuple[Block, Layer]] = []
    panels: list[PanelBlock] = []
    for block, layer in blocks:
        if block.word == "panel":
            name = block.name or f"panel{len(panels) + 1}"
            if name in _TAKEN_NAMES or any(name == panel.name for panel in panels):
                raise OptionError(
                    f"line {block.line}: {block.where} cannot be called {name!r}, because another "
                    f"system has that name; choose another name"
                )
            panels.append(PanelBlock(block, layer, (), name))
        elif block.word == "voter" and panels:
            last = panels[-1]
            own_rule = dict(last.own)
            if "weight" in layer:
                own_rule.setdefault("pick", rule_where(lambda rule: rule.weighs))
            panels[-1] = replace(last, voters=(*last.voters, (block, layer)), own=own_rule)
        elif block.word == "voter":
            voters.append((block, layer))
    return voters, panels


def study_specs(
    options: Options,
    layers: Layers,
    voters: Sequence[tuple[Block, Layer]],
    panels: Sequence[PanelBlock],
    check_model: Callable[[str], object],
) -> tuple[list[WorkerSpec], tuple[System, ...]]:
    """Return the workers that each item needs, and the systems that are made of them.

    The single call is the first voter's, or each in turn where all repeat one prompt on one model;
    it and the early stop are told from the votes and need no calls of their own.

    Args:
        options: those of the cell's own vote.
        layers: what the options of voters and panels are put over.
        check_model: raises a ModelError where there is no model of a name.

    Raises:
        OptionError: a system that nobody can tell which it is.
    """
    workers = vote_specs(options, layers, voters)
    main = tuple(range(len(workers)))
    found = {SINGLE: System(SINGLE, "single", main, options)} if len(main) > 1 else {}
    found[VOTE] = System(VOTE, "vote", main, options)
    for panel in panels:
        mine = _panel_specs(panel, layers)
        places = tuple(range(len(workers), len(workers) + len(mine)))
        found[panel.name] = System(panel.name, "panel", places, layers.options(panel.own))
        workers += mine
    for name in options.compare:
        if name in found:
            continue
        if name == SINGLE:  # of a panel of one
            found[SINGLE] = System(SINGLE, "single", main, options)
        elif name.startswith("stop="):
            stopping = replace(options, stop=name.removeprefix("stop="))
            found[name] = System(name, "stop", main, stopping)
        else:
            _check_model(name, check_model, [*found, SINGLE, "stop=clinch"])
            voting = {worker.model or "" for worker in workers if worker.model != name}
            short = _short(name, [*found, *options.compare, *voting])
            found[short] = System(short, "model", (len(workers),), options)
            workers.append(_once(workers[0], name, short))
    return workers, tuple(found.values())


def _check_model(name: str, check: Callable[[str], object], known: Sequence[str]) -> None:
    translated(
        lambda: check(name),
        lambda error: OptionError(
            then(
                f"--compare: {name[:60]!r} is not single, not stop=clinch and not the name of a "
                f"%panel{nearest(name, known)}",
                f"as a model: {error}",
            )
        ),
        ModelError,
    )


def _panel_specs(panel: PanelBlock, layers: Layers) -> list[WorkerSpec]:
    """Return a panel's voters; without a number of its own it has as many as it names, else as the cell."""
    block, own = panel.block, panel.own
    layers = layers.over(own)
    options = layers.options()
    if "n" not in own and (panel.voters or len(own.get("model", ())) > 1):
        options = replace(options, n=None)
    workers = vote_specs(options, layers, panel.voters, f"line {block.line}: {block.where}")
    texts = block.text.value or block.system is not None
    return [
        replace(
            worker,
            name=f"{panel.name}.{worker.name}",
            section=panel.name,
            panel=block if texts else None,
            own=worker.own | frozenset(own),
        )
        for worker in workers
    ]


def _short(model: str, others: Sequence[str]) -> str:
    """Return a simulated model's name without its parameters, where no other system is called so."""
    short = model.partition("?")[0].removesuffix(":")
    same = sum(other.partition("?")[0].removesuffix(":") == short for other in others)
    return short if same == 1 else model


def _once(first: WorkerSpec, model: str, name: str) -> WorkerSpec:
    """Return another model asked once what the first voter is asked."""
    spread = first.options.temperature is not None and len(set(first.options.temperature)) > 1
    return replace(
        first,
        name=name,
        section=name,
        model=model,
        temperature=None if spread else first.temperature,
        span=None,
    )


def study_of(
    systems: tuple[System, ...],
    truth: Any,
    cell: Cell,
    workers: Sequence[WorkerSpec],
    prompts: Prompts,
    items: Items,
    variables: Mapping[str, Any],
) -> Study:
    """Say what is measured, with the labels of the items.

    Raises:
        OptionError: there are no such labels, a prompt holds what is to be found, or is the same for
            every item; names the line or the voter, and the way out.
    """
    reading = reading_of(workers[0].options) or Reading("open")
    labels = labels_of(truth, items, variables, reading)
    if labels.part is not None:
        texts = [(cell.preamble, PREAMBLE_PLACE), (cell.system, "%system")]
        blocks = [block for worker in workers for block in worker.blocks]
        texts += [(text, block.where) for block in blocks for text in block.texts]
        refuse_label(prompts, labels.part, texts, items.first)
    for worker in workers:
        if not names_item(prompts, cell.preamble, cell.system, *worker.texts):
            raise OptionError(
                f"--each: the prompt of {worker.name[:60]} contains no {{{{item}}}} or "
                f"{{{{index}}}}, so it would be the same for every item"
            )
    return Study(systems, labels)


def refuse_study(cell_layer: Layer, panels: Sequence[PanelBlock]) -> None:
    """Refuse what belongs to a study where there are no items."""
    if panels:
        block = panels[0].block
        raise OptionError(
            f"line {block.line}: {block.where} compares panels over many items; add --each ITEMS"
        )
    for name in ("truth", "compare", "weights", "sure"):
        if name in cell_layer and cell_layer[name] is not TABLE[name].default:
            raise OptionError(
                f"{TABLE[name].flags[0]} measures votes over many items; add --each ITEMS"
            )


def measured_layers(
    layers: Layers, cell_layer: Layer, judged: bool, panels: Sequence[PanelBlock]
) -> Layers:
    """Stack the layers of a vote that is measured: every vote is asked.

    Args:
        judged: whether the cell has a %judge.

    Raises:
        OptionError: a rule that no study can measure yet; names the option and the way out.
    """
    options = layers.options()
    rules = [(options.pick, options.ties)]
    rules += [(p.own.get("pick", options.pick), p.own.get("ties", options.ties)) for p in panels]
    if judged or any(asks_judge(*rule) for rule in rules):
        raise OptionError(
            "--each: a judge runs once per cell and cannot be measured over many items; choose "
            "another --pick or --ties, or run the cell in a loop"
        )
    if cell_layer.get("stop", "all") != "all" or cell_layer.get("launch", "all") != "all":
        flag = (
            "--launch lazy"
            if cell_layer.get("launch", "all") != "all"
            else f"--stop {options.stop.partition(':')[0]}"
        )
        raise OptionError(
            f"--each always asks for every vote, so {flag} cannot be used with it; --compare "
            f"stop=clinch computes from the same votes what it would have saved"
        )
    if options.weights is not None and options.truth is None:
        raise OptionError("--weights learned needs labels to learn from; add --truth LABELS")
    if options.sure is not None and options.truth is None:
        raise OptionError("--sure needs labels to tell which answers are right; add --truth LABELS")
    return layers.over({"stop": "all", "launch": "all"})

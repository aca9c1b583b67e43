"""What is measured on the items of a study: which systems, and which calls they need for an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from parallm_magics.cell.blocks import Block
from parallm_magics.cell.options import TABLE, Options
from parallm_magics.cell.worker_specs import Given, Merge, WorkerSpec, vote_specs
from parallm_magics.errors import ModelError, OptionError, nearest, translated
from parallm_magics.voting.pick_rules import asks_judge, rule_where

SystemKind = Literal["single", "vote", "stop", "model", "panel"]

SINGLE, VOTE = "single", "vote"
_TAKEN = (SINGLE, VOTE)


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
    own: Given
    voters: tuple[tuple[Block, Given], ...]
    name: str


def cut_panels(
    blocks: Sequence[tuple[Block, Given]],
) -> tuple[list[tuple[Block, Given]], list[PanelBlock]]:
    """The cell's own voters, and its panels: a `%voter` belongs to the `%panel` above it.

    Raises:
        OptionError: a panel's name that would be confused with another system's.
    """
    own: list[tuple[Block, Given]] = []
    panels: list[PanelBlock] = []
    for block, given in blocks:
        if block.word == "panel":
            name = block.name or f"panel{len(panels) + 1}"
            if name in _TAKEN or any(name == panel.name for panel in panels):
                raise OptionError(
                    f"line {block.line}: {block.where} cannot be called {name!r}, as that is "
                    "another system's name; give it another one"
                )
            panels.append(PanelBlock(block, given, (), name))
        elif block.word == "voter" and panels:
            last = panels[-1]
            own_rule = dict(last.own)
            if "weight" in given:
                own_rule.setdefault("pick", rule_where(lambda rule: rule.weighs))
            panels[-1] = replace(last, voters=(*last.voters, (block, given)), own=own_rule)
        elif block.word == "voter":
            own.append((block, given))
    return own, panels


def study_seats(
    options: Options,
    voters: Sequence[tuple[Block, Given]],
    panels: Sequence[PanelBlock],
    merge_above: Callable[[Given], tuple[Options, Merge]],
    check_model: Callable[[str], object],
) -> tuple[list[WorkerSpec], tuple[System, ...]]:
    """The calls that each item needs, and the systems that are made of them.

    The single call is the first voter's, or each in turn where all repeat one prompt on one model;
    it and the early stop are told from the votes and need no calls of their own.

    Args:
        merge_above: from a panel's own options to all it stands under, and how its voters' are laid
            over them.
        check_model: raises a ModelError where there is no model of a name.

    Raises:
        OptionError: a system that nobody can tell which it is.
    """
    _, merged = merge_above({})
    seats = vote_specs(options, voters, merged)
    main = tuple(range(len(seats)))
    found = {SINGLE: System(SINGLE, "single", main, options)} if len(main) > 1 else {}
    found[VOTE] = System(VOTE, "vote", main, options)
    for panel in panels:
        mine = _panel_seats(panel, merge_above)
        places = tuple(range(len(seats), len(seats) + len(mine)))
        found[panel.name] = System(panel.name, "panel", places, merge_above(panel.own)[0])
        seats += mine
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
            short = _short(name, [*found, *options.compare])
            found[short] = System(short, "model", (len(seats),), options)
            seats.append(_once(seats[0], name, short))
    return seats, tuple(found.values())


def _check_model(name: str, check: Callable[[str], object], known: Sequence[str]) -> None:
    translated(
        lambda: check(name),
        lambda error: OptionError(
            f"--compare: {name[:60]!r} is neither single, stop=clinch nor the name of a %panel"
            f"{nearest(name, known)}; as a model: {error}"
        ),
        ModelError,
    )


def _panel_seats(
    panel: PanelBlock, merge_above: Callable[[Given], tuple[Options, Merge]]
) -> list[WorkerSpec]:
    """A panel's voters; without a number of its own it has as many as it names, else as the cell."""
    block, own = panel.block, panel.own
    options, merged = merge_above(own)
    if "n" not in own and (panel.voters or len(own.get("model", ())) > 1):
        options = replace(options, n=None)
    seats = vote_specs(options, panel.voters, merged, f"line {block.line}: {block.where}")
    texts = block.text.value or block.system is not None
    return [
        replace(
            seat,
            name=f"{panel.name}.{seat.name}",
            section=panel.name,
            above=block if texts else None,
            own=seat.own | frozenset(own),
        )
        for seat in seats
    ]


def _short(model: str, others: Sequence[str]) -> str:
    """A simulated model's name without its parameters, where no other system is called so."""
    short = model.partition("?")[0].removesuffix(":")
    same = sum(other.partition("?")[0].removesuffix(":") == short for other in others)
    return short if same == 1 else model


def _once(first: WorkerSpec, model: str, name: str) -> WorkerSpec:
    """Another model asked once what the first voter is asked."""
    spread = first.options.temperature is not None and len(set(first.options.temperature)) > 1
    return replace(
        first,
        name=name,
        section=name,
        model=model,
        temperature=None if spread else first.temperature,
        span=None,
    )


def refuse_study(given: Given, panels: Sequence[PanelBlock]) -> None:
    """Refuse what belongs to a study where there are no items.

    Raises:
        OptionError: names the option or the block, and the form.
    """
    if panels:
        block = panels[0].block
        raise OptionError(
            f"line {block.line}: {block.where} is compared with the cell's vote on many items; "
            "add --each ITEMS"
        )
    for name in ("truth", "compare", "weights"):
        if name in given and given[name] is not TABLE[name].default:
            raise OptionError(
                f"{TABLE[name].flags[0]} measures votes on many items; add --each ITEMS"
            )


def refuse_unmeasured(
    options: Options, given: Given, judged: bool, panels: Sequence[PanelBlock]
) -> None:
    """Refuse rules that no study can measure yet.

    Args:
        judged: whether the cell has a %judge.

    Raises:
        OptionError: names the option and the way out.
    """
    rules = [(options.pick, options.ties)]
    rules += [(p.own.get("pick", options.pick), p.own.get("ties", options.ties)) for p in panels]
    if judged or any(asks_judge(*rule) for rule in rules):
        raise OptionError(
            "--each: a judge is asked once a cell and cannot be measured on many items; take "
            "another --pick and --ties, or run the cell in a loop"
        )
    if given.get("stop", "all") != "all" or given.get("launch", "all") != "all":
        flag = (
            "--launch lazy"
            if given.get("launch", "all") != "all"
            else f"--stop {options.stop.partition(':')[0]}"
        )
        raise OptionError(
            f"--each asks every vote of every item, so {flag} has no part in it; "
            "--compare stop=clinch tells from the same votes what it would have saved"
        )
    if options.weights is not None and options.truth is None:
        raise OptionError("--weights learned needs --truth LABELS to learn from")

"""From a parsed cell to a plan: every call rendered and every rule settled, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from parallm_magics.cell.auxiliary_calls import Asides, FollowUp, Guard
from parallm_magics.cell.blocks import Block, Cell, Text
from parallm_magics.cell.calls import Calls, ParseModel
from parallm_magics.cell.items import Items
from parallm_magics.cell.near_misses import look_over
from parallm_magics.cell.option_layers import merge, read_keywords, read_tokens
from parallm_magics.cell.options import CELLS, TABLE, WORKERS, Options, reading_of
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.study_plan import (
    PanelBlock,
    System,
    cut_panels,
    refuse_study,
    refuse_unmeasured,
    study_seats,
)
from parallm_magics.cell.true_labels import Labels, labels_of
from parallm_magics.cell.worker_specs import Given, Merge, WorkerSpec, fanout_specs, vote_specs
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import CellSyntaxError, OptionError
from parallm_magics.voting.pick_rules import PICKS, asks_judge, rule_where


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured where a vote is held on each of many items.

    Attributes:
        systems: the ways to answer an item that are compared.
        labels: what is known of the items.
    """

    systems: tuple[System, ...]
    labels: Labels


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cell stands for.

    Attributes:
        magic: "fanout" or "vote": by which its cell is written.
        pattern: what it is a run of: "fanout", "vote", or "study" for votes on many items.
        options: the cell's options.
        calls: every worker's call, in the cell's order.
        synthesis: the merging call, or None.
        judge: the judge's call, or None.
        guards: the guardrails beside the work.
        aggregate: "join", "synthesis" or "none".
        shared: the rendered preamble; empty where items make it differ.
        study: what is measured; None unless it is a vote on each of many items.
        notes: what the user should know, one line each.
    """

    magic: str
    pattern: str
    options: Options
    calls: Calls
    synthesis: FollowUp | None = None
    judge: FollowUp | None = None
    guards: tuple[Guard, ...] = ()
    aggregate: str = "join"
    shared: str = ""
    notes: tuple[str, ...] = ()
    study: Study | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All calls at once; of items that can be read once, what is left of them."""
        found = self.calls.rendered or self.calls.read()
        return tuple(call for call in found if isinstance(call, Task))

    def least(self, workers: int) -> int:
        """How many of so many workers must succeed."""
        return least_successes(self.options.min_success, workers)


def make_plan(
    cell: Cell,
    variables: Mapping[str, Any],
    parse_model: ParseModel,
    settings: Mapping[str, Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Plan:
    """Render every prompt and settle every option.

    Args:
        cell: the cell, cut into blocks.
        variables: what `{{name}}` may stand for.
        parse_model: from a model's text to the model.
        settings: options that hold where the cell says nothing.
        keywords: options that a script gives; they win over the cell's line.

    Raises:
        ParallmError: whatever is wrong with the cell; nothing has been called by then.
    """
    base = {name: value for name, value in (settings or {}).items() if _holds(name, cell.magic)}
    spoken = read_keywords(keywords or {}, cell.magic)
    blind = _is_blind(cell, {**base, **spoken})
    looks: tuple[str, ...] = ()
    if not blind:
        cell, looks = look_over(cell, variables, each=_by_item(cell, spoken))
    prompts = Prompts(variables, blind, {block.name: block for block in cell.blocks if block.name})
    typed = read_tokens(cell.arguments, cell.magic, prompts.option)
    given = {**typed, **spoken}
    if cell.system is not None and "system" in given:
        raise CellSyntaxError(
            "line 1: --system and a %system text exclude each other; keep one of them"
        )
    options = merge(base, given)
    parts = _parts(cell, prompts)
    judge, judges = parts.judge
    voters = [own for _, own in parts.workers]
    implied = _implied(options, {**base, **given}, judge, judges, voters)
    implied |= _launched(options, given)
    base, options = {**base, **implied}, replace(options, **implied)

    def merged(own: Mapping[str, Any]) -> Options:
        return merge(base, given, own)

    items = _items(cell, options, prompts)
    study = None
    if cell.magic == "fanout":
        seats = fanout_specs(options, given, parts.workers, merged, guarded=bool(parts.guards))
    elif items is None:
        refuse_study(given, parts.panels)
        seats = vote_specs(options, parts.workers, merged)
    else:
        refuse_unmeasured(options, given, parts.judge[0] is not None, parts.panels)
        options = replace(options, stop="all", launch="all")
        seats, systems = study_seats(
            options, parts.workers, parts.panels, partial(_above, base, given), parse_model
        )
        reading = reading_of(seats[0].options) or Reading("open")
        study = Study(systems, labels_of(options.truth, items, variables, reading))
        _check_texts(study.labels, cell, seats, prompts, items.first)
    labels = study.labels if study is not None else None
    calls = Calls(cell, seats, prompts, items, parse_model, labels)
    _check_minimum(options.min_success, calls.known)
    block, own = parts.synthesis
    aggregate = _aggregate(options, block)
    asides = Asides(cell, prompts, parse_model, merged, options)
    asked = asks_judge(options.pick, options.ties)
    return Plan(
        magic=cell.magic,
        pattern=cell.magic if study is None else "study",
        options=options,
        calls=calls,
        synthesis=asides.synthesis(block, own, calls) if aggregate == "synthesis" else None,
        judge=asides.judge(judge, judges) if asked and cell.magic == "vote" else None,
        guards=asides.guards(parts.guards, calls),
        aggregate=aggregate,
        shared=calls.head[0].shared if _one_preamble(cell, prompts, calls) else "",
        notes=(*cell.notes, *looks, *calls.unspread, *prompts.notes),
        study=study,
    )


def _above(
    base: Mapping[str, Any], given: Mapping[str, Any], panel: Given
) -> tuple[Options, Merge]:
    """A panel's options, and how those of its voters are put over them."""
    return merge(base, given, panel), lambda own: merge(base, given, panel, own)


def _check_texts(
    labels: Labels, cell: Cell, seats: Sequence[WorkerSpec], prompts: Prompts, item: Any
) -> None:
    """Refuse prompts that hold what is to be found, and such as are the same for every item.

    Raises:
        OptionError: names the line or the voter, and the way out.
    """
    texts = [(cell.preamble, "the text above the first block"), (cell.system, "%system")]
    blocks = [block for seat in seats for block in seat.blocks]
    if labels.part is not None:
        whole = [*texts, *((text, block.where) for block in blocks for text in block.texts)]
        prompts.refuse_part(labels.part, whole, item)
    for seat in seats:
        if not prompts.names_item(cell.preamble, cell.system, *seat.texts):
            raise OptionError(
                f"--each: the prompt of {seat.name[:60]} says neither {{{{item}}}} nor {{{{index}}}}, so it "
                "would be asked the same of every item"
            )


def _holds(name: str, magic: str) -> bool:
    """Whether a setting holds for this magic: how %%vote picks is no default of a section."""
    where = TABLE[name].where
    return magic in where or not where & CELLS


def _launched(options: Options, given: Mapping[str, Any]) -> dict[str, Any]:
    """How votes are launched where the cell wants every one of them.

    Raises:
        OptionError: the cell wants two things that exclude each other.
    """
    if not (options.launch == "lazy" and options.stop == "all" and "stop" in given):
        return {}
    if "launch" in given:
        raise OptionError(
            "--stop all and --launch lazy exclude each other: lazy leaves out votes that cannot "
            "change the outcome; take one of them off"
        )
    return {"launch": "all"}


def _is_blind(cell: Cell, given: Mapping[str, Any]) -> bool:
    """Whether no variable is put in, the options' own included: so it is known before they are read."""
    lines = [cell.arguments, *(block.arguments for block in cell.blocks)]
    typed = any(token.text == "--no-vars" for tokens in lines for token in tokens)
    return typed or bool(given.get("no_vars"))


def _by_item(cell: Cell, spoken: Mapping[str, Any]) -> bool:
    """Whether the prompts are made of items; like `_is_blind` known before the options are read."""
    typed = any(token.text.partition("=")[0] == "--each" for token in cell.arguments)
    return typed or "each" in spoken


# The words whose blocks make workers, guards, a judge and a synthesis.
_PROMPTING = ("section", "voter")


@dataclass(frozen=True, slots=True)
class _Parts:
    """A cell's blocks, each with its options, by what they are for."""

    workers: Sequence[tuple[Block, Given]]
    guards: Sequence[tuple[Block, Given]]
    panels: Sequence[PanelBlock]
    judge: tuple[Block | None, Given]
    synthesis: tuple[Block | None, Given]


def _parts(cell: Cell, prompts: Prompts) -> _Parts:
    blocks = _read_blocks(cell, prompts)

    def of(*words: str) -> list[tuple[Block, Given]]:
        return [pair for pair in blocks if pair[0].word in words]

    voters, panels = cut_panels(blocks)
    return _Parts(
        voters if cell.magic == "vote" else of(*_PROMPTING),
        of("guardrail"),
        panels,
        next(iter(of("judge")), (None, {})),
        next(iter(of("synthesis")), (None, {})),
    )


def _implied(
    options: Options,
    spoken: Mapping[str, Any],
    judge: Block | None,
    judging: Mapping[str, Any],
    voters: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The rule that a block or an option stands for where no rule was named.

    Raises:
        OptionError: another rule was named, in which it would have no part.
    """
    scores, weighs = rule_where(lambda rule: rule.asks == "score"), rule_where(lambda r: r.weighs)
    if judge is not None and not asks_judge(options.pick, options.ties):
        if "pick" in spoken:
            named = ", ".join(f"--pick {name}" for name, rule in PICKS.items() if rule.asks)
            raise OptionError(
                f"line {judge.line}: %judge has no part in --pick {options.pick}; "
                f"name {named} or --ties judge"
            )
        asked_for = "score" if "score" in judging else "winner"
        return {"pick": rule_where(lambda rule: rule.asks == asked_for)}
    if judge is not None and "score" in judging and PICKS[options.pick].asks != "score":
        raise OptionError(f"line {judge.line}: --score on %judge goes with --pick {scores}")
    if any("weight" in own for own in voters) and not PICKS[options.pick].weighs:
        if "pick" in spoken:
            raise OptionError(
                f"--weight has no part in --pick {options.pick}; it is --pick {weighs}"
            )
        return {"pick": weighs}
    return {}


def _items(cell: Cell, options: Options, prompts: Prompts) -> Items | None:
    """What --each runs over; None without it."""
    if options.each is None:
        return None
    items = prompts.items(options.each)
    if not prompts.names_item(*_texts(cell)):
        raise OptionError(
            "--each: no prompt says {{item}} or {{index}}, so every call would be the same"
        )
    return items


def _aggregate(options: Options, block: Block | None) -> str:
    """How one text is made of the sections; a %synthesis block says so by standing there."""
    if block is None:
        return options.aggregate or "join"
    if options.aggregate in ("join", "none"):
        raise OptionError(
            f"line {block.line}: --aggregate {options.aggregate} and a %synthesis block exclude each other"
        )
    return "synthesis"


def _texts(cell: Cell) -> list[Text | None]:
    """The texts that make the workers' prompts."""
    blocks = [block for block in cell.blocks if block.word in WORKERS]
    own = [text for block in blocks for text in (block.text, block.system)]
    return [cell.preamble, cell.system, *own]


def _one_preamble(cell: Cell, prompts: Prompts, calls: Calls) -> bool:
    """Whether all prompts begin with one text that is known now."""
    return bool(calls.head) and not (calls.by_item and prompts.names_item(cell.preamble))


def least_successes(minimum: str, workers: int) -> int:
    """The whole number of successes that a count or a percentage of the workers stands for."""
    if minimum.endswith("%"):
        return math.ceil(Fraction(minimum[:-1]) / 100 * workers)
    return int(minimum)


def _check_minimum(minimum: str, workers: int | None) -> None:
    if workers is not None and least_successes(minimum, workers) > workers:
        raise OptionError(f"--min-success {minimum}: there are only {workers} workers")


def _read_blocks(cell: Cell, prompts: Prompts) -> list[tuple[Block, Given]]:
    found: list[tuple[Block, Given]] = []
    for block in cell.blocks:
        own = read_tokens(block.arguments, block.word, partial(prompts.option, line=block.line))
        if block.system is not None and "system" in own:
            raise CellSyntaxError(
                f"line {block.line}: {block.where} has --system and a %system text; keep one of them"
            )
        if block.word == "guardrail" and not block.text.value:
            raise CellSyntaxError(
                f"line {block.line}: {block.where} is empty; write its prompt below it, as a guard "
                "sees its own text only"
            )
        if block.word in _PROMPTING and not block.text.value and not cell.preamble.value:
            raise CellSyntaxError(
                f"line {block.line}: {block.where} is empty, and there is no text above the first "
                "block; write its prompt below it"
            )
        found.append((block, own))
    if not cell.preamble.value and not any(block.word in _PROMPTING for block in cell.blocks):
        form = "a prompt" if cell.magic == "vote" else "%section NAME, and its prompt below it"
        raise CellSyntaxError(f"the cell holds no prompt; below %%{cell.magic} write {form}")
    return found

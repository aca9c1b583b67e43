"""From a parsed cell to a plan: every call rendered and every rule settled, before anything runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from parallm_magics.cell import near_misses
from parallm_magics.cell.auxiliary_calls import AuxiliaryCalls, FollowUp, Guard
from parallm_magics.cell.batch_option import batched_layers
from parallm_magics.cell.blocks import Block, Cell
from parallm_magics.cell.call_options import WORKER_WORDS
from parallm_magics.cell.calls import Calls
from parallm_magics.cell.enforcing import refuse_formless
from parallm_magics.cell.item_prompts import names_item
from parallm_magics.cell.items import Items
from parallm_magics.cell.option_entry import MAGICS
from parallm_magics.cell.option_layers import NOTHING, Layer, Layers, read_keywords, read_tokens
from parallm_magics.cell.options import TABLE, Options
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.rendering import ParseModel, Renderer
from parallm_magics.cell.schema_option import with_schema
from parallm_magics.cell.study_plan import (
    PanelBlock,
    Study,
    System,
    cut_panels,
    measured_layers,
    refuse_study,
    study_of,
    study_specs,
)
from parallm_magics.cell.worker_specs import WorkerSpec, fanout_specs, vote_specs
from parallm_magics.core.tasks import Task
from parallm_magics.errors import CellSyntaxError, OptionError
from parallm_magics.voting.pick_rules import PICKS, asks_judge, rule_where


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

    @property
    def auxiliary(self) -> tuple[Task, ...]:
        """The calls that are no worker's: of guards, then of what follows, whose prompts are still open."""
        guards = (task for guard in self.guards for task in guard.tasks)
        return (*guards, *(each.task for each in (self.judge, self.synthesis) if each is not None))


def make_plan(
    cell: Cell,
    variables: Mapping[str, Any],
    parse_model: ParseModel,
    settings: Layer | None = None,
    keywords: Layer | None = None,
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
    settings = {name: value for name, value in (settings or {}).items() if _holds(name, cell.magic)}
    keywords = read_keywords(keywords, cell.magic) if keywords else {}
    cell, prompts = _readable(cell, variables, {**settings, **keywords})
    cell_layer = _cell_layer(cell, prompts, keywords)
    parts = _parts(cell, prompts)
    layers = _layers(settings, cell_layer, parts)
    each = layers.options().each
    items = None if each is None else _items(cell, each, prompts)
    if cell.magic == "vote" and items is not None:
        has_judge = parts.judge is not _NO_BLOCK
        layers = measured_layers(layers, cell_layer, has_judge, parts.panels)
    layers = batched_layers(layers, cell_layer, parts.asked, parts.guards)
    workers, systems = _workers(cell, layers, cell_layer, parts, parse_model)
    options, study = layers.options(), None
    if items is not None and systems:
        study = study_of(systems, options.truth, cell, workers, prompts, items, variables)
    labels = study.labels if study is not None else None
    calls = Calls(Renderer(cell, workers, prompts, parse_model, items, labels), items)
    if cell_layer.get("enforce") == "on" and not parts.guards:
        refuse_formless(calls.kinds)
    if calls.known is not None and least_successes(options.min_success, calls.known) > calls.known:
        raise OptionError(
            f"--min-success {options.min_success}: there are only {calls.known} workers"
        )
    merged = options.aggregate == "synthesis" or parts.synthesis is not _NO_BLOCK
    spans = [worker.span for worker in workers if worker.span is not None]
    judged = cell.magic == "vote" and asks_judge(options.pick, options.ties)
    auxiliary = partial(AuxiliaryCalls, cell, prompts, parse_model, layers)
    return Plan(
        magic=cell.magic,
        pattern=cell.magic if study is None else "study",
        options=options,
        calls=calls,
        synthesis=auxiliary().synthesis(*parts.synthesis, calls) if merged else None,
        judge=auxiliary().judge(*parts.judge) if judged else None,
        guards=auxiliary().guards(parts.guards, calls) if parts.guards else (),
        aggregate="synthesis" if merged else options.aggregate or "join",
        shared=calls.shared,
        notes=(*cell.notes, *(_unspread(spans, items) if spans else ()), *prompts.notes),
        study=study,
    )


def _holds(name: str, magic: str) -> bool:
    """Tell whether a setting holds for this magic: how %%vote picks is no default of a section."""
    where = TABLE[name].where
    return magic in where or not where & MAGICS


def _readable(cell: Cell, variables: Mapping[str, Any], known: Layer) -> tuple[Cell, Prompts]:
    """Look the cell over, and find what puts its variables in.

    Args:
        known: the options that are known before the cell's own are read.
    """
    lines = [cell.arguments, *(block.arguments for block in cell.blocks)]
    words = [token.text for tokens in lines for token in tokens]
    blind = bool(known.get("no_vars")) or "--no-vars" in words
    if not blind and any(sign in cell.source for sign in near_misses.VARIABLE_SIGNS):
        by_item = "each" in known or any(
            token.text.partition("=")[0] == "--each" for token in cell.arguments
        )
        cell = near_misses.look_over(cell, variables, each=by_item)
    named = {block.name: block for block in cell.blocks if block.name}
    return cell, Prompts(variables, blind, named)


def _cell_layer(cell: Cell, prompts: Prompts, keywords: Layer) -> Layer:
    """Read the options that the cell itself gives, those of a script over those of its line."""
    typed = read_tokens(cell.arguments, cell.magic, prompts.option) if cell.arguments else {}
    layer = with_schema({**typed, **keywords}, prompts)
    if cell.system is not None and "system" in layer:
        raise CellSyntaxError(
            "line 1: --system and a %system block cannot be combined; keep one of them"
        )
    return layer


_NO_BLOCK: tuple[None, Layer] = (None, NOTHING)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A cell's blocks, each with its options, by what they are for."""

    workers: Sequence[tuple[Block, Layer]]
    guards: Sequence[tuple[Block, Layer]]
    panels: Sequence[PanelBlock]
    judge: tuple[Block | None, Layer]
    synthesis: tuple[Block | None, Layer]

    @property
    def asked(self) -> Sequence[tuple[Block, Layer]]:
        """All blocks that workers are made of: sections, voters, and panels with their voters."""
        panels = (pair for each in self.panels for pair in ((each.block, each.own), *each.voters))
        return [*self.workers, *panels]


def _parts(cell: Cell, prompts: Prompts) -> _Parts:
    """Sort the blocks by what they are for."""
    by_word: dict[str, list[tuple[Block, Layer]]] = defaultdict(list)
    blocks = [(block, _block_options(block, cell, prompts)) for block in cell.blocks]
    for block, own in blocks:
        by_word[block.word].append((block, own))
    workers = by_word["voter" if cell.magic == "vote" else "section"]
    if not cell.preamble.value and not (by_word["voter"] or by_word["section"]):
        form = "a prompt" if cell.magic == "vote" else "%section NAME with a prompt below it"
        raise CellSyntaxError(f"the cell has no prompt; below %%{cell.magic} write {form}")
    panels: Sequence[PanelBlock] = ()
    if by_word["panel"]:
        workers, panels = cut_panels(blocks)
    return _Parts(
        workers=workers,
        guards=by_word["guardrail"],
        panels=panels,
        judge=next(iter(by_word["judge"]), _NO_BLOCK),
        synthesis=next(iter(by_word["synthesis"]), _NO_BLOCK),
    )


def _block_options(block: Block, cell: Cell, prompts: Prompts) -> Layer:
    """Read the options of a block's line.

    Raises:
        CellSyntaxError: the block says nothing, or says one thing twice.
    """
    own: Layer = NOTHING
    if block.arguments:
        own = read_tokens(block.arguments, block.word, partial(prompts.option, line=block.line))
        own = with_schema(own, prompts, block.line)
    if block.system is not None and "system" in own:
        raise CellSyntaxError(
            f"line {block.line}: {block.where} has both --system and a %system block; keep one of "
            f"them"
        )
    if not block.text.value and block.word == "guardrail":
        raise CellSyntaxError(
            f"line {block.line}: {block.where} is empty; write a prompt below it, since a guard "
            f"sees only its own text"
        )
    if not block.text.value and block.word in ("section", "voter") and not cell.preamble.value:
        raise CellSyntaxError(
            f"line {block.line}: {block.where} is empty and the cell has no text above its first "
            f"block; write a prompt below it"
        )
    return own


def _layers(settings: Layer, cell_layer: Layer, parts: _Parts) -> Layers:
    """Stack the layers of the cell's options, the rule and the launch that others imply on top."""
    layers = Layers((settings, cell_layer))
    options = layers.options()
    weighed = any("weight" in own for _, own in parts.workers)
    if weighed or parts.judge is not _NO_BLOCK:
        layers = layers.over(_implied_rule(options, {**settings, **cell_layer}, parts, weighed))
    if options.launch == "lazy" and options.stop == "all" and "stop" in cell_layer:
        if "launch" in cell_layer:
            raise OptionError(
                "--stop all and --launch lazy cannot be combined: lazy skips votes that cannot "
                "change the outcome; remove one of them"
            )
        layers = layers.over({"launch": "all"})
    return layers


def _implied_rule(options: Options, chosen: Layer, parts: _Parts, weighed: bool) -> Layer:
    """Return the rule that a block or an option stands for where no rule was named.

    Raises:
        OptionError: another rule was named, in which it would have no part.
    """
    judge, judging = parts.judge
    rule, asked_for = PICKS[options.pick], "score" if "score" in judging else "winner"
    if judge is not None and not asks_judge(options.pick, options.ties):
        if "pick" in chosen:
            named = ", ".join(f"--pick {name}" for name, rule in PICKS.items() if rule.asks)
            raise OptionError(
                f"line {judge.line}: %judge is not used by --pick {options.pick}; use {named} or "
                f"--ties judge"
            )
        return {"pick": rule_where(lambda rule: rule.asks == asked_for)}
    if "score" in judging and rule.asks != "score":
        scores = rule_where(lambda rule: rule.asks == "score")
        raise OptionError(
            f"line {judge.line if judge else 1}: --score on %judge works only with --pick {scores}"
        )
    if weighed and not rule.weighs:
        weighs = rule_where(lambda rule: rule.weighs)
        if "pick" in chosen:
            raise OptionError(f"--weight is not used by --pick {options.pick}; use --pick {weighs}")
        return {"pick": weighs}
    return NOTHING


def _items(cell: Cell, each: Any, prompts: Prompts) -> Items:
    """Find what --each runs over."""
    items = prompts.find_items(each)
    prompting = [
        text for block in cell.blocks if block.word in WORKER_WORDS for text in block.texts
    ]
    if not names_item(prompts, cell.preamble, cell.system, *prompting):
        raise OptionError(
            "--each: no prompt contains {{item}} or {{index}}, so all calls would be the same"
        )
    return items


def _workers(
    cell: Cell, layers: Layers, cell_layer: Layer, parts: _Parts, parse_model: ParseModel
) -> tuple[list[WorkerSpec], tuple[System, ...]]:
    """Multiply the workers of a round; where a vote is measured, find the systems that they make."""
    if cell.magic == "fanout":
        return fanout_specs(layers, cell_layer, parts.workers, guarded=bool(parts.guards)), ()
    options = layers.options()
    if options.each is not None:
        return study_specs(options, layers, parts.workers, parts.panels, parse_model)
    refuse_study(cell_layer, parts.panels)
    return vote_specs(options, layers, parts.workers), ()


def _unspread(spans: Sequence[tuple[float, float]], items: Items | None) -> list[str]:
    """Return a note for each range that only one worker has, so that it cannot be spread."""
    return [
        f"-t {low:g}..{high:g}: the range has only one worker, which takes {low:g}"
        for low, high in spans
        if items is None or items.known == 1
    ]


def least_successes(minimum: str, workers: int) -> int:
    """Return the whole number of successes that a count or a percentage of the workers stands for."""
    if minimum.endswith("%"):
        return math.ceil(Fraction(minimum[:-1]) / 100 * workers)
    return int(minimum)

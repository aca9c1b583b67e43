"""From a parsed cell to a plan: every call rendered and every rule settled, before anything runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from parallm_magics.cell.blocks import RUNNING, Block, Cell
from parallm_magics.cell.given import merge, read_keywords, read_tokens
from parallm_magics.cell.options import Options, reading_of
from parallm_magics.cell.prompts import Prompts, asking
from parallm_magics.cell.seats import Seat, fanout_seats, vote_seats
from parallm_magics.cell.variables import Part
from parallm_magics.errors import CellSyntaxError, ModelError, OptionError
from parallm_magics.types import Model, Reading, Task

# A panel is watched as it is written; for a large map the stream's CPU per token buys nothing.
STREAMED = 200
SILENCE, FIRST = 15.0, 60.0

ParseModel = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class Section:
    """One key of the result with the workers that answer it.

    Attributes:
        key: the name in the result.
        tasks: the places of its workers.
        reading: how its answers are read, or None for free text.
        flag: the label that marks it, or None.
    """

    key: str
    tasks: tuple[int, ...]
    reading: Reading | None
    flag: str | None = None


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The call that merges the sections, its text complete but for their answers.

    Attributes:
        task: the call, with the prompt still empty.
        parts: its text; the variables left in it are `outputs` and `task`.
    """

    task: Task
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cell stands for.

    Attributes:
        magic: "fanout" or "vote".
        options: the cell's options.
        tasks: every worker's call, in the cell's order.
        sections: the result's keys, in order.
        synthesis: the merging call, or None.
        aggregate: "join", "synthesis" or "none".
        shared: the rendered preamble; empty where items make it differ.
        notes: what the user should know, one line each.
    """

    magic: str
    options: Options
    tasks: tuple[Task, ...]
    sections: tuple[Section, ...]
    synthesis: Synthesis | None = None
    aggregate: str = "join"
    shared: str = ""
    notes: tuple[str, ...] = ()

    @property
    def least(self) -> int:
        """How many workers must succeed."""
        return least_successes(self.options.min_success, len(self.tasks))


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
    base = {**(settings or {})}
    spoken = read_keywords(keywords or {}, cell.magic)
    blind = any(
        token.text == "--no-vars"
        for tokens in (cell.arguments, *(block.arguments for block in cell.blocks))
        for token in tokens
    ) or bool({**base, **spoken}.get("no_vars"))
    prompts = Prompts(variables, blind)
    typed = read_tokens(cell.arguments, cell.magic, prompts.option)
    given = {**typed, **spoken}
    if cell.system is not None and "system" in given:
        raise CellSyntaxError(
            "line 1: --system and a %system text exclude each other; keep one of them"
        )
    options = merge(base, given)
    blocks = _read_blocks(cell, prompts)
    workers = [(block, own) for block, own in blocks if block.word in ("section", "voter")]
    notes = _indented(cell)
    if notes and cell.magic == "fanout" and not workers and not _multiplied(options):
        raise CellSyntaxError(notes[0])
    seat_all = fanout_seats if cell.magic == "fanout" else vote_seats
    seats = seat_all(options, given, workers, lambda own: merge(base, given, own))
    items = prompts.items(options.each) if options.each is not None else None
    tasks, sections = _expand(cell, seats, prompts, items, parse_model)
    _check_minimum(options.min_success, len(tasks))
    synthesis = None
    aggregate = options.aggregate or "join"
    block = next((pair for pair in blocks if pair[0].word == "synthesis"), None)
    if block and options.aggregate in ("join", "none"):
        raise OptionError(
            f"line {block[0].line}: --aggregate {options.aggregate} and a %synthesis block exclude each other"
        )
    if block or aggregate == "synthesis":
        aggregate = "synthesis"
        own = block[1] if block else {}
        synthesis = _synthesis(
            cell,
            block[0] if block else None,
            merge(base, given, own),
            prompts,
            sections,
            parse_model,
            "system" in own,
        )
    return Plan(
        magic=cell.magic,
        options=options,
        tasks=tasks,
        sections=sections,
        synthesis=synthesis,
        aggregate=aggregate,
        shared=tasks[0].shared if len({task.shared for task in tasks}) == 1 else "",
        notes=(*notes, *prompts.notes),
    )


def _multiplied(options: Options) -> bool:
    """Whether one prompt makes several workers."""
    return options.n is not None or len(options.model) > 1 or options.each is not None


def _indented(cell: Cell) -> list[str]:
    """A note where directives have become text by the blanks before them."""
    if not cell.indented:
        return []
    lines = ", ".join(str(number) for number in cell.indented[:5])
    noun = "line" if len(cell.indented) == 1 else "lines"
    what = "an indented % word is text, not a block (JupyterLab indents while you type)"
    return [f"{noun} {lines}: {what}; remove the blanks before it to begin a block"]


def least_successes(minimum: str, workers: int) -> int:
    """The whole number of successes that a count or a percentage of the workers stands for."""
    if minimum.endswith("%"):
        return math.ceil(Fraction(minimum[:-1]) / 100 * workers)
    return int(minimum)


def _check_minimum(minimum: str, workers: int) -> None:
    if least_successes(minimum, workers) > workers:
        raise OptionError(f"--min-success {minimum}: there are only {workers} workers")


def _read_blocks(cell: Cell, prompts: Prompts) -> list[tuple[Block, dict[str, Any]]]:
    found = []
    for block in cell.blocks:
        if block.word not in RUNNING:
            raise CellSyntaxError(
                f"line {block.line}: %{block.word} cannot run in this version yet; take the block out"
            )
        own = read_tokens(block.arguments, block.word, partial(prompts.option, line=block.line))
        if block.system is not None and "system" in own:
            raise CellSyntaxError(
                f"line {block.line}: {block.where} has --system and a %system text; keep one of them"
            )
        if block.word == "section" and not block.text.value:
            raise CellSyntaxError(
                f"line {block.line}: {block.where} is empty; write its prompt below it"
            )
        if block.word == "voter" and not (block.text.value or cell.preamble.value):
            raise CellSyntaxError(
                f"line {block.line}: {block.where} is empty, and there is no text above it"
            )
        found.append((block, own))
    if not cell.preamble.value and not any(
        block.word in ("section", "voter") for block in cell.blocks
    ):
        form = "a prompt" if cell.magic == "vote" else "%section NAME, and its prompt below it"
        raise CellSyntaxError(f"the cell holds no prompt; below %%{cell.magic} write {form}")
    return found


def _expand(
    cell: Cell,
    seats: Sequence[Seat],
    prompts: Prompts,
    items: Sequence[Any] | None,
    parse_model: ParseModel,
) -> tuple[tuple[Task, ...], tuple[Section, ...]]:
    """Every seat once, or once per item."""
    models: dict[str, Model] = {}
    tasks: list[Task] = []
    sections: dict[str, Section] = {}
    samples: Counter[object] = Counter()
    total = len(seats) * (1 if items is None else len(items))
    rounds: Sequence[Mapping[str, Any]] = (
        [{}] if items is None else [{"item": item, "index": at} for at, item in enumerate(items, 1)]
    )
    for at, extra in enumerate(rounds, 1):
        view = prompts.with_values(extra)
        shared = view.render(cell.preamble, "the text above the first block")
        common = view.render(cell.system, "%system") if cell.system else None
        for seat in seats:
            task = _task(seat, view, shared, common, models, parse_model, len(tasks), total)
            if items is not None:
                task = replace(task, name=_item_name(at, seat, len(seats)))
            identity = _identity(task)
            tasks.append(replace(task, sample=samples[identity]))
            samples[identity] += 1
            key = task.name if _stands_alone(task) else _key(at, seat, seats, items is not None)
            known = sections[key].tasks if key in sections else ()
            flag = _flag(seat, task)
            sections[key] = Section(key, (*known, task.index), task.reading, flag)
    if any(seat.options.flag for seat in seats) and not any(s.flag for s in sections.values()):
        raise OptionError("--flag: no section has that label among its --choices")
    if items is not None and not prompts.item_used:
        raise OptionError(
            "--each: no prompt says {{item}} or {{index}}, so every call would be the same"
        )
    return tuple(tasks), tuple(sections.values())


def _item_name(at: int, seat: Seat, seats: int) -> str:
    return f"{at}.{seat.name}" if seats > 1 or seat.block else str(at)


def _key(at: int, seat: Seat, seats: Sequence[Seat], by_item: bool) -> str:
    if not by_item:
        return seat.section
    return f"{at}.{seat.section}" if len(seats) > 1 or seat.block else str(at)


def _stands_alone(task: Task) -> bool:
    """Free texts have no consensus, so each answer keeps a key of its own."""
    return task.reading is None or task.reading.kind == "open"


def _flag(seat: Seat, task: Task) -> str | None:
    """The flag label as the choices spell it; a cell's flag passes by sections without it."""
    if seat.options.flag is None:
        return None
    choices = task.reading.choices if task.reading else ()
    label = next((c for c in choices if c.casefold() == seat.options.flag.casefold()), None)
    if label is None and "flag" in seat.own:
        known = ", ".join(choices) or "none (add --choices)"
        raise OptionError(
            f"--flag {seat.options.flag}: {task.name} cannot say that; its choices: {known}"
        )
    return label


def _task(
    seat: Seat,
    prompts: Prompts,
    shared: str,
    common: str | None,
    models: dict[str, Model],
    parse_model: ParseModel,
    index: int,
    total: int,
) -> Task:
    options, block = seat.options, seat.block
    own = prompts.render(block.text, block.where) if block else ""
    reading = reading_of(options)
    closing = "" if options.no_ask or reading is None else asking(reading)
    system = common if common is not None and "system" not in seat.own else options.system
    if block is not None and block.system is not None:
        system = prompts.render(block.system, f"{block.where} %system")
    return Task(
        index=index,
        name=seat.name,
        model=_model(seat.model, models, parse_model),
        prompt="\n\n".join(part for part in (shared, own, closing) if part),
        shared=shared,
        system=system,
        temperature=seat.temperature,
        reading=reading,
        **_call(options, total),
    )


def _model(text: str | None, models: dict[str, Model], parse_model: ParseModel) -> Model:
    if text is None:
        raise ModelError(
            'no model is chosen: add -m MODEL to the cell, or run %config ParallmMagics.model = "MODEL", '
            "or set PARALLM_MODEL; MODEL is for example claude-haiku-5-5, gpt-6-luna, ollama:llama3.2, "
            "or sim for a simulation without key and network"
        )
    if text not in models:
        models[text] = parse_model(text)
    return models[text]


def _call(options: Options, total: int) -> dict[str, Any]:
    """The fields of a task that its options alone decide."""
    return {
        "effort": options.effort,
        "max_tokens": options.max_tokens,
        "params": dict(options.param),
        "stream": options.stream == "on" or (options.stream == "auto" and total <= STREAMED),
        "seed": options.seed,
        "silence": options.timeout or SILENCE,
        "first": options.timeout or FIRST,
        "deadline": options.deadline,
        "retries": options.retries,
        "retry_timeouts": options.retry_timeouts,
    }


def _identity(task: Task) -> object:
    """What makes two requests the same request."""
    return (
        task.model,
        task.prompt,
        task.system,
        task.temperature,
        task.effort,
        task.max_tokens,
        repr(sorted(task.params.items(), key=lambda pair: pair[0])),
    )


def _synthesis(
    cell: Cell,
    block: Block | None,
    options: Options,
    prompts: Prompts,
    sections: Sequence[Section],
    parse_model: ParseModel,
    own_system: bool,
) -> Synthesis:
    parts = prompts.template(block.text, block.where, [s.key for s in sections]) if block else ()
    system = options.system
    if block is not None and block.system is not None:
        system = prompts.render(block.system, f"{block.where} %system")
    elif cell.system is not None and options.each is None and not own_system:
        system = prompts.render(cell.system, "%system")
    if len(options.model) > 1:
        raise OptionError(
            f"line {block.line if block else 1}: the synthesis is one call; give it one model with -m"
        )
    low, high = options.temperature or (None, None)
    task = Task(
        index=sum(len(section.tasks) for section in sections),
        name="synthesis",
        model=_model(options.model[0] if options.model else None, {}, parse_model),
        prompt="",
        system=system,
        temperature=low if low == high else None,  # a range is for workers
        **_call(options, 1),
    )
    return Synthesis(task, parts)

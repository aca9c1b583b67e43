"""Every call of a cell, rendered when it is reached."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from parallm_magics.cell.blocks import Cell, Text
from parallm_magics.cell.items import AHEAD, AsyncReader, BrokenSourceError, Items, Reader
from parallm_magics.cell.options import Options, reading_of
from parallm_magics.cell.prompts import Prompts, asking
from parallm_magics.cell.true_labels import Labels
from parallm_magics.cell.variables import as_text
from parallm_magics.cell.worker_specs import WorkerSpec, step_of
from parallm_magics.core import user_code
from parallm_magics.core.tasks import Call, Fault, Model, Plain, Reading, Record, Task
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.errors import ModelError, OptionError, VariableError
from parallm_magics.voting.pick_rules import PICKS

# A panel is watched as it is written; for a large map the stream's CPU per token buys nothing.
STREAMED = 200
SILENCE, FIRST = 15.0, 60.0
WORDS = 500
"""Most characters that a record keeps of its item: not the items are kept, but results."""
_NUMBERS = int | float

ParseModel = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class Section:
    """One key of the result with the workers that answer it.

    Attributes:
        key: the key in the result: a name, or a key of the user's items.
        tasks: the places of its workers.
        reading: how its answers are read, or None for free text.
        flag: the label that marks it, or None.
        options: its options, by which several answers become one.
        name: its name in the cell, the same for every item.
    """

    key: Any
    tasks: tuple[int, ...]
    reading: Reading | None
    flag: str | None = None
    options: Options = field(default_factory=Options)
    name: str = ""


@dataclass(slots=True)
class _Reader:
    """How far one reading of the items has come."""

    rounds: int = 0
    problem: str = ""  # why the items broke off, until one more of them has come
    ended: bool = False
    samples: Counter[int] = field(default_factory=Counter)


class Calls:
    """The calls of one cell: every seat once, or once an item.

    Attributes:
        known: how many there are; None where only reading the items tells.
        by_item: whether there is a round of calls an item.
        counted: whether the keys of the result are counted, as those of items and repeats are.
        rendered: all of them where they are few enough to be made ahead, else None.
        head: the calls of the first round; none where the items must be awaited.
    """

    def __init__(
        self,
        cell: Cell,
        seats: Sequence[WorkerSpec],
        prompts: Prompts,
        items: Items | None,
        parse_model: ParseModel,
        labels: Labels | None = None,
    ) -> None:
        """Render what can be rendered ahead.

        Args:
            labels: takes note of each item of a study; None where nothing is measured.
        """
        self._cell, self._prompts, self._items, self._labels = cell, prompts, items, labels
        self.by_item = items is not None
        rounds = 1 if items is None else items.known
        self.known = None if rounds is None else rounds * len(seats)
        self._rounds = rounds
        _check_spans(seats, items)
        self._chairs = self._seated(seats, parse_model)
        unnamed = len(seats) == 1 and seats[0].block is None
        self._bare = self.by_item and unnamed
        self.counted = self.by_item or all(seat.block is None for seat in seats)
        self._sections = _sections(self._chairs)
        self._texts = [cell.preamble, cell.system, *(t for seat in seats for t in seat.texts)]
        self._one_prefix = not prompts.names_item(cell.preamble, cell.system)
        self._beginning = self._common_beginning()
        keys = items.keys if items is not None else None
        self._numbers = None if keys is None else {str(k): at for at, k in enumerate(keys, 1)}
        self._systems: dict[str, str] = {}
        self._last = _Reader()
        self._unfinished: dict[int, Call] = {}
        self.rendered: tuple[Task, ...] | None = None
        self.head: tuple[Task, ...] = ()
        if self.known is not None and self.known <= AHEAD and not self.once:
            self.rendered = tuple(self._strictly(items or (None,)))
            self.head = self.rendered[: len(seats)]
        elif not self.asynchronous:
            self.head = tuple(self._strictly([items.first if items else None]))
            self._refuse_gaps()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled with a run: how its answers are read, and nothing that makes calls.

        The prompts know the notebook's variables, which are no part of a run.
        """
        made_of = ("_prompts", "_items", "_cell", "_labels", "_texts", "_unfinished")
        kept = {name: value for name, value in vars(self).items() if name not in made_of}
        return {**kept, "_items": None, "rendered": None, "head": ()}

    def _seated(self, seats: Sequence[WorkerSpec], parse_model: ParseModel) -> list[_RoundSpec]:
        """The seats with their models; an unknown variable is told before an unknown model."""
        problem: ModelError | None = None
        try:
            return _chairs(seats, self._cell, self._prompts, parse_model, self.known)
        except ModelError as error:
            problem = error
        view = self._prompts
        if self._items is not None:
            view = view.with_values({"item": self._items.first, "index": 1})
        if not self.asynchronous:
            view.render(self._cell.preamble, "the text above the first block")
            blocks = [block for seat in seats for block in seat.blocks]
            for block in {block.line: block for block in blocks}.values():
                view.render(block.text, block.where)
        raise problem.with_traceback(None)

    @property
    def size(self) -> int:
        """How many calls a round has."""
        return len(self._chairs)

    @property
    def problem(self) -> str:
        """Why the items broke off when they were last read; "" where they did not."""
        return self._last.problem

    @property
    def exhausted(self) -> bool:
        """Whether the items were read to their end."""
        return self._last.ended

    @property
    def once(self) -> bool:
        """Whether items that have been read are gone."""
        return self._items is not None and self._items.once

    @property
    def asynchronous(self) -> bool:
        """Whether the items must be awaited."""
        return self._items is not None and self._items.read_async is not None

    @property
    def source(self) -> str:
        """The name of the items; "" without any."""
        return self._items.name if self._items is not None else ""

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that is asked."""
        return tuple(dict.fromkeys(chair.model for chair in self._chairs))

    @property
    def kinds(self) -> tuple[Task, ...]:
        """A call of each kind in a round, its prompt left open."""
        return tuple(
            chair.make(index=place, name=chair.seat.name, prompt="")
            for place, chair in enumerate(self._chairs)
        )

    def reading(self, index: int) -> Reading | None:
        """How the answer of the worker at this place is read."""
        return self._chairs[index % len(self._chairs)].reading

    def options(self, place: int) -> Options:
        """The options of the worker at this place."""
        return self._chairs[place % len(self._chairs)].seat.options

    def repeats(self, places: Sequence[int]) -> bool:
        """Whether the workers at these places ask one model the same in the same way."""
        chairs = [self._chairs[place] for place in places]
        return (
            len({(chair.request, chair.seat.options.system, chair.seat.blocks) for chair in chairs})
            == 1
        )

    @property
    def weights(self) -> tuple[Fraction, ...]:
        """What the vote of each worker of a round counts."""
        given = (chair.seat.options.weight for chair in self._chairs)
        return tuple(Fraction(1) if weight is None else weight for weight in given)

    @property
    def flag(self) -> str | None:
        """The label that `--flag` names, as the choices spell it."""
        return next((chair.flag for chair in self._chairs if chair.flag), None)

    def sections(self, workers: int) -> Iterator[Section]:
        """The keys of a result of so many workers, in order."""
        size = len(self._chairs)
        for at in range(-(-workers // size)):
            for section in self._sections:
                tasks = tuple(at * size + place for place in section.tasks)
                key = self._key(at + 1, section.key)
                yield replace(section, key=key, tasks=tasks)

    def has_key(self, key: str) -> bool:
        """Whether the result can have this key."""
        at = self._number_of(key) if self.by_item else 1
        inside = self.known is None or at <= self.known // len(self._chairs)
        return inside and any(str(self._key(at, each.key)) == key for each in self._sections)

    def _number_of(self, key: str) -> int:
        """The number of the item that a key of the result is about; any where there is none."""
        if self._numbers is not None:
            return self._numbers.get(key) or self._numbers.get(key.rpartition(".")[0]) or 1
        number = key.partition(".")[0]
        return int(number) if number.isdecimal() and len(number) < 12 else 1

    def some_keys(self, most: int = 8) -> list[str]:
        """The first keys of the result."""
        size = len(self._chairs)
        workers = most * size if self.known is None else min(most * size, self.known)
        return [str(section.key) for section in self.sections(workers)]

    def read(self, kept: Container[int] = ()) -> Iterator[Call]:
        """The calls whose places are not among those kept.

        Items that can be read once go on where they were left, after what was not finished.
        """
        if self.rendered is not None:
            yield from (task for task in self.rendered if task.index not in kept)
            return
        reader = self._begun()
        yield from self._unfinished_but(kept)
        try:
            source = (self._items or _one()).read()
            for item in source:
                for call in self._made(reader, source, item):
                    if call.index not in kept:
                        yield call
        except UserCodeInterrupted:
            return
        except BrokenSourceError as error:
            reader.problem = str(error)
        reader.ended = True
        if reader.problem:
            yield from self._never_came(reader.rounds + 1, reader.problem)

    async def read_async(self, kept: Container[int] = ()) -> AsyncIterator[Call]:
        """As `read`, of items that must be awaited."""
        assert self._items is not None
        assert self._items.read_async is not None
        reader = self._begun()
        for call in self._unfinished_but(kept):
            yield call
        try:
            source = self._items.read_async()
            async for item in source:
                for call in self._made(reader, source, item):
                    if call.index not in kept:
                        yield call
        except UserCodeInterrupted:
            return
        except BrokenSourceError as error:
            reader.problem = str(error)
        reader.ended = True
        if reader.problem:
            for record in self._never_came(reader.rounds + 1, reader.problem):
                yield record

    def _made(self, reader: _Reader, source: Reader | AsyncReader, item: Any) -> Sequence[Call]:
        """The calls of an item; where it cannot be read again, they are kept until they are answered.

        Raises:
            UserCodeInterrupted: the item is looked at again when the source is read on.
        """
        reader.problem = ""
        try:
            calls = user_code.call(self._round, reader, item)
        except UserCodeInterrupted:
            reader.rounds -= 1
            source.put_back(item)
            raise
        if self.once:
            self._unfinished.update({call.index: call for call in calls})
        return calls

    def _begun(self) -> _Reader:
        """A reading of the items, or the one that goes on where it was left."""
        if not self.once:
            self._last = _Reader()
        return self._last

    def forget(self, index: int) -> None:
        """The call at this place has its answer: a further try will not need it."""
        self._unfinished.pop(index, None)

    def _unfinished_but(self, kept: Container[int]) -> list[Call]:
        return [task for place, task in sorted(self._unfinished.items()) if place not in kept]

    def _refuse_gaps(self) -> None:
        """Refuse a table without a value in a cell that a prompt needs, however long it is.

        Raises:
            VariableError: names the row and the column, and the way out.
        """
        table = self._items.table if self._items is not None else None
        wanted = self._prompts.parts_of_item(*self._texts)
        if table is None or table.once or wanted == []:
            return
        gap = table.gap(wanted)
        if gap is not None:
            raise VariableError(f"item {gap.row}: {self._prompts.missing(gap)}")

    def _strictly(self, items: Any) -> Iterator[Task]:
        """The calls of these items; what is wrong with one is raised rather than recorded."""
        reader = _Reader()
        problem = ""
        try:
            for item in items:
                yield from self._rendered_round(reader, item)
        except BrokenSourceError as error:
            problem = str(error)
        if problem:
            raise OptionError(f"--each: {problem}")

    def _round(self, reader: _Reader, item: Any) -> Sequence[Call]:
        """The calls of one item, or the records that say why there are none."""
        try:
            return self._rendered_round(reader, item)
        except VariableError as error:
            return self._never_came(reader.rounds, str(error), _brief(item))

    def _rendered_round(self, reader: _Reader, item: Any) -> list[Task]:
        """The calls of one item.

        Raises:
            VariableError: the item cannot be put into a prompt.
        """
        reader.rounds += 1
        at = reader.rounds
        view = self._prompts.with_values({"item": item, "index": at} if self.by_item else {})
        truth = None
        if self._labels is not None:
            truth = self._labels.note(at, item, view.words_of_item(*self._texts))
        shared = view.render(self._cell.preamble, "the text above the first block")
        first = (at - 1) * len(self._chairs)
        texts = [self._texts_of(chair, view, shared) for chair in self._chairs]
        common_text = shared if self._beginning is None else self._beginning
        sharing = self._sharing([system for _, system in texts])
        about = self._about(view, at, item) if self.by_item else {}
        round_ = []
        for place, (chair, (prompt, system)) in enumerate(zip(self._chairs, texts, strict=True)):
            temperature = self._temperature(chair.seat, at)
            identity = hash((chair.request, temperature, prompt, system))
            sample = reader.samples[identity]
            reader.samples[identity] = sample + 1
            key = _cache_key(chair.model, system, common_text) if sharing[place] else ""
            round_.append(
                chair.make(
                    index=first + place,
                    name=self._name(at, chair.seat),
                    prompt=prompt,
                    shared=shared,
                    begins=self._beginning,
                    system=system,
                    persona=chair.persona,
                    temperature=temperature,
                    sample=sample,
                    cache_key=key,
                    truth=truth,
                    **about,
                )
            )
        return round_

    def _texts_of(self, chair: _RoundSpec, view: Prompts, shared: str) -> tuple[str, str | None]:
        """The prompt and the system prompt of a seat's call."""
        prompt, system = chair.texts(view, shared, self._cell.system)
        if system is None or chair.persona is not None:
            return prompt, system
        # Records keep it: one text for all of them.
        return prompt, self._systems.setdefault(system, system)

    def _about(self, view: Prompts, at: int, item: Any) -> dict[str, Plain]:
        """The key of an item and what is shown of it."""
        words = "" if isinstance(item, _NUMBERS) else view.words_of_item(*self._texts)
        return {"key": self._plain_key(at), "item": _clipped(words) if words else _brief(item)}

    def _temperature(self, seat: WorkerSpec, at: int) -> float | None:
        """The temperature of a seat's call for the item of that number."""
        if seat.span is None:
            return seat.temperature
        assert self._rounds is not None
        return step_of(*seat.span, at - 1, self._rounds)

    @property
    def unspread(self) -> list[str]:
        """A note for each range that only one worker has, so that it cannot be spread."""
        if self._rounds != 1:
            return []
        lone = [chair.seat for chair in self._chairs if chair.seat.span is not None]
        return [
            f"-t {seat.span[0]:g}..{seat.span[1]:g}: only one worker has this range, and takes "
            f"{seat.span[0]:g}"
            for seat in lone
            if seat.span is not None
        ]

    def _common_beginning(self) -> str | None:
        """What the prompts of all items begin with, where one call an item puts it into its text.

        Several calls of one item share more than that: the item too.
        """
        alone = self.by_item and len(self._chairs) == 1 and not self._one_prefix
        if not alone or self._prompts.names_item(self._cell.system):
            return None
        return self._prompts.beginning(self._cell.preamble, "the text above the first block")

    def _sharing(self, systems: Sequence[str | None]) -> Sequence[bool]:
        """Which calls of a round begin with the same text as another call."""
        alike = self._one_prefix or self._beginning is not None
        if alike and self.by_item and self.known != len(self._chairs):
            return [chair.cached for chair in self._chairs]
        if len(self._chairs) == 1:
            return (False,)
        models = [chair.model for chair in self._chairs]
        count = Counter(zip(models, systems, strict=True))
        return [
            chair.cached and count[model, system] > 1
            for chair, model, system in zip(self._chairs, models, systems, strict=True)
        ]

    def _never_came(self, at: int, problem: str, item: Plain = None) -> list[Record]:
        """What stands for the calls of a round that cannot be made."""
        first = (at - 1) * len(self._chairs)
        return [
            Record(
                index=first + place,
                name=self._name(at, chair.seat),
                status="failed",
                model=str(chair.model),
                usage=None,
                error=Fault("bad_item", problem),
                key=self._plain_key(at),
                item=item,
                temperature=chair.seat.temperature,
                effort=chair.seat.options.effort,
            )
            for place, chair in enumerate(self._chairs)
        ]

    def _name(self, at: int, seat: WorkerSpec) -> str:
        return str(self._key(at, seat.name))

    def _key(self, at: int, key: str) -> Any:
        """The key of the result for a section of the item of that number."""
        if not self.by_item:
            return key
        return self.item_key(at) if self._bare else f"{self.item_key(at)}.{key}"

    def item_key(self, at: int) -> Any:
        """The key of an item: the user's where there is one, else its number."""
        keys = self._items.keys if self._items is not None else None
        return str(at) if keys is None else keys[at - 1]

    def _plain_key(self, at: int) -> Plain:
        """The key of an item as JSON holds it; None without items."""
        key = self.item_key(at) if self.by_item else None
        return key if key is None or isinstance(key, _NUMBERS | str) else str(key)


def _one() -> Items:
    """What a cell without `--each` runs over: nothing, once."""
    return Items("", 1, False, lambda: Reader("", iter((None,))))


@dataclass(frozen=True, slots=True)
class _RoundSpec:
    """A seat with all that its calls have in common.

    Attributes:
        request: the same for seats that ask the same model in the same way.
        cached: whether the provider may cache the beginning of its prompts.
        persona: its system prompt as typed, where that holds the item; else None.
        make: a call from what differs.
    """

    seat: WorkerSpec
    model: Model
    reading: Reading | None
    closing: str
    flag: str | None
    request: int
    cached: bool
    persona: str | None
    make: Callable[..., Task]

    def texts(self, prompts: Prompts, shared: str, common: Text | None) -> tuple[str, str | None]:
        """The prompt and the system prompt; `common` is the cell's own system text."""
        seat = self.seat
        own = [prompts.render(block.text, block.where) for block in seat.blocks]
        given = _system_text(seat, common)
        system = seat.options.system if given is None else prompts.render(*given)
        return "\n\n".join(part for part in (shared, *own, self.closing) if part), system


def _check_spans(seats: Sequence[WorkerSpec], items: Items | None) -> None:
    """Refuse a range of temperatures over items whose number nobody knows.

    Raises:
        OptionError: says the way out.
    """
    span = next((seat.span for seat in seats if seat.span is not None), None)
    if span is not None and items is not None and items.known is None:
        raise OptionError(
            f"-t {span[0]:g}..{span[1]:g}: a range is spread over the workers, and how many items "
            f"{items.name} has is known only when all are read; give one temperature, or a list"
        )


def _system_text(seat: WorkerSpec, common: Text | None) -> tuple[Text, str] | None:
    """The text that makes a seat's system prompt, and its place; None where only an option may."""
    found = None
    if common is not None and "system" not in seat.own:
        found = common, "%system"
    for block in seat.blocks:
        if block.system is not None and not (block is seat.above and "system" in seat.own):
            found = block.system, f"{block.where} %system"
    return found


def _brief(item: Any) -> Plain:
    """An item in a few words, whatever it is."""
    if item is None or isinstance(item, _NUMBERS):
        return item
    with contextlib.suppress(VariableError):
        return _clipped(as_text(item, "item"))
    return type(item).__name__


def _clipped(words: str) -> str:
    return words if len(words) <= WORDS else f"{words[: WORDS - 1]}…"


def _persona(seat: WorkerSpec, cell: Cell, prompts: Prompts) -> str | None:
    """A seat's system prompt as it is typed, where it holds the item."""
    given = _system_text(seat, cell.system)
    return given[0].value if given is not None and prompts.names_item(given[0]) else None


def _chairs(
    seats: Sequence[WorkerSpec],
    cell: Cell,
    prompts: Prompts,
    parse_model: ParseModel,
    total: int | None,
) -> list[_RoundSpec]:
    parsed: dict[str, Model] = {}
    requests: dict[object, int] = {}
    chairs = []
    voters = len({(seat.block.line if seat.block else 0, seat.model) for seat in seats})
    for place, seat in enumerate(seats):
        options = seat.options
        reading = reading_of(options)
        model = model_of(seat.model, parsed, parse_model)
        params = repr(sorted(dict(options.param).items()))
        request = (model, seat.temperature, options.effort, options.max_tokens, params)
        chairs.append(
            _RoundSpec(
                seat=seat,
                model=model,
                reading=reading,
                closing=_closing(options, reading, place, voters),
                flag=_flag(seat, reading),
                request=requests.setdefault(request, len(requests)),
                cached=options.cache == "auto",
                persona=_persona(seat, cell, prompts),
                make=functools.partial(
                    Task,
                    model=model,
                    reading=reading,
                    **call_fields(options, total),
                ),
            )
        )
    if any(seat.options.flag for seat in seats) and not any(chair.flag for chair in chairs):
        raise OptionError("--flag: nothing has that label among its --choices")
    return chairs


def _closing(options: Options, reading: Reading | None, place: int, voters: int) -> str:
    """The lines that ask the worker at this place for an answer in a readable form.

    Args:
        voters: how many unlike ones take turns; each of them is to meet every order.
    """
    confidence = PICKS[options.pick].states_confidence
    if options.no_ask or (reading is None and not confidence):
        return ""
    reading = reading or Reading("open")
    turn = 0
    if options.shuffle_choices and reading.choices:
        size = len(reading.choices)
        turn = (place + place // math.lcm(voters, size)) % size
    return asking(reading, turn=turn, confidence=confidence)


def _sections(chairs: Sequence[_RoundSpec]) -> list[Section]:
    """The keys of one round; free texts have no consensus, so each keeps a key of its own."""
    found: dict[str, Section] = {}
    for place, chair in enumerate(chairs):
        alone = chair.reading is None or chair.reading.kind == "open"
        key = chair.seat.name if alone else chair.seat.section
        before = found[key].tasks if key in found else ()
        options = chair.seat.options
        found[key] = Section(key, (*before, place), chair.reading, chair.flag, options, key)
    return list(found.values())


def _flag(seat: WorkerSpec, reading: Reading | None) -> str | None:
    """The flag label as the choices spell it; a cell's flag passes by sections without it."""
    if seat.options.flag is None:
        return None
    choices = reading.choices if reading else ()
    label = next((c for c in choices if c.casefold() == seat.options.flag.casefold()), None)
    if label is None and "flag" in seat.own:
        known = ", ".join(choices) or "none (add --choices)"
        raise OptionError(
            f"--flag {seat.options.flag}: {seat.name} cannot say that; its choices: {known}"
        )
    return label


def model_of(text: str | None, parsed: dict[str, Model], parse_model: ParseModel) -> Model:
    """The model of this text, each text parsed once.

    Raises:
        ModelError: no model is chosen, or there is none of that name.
    """
    if text is None:
        raise ModelError(
            'no model is chosen: add -m MODEL to the cell, or run %config ParallmMagics.model = "MODEL", '
            "or set PARALLM_MODEL; MODEL is for example claude-haiku-5-5, gpt-6-luna, ollama:llama3.2, "
            "or sim for a simulation without key and network"
        )
    if text not in parsed:
        parsed[text] = parse_model(text)
    return parsed[text]


def call_fields(options: Options, total: int | None) -> dict[str, Any]:
    """The fields of a call that its options alone decide.

    Args:
        total: how many calls there are; None, unknown, counts as many.
    """
    few = total is not None and total <= STREAMED
    return {
        "effort": options.effort,
        "max_tokens": options.max_tokens,
        "params": dict(options.param),
        "stream": options.stream == "on" or (options.stream == "auto" and few),
        "seed": options.seed,
        "silence": options.timeout or SILENCE,
        "first": options.timeout or FIRST,
        "deadline": options.deadline,
        "retries": options.retries,
        "retry_timeouts": options.retry_timeouts,
    }


@functools.lru_cache(64)
def _cache_key(model: Model, system: str | None, shared: str) -> str:
    """The same for calls whose prompts begin with the same text; tells nothing of the text."""
    if not (shared or system):
        return ""
    text = f"{model}\0{system or ''}\0{shared}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]

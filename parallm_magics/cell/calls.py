"""Which calls a cell makes, in order: every worker once, or once an item, each made when it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.items import ITEMS_AHEAD, AsyncReader, BrokenSourceError, Items, Reader
from parallm_magics.cell.options import Options
from parallm_magics.cell.rendering import CallSpec, Renderer, brief
from parallm_magics.cell.sample_counts import SampleCounts
from parallm_magics.core import user_code
from parallm_magics.core.tasks import Call, Reading, Record, Task
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.errors import OptionError, VariableError, translated


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
class _Progress:
    """How far a reading of the items has come; as a context it notes how the reading ends."""

    rounds: int = 0
    problem: str = ""  # why the items broke off, until one more of them has come
    ended: bool = False
    samples: SampleCounts = field(default_factory=SampleCounts)

    def __enter__(self) -> None:
        self.ended = False

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        broken = isinstance(error, BrokenSourceError)
        if broken:
            self.problem = str(error)
        self.ended = broken or error is None
        return broken or isinstance(error, UserCodeInterrupted)


class Calls:
    """The calls of one cell.

    Attributes:
        size: how many calls a round has.
        known: how many there are; None where only reading the items tells.
        by_item: whether there is a round of calls an item.
        counted: whether the keys of the result are counted, as those of items and repeats are.
        source: the name of the items; "" without any.
        once: whether items that have been read are gone.
        asynchronous: whether the items must be awaited.
        models: every model that is asked.
        rendered: all of them where they are few enough to be made ahead, else None.
        head: the calls of the first round; none where the items must be awaited.
        shared: the rendered preamble where all prompts begin with it; "" where items make it differ.
    """

    def __init__(self, renderer: Renderer, items: Items | None) -> None:
        """Render what can be rendered ahead."""
        self._renderer, self._items = renderer, items
        self._specs, self._keys = renderer.specs, renderer.keys
        self.size = len(self._specs)
        self.known = None if renderer.rounds is None else renderer.rounds * self.size
        self.by_item, self.counted = self._keys.by_item, self._keys.counted
        self.source = "" if items is None else items.name
        self.once = items is not None and items.once
        self.asynchronous = items is not None and items.read_async is not None
        self.models = tuple(dict.fromkeys(spec.model for spec in self._specs))
        self._sections = _sections(self._specs)
        self._progress = _Progress()
        self._unfinished: dict[int, Call] = {}
        ahead: Iterable[Any] = () if self.asynchronous else [items.first if items else None]
        few = self.known is not None and self.known <= ITEMS_AHEAD and not self.once
        tasks = _strictly(renderer, items if few and items is not None else ahead)
        self.rendered: tuple[Task, ...] | None = tasks if few else None
        self.head = tasks[: self.size]
        self.shared = tasks[0].shared if tasks and renderer.one_preamble else ""
        if not few:
            renderer.refuse_gaps()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled with a run: how its answers are read, and nothing that makes calls.

        The prompts know the notebook's variables, which are no part of a run.
        """
        made_of = ("_renderer", "_items", "_unfinished")
        kept = {name: value for name, value in vars(self).items() if name not in made_of}
        return {**kept, "rendered": None, "head": ()}

    @property
    def problem(self) -> str:
        """Why the items broke off when they were last read; "" where they did not."""
        return self._progress.problem

    @property
    def exhausted(self) -> bool:
        """Whether the items were read to their end."""
        return self._progress.ended

    @property
    def kinds(self) -> tuple[Task, ...]:
        """A call of each kind in a round, its prompt left open."""
        return tuple(
            spec.make(index=place, name=spec.worker.name, prompt="")
            for place, spec in enumerate(self._specs)
        )

    def reading(self, index: int) -> Reading | None:
        """Tell how the answer of the worker at this place is read."""
        return self._specs[index % self.size].reading

    def options(self, place: int) -> Options:
        """Return the options of the worker at this place."""
        return self._specs[place % self.size].worker.options

    def repeats(self, places: Sequence[int]) -> bool:
        """Tell whether the workers at these places ask one model the same in the same way."""
        asked = [(spec.request, spec.worker) for spec in map(self._specs.__getitem__, places)]
        return len({(request, w.options.system, w.blocks) for request, w in asked}) == 1

    @property
    def weights(self) -> tuple[Fraction, ...]:
        """What the vote of each worker of a round counts."""
        own = (spec.worker.options.weight for spec in self._specs)
        return tuple(Fraction(1) if weight is None else weight for weight in own)

    @property
    def flag(self) -> str | None:
        """The label that `--flag` names, as the choices spell it."""
        return next((spec.flag for spec in self._specs if spec.flag), None)

    def sections(self, workers: int) -> Iterator[Section]:
        """Yield the keys of a result of so many workers, in order."""
        for at in range(-(-workers // self.size)):
            yield from self.round_of(at + 1)

    def round_of(self, at: int) -> Iterator[Section]:
        """Yield the keys of the item of that number, from 1, in order."""
        for section in self._sections:
            tasks = tuple((at - 1) * self.size + place for place in section.tasks)
            yield replace(section, key=self._keys.key(at, section.name), tasks=tasks)

    def section_of(self, key: Any, rounds: int) -> Section | None:
        """Return what stands under a key of a result of so many items; None where there is none."""
        at = self._keys.number_of(str(key))
        found = self.round_of(at) if 1 <= at <= rounds else ()
        return next((section for section in found if section.key == key), None)

    def item_key(self, at: int) -> Any:
        """Return the key of an item: the user's where there is one, else its number."""
        return self._keys.item(at)

    def has_key(self, key: str) -> bool:
        """Tell whether the result can have this key."""
        at = self._keys.number_of(key)
        inside = self.known is None or at <= self.known // self.size
        return inside and any(str(self._keys.key(at, s.name)) == key for s in self._sections)

    def some_keys(self, most: int = 8) -> list[str]:
        """Return the first keys of the result."""
        workers = most * self.size if self.known is None else min(most * self.size, self.known)
        return [str(section.key) for section in self.sections(workers)]

    def read(self, kept: Container[int] = ()) -> Iterator[Call]:
        """Yield the calls whose places are not among those kept.

        Items that can be read once go on where they were left, after what was not finished.
        """
        if self.rendered is not None:
            yield from (task for task in self.rendered if task.index not in kept)
            return
        progress = self._begun()
        yield from self._unfinished_but(kept)
        with progress:
            source = self._items.read() if self._items else Reader("", iter((None,)))
            for item in source:
                for call in self._made(progress, source, item):
                    if call.index not in kept:
                        yield call
        yield from self._missing(progress)

    async def read_async(self, kept: Container[int] = ()) -> AsyncIterator[Call]:
        """Yield what `read` does, of items that must be awaited."""
        assert self._items is not None
        assert self._items.read_async is not None
        progress = self._begun()
        for call in self._unfinished_but(kept):
            yield call
        with progress:
            source = self._items.read_async()
            async for item in source:
                for call in self._made(progress, source, item):
                    if call.index not in kept:
                        yield call
        for record in self._missing(progress):
            yield record

    def _begun(self) -> _Progress:
        """Return a reading of the items, or the one that goes on where it was left."""
        if not self.once:
            self._progress = _Progress()
        return self._progress

    def _made(self, progress: _Progress, source: Reader | AsyncReader, item: Any) -> Sequence[Call]:
        """Return the calls of an item; where it cannot be read again, they are kept until they are answered.

        Raises:
            UserCodeInterrupted: the item is looked at again when the source is read on.
        """
        progress.problem, at = "", progress.rounds + 1
        try:
            calls = user_code.call(_round, self._renderer, progress.samples, at, item)
        except UserCodeInterrupted:
            source.put_back(item)
            raise
        progress.rounds = at
        if self.once:
            self._unfinished.update({call.index: call for call in calls})
        return calls

    def _missing(self, progress: _Progress) -> Sequence[Record]:
        """Return what stands for the calls of the item at which the source broke off."""
        if not (progress.ended and progress.problem):
            return ()
        return self._renderer.failed(progress.rounds + 1, progress.problem)

    def forget(self, index: int) -> None:
        """Forget the call at this place: it has its answer, and a further try will not need it."""
        self._unfinished.pop(index, None)

    def _unfinished_but(self, kept: Container[int]) -> list[Call]:
        return [task for place, task in sorted(self._unfinished.items()) if place not in kept]


def _round(renderer: Renderer, samples: SampleCounts, at: int, item: Any) -> Sequence[Call]:
    """Return the calls of one item, or the records that say why there are none."""
    try:
        return renderer.round(samples, at, item)
    except VariableError as error:
        return renderer.failed(at, str(error), brief(item))


def _strictly(renderer: Renderer, items: Iterable[Any]) -> tuple[Task, ...]:
    """Return the calls of these items; what is wrong with one is raised rather than recorded."""
    samples = SampleCounts()
    rounds = (renderer.round(samples, at, item) for at, item in enumerate(items, 1))
    return translated(
        lambda: tuple(task for calls in rounds for task in calls),
        lambda error: OptionError(f"--each: {error}"),
        BrokenSourceError,
    )


def _sections(specs: Sequence[CallSpec]) -> list[Section]:
    """Return the keys of one round; free texts have no consensus, so each keeps a key of its own."""
    found: dict[str, Section] = {}
    for place, spec in enumerate(specs):
        key = spec.worker.name if is_free_text(spec.reading) else spec.worker.section
        before = found[key].tasks if key in found else ()
        options = spec.worker.options
        found[key] = Section(key, (*before, place), spec.reading, spec.flag, options, key)
    return list(found.values())

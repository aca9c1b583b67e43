"""Prompt text from typed text: variables put in once, errors that name the place."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.blanks import is_blank
from parallm_magics.cell.blocks import Block, Text
from parallm_magics.cell.items import Items, items_of
from parallm_magics.cell.missing_values import is_missing
from parallm_magics.cell.tables import Gap, gap_in, way_out
from parallm_magics.cell.variables import (
    Part,
    Ref,
    as_text,
    fill,
    path,
    spelling_of,
    split,
    value_of,
    whole,
)
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError, VariableError, nearest, translated

Steps = tuple[str | int, ...]
_PER_ITEM = frozenset({"item", "index"})
# Names that stand for answers or the shared text, with the blocks that they belong in.
_LATER = {
    "outputs": "%synthesis",
    "candidates": "%judge",
    "task": "%synthesis and %judge",
}


class Keys(Protocol):
    """The names under which a result holds its answers."""

    def has_key(self, key: str) -> bool:
        """Whether the result can have this key."""

    def some_keys(self) -> list[str]:
        """The first keys of the result."""


class Prompts:
    """Renders the texts of one cell.

    Attributes:
        notes: what was changed on the way, one line each.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        blind: bool = False,
        blocks: Mapping[str, Block] = MappingProxyType({}),
    ) -> None:
        """Take what `{{name}}` may stand for.

        Args:
            blind: whether nothing is put in.
            blocks: the cell's blocks by name, which a prompt may be taken to see.
        """
        self._variables = variables
        self._blind = blind
        self._items: Items | None = None
        self._blocks = blocks
        self._values: Mapping[str, Any] = {}
        self._texts: dict[tuple[object, ...], str] = {}
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._empty: set[str] = set()
        self.notes: list[str] = []

    def names_item(self, *texts: Text | None) -> bool:
        """Whether any of these texts names `{{item}}` or `{{index}}`."""
        if self._blind:
            return False
        parts = [part for text in texts if text is not None for part in self._split(text)]
        return any(isinstance(part, Ref) and part.name in _PER_ITEM for part in parts)

    def refuse_part(self, part: Steps, texts: Iterable[tuple[Text | None, str]], item: Any) -> None:
        """Refuse prompts that hold this part of the item, alone or within the whole of it.

        Args:
            part: the steps from `{{item}}` to it.
            texts: the texts with their places, as errors name them.
            item: an item, by which two ways to write one step are told to be the same.

        Raises:
            OptionError: names the line and the way out.
        """
        for text, place in texts:
            if text is None or self._blind:
                continue
            for found in self._split(text):
                if not isinstance(found, Ref) or found.name != "item":
                    continue
                steps = _resolved(tuple(step for _, step in found.steps), item)
                if steps == _resolved(part, item)[: len(steps)]:
                    raise OptionError(
                        f"{self._where(text, found, place)}: {found.source} would tell the model the true "
                        "label that it is to find; put in another part of the item, such as "
                        "{{item.text}}, or keep the labels in a list beside the items"
                    )

    def words_of_item(self, *texts: Text | None) -> str:
        """What these texts say of the item at hand: the values of `{{item}}` or of its parts."""
        parts = [part for text in texts if text is not None for part in self._split(text)]
        refs = {part.steps: part for part in parts if isinstance(part, Ref) and part.name == "item"}
        return " · ".join(self._text(ref, lambda: "{{item}}") for ref in refs.values())

    def with_values(self, values: Mapping[str, Any]) -> Prompts:
        """The same cell's texts with further variables that win over the notebook's."""
        other = Prompts(self._variables, self._blind, self._blocks)
        other._values = values
        other._items = self._items
        other._texts = self._texts
        other._parts = self._parts
        other._empty = self._empty
        other.notes = self.notes
        return other

    def render(self, text: Text, place: str) -> str:
        """The text with its variables put in."""
        if self._blind:
            return text.value
        return fill(
            self._split(text),
            lambda ref: self._text(ref, functools.partial(self._where, text, ref, place)),
        )

    def beginning(self, text: Text, place: str) -> str:
        """The text with its variables put in, up to the first that differs from item to item."""
        same = itertools.takewhile(
            lambda part: isinstance(part, str) or part.name not in _PER_ITEM, self._split(text)
        )
        return fill(
            tuple(same),
            lambda ref: self._text(ref, functools.partial(self._where, text, ref, place)),
        )

    def _split(self, text: Text) -> tuple[Part, ...]:
        if text.value not in self._parts:
            self._parts[text.value] = split(text.value)
        return self._parts[text.value]

    def template(self, text: Text, place: str, late: str, keys: Keys | None) -> tuple[Part, ...]:
        """The text with its variables put in, but for `late` and `task`, which come later.

        Args:
            late: "outputs" or "candidates".
            keys: which outputs can be named one by one.
        """
        if self._blind:
            return (text.value,)
        parts: list[Part] = []
        for part in split(text.value, outputs=keys is not None):
            if isinstance(part, str):
                parts.append(part)
            elif part.name == late and keys is not None:
                _check_output(part, keys, self._where(text, part, place))
                parts.append(part)
            elif part.name in (late, "task") and not part.steps:
                parts.append(part)
            else:
                parts.append(self._text(part, functools.partial(self._where, text, part, place)))
        return tuple(parts)

    def option(self, ref: Ref, line: int = 1) -> Any:
        """The value of a variable in an option on this line."""
        if self._blind:
            return ref.source
        return self._value(ref, f"line {line}")

    def items(self, each: Any) -> Items:
        """The items that --each runs over.

        Raises:
            OptionError: nothing to run over, or nothing that has an order.
        """
        name, value = "--each", each
        if isinstance(each, str):
            ref = path(each) or whole(each)
            if ref is None:
                raise OptionError(f"--each: {each[:40]!r} is no variable")
            name = ref.source.strip("{} ")
            if spelling_of(ref.name, self._variables) is None:
                public = [str(known) for known in self._variables if not str(known).startswith("_")]
                raise OptionError(
                    f"--each: no variable {ref.name[:60]!r}{nearest(ref.name, public)}"
                )
            value = value_of(ref, self._variables, "--each", named=True)
        self._items = items_of(value, name)
        return self._items

    def parts_of_item(self, *texts: Text | None) -> list[str] | None:
        """The columns of an item that these texts put in; None where they put in the whole of it."""
        parts = [part for text in texts if text is not None for part in self._split(text)]
        refs = [part for part in parts if isinstance(part, Ref) and part.name == "item"]
        if self._blind or not refs:
            return []
        return None if any(not ref.steps for ref in refs) else [str(r.steps[0][1]) for r in refs]

    def missing(self, gap: Gap, shown: str = "") -> str:
        """That an item, or a part of it, holds no value, and how to leave such items out."""
        items = self._items
        package = items.table.package if items is not None and items.table is not None else ""
        code = way_out(package, items.name if items is not None else "items", gap)
        what = shown or (f"column {gap.column!r}" if gap.column else "item")
        return f"{what} is {gap.value}, no value; leave such items out, or fill them: {code}"

    def _refuse_missing(self, ref: Ref, value: Any, where: str) -> None:
        """Refuse an item, or a part of it, that holds no value: "nan" is no text of anybody's.

        Raises:
            VariableError: names the item and the column, and the way out.
        """
        shown = ref.source.strip("{} \t")
        column = str(ref.steps[-1][1]) if ref.steps else ""
        gap = Gap(0, column, value) if is_missing(value) else None
        table = self._items.table if self._items is not None else None
        if gap is None and table is not None and not ref.steps:
            gap, shown = gap_in(value), ""
        if gap is not None:
            raise VariableError(f"{where}: {self.missing(gap, shown)}")

    def _where(self, text: Text, ref: Ref, place: str) -> str:
        return f"line {text.line_at(ref.position)}, {place}"

    def _value(self, ref: Ref, where: str) -> Any:
        if ref.name in _PER_ITEM:
            if ref.name in self._values:
                return value_of(ref, self._values, where)
            if ref.name not in self._variables:
                raise VariableError(
                    f"{where}: {ref.source} needs --each NAME on the cell's first line, "
                    f"and stands in the prompt of a worker; write \\{ref.source} to keep it as text"
                )
        if spelling_of(ref.name, self._variables) is None:
            self._refuse_answers(ref, where)
        return value_of(ref, self._variables, where)

    def _refuse_answers(self, ref: Ref, where: str) -> None:
        """Refuse a name that stands for what the cell's own calls answer, which no prompt of it sees."""
        keep = f"write \\{ref.source} to keep it as text"
        if ref.name in _LATER:
            raise VariableError(
                f"{where}: {ref.source} stands in {_LATER[ref.name]} only: the others run at the same "
                "time and see no answers; for a further step use a second cell that reads this "
                f"one's result (-o NAME, then {{{{NAME.text}}}}), or {keep}"
            )
        if ref.name in self._blocks:
            raise VariableError(
                f"{where}: no variable {ref.name!r}, and {self._blocks[ref.name].where} runs at the same "
                f"time; for its answer use {{{{outputs.{ref.name}}}}} in a %synthesis, or a second cell "
                f"that reads this one's result, or {keep}"
            )

    def _text(self, ref: Ref, place: Callable[[], str]) -> str:
        key = (ref.name, ref.steps)
        if ref.name not in self._values and key in self._texts:
            return self._texts[key]
        lead = f"item {self._values['index']}, " if ref.name in self._values else ""
        where = f"{lead}{place()}"
        value = self._value(ref, where)
        if ref.name == "item" and ref.name in self._values:
            self._refuse_missing(ref, value, where)
        text = translated(
            lambda: as_text(value, ref.source.strip("{} \t")),
            lambda error: VariableError(f"{where}: {error}"),
            VariableError,
        )
        if issubclass(type(value), str) and "\ufffd" in text and text != value:
            note = f"{ref.source}: half surrogate pairs were sent as U+FFFD"
            self.notes += [] if note in self.notes else [note]
        if _is_empty(value, text):
            self._tell_empty(ref, where)
        if ref.name not in self._values:
            self._texts[key] = text
        return text

    def _tell_empty(self, ref: Ref, where: str) -> None:
        """Note once that a variable puts nothing into a prompt."""
        if ref.source not in self._empty:
            self._empty.add(ref.source)
            self.notes.append(f"{where}: {ref.source} is empty")


def _is_empty(value: Any, text: str) -> bool:
    """Whether a model would be shown nothing of a value: no text, no item, no row."""
    if is_blank(text):
        return True
    with contextlib.suppress(Exception):  # a value of the user's may raise anything
        return len(value) == 0
    return False


def _resolved(steps: Steps, value: Any) -> tuple[str, ...]:
    """The steps in one form: keys as texts, places counted from the beginning."""
    found = []
    for step in steps:
        from_end = isinstance(step, int) and step < 0 and isinstance(value, Sequence)
        found.append(str(int(step) + len(value) if from_end else step))
        with contextlib.suppress(Exception):  # a value of the user's may raise anything
            value = value[step]
    return tuple(found)


def asking(reading: Reading, *, turn: int = 0, confidence: bool = False) -> str:
    """The closing lines that ask for an answer in a readable form; empty where none are needed.

    Args:
        turn: by how many places the choices are rotated.
        confidence: whether a stated confidence is asked for too.
    """
    kind = KINDS[reading.kind]
    choices = (*reading.choices[turn:], *reading.choices[:turn])
    wanted = kind.asks(replace(reading, choices=choices))
    if confidence and kind.is_number:
        wanted = wanted or "<the number>"
    wanted = f"ANSWER: {wanted}" if wanted else ""
    if not confidence:
        return f"End with one line: {wanted}" if wanted else ""
    sure = "CONFIDENCE: <a whole number from 0 to 100>"
    return f"End with two lines:\n{sure}\n{wanted}" if wanted else f"Begin with one line: {sure}"


def _check_output(ref: Ref, keys: Keys, where: str) -> None:
    if not ref.steps:
        return
    key = str(ref.steps[0][1])
    if len(ref.steps) > 1 or not keys.has_key(key):
        some = keys.some_keys()
        known = nearest(key, some) or f"; known: {', '.join(some)}"
        raise VariableError(f"{where}: {ref.source}: no section {key!r}{known}")

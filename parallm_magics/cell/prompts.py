"""Prompt text from typed text: variables put in once, errors that name the place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from parallm_magics.cell.blocks import Block, Text
from parallm_magics.cell.directives import is_blank
from parallm_magics.cell.items import Items, items_of
from parallm_magics.cell.tables import Gap, gap_in, is_missing, way_out
from parallm_magics.cell.variables import (
    Part,
    Ref,
    as_text,
    fill,
    path,
    public_names,
    spelling_of,
    split,
    value_of,
    whole,
)
from parallm_magics.errors import OptionError, VariableError, nearest, translated

Parts = tuple[Part, ...]
NO_VALUES: Mapping[str, Any] = MappingProxyType({})
PER_ITEM = frozenset({"item", "index"})
# Names that stand for answers or the shared text, with the blocks that they belong in.
_LATER = {"outputs": "%synthesis", "candidates": "%judge", "task": "%synthesis and %judge"}


class Keys(Protocol):
    """The names under which a result holds its answers."""

    def has_key(self, key: str) -> bool:
        """Tell whether the result can have this key."""

    def some_keys(self) -> list[str]:
        """Return the first keys of the result."""


class Prompts:
    """Renders the texts of one cell.

    Attributes:
        items: what `--each` runs over; None without it.
        notes: what the user should know of what was put in, one line each.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        blind: bool = False,
        blocks: Mapping[str, Block] = NO_VALUES,
    ) -> None:
        """Take what `{{name}}` may stand for.

        Args:
            blind: whether nothing is put in.
            blocks: the cell's blocks by name, which a prompt may be taken to see.
        """
        self._variables = variables
        self._blind = blind
        self._blocks = blocks
        self._texts: dict[tuple[object, ...], str] = {}
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._empty: set[str] = set()
        self.items: Items | None = None
        self.notes: list[str] = []

    def parts(self, text: Text) -> tuple[Part, ...]:
        """Split the text into literal pieces and variables."""
        if text.value not in self._parts:
            self._parts[text.value] = (text.value,) if self._blind else split(text.value)
        return self._parts[text.value]

    def render(self, text: Text, place: str, values: Mapping[str, Any] = NO_VALUES) -> str:
        """Put the variables into a text.

        Args:
            values: what `{{item}}` and `{{index}}` stand for at present.
        """
        if self._blind or "{{" not in text.value:
            return text.value
        return self.filled(text, self.parts(text), place, values)

    def filled(
        self, text: Text, parts: Parts, place: str, values: Mapping[str, Any] = NO_VALUES
    ) -> str:
        """Put the variables into these parts of a text."""
        return fill(parts, lambda ref: self.text_of(ref, lambda: at(text, ref, place), values))

    def template(self, text: Text, place: str, late: str, keys: Keys | None) -> Parts:
        """Put the variables into a text, but for `late` and `task`, which come later.

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
                _check_output(part, keys, at(text, part, place))
                parts.append(part)
            elif part.name in (late, "task") and not part.steps:
                parts.append(part)
            else:
                parts.append(self.filled(text, (part,), place))
        return tuple(parts)

    def option(self, ref: Ref, line: int = 1) -> Any:
        """Return the value of a variable in an option on this line."""
        return ref.source if self._blind else self._value(ref, f"line {line}", NO_VALUES)

    def named(self, ref: Ref, where: str) -> Any:
        """Return the value of a variable that an option names, whatever is put into prompts."""
        return value_of(ref, self._variables, where, named=True)

    def find_items(self, each: Any) -> Items:
        """Find the items that --each runs over.

        Raises:
            OptionError: nothing to run over, or nothing that has an order.
        """
        name, value = "--each", each
        if isinstance(each, str):
            ref = path(each) or whole(each)
            if ref is None:
                raise OptionError(f"--each: {each[:40]!r} is not a variable")
            name = ref.shown
            if spelling_of(ref.name, self._variables) is None:
                hint = nearest(ref.name, public_names(self._variables))
                raise OptionError(f"--each: there is no variable {ref.name[:60]!r}{hint}")
            value = value_of(ref, self._variables, "--each", named=True)
        self.items = items_of(value, name)
        return self.items

    def missing(self, gap: Gap, shown: str = "") -> str:
        """Say that an item, or a part of it, holds no value, and how to leave such items out."""
        items = self.items
        package = items.table.package if items is not None and items.table is not None else ""
        code = way_out(package, items.name if items is not None else "items", gap)
        what = shown or (f"column {gap.column!r}" if gap.column else "item")
        return f"{what} is {gap.value} (a missing value); drop or fill such items: {code}"

    def _refuse_missing(self, ref: Ref, value: Any, where: str) -> None:
        """Refuse an item, or a part of it, that holds no value: "nan" is no text of anybody's."""
        if is_missing(value):
            gap = Gap(0, str(ref.steps[-1][1]) if ref.steps else "", value)
            raise VariableError(f"{where}: {self.missing(gap, ref.shown)}")
        in_table = self.items is not None and self.items.table is not None and not ref.steps
        if in_table and (found := gap_in(value)) is not None:
            raise VariableError(f"{where}: {self.missing(found)}")

    def _value(self, ref: Ref, where: str, values: Mapping[str, Any]) -> Any:
        if ref.name in values:
            return value_of(ref, values, where)
        if ref.name in PER_ITEM and ref.name not in self._variables:
            raise VariableError(
                f"{where}: {ref.source} works only in a worker's prompt, with --each NAME on the "
                f"cell's first line; to keep it as text, write \\{ref.source}"
            )
        if spelling_of(ref.name, self._variables) is None:
            self._refuse_answers(ref, where)
        return value_of(ref, self._variables, where)

    def _refuse_answers(self, ref: Ref, where: str) -> None:
        """Refuse a name that stands for what the cell's own calls answer, which no prompt of it sees."""
        keep = f"to keep it as text, write \\{ref.source}"
        if ref.name in _LATER:
            raise VariableError(
                f"{where}: {ref.source} works only in {_LATER[ref.name]}: all other blocks run at "
                f"the same time and see no answers; for a next step, use a second cell that reads "
                f"this result (-o NAME, then {{{{NAME.text}}}}), or {keep}"
            )
        if ref.name in self._blocks:
            raise VariableError(
                f"{where}: there is no variable {ref.name!r}, and {self._blocks[ref.name].where} "
                f"runs at the same time; for its answer, use {{{{outputs.{ref.name}}}}} in a "
                f"%synthesis or a second cell, or {keep}"
            )

    def text_of(self, ref: Ref, place: Callable[[], str], values: Mapping[str, Any]) -> str:
        """Return what a variable puts into a prompt; one that no item changes is looked at once."""
        key, by_item = (ref.name, ref.steps), ref.name in values
        if not by_item and key in self._texts:
            return self._texts[key]
        where = f"item {values['index']}, {place()}" if by_item else place()
        value = self._value(ref, where, values)
        if by_item and ref.name == "item":
            self._refuse_missing(ref, value, where)
        text = translated(
            lambda: as_text(value, ref.shown),
            lambda error: VariableError(f"{where}: {error}"),
            VariableError,
        )
        if issubclass(type(value), str) and "\ufffd" in text and text != value:
            note = f"{ref.source}: broken characters (half surrogate pairs) were sent as U+FFFD"
            self.notes += [] if note in self.notes else [note]
        if _is_empty(value, text) and ref.source not in self._empty:
            self._empty.add(ref.source)
            self.notes.append(f"{where}: {ref.source} is empty")
        if not by_item:
            self._texts[key] = text
        return text


def at(text: Text, ref: Ref, place: str) -> str:
    """Return where a variable stands, as an error names it."""
    return f"line {text.line_at(ref.position)}, {place}"


def _is_empty(value: Any, text: str) -> bool:
    """Tell whether a model would be shown nothing of a value: no text, no item, no row."""
    if is_blank(text):
        return True
    with contextlib.suppress(Exception):  # a value of the user's may raise anything
        return len(value) == 0
    return False


def _check_output(ref: Ref, keys: Keys, where: str) -> None:
    if not ref.steps:
        return
    key = str(ref.steps[0][1])
    if len(ref.steps) > 1 or not keys.has_key(key):
        some = keys.some_keys()
        known = nearest(key, some) or f"; known: {', '.join(some)}"
        raise VariableError(f"{where}: {ref.source}: there is no section {key!r}{known}")

"""Prompt text from typed text: variables put in once, errors that name the place."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from parallm_magics.cell.blocks import Text
from parallm_magics.cell.readers import MOST_WORKERS
from parallm_magics.cell.variables import Part, Ref, as_text, fill, path, split, value_of, whole
from parallm_magics.errors import OptionError, VariableError, nearest
from parallm_magics.types import Reading

_PER_ITEM = frozenset({"item", "index"})


class Prompts:
    """Renders the texts of one cell.

    Attributes:
        notes: what was changed on the way, one line each.
        item_used: whether any text named the item or its index.
    """

    def __init__(self, variables: Mapping[str, Any], blind: bool = False) -> None:
        self._variables = variables
        self._blind = blind
        self._values: Mapping[str, Any] = {}
        self._texts: dict[tuple[object, ...], str] = {}
        self._shared: dict[str, bool] = {}
        self.notes: list[str] = []

    @property
    def item_used(self) -> bool:
        """Whether any text named `{{item}}` or `{{index}}`."""
        return bool(self._shared)

    def with_values(self, values: Mapping[str, Any]) -> Prompts:
        """The same cell's texts with further variables that win over the notebook's."""
        other = Prompts(self._variables, self._blind)
        other._values = values
        other._texts = self._texts
        other._shared = self._shared
        other.notes = self.notes
        return other

    def render(self, text: Text, place: str) -> str:
        """The text with its variables put in."""
        if self._blind:
            return text.value
        return fill(
            split(text.value),
            lambda ref: self._text(ref, functools.partial(self._where, text, ref, place)),
        )

    def template(self, text: Text, place: str, sections: Iterable[str]) -> tuple[Part, ...]:
        """The text with its variables put in, but for `outputs` and `task`, which come later."""
        if self._blind:
            return (text.value,)
        parts: list[Part] = []
        for part in split(text.value, outputs=True):
            if isinstance(part, str):
                parts.append(part)
            elif part.name == "outputs":
                _check_output(part, list(sections), self._where(text, part, place))
                parts.append(part)
            elif part.name == "task" and not part.steps:
                parts.append(part)
            else:
                parts.append(self._text(part, functools.partial(self._where, text, part, place)))
        return tuple(parts)

    def option(self, ref: Ref, line: int = 1) -> Any:
        """The value of a variable in an option on this line."""
        if self._blind:
            return ref.source
        return self._value(ref, f"line {line}")

    def items(self, each: Any) -> list[Any]:
        """The items that --each runs over.

        Raises:
            OptionError: nothing to run over, or nothing that has an order.
        """
        name, value = "--each", each
        if isinstance(each, str):
            ref = path(each) or whole(each)
            if ref is None:
                raise OptionError(f"--each: {each[:40]!r} is no variable")
            name, value = ref.source.strip("{} "), value_of(ref, self._variables, "--each")
        found = _as_items(value, name)
        if not found:
            raise OptionError(f"--each: {name} is empty; a generator can be read once")
        return found

    def _where(self, text: Text, ref: Ref, place: str) -> str:
        return f"line {text.line_at(ref.position)}, {place}"

    def _value(self, ref: Ref, where: str) -> Any:
        if ref.name in _PER_ITEM:
            if ref.name in self._values:
                self._shared["item"] = True
                return value_of(ref, self._values, where)
            if ref.name not in self._variables:
                raise VariableError(
                    f"{where}: {ref.source} needs --each NAME on the cell's first line, "
                    "and stands in the prompt of a worker"
                )
        return value_of(ref, self._variables, where)

    def _text(self, ref: Ref, place: Callable[[], str]) -> str:
        key = (ref.name, ref.steps)
        if ref.name not in self._values and key in self._texts:
            return self._texts[key]
        lead = f"item {self._values['index']}, " if ref.name in self._values else ""
        where = f"{lead}{place()}"
        value = self._value(ref, where)
        problem = ""
        text = ""
        try:
            text = as_text(value, ref.source.strip("{} \t"))
        except VariableError as error:
            problem = str(error)
        if problem:
            raise VariableError(f"{where}: {problem}")
        if issubclass(type(value), str) and "\ufffd" in text and text != value:
            self.notes.append(f"{ref.source}: half surrogate pairs were sent as U+FFFD")
        if ref.name not in self._values:
            self._texts[key] = text
        return text


def asking(reading: Reading) -> str:
    """The closing line that asks for an answer in a readable form; empty where none is needed."""
    if reading.kind == "choice":
        return f"End with one line: ANSWER: <one of {', '.join(reading.choices)}>"
    if reading.kind == "score":
        return f"End with one line: ANSWER: <a number from {reading.low:g} to {reading.high:g}>"
    return ""


def _check_output(ref: Ref, sections: list[str], where: str) -> None:
    if not ref.steps:
        return
    key = str(ref.steps[0][1])
    if len(ref.steps) > 1 or key not in sections:
        known = nearest(key, sections) or f"; known: {', '.join(sections[:8])}"
        raise VariableError(f"{where}: {ref.source}: no section {key!r}{known}")


def _as_items(value: Any, name: str) -> list[Any]:
    if isinstance(value, str | bytes):
        raise OptionError(
            f"--each: {name} is one text; a list of items is needed, such as {name}.split()"
        )
    if isinstance(value, Mapping):
        raise OptionError(
            f"--each: {name} is a dict; say which part: list({name}.values()), or .items()"
        )
    if isinstance(value, set | frozenset):
        raise OptionError(f"--each: {name} is a set, without an order; use sorted({name})")
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "to_dict"):
        if type(value).__name__ != "DataFrame":
            return list(value.tolist())
        if not value.columns.is_unique:
            raise OptionError(
                f"--each: {name} has two columns of one name, and a row can hold only one of them; rename one"
            )
        return list(value.to_dict("records"))
    if type(value).__module__.partition(".")[0] == "polars" and hasattr(value, "to_dicts"):
        return list(value.to_dicts())
    problem = ""
    found: list[Any] = []
    try:
        found = list(itertools.islice(value, MOST_WORKERS + 1))
    except TypeError:
        problem = f"{name} is of type {type(value).__name__}; a list of items is needed"
    # A generator of the user's may raise anything; it becomes one line.
    except Exception as error:
        problem = f"{name} broke off with {type(error).__name__}: {str(error)[:200]}"
    if len(found) > MOST_WORKERS:
        problem = (
            f"{name} has more than {MOST_WORKERS} items; take a part of it, such as {name}[:1000]"
        )
    if problem:
        raise OptionError(f"--each: {problem}")
    return found

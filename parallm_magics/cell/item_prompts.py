"""What prompts say of the item at hand: whether they name it, which parts, and that none is missing."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parallm_magics.cell.blocks import Text
from parallm_magics.cell.prompts import PER_ITEM, Prompts
from parallm_magics.cell.tables import Table
from parallm_magics.cell.variables import Ref
from parallm_magics.errors import OptionError, VariableError

Texts = Iterable[Text | None]
Steps = tuple[str | int, ...]


def names_item(prompts: Prompts, *texts: Text | None) -> bool:
    """Tell whether any of these texts names `{{item}}` or `{{index}}`."""
    return any(ref.name in PER_ITEM for ref in _refs(prompts, texts))


def words_of_item(prompts: Prompts, texts: Texts, values: Mapping[str, Any]) -> str:
    """Return what these texts say of the item at hand: the values of `{{item}}` or of its parts."""
    refs = {ref.steps: ref for ref in _refs(prompts, texts) if ref.name == "item"}
    return " · ".join(prompts.text_of(ref, lambda: "{{item}}", values) for ref in refs.values())


def beginning(prompts: Prompts, text: Text, place: str) -> str:
    """Return the text with its variables put in, up to the first that differs from item to item."""
    same = itertools.takewhile(
        lambda part: isinstance(part, str) or part.name not in PER_ITEM, prompts.parts(text)
    )
    return prompts.filled(text, tuple(same), place)


def refuse_label(
    prompts: Prompts, label: Steps, texts: Iterable[tuple[Text | None, str]], item: Any
) -> None:
    """Refuse prompts that hold the label of the item, alone or within the whole of it.

    Args:
        label: the steps from `{{item}}` to its label.
        texts: the texts with their places, as errors name them.
        item: an item, by which two ways to write one step are told to be the same.
    """
    hidden = _resolved(label, item)
    for text, place in texts:
        for ref in _refs(prompts, [text]):
            steps = _resolved(tuple(step for _, step in ref.steps), item)
            if text is not None and ref.name == "item" and steps == hidden[: len(steps)]:
                raise OptionError(
                    f"line {text.line_at(ref.position)}, {place}: {ref.source} would show the "
                    f"model the true label it has to find; use another part of the item, such as "
                    "{{item.text}}, or keep the labels in a separate list"
                )


def refuse_gaps(prompts: Prompts, texts: Texts, table: Table) -> None:
    """Refuse a table without a value in a cell that these texts need, however long it is."""
    refs = [ref for ref in _refs(prompts, texts) if ref.name == "item"]
    if table.once or not refs:
        return
    whole = any(not ref.steps for ref in refs)
    gap = table.gap(None if whole else [str(ref.steps[0][1]) for ref in refs])
    if gap is not None:
        raise VariableError(f"item {gap.row}: {prompts.missing(gap)}")


def _refs(prompts: Prompts, texts: Texts) -> list[Ref]:
    """Return the variables in these texts."""
    parts = [part for text in texts if text is not None for part in prompts.parts(text)]
    return [part for part in parts if isinstance(part, Ref)]


def _resolved(steps: Steps, value: Any) -> tuple[str, ...]:
    """Return the steps in one form: keys as texts, places counted from the beginning."""
    found = []
    for step in steps:
        from_end = isinstance(step, int) and step < 0 and isinstance(value, Sequence)
        found.append(str(int(step) + len(value) if from_end else step))
        with contextlib.suppress(Exception):  # a value of the user's may raise anything
            value = value[step]
    return tuple(found)

"""What is known of the items of a study before anybody is asked: their words and their true labels."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.items import BrokenSourceError, Items, items_of
from parallm_magics.cell.tables import is_missing
from parallm_magics.cell.variables import Ref, path, public_names, spelling_of, value_of, whole
from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError, VariableError, nearest, then, translated
from parallm_magics.voting import label_of, same_answer_key

SHOWN_CHARS = 200
"""Most characters of an item that are kept to show it."""

Path = tuple[str | int, ...]
Of = Callable[[int, Any], Any]
"""From the number of an item and the item to its true label as the user has it."""


class Labels:
    """The items' words and true labels, noted when their prompts are made.

    Attributes:
        part: the path within an item at which its label is; None where it is beside the items.
        words: what the prompts say of each item, by its number from 1.
        truth: the true labels by the same number, as answers are counted; items without one are
            left out.
        known: whether there are labels at all.
        listed: how many labels stand in a list of their own; None where they are parts of the items.
    """

    def __init__(self, reading: Reading, of: Of | None = None, part: Path | None = None) -> None:
        self._reading, self._of, self.part = reading, of, part
        self.known = of is not None
        self.listed: int | None = None
        self.words: dict[int, str] = {}
        self.truth: dict[int, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: what was noted, without the way to the labels that were not."""
        return {**vars(self), "_of": None}

    def note(self, at: int, item: Any, words: str) -> str | None:
        """Keep what is known of an item, and hand back its true label.

        Raises:
            VariableError: the item has no such part, or its label is no possible answer.
        """
        label = self.label(at, item)
        self.words[at] = words[:SHOWN_CHARS]
        if label is not None:
            self.truth[at] = label
        return label

    def label(self, at: int, item: Any) -> str | None:
        """Return the true label of an item as its answers are counted; None where it has none."""
        if self._of is None:
            return None
        value = self._of(at, item)

        def told(error: Exception) -> VariableError:
            problem = str(error) if type(error) is ValueError else type(error).__name__
            return VariableError(f"item {at}, --truth: {problem}")

        # A value of the user's may raise anything when it is looked at; it becomes one line.
        return translated(lambda: _counted(value, self._reading), told, Exception)


def labels_of(truth: Any, items: Items, variables: Mapping[str, Any], reading: Reading) -> Labels:
    """Return the labels that `--truth` names, or that a script gives.

    A text is the name of a column of the items, else a variable; `{{item.label}}` is a part of each
    item whatever its kind.

    Raises:
        OptionError: there are no such labels, or not as many as items; says the way out.
        VariableError: a label that is no possible answer; names the item.
    """
    if truth is None:
        return Labels(reading)
    ref = whole(truth) or path(truth) if isinstance(truth, str) else None
    if isinstance(truth, str) and _is_column(items, truth):
        ref = None
        labels = Labels(reading, lambda at, item: _part(item, truth), (truth,))
    elif ref is not None and ref.name in ("item", "index"):
        steps = tuple(step for _, step in ref.steps)
        labels = Labels(reading, lambda at, item: _at_item(ref, at, item), steps)
    else:
        name, value = "truth", truth
        if isinstance(truth, str):
            name, value = _variable(ref, truth, items, variables)
        return _listed(value, name, items, reading)
    if items.known is not None and not items.once:
        _check(labels, items, ref)
    return labels


def _check(labels: Labels, items: Items, ref: Ref | None) -> None:
    """Look at every label before anything is asked of anybody."""

    def looked_at() -> bool:
        found = False
        for at, item in enumerate(items, 1):
            labels.label(at, item)
            found = found or ref is None or _has(item, ref)
        return found

    found = translated(looked_at, lambda error: OptionError(f"--each: {error}"), BrokenSourceError)
    if not found and ref is not None and ref.name == "item":
        value_of(ref, {"item": items.first}, "item 1, --truth", named=True)


def _has(item: Any, ref: Ref) -> bool:
    """Tell whether an item has this part; one without is one without a label, unless all are."""
    try:
        value_of(ref, {"item": item, "index": 1})
    except VariableError:
        return False
    return True


def _variable(
    ref: Ref | None, typed: str, items: Items, variables: Mapping[str, Any]
) -> tuple[str, Any]:
    """Return the name and value of the variable that is meant."""
    if ref is None or spelling_of(ref.name, variables) is None:
        columns = [str(key) for key in items.first] if isinstance(items.first, Mapping) else []
        what = "no column of the items and no variable" if columns else "no variable"
        hint = nearest(typed, [*columns, *public_names(variables)])
        unknown = f"--truth: {what} is called {typed[:60]!r}{hint}"
        raise OptionError(then(unknown, "for a part of each item, write {{item.label}}"))
    return ref.shown, value_of(ref, variables, "--truth", named=True)


def _listed(value: Any, name: str, items: Items, reading: Reading) -> Labels:
    """Return labels that stand in the items' order in a list or column of their own, or by their keys."""
    if isinstance(value, Mapping):
        return _keyed(value, name, items, reading)

    def read() -> tuple[Items, list[Any]]:
        source = items_of(value, name)
        if source.read_async is not None or (source.known is None and items.known is None):
            raise OptionError(f"{name} must be a list with one label per item")
        return source, list(itertools.islice(source, (items.known or 10**9) + 1))

    source, values = translated(
        read,
        lambda error: OptionError(f"--truth: {str(error).removeprefix('--each: ')}"),
        *(OptionError, BrokenSourceError),
    )
    if items.known is not None and len(values) != items.known:
        count = f"more than {items.known:,}" if len(values) > items.known else f"{len(values):,}"
        raise OptionError(
            f"--truth: {name} has {count} {'label' if len(values) == 1 else 'labels'} for the "
            f"{items.known:,} items of {items.name}; use None for an item without a label"
        )
    single = all(isinstance(value, Mapping) and len(value) == 1 for value in values)
    if values and single and reading.schema is None:
        values = [next(iter(value.values())) for value in values]  # a table of one column
    if not _aligned(source, items):
        raise OptionError(
            f"--truth: the rows of {name} and of {items.name} have different index labels, so "
            f"they cannot be matched; take both from one table"
        )
    return _beside(values, reading)


def _beside(values: Sequence[Any], reading: Reading) -> Labels:
    """Return labels that stand beside the items, in their order; each is looked at."""
    labels = Labels(reading, lambda at, item: values[at - 1] if at <= len(values) else None)
    labels.listed = len(values)
    for at, _ in enumerate(values, 1):
        labels.label(at, None)
    return labels


def _keyed(value: Mapping[Any, Any], name: str, items: Items, reading: Reading) -> Labels:
    """Return labels that stand in a dict by the keys of the items; an item without one has none."""
    if items.keys is None:
        raise OptionError(
            f"--truth: {name} is a dict; use list({name}.values()), or pass the items as a dict "
            f"with the same keys"
        )
    known = dict.fromkeys(items.keys)
    strange = next((key for key in value if key not in known), None)
    if strange is not None:
        hint = nearest(str(strange), [str(key) for key in known])
        raise OptionError(
            f"--truth: {name} has the key {strange!r}, which {items.name} does not have{hint}"
        )
    return _beside([value.get(key) for key in items.keys], reading)


def _aligned(labels: Items, items: Items) -> bool:
    """Tell whether two pandas columns are of the same rows; of anything else only the order tells."""
    if labels.index is None or items.index is None:
        return True
    return bool(labels.index.equals(items.index))


def _is_column(items: Items, name: str) -> bool:
    """Tell whether any item has a part of that name, as far as they can be looked at."""
    seen = [items.first] if items.once or items.known is None else items
    with contextlib.suppress(BrokenSourceError):  # told when the labels are read
        return any(_part_key(item, name) is not None for item in seen)
    return False


def _part_key(item: Any, name: str) -> Any:
    """Return the key of the part that is meant; a column may be called by a number."""
    if not isinstance(item, Mapping):
        return None
    return name if name in item else next((key for key in item if str(key) == name), None)


def _part(item: Any, name: str) -> Any:
    key = _part_key(item, name)
    return None if key is None else item[key]


def _at_item(ref: Ref, at: int, item: Any) -> Any:
    if isinstance(item, Mapping) and not _has(item, ref):
        return None
    return value_of(ref, {"item": item, "index": at}, f"item {at}, --truth", named=True)


def key_of(label: str, reading: Reading) -> str:
    """Return the form in which an answer is held against the truth: what is written otherwise is the same."""
    return KINDS[reading.kind].key(label)


def _counted(value: Any, reading: Reading) -> str | None:
    """Return a label as the answers are counted; None for an unlabelled item.

    Raises:
        ValueError: it is no possible answer.
    """
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if reading.schema is not None:
        return _true_object(value, reading.schema)
    if isinstance(value, Mapping | list | tuple | set):
        raise ValueError(f"a label must be one word or number, not a {type(value).__name__}")
    if KINDS[reading.kind].is_number:
        return _number(value, reading)
    number = isinstance(value, Number) and not isinstance(value, bool)
    text = label_of(_float(value)) if number else str(value)
    if not reading.choices:
        return key_of(text, reading)
    key = same_answer_key(text)
    for choice in reading.choices:
        if same_answer_key(choice) == key:
            return choice
    raise ValueError(f"{text[:40]!r} is not one of the --choices: {', '.join(reading.choices)}")


def _true_object(value: Any, schema: Schema) -> str:
    """Return a true object as JSON.

    Args:
        value: an object of the schema, a dict of its fields, or either as JSON text.
    """
    plain = _json(value) if isinstance(value, str) else plain_value(value)
    if not isinstance(plain, Mapping):
        name = schema.name
        raise ValueError(
            f"expected an object of {name}: a dict, a {name} or JSON, got {value!r:.40}"
        )
    made = translated(
        lambda: schema.make(dict(plain)),
        lambda error: ValueError(f"it is no valid {schema.name}: {error}"),
        ValueError,
    )
    return json.dumps(schema.plain(made), ensure_ascii=False, sort_keys=True)


def _json(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None


def _number(value: Any, reading: Reading) -> str:
    number = _float(value)
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    low, high = reading.low, reading.high
    rounded = float(f"{number:.15g}")
    if low is not None and high is not None and not low <= rounded <= high:
        raise ValueError(f"{number:g} is outside {low:g}..{high:g}")
    return key_of(label_of(number), reading)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan

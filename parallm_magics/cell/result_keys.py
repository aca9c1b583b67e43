"""The keys under which a run holds its answers: a name, or an item's key, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parallm_magics.cell.items import Items
from parallm_magics.cell.worker_specs import WorkerSpec
from parallm_magics.core.tasks import Plain


class ResultKeys:
    """From the number of an item and a name of the cell to the key in the result, and back.

    Attributes:
        by_item: whether there is a round of calls an item.
        counted: whether the keys are counted, as those of items and repeats are.
    """

    def __init__(self, workers: Sequence[WorkerSpec], items: Items | None) -> None:
        self.by_item = items is not None
        unnamed = all(worker.block is None for worker in workers)
        self.counted = self.by_item or unnamed
        self._items_alone = self.by_item and unnamed and len(workers) == 1
        self._items = items.keys if items is not None else None
        self._numbers = {str(key): at for at, key in enumerate(self._items or (), 1)}

    def key(self, at: int, name: str) -> Any:
        """Return the key of the result for a name of the cell, for the item of that number."""
        if not self.by_item:
            return name
        return self.item(at) if self._items_alone else f"{self.item(at)}.{name}"

    def item(self, at: int) -> Any:
        """Return the key of an item: the user's where there is one, else its number."""
        return str(at) if self._items is None else self._items[at - 1]

    def plain_item(self, at: int) -> Plain:
        """Return the key of an item as JSON holds it; None without items."""
        key = self.item(at) if self.by_item else None
        return key if key is None or isinstance(key, int | float | str) else str(key)

    def number_of(self, key: str) -> int:
        """Return the number of the item that a key of the result is about; any where there is none."""
        if not self.by_item:
            return 1
        if self._items is not None:
            return self._numbers.get(key) or self._numbers.get(key.rpartition(".")[0]) or 1
        number = key.partition(".")[0]
        return int(number) if number.isdecimal() and len(number) < 12 else 1

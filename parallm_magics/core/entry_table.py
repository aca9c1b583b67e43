"""Tables that others may add to: a user by a call, an installed package by an entry point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What has a name of its own."""

    @property
    def name(self) -> str:
        """By which it is found."""


Entry = TypeVar("Entry", bound=Named)


class EntryTable(Mapping[str, Entry], Generic[Entry]):
    """Entries by name: our own, then what users and installed packages add.

    Packages are asked when a name is missing or all names are wanted, and once only.
    """

    def __init__(
        self,
        group: str,
        own: Iterable[Entry],
        check: Callable[[Entry], None],
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        """Hold our own entries.

        Args:
            group: the group of entry points by which packages add theirs: each is an entry.
            own: the entries that nobody may replace.
            check: refuses what can be no entry, or one that would hide another.
            tell: hears the name of an entry point that fails, and why; without it that is a warning.
        """
        self._group, self._check = group, check
        self._tell = tell or self._warn
        self._entries = {entry.name: entry for entry in own}
        self.own = frozenset(self._entries)
        self._is_complete = False

    def add(self, entry: Entry) -> None:
        """Take in one more; one of the same name that was added before gives way."""
        self._check(entry)
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take out one that was added."""
        if name not in self.own:
            self._entries.pop(name, None)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            self._complete()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return iter(self._entries)

    def __len__(self) -> int:
        self._complete()
        return len(self._entries)

    def _complete(self) -> None:
        """Take in what packages add; one that fails costs no other."""
        if self._is_complete:
            return
        self._is_complete = True
        for point in entry_points(group=self._group):
            try:
                self.add(point.load())
            except Exception as error:  # a package's own code may raise anything
                self._tell(point.name, f"{type(error).__name__}: {error}")

    def _warn(self, name: str, why: str) -> None:
        warnings.warn(f"{self._group}: {name} was skipped: {why}", stacklevel=3)

"""What is known of an option: its flags, reader, help, default, setting, completion and script keyword."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from parallm_magics.cell import option_values as read

MAGICS = frozenset({"fanout", "vote"})

Offer = Literal["words", "models", "labels", "variables", "schemas"]
"""What completion offers for a value: words of its own, models, labels of --choices, names of variables, and
names of classes and dicts that say what an object is like."""

NAMES: frozenset[Offer] = frozenset({"variables", "schemas"})
"""What is offered for a value that stands in a variable."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as users meet it.

    Attributes:
        name: the script keyword and the name of the setting.
        flags: as typed, the long one first.
        read: from typed text or a Python value to the value; raises ValueError with the reason.
        help: one line.
        form: what stands for the value in help; "" for a switch, and where the words are known.
        where: the magics and block words that take it.
        default: the value when nobody says anything.
        known: the words that it takes, where those are all; may be a table that grows.
        offers: what completion offers for its value; the name of a variable is never looked up.
        also: what other tools call it.
        setting: whether `%config ParallmMagics.NAME` sets its default.
        keyword: whether a script may give it.
        repeats: whether it may be given more than once.
    """

    name: str
    flags: tuple[str, ...]
    read: Callable[[Any], Any]
    help: str
    form: str = ""
    where: frozenset[str] = MAGICS
    default: Any = None
    known: Collection[str] = ()
    offers: Offer = "words"
    also: tuple[str, ...] = ()
    setting: bool = True
    keyword: bool = True
    repeats: bool = False

    @property
    def metavar(self) -> str:
        """What stands for the value in help; "" for a switch."""
        return self.form or "|".join(self.known)

    @property
    def meaning(self) -> str:
        """What it does and, where there is one, its default."""
        plain = self.default in (None, False, ())
        return self.help if plain else f"{self.help} [{self.default}]"


def option(
    usage: str,
    reader: Callable[[Any], Any],
    text: str,
    *,
    where: Iterable[str] = MAGICS,
    default: Any = None,
    also: str = "",
    **more: Any,
) -> Any:
    """Define an option as a field.

    Args:
        usage: its flags, and behind them what stands for the value.
        also: what other tools call it, blanks between.
    """
    flags = tuple(word for word in usage.split() if word.startswith("-"))
    more |= {"flags": flags, "form": " ".join(usage.split()[len(flags) :])}
    more |= {"read": reader, "help": text, "where": frozenset(where), "also": tuple(also.split())}
    return dataclasses.field(default=default, metadata=more)


def words(flags: str, known: Collection[str], text: str, **more: Any) -> Any:
    """Define an option that takes one of these words; may be a table that grows."""
    return option(flags, read.one_of(known), text, known=known, **more)


def switch(flags: str, text: str, **more: Any) -> Any:
    """Define an option that is on or off."""
    return option(flags, read.switch, text, default=False, **more)

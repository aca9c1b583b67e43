"""Which mode of recordings holds: the environment's word, else the user's."""

from __future__ import annotations

import os
from typing import Literal, get_args

from parallm_magics.errors import OptionError, nearest, then

Mode = Literal["auto", "replay", "refresh", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)
VARIABLE = "PARALLM_RECORDINGS"


def mode_of(word: str) -> Mode:
    """The mode of that name.

    Raises:
        OptionError: there is none; names those there are.
    """
    for mode in MODES:
        if mode == word.strip().lower():
            return mode
    known = ", ".join(MODES)
    near = nearest(word.lower(), MODES)
    raise OptionError(then(f"%parallm recordings: --mode {word[:20]!r}{near}", f"known: {known}"))


def from_variable() -> tuple[str | None, Mode | None]:
    """The file and the mode that PARALLM_RECORDINGS names: a path, a mode, or `mode:path`."""
    value = os.environ.get(VARIABLE, "").strip()
    first, colon, rest = value.partition(":")
    for mode in MODES:
        if mode == first.strip().lower() and (rest.strip() or not colon):
            return rest.strip() or None, mode
    return value or None, None


def forced(wanted: Mode) -> Mode:
    """The mode that holds where the user wants this one: the environment's wins, as in CI."""
    return from_variable()[1] or wanted


def offline() -> bool:
    """Whether nothing may be asked of anybody, whatever a notebook says."""
    return from_variable()[1] == "replay"

"""The errors a user can meet, each shown in a notebook as one line.

ParallmError
├── CellSyntaxError     the cell's blocks cannot be read
├── OptionError         an option or its value cannot be used
├── VariableError       a {{variable}} is missing or cannot be put into a prompt
├── ModelError          no model, an unknown one, or one that cannot do what is asked
│   └── MissingKeyError the provider's key is not set
├── RecordingMissing    a replay has no answer for a worker; names what differs
├── TooFewSucceeded     fewer workers succeeded than --min-success; carries every record
├── BudgetExceeded      a cost cap stopped calls; carries every record
└── GuardrailBlocked    a guardrail with --on-block raise blocked the work; carries the run
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from parallm_magics.core.characters import spelt_out

if TYPE_CHECKING:
    from parallm_magics.core.tasks import Record

T = TypeVar("T")


class ParallmError(Exception):
    """An error in one line: what is wrong, where, and how to fix it."""

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a stack; the error output that nbval reads stays a real one.
        return [f"{type(self).__name__}: {' '.join(str(self).split())}"]


class CellSyntaxError(ParallmError):
    """The cell's text cannot be read as blocks; the message names the line of the cell."""


class OptionError(ParallmError):
    """An option is unknown, misplaced, or has an invalid value."""


class VariableError(ParallmError):
    """A variable is missing, or its value cannot become prompt text without loss."""


class ModelError(ParallmError):
    """No model is chosen, the model is unknown, or it cannot do what the cell asks."""


class MissingKeyError(ModelError):
    """The provider needs a key that is not set; the message names the environment variable."""


class RecordingMissing(ParallmError):
    """A replay has no recorded answer for a worker; the message says what differs."""


class UnfinishedError(ParallmError):
    """A run ended before everything was done; all its results are kept.

    Attributes:
        records: the record of every worker, successes included, in the cell's order.
        run: the run as far as it got, with the same records.
    """

    def __init__(self, message: str, records: Sequence[Record] = (), run: Any = None) -> None:
        super().__init__(message)
        self.records = tuple(records)
        self.run = run


class TooFewSucceeded(UnfinishedError):
    """Fewer workers succeeded than `--min-success` requires; carries every record."""


class BudgetExceeded(UnfinishedError):
    """A cost cap stopped calls that could have exceeded it; carries every record."""


class GuardrailBlocked(UnfinishedError):
    """A guardrail with `--on-block raise` blocked the work."""


LONGEST = 1200


def _one_line(message: str) -> str:
    """Return the message on one line: what cannot be seen is spelt out, far too much is left out."""
    text = " ".join(part.strip() for part in re.split(r"[\r\n]+", message.strip()))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    return spelt_out(text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like this one as "; did you mean …?", or nothing where none is near."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""


def then(said: str, rest: str) -> str:
    """Return both, the rest after a question as a sentence of its own, else after a semicolon."""
    if not rest:
        return said
    return f"{said} {rest[0].upper()}{rest[1:]}" if said.endswith("?") else f"{said}; {rest}"


def translated(
    call: Callable[[], T], into: Callable[[Any], Exception], *kinds: type[BaseException]
) -> T:
    """Return what the call gives; an error of these kinds is raised as the one made of it.

    The new error does not carry the old one, not even as its context: IPython would show both.
    """
    try:
        return call()
    except kinds as error:
        caught = error
    try:
        raise into(caught)
    finally:
        del caught  # its traceback holds this frame

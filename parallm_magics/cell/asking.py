"""How an answer is asked for in a form that can be read: the closing lines of a prompt, and its flag."""

from __future__ import annotations

import math
from dataclasses import replace

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.options import Options
from parallm_magics.cell.worker_specs import WorkerSpec
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError
from parallm_magics.voting.pick_rules import PICKS


def closing_lines(
    options: Options,
    reading: Reading | None,
    place: int,
    unlike: int,
    form: Reading | None = None,
) -> str:
    """Return the lines that end a worker's prompt; empty where they are not wanted.

    Args:
        place: the worker's place, from 0; where the choices are shuffled it turns their order.
        unlike: how many unlike workers take turns; each of them is to meet every order.
        form: what the answer is held to, or None.
    """
    if options.no_ask:
        return ""
    reading = reading or Reading("open")
    turn = 0
    if options.shuffle_choices and reading.choices:
        size = len(reading.choices)
        turn = (place + place // math.lcm(unlike, size)) % size
    confidence = PICKS[options.pick].states_confidence
    return asking(reading, turn=turn, confidence=confidence, enforced=form is not None)


def asking(
    reading: Reading, *, turn: int = 0, confidence: bool = False, enforced: bool = False
) -> str:
    """Return the closing lines that ask for an answer in a readable form; empty where none are needed.

    An enforced label is all that the model may write, so that no marker and no reasoning are asked for.
    The words hold as well where a server does not enforce it.

    Args:
        turn: by how many places the choices are rotated.
        confidence: whether a stated confidence is asked for too.
    """
    kind = KINDS[reading.kind]
    if closing := kind.closing(reading):
        return closing
    choices = (*reading.choices[turn:], *reading.choices[:turn])
    wanted = kind.asks(replace(reading, choices=choices))
    if enforced and kind.is_enforceable:
        bare = wanted.removeprefix("<").removesuffix(">") or "a number"
        return f"Answer with nothing but {bare}."
    if confidence and kind.is_number:
        wanted = wanted or "<the number>"
    wanted = f"ANSWER: {wanted}" if wanted else ""
    if not confidence:
        return f"End with one line: {wanted}" if wanted else ""
    sure = "CONFIDENCE: <a whole number from 0 to 100>"
    return f"End with two lines:\n{sure}\n{wanted}" if wanted else f"Begin with one line: {sure}"


def flag_label(worker: WorkerSpec, reading: Reading | None) -> str | None:
    """Return the label that `--flag` names, as the choices spell it; a cell's flag passes by workers without it.

    Raises:
        OptionError: the worker's own flag is none of its choices.
    """
    wanted = worker.options.flag or ""
    choices = reading.choices if reading else ()
    label = next((c for c in choices if c.casefold() == wanted.casefold()), None)
    if label is None and "flag" in worker.own:
        known = ", ".join(choices) or "none (add --choices)"
        raise OptionError(
            f"--flag {wanted}: {worker.name} has no such choice; its choices: {known}"
        )
    return label

"""An answer that does not conform is asked for once more, with what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

from parallm_magics.answers.read_answer import Answer, read_whole
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Fault, Task

MOST_QUOTED = 20_000
"""Characters of the earlier answer that are quoted, as its start, so that a further try stays payable."""


def reading_at_once(task: Task, reply: Reply) -> Answer | None:
    """Return what a complete reply says, where a further try can mend it; else None."""
    reading = task.reading
    if reading is None or KINDS[reading.kind].whole is None:
        return None
    return read_whole(reply.text, reading)


def unread_fault(answer: Answer | None) -> Fault | None:
    """Return why an answer is to be asked for once more; None where it conforms, or was declined."""
    if answer is None or answer.state != "invalid":
        return None
    return Fault("unreadable", answer.problem)


def correction_of(task: Task, text: str, problem: str, left: float) -> Task:
    """Return the call that asks once more, its prompt beginning with all of the first one.

    Args:
        text: the answer that does not conform.
        problem: what is wrong with it, in one line.
        left: seconds until the worker's deadline.
    """
    quoted = text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}…"
    again = (
        f"Your last answer was:\n{quoted}\n\nIt is not valid: {problem}\n"
        f"Answer again with the corrected JSON object and nothing else."
    )
    return replace(task, prompt=f"{task.prompt}\n\n{again}", deadline=left)


def not_mended(first: Fault, last: Fault) -> Fault:
    """Return the fault of an answer that does not conform and could not be had again."""
    if last.kind == "unreadable":
        return last
    return replace(first, message=f"{first.message}; asked again: {last.message}")

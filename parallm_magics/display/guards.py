"""What the guardrails said, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import looks, text
from parallm_magics.display.text import Foreign
from parallm_magics.display.view import Guard

REASON = 300
"""Most characters of a reason that are drawn."""


def guard_line(guard: Guard, foreign: Foreign = text.one_line) -> str:
    """What a guard said and what follows from it, in words."""
    who = f"Guardrail '{foreign(guard.name, 60)}'"
    reason = guard.reason.strip()
    if guard.verdict is None:
        why = f" ({foreign(reason, REASON)})" if reason else ""
        return f"{who} gave no verdict{why}, which {'lets pass' if guard.passed else 'blocks'}"
    label = foreign(guard.verdict, 60)
    if guard.passed:
        against = f" ({foreign(guard.block, 60)} blocks)" if guard.block else ""
        return f"{who} passed: {label}{against}"
    why = f". {foreign(reason, REASON)}" if reason not in ("", guard.verdict) else ""
    return f"{who} blocked: {label}{why}"


def guards_html(guards: Sequence[Guard]) -> str:
    """The guards' lines, with a coloured mark that says the same as the words."""
    return "".join(
        f'<div style="{looks.SMALL};margin:.3em 0 0;overflow:hidden">'
        f"{looks.dot(_colour(guard))}{guard_line(guard, text.isolated)}</div>"
        for guard in guards
    )


def guards_plain(guards: Sequence[Guard]) -> list[str]:
    """The guards' lines for a terminal."""
    return [guard_line(guard) for guard in guards]


def _colour(guard: Guard) -> str:
    if not guard.passed:
        return looks.RED
    return looks.AMBER if guard.verdict is None else looks.GREEN

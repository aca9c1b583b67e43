"""Tab in a cell of ours: IPython's completer asks here first."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parallm_magics.cell.suggestions import Suggestion, Suggestions, beginning_with, suggest
from parallm_magics.notebook.settings import names_of

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext

Matcher = Callable[["CompletionContext"], Any]

_LINE = re.compile(r"%parallm[ \t]+(?P<rest>.*)$")
_WIDTH = 60
"""Most characters beside a suggestion, so that the list fits into half a window."""
_FIRST = 10_000
"""Above IPython's own matchers, so that theirs give way where there is something of ours."""


def matcher(shell: Any) -> Matcher | None:
    """Return what IPython asks with each Tab; it never raises, and is silent in cells that are not ours.

    None where IPython asks nobody: before 8.6, as in Colab.
    """
    try:
        from IPython.core.completer import SimpleCompletion, context_matcher
    except ImportError:
        return None

    @context_matcher(identifier="parallm", priority=_FIRST)
    def complete(context: CompletionContext) -> Any:
        found = None
        # Whatever goes wrong here, the cell can still be typed.
        with contextlib.suppress(Exception):
            found = _suggestions(context, shell)
        if found is None:
            return {"completions": [], "suppress": False}
        completions = [SimpleCompletion(each.text, type=_beside(each)) for each in found.found]
        return {
            "completions": completions,
            "suppress": bool(completions),
            "matched_fragment": found.fragment,
            "ordered": True,
        }

    complete_: Matcher = complete
    return complete_


def _beside(suggestion: Suggestion) -> str:
    """Return what stands beside a suggestion; JupyterLab breaks it at every blank that can be broken at."""
    return textwrap.shorten(suggestion.about, _WIDTH, placeholder=" …").replace(" ", "\u00a0")


def _suggestions(context: CompletionContext, shell: Any) -> Suggestions | None:
    lines = context.full_text.split("\n")[: context.cursor_line]
    before = "\n".join([*lines, context.text_until_cursor])
    line = _LINE.match(context.text_until_cursor)
    if line is not None:
        return _command(line["rest"], shell)
    return suggest(before, names_of(shell), _models())


def _models() -> Sequence[str]:
    """Return names of models, then of every provider that is defined, last for its decision models."""
    from parallm_magics.providers import registry
    from parallm_magics.providers.entries import WELL_KNOWN

    known = registry.entries()
    simulated = [each.name for each in known if each.simulated]
    asked = [f"{each.name}:" for each in known if not each.simulated]
    deciding = [f"{each.name}{registry.DECIDE}:" for each in known if each.may_decide]
    return [*WELL_KNOWN, *simulated, *asked, *deciding]


def _command(rest: str, shell: Any) -> Suggestions | None:
    """Return the commands of `%parallm`, and what may stand behind each."""
    from parallm_magics.notebook.batches_command import open_ids
    from parallm_magics.notebook.commands import COMMANDS, FLAGS
    from parallm_magics.recordings.modes import MODES

    *typed, fragment = re.split(r"[ \t]+", rest)
    if not typed:
        return beginning_with(fragment, ((name, _said(run)) for name, run in COMMANDS.items()))
    if typed[-1] == "--mode":
        return beginning_with(fragment, ((mode, "mode") for mode in MODES))
    if len(typed) == 2 and typed[0] == "batches":
        return beginning_with(fragment, open_ids(shell))
    flags = FLAGS.get(typed[0], {})
    found = beginning_with(fragment, ((flag, flags[flag]) for flag in flags if flag not in typed))
    return found if found.found else None


def _said(command: Callable[..., object]) -> str:
    """Return what a command says of itself, in its first line."""
    return (command.__doc__ or "").partition("\n")[0].rstrip(".")

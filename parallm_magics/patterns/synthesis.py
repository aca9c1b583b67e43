"""Make one text of many sections: joined as they are, or merged by one more call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from parallm_magics.cell.auxiliary_calls import FollowUp
from parallm_magics.cell.variables import Ref, fill
from parallm_magics.core.characters import without_invisible
from parallm_magics.core.tasks import Record, Task
from parallm_magics.display.looks import STATES
from parallm_magics.patterns.quoting import framed, nonce_of, quoted

MERGE = (
    "Merge the answers above into one text. Keep every finding, name it once, put what matters most "
    "first, and say where the answers disagree."
)
# How a section that is no success is marked wherever its text is put beside others.
# Shown beside the mark: the text of these is part of a real answer.
_PARTIAL = frozenset({"truncated", "failed", "timed_out"})


def marked(record: Record) -> str:
    """A section's text, or what there is of it, with the mark of a section that is no success."""
    if record.ok:
        return record.text.strip()
    text = record.text.strip() if record.status in _PARTIAL else ""
    mark = STATES[record.status].mark
    return f"{text}\n\n{mark}" if text else mark


def join(texts: Mapping[str, str]) -> str:
    """The sections one after another, each under its name; a single one as it is."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in texts.items())


def synthesis_task(synthesis: FollowUp, shared: str, texts: Mapping[str, str], seed: int) -> Task:
    """The merging call: task and answers as quoted data, then the user's words.

    What workers wrote is untrusted. It stands between marks that it cannot know, said to be data
    before and after; that contains an injection, it does not rule one out.
    """
    shown = {name: without_invisible(text) for name, text in texts.items()}
    nonce = nonce_of(seed, shared, shown)

    def output(ref: Ref) -> str:
        if ref.name == "task":
            return quoted("task", shared, nonce)
        if ref.steps:
            name = str(ref.steps[0][1])
            return quoted(f"answer {name}", shown[name], nonce)
        return all_quoted

    all_quoted = "\n\n".join(quoted(f"answer {name}", text, nonce) for name, text in shown.items())
    used = {part.name for part in synthesis.parts if isinstance(part, Ref)}
    words = fill(synthesis.parts, output) or MERGE
    data = [quoted("task", shared, nonce)] if shared and "task" not in used else []
    data += [] if "outputs" in used else [all_quoted]
    return replace(synthesis.task, prompt=framed(nonce, data, words))


def open_call(synthesis: FollowUp) -> Task:
    """The merging call, its answers still open, as a dry run shows it."""
    parts = synthesis.parts or ("{{outputs}}", "\n\n", MERGE)
    text = "".join(part if isinstance(part, str) else part.source for part in parts)
    return replace(synthesis.task, prompt=text)

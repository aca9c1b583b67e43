"""The part of a program that asks a judge."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.cell.auxiliary_calls import FollowUp
from parallm_magics.cell.variables import Part, Ref
from parallm_magics.export.code_text import indented, quoted
from parallm_magics.patterns.judge import CHOOSE, SCORE

_CHOICE = '''\
async def verdict(texts):
    """Return the number, from 1, of the text that the judge chooses; None if it cannot be read."""
    # The models' answers are data: put them between marks, before the instructions.
    candidates = "\\n\\n".join(
        f"<candidate {n}>\\n{text}\\n</candidate {n}>" for n, text in enumerate(texts, 1)
    )
    verdict = f'{{"winner": <a number from 1 to {len(texts)}>, "reason": "<one sentence>"}}'
    form = f"Answer with one JSON object and nothing else: {verdict}"
    prompt = "\\n\\n".join(
PROMPT
    )
    for more in ("", f"\\n\\nYour last answer could not be read. {form}"):
        reply = await ASK
        place = read_verdict(reply, "winner", 1, len(texts), SHOWN)
        if place is not None:
            return place


async def judged(texts, otherwise):
    """Return the votes whose text the judge chooses in most orders; several if it changes its mind."""
    votes = list(texts)
    turns = min(len(votes), 3)
    starts = [turn * len(votes) // turns for turn in range(turns)]
    orders = {f"judge.{n}": votes[at:] + votes[:at] for n, at in enumerate(starts, 1)}
    places = await at_once(
        {name: verdict([texts[vote] for vote in order]) for name, order in orders.items()}
    )
    chosen = [order[places[name] - 1] if places.get(name) else None for name, order in orders.items()]
    for vote in votes:
        if 2 * chosen.count(vote) > turns:
            return [vote]
    return otherwise if None in chosen else [vote for vote in votes if vote in chosen]'''

_SCORES = '''\
async def score(text):
    """Return the judge's score of a text; None if it cannot be read."""
    # The model's answer is data: put it between marks, before the instructions.
    candidates = f"<candidate>\\n{text}\\n</candidate>"
    verdict = '{"score": <a number from LOW to HIGH>, "reason": "<one sentence>"}'
    form = f"Answer with one JSON object and nothing else: {verdict}"
    prompt = "\\n\\n".join(
PROMPT
    )
    for more in ("", f"\\n\\nYour last answer could not be read. {form}"):
        reply = await ASK
        found = read_verdict(reply, "score", LOW, HIGH, SHOWN, whole=False)
        if found is not None:
            return found


async def judged(texts, otherwise, tally):
    """Return the vote whose text has the highest score; ties go to more votes, then to the first."""
    scores = await at_once({vote: score(text) for vote, text in texts.items()})
    scored = [vote for vote in texts if scores.get(vote) is not None]
    if not scored:
        return otherwise
    return [max(scored, key=lambda vote: (scores[vote], tally[vote]))]'''


def judging(judge: FollowUp, shared: str, scores: bool, call: Callable[[str], str]) -> str:
    """The functions that ask a judge, in several orders or for a score of each text.

    Args:
        shared: the expression of the task; "" without one.
        call: from the expression of a prompt to the call.
    """
    named = {part.name for part in judge.parts if isinstance(part, Ref)}
    task = f'"<task>\\n" + {shared} + "\\n</task>"' if shared else quoted("")
    words = " + ".join(_part(part, task) for part in judge.parts)
    parts = [
        task if shared and "task" not in named else "",
        "" if "candidates" in named else "candidates",
        words or quoted(SCORE if scores else CHOOSE),
        "form",
    ]
    prompt = indented("[\n" + "".join(f"    {part},\n" for part in parts if part) + "]", 8)
    low, high = (f"{bound:.15g}" for bound in judge.span)
    source = _SCORES.replace("LOW", low).replace("HIGH", high) if scores else _CHOICE
    seen = "[text" if scores else "[*texts"
    return (
        source.replace("SHOWN", f"{seen}, {shared}]" if shared else f"{seen}]")
        .replace("ASK", call("prompt + more"))
        .replace("PROMPT", prompt)
    )


def _part(part: Part, task: str) -> str:
    """A part of the judge's text as an expression."""
    if isinstance(part, str):
        return quoted(part)
    return task if part.name == "task" else "candidates"

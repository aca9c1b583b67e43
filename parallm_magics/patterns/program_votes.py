"""The part of a program that reads answers and counts them."""

from __future__ import annotations

from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.program_text import quoted
from parallm_magics.types import Reading

CLOSE = {
    "choice": '''\
def read(text, choices):
    """The label that an answer ends in; None for an answer without one.

    parallm_magics.voting.read_answer reads more forms, and refuses more that only look like one.
    """
    said = text.strip().rpartition("\\n")[2].rpartition("ANSWER:")[2].strip(" .*`\\"'")
    return next((each for each in choices if each.casefold() == said.casefold()), None)''',
    "number": '''\
def read_number(text, low=-math.inf, high=math.inf):
    """The number that an answer ends in; None for an answer without one, or outside the range."""
    try:
        number = float(text.strip().rpartition("\\n")[2].rpartition("ANSWER:")[2].strip(" .*"))
    except ValueError:
        return None
    return number if low <= number <= high else None''',
    "same": '''\
def same(text):
    """What answers have in common that differ in case, space and a full stop only."""
    return " ".join(text.split()).strip(" .").casefold()''',
}


def reader(reading: Reading | None) -> str:
    """The function that reads such answers, as an entry of `CLOSE`; "" for free text."""
    if reading is None or reading.kind == "open":
        return ""
    return "choice" if reading.kind == "choice" else "number"


def read(reading: Reading | None, text: str) -> str:
    """The expression that reads an answer."""
    kind = reader(reading)
    if reading is None or not kind:
        return f"{text}.strip()"
    if kind == "choice":
        return f"read({text}, [{', '.join(map(quoted, reading.choices))}])"
    if reading.kind == "score":
        return f"read_number({text}, {reading.low:g}, {reading.high:g})"
    return f"read_number({text})"


WINNER = '''\
def leader(votes):
    """The label with the most votes; None for a tie, or without any."""
    first, second = (Counter(votes).most_common(2) + [(None, 0), (None, 0)])[:2]
    return first[0] if first[1] > second[1] else None'''

LEFT_OUT = {
    "confidence": "the label whose vote states the highest confidence wins",
    "judge": "a judge, asked in several orders, chooses among the answers",
    "best": "a judge gives each answer a score, and the highest one wins",
}
"""Rules that a program leaves to parallm_magics, and what they do."""


def picking(rule: Rule, requested: int) -> list[str]:
    """The lines that find `winner` from the list `votes`; indented by nobody.

    Args:
        requested: how many votes were asked for.
    """
    lines = _rule(rule, requested)
    few = [f"if len(votes) < {rule.quorum}:", "    winner = None  # no quorum"]
    if rule.quorum <= 1:
        return lines
    # A flag needs no quorum: it stands though others have failed.
    return [lines[0], *few, *lines[1:]] if rule.pick == "any" else [*lines, *few]


def _rule(rule: Rule, requested: int) -> list[str]:
    terms = rule.terms(requested)
    if rule.pick == "median":
        return ["winner = statistics.median(votes) if votes else None"]
    if rule.pick == "mean":
        return ["winner = statistics.fmean(votes) if votes else None"]
    if rule.pick == "any":
        flag = quoted(rule.flag or "")
        return [
            f"winner = leader(vote for vote in votes if vote != {flag})",
            f"if votes.count({flag}) >= {terms.flags}:",
            f"    winner = {flag}",
        ]
    lines = ["winner = leader(votes)"]
    base = "len(votes)" if rule.base == "valid" else str(requested)
    if rule.pick == "majority":
        lines += [f"if 2 * votes.count(winner) <= {base}:", "    winner = None  # no majority"]
    elif rule.pick == "unanimous":
        lines += [f"if votes.count(winner) < {base}:", "    winner = None  # not unanimous"]
    elif rule.pick == "threshold" and rule.share is not None:
        top, bottom = rule.share.numerator, rule.share.denominator
        lines += [
            f"if {bottom} * votes.count(winner) < {top} * {base}:",
            "    winner = None  # below the threshold",
        ]
    elif rule.pick in LEFT_OUT:
        lines.insert(0, f"# In the cell {LEFT_OUT[rule.pick]}; here most votes win.")
    if rule.ties == "first" and rule.pick != "weighted":
        lines += _FIRST
    elif rule.ties != "report":
        lines.insert(0, f"# The cell breaks a tie (--ties {rule.ties}); here it has no winner.")
    return lines


_FIRST = [
    "if winner is None and votes:  # a tie: the tied label that comes first",
    "    most = max(map(votes.count, votes))",
    "    winner = next(vote for vote in votes if votes.count(vote) == most)",
]

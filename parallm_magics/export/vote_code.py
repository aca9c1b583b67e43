"""The part of a program that reads answers and counts them, as its cell does."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from fractions import Fraction

from parallm_magics.core.tasks import Reading
from parallm_magics.export.code_text import quoted
from parallm_magics.patterns.panel import Rule

HELPERS = {
    "read": '''\
def read(text, choices=None, **how):
    """What an answer says, read as the cell reads it; None where nothing can be read for certain."""
    answer = read_answer(text, choices, **how)
    return answer.value if answer.state == "valid" else None''',
    "same": '''\
def same(text):
    """What answers have in common that differ in case, space and a full stop only; None for none."""
    said = read(text, kind="open")
    return None if said is None else same_answer_key(said)''',
    "stated": '''\
CONFIDENCE = re.compile(r"^[\\s*_#>-]{0,8}confidence[\\s*_]{0,8}[:=].*$", re.I | re.M)


def unstated(text):
    """An answer without the line that states how sure it is, which is no part of it."""
    return CONFIDENCE.sub("", text)''',
    "leader": '''\
def leader(votes):
    """The label with the most votes; None for a tie, or without any."""
    first, second = (Counter(votes).most_common(2) + [(None, 0), (None, 0)])[:2]
    return first[0] if first[1] > second[1] else None''',
    "leaders": '''\
def leaders(tally):
    """The labels with the most votes, in the panel's order; none where nobody voted."""
    most = max(tally.values(), default=0)
    return [label for label in tally if tally[label] == most > 0]''',
}
"""Functions that a program may need, in the order in which they stand in it."""

# What a helper needs of the standard library, and of the reading functions.
MODULES = {"stated": "re", "statistics": "statistics", "random": "random"}
READS = {
    "read": "read_answer",
    "same": "same_answer_key",
    "stated": "parse_confidence",
    "label": "label_of",
    "verdict": "read_verdict",
    "usual": "usual_spelling",
}


def is_read(reading: Reading | None) -> bool:
    """Whether something is read out of such answers, rather than taken as free text."""
    return reading is not None and reading.kind != "open"


def read(reading: Reading | None, text: str) -> str:
    """The expression that reads an answer."""
    if reading is None or reading.kind == "open":
        return f"{text}.strip()"
    if reading.kind == "choice":
        return f"read({text}, [{', '.join(map(quoted, reading.choices))}])"
    if reading.low is None or reading.high is None:
        return f'read({text}, kind="{reading.kind}")'
    return f'read({text}, kind="{reading.kind}", range=({reading.low:g}, {reading.high:g}))'


def needs(rule: Rule) -> AbstractSet[str]:
    """What the lines of a rule call: entries of `HELPERS`, `MODULES` and `READS`."""
    found = {
        "median": {"statistics"},
        "mean": {"statistics"},
        "confidence": {"stated", "leaders"},
        "judge": {"leaders", "verdict"},
        "best": {"leaders", "verdict"},
    }.get(rule.pick, set())
    ties = {
        "first": {"leaders"},
        "random": {"leaders", "random", "label"},
        "judge": {"leaders", "verdict"},
    }.get(rule.ties, set())
    return found | ties if found or ties else {"leader"}


def picking(rule: Rule, requested: int) -> list[str]:
    """The lines that find `winner` from `votes`, a vote by name, and their `tally`.

    Args:
        requested: how many votes were asked for.
    """
    few = [f"if len(votes) < {rule.quorum}:", "    winner = None  # no quorum"]
    few = few if rule.quorum > 1 else []
    if rule.pick == "any":
        return _any(rule, requested, few)
    if rule.pick in ("median", "mean"):
        return [*_computed(rule.pick), *few]
    return [*_led(rule), *_enough(rule, requested), *few]


def weighing(weights: dict[str, Fraction]) -> list[str]:
    """The lines that add up what the votes weigh."""
    given = ", ".join(f"{quoted(name)}: {_exact(weight)}" for name, weight in weights.items())
    return [
        f"weights = {{{given}}}",
        "sums = Counter()",
        "for name, vote in votes.items():",
        "    sums[vote] += weights[name]",
    ]


def _exact(weight: Fraction) -> str:
    """A weight without rounding: thirds add up to one."""
    return str(weight) if weight.denominator == 1 else f'Fraction("{weight}")'


def _computed(pick: str) -> list[str]:
    exact = f"statistics.{pick}(Fraction(repr(vote)) for vote in votes.values())"
    return [f'winner = float(f"{{float({exact}):.10g}}") if votes else None']


def _any(rule: Rule, requested: int, few: list[str]) -> list[str]:
    """A flag needs no quorum: it stands though others have failed, and these may hide one."""
    flag, enough = quoted(rule.flag or ""), rule.terms(requested).flags
    return [
        f"others = Counter(vote for vote in votes.values() if vote != {flag})",
        *_broken(rule, "others"),
        *few,
        f"flags = tally[{flag}]",
        f"if flags + {requested} - len(votes) >= {enough}:",
        "    winner = None  # not cleared: votes without a label could have flagged it",
        f"if flags >= {enough}:",
        f"    winner = {flag}",
    ]


def _led(rule: Rule) -> list[str]:
    """The lines that find who leads, by what the rule counts."""
    if rule.pick == "weighted":
        return _broken(rule, "sums")
    if rule.pick == "confidence":
        return [
            "stated = {name: parse_confidence(answers[name]) for name in votes}",
            "most = max((each for each in stated.values() if each is not None), default=None)",
            "surest = {votes[name] for name in stated if stated[name] == most}",
            "# Of equally sure ones those with more votes; where nobody states it, most votes win.",
            "top = Counter({vote: tally[vote] for vote in tally if vote in surest})",
            *_broken(rule, "top"),
        ]
    if rule.entry.asks:
        judged = (
            "judged(texts, tied, tally)" if rule.entry.asks == "score" else "judged(texts, tied)"
        )
        return [
            *_TEXTS,
            "tied = leaders(tally)",
            f"if len(texts) > 1 and len(votes) >= {rule.quorum}:",
            f"    tied = await {judged}",
            *_by(rule),
        ]
    return _broken(rule, "tally")


_TEXTS = [
    "texts = {}  # of equal answers the first",
    "for name, vote in votes.items():",
    "    texts.setdefault(vote, answers[name])",
]


def _broken(rule: Rule, counts: str) -> list[str]:
    """The label that leads these counts, a tie broken as the rule says."""
    if rule.ties == "report" and rule.pick != "confidence":
        return [f"winner = leader({counts})"]
    asking = []
    if rule.ties == "judge":
        asking = [
            f"if len(tied) > 1 and len(votes) >= {rule.quorum}:",
            "    tied = await judged({vote: texts[vote] for vote in tied}, tied)",
        ]
    return [*(_TEXTS if asking else []), f"tied = leaders({counts})", *asking, *_by(rule)]


def _by(rule: Rule) -> list[str]:
    """The winner of `tied`."""
    if rule.ties == "first":
        return ["winner = tied[0] if tied else None  # of a tie the label that comes first"]
    if rule.ties == "random":
        return [
            "tied = sorted(map(label_of, tied))",
            f'lot = random.Random("\\0".join([{quoted(str(rule.seed))}, *tied]))',
            "winner = tied[int(lot.random() * len(tied))] if tied else None",
        ]
    return ["winner = tied[0] if len(tied) == 1 else None"]


def _enough(rule: Rule, requested: int) -> list[str]:
    """The lines that take away a lead that is too small."""
    base = "len(votes)" if rule.base == "valid" else str(requested)
    if rule.pick == "majority":
        return [f"if 2 * tally[winner] <= {base}:", "    winner = None  # no majority"]
    if rule.pick == "unanimous":
        return [f"if tally[winner] < {base}:", "    winner = None  # not unanimous"]
    if rule.pick == "threshold" and rule.share is not None:
        top, bottom = rule.share.numerator, rule.share.denominator
        return [
            f"if {bottom} * tally[winner] < {top} * {base}:",
            "    winner = None  # below the threshold",
        ]
    return []

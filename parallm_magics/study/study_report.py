"""What the report of a study says: its words, tables and pictures."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from parallm_magics import display
from parallm_magics.study.advice import shown, signed
from parallm_magics.study.error_report import errors
from parallm_magics.study.findings import Findings
from parallm_magics.study.learned_report import learned
from parallm_magics.study.measures import Comparison, Measure
from parallm_magics.study.outcomes import Item
from parallm_magics.study.report_numbers import between, chance, rights, whole
from parallm_magics.study.voter_findings import most_votes

WRONG = 10
"""Most items that are shown one by one."""

_WORDS = {"single": "Keep the single call", "vote": "Take the vote", "undecided": "Undecided"}


def report_of(run: Findings, view: display.View) -> list[display.Block]:
    """The report of a study.

    Args:
        view: the calls behind it.
    """
    blocks: list[display.Block] = [_systems(run)] if run.measured else []
    if run.labelled:
        blocks += [*_comparisons(run), *_wrong(run), *errors(run), *learned(run)]
    elif run.measured:
        blocks.append(_doubtful(run))
    return display.report_blocks(title_of(run), _about(run), _sentence(run), blocks, view)


def _sentence(run: Findings) -> str:
    """Why, as a sentence of its own; a model's name stays as it is spelt."""
    if not run.labelled:
        return ""
    named = run.bigger is not None and run.reason.startswith(run.bigger)
    said = run.reason if named else run.reason[:1].upper() + run.reason[1:]
    first = next(iter(run.comparisons), None)
    mean = run.measures[run.single].right
    if first is None or run.single == run.vote or abs(first.base_right - mean) < 1:
        return said
    return (
        f"{said} (The single call is compared by its first draw, {first.base_right:,} right; the mean of its "
        f"draws is {rights(mean)}.)"
    )


def title_of(run: Findings) -> str:
    """The outcome in words."""
    if not run.measured:
        return "No item was measured"
    if not run.labelled:
        voted = display.count(len(run.measured), "item")
        return f"{voted} voted on; without labels nothing can be said of who is right"
    names = {run.panel: "the vote", run.single: "a single call"}
    word = run.recommendation
    first = {"single": run.single, "vote": run.panel, "bigger_model": run.bigger}.get(word or "")
    order = [*filter(None, (first, run.bigger, run.panel, run.single))]
    others = [each.name for each in run.systems if each.kind in ("model", "panel")]
    right = ", ".join(
        f"{names.get(name, name)} {rights(run.measures[name].right)}"
        for name in dict.fromkeys([*order, *others])
    )
    found = f"{right} of {len(run.labelled):,} right"
    if word == "undecided" and (shown_ := _what_pays(run)):
        return shown_
    if word is None:
        return found[:1].upper() + found[1:] if found.startswith("a single") else found
    return f"{_WORDS.get(word) or f'Take {run.bigger}'}: {found}"


# What a comparison with the single call shows of the vote, and one with the vote of a bigger model.
_PAYS = {"better": "Voting pays", "worse": "Voting does not pay", "same": "Voting changes nothing"}
_BESIDE = {
    "better": ("a bigger model does better", " and costs more"),
    "worse": ("a bigger model does less well", " and costs less"),
}


def _what_pays(run: Findings) -> str:
    """What is shown of the vote where nobody can say what to take; "" where nothing is."""
    found = {(each.alternative, each.base): each for each in run.comparisons}
    voted = found.get((run.panel, run.single))
    if voted is None or voted.verdict not in _PAYS:
        return ""
    # In whole answers: a heading is no place for the mean of draws, which the table has.
    mine, base = (f"{run.measures[name].right:,.0f}" for name in (run.panel, run.single))
    pays = f"{_PAYS[voted.verdict]}: {mine} against {base} of {len(run.labelled):,}"
    if run.bigger is None:
        return pays
    beside = "whether a bigger model does cannot be told"
    if found[run.bigger, run.single].verdict == "better":
        duel = found[run.bigger, run.panel].verdict
        beside, price = _BESIDE.get(duel, ("a bigger model does as well", ""))
        known = all(run.measures[name].cost_complete for name in (run.panel, run.bigger))
        beside += price if known else ""
    return f"{pays}; {beside} ({run.bigger}: {run.measures[run.bigger].right:,.0f})"


def _about(run: Findings) -> str:
    parts = [display.count(len(run.measured), "item")]
    if without := len(run.measured) - len(run.labelled):
        parts.append(f"{without:,} of them without a label")
    if run.unmeasured:
        parts.append(f"{run.unmeasured:,} more could not be measured")
    if run.measured:
        parts.append(f"{display.count(len(run.measured[0].ballots), 'vote')} an item")
    return " · ".join(parts)


# --- systems and comparisons ----------------------------------------------------------------------


def _systems(run: Findings) -> display.Table:
    labelled = bool(run.labelled)
    right = [">Right", ">Accuracy (95 %)"] if labelled else []
    head = ("System", *right, ">Cost", ">Median", ">p95", ">Calls", ">Unread", ">No answer")
    rows = tuple(_system_row(name, found, labelled) for name, found in run.measures.items())
    return display.Table("What each system did", head, rows, note=_about_single(run))


def _system_row(name: str, found: Measure, labelled: bool) -> tuple[str, ...]:
    right = rights(found.right)
    accuracy = "–"
    if found.accuracy is not None and found.interval is not None:
        accuracy = f"{display.points(found.accuracy)} ({between(found.interval)})"
    calls = "–" if found.calls is None else f"{found.calls:.2f}".rstrip("0").rstrip(".")
    return (
        name,
        *((f"{right} of {found.labelled:,}", accuracy) if labelled else ()),
        display.money(found.cost, found.cost_complete),
        display.seconds(found.median),
        display.seconds(found.p95),
        calls,
        whole(found.invalid),
        whole(found.unanswered),
    )


def _about_single(run: Findings) -> str:
    parts = ["Cost, times and calls are those of one item, as it would be deployed"]
    if run.single == run.vote:
        return f"{parts[0]}."
    if len(run.measured[0].outcomes[run.single].seconds) > 1:
        parts.append(
            f"single: each of the {len(run.measured[0].ballots)} votes is a draw of it; what it has right "
            "is their mean, and it is compared by the first one"
        )
    else:
        parts.append("single: the first voter's call, so put the one that you would deploy first")
    if any(system.kind == "stop" for system in run.systems):
        parts.append(
            "stop=clinch: told from the same votes; what its stopped calls would have cost is not known"
        )
    return ". ".join(parts) + "."


def _comparisons(run: Findings) -> list[display.Block]:
    if not run.comparisons:
        return []
    head = ["System", "Against", ">Gained", ">Lost", ">Points (95 %)", ">p", ">P(better)"]
    rows = tuple(_comparison_row(each) for each in run.comparisons)
    primary = [each for each in run.comparisons if each.primary]
    pairs = " and ".join(f"{each.alternative} against {each.base}" for each in primary)
    several = len(run.comparisons) > 1
    note = (
        "Gained: items that only the system has right, lost: only the other; p: McNemar's exact test, "
        f"two-sided{f', not adjusted; primary are {pairs}' if several and primary else ''}; the interval: "
        "bootstrap over items. The test decides, not the interval. Price: of one more right answer."
    )
    further = {system.name for system in run.systems if system.kind in ("panel", "model")}
    told = [
        each
        for each in run.comparisons
        if not each.primary and each.alternative in further and each.base == run.panel
    ]
    sentences = [
        f"{each.alternative} against {each.base}: {shown(each)}." for each in (*primary, *told)
    ]
    sentences += _early(run)
    lines = [display.Lines("What the items show", tuple(sentences))] if sentences else []
    head += ["Verdict", "Price"]
    return [display.Table("The same items compared", tuple(head), rows, note=note), *lines]


def _early(run: Findings) -> list[str]:
    """What stopping early would have saved."""
    lines, whole = [], run.measures[run.vote]
    for system in run.systems:
        found = run.measures[system.name]
        if system.kind == "stop" and found.calls and whole.calls and found.median is not None:
            lines.append(
                f"{system.name}: the same winners after {found.calls:.1f} of {whole.calls:g} votes in "
                f"the mean, and in {display.seconds(found.median)} instead of "
                f"{display.seconds(whole.median)} in the median."
            )
    return lines


def _comparison_row(found: Comparison) -> tuple[str, ...]:
    difference = "–"
    if found.difference is not None and found.interval is not None:
        low, high = found.interval
        difference = f"{signed(found.difference)} ({signed(low, 0)}…{signed(high, 0)})"
    return (
        found.alternative,
        found.base,
        f"{found.gains:,}",
        f"{found.losses:,}",
        difference,
        f"{found.p:.2g}" if found.p >= 0.0001 else "< 0.0001",
        chance(found.p_better),
        found.verdict.replace("_", " "),
        _one_more(found),
    )


def _one_more(found: Comparison) -> str:
    """What one more right answer costs, in a word."""
    if found.cost_per_right is None:
        if found.calls_per_right is None:
            return "–"
        calls = found.calls_per_right
        return "fewer calls" if calls < -0.05 else f"{max(calls, 0):,.0f} calls"
    cost = Decimal(found.cost_per_right)
    return display.money(cost) if cost >= 0 else f"{display.money(-cost)} less"


# --- items ----------------------------------------------------------------------------------------


def _wrong(run: Findings) -> list[display.Block]:
    wrong = run.wrong
    if not wrong:
        return [display.Lines("Where the vote is wrong", ("Nowhere on these items.",))]
    more = f"{len(wrong) - WRONG:,} more in run.wrong" if len(wrong) > WRONG else ""
    rows = tuple(_item_row(run, item) for item in wrong[:WRONG])
    head = (">Item", "What it says", "Truth", "Vote", "Votes")
    return [display.Table("Where the vote is wrong, most votes first", head, rows, 1, more)]


def _doubtful(run: Findings) -> display.Table:
    """Without labels: where the voters agree least, as these items teach most once labelled."""
    items = sorted(run.measured, key=lambda item: (most_votes(item), item.number))[:WRONG]
    rows = (_item_row(run, item) for item in items)
    without = tuple((number, words, *vote) for number, words, _, *vote in rows)
    title = "Least agreement first: label these, and name the labels by --truth"
    return display.Table(title, (">Item", "What it says", "Vote", "Votes"), without, 1)


def _item_row(run: Findings, item: Item) -> tuple[str, ...]:
    counts = Counter(label for label in item.labels if label is not None)
    fell = [f"{count} {display.one_line(label, 30)}" for label, count in counts.most_common(4)]
    if unread := len(item.ballots) - counts.total():
        fell.append(f"{unread} without a label")
    answer = item.outcomes[run.vote].answer
    vote = "no winner" if answer is None else answer
    return f"{item.number:,}", item.words, item.truth or "–", vote, ", ".join(fell)

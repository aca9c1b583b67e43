"""What the report of a study says: its words, tables and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from parallm_magics import display
from parallm_magics.study.advice import more_calls, shown, signed
from parallm_magics.study.calibration_report import TITLE, calibrated
from parallm_magics.study.error_report import errors
from parallm_magics.study.field_findings import ObjectFindings
from parallm_magics.study.field_report import fields_agreed, fields_fell, fields_right, wrong_fields
from parallm_magics.study.findings import Findings
from parallm_magics.study.headline import lead_of, title_of
from parallm_magics.study.learned_report import learned
from parallm_magics.study.measures import Comparison, Measure
from parallm_magics.study.outcomes import Item
from parallm_magics.study.report_numbers import between, rights, shown_as, whole
from parallm_magics.study.voter_findings import most_votes

WRONG = 10
"""Most items that are shown one by one."""


def report_of(run: ObjectFindings, view: display.View) -> list[display.Block]:
    """The report of a study: its answer, a picture of each system, and all else folded.

    Args:
        view: the calls behind it.
    """
    blocks: list[display.Block] = []
    if run.labelled:
        blocks += [_rights(run), *fields_right(run)]
        blocks += [_folded("How sure is this? The same items compared", _comparisons(run))]
        blocks += [_folded("Each system in numbers", [_systems(run)])]
        blocks += [_wrong(run)]
        blocks += [_folded(TITLE, calibrated(run))]
        blocks += [_folded("Do the voters make the same mistakes?", errors(run))]
        title = "What half of the items teach, tested on the other half"
        blocks += [_folded(title, learned(run))]
    elif run.measured:
        blocks += [_systems(run), *fields_agreed(run), _doubtful(run)]
    blocks = [b for b in blocks if not (isinstance(b, display.Disclosure) and not b.blocks)]
    return display.report_blocks(title_of(run), _about(run), lead_of(run), blocks, view)


def _folded(title: str, blocks: Sequence[display.Block]) -> display.Disclosure:
    return display.Disclosure(title, tuple(blocks))


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


def _rights(run: Findings) -> display.Dots:
    """Each system's share of right answers with its interval, and what an item takes by it."""
    priced = any(found.cost is not None for found in run.measures.values())
    heads = ("System", ">Right", *((">Cost",) if priced else ()), ">Time", ">Calls")
    rows = []
    for name, found in run.measures.items():
        low, high = found.interval or (0.0, 1.0)
        cost = _costs(found)[:1] if priced else ()
        right = f"{rights(found.right)} ({display.percent(found.accuracy or 0.0)} %)"
        cells = (right, *cost, display.seconds(found.median), _calls(found))
        named = _named(run, name)
        rows.append(display.Dot(named, found.accuracy or 0.0, low, high, cells, name == run.panel))
    note = (
        f"Right answers of {len(run.labelled):,}; a line is a 95 % interval. All systems answered the same items, "
        "so two of them may differ although their lines overlap: see 'How sure is this?'. "
        f"{'Cost, time' if priced else 'Time'} and calls are per item."
        f"{_at_the_usual_price(run)}"
    )
    return display.Dots(heads, tuple(rows), note)


def _named(run: Findings, name: str) -> str:
    if name == run.vote == run.single:
        return "a single call"
    votes = len(run.measured[0].ballots)
    return {run.single: "a single call", run.vote: f"the vote of {votes}"}.get(name, name)


def _systems(run: Findings) -> display.Table:
    labelled = bool(run.labelled)
    right = [">Accuracy (95 %)"] if labelled else []
    times = (">Half within", ">95 % within")
    costs = _cost_heads(run)
    head = ("System", *right, *costs, *times, ">Calls", ">No label read", ">No answer")
    rows = tuple(
        _system_row(name, found, labelled, len(costs)) for name, found in run.measures.items()
    )
    title = "" if labelled else "What each system did"
    return display.Table(title, head, rows, note=_about_single(run))


def _at_the_usual_price(run: Findings) -> str:
    """What an item costs by each system without a cheaper tier; "" where none was asked for."""
    if len(_cost_heads(run)) == 1:
        return ""
    costs = (f"{_named(run, name)} {_costs(found)[1]}" for name, found in run.measures.items())
    return f" At the usual price, without a cheaper tier, an item would cost: {', '.join(costs)}."


_USUAL_PRICE = "Usual price: what the same tokens cost without a cheaper tier"


def _cost_heads(run: Findings) -> tuple[str, ...]:
    """The headings of what an item costs: as it was asked and, where that was cheaper, as usual."""
    cheaper = any(found.usual is not None for found in run.measures.values())
    return (">Cost", ">Usual price") if cheaper else (">Cost",)


def _costs(found: Measure) -> tuple[str, str]:
    """What an item costs, as it was asked and at the usual price."""
    usual = found.cost if found.usual is None else found.usual
    complete = found.cost_complete
    return display.money(found.cost, complete), display.money(usual, complete)


def _system_row(name: str, found: Measure, labelled: bool, costs: int) -> tuple[str, ...]:
    accuracy = "–"
    if found.accuracy is not None and found.interval is not None:
        accuracy = f"{display.points(found.accuracy)} ({between(found.interval)})"
    return (
        name,
        *((accuracy,) if labelled else ()),
        *_costs(found)[:costs],
        display.seconds(found.median),
        display.seconds(found.p95),
        _calls(found),
        whole(found.invalid),
        whole(found.unanswered),
    )


def _calls(found: Measure) -> str:
    return "–" if found.calls is None else f"{found.calls:.2f}".rstrip("0").rstrip(".")


def _about_single(run: Findings) -> str:
    parts = [
        "Cost, times and calls are those of one item, as it would be deployed",
        "No label read: calls whose answer was not read as any label",
        *([_USUAL_PRICE] if len(_cost_heads(run)) > 1 else []),
    ]
    if run.single == run.vote:
        return f"{'. '.join(parts)}."
    if len(run.measured[0].outcomes[run.single].seconds) > 1:
        parts.append(
            f"single: each of the {len(run.measured[0].ballots)} votes is one sample of it; its right answers are "
            f"their mean, and comparisons use the first one"
        )
    else:
        parts.append(
            "single: the call of the first voter, so put the voter that you would deploy first"
        )
    if any(system.entry.early for system in run.systems):
        parts.append(
            "stop=clinch: computed from the same votes; the cost of its cancelled calls is unknown"
        )
    return ". ".join(parts) + "."


def _comparisons(run: Findings) -> list[display.Block]:
    if not run.comparisons:
        return []
    head = (
        "System",
        "Against",
        ">Gained",
        ">Lost",
        ">Points (95 %)",
        ">p",
        "Shows",
        ">For one more right",
    )
    rows = tuple(_comparison_row(each) for each in run.comparisons)
    primary = [each for each in run.comparisons if each.primary]
    pairs = " and ".join(f"{each.alternative} against {each.base}" for each in primary)
    several = len(run.comparisons) > 1
    note = (
        "Gained: items that only the system has right. Lost: items that only the other has right. p: how often "
        "chance alone would give a difference this large (McNemar's exact test, two-sided"
        f"{f'; not adjusted, planned were {pairs}' if several and primary else ''}). The interval is a bootstrap "
        "over items. The test decides, not the interval."
    )
    reason = run.reason[:1].upper() + run.reason[1:]
    if run.bigger is not None and run.reason.startswith(run.bigger):  # a name stays as it is spelt
        reason = run.reason
    further = {system.name for system in run.systems if not system.entry.own}
    told = [
        f"{each.alternative} against {each.base}: {shown(each)}."
        for each in run.comparisons
        if not each.primary and each.alternative in further and each.base == run.panel
    ]
    lines = tuple(display.isolated(line, 1_000) for line in (reason, *told) if line)
    said = [display.Says(lines, "small")] if lines else []
    return [*said, display.Table("", head, rows, note=note)]


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
        shown_as(found.verdict),
        _one_more(found),
    )


def _one_more(found: Comparison) -> str:
    """What one more right answer costs, in a word."""
    if found.cost_per_right is None:
        if found.calls_per_right is None:
            return "–"
        return more_calls(found.calls_per_right)
    cost = Decimal(found.cost_per_right)
    return display.money(cost) if cost >= 0 else f"{display.money(-cost)} less"


# --- items ----------------------------------------------------------------------------------------


def _wrong(run: Findings) -> display.Block:
    wrong = run.wrong
    if not wrong:
        return display.Says(("The vote got every item right.",))
    more = f"{len(wrong) - WRONG:,} more in run.wrong" if len(wrong) > WRONG else ""
    title = f"What the vote got wrong: {display.count(len(wrong), 'item')}, most agreement first"
    rows = tuple(_item_row(run, item) for item in wrong[:WRONG])
    head: tuple[str, ...] = (">Item", "What it says", "Truth", "Vote", "Votes")
    if wrong[0].fields:
        head = (">Item", "What it says", "Wrong fields")
        rows = tuple(
            (f"{item.number:,}", item.words, wrong_fields(item, run.vote)) for item in wrong[:WRONG]
        )
    rest = head.index("Wrong fields") if wrong[0].fields else 1
    return _folded(title, [display.Table("", head, rows, rest, more)])


def _doubtful(run: Findings) -> display.Table:
    """Without labels: where the voters agree least, as these items teach most once labelled."""
    items = sorted(run.measured, key=lambda item: (most_votes(item), item.number))[:WRONG]
    title = "Least agreement first: label these, and pass the labels with --truth"
    if items[0].fields:
        told = tuple(
            (f"{each.number:,}", each.words, fields_fell(each, run.vote)) for each in items
        )
        return display.Table(title, (">Item", "What it says", "Winners, and their votes"), told, 2)
    rows = (_item_row(run, item) for item in items)
    without = tuple((number, words, *vote) for number, words, _, *vote in rows)
    return display.Table(title, (">Item", "What it says", "Vote", "Votes"), without, 1)


def _item_row(run: Findings, item: Item) -> tuple[str, ...]:
    counts = Counter(label for label in item.labels if label is not None)
    fell = [f"{count} {display.one_line(label, 30)}" for label, count in counts.most_common(4)]
    if unread := len(item.ballots) - counts.total():
        fell.append(f"{unread} without a label")
    answer = item.outcomes[run.vote].answer
    vote = "no winner" if answer is None else answer
    return f"{item.number:,}", item.words, item.truth or "–", vote, ", ".join(fell)

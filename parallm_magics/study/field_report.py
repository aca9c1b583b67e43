"""What the report of a study says of the fields of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from parallm_magics import display
from parallm_magics.study.field_findings import FieldFindings, ObjectFindings
from parallm_magics.study.outcomes import Item
from parallm_magics.study.report_numbers import rights, shown_as
from parallm_magics.study.voter_findings import agreement, most_votes

_COMPARED = (">Gained", ">Lost", "Shows")


def fields_right(run: ObjectFindings) -> list[display.Block]:
    """How many are right in each field by each system, and what that shows of the vote; only of objects."""
    if not run.fields:
        return []
    names = [system.name for system in run.systems if not system.entry.early]
    voted = run.single != run.panel
    head = ("Field", *(f">{name}" for name in names), *(_COMPARED if voted else ()), ">Agreement")
    rows = tuple(
        (
            name,
            *(_right(found, system) for system in names),
            *(_against(found) if voted else ()),
            _agreement(found),
        )
        for name, found in run.fields.items()
    )
    pair = (
        f" Gained, lost and what that shows: {run.panel} against {run.single}, each field by itself "
        f"and not adjusted."
        if voted
        else ""
    )
    note = (
        f"An object is right if all of its fields are.{pair} Agreement: the mean share of the votes for the "
        f"leading value."
    )
    return [display.Table("Right in each field", head, rows, note=note)]


def _right(found: FieldFindings, system: str) -> str:
    measured = found.measures[system]
    if measured.accuracy is None:
        return "–"
    share = display.percent(measured.accuracy)
    return f"{rights(measured.right)} of {measured.labelled:,} ({share} %)"


def _against(found: FieldFindings) -> tuple[str, str, str]:
    """The vote against the single call in this field."""
    pair = found.comparisons[0]
    return f"{pair.gains:,}", f"{pair.losses:,}", shown_as(pair.verdict)


def _agreement(found: FieldFindings) -> str:
    shares = [share for item in found.measured if (share := agreement(item)) is not None]
    return f"{display.percent(sum(shares) / len(shares))} %" if shares else "–"


def fields_agreed(run: ObjectFindings) -> list[display.Block]:
    """Without labels: how far the votes agree in each field; only of objects."""
    if not run.fields:
        return []
    rows = tuple((name, _agreement(found)) for name, found in run.fields.items())
    title = "How far the votes agree in each field"
    return [display.Table(title, ("Field", ">Mean agreement"), rows)]


def fields_fell(item: Item, vote: str) -> str:
    """The winner of each field of an item, with its votes; what is closest first."""
    fell = sorted(item.fields.items(), key=lambda each: most_votes(each[1]))
    return "; ".join(_fell(name, own, own.outcomes[vote].answer) for name, own in fell)


def _fell(name: str, own: Item, answer: str | None) -> str:
    said = "no winner" if answer is None else display.one_line(answer, 40)
    return f"{name}: {said} ({most_votes(own)} of {len(own.ballots)})"


def wrong_fields(item: Item, vote: str) -> str:
    """What an item has wrong, field by field, with the truth."""
    return "; ".join(_wrong(item.fields, vote)) or "the winners make no valid object"


def _wrong(fields: Mapping[str, Item], vote: str) -> Iterator[str]:
    for name, own in fields.items():
        outcome = own.outcomes[vote]
        if outcome.right is False:
            said = "but nobody won"
            if outcome.answer is not None:
                said = f"not {display.one_line(outcome.answer, 40)}"
            yield f"{name} is {display.one_line(own.truth or '', 40)}, {said}"
        elif outcome.right is None and outcome.answer is not None:
            yield f"{name} has no value, not {display.one_line(outcome.answer, 40)}"

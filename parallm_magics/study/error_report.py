"""What the report of a study says of how far the voters share their errors."""

from __future__ import annotations

from parallm_magics import display
from parallm_magics.study.advice import signed
from parallm_magics.study.field_findings import ObjectFindings
from parallm_magics.study.findings import Findings

VOTERS = 15
"""Most voters of which each two are shown beside each other."""


def errors(run: ObjectFindings) -> list[display.Block]:
    """Sentences, the matrix of correlations and the curve; nothing of a panel of one.

    Of objects there is no curve: a vote on them is one for each field, which none on whole objects tells of.
    """
    found = run.diagnostics
    voters = found["voters"]
    if len(voters) < 2:
        return []
    blocks: list[display.Block] = [
        display.Says(tuple(display.isolated(line, 500) for line in _told(run)), "small")
    ]
    if len(voters) <= VOTERS and found["pairs_used"]:
        title = "Correlation between two voters being right"
        note = "0: independent; 1: always right or wrong together; –: one of them never varies."
        rows = tuple(map(tuple, found["correlations"]))
        blocks.append(display.Matrix(title, tuple(voters), rows, note))
    if run.fields:
        return blocks
    ties = "ties at random" if run.label_count else "right where more than half of them are"
    note = (
        f"As voted: the mean over all choices of voters, {ties}. Next to it: the same if their errors were "
        f"independent. The more errors the voters share, the less more votes help."
    )
    names, shares = ("as voted", "if independent"), tuple(zip(*run.curve, strict=True))
    return [*blocks, display.Curve("Accuracy by the number of votes", names, shares, note)]


def _told(run: ObjectFindings) -> tuple[str, ...]:
    found = run.diagnostics
    voters, accuracy = found["voters"], found["accuracy"]
    best = max(range(len(voters)), key=accuracy.__getitem__)
    lines = [
        (
            f"One voter is right on {display.points(found['mean_single'])} of the items on average; the best, "
            f"{voters[best]}, on {display.points(accuracy[best])}. At least one is right on "
            f"{display.points(found['oracle'])}."
        )
    ]
    rho = found["mean_error_correlation"]
    if rho is None:
        lines.append(
            "The correlation is undefined, because voters are always right or always wrong."
        )
    else:
        lines.append(
            f"Mean correlation of errors {display.correlation(rho)} (over {found['pairs_used']} of {found['pairs']} "
            f"pairs): {len(voters)} votes are worth {found['effective_votes']:.1f} independent ones."
        )
    lines.append(
        f"All are wrong together on {display.points(found['all_wrong'])} of the items; with independent errors "
        f"it would be {display.points(found['all_wrong_if_independent'])}."
    )
    if not run.fields:
        lines.append(_together(run))
    chance = found["same_wrong_by_chance"]
    if found["same_wrong"] is not None and chance is not None and chance < 1:
        lines.append(
            f"When two voters are both wrong, they give the same label in {display.points(found['same_wrong'])} of "
            f"cases; without a shared cause it would be {display.points(chance)}."
        )
    lines.append(_reliability(found))
    return tuple(lines)


def _together(run: Findings) -> str:
    """What all votes together are held to be, where there is a closed set of labels and where not."""
    seen, ideal = run.curve
    closed = "A plurality of all of them, ties at random, is"
    together = closed if run.label_count else "More than half of them are"
    return (
        f"{together} right on {display.points(seen[-1])} of the items; with independent errors it would be "
        f"{display.points(ideal[-1])} ({signed(ideal[-1] - seen[-1])} points)."
    )


def _reliability(found: dict[str, float | None]) -> str:
    name, value = "Fleiss' kappa", found["fleiss_kappa"]
    if value is None:
        name, value = "Krippendorff's alpha", found["krippendorff_alpha"]
    if value is None:
        return "Agreement beyond chance is undefined, because all votes are the same."
    return (
        f"Agreement beyond chance: {name} {value:.2f}. It says how much the voters agree, not how often they are "
        f"right, and it is lower if one label is rare."
    )

"""`--batch` is refused before any call where a batch cannot do what the cell asks."""

from __future__ import annotations

import pytest

from parallm_magics.api import PATTERNS, plan_cell
from parallm_magics.cell.plan import Plan
from parallm_magics.errors import OptionError
from parallm_magics.export.program import program

PACE, HOURS, AGAIN = "at its own pace", "up to 24 hours", r"await run\.retry\(\)"


def planned(line: str, body: str = "hi", magic: str = "vote", **settings: object) -> Plan:
    """The plan of a cell on a simulated model, with --batch on its line."""
    return plan_cell(
        magic, f"-m sim --batch {line}", body, {"items": ["a", "b"]}, settings=settings
    )


@pytest.mark.parametrize(
    ("line", "flag", "why"),
    [
        ("--stop clinch --choices a,b", "--stop", "every vote at once"),
        ("--launch lazy --choices a,b", "--launch", "every vote at once"),
        ("--stream on", "--stream", "when it has ended"),
        ("--tier flex", "--tier", "price of its own"),
        ("--rpm 5", "--rpm", PACE),
        ("--tpm 500", "--tpm", PACE),
        ("-c 5", "--concurrency", PACE),
        ("--timeout 5", "--timeout", HOURS),
        ("--deadline 5", "--deadline", HOURS),
        ("--retries 5", "--retries", AGAIN),
        ("--retry-timeouts", "--retry-timeouts", AGAIN),
    ],
)
def test_what_a_batch_cannot_do_is_refused_with_the_way_out(line: str, flag: str, why: str) -> None:
    """Each such option is named with the reason, and with what to remove."""
    with pytest.raises(OptionError, match=f"^{flag} cannot be .*{why}; remove {flag} or --batch$"):
        planned(line)


def test_the_line_of_a_block_is_named() -> None:
    """An option on a section, or on a voter of a panel, is refused with its line."""
    with pytest.raises(OptionError, match=r"^line 3: %voter: --timeout cannot .*--batch"):
        planned("", "hi\n%voter --timeout 3\nthere")
    panels = "hi {{item}}\n%panel two\n%voter --deadline 3\nthere\n%voter\nhere"
    with pytest.raises(OptionError, match=r"^line 4: %voter: --deadline cannot .*--batch"):
        planned("--each items --choices a,b", panels)


def test_a_guard_cannot_stand_beside_a_batch() -> None:
    """A guard answers now, the work in hours; its line is named, and what to do instead."""
    with pytest.raises(OptionError, match=r"^line 3: %guardrail .*a cell of its own first$"):
        planned("", "hi\n%guardrail\nIs it fine?")


def test_a_decision_model_takes_no_batch() -> None:
    """The model is named."""
    with pytest.raises(OptionError, match=r"^-m decide:jury: a decision model .*remove --batch$"):
        plan_cell("vote", "-m decide:jury --batch --choices a,b", "hi", {})


@pytest.mark.parametrize("line", ["--stop all", "--launch all", "--stream auto", "--tier default"])
def test_what_changes_nothing_is_taken(line: str) -> None:
    """A value that a batch has anyway is no mistake."""
    assert planned(f"{line} --choices a,b").options.batch


def test_settings_of_the_notebook_give_way() -> None:
    """What %config says of usual calls does not stand in the way of a batch, which asks for every vote."""
    plan = planned(
        "--choices a,b", stop="clinch", launch="lazy", rpm=5, timeout=3.0, stream="on", tier="flex"
    )
    assert (plan.options.stop, plan.options.launch) == ("all", "all")
    assert {(task.tier, task.stream) for task in plan.tasks} == {("batch", False)}


def test_what_follows_the_batch_is_a_usual_call() -> None:
    """The workers are asked in the batch, a synthesis and a judge after it."""
    fanout = planned("--stream auto", "hi\n%section a\n%synthesis --timeout 3", "fanout")
    assert [task.tier for task in (*fanout.tasks, *fanout.auxiliary)] == ["batch", ""]
    judged = planned("--pick judge --open -n 2", "hi\n%judge --retries 1")
    assert [task.tier for task in (*judged.tasks, *judged.auxiliary)] == ["batch", "batch", ""]


def test_a_judge_for_each_item_is_refused_as_ever() -> None:
    """A study has no judge, in a batch or not."""
    with pytest.raises(OptionError, match="judge runs once per cell"):
        planned("--each items --pick judge --open", "hi {{item}}")


def test_a_program_and_a_dry_run_say_what_becomes_of_the_batch() -> None:
    """The program makes usual calls, and says so; the dry run counts calls of a batch."""
    plan = planned("--choices a,b -n 3")
    assert "not included: --batch, so that each call is made at once" in program(
        plan, by_itself=False
    )
    assert "3 calls (in a batch)" in repr(PATTERNS[plan.pattern].preview(plan))

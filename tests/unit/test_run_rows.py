"""The table of a finished run: a row a worker, all of it once, and the rest where it opens."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from display_samples import (
    FOLLOW_UP,
    GUARD,
    Page,
    failed,
    fanout,
    record,
    static_html,
    static_plain,
    vote,
)

from parallm_magics import fanout as run_fanout
from parallm_magics.core.tasks import Record
from parallm_magics.display import Guard, SectionVote, Tally, View, html, kinds, run_blocks
from parallm_magics.display.columns import said
from parallm_magics.display.run_rows import MANY_ROWS, SHOWN_ROWS, worker_tables
from parallm_magics.patterns.guard_verdicts import Verdict
from parallm_magics.patterns.judge import Judgment
from parallm_magics.voting.rule_entry import Decision

LONG = "First the summary of it all.\n\nThen **the details** of it."


def table(view: View) -> kinds.Workers:
    """The rows in sight."""
    [found] = [block for block in worker_tables(view) if isinstance(block, kinds.Workers)]
    return found


def headings(view: View) -> list[str]:
    """The names of the columns of a page's first table."""
    shown = static_html(view)
    head = shown[shown.index("<thead") : shown.index("</thead>")]
    return [Page(each).text for each in re.findall(r"<th[ >].*?</th>", head)]


def test_everything_stands_once() -> None:
    """A worker's name, its time and the beginning of its answer; what was a second list is its row."""
    view = fanout(*(record(at, f"part{at}", text=LONG, seconds=1.25 + at) for at in range(4)))
    text = Page(static_html(view)).text
    for at in range(4):
        assert text.count(f"part{at}") == 1
    for time in ("2.2 s", "3.2 s"):
        assert text.count(time) == 1
    assert text.count("one by one") == 1


def test_the_aggregate_is_first_and_said_once() -> None:
    """Its row says where it is."""
    merged = record(FOLLOW_UP, "synthesis", role="synthesis", text=LONG, start=2.0)
    text = Page(static_html(fanout(record(0), extra=(merged,), text=LONG))).text
    assert text.index("Then the details") < text.index("Worker")
    assert text.count("Then the details") == 1
    assert text.endswith("shown above")


def test_the_answer_opens_in_its_row() -> None:
    """A line of it is in sight, the whole below; what is seen whole does not open."""
    shown = table(fanout(record(0, text=LONG), record(1, text="safe"), text="x"))
    assert [len(detail) for detail in shown.details] == [1, 0]
    page = static_html(fanout(record(0, text=LONG), text="x"))
    summary = page[page.index("<summary") : page.index("</summary>")]
    assert "First the summary" in summary
    assert "<strong>the details</strong>" in page[page.index("</summary>") :]
    assert page.index("</details>") < page.index("</tr>", page.index("<summary"))


@pytest.mark.parametrize(
    ("view", "opened"),
    [
        pytest.param(fanout(record(0, text=LONG)), 1, id="a few"),
        pytest.param(fanout(record(0, text=LONG), text="x"), 0, id="an aggregate stands above"),
        pytest.param(fanout(*(record(at, text=LONG) for at in range(9))), 0, id="many"),
        pytest.param(
            fanout(record(0, text="A line of words, no longer than a row.")), 0, id="line"
        ),
    ],
)
def test_a_few_answers_are_open_where_nothing_stands_above_them(view: View, opened: int) -> None:
    """Who asked for answers sees them."""
    assert len(table(view).opened) == opened


def test_a_failure_says_why_and_its_text_once() -> None:
    """The row has the reason, the text opens below it; a label that was read opens nothing."""
    cut = failed(0, text="word " * 40)
    found = table(fanout(cut, record(1, text="Reason.\nANSWER: a", value="a")))
    row, detail = found.rows[0], found.details[0]
    assert said(row) == row.problem != ""
    assert [each.text for each in detail if isinstance(each, kinds.Text)] == [cut.text]
    assert found.opened == (0,)


def test_states_have_a_column_where_one_is_not_ok() -> None:
    """Else the heading says it of all; a second try is no plain success."""
    assert "State" not in headings(fanout(record(0), record(1)))
    assert "State" in headings(fanout(record(0), failed(1)))
    assert "State" in headings(fanout(record(0, attempts=record().attempts * 2)))


def test_the_axis_stands_in_the_heading() -> None:
    """From the start to the last end."""
    assert "0 s10.0 s" in headings(fanout(record(0, start=8.0, seconds=2.0)))


def test_it_is_said_in_a_sentence_how_long_one_by_one_takes() -> None:
    """Of all calls, those beside the workers too."""
    merged = record(FOLLOW_UP, "synthesis", role="synthesis", start=4.0, seconds=2.0)
    view = fanout(record(0, seconds=4.0), record(1, seconds=3.0), extra=(merged,))
    assert "6.0 s (one by one: 9.0 s, 1.5 times faster)" in static_plain(view)


@pytest.mark.parametrize("lost", ["failed", "timed_out", "cancelled"])
def test_a_run_with_failures_is_not_called_faster(lost: str) -> None:
    """Nobody knows how long the lost one would have taken."""
    view = fanout(record(0), record(1, status=lost))
    assert "faster" not in static_html(view)
    assert "one by one" not in static_html(view)


def test_a_failure_is_told_once() -> None:
    """Why, in the row; what was tried where it opens."""
    text = Page(static_html(fanout(record(0), failed(1)))).text
    assert text.count("HTTP 503") == text.count("req_1") == 1
    short = Page(static_html(fanout(failed(0, error=replace(failed().error, message="off"))))).text  # type: ignore[type-var]
    assert short.count("off (HTTP 503)") == 1


def test_guard_and_judge_are_rows_in_few_words() -> None:
    """What they came to; their own words where the row opens."""
    guard = record(GUARD, "safe", role="guard", text="It is fine.\nANSWER: OK", value="OK")
    judge = record(
        FOLLOW_UP, "judge.1", role="judge", text='{"winner": 2, "reason": "Clear."}', value="b"
    )
    view = fanout(
        record(0), extra=(guard, judge), guards=(Guard("safe", True, "OK", "fine", "NO"),)
    )
    rows = {row.name: row for row in table(view).rows}
    assert (rows["safe"].answer, rows["safe"].vote) == ("passed: OK (NO would block)", "")
    assert (rows["judge.1"].answer, rows["judge.1"].vote) == ("Clear.", "b")
    text = Page(static_html(view)).text
    assert "It is fine." in text
    assert '"winner": 2' in text


# --- maps -----------------------------------------------------------------------------------------


def about(at: int, **fields: object) -> Record:
    """A worker of a map."""
    return record(at, str(at + 1), key=str(at + 1), item=f"Where is parcel {at}? " * 3, **fields)


def test_a_map_begins_with_its_item() -> None:
    """Clipped in its row, whole where the row opens."""
    view = fanout(about(0))
    assert headings(view)[0] == "Item"
    whole = "Where is parcel 0? " * 3
    [row], [detail] = table(view).rows, table(view).details
    assert row.about.item == whole
    assert isinstance(detail[0], kinds.Says)
    assert whole.strip() in html(detail).replace("</bdi>", "")


def test_failures_come_first_in_a_map() -> None:
    """The others in their order; what is no map keeps the cell's."""
    names = [row.name for row in table(fanout(about(0), about(1), about(2, status="failed"))).rows]
    assert names == ["3", "1", "2"]
    assert table(fanout(record(0), failed(1), record(2))).rows[0].name == "s1"


def test_the_least_sure_votes_of_a_map_come_first() -> None:
    """No winner, then by agreement; one row for each item."""
    shares = [1.0, 0.6, None, 0.8]
    votes = []
    for at, share in enumerate(shares):
        winner = None if share is None else "a"
        tally = Tally((("a", 3), ("b", 2)), winner, "decided" if winner else "tie", 5, 5)
        voters = tuple(about(5 * at + n) for n in range(5))
        votes.append(SectionVote(f"item{at}", replace(tally, agreement=share), voters))
    records = tuple(each for one in votes for each in one.records)
    shown = table(fanout(*records, section_votes=tuple(votes)))
    assert [row.name for row in shown.rows] == ["item2", "item1", "item3", "item0"]
    assert shown.rows[0].vote == "tie"


@pytest.mark.parametrize(
    ("workers", "rest", "more"),
    [
        (30, 0, ""),
        (31, 1, ""),
        (200, 170, ""),
        (201, 20, "151 more workers in the result"),
        (10_000, 20, "9,950 more workers in the result"),
    ],
)
def test_thirty_rows_are_in_sight_and_the_rest_opens(workers: int, rest: int, more: str) -> None:
    """As far as a saved notebook stays readable; beyond that the result has them."""
    blocks = worker_tables(fanout(*(about(at) for at in range(workers))))
    first, *folded = blocks
    assert isinstance(first, kinds.Workers)
    assert len(first.rows) == min(workers, SHOWN_ROWS)
    inside = [block for each in folded for block in each.blocks]  # type: ignore[union-attr]
    assert sum(len(block.rows) for block in inside) == rest
    assert [each.title for each in folded] == ([f"{rest:,} more"] if rest else [])  # type: ignore[union-attr]
    assert more in static_html(fanout(*(about(at) for at in range(workers))))
    assert len(first.rows) + rest == (workers if workers <= 200 else MANY_ROWS)


def test_counts_stand_above_a_map() -> None:
    """How often each label was read."""
    view = fanout(about(0), counts=(("", (("late", 7), ("lost", 2))),))
    text = Page(static_html(view)).text
    assert text.index("late 7 · lost 2") < text.index("Item")


# --- votes ----------------------------------------------------------------------------------------


def test_votes_and_statistics_are_folded() -> None:
    """Bars are in sight, the winner first; the table is the same one below."""
    view = vote("unsafe safe safe unsafe safe")
    first, bars, folded = run_blocks(view)
    assert isinstance(first, kinds.Heading)
    assert isinstance(bars, kinds.Bars)
    assert [bar.label for bar in bars.bars] == ["safe", "unsafe"]
    assert bars.verdict == ""
    assert bars.lines == ()
    assert any("Agreement" in each for each in bars.statistics)
    assert isinstance(folded, kinds.Disclosure)
    assert folded.title == "5 votes"
    page = static_html(view)
    sight = re.sub(r"<details>.*</details>", "", page, flags=re.S)
    assert "Agreement" in page
    assert "Agreement" not in sight
    assert "3 of 5" in sight


def test_what_the_counts_do_not_tell_is_in_sight() -> None:
    """An early decision, and votes that could not be counted."""
    early = Tally((("a", 3),), "a", "decided", 3, 5, cancelled=2, decided_after=3)
    page = static_html(vote("a a a a a", tally=early))
    assert "the other two could not change it" in re.sub("<details>.*", "", page, flags=re.S)
    lost = Tally((("a", 3),), "a", "decided", 3, 5, invalid=2)
    page = static_html(vote("a a a a a", tally=lost))
    assert "3 valid, 0 failed, 0 abstained, 2 unreadable" in page[: page.index("<details>")]


# --- in print -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        pytest.param(record(0, text="Yes.\nIt is."), "<Record 's1': ok, 1.50 s, 'Yes. It is.'>"),
        pytest.param(
            failed(0), "<Record 's1': failed, 1.50 s, 'the provider failed: overloaded'>", id="lost"
        ),
        pytest.param(
            Verdict("g", True, "SAFE", "", ()), "<Verdict 'g': passed, SAFE>", id="passed"
        ),
        pytest.param(
            Verdict("g", False, None, "timed out", ()),
            "<Verdict 'g': blocked, no verdict (timed out)>",
            id="no verdict",
        ),
        pytest.param(
            Judgment(Decision("decided", "a", how="the judge chose 'a' in both orders")),
            "<Judgment: the judge chose 'a' in both orders>",
            id="judged",
        ),
        pytest.param(
            Judgment(None, missing="off"), "<Judgment: no verdict (off)>", id="not judged"
        ),
    ],
)
def test_a_part_of_a_run_prints_in_one_line(shown: object, said: str) -> None:
    """What it came to, not all of its fields."""
    assert repr(shown) == said


def test_the_picture_of_times_is_there_by_itself() -> None:
    """No table, no answers."""
    run = asyncio.run(run_fanout("%section a\nA\n\n%section b\nB", model="sim:?scale=0"))
    picture = run.timeline()._repr_mimebundle_()
    assert "times faster" in picture["text/plain"]
    assert "Answer" not in picture["text/html"]

"""The saved picture: complete, bounded, the same for the same records."""

from __future__ import annotations

import re

import pytest
from display_samples import FOLLOW_UP, Page, blocked, failed, fanout, record, static_html, vote

from parallm_magics.core.tasks import Fault, Usage


def test_the_outcome_is_said_in_words() -> None:
    """Title, notes, tokens and cost are text, not colour."""
    text = Page(static_html(fanout(notes=("s2 failed; retry it",)))).text
    assert text.startswith("2 of 3 sections succeeded")
    assert "s2 failed; retry it" in text
    assert "at least 200 tokens in, 40 out" in text
    assert "at least $0.0024" in text


def test_every_state_is_a_word() -> None:
    """With colours off nothing is lost."""
    records = [
        record(i, status=status)
        for i, status in enumerate(("ok", "truncated", "refused", "timed_out", "cancelled"))
    ]
    text = Page(static_html(fanout(*records))).text
    assert all(word in text for word in ("ok", "cut off", "refused", "timed out", "cancelled"))


def test_one_table_row_a_worker() -> None:
    """A real table with a head and scopes."""
    html = static_html(fanout(record(0), failed(1), record(2)))
    table = Page(html[html.index("<table") : html.index("</table>") + 8])
    assert table.count("thead") == 1
    assert table.count("tr") == 1 + 3
    assert [attrs.get("scope") for tag, attrs in table.elements if tag == "th"][-3:] == ["row"] * 3


def test_answers_are_rendered_in_full() -> None:
    """Each worker has its fold, with formatted Markdown."""
    page = Page(static_html(fanout(record(0, text="**bold** " + "word " * 100 + "end"))))
    assert page.count("details") == 1
    assert page.count("strong") == 1
    assert "word end" in page.text


def test_a_failure_tells_why_and_what_was_tried() -> None:
    """Message, HTTP status, attempts and request id."""
    text = Page(static_html(fanout(failed(0)))).text
    assert "the provider failed: overloaded (HTTP 503)" in text
    assert "Attempts: server 0.50 s, server 1.0 s" in text
    assert "req_1" in text


def test_nothing_of_a_blocked_answer_is_drawn() -> None:
    """Even where a record still holds it."""
    blocked = record(0, status="blocked", text="secret words", value="secret label")
    assert "secret" not in static_html(fanout(blocked))


def test_the_aggregate_is_not_repeated() -> None:
    """Answers that stand in the joined text need no fold of their own."""
    joined = fanout(record(0), record(1), text="## s1\n\nAnswer 0.\n\n## s2\n\nAnswer 1.")
    page = Page(static_html(joined))
    assert page.count("details") == 0
    assert "Answer 1." in page.text


@pytest.mark.parametrize("by_record", [True, False], ids=["record", "view"])
def test_simulated_is_marked(by_record: bool) -> None:
    """Wherever the simulation shows, and nowhere else."""
    view = fanout(record(0, simulated=by_record), simulated=not by_record)
    assert "SIMULATED" in static_html(view)
    assert "SIMULATED" not in static_html(fanout())


def test_an_unusual_host_is_named() -> None:
    """The reader sees where prompts went."""
    assert "asked at http://localhost:1" in static_html(fanout(addresses=("http://localhost:1",)))


def test_a_vote_shows_its_tally() -> None:
    """Bars, verdict and the labels in the table."""
    text = Page(static_html(vote())).text
    assert "'safe' has 4 of 5 votes: a majority" in text
    assert "Read as" in text


def test_an_unreadable_ballot_says_what_it_was() -> None:
    """A ballot that is no vote shows its state where a label would stand."""
    view = fanout(record(0, value=None), pattern="vote", ballots=("abstain",))
    assert "abstained" in Page(static_html(view)).text


def test_a_failed_call_does_not_say_twice_that_it_failed() -> None:
    """Where a label would stand there is a dash; the state says the rest."""
    view = fanout(record(0, value="a"), failed(1), pattern="vote", ballots=("valid", "failed"))
    html = static_html(view)
    table = Page(html[html.index("<table") : html.index("</table>") + 8]).text
    assert "failed ×2–1.5 s" in table


def test_a_blocked_worker_has_no_fold() -> None:
    """There is nothing in it to unfold."""
    assert Page(static_html(blocked(extra=()))).count("details") == 0


def test_of_very_many_calls_beside_the_workers_the_first_have_a_line() -> None:
    """The others are counted, and all of one model are named as a few."""
    judges = tuple(
        record(FOLLOW_UP + i, f"judge{i}", role="judge", model="anthropic:claude-sonnet-5")
        for i in range(500)
    )
    text = Page(static_html(fanout(extra=judges))).text
    assert "judge29" in text
    assert "judge30" not in text
    assert "470 more calls beside the workers in the result" in text
    assert "judge0, judge1, judge2 and 497 more by anthropic:claude-sonnet-5" in text


def test_models_get_a_column_only_where_they_differ() -> None:
    """One model stands in the head; a swapped one is not hidden."""
    assert ">Model<" not in static_html(fanout())
    swapped = fanout(record(0), record(1, model_answered="claude-tiny-1"))
    assert "claude-haiku-5-5 (answered: claude-tiny-1)" in Page(static_html(swapped)).text
    dated = fanout(record(0), record(1, model_answered="claude-haiku-5-5-20261001"))
    assert ">Model<" not in static_html(dated)


def test_styles_are_inline_and_of_no_theme() -> None:
    """JupyterLab keeps nothing else; no colour assumes a white page."""
    html = static_html(vote())
    assert not re.search(r"<(style|script|svg|link|img)|\bid=|\bon\w+=", html)
    assert not re.search(r"(?<![-\w])color:(?!inherit)|background:(#fff|white|#000|black)", html)
    assert "mathjax_ignore" in html


def test_a_huge_run_stays_openable() -> None:
    """Five thousand long answers: fifty rows, the failure first, under a megabyte."""
    records = [record(i, text="long answer " * 2000) for i in range(5000)]
    records[4321] = failed(4321)
    html = static_html(fanout(*records))
    assert len(html) < 1_000_000
    assert "s4322" in html
    assert html.index("s4322") < html.index("s1<")
    assert "4,950 more workers in the result" in html


def test_the_same_records_give_the_same_picture() -> None:
    """Nothing but the view goes in."""
    assert static_html(fanout()) == static_html(fanout())


def test_a_run_without_workers_has_a_picture() -> None:
    """Odd but possible: only a title."""
    view = fanout(record(0, status="blocked", attempts=(), seconds=0.0, text="", usage=None,
                         cost=None, error=Fault("cancelled", "the guard blocked the run")))  # fmt: skip
    assert "the guard blocked the run" in static_html(view)


def test_cached_tokens_are_told() -> None:
    """Prompt caching is visible in the sums."""
    assert "(80 from cache)" in static_html(fanout(record(0, usage=Usage(20, 80, 0, 5))))

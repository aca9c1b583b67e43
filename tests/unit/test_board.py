"""The live board: what events become on the screen, at bounded cost."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from display_samples import FOLLOW_UP, GUARD, HAIKU, Page, bad_inputs, failed, record
from growth import assert_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st
from live_views import live_html

from parallm_magics.core.tasks import ROLES, Event, Fault, Model, Record, Role, Task
from parallm_magics.display import Board, View, html, run_blocks, run_rows, to_html
from parallm_magics.display.live_rows import (
    MOST_AUXILIARY,
    MOST_ROWS,
    TROUBLED_ROWS,
    last_words,
)
from parallm_magics.display.pace import axis
from parallm_magics.display.text import about, rate


def board_of(count: int = 3, pattern: Any = "fanout", **options: Any) -> Board:
    """A board of workers that have not started."""
    return Board([(f"w{i}", HAIKU) for i in range(count)], pattern, **options)


def end(board: Board, index: int, outcome: Record) -> None:
    """Let a worker start and end."""
    board.tell(Event("started", index, outcome.start))
    board.tell(Event("ended", index, outcome.end, record=outcome))


def text_of(board: Board, now: float = 2.0) -> str:
    """What a person reads on the board."""
    return Page(live_html(board, now)).text


def test_a_worker_goes_through_its_states() -> None:
    """Queued, running, answering, waiting, ended: each is a word."""
    board = board_of(1)
    assert "queued" in text_of(board)
    board.tell(Event("started", 0, 0.0))
    assert "running" in text_of(board)
    board.tell(Event("heard", 0, 0.5, "The answer"))
    assert "answering" in text_of(board)
    assert "The answer" in text_of(board)
    board.tell(Event("waiting", 0, 0.6, "rate limit: asks again in 2.0 s"))
    assert "rate limit: asks again in 2.0 s" in text_of(board)
    board.tell(Event("ended", 0, 1.5, record=record(0)))
    assert "1 of 1 done" in text_of(board)


def test_a_retry_begins_its_answer_anew() -> None:
    """What a broken attempt had said is gone."""
    board = board_of(1)
    for piece in ("first try", "second"):
        board.tell(Event("started", 0, 0.0))
        board.tell(Event("heard", 0, 0.5, piece))
    assert "second" in text_of(board)
    assert "first try" not in text_of(board)
    assert "×2" in text_of(board)


def test_a_sign_of_life_is_no_answer() -> None:
    """An empty piece keeps the worker running, not answering."""
    board = board_of(1)
    board.tell(Event("started", 0, 0.0))
    board.tell(Event("heard", 0, 0.5, ""))
    assert "answering" not in text_of(board)


def test_a_long_stream_shows_its_end() -> None:
    """Only the newest words are kept and drawn."""
    board = board_of(1)
    board.tell(Event("started", 0, 0.0))
    for i in range(10_000):
        board.tell(Event("heard", 0, 0.5, f"word{i} "))
    assert "word9999" in text_of(board)
    assert "word9000 " not in text_of(board)


def test_the_header_adds_up() -> None:
    """Done, time, tokens and cost so far, the unknown said."""
    board = board_of(3)
    end(board, 0, record(0))
    end(board, 1, failed(1))
    text = text_of(board, 2.0)
    for part in ("2 of 3 done", "2.0 s", "1 failed", "120 tokens", "at least $0.0012"):
        assert part in text


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ("ok ok ok ok", ["4 workers started.", "Half of 4 workers done.", "4 workers done."]),
        (
            "ok failed ok failed",
            [
                "4 workers started.",
                "A worker ended without success; the others go on.",
                "4 workers done, 2 without success.",
            ],
        ),
    ],
)
def test_a_screen_reader_is_told_a_sentence_a_phase(outcomes: str, told: list[str]) -> None:
    """However many events come in: at the start, at half or a first failure, and at the end."""
    statuses = outcomes.split()
    board = board_of(len(statuses))
    said = [board.announcement()]
    for index, status in enumerate(statuses):
        board.tell(Event("started", index, 0.0))
        said.append(board.announcement())
        board.tell(Event("heard", index, 0.5, "words"))
        said.append(board.announcement())
        ended = record(index, status=status)
        board.tell(Event("ended", index, ended.end, record=ended))
        said.append(board.announcement())
    assert list(dict.fromkeys(said)) == told


def test_a_terminal_has_one_line() -> None:
    """Done, what went wrong, how long; of many also how fast."""
    board = board_of(20)
    for index in range(11):
        end(board, index, record(index))
    end(board, 11, failed(11))
    board.tell(Event("started", 12, 0.0))
    assert board.line(3.2) == "12 of 20 done · 1 failed · 3.2 s"
    assert Board().line(0.0) == "0 done · 0.00 s"
    board = board_of(1_000)
    for index in range(100):
        end(board, index, record(index, start=index * 0.1, seconds=0.1))
    assert board.line(10.0) == "100 of 1,000 done · 10.0 s · 10 calls per second · about 2 min left"


def test_extra_rows_are_shown_and_not_counted() -> None:
    """A synthesis has a row from the start, costs money, and is no worker."""
    board = board_of(1, extra={FOLLOW_UP: ("synthesis", "anthropic:claude-sonnet-5", "synthesis")})
    assert "synthesisqueued" in text_of(board)
    end(board, 0, record(0))
    told = {"model": "anthropic:claude-sonnet-5", "role": "synthesis", "cost": Decimal("0.01")}
    end(board, FOLLOW_UP, record(FOLLOW_UP, "synthesis", **told))
    text = text_of(board)
    assert "1 of 1 done" in text
    assert "synthesis by anthropic:claude-sonnet-5" in text
    assert "$0.0112" in text
    assert "240 tokens" in text


def test_calls_beside_the_workers_are_learnt_too() -> None:
    """A guard and a judge that nobody announced stand below the workers in their order."""
    board = board_of(2)
    begin(board, FOLLOW_UP, 1.0, "judge", "judge")
    begin(board, GUARD, 0.0, "safety", "guard")
    text = text_of(board)
    assert "0 of 2 done" in text
    assert text.index("w1") < text.index("safety") < text.index("judge")
    assert "running ·" not in text.partition("Worker")[0]


def test_a_number_between_workers_and_others_is_nobody() -> None:
    """With the workers given, a call that is neither theirs nor beside them has no row."""
    board = board_of(2)
    begin(board, 2)
    begin(board, GUARD - 1)
    assert Page(live_html(board, 1.0)).count("tr") == 1 + 2


def test_of_very_many_calls_beside_the_workers_some_are_drawn() -> None:
    """The guards and the last of the others."""
    board = board_of(1)
    begin(board, GUARD, 0.0, "safety", "guard")
    for index in range(500):
        at = FOLLOW_UP + index
        begin(board, at, 0.0, f"judge{index}", "judge")
        board.tell(Event("ended", at, 1.0, record=record(at, f"judge{index}", role="judge")))
    text = text_of(board)
    assert Page(live_html(board, 1.0)).count("tr") == 1 + 1 + MOST_AUXILIARY
    assert "safety" in text
    assert "judge499" in text


def test_what_is_said_of_the_run_stands_in_the_header() -> None:
    """The last line said, by whoever says it; an empty one says nothing."""
    board = board_of(1)
    board.say("5,000 calls")
    board.tell(Event("said", -1, 1.0, "decided after 3 of 5"))
    assert "decided after 3 of 5" in text_of(board)
    assert "5,000 calls" not in text_of(board)
    board.tell(Event("said", -1, 1.0, ""))
    assert "decided" not in text_of(board)
    board.say("kept")
    assert "kept" in text_of(board)


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        pytest.param(("valid", "toxic"), "toxic", id="label"),
        pytest.param(("abstain", ""), "abstained", id="abstain"),
        pytest.param(("invalid", ""), "unreadable", id="invalid"),
        pytest.param(("valid", ""), "", id="free-text"),
        pytest.param(("", ""), "", id="nothing-asked"),
    ],
)
def test_a_fan_out_reads_where_it_is_asked_to(read: tuple[str, str], shown: str) -> None:
    """The row says what was read; there is no tally."""
    board = board_of(1, read_label=lambda record: read)
    end(board, 0, record(0, text="words"))
    text = text_of(board)
    assert ("Read as" in text) == bool(shown)
    assert f"×2{shown}" in text or shown in text
    assert "still open" not in text
    assert "all in" not in text


def test_simulated_unusual_hosts_and_lines_are_shown() -> None:
    """What the patterns say stands in the header."""
    board = board_of(1, simulated=True, addresses=("http://localhost:1",))
    board.say("decided after 3 of 5")
    text = text_of(board)
    assert "SIMULATED" in text
    assert "asked at http://localhost:1" in text
    assert "decided after 3 of 5" in text


def names(board: Board, now: float = 2.0) -> list[str]:
    """The workers that have a row, from top to bottom."""
    return re.findall(r"<bdi[^>]*>([ws]\d+)</bdi>", live_html(board, now))


@pytest.mark.parametrize("count", [MOST_ROWS + 1, 200, 50_000])
def test_of_many_those_that_matter_are_drawn(count: int) -> None:
    """One rule for any number: who runs, who has failed, who ended last, then who is to come."""
    board = board_of(count)
    end(board, 0, failed(0, "w0"))
    for index in range(1, 5):
        end(board, index, record(index, f"w{index}"))
    for index in range(5, 15):
        board.tell(Event("started", index, 2.0))
    assert names(board) == [f"w{index}" for index in range(MOST_ROWS)]
    for index in range(5, 15):
        board.tell(Event("ended", index, 3.0, record=record(index, f"w{index}")))
    for index in range(15, 31):
        board.tell(Event("started", index, 3.0))
    drawn = {0, *range(2, 31)}
    assert set(names(board)) == {f"w{index}" for index in drawn}, (
        "the one that ended first is left out"
    )
    assert f"{count - MOST_ROWS:,} more workers not shown" in text_of(board)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_rows_do_not_jump(chance: Any) -> None:
    """A row that is drawn again is where it was, whatever has happened to the others."""
    board, live, begun = Board(total=500), [], 0
    before: list[str] = []
    for _ in range(40):
        for _ in range(chance.randrange(8)):
            if live and chance.random() < 0.5:
                index = live.pop(chance.randrange(len(live)))
                ended = record(index) if chance.random() < 0.8 else failed(index)
                board.tell(Event("ended", index, 1.0, record=ended))
            else:
                begin(board, begun)
                live.append(begun)
                begun += 1
        after = names(board)
        assert len(after) == min(begun, MOST_ROWS)
        kept = [name for name in after if name in before]
        assert all(before.index(name) == after.index(name) for name in kept)
        before = after


def test_very_many_that_run_leave_room_for_failures() -> None:
    """Of a thousand at once the longest running are drawn, and the last without success."""
    board = Board(total=5_000)
    for index in range(1_000):
        begin(board, index)
    for index in range(900, 1_000):
        board.tell(Event("ended", index, 1.0, record=failed(index)))
    running = [f"s{index + 1}" for index in range(MOST_ROWS - TROUBLED_ROWS)]
    assert names(board) == [*running, *(f"s{index + 1}" for index in range(990, 1_000))]


def test_events_and_pictures_are_cheap() -> None:
    """Of many workers an event costs what it costs of few, and so does the picture after it."""

    def run(size: int) -> None:
        board = board_of(size)
        for index in range(10 * size):
            board.tell(Event("heard", index % size, 0.0, "some words "))
        for _ in range(10):
            live_html(board, 1.0)

    assert_in_proportion(run, 5000)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(Event("ended", 0, 1.0), id="ended-without-record"),
        pytest.param(Event("heard", 99, 1.0, "x"), id="unknown-worker"),
        pytest.param(Event("heard", -1, 1.0, "x"), id="negative"),
        pytest.param(Event("exploded", 0, 1.0), id="unknown-kind"),  # type: ignore[arg-type]
        pytest.param(Event("heard", 0, float("nan"), "\ud800\x1b"), id="nan-and-surrogate"),
    ],
)
def test_odd_events_are_borne(event: Event) -> None:
    """The display never ends a run."""
    board = board_of(1)
    board.tell(event)
    assert "w0" in text_of(board)


def test_what_follows_an_end_is_ignored() -> None:
    """A worker ends once."""
    board = board_of(1)
    end(board, 0, record(0))
    end(board, 0, failed(0))
    board.tell(Event("heard", 0, 3.0, "late"))
    assert board.done == 1
    assert "late" not in text_of(board)


def begin(board: Board, index: int, at: float = 0.0, name: str = "", role: Role = "worker") -> None:
    """Let a call start that the board has never heard of."""
    task = Task(
        index, name or f"s{index + 1}", Model("anthropic", "claude-haiku-5-5"), "p", role=role
    )
    board.tell(Event("started", index, at, task=task))


def run(board: Board, count: int, every: float, begins: int = 0, **fields: Any) -> None:
    """Let so many unknown workers of a second each end one after another."""
    for index in range(begins, begins + count):
        at = (index + 1) * every
        begin(board, index, at - 1.0)
        board.tell(Event("ended", index, at, record=record(index, seconds=1.0, **fields)))


def test_workers_are_learnt_from_their_first_event() -> None:
    """Name and model come with the task, or with the record of one that never began."""
    board = Board(total=5)
    begin(board, 0, name="docs/a.md")
    board.tell(Event("ended", 1, 1.0, record=failed(1, "docs/b.md", model="openai:gpt-6-luna")))
    text = text_of(board)
    for part in ("1 of 5 done", "docs/a.md", HAIKU, "docs/b.md", "openai:gpt-6-luna", "1 running"):
        assert part in text
    assert Page(live_html(board, 2.0)).count("tr") == 1 + 2


def test_an_unknown_number_is_not_made_up() -> None:
    """Neither a total, nor a bar, nor a rest until the number is known."""
    board = Board()
    assert "0 done" in text_of(board, 0.0)
    run(board, 1234, 0.1)
    text = text_of(board, 123.4)
    assert text.startswith("1,234 done")
    assert "10 calls per second" in text
    assert "left" not in text
    assert 'max-width:24em"></div>' in live_html(board, 123.4)
    board.total = 2434
    assert text_of(board, 123.4).startswith("1,234 of 2,434 done")
    assert "about 2 min left" in text_of(board, 123.4)


def test_a_source_that_gives_more_than_it_promised_is_counted() -> None:
    """Never more done than there are; and a given list of rows keeps its length."""
    board = Board(total=2)
    run(board, 3, 1.0)
    assert "3 of 3 done" in text_of(board)
    known = board_of(2)
    known.total = 9
    assert "0 of 2 done" in text_of(known)


@pytest.mark.parametrize("total", [50_000, None])
def test_of_thousands_only_what_may_be_drawn_is_kept(total: int | None) -> None:
    """Ended workers leave counters, the last failures and the last successes."""
    board = Board(total=total)
    for index in range(2_000):
        begin(board, index, float(index))
        ended = failed(index) if index % 10 == 0 else record(index)
        board.tell(Event("ended", index, index + 1.0, record=ended))
    for index in range(2_000, 2_300):
        begin(board, index, 2_000.0)
    calls = board._calls
    assert len(calls._succeeded) == len(calls._troubled) == MOST_ROWS
    assert len(calls.live) == 300
    html = live_html(board, 2_001.0)
    assert Page(html).count("tr") == MOST_ROWS + 1
    assert f"{(total or 2_300) - MOST_ROWS:,} more workers not shown" in html


def test_a_few_workers_of_an_unknown_number_all_have_rows() -> None:
    """As long as they can be drawn; one more, and the one that ended first goes."""
    board = Board()
    run(board, MOST_ROWS, 0.1)
    assert names(board) == [f"s{index + 1}" for index in range(MOST_ROWS)]
    assert "not shown" not in text_of(board)
    run(board, 1, 0.1, begins=MOST_ROWS)
    assert names(board) == [
        f"s{MOST_ROWS + 1}",
        *(f"s{index + 1}" for index in range(1, MOST_ROWS)),
    ]
    assert "1 more workers not shown" in text_of(board, 20.0)


def test_the_axis_changes_seldom_and_nothing_fills_it_while_it_runs() -> None:
    """Bars stand on 5, 10, 20, 60 s and so on; the whole bar would say that all has ended."""
    assert [axis(at) for at in (0, 4.9, 5, 19.9, 59, 61, 3599)] == [5, 5, 10, 20, 60, 120, 3600]
    assert axis(3600) == 7200
    assert axis(float("nan")) == 5
    board = board_of(1)
    end(board, 0, record(0, seconds=3.0))
    for now in (3.0, 4.0):
        assert "width:60.0%" in live_html(board, now)
        assert "width:100.0%" not in live_html(board, now)
    board = board_of(2, extra={FOLLOW_UP: ("synthesis", HAIKU, "synthesis")})
    for index in range(2):
        end(board, index, record(index))
    assert "width:66.66%" in live_html(board, 1.0), "a synthesis is to come"


def test_a_streaming_answer_begins_with_a_word() -> None:
    """Its end is drawn, an ellipsis for what is before it."""
    board = board_of(1)
    board.tell(Event("started", 0, 0.0))
    board.tell(Event("heard", 0, 0.5, "a short beginning"))
    assert "…" not in text_of(board)
    board.tell(
        Event("heard", 0, 0.6, " of an answer that becomes far longer than a row has room for")
    )
    assert "…of an answer that becomes far longer than a row has room for" in text_of(board)


@given(st.text(max_size=200), st.integers(1, 40))
def test_last_words_are_the_end(text: str, most: int) -> None:
    """Never longer, never something else, and cut where a word begins if one does."""
    shown, words = last_words(text, most), " ".join(text.split())
    assert words.endswith(shown.removeprefix("…"))
    assert len(shown) <= most + 1
    cut = words[: len(words) - len(shown) + 1]
    assert shown == words or cut.endswith(" ") or " " not in words[-most:].rstrip()


def test_the_heading_says_what_runs_after_all_workers() -> None:
    """Workers that are done are not the end where their answers are still merged; what comes later does not load."""
    board = board_of(2, extra={FOLLOW_UP: ("synthesis", HAIKU, "synthesis")})
    board.tell(Event("loading", -1, 0.0))
    assert text_of(board).count("loading") == 3
    board.tell(Event("loaded", -1, 0.0))
    run(board, 1, 1.0)
    begin(board, FOLLOW_UP, 1.0, "synthesis", "synthesis")
    assert "1 of 2 done, " not in text_of(board)
    end(board, 1, record(1))
    assert "2 of 2 done, synthesis running" in text_of(board)


def test_what_is_not_ready_is_loading() -> None:
    """Workers that wait for an import say so until it is done; what is kept needs none."""
    board = board_of(3)
    board.tell(Event("ended", 0, 0.0, record=replace(record(0), replayed=True)))
    board.tell(Event("loading", -1, 0.0))
    assert "2 loading" in text_of(board)
    assert text_of(board).count("loading") == 3
    assert "queued" not in text_of(board)
    board.tell(Event("loaded", -1, 0.0))
    assert "loading" not in text_of(board)
    assert text_of(board).count("queued") == 2


def test_extra_rows_of_a_map_are_known_by_number() -> None:
    """Drawn below from the start, counted by nobody, even where a worker has the same name."""
    board = Board(extra={FOLLOW_UP: ("synthesis", "anthropic:claude-sonnet-5", "synthesis")})
    assert "synthesis" in text_of(board)
    run(board, 1, 1.0)
    begin(board, 1, 1.0, "synthesis")
    board.tell(Event("ended", 1, 2.0, record=record(1, "s2")))
    board.total = 2
    begin(board, FOLLOW_UP, 3.0, "synthesis", "synthesis")
    board.tell(Event("heard", FOLLOW_UP, 3.5, "All in all"))
    assert "All in all" in text_of(board)
    assert "1 running" not in text_of(board)
    assert Page(live_html(board, 3.5)).count("tr") == 1 + 3
    over = record(FOLLOW_UP, "synthesis", role="synthesis", cost=Decimal("0.01"))
    board.tell(Event("ended", FOLLOW_UP, 4.0, record=over))
    html = live_html(board, 4.0)
    assert "2 of 2 done" in Page(html).text
    assert "$0.0124" in Page(html).text
    assert html.index("s1</bdi>") < html.index("synthesis</bdi>")
    assert Page(html).count("tr") == 1 + 3


@pytest.mark.parametrize("order", [range(600), range(599, -1, -1)], ids=["in-order", "reversed"])
def test_nobody_ends_twice(order: range) -> None:
    """Even of those that the board has otherwise forgotten, nothing more is taken in."""
    board = Board(total=50_000)
    for _ in range(2):
        for index in order:
            begin(board, index)
            board.tell(Event("waiting", index, 0.5, "late"))
            board.tell(Event("ended", index, 1.0, record=record(index)))
    assert board.done == 600
    assert not board._calls.live
    assert "72,000 tokens" in text_of(board)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(Event("started", 0, 0.0), id="started-without-task"),
        pytest.param(Event("heard", 0, 0.0, "x"), id="heard-before-start"),
        pytest.param(Event("heard", 0, 0.0, "x", record=record(0)), id="heard-with-record"),
        pytest.param(Event("ended", 0, 0.0), id="ended-without-record"),
        pytest.param(Event("ended", -1, 0.0, record=record(0)), id="negative"),
    ],
)
def test_a_map_ignores_whom_it_cannot_name(event: Event) -> None:
    """No row, no count."""
    board = Board(total=3, extra={FOLLOW_UP: ("synthesis", HAIKU, "synthesis")})
    board.tell(event)
    assert Page(live_html(board, 1.0)).count("tr") == 1 + 1
    assert "0 of 3 done" in text_of(board)


def test_the_rate_is_of_late_and_survives_a_pause() -> None:
    """Ten a second, a minute of nothing, ten a second again: soon it reads as before."""
    board = Board(total=50_000)
    run(board, 1_000, 0.1)
    assert "10 calls per second · about 81 min left" in text_of(board, 100.0)
    assert "left" not in text_of(board, 160.0)
    run(board, 220, 0.1, begins=1_600)
    assert "10 calls per second · about 81 min left" in text_of(board, 182.0)


def test_calls_in_waves_give_a_steady_rate() -> None:
    """Twenty at once, a minute each: between two waves the rest is not forgotten."""
    board = Board(total=1_000)
    for index in range(100):
        wave = index // 20
        begin(board, index, wave * 60.0)
        done = record(index, seconds=60.0)
        board.tell(Event("ended", index, (wave + 1) * 60.0, record=done))
    for now in (300.0, 330.0, 355.0):
        assert "calls per minute" in text_of(board, now)
        assert "min left" in text_of(board, now)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_odd_clocks_are_borne(odd: float) -> None:
    """An event or a look at no time at all neither raises nor spoils the rate."""
    board = Board(total=1_000)
    begin(board, 0, odd)
    board.tell(Event("ended", 0, odd, record=record(0)))
    run(board, 100, 0.1, begins=1)
    assert "calls per second" in text_of(board, 10.1)
    assert "calls per" not in text_of(board, odd)


@pytest.mark.parametrize(("workers", "rows"), [(3, 3), (200, 200), (1_000, run_rows.MANY_ROWS)])
def test_rows_are_drawn_while_others_are_waited_for(workers: int, rows: int) -> None:
    """The result finds them drawn; of a large run only as many are as it shows."""
    board = Board(total=workers)
    texts = [f"An answer *number {index}* of {id(board)}" for index in range(workers)]
    records = [record(index, text=text) for index, text in enumerate(texts)]
    for ended in records:
        begin(board, ended.index)
        board.tell(Event("ended", ended.index, 1.0, record=ended))
    pieces = 1
    while board.draw_ahead():
        pieces += 1
    assert pieces == rows
    assert not board.draw_ahead()
    with patch.object(to_html, "_gist", side_effect=AssertionError("drawn again")):
        assert html(run_blocks(View("", "fanout", tuple(records)))).count("<em>") == rows


def test_nothing_is_left_of_a_run_that_is_done() -> None:
    """After the last end neither a rate nor a rest is drawn."""
    board = Board(total=300)
    run(board, 300, 0.1)
    assert "300 of 300 done" in text_of(board, 30.0)
    assert "calls per" not in text_of(board, 30.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (89.4, "89 s"),
        (89.6, "1 min"),
        (1080.0, "18 min"),
        (5369.0, "89 min"),
        (5400.0, "1.5 h"),
    ],
)
def test_an_estimate_is_in_one_unit(seconds: float, words: str) -> None:
    """Seconds below 90, minutes below 90, hours above."""
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("a_second", "words"),
    [
        (1234.5, "1,234 calls per second"),
        (9.96, "10 calls per second"),
        (0.96, "1.0 calls per second"),
        (0.2, "12 calls per minute"),
        (0.016, "1 call per minute"),
        (0.002, "7 calls per hour"),
    ],
)
def test_a_rate_has_a_readable_unit(a_second: float, words: str) -> None:
    """Never a figure that rounds to nothing."""
    assert rate(a_second) == words


def test_waiting_and_running_are_told_apart() -> None:
    """Who waits for another try does not run."""
    board = Board(total=1_000)
    for index in range(3):
        begin(board, index)
    board.tell(Event("waiting", 1, 0.5, "rate limit"))
    assert "2 running · 1 waiting" in text_of(board)


def test_recordings_are_done_but_neither_spent_nor_timed() -> None:
    """Two thousand from a file say nothing on how fast the rest goes or what it costs."""
    board = Board(total=4_000)
    run(board, 2_000, 0.001, replayed=True)
    text = text_of(board, 2.0).partition("Worker")[0]
    assert "2,000 of 4,000 done" in text
    assert "2,000 kept from before" in text
    for word in ("calls per", "left", "$"):
        assert word not in text
    for index in range(2_000, 2_020):
        begin(board, index, 2.0)
        board.tell(Event("ended", index, 4.0, record=record(index)))
    text = text_of(board, 4.0)
    assert "10 calls per second · about 3 min left" in text
    assert "2,400 tokens · $0.0240" in text


def test_workers_that_were_never_asked_are_no_calls() -> None:
    """When a run stops, thousands end at once: that is no rate."""
    board = Board(total=4_000)
    run(board, 20, 0.1)
    for index in range(20, 3_000):
        stopped = failed(index, status="cancelled", attempts=(), seconds=0.0)
        board.tell(Event("ended", index, 2.0, record=stopped))
    assert "2,980 cancelled" in text_of(board, 2.0)
    assert "6.9 calls per second" in text_of(board, 2.0)


def test_a_large_known_run_has_its_pace_and_a_small_one_not() -> None:
    """The line is for runs that are too long to watch."""
    for count, has in ((MOST_ROWS, False), (MOST_ROWS + 1, True)):
        board = board_of(count)
        end(board, 0, record(0))
        assert ("per minute" in text_of(board)) == has


@pytest.mark.parametrize("payload", bad_inputs("markup", "control", "redress").values())
def test_a_map_escapes_what_its_events_say(payload: str) -> None:
    """Names, models and reasons of tasks and records make no element of their own."""

    def drawn(word: str) -> Page:
        board = Board(extra={GUARD: (word, word, "guard"), FOLLOW_UP: (word, word, "judge")})
        board.tell(Event("said", -1, 0.0, word))
        for index in (GUARD, GUARD + 1):
            board.tell(
                Event("ended", index, 0.5, record=failed(index, word, text=word, value=word))
            )
        for index in range(3):
            task = Task(index, f"{index}{word}", Model(word, word), "p")
            board.tell(Event("started", index, 0.0, task=task))
        board.tell(Event("waiting", 1, 0.5, word))
        fault = Fault("server", word)
        board.tell(Event("ended", 2, 1.0, record=failed(2, f"2{word}", model=word, error=fault)))
        return Page(live_html(board, 1.0))

    page, calm = drawn(payload), drawn("calm")
    assert not page.unclosed
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in calm.elements}
    for tag in ("tr", "bdi", "th", "td"):
        assert page.count(tag) == calm.count(tag)


KINDS = ["started", "heard", "waiting", "ended", "released", "said", "loading", "loaded"]
BESIDE_THEM = st.integers(GUARD - 1, GUARD + 2) | st.integers(FOLLOW_UP - 1, FOLLOW_UP + 2)

events = st.builds(
    Event,
    st.sampled_from(KINDS),
    st.integers(-1, 4) | BESIDE_THEM,
    st.floats(0, 100),
    st.text(alphabet=st.characters(), max_size=30),
    st.none()
    | st.builds(record, st.integers(0, 4), seconds=st.floats(0, 100), role=st.sampled_from(ROLES)),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(events, max_size=40),
    st.sampled_from(["fanout", "vote"]),
    st.floats(0, 200),
    st.booleans(),
)
def test_no_order_of_events_breaks_it(
    told: list[Event], pattern: Any, now: float, withheld: bool
) -> None:
    """One row a worker, one each for the calls beside them, whatever is told when."""
    extra = {GUARD: ("guardrail", HAIKU, "guard"), FOLLOW_UP: ("judge", HAIKU, "judge")}
    board = board_of(3, pattern, extra=extra, redacted=withheld)
    known = {*range(3), *extra}
    for event in told:
        board.tell(event)
        # What is begun by a task has one here only where there is a record instead.
        if event.index >= 0 and event.record and event.kind == "ended":
            known |= {event.index} if event.record.role != "worker" else set()
    html = live_html(board, now)
    assert html[html.rindex("<table") :].count("<tr") == 1 + len(known)
    assert 0 <= board.done <= 3


map_events = st.builds(
    Event,
    st.sampled_from(KINDS),
    st.integers(-2, 4) | BESIDE_THEM | st.just(10**30),
    st.floats(),
    st.text(alphabet=st.characters(), max_size=30),
    st.none()
    | st.builds(
        record,
        st.integers(0, 4),
        seconds=st.floats(),
        replayed=st.booleans(),
        status=st.sampled_from(["ok", "failed", "refused", "cancelled", "blocked"]),
        value=st.none() | st.floats() | st.text(alphabet=st.characters(), max_size=9),
    ),
    st.none()
    | st.builds(
        Task, st.just(0), st.sampled_from(["a", "judge"]), st.just(Model("m")), st.just("p")
    ),
)

readers = st.sampled_from(
    [
        None,
        lambda record: ("valid", record.value),
        lambda record: ("odd", "x"),
        lambda record: None,
        lambda record: (["valid"], "x"),
        lambda record: ("valid", 7),
        lambda record: 1 / 0,
    ]
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(map_events, max_size=40),
    st.sampled_from(["fanout", "vote"]),
    st.none() | st.integers(-1, 500),
    st.floats(),
    readers,
)
def test_nothing_told_to_a_map_breaks_it(
    told: list[Event], pattern: Any, total: int | None, now: float, reader: Any
) -> None:
    """Any order, any clock, any reader, a number that comes late: it draws."""
    board = Board(None, pattern, reader, extra={FOLLOW_UP: ("judge", HAIKU, "judge")}, repeats=True)
    for event in told:
        board.tell(event)
    live_html(board, now)
    board.total = total
    assert Page(live_html(board, now)).unclosed == []
    assert board.done <= 6

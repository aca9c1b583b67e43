"""The tally: counts first, shares with their meaning, losses told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from display_samples import Page, fanout, record, static_html, tally_html, tally_plain

from parallm_magics.display import SectionVote, Tally, vote_words
from parallm_magics.display.text import percent, together, width
from parallm_magics.display.vote_words import further, states_line


def verdict(given: Tally) -> str:
    """How the vote ended, as a terminal shows it."""
    return together(vote_words.verdict(given))


def agreement(given: Tally) -> str:
    """The share that agrees, likewise."""
    return together(vote_words.agreement(given))


def most_frequent(given: Tally) -> str:
    """What is said of the prompt, likewise."""
    return together(vote_words.most_frequent(given))


def tally(counts: dict[str, int], winner: str | None, **fields: Any) -> Tally:
    """A vote in which all requested votes were valid, unless told otherwise."""
    valid = sum(counts.values())
    given = {"status": "decided" if winner else "tie", "valid": valid, "requested": valid} | fields
    return Tally(tuple(counts.items()), winner, **given)


EARLY = tally(
    {"yes": 3},
    "yes",
    requested=5,
    cancelled=2,
    agreement=1.0,
    interval=(0.44, 1.0),
    range=(0.6, 1.0),
    share_requested=0.6,
    margin=1.0,
    entropy=0.0,
    pairwise=1.0,
    decided_after=3,
)
HEURISTIC = tally(
    {"yes": 4},
    "yes",
    requested=9,
    cancelled=5,
    agreement=1.0,
    range=(4 / 9, 1.0),
    p_mode=0.97,
    decided_after=4,
    heuristic=True,
)
SPLIT = {"A": 2, "B": 1, "C": 1, "D": 1}
PLURALITY = "'A' leads with 2 of 5: a plurality, not a majority"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(tally({"safe": 5}, "safe"), "5 of 5 votes agree on 'safe'", id="all"),
        pytest.param(
            tally({"safe": 5}, "safe", interval=(0.5655, 1.0)),
            "5 of 5 votes agree on 'safe' (a repeat of this prompt would agree 57–100 % of the time)",
            id="all-of-a-repeat",
        ),
        pytest.param(tally({"a": 1}, "a"), "'a' has the only vote", id="only"),
        pytest.param(tally({"a": 4, "b": 1}, "a"), "'a' has 4 of 5 votes: a majority", id="most"),
        pytest.param(tally(SPLIT, "A"), PLURALITY, id="plurality"),
        pytest.param(
            tally({"a": 2, "b": 1}, "a", requested=5, failed=2, pick="majority"),
            "'a' has 2 of 5 votes: a majority of the 3 valid ones",
            id="majority-of-valid",
        ),
        pytest.param(
            tally({"A": 2, "B": 2}, "A", how="the tie between A and B was broken by lowest index."),
            "'A' has 2 of 4 votes; the tie between A and B was broken by lowest index",
            id="tie-broken",
        ),
        pytest.param(
            EARLY,
            "'yes', 3 of 5 requested; decided early, 2 cancelled; the other two could not change it",
            id="early",
        ),
        pytest.param(
            tally({"yes": 3, "no": 1}, "yes", requested=5, cancelled=1, decided_after=4),
            "'yes', 3 of 5 requested; decided early, 1 cancelled; the other one could not change it",
            id="early-by-one",
        ),
        pytest.param(
            HEURISTIC,
            "'yes', 4 of 9 requested; decided early by a stopping heuristic after 4 of 9, "
            "5 cancelled; the others might have changed it",
            id="heuristic",
        ),
        pytest.param(
            tally({"toxic": 1}, "toxic", pick="any", requested=5, cancelled=4, decided_after=1,
                  how="flagged: 1 vote for 'toxic' is enough"),
            "'toxic', 1 of 5 requested; decided early, 4 cancelled; the other four could not "
            "change it; flagged: 1 vote for 'toxic' is enough",
            id="any-early",
        ),
        pytest.param(
            tally({"yes": 2}, "yes", requested=5, cancelled=3),
            "'yes', 2 of 5 requested; 3 cancelled, which might have changed it",
            id="stopped",
        ),
        pytest.param(
            tally({"a": 2, "b": 2, "c": 1}, None),
            "A tie: 'a' and 'b' have 2 of 5 votes each; no winner",
            id="tie",
        ),
        pytest.param(
            tally({"a": 2, "b": 1}, None, pick="weighted", weights=(("a", 2.0), ("b", 2.0))),
            "A tie: 'a' and 'b' have the weight 2 each; no winner",
            id="weighted-tie",
        ),
        pytest.param(
            tally({"a": 3, "b": 1}, None, pick="judge", how="judge changed its mind with the order"),
            "A tie; no winner; judge changed its mind with the order",
            id="judge-tie",
        ),
        pytest.param(tally({"a": 0}, None), "A tie; no winner", id="empty-tie"),
        pytest.param(
            tally({"a": 2, "b": 1}, None, status="no_majority", pick="majority", requested=5),
            "A majority was asked for: 'a' leads with 2 of 5 votes; no winner",
            id="no-majority",
        ),
        pytest.param(
            tally({"a": 2, "b": 2, "c": 1}, None, status="no_majority", pick="threshold"),
            "The threshold was not reached: 'a' and 'b' have 2 of 5 votes each; no winner",
            id="no-threshold",
        ),
        pytest.param(
            tally({"a": 4, "b": 1}, None, status="no_majority", pick="unanimous"),
            "Unanimity was asked for: 'a' leads with 4 of 5 votes; no winner",
            id="not-unanimous",
        ),
        pytest.param(
            tally({}, None, status="no_majority", requested=3),
            "No label has the votes that the rule requires: there is no vote; no winner",
            id="nothing",
        ),
        pytest.param(
            tally({"a": 1}, None, status="no_quorum", requested=5),
            "No quorum: only 1 of 5 votes could be counted; no winner",
            id="no-quorum",
        ),
        pytest.param(
            tally({"6": 1, "8": 1}, "7", pick="mean"), "7: the mean of 2 valid votes", id="mean"
        ),
        pytest.param(
            tally({"6": 1, "8": 3}, "8", pick="median", how="the median of 4 votes"),
            "8: the median of 4 votes",
            id="median",
        ),
        pytest.param(tally({"6": 1, "8": 1}, "7"), "7, from 2 valid votes", id="no-label"),
    ],
)  # fmt: skip
def test_the_verdict_is_in_words(given: Tally, said: str) -> None:
    """How the vote ended, with counts, and how that came about; the same in html."""
    assert verdict(given) == said
    assert said in Page(tally_html(given)).text


@pytest.mark.parametrize("pick", ["judge", "best", "confidence", "weighted", "any"])
@pytest.mark.parametrize("votes", [{"A": 4, "B": 1}, {"A": 1, "B": 4}, {"B": 5}, {"A": 2, "B": 3}])
def test_who_is_picked_otherwise_neither_leads_nor_has_a_majority(
    votes: dict[str, int], pick: str
) -> None:
    """Even where the picked label has most votes, they are not why."""
    given = tally(votes, "B", pick=pick, how="the judge chose B in both orders")
    said = verdict(given)
    assert said == f"'B' was picked, with {votes['B']} of 5 votes; the judge chose B in both orders"


def test_the_reason_is_one_line_and_clipped() -> None:
    """It may hold a model's words."""
    said = verdict(tally({"a": 1}, "a", how="first\nsecond " + "long " * 200))
    assert "; first second long" in said
    assert len(said) < 350


def test_a_heuristic_stop_claims_no_certainty() -> None:
    """Neither with the flag nor where the cancelled votes could have changed the winner."""
    stopped = tally({"yes": 3, "no": 1}, "yes", requested=9, cancelled=5, range=(3 / 9, 8 / 9))
    level = tally({"yes": 3, "no": 1}, "yes", requested=6, cancelled=2, decided_after=4)
    for given in (HEURISTIC, stopped, replace(stopped, decided_after=4), level):
        assert "could not change it" not in verdict(given)
    assert "stopping heuristic after 4 of 9; the others" in verdict(replace(HEURISTIC, cancelled=0))
    assert "44–100 %" in agreement(HEURISTIC)
    assert agreement(replace(HEURISTIC, cancelled=0, range=None)) == ""


def test_agreement_is_never_a_chance_of_being_right() -> None:
    """The share comes with its interval and with what it does not say, said once."""
    given = tally({"a": 4, "b": 1}, "a", agreement=0.8, interval=(0.3755, 0.9638))
    assert agreement(given) == (
        "Agreement: 4 of 5 valid votes, 80 % (a repeat of this prompt would agree 38–96 % of the "
        "time). Agreement is not the chance that the answer is right."
    )
    sure = replace(given, p_mode=0.89)
    assert "chance" not in agreement(sure)
    assert "not the chance that it is right" in most_frequent(sure)


def test_all_votes_that_agree_are_no_confidence_of_a_hundred_percent() -> None:
    """The counts and the interval stand for it."""
    given = tally({"a": 5}, "a", agreement=1.0, interval=(0.5655, 1.0), share_requested=1.0)
    text = Page(tally_html(given)).text
    assert text.count("57–100 %") == 1
    assert agreement(given) == "Agreement is not the chance that the answer is right."
    four = tally({"a": 4}, "a", requested=5, failed=1, agreement=1.0)
    assert agreement(four).startswith("Agreement: 4 of 4 valid votes. ")


@pytest.mark.parametrize("share", [0.996, 0.9999])
def test_nearly_all_is_not_all(share: float) -> None:
    """No rounding makes a share certain."""
    assert percent(share) == "99"
    assert percent(1 - share) == "1"
    assert (percent(1.0), percent(0.0)) == ("100", "0")


def test_a_panel_has_no_repeat() -> None:
    """Without an interval nothing is said about a repeat of the prompt."""
    given = tally({"a": 5}, "a", agreement=1.0)
    assert "repeat" not in agreement(given) + verdict(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            tally({"A": 4, "B": 1}, "B", pick="judge", agreement=0.8),
            "Most frequent: 'A' with 4 of 5 valid votes, 80 %.",
            id="judge",
        ),
        pytest.param(
            tally({"a": 2, "b": 2}, None, agreement=0.5, interval=(0.15, 0.85)),
            "Agreement: 2 of 4 valid votes each, 50 % (a repeat of this "
            "prompt would give each of them 15–85 % of the time).",
            id="tie",
        ),
    ],
)
def test_a_share_names_the_label_that_it_is_of(given: Tally, said: str) -> None:
    """Where it is not the winner's, or nobody's alone."""
    assert agreement(given).startswith(said)


def test_after_an_early_decision_the_range_is_shown_and_not_the_share() -> None:
    """3 of 3 valid after a cancel is not 100 %, nor are the numbers that follow from it."""
    assert agreement(EARLY) == ("Decided after 3 of 5. Of all 5 votes, 60–100 % would have agreed.")
    for text in (Page(tally_html(EARLY)).text, "\n".join(tally_plain(EARLY))):
        assert "Agreement: " not in text
        assert "margin" not in text
        assert "repeat" not in text


def test_a_range_that_nobody_gave_is_worked_out() -> None:
    """After a cancel there is never a share alone."""
    assert "Of all 5 votes, 60–100 %" in agreement(replace(EARLY, range=None))


@pytest.mark.parametrize(
    ("p_mode", "said"),
    [
        (0.95, "'a' is probably this prompt's most frequent answer (0.95 under a flat prior)"),
        (0.5, "'a' may be this prompt's most frequent answer (0.50 under a flat prior)"),
        (0.9999, "'a' is probably this prompt's most frequent answer (more than 0.99 under a flat"),
    ],
)
def test_what_is_said_of_the_prompt_is_not_said_of_the_truth(p_mode: float, said: str) -> None:
    """With the number's meaning, and "probably" only where it is."""
    line = most_frequent(tally({"a": 3, "b": 1}, "a", p_mode=p_mode))
    assert line.startswith(said)
    assert line.endswith("; that is not the chance that it is right.")


def test_nothing_is_said_of_the_prompt_where_it_means_nothing() -> None:
    """For votes that repeat no prompt, and without a vote; ties single nobody out."""
    assert most_frequent(tally({"a": 3}, "a")) == ""
    assert most_frequent(tally({"a": 0}, None, p_mode=0.5)) == ""
    tied = most_frequent(tally({"a": 2, "b": 2}, None, p_mode=0.44))
    assert tied.startswith("Each of those that lead may be")


def test_a_number_that_stopped_the_vote_is_told_as_such() -> None:
    """It is high because the vote waited until it was."""
    assert "the vote stopped because it was high" in most_frequent(HEURISTIC)


def test_the_further_numbers_are_one_line() -> None:
    """Those that there are, in an order."""
    given = tally(
        {"a": 3, "b": 2}, "a", share_requested=0.6, margin=0.2, entropy=0.971, pairwise=0.4
    )
    line = (
        "Of all requested: 60 % · margin 20 % · entropy 0.97 bits (about 2.0 different answers) "
        "· 40 % of the pairs agree"
    )
    assert further(given) == line
    assert line in tally_plain(given, columns=200)
    assert line in Page(tally_html(given)).text
    assert further(tally({"a": 1}, "a", margin=1.0)) == "Margin 100 %"
    assert further(tally({"a": 3}, "a", entropy=0.0)) == "Entropy 0.00 bits (one answer)"
    assert further(tally({"a": 1}, "a")) == ""


def test_a_weight_stands_beside_its_count() -> None:
    """Heaviest first; the count is not hidden."""
    given = tally({"a": 3, "b": 2}, "b", pick="weighted", weights=(("a", 1.0), ("b", 2.5)))
    lines = tally_plain(given)
    assert lines[0].startswith("b")
    assert lines[0].endswith("weight 2.5  2 of 5  winner")
    assert lines[1].endswith("weight 1    3 of 5")
    assert "weight 2.5" in Page(tally_html(given)).text
    assert "weight" not in Page(tally_html(tally({"a": 1}, "a"))).text


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        pytest.param({"10": 1, "6": 1, "8": 3}, "The votes lie between 6 and 10.", id="apart"),
        pytest.param({"8": 3}, "All votes say 8.", id="alike"),
        pytest.param({"8": 1, "2": 0}, "", id="one"),
    ],
)
def test_numbers_are_told_by_how_far_apart_they_lie(counts: dict[str, int], said: str) -> None:
    """Shares of equal numbers, their entropy and the most frequent one mean nothing to a median."""
    given = tally(
        counts,
        "8",
        pick="median",
        agreement=0.6,
        interval=(0.2, 0.9),
        entropy=1.0,
        p_mode=0.9,
        margin=0.4,
    )
    assert agreement(given) == said
    assert (most_frequent(given), further(given)) == ("", "")


@pytest.mark.parametrize("pick", ["median", "mean"])
def test_numbers_stand_in_their_order(pick: str) -> None:
    """Where the winner is a number, the bars show how the votes spread."""
    given = tally({"10": 3, "9": 1, "2.5": 1, "odd": 1}, "10", pick=pick)
    assert [line.split()[0] for line in tally_plain(given)[:4]] == ["2.5", "9", "10", "odd"]
    html = tally_html(given)
    assert html.index(">2.5<") < html.index(">9<") < html.index(">10<")
    assert f"3 of 6 {pick}" in Page(html).text


def test_whoever_wins_has_a_bar() -> None:
    """Also where the judge picked one of five hundred."""
    given = tally({f"label {i}": 1 for i in range(500)}, "label 444", pick="judge")
    text = Page(tally_html(given)).text
    assert "label 4441 of 500 winner" in text
    assert "480 more labels" in text


def test_a_poll_is_one_row_that_opens_to_its_votes() -> None:
    """What it came to and its counts in the row; bars, verdict, states and voters below."""
    given = tally({"safe": 3, "toxic": 1}, "safe", requested=5, failed=1, agreement=0.75)
    voters = (*(record(at) for at in range(4)), record(4, status="timed_out"))
    view = fanout(*voters, section_votes=(SectionVote("toxicity", given, voters),))
    text = Page(static_html(view)).text
    assert "toxicitysafe" in text
    assert "safe 3 of 5 · toxic 1 of 5 · 1 without a label" in text
    for part in ("'safe' has 3 of 5 votes: a majority", "3 of 5 winner", "Answer 0."):
        assert text.count(part) == 1
    assert "4 valid, 1 timed out, 0 abstained, 0 unreadable" in text
    assert "Agreement" not in text
    assert text.index("toxicity") < text.index("a majority") < text.index("s5")


def test_a_label_does_not_turn_our_words_around() -> None:
    """Right-to-left labels are isolated from the sentence."""
    html = tally_html(tally({"שלום": 4, "b": 1}, "שלום", p_mode=0.9, agreement=0.8))
    assert html.count("'<bdi>שלום</bdi>'") == 2


def test_losses_are_told() -> None:
    """Timed-out votes are told from other failures where the records say so."""
    given = tally({"a": 4}, "a", requested=5, failed=1)
    late = [record(4, status="timed_out")]
    assert states_line(given, late) == "4 valid, 1 timed out, 0 abstained, 0 unreadable"
    assert "1 failed" in states_line(given)


def test_one_bar_a_label_the_winner_marked() -> None:
    """Counts stand beside the bars, in html as in plain text."""
    given = tally({"unsafe": 1, "safe": 4}, "safe")
    page = Page(tally_html(given))
    assert page.count("tr") == 2
    assert "4 of 5 winner" in page.text
    assert tally_plain(given)[0].startswith("safe")
    assert tally_plain(given)[0].endswith("4 of 5  winner")


def test_a_long_label_leaves_room_for_its_numbers() -> None:
    """A line is never longer than the terminal, with weights too."""
    label = "日本" * 30
    given = tally({label: 100_000}, label, pick="weighted", weights=((label, 123456.0),))
    for columns in (80, 100):
        assert all(width(line) <= columns for line in tally_plain(given, columns=columns)[:1])


def test_very_many_labels_are_counted() -> None:
    """Open answers may all differ."""
    given = tally({f"label {i}": 1 for i in range(500)}, None)
    assert "480 more labels" in Page(tally_html(given)).text
    assert "and 495 more" in verdict(given)


def test_a_judges_tie_names_the_labels_that_it_chose() -> None:
    """Where the counts do not show who is tied, the words do."""
    given = tally({"A": 3, "B": 1, "C": 1}, None, status="tie", pick="judge", tied=("A", "C"))
    assert "A tie between 'A' and 'C'; no winner" in "\n".join(tally_plain(given))

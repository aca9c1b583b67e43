"""The tally: counts first, shares with their meaning, losses told."""

from __future__ import annotations

from typing import Any

import pytest
from display_samples import Page, record

from parallm_magics.display import Tally, tally_html
from parallm_magics.display.tally import agreement, states_line, tally_plain, verdict


def tally(counts: dict[str, int], winner: str | None, **fields: Any) -> Tally:
    """A vote in which all requested votes were valid, unless told otherwise."""
    valid = sum(counts.values())
    given = {"status": "decided" if winner else "tie", "valid": valid, "requested": valid} | fields
    return Tally(tuple(counts.items()), winner, **given)


EARLY = tally({"yes": 3}, "yes", requested=5, cancelled=2, agreement=1.0, range=(0.6, 1.0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(tally({"safe": 5}, "safe"), "5 of 5 votes agree on 'safe'", id="all"),
        pytest.param(tally({"a": 4, "b": 1}, "a"), "'a' has 4 of 5 votes: a majority", id="most"),
        pytest.param(
            tally({"A": 2, "B": 1, "C": 1, "D": 1}, "A"),
            "'A' leads with 2 of 5: a plurality, not a majority",
            id="plurality",
        ),
        pytest.param(
            EARLY,
            "'yes', 3 of 5 requested; decided early, 2 cancelled; the other 2 could not change it",
            id="early",
        ),
        pytest.param(tally({"a": 2, "b": 2}, None), "A tie: 'a' and 'b' have 2 of 4", id="tie"),
        pytest.param(
            tally({"a": 2, "b": 2, "c": 1}, None, status="no_majority"),
            "No label has the votes",
            id="no-majority",
        ),
        pytest.param(
            tally({"a": 1}, None, status="no_quorum", requested=5),
            "No quorum: only 1 of 5 votes",
            id="no-quorum",
        ),
        pytest.param(tally({"a": 3, "b": 1}, "b"), "'b' was picked, with 1 of 4", id="judge"),
        pytest.param(tally({"6": 1, "8": 1}, "7"), "7, from 2 valid votes", id="mean"),
    ],
)
def test_the_verdict_is_in_words(given: Tally, said: str) -> None:
    """How the vote ended, with counts."""
    assert verdict(given).startswith(said)


def test_a_heuristic_stop_claims_no_certainty() -> None:
    """Where the cancelled votes could have changed the winner, it is not denied."""
    stopped = tally({"yes": 3, "no": 1}, "yes", requested=9, cancelled=5, range=(3 / 9, 8 / 9))
    assert "could not change it" not in verdict(stopped)


def test_agreement_is_never_a_chance_of_being_right() -> None:
    """The share comes with its interval and with what it does not say."""
    said = agreement(tally({"a": 5}, "a", agreement=1.0, interval=(0.5655, 1.0)))
    assert "a repeat of this prompt would agree 57–100 % of the time" in said
    assert "not the chance that the answer is right" in said


def test_a_panel_has_no_repeat() -> None:
    """Without an interval nothing is said about a repeat of the prompt."""
    assert "repeat" not in agreement(tally({"a": 5}, "a", agreement=1.0))


def test_after_an_early_decision_the_range_is_shown_and_not_the_share() -> None:
    """3 of 3 valid after a cancel is not 100 %."""
    said = agreement(EARLY)
    assert "60–100 %" in said
    assert "Agreement: 100" not in Page(tally_html(EARLY)).text


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


def test_very_many_labels_are_counted() -> None:
    """Open answers may all differ."""
    given = tally({f"label {i}": 1 for i in range(500)}, None)
    assert "480 more labels" in Page(tally_html(given)).text
    assert "and 495 more" in verdict(given)

"""Text and numbers: harmless, readable, the same everywhere."""

from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.display import text
from parallm_magics.display.markup import escape

ANY_TEXT = st.text(alphabet=st.characters())
"""Lone surrogates included."""


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param(
            "<b a='1' c=\"2\">&", "&lt;b a=&#x27;1&#x27; c=&quot;2&quot;&gt;&amp;", id="html"
        ),
        pytest.param("\x1b[31m\x07\x08\x00\x7f", "␛[31m␇␈␀␡", id="control"),
        pytest.param("\x9b31m", "[U+009B]31m", id="c1"),
        pytest.param("a\nb\tc", "a\nb\tc", id="newline-and-tab-stay"),
        pytest.param("a\r\nb", "a\nb", id="crlf-is-a-newline"),
        pytest.param("top \r over", "top ␍ over", id="lone-cr"),
        pytest.param("file\u202egpj.exe", "file[U+202E]gpj.exe", id="bidi-override"),
        pytest.param("Y\u200bes", "Y[U+200B]es", id="zero-width"),
        pytest.param("a\ufe0fb", "a[U+FE0F]b", id="variation-after-a-letter"),
        pytest.param("a\U000e0041", "a[U+E0041]", id="tag"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone-surrogate"),
        pytest.param("a\u2028b", "a[U+2028]b", id="line-separator"),
    ],
)
def test_what_could_deceive_is_shown(raw: str, shown: str) -> None:
    """Markup, control, bidi and invisible characters are seen and not obeyed."""
    assert escape(raw) == shown


@pytest.mark.parametrize(
    "honest",
    [
        pytest.param("مرحبا بالعالم 123 שלום", id="right-to-left"),
        pytest.param("می\u200cخواهم", id="persian-non-joiner"),
        pytest.param("क्\u200dष", id="devanagari-joiner"),
        pytest.param("שלום\u200f!", id="right-to-left-mark"),
        pytest.param(
            "\U0001f469\u200d\U0001f469\u200d\U0001f467 ❤\ufe0f 1\ufe0f\u20e3", id="emoji"
        ),
        pytest.param("\u2764\ufe0f\u200d\U0001f525", id="emoji-variant-joined"),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", id="england"
        ),
        pytest.param("葛\U000e0100城市", id="ideographic-variant"),
        pytest.param("Café 日本語 한국어 naïve — “quoted” €5", id="letters"),
    ],
)
def test_honest_text_survives(honest: str) -> None:
    """Scripts and emoji that need invisible characters keep them."""
    assert escape(honest) == honest


def test_joiners_in_a_row_are_no_emoji() -> None:
    """Only the one joiner that an emoji needs is kept."""
    assert "[U+200D]" in text.plain("\U0001f469\u200d\u200d\U0001f467")


def test_a_long_hidden_message_is_counted_not_spelt_out() -> None:
    """A thousand invisible characters take one line."""
    shown = text.plain("Fine." + "\U000e0041" * 1000)
    assert shown.startswith("Fine.[U+E0041]")
    assert "984 more invisible characters" in shown
    assert len(shown) < 300


def test_clipping_says_how_much_is_missing() -> None:
    """The rest is counted, and where it is."""
    assert escape("x" * 11_234, limit=10_000).endswith("x… 1,234 more characters in the result")


def test_one_line_is_bounded_after_making_visible() -> None:
    """Spelling out invisible characters cannot widen a cell."""
    assert len(text.one_line("\u202e" * 30, 40)) == 41
    assert text.one_line(" a\n\n b\t c ") == "a b c"


@given(ANY_TEXT, st.integers(1, 60))
def test_nothing_makes_escaping_raise(raw: str, limit: int) -> None:
    """Any string comes out without markup, control or surrogate characters."""
    shown = escape(raw, limit)
    assert not set("<>\"'") & set(shown)
    assert not [
        char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"
    ]
    shown.encode("utf-8")


@given(ANY_TEXT)
def test_escaping_twice_for_a_terminal_changes_nothing(raw: str) -> None:
    """What has been made visible stays as it is."""
    once = text.plain(raw)
    assert text.plain(once) == once


@given(ANY_TEXT, st.integers(1, 80))
def test_fitted_text_fits(raw: str, columns: int) -> None:
    """Cut, padded and wrapped text keeps to its columns."""
    line = text.one_line(raw)
    assert text.width(text.fit(line, columns)) <= columns
    assert text.width(text.fit(line, columns, "left")) == columns
    assert all(text.width(part) <= max(columns, 2) for part in text.wrap(text.plain(raw), columns))


@given(st.text(alphabet="ab \n", max_size=200), st.integers(2, 30))
def test_wrapping_loses_no_word(raw: str, columns: int) -> None:
    """The letters of a wrapped text are those of the text."""
    assert "".join("".join(text.wrap(raw, columns)).split()) == "".join(raw.split())


def test_wide_characters_take_two_columns() -> None:
    """East Asian text is measured as terminals draw it."""
    assert text.width("日本") == 4
    assert text.fit("日本語", 5) == "日本…"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00 s"), (0.45, "0.45 s"), (1.24, "1.2 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"),
     (125, "2 min 5 s"), (3720, "1 h 2 min"), (None, "–"), (float("nan"), "–"), (-1, "0.00 s")],
)  # fmt: skip
def test_seconds(value: float | None, shown: str) -> None:
    """Lengths of time read at a glance, whatever their size."""
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("cost", "shown"),
    [("0.0012", "$0.0012"), ("0.00003512", "$0.000035"), ("0.0003", "$0.0003"), ("0", "$0"),
     ("0.125", "$0.125"), ("0.0126", "$0.0126"), ("12.5", "$12.50"), ("1234.567", "$1,234.57"),
     ("NaN", "–")],
)  # fmt: skip
def test_money(cost: str, shown: str) -> None:
    """Small sums keep the figures that count."""
    assert text.money(Decimal(cost)) == shown


def test_unknown_amounts_are_said() -> None:
    """Nothing known is a dash, something known is a lower bound."""
    assert text.money(None) == text.count(None) == "–"
    assert text.money(Decimal("0.0012"), complete=False) == "at least $0.0012"
    assert text.count(1234, "token", complete=False) == "at least 1,234 tokens"

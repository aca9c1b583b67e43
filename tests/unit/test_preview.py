"""The beginning of an answer on one line, without the marks of Markdown."""

from __future__ import annotations

import pytest
from growth import assert_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.display.preview import words

WORDS = st.text("abcdefgh", min_size=1, max_size=8)
MARKED = WORDS.flatmap(
    lambda word: st.sampled_from(
        (word, f"**{word}**", f"*{word}*", f"_{word}_", f"`{word}`", f"[{word}](http://a.example)",
         f"***{word}***", f"~~{word}~~", f"![{word}](x.png)", f"**[{word}](x)**"),
    ).map(lambda marked: (word, marked))
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Head\ntext", "Head · text"),
        ("Head\n====\ntext", "Head · text"),
        ("Head:\n\ntext", "Head: text"),
        ("one\nline", "one line"),
        ("- a\n- b\n  - c", "a · b · c"),
        ("- [x] done\n- [ ] open", "done · open"),
        ("1. a\n2. b", "1. a · 2. b"),
        ("> so\n> it is", "so · it is"),
        ("| a | b |\n|---|---|\n| c | d |", "a · b · c · d"),
        ("before\n\n---\n\nafter", "before · after"),
        ("```python\nx = 1  # one\n```\nend", "x = 1 # one · end"),
        ("**Note:** `a*b*c` and \\*this\\*", "Note: a*b*c and *this*"),
        ("**a *b* c** ***d***", "a b c d"),
    ],
)
def test_marks_are_left_out(text: str, shown: str) -> None:
    """Headings, lists, quotes, tables, rules, code, bold, escapes; a dot parts what stands apart."""
    assert " ".join(words(text, 200).split()) == shown


@pytest.mark.parametrize(
    "text",
    ["2 * 3 * 4", "snake_case_name", "__init__.py", "**open", "C# and F#", "a | b", "[1] so", "日本語。", "x[0](y z)"],
)  # fmt: skip
def test_what_is_no_mark_stays(text: str) -> None:
    """Signs that mean themselves are words."""
    assert words(text, 200) == text


@settings(max_examples=200, deadline=None)
@given(st.lists(MARKED, min_size=1, max_size=8), st.sampled_from(("# ", "- ", "> ", "")))
def test_the_words_are_those_without_the_marks(line: list[tuple[str, str]], before: str) -> None:
    """However the words of a line are marked."""
    assert words(before + " ".join(marked for _, marked in line), 200) == " ".join(
        word for word, _ in line
    )


@pytest.mark.parametrize("piece", ["[", "**a ", "*", "`", "_a ", "| ", "> - ", "~~a", "#", "-|"])
def test_pathological_text_takes_no_time(piece: str) -> None:
    """A long answer costs no more than its beginning."""
    assert_in_proportion(lambda size: words(piece * size, 200), 20_000)

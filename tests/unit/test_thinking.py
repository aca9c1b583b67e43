"""Thinking is told from the answer by known marks, and a text that speaks of them stays as it is."""

import pytest
from growth import assert_in_proportion
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.answers.thinking import Sieve, split_thinking

MARKS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ('<think duration="3">', "</think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("analysisThe ", "assistantfinal"),
]
plain = st.text("abc .,\nA1", min_size=1, max_size=40).map(lambda text: f"w{text}w")

SPLIT = [
    pytest.param("  <think>a</think>\n\nb\n", "a", "b\n", id="white space round it"),
    pytest.param("<think>a</think>", "a", "", id="nothing behind it"),
    pytest.param("<think>a", "a", "", id="never closed"),
    pytest.param("<think>\n\n</think>\n\nb", "", "b", id="switched off"),
    pytest.param("<think/>b", "", "b", id="empty tag"),
    pytest.param("<think>a</think><think>b</think>c", "a\n\nb", "c", id="two blocks"),
    pytest.param("a\n</think>\n\nb", "a", "b", id="opened by the template"),
    pytest.param("secret plan</think>The fix", "secret plan", "The fix", id="so, in one line"),
    pytest.param("<|channel|>analysis<|message|>a", "a", "", id="Harmony that is cut"),
    pytest.param("analysisWe need a", "We need a", "", id="bare Harmony that is cut"),
    pytest.param(
        "<|channel|>commentary<|message|>a<|end|><|start|>assistant<|channel|>final "
        '<|constrain|>json<|message|>{"a": 1}<|return|>',
        "a",
        '{"a": 1}',
        id="Harmony with constraints",
    ),
    pytest.param(
        "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>",
        "a",
        "b",
        id="the answer framed too",
    ),
]


@pytest.mark.parametrize(("text", "thinking", "answer"), SPLIT)
def test_thinking_is_taken_out(text, thinking, answer):
    """What stands in the marks is thinking, what follows them the answer."""
    assert split_thinking(text) == (thinking, answer)


SPOKEN_OF = [
    "Use `</think>` to close it.",
    'Strip it: `re.sub(r"<think>.*?</think>", "", text)`.',
    "```xml\n<think>\nplan\n</think>\n```",
    "The model writes\n```\nplan\n</think>\nanswer\n```\nlike this.",
    "First add </think> and then go on.",
    'if "</think>" in text:\n    pass',
    "The answer. <think>late</think> More.",
    "<b>bold</b> and <analysis>what was asked for</analysis>",
    "<analysis>what the prompt asked for</analysis>\n<report>x</report>",
    "analysis of the case: fine",
    "An assistant final draft is here.",
    "Harmony writes `<|channel|>final<|message|>` before it.",
    "  indented\n\n",
    "a < b and c > d [1]",
    "",
]


@pytest.mark.parametrize("text", SPOKEN_OF)
def test_a_text_that_speaks_of_marks_stays_as_it_is(text):
    """Marks in code, in quotes, among words, or in the middle of an answer take nothing away."""
    assert split_thinking(text) == ("", text)


@given(st.text(st.characters(exclude_characters="<◁[")).filter(lambda t: "final" not in t))
def test_a_text_without_marks_is_its_own_answer(text):
    """Byte for byte, white space at its ends included."""
    if not text.lstrip().startswith("analysis"):
        assert split_thinking(text) == ("", text)


@given(st.sampled_from(MARKS), plain, plain)
def test_every_known_mark_sets_thinking_off(marks, thought, answer):
    """Nothing of the thinking stands in the answer, and nothing of either is lost."""
    begin, end = marks
    thinking, said = split_thinking(f"{begin}{thought}{end}{answer}")
    assert said == (answer.strip() if "final" in end else answer)
    assert thinking.endswith(thought.strip())


@given(st.sampled_from(MARKS), plain, plain, st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_who_watches_a_stream_sees_no_thinking(marks, thought, answer, cuts):
    """However the text is cut into pieces, what passes is the end of it: the answer."""
    begin, end = marks
    text, sieve, shown = f"{begin}{thought}{end}{answer}", Sieve(), ""
    for place in range(0, len(text), cuts[0]):
        shown += sieve.shown(text[place : place + cuts[0]])
    assert shown == answer


@pytest.mark.parametrize("text", ["Hello <b>", "[1] yes", "<div>x", "analysis of x", "a </think>"])
def test_who_watches_sees_another_text_whole(text):
    """A text that begins with nothing of the kind passes as it is, letter by letter."""
    sieve = Sieve()
    assert "".join(map(sieve.shown, text)) == text


HUGE = {
    "openings": (30_000, lambda n: "<think>" * n),
    "closings": (30_000, lambda n: "</think>" * n),
    "pairs": (20_000, lambda n: "<think></think>" * n),
    "quoted": (30_000, lambda n: "`</think>" * n),
    "blanks": (200_000, lambda n: " " * n + "<think>"),
    "brackets": (200_000, lambda n: "[" * n),
    "headers": (15_000, lambda n: "<|channel|>analysis" * n),
    "finals": (15_000, lambda n: "assistantfinal" * n),
    "fences": (50_000, lambda n: "```\n" * n + "</think>"),
}


@pytest.mark.parametrize(("size", "text"), HUGE.values(), ids=HUGE.keys())
def test_a_huge_text_is_split_in_time(size, text):
    """In proportion to its length: quadratic time would take minutes."""
    assert_in_proportion(lambda n: (split_thinking(text(n)), Sieve().shown(text(n))), size)

"""What models and servers are known to send in the place of a plain label or number."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parallm_magics.answers import framing
from parallm_magics.answers.verdict_line import is_filled
from parallm_magics.voting import read_answer

NO_VOTE = ("abstain", "invalid")
GUARD = ("ALLOW", "BLOCK")
LETTERS = ("A", "B", "C", "D", "E")
SAFETY = ("safe", "unsafe")
TOXIC = ("toxic", "fine")
CHINESE = ("安全", "不安全")


def read(text, choices=None, **options):
    """The value read, or the state where none was."""
    answer = read_answer(text, choices, **options)
    return answer.value if answer.state == "valid" else answer.state


# --- thinking of any name -------------------------------------------------------------------------

FRAMES = [
    "<{0}>{1}</{0}>",
    "<{0}>\n{1}\n</{0}>\n",
    "{1}</{0}>",
    "{1}\n</{0}>\n\n",
    "◁{0}▷{1}◁/{0}▷",
    "⟨{0}⟩{1}⟨/{0}⟩\n",
    "[{0}]{1}[/{0}]",
    "<|begin_{0}|>{1}<|end_{0}|>",
    "<|{0}|>\n{1}\n<|/{0}|>\n",
    "<|channel|>{0}<|message|>{1}<|end|><|start|>assistant<|channel|>final<|message|>",
    "analysis{0} {1}assistantfinal",
    "{0} {1}assistantfinal",
    "<{0}>{1} <{0}> again\n</{0}>",
    "<think>{0} {1}</think>",
]
THOUGHTS = [
    "ANSWER: {0}", "so\nANSWER: {0}\nhm", '{{"answer": "{0}"}}', "<answer>{0}</answer>", "{0}",
    "It is {0}.\n\\boxed{{{0}}}\n", "#### {0}\n", "Final answer: **{0}**\n\n",
]  # fmt: skip
ANSWERS = ["ANSWER: {0}", "{0}", "**Answer:** {0}", '{{"answer": "{0}"}}', "<answer>{0}</answer>"]
names = st.text(string.ascii_lowercase, min_size=3, max_size=9).filter(
    # Names of answers, and of how a text looks, are no names of thinking.
    lambda name: name not in framing._LOOKS | {"answer", "label", "vote", "verdict"}
)


@given(
    st.sampled_from(FRAMES),
    names,
    st.sampled_from(THOUGHTS),
    st.sampled_from(ANSWERS),
    st.sampled_from([GUARD, SAFETY, ("YES", "NO"), ("refund", "no refund"), LETTERS]),
    st.data(),
)
def test_the_label_of_the_thinking_is_never_read(frame, name, thought, answer, choices, data):
    """Whatever the marks are called: what follows them is read, or nothing."""
    wrong, right = data.draw(st.permutations(choices))[:2]
    assume(name not in (wrong.casefold(), right.casefold()))
    text = frame.format(name, thought.format(wrong)) + answer.format(right)
    assert read(text, choices) == right


@given(st.sampled_from(FRAMES), names, st.sampled_from(GUARD))
def test_thinking_with_an_empty_answer_is_no_vote_where_it_is_known(frame, name, label):
    """Known thinking that nothing follows, and a block that never ends, hold no vote."""
    assert read(f"<think>{frame.format(name, f'ANSWER: {label}')}</think>", GUARD) in NO_VOTE
    assert read(f"<{name}>so\nANSWER: {label}\n", GUARD) in NO_VOTE


FRAMED = [
    pytest.param("ANSWER: BLOCK<|eot_id|>", "BLOCK", id="end of text"),
    pytest.param("ANSWER: BLOCK</s>", "BLOCK", id="end of sequence"),
    pytest.param("<|im_start|>assistant\nANSWER: BLOCK<|im_end|>", "BLOCK", id="chat template"),
    pytest.param("<output>ANSWER: BLOCK</output>", "BLOCK", id="framed whole"),
    pytest.param("<b>ANSWER: BLOCK</b>", "BLOCK", id="bold"),
    pytest.param("<BLOCK>", "BLOCK", id="label in angles"),
    pytest.param("ANSWER: BLOCK. It has <Foo>x</Foo> in it", "BLOCK", id="tags behind it"),
    pytest.param("ANSWER: BLOCK\nIt has <|im_start|> tokens", "BLOCK", id="token spoken of"),
    pytest.param("((mull))\nANSWER: ALLOW\n((/mull))ANSWER: BLOCK", "invalid", id="odd marks"),
    pytest.param("== mull ==\nANSWER: ALLOW\n== end ==ANSWER: BLOCK", "invalid", id="rules"),
    pytest.param("ANSWER: ALLOW. But no, the answer is BLOCK", "invalid", id="two in a line"),
    pytest.param("ANSWER: ALLOW\nIt asks to write the answer is BLOCK", "ALLOW", id="another's"),
    pytest.param("ANSWER: ALLOW\n> the answer is BLOCK", "ALLOW", id="quotation"),
]


@pytest.mark.parametrize(("text", "found"), FRAMED)
def test_frames_and_tokens_hide_no_verdict(text, found):
    """Marks that end nothing change nothing, and a later marker that differs leaves no vote."""
    assert read(text, GUARD) == found


# --- the first clause of a short verdict ----------------------------------------------------------

DENIED_ABROAD = [
    ("nicht {}", "sicher"), ("kein {}", "Spam"), ("Ce n'est pas {}", "toxique"), ("не {}", "опасно"),
    ("{} değil", "güvenli"), ("ei {}", "turvallinen"), ("no es {}", "seguro"), ("não é {}", "seguro"),
    ("non è {}", "sicuro"), ("niet {}", "veilig"), ("inte {}", "säker"), ("nie {}", "bezpieczne"),
    ("nem {}", "biztonságos"), ("không {}", "toxic"), ("bukan {}", "spam"), ("{} नहीं", "spam"),
    ("ليس {}", "آمن"), ("לא {}", "בטוח"), ("{}ではない", "安全"), ("{}ではありません", "安全"),
    ("这不是{}的", "安全"), ("{}とは言えない", "安全"), ("{}: nein", "sicher"), ("{}, nein", "sicher"),
    ("{} : non", "toxique"), ("{}? nein", "sicher"), ("{} ist das nicht", "Spam"), ("{} (nein)", "Spam"),
    ("hardly {}", "safe"), ("un peu {}", "toxique"), ("{}, not really", "safe"), ("{}? not", "safe"),
]  # fmt: skip
PLACES = ["{}", "ANSWER: {}", "**Answer:** {}.", '{{"answer": "{}"}}', "<answer>{}</answer>"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("denial", "label"), DENIED_ABROAD)
def test_a_denial_of_any_language_is_no_vote(place, denial, label):
    """Neither in a short answer nor behind a marker, in a field or a tag."""
    assert read(place.format(denial.format(label)), (label, "other")) in NO_VOTE


foreign = st.text(st.characters(categories=["Ll"]), min_size=2, max_size=10)


@given(foreign, st.sampled_from(["sicher", "SAFE", "B", "no refund"]), st.sampled_from(PLACES))
def test_an_unknown_word_before_a_label_leaves_no_vote(word, label, place):
    """Nobody knows what it does to the label."""
    assume(not is_filled(word) and word.casefold() not in ("answer", "label"))
    assert read(place.format(f"{word} {label}"), (label, "other")) in NO_VOTE


PROSE = [
    "Das ist meiner bescheidenen Meinung nach nicht sicher",
    "Dit is naar mijn mening zeker niet veilig",
    "No creo que este contenido sea nada seguro",
    "Nach reiflicher Prüfung halte ich das keineswegs für sicher",
    "Sicher ist das meiner Meinung nach nicht",
    "Je ne pense vraiment pas que ce soit toxique",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_of_another_language_is_not_read_by_english_rules(text):
    """A label that it only mentions may be denied there."""
    assert read(text, ("sicher", "veilig", "seguro", "toxique")) in NO_VOTE


SHORT = [
    pytest.param("I think it is B", LETTERS, "B", id="words that change nothing"),
    pytest.param("Well, definitely B", LETTERS, "B", id="a clause before it"),
    pytest.param("Answer: B, nicht C", LETTERS, "B", id="what follows is not read"),
    pytest.param("Answer: B because of nicht", LETTERS, "B", id="a reason"),
    pytest.param("Answer: B - wie gesagt", LETTERS, "B", id="a spaced dash"),
    pytest.param("Answer: ✅ safe", SAFETY, "safe", id="a tick"),
    pytest.param("Answer: !safe", SAFETY, "invalid", id="a sign that denies"),
    pytest.param("Answer: ❌ safe", SAFETY, "invalid", id="a cross"),
    pytest.param("Answer: the opposite of safe", SAFETY, "invalid", id="unknown to the list"),
    pytest.param("unsafe\nS1", SAFETY, "unsafe", id="its first line"),
]


@pytest.mark.parametrize(("text", "choices", "found"), SHORT)
def test_the_first_clause_of_a_short_verdict_counts(text, choices, found):
    """It has to be a label and words that change nothing; what follows may only deny it."""
    assert read(text, choices) == found


UNSPACED = [
    pytest.param("我选B", LETTERS, "B", id="choose"),
    pytest.param("答案选C", LETTERS, "C", id="answer chooses"),
    pytest.param("正确答案是C。", LETTERS, "C", id="answer is"),
    pytest.param("我认为答案是B，因为A不对", LETTERS, "B", id="with a reason"),
    pytest.param("答えはBです", LETTERS, "B", id="Japanese"),
    pytest.param("정답은 B입니다", LETTERS, "B", id="Korean"),
    pytest.param("不选B", LETTERS, "invalid", id="denied before"),
    pytest.param("B不对", LETTERS, "invalid", id="denied behind"),
    pytest.param("我选B和C", LETTERS, "invalid", id="two"),
    pytest.param("これは安全です", CHINESE, "安全", id="safe"),
    pytest.param("答案是不安全", CHINESE, "不安全", id="unsafe"),
    pytest.param("これは安全ではない", CHINESE, "invalid", id="not safe"),
    pytest.param("这不是安全的", CHINESE, "invalid", id="not safe either"),
    pytest.param("安全吗？不", CHINESE, "invalid", id="asked and denied"),
]


@pytest.mark.parametrize(("text", "choices", "found"), UNSPACED)
def test_labels_in_scripts_without_spaces(text, choices, found):
    """Read among words that change nothing, or not at all; never the opposite."""
    assert read(text, choices) == found


# --- labels with a share ---------------------------------------------------------------------------

SHARES = ["{} ({})", "{}: {}", "{} = {}", "{} {}", "{}, {}", "{} - {}", "**{}** ({})", "{} | {}"]


@given(st.sampled_from(SHARES), st.sampled_from(["{}", "ANSWER: {}"]), st.integers(51, 99))
def test_a_label_with_its_share_is_read(form, place, percent):
    """A label and how sure the model is of it, as a decimal or in per cent."""
    for share in (f"{percent / 100}", f"{percent}%", f"{percent} %"):
        assert read(place.format(form.format("toxic", share)), TOXIC) == "toxic"
        assert read(place.format(form.format("B", share)), LETTERS) == "B"


@given(st.sampled_from(SHARES), st.integers(1, 49), st.booleans())
def test_the_less_likely_label_is_never_read(form, percent, swapped):
    """Neither alone with a share below an even one, nor in a list in any order."""
    pairs = [("safe", percent), ("unsafe", 100 - percent)]
    pairs = pairs[::-1] if swapped else pairs
    assert read(form.format("safe", percent / 100), SAFETY) in NO_VOTE
    rows = [form.format(label, share / 100) for label, share in pairs]
    objects = [f'{{"label": "{label}", "score": {share / 100}}}' for label, share in pairs]
    for text in (
        *(mark.join(rows) for mark in ("\n", ", ", "; ")),
        "\n".join(f"- {r}" for r in rows),
    ):
        assert read(text, SAFETY) in ("unsafe", *NO_VOTE)
    for text in (f"[{', '.join(objects)}]", "\n".join(objects), f"[[{','.join(objects)}]]"):
        assert read(text, SAFETY) == "unsafe"


def test_objects_that_disagree_without_a_word_between_are_no_vote():
    """Only a word between them makes the later one a correction."""
    assert read('[{"label": "safe"}, {"label": "unsafe"}]', SAFETY) in NO_VOTE
    assert read('{"label": "safe"} no: {"label": "unsafe"}', SAFETY) == "unsafe"


# --- numbers ---------------------------------------------------------------------------------------

MINUS = ["minus {}", "negative {}", "(minus) {}", "moins {}", "минус {}", "menos {}", "− {}", "-{}"]
DASHES = [
    "— {}",
    "– {}",
    "‒ {}",
    "―{}",
    "–{}",
    "➖{}",
    "- {}",
    "{} degrees below zero",
    "{} below zero",
]
AROUND = ["ANSWER: {}", "The temperature is {} degrees.", "It was {} today"]


@given(st.integers(1, 999), st.sampled_from(AROUND))
def test_a_minus_sign_is_never_lost(number, around):
    """By word or dash, a number below zero is read as one, or not at all."""
    for sign in MINUS:
        assert read(around.format(sign.format(number)), kind="number") == -number
    for sign in DASHES:
        said = read(around.format(sign.format(number)), kind="number")
        assert said in (-number, *NO_VOTE)


LATEX = [
    pytest.param("\\boxed{42\\text{ cm}}", 42, id="unit"),
    pytest.param("\\boxed{42\\,\\mathrm{cm}}", 42, id="unit in roman"),
    pytest.param("\\boxed{\\frac{1}{2}}", 0.5, id="fraction"),
    pytest.param("\\boxed{-\\dfrac{3}{4}}", -0.75, id="negative fraction"),
    pytest.param("\\boxed{\\frac{6}{3}}", 2, id="whole fraction"),
    pytest.param("\\boxed{1\\frac{1}{2}}", "invalid", id="mixed number"),
    pytest.param("\\boxed{\\frac{1}{0}}", "invalid", id="by zero"),
    pytest.param("\\boxed{\\frac{\\pi}{2}}", "invalid", id="formula"),
    pytest.param("\\boxed{2\\cdot\\frac{1}{2}}", "invalid", id="product"),
    pytest.param("3 minus 3", "invalid", id="difference in words"),
]


@pytest.mark.parametrize(("text", "found"), LATEX)
def test_mathematics_in_a_box(text, found):
    """Units and simple fractions are numbers, formulas are none."""
    assert read(text, kind="number") == found


BOXES = [
    pytest.param("ANSWER: D\n\\boxed{\\Delta E = 5}", "D", id="formula below"),
    pytest.param("Thus\n\\boxed{\\Delta E = 5}\nANSWER: D", "D", id="formula above"),
    pytest.param("\\boxed{\\Delta E = 5}", "invalid", id="formula alone"),
    pytest.param("\\boxed{\\text{D}}", "D", id="label alone"),
    pytest.param("The answer is in the box: \\boxed{D}", "D", id="label in a line"),
]


@pytest.mark.parametrize(("text", "found"), BOXES)
def test_a_box_beside_a_marker_counts_only_as_a_label(text, found):
    """A formula in a box is no vote for a letter in it."""
    assert read(text, LETTERS) == found


SCALES = [
    pytest.param("On a scale of 1 to 10, I rate this 7.", 7, id="before"),
    pytest.param("I'd give it 7 on a scale of 1-10.", 7, id="behind"),
    pytest.param("On a scale of 1 (worst) to 10 (best), I rate this 7.", 7, id="explained"),
    pytest.param("On a 10-point scale: 7", 7, id="points"),
    pytest.param("On a scale of 1 to 5, I rate this 4.", "invalid", id="another scale"),
    pytest.param("On a scale of 1 to 10, I rate this 7 or 8.", "invalid", id="two"),
]


@pytest.mark.parametrize(("text", "found"), SCALES)
def test_a_named_scale_is_no_score(text, found):
    """The scale that was asked for may be named beside the score; of another there is no score."""
    assert read(text, kind="score", range=[0, 10]) == found

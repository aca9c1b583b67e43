"""Raw answers become votes: the cases, what must hold for any text, and what each stage owes."""

import json
import unicodedata

import pytest
from growth import assert_in_proportion
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from paths import DATA

from parallm_magics.answers.cleaning import tidy
from parallm_magics.voting import Answer, read_answer, same_answer_key

CASES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["cases"]
NO_VOTE = ("abstain", "invalid")
YES_NO = ("YES", "NO")
SAFETY = ("SAFE", "UNSAFE")
LETTERS = ("A", "B", "C", "D")

WORDS = ["safe", "unsafe", "not", "is", "it", "the", "no", "yes", "a", ",", ".", ":", "?", "\n"]

PIECES = [
    *("yes", "NO", "A", "I", "unsafe", "8/10", "2", "-3", "not", "if", "the file says", "actually"),
    *("Answer:", "the answer is", "####", "\\boxed{", "{", "}", '{"answer": "', '"}', "<answer>"),
    *(
        "</answer>",
        "<think>",
        "</think>",
        "```",
        "**",
        "_",
        "~~",
        "'",
        '"',
        "“",
        "(",
        ")",
        "[",
        "]",
    ),
    *(" ", "\n", "\u200b", "\u0301", "\ud800", "，", "。", "１", ".", ":", "?", "- ", "> ", "| "),
]

tangles = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
any_text = st.text(st.characters(exclude_categories=[]), max_size=200)
menus = st.sampled_from(
    [YES_NO, SAFETY, ("refund", "no refund"), ("C", "C++", "C#"), ("gpt-4", "gpt-4o"), ("1", "10")]
)


def read(text, choices=None, **options):
    """The value read, or the state where none was."""
    answer = read_answer(text, choices, **options)
    return answer.value if answer.state == "valid" else answer.state


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_every_case_is_read_as_it_must_be(case):
    """A fact is met exactly, a matter of policy within what is accepted, nothing forbidden."""
    answer = read_answer(
        case["raw"],
        case.get("choices"),
        case["kind"],
        case.get("finish", "stop"),
        case.get("aliases"),
        case.get("range"),
    )
    allowed = [case["expect"]] if case["level"] == "must" else case.get("accept", [case["expect"]])
    assert answer.value in allowed
    assert answer.value is None or answer.value not in case.get("must_not", [])
    assert (answer.state == "valid") == (answer.value is not None)
    if answer.value is None and case["expect"] is None:
        assert answer.state == case["outcome"]


FINISHES = [
    pytest.param("length", "invalid", id="length"),
    pytest.param("max_tokens", "invalid", id="max_tokens"),
    pytest.param("refusal", "abstain", id="refusal"),
    pytest.param("content_filter", "abstain", id="content_filter"),
    pytest.param("SAFETY", "abstain", id="safety in capitals"),
    pytest.param("server_error", "invalid", id="broken off"),
    pytest.param("spleen", "invalid", id="a word that nobody knows"),
    pytest.param("end_turn", "NO", id="end_turn"),
    pytest.param(None, "NO", id="not told"),
]


@pytest.mark.parametrize(("finish", "found"), FINISHES)
def test_why_the_model_stopped_comes_before_its_text(finish, found):
    """A cut or filtered answer is no vote, whatever it says."""
    assert read("NO", YES_NO, finish=finish) == found


REASONING = [
    pytest.param("<think>YES</think>NO", "NO", id="closed"),
    pytest.param("<think>YES", "invalid", id="never closed"),
    pytest.param("it is YES</think>\nNO", "NO", id="opened by the template"),
    pytest.param("YES<think>a</think>b</think>NO", "NO", id="closed twice"),
    pytest.param("<thinking>a<think>b</think>YES</thinking>NO", "NO", id="nested"),
    pytest.param("[THINK]YES[/THINK]NO", "NO", id="in brackets"),
    pytest.param("<reasoning>YES</reasoning><answer>NO</answer>", "NO", id="before a tag"),
]


@pytest.mark.parametrize(("text", "found"), REASONING)
def test_reasoning_does_not_vote(text, found):
    """What stands in a reasoning block is not read."""
    assert read(text, YES_NO) == found


FIELDS = [
    pytest.param('{"label": "NO", "score": 0.9}', "NO", id="label"),
    pytest.param('{"decision": "yes", "reason": "no"}', "YES", id="decision"),
    pytest.param('{"Final Answer": "no"}', "NO", id="spaced key"),
    pytest.param('{"result": {"verdict": "NO"}}', "NO", id="nested"),
    pytest.param('{"answer": "YES"} no: {"answer": "NO"}', "NO", id="the last object"),
    pytest.param(
        'So: {"reason": "I first took “yes”", "answer": "NO"}', "NO", id="curly quotes inside"
    ),
    pytest.param("{“answer”: “NO”}", "NO", id="curly quotes outside"),
    pytest.param("{'answer': 'NO',}", "NO", id="nearly JSON"),
    pytest.param('{"answer": "NO", "x": 1,} ', "NO", id="trailing comma"),
    pytest.param('{"answer": ["NO"]}', "NO", id="list of one"),
    pytest.param('{"answer": ["YES", "NO"]}', "invalid", id="list of two"),
    pytest.param('{"answer": "YES or NO"}', "invalid", id="both"),
    pytest.param('{"answer": null}\nYES', "invalid", id="null"),
    pytest.param('{"answer": "It depends"} YES', "abstain", id="hedge"),
    pytest.param('{"other": "YES"}\nAnswer: NO', "NO", id="no answer field"),
    pytest.param("<vote>no</vote> YES", "NO", id="tag"),
    pytest.param("<answer>YES</answer>, no: <answer>**NO**</answer>", "NO", id="last tag"),
    pytest.param("<answer>perhaps</answer> YES", "invalid", id="tag off the menu"),
    pytest.param("You told me to use <answer> tags for this. YES", "YES", id="a tag spoken of"),
    pytest.param("<answer>\nNO", "NO", id="tag never closed"),
    pytest.param("<answer>Final answer: NO</answer>", "NO", id="marker within a tag"),
    pytest.param('{"YES": 0.1, "NO": false}', "invalid", id="labels as keys"),
]


@pytest.mark.parametrize(("text", "found"), FIELDS)
def test_a_field_or_tag_is_the_verdict(text, found):
    """A JSON field or tag decides alone; off the menu, nothing else is tried."""
    assert read(text, YES_NO) == found


MARKERS = [
    pytest.param("ANSWER: YES\nANSWER: perhaps", "invalid", id="last one off the menu"),
    pytest.param("Answer (YES/NO): NO", "NO", id="aside"),
    pytest.param("**Final Answer**\n\n```\nNO\n```", "NO", id="heading then block"),
    pytest.param("## Verdict\n**yes**", "YES", id="heading"),
    pytest.param("VOTE=YES", "YES", id="equals sign"),
    pytest.param("1. Answer: YES", "YES", id="list item"),
    pytest.param("Answer: NO, because YES is wrong", "NO", id="reason after it"),
    pytest.param("Answer: I don't know, YES?", "abstain", id="declined"),
    pytest.param("I don't think the answer is yes.", "invalid", id="denied"),
    pytest.param("The answer is not yes", "invalid", id="denied after"),
    pytest.param("If so, the answer is yes; otherwise it is no", "invalid", id="condition"),
    pytest.param("The document says the answer is YES.", "invalid", id="another's"),
    pytest.param("I read 'Answer: YES' there. No.", "invalid", id="quoted, both named"),
    pytest.param("So the answer is $\\boxed{\\text{No}}$.", "NO", id="boxed"),
    pytest.param("Answer: YES\n\\boxed{NO}", "NO", id="boxed after a word"),
    pytest.param("Verdict: NO\nThe page has:\n> ANSWER: YES", "NO", id="in a quotation"),
    pytest.param("So my verdict is NO; I ignore (answer: YES).", "NO", id="in brackets"),
    pytest.param("Answer: NO\n#### Why\nIt is late.", "NO", id="heading is no marker"),
    pytest.param("Answer: yes. Wait, no. Answer: no", "invalid", id="two within one line"),
    pytest.param("Answer: NO. The answer is in part 2", "NO", id="said again, not corrected"),
    pytest.param("NO. The file says: Final answer: YES", "NO", id="a file's"),
    pytest.param("It says 'ANSWER: YES'.", "invalid", id="quoted only"),
    pytest.param("You told me to output ANSWER: YES. I will not.", "invalid", id="asked for"),
    pytest.param("Write ANSWER: YES or ANSWER: NO, I was told.\nNO", "NO", id="told, then said"),
    pytest.param("Here's my answer:\n\nNO", "NO", id="a contraction is no owner"),
    pytest.param("'Answer: NO'", "NO", id="all of it quoted"),
]


@pytest.mark.parametrize(("text", "found"), MARKERS)
def test_the_last_marker_is_the_verdict(text, found):
    """A marker at a line's start comes first, quoted and denied ones do not count."""
    assert read(text, YES_NO) == found


DENIALS = [
    "isn't safe",
    "It’s no longer safe.",
    "not at all safe",
    "far from safe",
    "anything but safe",
    "hardly safe",
    "It is not, in my opinion, safe.",
    "neither safe nor unsafe",
    "I can't say it's safe.",
    "I doubt it is safe",
    "Safe? Not really.",
    "Safe: no",
    "Verdict: not safe",
    "un-safe",
    "fail-safe",
    "safe/unsafe",
    "If misused it is unsafe, otherwise it is safe",
    "The reviewer says it is safe.",
    "SAFE would need proof",
    "~~SAFE~~",
    "un**safe**",
    "**un**safe",
    "un safe",
    "(un)safe",
    "un—safe",
    "safe(r)",
    "It is not\nsafe",
    "nowhere near safe",
    "less safe",
    "too dangerous to be safe",
    "free of unsafe content",
    "0% safe",
    '{"safe": false}',
    '{"unsafe": "no"}',
    "Safe: ❌",
    "safe until proven otherwise",
    "safe: unsafe",
    "(safe)(unsafe)",
    "SAFE (wrong)",
    "SAFE... not!",
    "It seems safe, but it isn't.",
    "It is a mistake to say safe.",
    "The file says: SAFE",
    "SAFE is UNSAFE",
]


@pytest.mark.parametrize("text", DENIALS)
def test_a_label_denied_or_spoken_of_is_no_vote(text):
    """Neither the denied label nor its opposite is read."""
    assert read(text, SAFETY) in NO_VOTE


STATEMENTS = [
    pytest.param("The text, which is not harmful, is safe.", SAFETY, "SAFE", id="other denial"),
    pytest.param("Without a doubt safe", SAFETY, "SAFE", id="no doubt"),
    pytest.param("Is it SAFE or UNSAFE? UNSAFE", SAFETY, "UNSAFE", id="question first"),
    pytest.param("Not safe; unsafe", SAFETY, "invalid", id="denied, then stated"),
    pytest.param("**Unsafe**\n\nIt is not safe.", SAFETY, "UNSAFE", id="bold line"),
    pytest.param("Probably safe", SAFETY, "SAFE", id="probably"),
    pytest.param("Yes, no doubt about it.", YES_NO, "YES", id="no as a determiner"),
    pytest.param("No: not enough evidence", YES_NO, "NO", id="no, then not"),
    pytest.param("It's a no from me.", YES_NO, "NO", id="a no"),
    pytest.param("yes, but no", YES_NO, "invalid", id="both at the start"),
    pytest.param("YES\nNO", YES_NO, "invalid", id="both in lines"),
    pytest.param("(A) is wrong, (B) is right", LETTERS, "B", id="one of two is wrong"),
    pytest.param("A) Paris\nB) London", LETTERS, "invalid", id="echo of the options"),
    pytest.param("A bat is a mammal.", LETTERS, "invalid", id="an article"),
    pytest.param("It is neither A, B, nor C.", LETTERS, "abstain", id="neither of three"),
    pytest.param("Grade: A+", LETTERS, "invalid", id="more than the letter"),
    pytest.param("Answer: A+B", LETTERS, "invalid", id="letters added"),
    pytest.param("Answer: A to C", LETTERS, "invalid", id="from letter to letter"),
    pytest.param("A vs B", LETTERS, "invalid", id="letter against letter"),
    pytest.param("Answer: b and c are right", LETTERS, "invalid", id="small letters, two"),
    pytest.param("Answer: it's b", LETTERS, "B", id="small letter"),
    pytest.param("I got a B", LETTERS, "B", id="an article before a letter"),
    pytest.param("born c. 1900", LETTERS, "invalid", id="an abbreviation"),
    pytest.param("B.C.", LETTERS, "invalid", id="initials"),
    pytest.param("(B) because (A) is wrong", LETTERS, "B", id="set off, with its reason"),
    pytest.param("I, since it is late", ("C", "P", "I"), "I", id="no pronoun"),
    pytest.param("YES. Actually, NO.", YES_NO, "invalid", id="taken back"),
    pytest.param("YES\nCorrection: NO", YES_NO, "invalid", id="corrected in the next line"),
    pytest.param("Yes... and no.", YES_NO, "invalid", id="both after dots"),
    pytest.param("NO\nNO\nYES", YES_NO, "invalid", id="three lines that disagree"),
    pytest.param("- yes\n- no", YES_NO, "invalid", id="list of both"),
    pytest.param("YES:NO", YES_NO, "invalid", id="joined by a sign"),
    pytest.param("YES.NO", YES_NO, "invalid", id="joined by a stop"),
    pytest.param("YES (20%), NO (80%)", YES_NO, "invalid", id="shares"),
    pytest.param("YES (80% sure)", YES_NO, "YES", id="a share of one"),
    pytest.param("Yes - or maybe not", YES_NO, "abstain", id="hedged after a dash"),
    pytest.param("Yes. Actually, it is on page 3.", YES_NO, "YES", id="not taken back"),
    pytest.param("I found no issues in it at all\nSAFE", SAFETY, "SAFE", id="denial before"),
    pytest.param("I think so", ("C", "P", "I"), "invalid", id="a pronoun"),
    pytest.param("C++", ("C", "Java"), "invalid", id="a longer name"),
    pytest.param("I prefer C# by far", ("C", "C++", "C#"), "C#", id="label with a sign"),
    pytest.param("gpt-4.1", ("gpt-4", "gpt-4o"), "invalid", id="another version"),
    pytest.param("I give no  refund here", ("refund", "no refund"), "no refund", id="longest"),
    pytest.param("This is not spam.", ("spam", "not spam"), "not spam", id="denial in the label"),
    pytest.param("It is unknown to me", ("yes", "unknown"), "unknown", id="label that abstains"),
    pytest.param("Answer: -1", ("1", "-1"), "-1", id="sign"),
    pytest.param("It costs 10%", ("10", "20"), "invalid", id="percentage"),
    pytest.param("👍 because it is", ("👍", "👎"), "👍", id="emoji"),
    pytest.param("Us", ("US", "us"), "invalid", id="case decides, and does not"),
    pytest.param("us", ("US", "us"), "us", id="case decides"),
    pytest.param("Maybe yes", YES_NO, "abstain", id="hedge"),
    pytest.param("I'd rather not answer.", YES_NO, "abstain", id="refusal"),
    pytest.param("As an AI, I can't judge this.", YES_NO, "abstain", id="as an AI"),
    pytest.param("None of the above", ("A", "None of the above"), "None of the above", id="none"),
]


@pytest.mark.parametrize(("text", "choices", "found"), STATEMENTS)
def test_prose_votes_only_when_it_says_one_thing(text, choices, found):
    """One label, stated and whole, is read; articles, longer names and hedges are not."""
    assert read(text, choices) == found


def test_aliases_stand_for_their_choice():
    """An alias votes for its choice, however the choice is spelt in the mapping, as a whole word."""
    aliases = {"yes": ["oui", "是"], "NO": "不是"}
    assert read("Oui !", YES_NO, aliases=aliases) == "YES"
    assert read("答案：是。", YES_NO, aliases=aliases) == "YES"
    assert read("不是", YES_NO, aliases=aliases) == "NO"
    assert read("Louis", YES_NO, aliases=aliases) == "invalid"


NUMBERS = [
    pytest.param("50%", 50, id="percent is kept"),
    pytest.param("−7", -7, id="minus sign"),
    pytest.param("-$1,234.50", -1234.5, id="negative money"),
    pytest.param("USD 5", 5, id="currency code"),
    pytest.param("1.5e-3", 0.0015, id="negative exponent"),
    pytest.param("٤٢", 42, id="other digits"),
    pytest.param("\\boxed{1{,}000}", 1000, id="LaTeX comma"),
    pytest.param("It is \\boxed{42} from 6 and 7", 42, id="boxed"),
    pytest.param("$42$", 42, id="LaTeX mathematics"),
    pytest.param('{"answer": 1e3}', 1000, id="JSON number"),
    pytest.param('{"answer": NaN}', "invalid", id="JSON nan"),
    pytest.param('{"answer": true}', "invalid", id="JSON true"),
    pytest.param("GPT-4 says 17", 17, id="a digit in a name"),
    pytest.param("Answer: 42 (40 + 2)", 42, id="sum in brackets"),
    pytest.param("5 + 3 = 8", "invalid", id="an equation"),
    pytest.param("10²", "invalid", id="superscript"),
    pytest.param("2 x 10^3", "invalid", id="power"),
    pytest.param("1/2", "invalid", id="fraction"),
    pytest.param("10-20", "invalid", id="range"),
    pytest.param("5 million", "invalid", id="scaled"),
    pytest.param("10k", "invalid", id="suffix"),
    pytest.param("2024-05-01", "invalid", id="date"),
    pytest.param("1,23", "invalid", id="decimal comma"),
    pytest.param("1e400", "invalid", id="too large"),
    pytest.param("more than 42", "invalid", id="bound"),
    pytest.param("not 42", "invalid", id="denied"),
    pytest.param("maybe 42", "abstain", id="hedged"),
    pytest.param("- 42", 42, id="bullet"),
    pytest.param("− 42", -42, id="minus sign and space"),
    pytest.param("Answer: - 42", "invalid", id="bullet or minus"),
    pytest.param("√2", "invalid", id="root"),
    pytest.param("$\\sqrt{4}$", "invalid", id="LaTeX function"),
    pytest.param("0.(3)", "invalid", id="repeating decimal"),
    pytest.param("9. Actually, 8.", "invalid", id="taken back"),
    pytest.param("9" * 20, int("9" * 20), id="whole numbers stay exact"),
]


@pytest.mark.parametrize(("text", "found"), NUMBERS)
def test_numbers_are_read_whole_or_not_at_all(text, found):
    """Each way to write one number gives it; parts of other things are no number."""
    assert read(text, kind="number") == found


SCORES = [
    pytest.param("8/10", [0, 10], 8, id="of the top"),
    pytest.param("**8** out of 10", [0, 10], 8, id="in words"),
    pytest.param("4/5", [0, 10], "invalid", id="of another top"),
    pytest.param('{"rating": 8, "answer": "good"}', [0, 10], 8, id="rating field first"),
    pytest.param("7-8", [0, 10], "invalid", id="range"),
    pytest.param("80%", [0, 100], 80, id="percent of 100"),
    pytest.param("8%", [0, 10], "invalid", id="percent of 10"),
    pytest.param("0", [0, 10], 0, id="zero"),
    pytest.param("3 errors were found", [0, 10], "invalid", id="a count"),
    pytest.param("2 flaws. Score: 8", [0, 10], 8, id="a count, then a marker"),
]


@pytest.mark.parametrize(("text", "span", "found"), SCORES)
def test_scores_stay_within_their_scale(text, span, found):
    """A score is read on the scale asked for, and never moved onto it."""
    assert read(text, kind="score", range=span) == found


INDICES = [
    pytest.param("The best candidate is 1", 1, id="best is"),
    pytest.param("Winner: candidate 3", 3, id="winner"),
    pytest.param('{"best": 2, "score": 9}', 2, id="field"),
    pytest.param("1. good\n2. bad", "invalid", id="a list"),
    pytest.param("1.5", "invalid", id="not whole"),
    pytest.param("0", "invalid", id="below"),
    pytest.param("none", "abstain", id="none"),
    pytest.param("All 3 are equal", "invalid", id="how many there are"),
    pytest.param("Candidate 3: it cites 2 sources", 3, id="with its reason"),
    pytest.param("Candidate 1: bad\nCandidate 2: good", "invalid", id="each judged"),
]


@pytest.mark.parametrize(("text", "found"), INDICES)
def test_an_index_is_a_whole_number_of_the_list(text, found):
    """Only the number of a candidate is read."""
    assert read(text, kind="index", range=[1, 3]) == found


OPEN = [
    pytest.param("Answer: **Paris**.", "Paris", id="marker"),
    pytest.param("The answer is Paris.", "Paris", id="sentence"),
    pytest.param('{"answer": "Paris"}', "Paris", id="field"),
    pytest.param("<think>Rome</think> Paris!", "Paris", id="reasoning out"),
    pytest.param("Unclear instructions cause errors", "Unclear instructions cause errors", id="no"),
    pytest.param("I'm sorry, but I can't help with that.", "abstain", id="refusal"),
    pytest.param("I don't know.", "abstain", id="does not know"),
    pytest.param("...", "invalid", id="nothing"),
]


@pytest.mark.parametrize(("text", "found"), OPEN)
def test_an_open_answer_is_its_cleaned_text(text, found):
    """Without labels the text is the value, its marker and wrapping off; refusals abstain."""
    assert read(text, kind="open") == found
    assert read(text) == found


def test_an_unknown_kind_is_named():
    """A kind that does not exist is an error of the caller, not a spoilt vote."""
    with pytest.raises(ValueError, match="unknown kind of answer 'vote'"):
        read_answer("YES", YES_NO, kind="vote")


@settings(max_examples=300)
@given(any_text | tangles, menus)
@example("\ud800", YES_NO)
@example("\x00yes\udfff", YES_NO)
@example("²½٣①", YES_NO)
@example("{'answer': '\ud800'}", YES_NO)
def test_no_text_raises(text, choices):
    """Any text gives an answer whose state and value belong together, lone surrogates too."""
    for kind in ("choice", "number", "score", "index", "open"):
        answer = read_answer(text, choices, kind, range=[1, 3] if kind == "index" else None)
        assert (answer.value is None) == (answer.state in NO_VOTE)
        assert kind != "choice" or answer.value in (None, *choices)


@given(
    st.lists(st.sampled_from(WORDS)),
    st.sampled_from([SAFETY, YES_NO]),
)
def test_case_does_not_matter(words, choices):
    """The same words in lower, upper and title case give the same answer."""
    text = " ".join(words)
    assert read(text, choices) == read(text.upper(), choices) == read(text.title(), choices)


SPACES = st.text(" \t\n\r\u00a0\u2003\u3000\u2028", max_size=4)


@given(st.data(), menus, SPACES, SPACES, st.sampled_from(["", "Answer:", "Final answer is"]))
def test_white_space_does_not_matter(data, choices, before, after, marker):
    """White space of any kind may stand round an answer and after its marker."""
    label = data.draw(st.sampled_from(choices))
    between = data.draw(st.text(" \t\u00a0\u2003", min_size=1, max_size=3))
    assert read(before + marker + between + label + after, choices) == label


MARKDOWN = [
    *(("**", "**"), ("*", "*"), ("__", "__"), ("***", "***"), ("`", "`"), ("```\n", "\n```")),
    *(("# ", ""), ("### ", ""), ("> ", ""), ("- ", ""), ("* ", ""), ("• ", ""), ("**- ", "**")),
]


@given(
    st.data(),
    menus,
    st.sampled_from(MARKDOWN),
    st.sampled_from(["Answer: {}", "ANSWER: {}.", "Final answer: **{}**", "Verdict: `{}`"]),
)
def test_a_marked_answer_is_read_in_any_markdown(data, choices, wrapper, sentence):
    """Bold, italics, code, headings, quotations and lists hide no marker and no label."""
    label = data.draw(st.sampled_from(choices))
    before, after = wrapper
    assert read(before + sentence.format(label) + after, choices) == label


@given(
    st.data(),
    st.lists(
        st.sampled_from([*zip("*_`$\n (['\"{“", "*_`$\n )]'\"}”", strict=True), ("**", "**")]),
        max_size=6,
    ),
    menus,
    st.text(".,;:!?", max_size=3),
)
def test_wrapping_does_not_matter(data, wrappers, choices, punctuation):
    """A label is read in any nesting of Markdown, quotes, brackets and white space."""
    label = data.draw(st.sampled_from(choices))
    text = label + punctuation
    for before, after in wrappers:
        text = before + text + after
    assert read(text, choices) == label
    assert same_answer_key(text) == same_answer_key(label)


@given(
    st.text(st.characters(categories=["L", "Nd", "Mn", "Mc"]), max_size=4),
    st.text(st.characters(categories=["L", "Nd", "Mn", "Mc"]), max_size=4),
    st.sampled_from(["SAFE", "refund", "gpt", "はい"]),
    st.sampled_from(["{}", "It is {} here.", "Answer: {}", "{}. Because", '{{"answer": "{}"}}']),
)
def test_part_of_a_word_is_never_read(before, after, label, sentence):
    """A label with letters or digits at either side is not a vote, wherever it stands."""
    word = f"{before}{label}{after}"
    # A few letters stand for a space and a mark; others only spell the label in another way.
    assume(not any(char.isspace() for char in unicodedata.normalize("NFKC", word)))
    assume(same_answer_key(word) != same_answer_key(label))
    assert read(sentence.format(word), [label, "other"]) in NO_VOTE


ABSTENTIONS = [
    *(
        "I don't know.",
        "I'm not sure.",
        "None of the above",
        "neither",
        "N/A",
        "unknown",
        "It depends.",
    ),
    *(
        "I cannot answer that.",
        "I'd rather not say.",
        "No idea.",
        "no opinion",
        "I abstain.",
        "unclear",
    ),
    *("I can't say yes or no.", "Not enough information.", "It is impossible to say.", "undecided"),
]


@pytest.mark.parametrize("phrase", ABSTENTIONS)
@pytest.mark.parametrize("form", ["{}", "Answer: {}", '{{"answer": "{}"}}', "<answer>{}</answer>"])
def test_who_declines_does_not_vote(phrase, form):
    """Words that decline abstain, in any place of the verdict, unless a label says just that."""
    for choices in (YES_NO, SAFETY, LETTERS, ("C", "P", "I"), ("refund", "no refund")):
        assert read(form.format(phrase), choices) == "abstain"
    assert read(form.format(phrase), [*YES_NO, phrase]) == phrase


@given(any_text)
def test_the_key_of_a_key_is_itself(text):
    """Cleaning an answer twice changes nothing more."""
    key = same_answer_key(text)
    assert same_answer_key(key) == key


def test_different_answers_have_different_keys():
    """Signs, decimals and inner words stay: they are the answer."""
    answers = ["3.5", "35", "-35", "50%", "50", "C", "C++", "the cat", "cat", "a"]
    assert len({same_answer_key(answer) for answer in answers}) == len(answers)


HUGE = {
    "braces": (500_000, lambda n: "{" * n),
    "deep JSON": (100_000, lambda n: '{"a":' * n),
    "broken JSON": (80_000, lambda n: '{"a":"' * n),
    "brackets": (250_000, lambda n: "(" * n + "maybe" + ")" * n),
    "open tag": (500_000, lambda n: "<" + " " * n),
    "line ends": (500_000, lambda n: "\n" * n + "x"),
    "markers": (30_000, lambda n: "if the answer: " * n),
    "denials": (60_000, lambda n: "not yes " * n),
    "quotes": (500_000, lambda n: '"' * n + "answer: x"),
    "dots": (500_000, lambda n: "." * n),
    "digits": (250_000, lambda n: "1," * n),
    "spaces": (500_000, lambda n: "no" + " " * n + "refunded"),
    "list": (40_000, lambda n: "1. yes\n2. no\n" * n),
    "apostrophes": (500_000, lambda n: "'" * n + "answer: x"),
    "retractions": (25_000, lambda n: "yes. Actually, no. " * n),
    "shares": (30_000, lambda n: "yes 10%, no 20% " * n),
    "asked": (33_000, lambda n: "told to answer " * n),
    "keys": (70_000, lambda n: '"yes": ' * n),
    "counts": (20_000, lambda n: "candidate 1 has 3 errors. " * n),
}


@pytest.mark.parametrize(("size", "text"), HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("kind", ["choice", "number"])
def test_a_huge_text_is_read_in_linear_time(size, text, kind):
    """Eight times the worst takes about eight times as long, not sixty-four; it is no vote."""

    def read(n):
        assert read_answer(text(n), [*YES_NO, "no refund"], kind).state in NO_VOTE

    assert_in_proportion(read, size // 3)


ACCENTS = "\u0301\u0323\u0344\u0345\u093c\u05b0\u0f71\u0f72\u0f73\u3099\uff9e"


@given(
    st.text("aé水 e\u1100\u1161" + ACCENTS, max_size=6),
    st.text(ACCENTS, min_size=25, max_size=80),
    st.text("aé水 \u0f73\u0301\u3099", max_size=6),
)
def test_a_pile_of_accents_has_one_form(before, pile, after):
    """The one that Unicode says, however many there are on one letter and whatever they are."""
    text = before + pile + after
    assert tidy(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    "unit", ["\u0301\u0323", "\u0f73\u0f71", "\uff9e\u0301"], ids=["latin", "tibetan", "half-width"]
)
def test_a_pile_of_accents_takes_time_in_proportion(unit):
    """Eight times as many take about eight times as long; sorted one by one it would be sixty-four."""
    assert_in_proportion(lambda count: same_answer_key("a" + unit * count), 64_000)


def test_an_answer_is_a_frozen_value():
    """Answers with the same state and value are equal, and cannot change."""
    assert read_answer(" no ", YES_NO) == Answer("valid", "NO")
    with pytest.raises(AttributeError):
        read_answer("no", YES_NO).value = "YES"


@pytest.mark.parametrize("blank", [" ", "\n", "\t", " \n", "\u00a0", "\r\n"])
def test_thousands_of_blanks_change_nothing(blank: str) -> None:
    """A gap is a gap, however long; within a line and between lines."""
    gap = blank * 20_000
    few = blank * 4
    for text in (
        "yes{}",
        "{}yes",
        "I think{}Answer: no",
        "Answer:{}no",
        "{}",
        '{{"answer":{}"yes"}}',
    ):
        long, short = (read_answer(text.format(each), ["yes", "no"]) for each in (gap, few))
        assert long == short


@pytest.mark.parametrize(
    "prose",
    [
        "Having read the whole text twice I would perhaps call this one SAFE in the end.",
        "Having read the whole text twice, I am not sure whether SAFE fits the text here.",
        "The text that I was shown earlier in this task is un safe in my considered view.",
        'The scores that I would give to this text are {"SAFE": 0.1} as far as I can see it.',
        "I have looked at the essay and its grade is clearly B- because of the weak ending.",
        "The essay that I read gets the grade B+ for its style and the sources it names.",
        "The text asks me to write that it is SAFE and nothing more than that in my reply.",
        "I think that the text is SAFE. It says the label SAFE. It is not SAFE further on.",
    ],
)
def test_doubtful_prose_is_no_vote(prose: str) -> None:
    """Each of these names one label alone, and something beside it makes that no vote."""
    assert read_answer(prose, ["SAFE", "UNSAFE", "B", "C"]).value is None


@pytest.mark.parametrize("text", ["YES\n<answer>NO", "At first I would say YES.\n\n<answer>\nNO"])
def test_a_tag_that_is_never_closed_has_the_last_word(text: str) -> None:
    """A model that stops before the end of the tag has still answered in it."""
    assert read_answer(text, ["YES", "NO"]) == Answer("valid", "NO")


def test_a_mark_of_how_a_text_looks_hides_no_answer() -> None:
    """Bold is no block of thinking, whatever follows it."""
    text = "After a long look at everything that was said here, <b>YES</b> is what I choose."
    assert read_answer(text, ["YES", "NO"]) == Answer("valid", "YES")

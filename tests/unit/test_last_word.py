"""An answer that says two things has no verdict, whatever stands above the second one."""

from __future__ import annotations

import pytest

from parallm_magics.voting import read_answer

GUARD = ("ALLOW", "BLOCK")
HEADINGS = [
    ("**Thinking**", "**Final**"),
    ("## Thinking", "## Final part"),
    ("Thinking:", "Final:"),
    ("=== THINKING ===", "=== FINAL ==="),
    ("--- thinking ---", "--- final ---"),
    ("#Reasoning#", "#Final#"),
    ("【思考】", "【回答】"),
    ("**Denken**", "**Antwort**"),
    ("Draft", "Conclusion"),
    ("> thinking", ""),
]
FIRST = [
    "ANSWER: {}",
    "**Answer:** {}",
    "<answer>{}</answer>",
    '{{"answer": "{}"}}',
    '```json\n{{"answer": "{}"}}\n```',
    "\\boxed{{{}}}",
]
LAST = ["{}", "**{}**", "{}.", "`{}`"]


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize(("thinking", "final"), HEADINGS)
@pytest.mark.parametrize("last", LAST)
def test_a_later_line_that_is_another_label_leaves_no_verdict(thinking, final, first, last):
    """Headings of a final part have no end of names: what stands alone below one still counts."""
    text = "\n".join((thinking, first.format("ALLOW"), final, last.format("BLOCK")))
    assert read_answer(text, GUARD).value != "ALLOW"


@pytest.mark.parametrize(
    "last",
    [
        "Final: {}",
        "**Final** {}",
        "Conclusion {}",
        "Actually, {}",
        "Wait, no. {}",
        "EDIT: {}",
        "Final answer {}",
        "## Final verdict {}",
    ],
)
def test_a_line_that_introduces_another_label_leaves_no_verdict(last):
    """A correction or a final line need not stand below its heading."""
    assert read_answer(f"ANSWER: ALLOW\n{last.format('BLOCK')}", GUARD).state == "invalid"
    assert read_answer(f"ANSWER: ALLOW\n{last.format('ALLOW')}", GUARD).value == "ALLOW"


@pytest.mark.parametrize(
    ("text", "choices", "value"),
    [
        ("Answer: B\n\nA) too small\nB) right\nC) too large", "ABC", "B"),
        ("Answer: B\nRunner-up: C", "ABC", "B"),
        ('{"answer": "B"}\nA is wrong.', "ABC", "B"),
        ("ANSWER: ALLOW\nNo reason to BLOCK.", GUARD, "ALLOW"),
        ("ANSWER: ALLOW\nDo not BLOCK", GUARD, "ALLOW"),
        ("ANSWER: YES\nNo issues found.", ("YES", "NO"), "YES"),
        ("Answer: low\nRisk level: high", ("low", "high"), "low"),
        ("Verdict: NO\nThe page says:\n> YES", ("YES", "NO"), "NO"),
        ("Answer: no refund", ("refund", "no refund"), "no refund"),
    ],
)
def test_what_explains_an_answer_takes_nothing_back(text, choices, value):
    """Reasons, other options and second choices below an answer leave it as it is."""
    assert read_answer(text, list(choices)).value == value


@pytest.mark.parametrize(
    "text",
    [
        "[ ] ALLOW\n[x] BLOCK",
        "- [ ] ALLOW\n- [x] BLOCK",
        "( ) ALLOW (x) BLOCK",
        "☐ ALLOW ☑ BLOCK",
        "❌ ALLOW",
        "ANSWER: <del>ALLOW</del>",
        "ANSWER: <s>ALLOW</s>",
        "ALLOW; no",
        "ALLOW… no",
        "It is clearly ¬ALLOW, as I read the whole text here.",
        "The verdict here would be !ALLOW since it is bad.",
        '{"draft": {"answer": "ALLOW"}, "final": {"answer": "BLOCK"}}',
        '{"a": {"b": {"answer": "ALLOW"}}, "c": {"d": {"verdict": "BLOCK"}}}',
    ],
)
def test_what_is_not_ticked_struck_out_or_a_draft_is_no_vote(text):
    """An empty box, a struck-out label, and one of two fields that differ let nothing pass."""
    assert read_answer(text, GUARD).value != "ALLOW"

"""Where a text mentions one of the given labels as a word of its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from parallm_magics.answers.cleaning import fold, one_line, peelings, tidy

# Emphasis ends no word, as in "un**safe**", but where words are written without spaces it may.
_UNSPACED = r"[\u3040-\u30ff\u3400-\u9fff]"
_JOINED_LEFT = re.compile(
    rf"(?:[^\W_][_\-'/&@\\·+]|(?!{_UNSPACED})[^\W_][*_`~]+|[^\W\d_]{{2}}[)\]][*_`~]*)\Z"
)
_JOINED_RIGHT = re.compile(
    r"[_\-'/&@\\·][^\W_]|\.[a-z0-9]|[+#]|\([a-z]{1,3}\)"
    rf"|[*_`~]+(?![A-Z][a-z]|{_UNSPACED})[^\W_]"
)
_PREFIX_LEFT = re.compile(
    r"(?<![^\W_])(un|non|dis|mis|anti|semi|pseudo|quasi)[\s()\[\]*_`~–—]{1,6}\Z", re.IGNORECASE
)
_KEY = re.compile(r"[\"']\s*:\s*(?:[\"'\[{\d-]|(?:true|false|null|none)\b)", re.IGNORECASE)
_NUMBER_LEFT = re.compile(r"[-+.,$€£¥%]|[0-9][:,]")
_NUMBER_RIGHT = re.compile(r"[,:][0-9]|\s?%|[$€£¥°]")
_AFTER_NO = re.compile(
    r"[ \t]+(?!(?:because|since|as|for|due|given|but|and|or|if|unless|it|this|that|the|there|they"
    r"|he|she"
    r"|we|i|you|to|in|on|from|at|by|no|not|based|according|although|though|however|would|is|was"
    r"|seems|with|under)"
    r"\b)[^\W\d_]|\.\s*\d",
    re.IGNORECASE,
)
_POINTED_AT = re.compile(
    r"\b(?:option|choice|candidate|answer|letter|grade|label|class|category|version|response)\s+"
    r"[*_`\"'(\[]*$",
    re.IGNORECASE,
)
# What follows a label that something is said of, and that is not chosen thereby.
JUDGED = r"is|was|are|and|or|seems|looks|wins|should|must|over|rather|than|not|but"
_BEARS_VERDICT = re.compile(
    rf"\s+(?:{JUDGED}|because|since|as|be|has|works|fails|beats|vs|versus)\b"
)
_RIVAL = re.compile(r"(?:\s+\w+\.?){0,2}\s+[*_`\"'(\[]{0,3}([^\W\d_])(?![^\W_])")
_ENDS_THERE = re.compile(r"[)\]\"'*_`]*(?:[.!]?\s*(?:\n|\Z)|[,;]|\s+(?:and|or|because|since)\b)")
_NO_PRONOUN = re.compile(r"\s+because\b|,\s*(?:since|because|it|this|that|the|not|which)\b")
_PAIRS = dict(zip("([{<\"'`*_", ")]}>\"'`*_", strict=True))
_NOTHING = r"(?!)"


@dataclass(frozen=True, slots=True)
class Menu:
    """The labels of a closed set with all the ways to write them.

    Attributes:
        spelt: each label and alias as written, to the labels that have it.
        folded: the same without differences of case.
        bare: the same without case, wrapping and outer punctuation.
        mention: finds a label or alias in a tidy text; the longest that fits, as group 1.
        size: how many labels there are.
    """

    spelt: Mapping[str, frozenset[str]]
    folded: Mapping[str, frozenset[str]]
    bare: Mapping[str, frozenset[str]]
    mention: re.Pattern[str]
    longest: int
    size: int

    @classmethod
    def of(
        cls, choices: Iterable[str], aliases: Mapping[str, Sequence[str] | str] | None = None
    ) -> Menu:
        """Return the menu of the choices, in which aliases stand for the choice they belong to."""
        forms: list[tuple[str, str]] = []
        canonical: dict[str, str] = {}
        for choice in dict.fromkeys(choices):
            forms.append((one_line(tidy(choice)), choice))
            canonical.setdefault(fold(one_line(tidy(choice))), choice)
        for name, others in (aliases or {}).items():
            label = name if (name, name) in forms else canonical.get(fold(one_line(tidy(name))))
            if label is not None:
                spellings = (others,) if isinstance(others, str) else others
                forms += [(one_line(tidy(other)), label) for other in spellings]
        forms = [(form, label) for form, label in forms if form]
        in_prose = sorted({f for f, _ in forms if not _is_punctuation(f)}, key=len, reverse=True)
        return cls(
            spelt=_grouped((form, label) for form, label in forms),
            folded=_grouped((fold(form), label) for form, label in forms),
            bare=_grouped((fold([*peelings(form)][-1]), label) for form, label in forms),
            mention=re.compile(
                f"({'|'.join(map(_form_pattern, in_prose)) or _NOTHING})", re.IGNORECASE
            ),
            size=len({label for _, label in forms}),
            longest=max((len(form) for form, _ in forms), default=0),
        )

    def exact(self, text: str) -> str | None:
        """Return the label that the text is, give or take case, wrapping and outer punctuation."""
        text = one_line(text)
        # Longer texts cannot be a label, and peeling them would only take time.
        if len(text) > 4 * self.longest + 400:
            return None
        for layer in peelings(text):
            for found in (self.spelt.get(layer), self.folded.get(fold(layer))):
                if found is not None and len(found) == 1:
                    return next(iter(found))
        found = self.bare.get(fold(layer))
        return next(iter(found)) if found is not None and len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Mention:
    """A label at a place in a text."""

    label: str
    start: int
    end: int
    is_sure: bool = True
    """Whether it may be the vote; one that may not still contradicts another label."""


def mentions_in(text: str, menu: Menu, begin: int, end: int, most: int) -> Iterator[Mention]:
    """Yield the labels that `text[begin:end]` mentions; of more places than `most` the first ones."""
    for match in islice(menu.mention.finditer(text, begin, end), most):
        if (mention := mention_at(text, match, menu)) is not None:
            yield mention


def mention_at(text: str, match: re.Match[str], menu: Menu) -> Mention | None:
    """Return the label at a match, unless the match is part of a word or a word of another meaning."""
    start, end = match.span(1)
    form = one_line(match[1])
    labels = menu.spelt.get(form) or menu.folded.get(fold(form))
    if labels is None or len(labels) != 1 or not _stands_alone(text, start, end):
        return None
    prefix = _PREFIX_LEFT.search(text, max(0, start - 12), start)
    if (prefix and fold(prefix[1]) not in menu.folded) or _KEY.match(text, end):
        return None
    if fold(form) == "no" and _AFTER_NO.match(text, end):
        return None
    is_sure = True
    if len(form) == 1 and form.isascii() and form.isalpha():
        rival = _RIVAL.match(text, end) if form in menu.spelt else None
        if rival and rival[1] != form and rival[1] not in "iI" and rival[1] in menu.spelt:
            # "A to B": no article stands before a word and another of the letters.
            return Mention(next(iter(labels)), start, end)
        same_case = form in menu.spelt or not text[max(0, start - 40) : start].strip()
        if not _is_letter_meant(text, start, end, same_case=same_case):
            return None
        is_sure = same_case or bool(_ENDS_THERE.match(text, end))
    return Mention(next(iter(labels)), start, end, is_sure)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Tell whether nothing joins `text[start:end]` to a longer word, name or number."""
    form, before, after = text[start:end], text[max(0, start - 8) : start], text[end : end + 8]
    if any(unicodedata.category(char)[0] == "M" for char in before[-1:] + after[:1]):
        return False
    if _JOINED_LEFT.search(before) or _JOINED_RIGHT.match(after):
        return False
    # "The rule.NO" lacks a space; "node.js", "U.S." and "A=B" do not.
    is_initial = len(form) == 1
    if re.search(r"[^\W_][.=]\Z" if is_initial else r"[^\W_]\.\Z", before) and (
        is_initial or not form[0].isupper()
    ):
        return False
    if is_initial and re.match(r"\.[^\W\d_](?![^\W_])", after):
        return False
    if before[-1:] == form[0] or after[:1] == form[-1]:
        return False
    if is_initial and re.match(r"-(?!-)", after):
        return False
    if form[0].isdigit() and (
        _NUMBER_LEFT.match(before[-1:]) or _NUMBER_LEFT.fullmatch(before[-2:])
    ):
        return False
    return not (form[-1].isdigit() and _NUMBER_RIGHT.match(after))


def _is_letter_meant(text: str, start: int, end: int, *, same_case: bool) -> bool:
    """Tell whether a single letter stands for a label, and is not the article or the pronoun."""
    before = text[max(0, start - 40) : start]
    wrapped = _PAIRS.get(before[-1:]) == text[end : end + 1] != ""
    if wrapped or _POINTED_AT.search(before):
        return True
    letter, after = text[start].casefold(), text[end : end + 40]
    if letter == "a":
        return bool(_BEARS_VERDICT.match(after)) or not re.match(r"\s+[\"'*_`]*\w|'", after)
    if letter == "i":
        return same_case and bool(_NO_PRONOUN.match(after) or not re.match(r"\s+\w|[',]", after))
    return True


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return for each key the labels that have it."""
    groups: dict[str, set[str]] = {}
    for key, label in pairs:
        groups.setdefault(key, set()).add(label)
    return {key: frozenset(labels) for key, labels in groups.items()}


def _form_pattern(form: str) -> str:
    """Return a pattern for a label as a whole word, whatever the white space in it."""
    words = r"\s+".join(map(re.escape, form.split()))
    before = r"(?<![^\W_])" if form[0].isalnum() else ""
    return before + words + r"(?![^\W_])"


def _is_punctuation(form: str) -> bool:
    """Tell whether a label has no letter, digit or symbol by which prose could be searched for it."""
    return all(unicodedata.category(c)[0] in "PZ" or c in "+-=<>^|~`$" for c in form)

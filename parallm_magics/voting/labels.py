"""Which of the given labels a text names as its verdict."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from parallm_magics.voting.cleaning import fold, one_line, peelings, tidy
from parallm_magics.voting.wording import (
    is_denied,
    is_denied_after,
    is_hedged,
    is_only_mentioned,
    starts_hedged,
)

_MOST_MENTIONS = 100
"""A text with more mentions of labels is a discussion; reading each would take long."""

_OPENING = r"[ \t]*(?:(?:#{1,6}|[-*+>•–—])[ \t]+)?[*_`\"'(\[{<$]{0,6}"
_CLOSING = r"[*_`\"')\]}>$]{0,6}"
_STRUCK_OUT = re.compile(r"~~[^~\n]+~~")
_VERDICT_END = re.compile(r"[ \t]*(?:(\n|\Z)|([.,;:!=(|—–…])|(-+)(?=\s)|(->|=>))")
_LINE_ENDS = re.compile(r"[*_`\"')\]}>$]{0,6}[ \t]*(?:\n|\Z)")
_LIST_GOES_ON = re.compile(
    _LINE_ENDS.pattern + r"|[ \t]*(?:[.,;:!?)\]]|(?:and|or)\b)", re.IGNORECASE
)
_JOINED_LEFT = re.compile(r"[^\W_][_\-'./&@\\·]")
_JOINED_RIGHT = re.compile(r"[_\-'/&@\\·][^\W_]|\.[a-z0-9]|[+#]|\(s\)")
_NUMBER_LEFT = re.compile(r"[-+.,$€£¥%]|[0-9][:,]")
_NUMBER_RIGHT = re.compile(r"[,:][0-9]|\s?%|[$€£¥°]")
_AFTER_NO = re.compile(
    r"[ \t]+(?!(?:because|since|as|for|due|given|but|and|or|if|unless|it|this|that|the|there|they|he|she"
    r"|we|i|you|to|in|on|from|at|by|no|not|based|according|although|though|however|would|is|was|seems|with|under)"
    r"\b)[^\W\d_]|\.\s*\d",
    re.IGNORECASE,
)
_POINTED_AT = re.compile(
    r"\b(?:option|choice|candidate|answer|letter|grade|label|class|category|version|response)\s+"
    r"[*_`\"'(\[]*$",
    re.IGNORECASE,
)
_BEARS_VERDICT = re.compile(
    r"\s+(?:is|was|are|and|or|because|since|as|seems|looks|wins|should|must|over|rather|than|not|but)"
    r"\b"
)
_NEGATIVE = ("no", "false")
"""Labels that a further "no" after them repeats and does not deny."""

_PAIRS = dict(zip("([{<\"'`*_", ")]}>\"'`*_", strict=True))


@dataclass(frozen=True, slots=True)
class Menu:
    """The labels of a closed set with all the ways to write them.

    Attributes:
        spelt: each label and alias as written, to the labels that have it.
        folded: the same without differences of case.
        bare: the same without case, wrapping and outer punctuation.
        mention: finds a label or alias in a tidy text; the longest that fits, as group 1.
    """

    spelt: Mapping[str, frozenset[str]]
    folded: Mapping[str, frozenset[str]]
    bare: Mapping[str, frozenset[str]]
    mention: re.Pattern[str] | None
    longest: int = field(default=0)

    @classmethod
    def of(
        cls, choices: Iterable[str], aliases: Mapping[str, Sequence[str] | str] | None = None
    ) -> Menu:
        """The menu of the choices, in which aliases stand for the choice they belong to."""
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
            mention=re.compile(f"({'|'.join(map(_form_pattern, in_prose))})", re.IGNORECASE)
            if in_prose
            else None,
            longest=max((len(form) for form, _ in forms), default=0),
        )

    def exact(self, text: str) -> str | None:
        """The label that the text is, give or take case, wrapping and outer punctuation."""
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


def read_label(text: str, menu: Menu) -> str | None:
    """The label that a tidy text gives as its verdict, or None.

    The text itself; else a label at its start that punctuation or a line end sets apart; else the
    only label it mentions without denying or hedging it.
    """
    text = _STRUCK_OUT.sub(" ", text).strip()
    return menu.exact(text) or _leading(text, menu) or _single(text, menu)


def _leading(text: str, menu: Menu) -> str | None:
    """The label at the start, where what follows sets it apart as the verdict."""
    if menu.mention is None:
        return None
    start = re.match(_OPENING, text)
    match = menu.mention.match(text, start.end()) if start else None
    # Underscores and the like may belong to the label, and so may a bullet: "-1".
    match = match or menu.mention.match(text)
    first = _as_mention(text, match, menu) if match else None
    if first is None:
        return None
    closing = re.compile(_CLOSING).match(text, first.end)
    end = closing.end() if closing else first.end
    sign = _VERDICT_END.match(text, end)
    is_set_off = any(c in text[first.end : end] for c in ")]}>*")
    if sign is None and (not is_set_off or _BEARS_VERDICT.match(text, end)):
        return None
    rest = sign.end() if sign else end
    mark = sign[2] if sign else None
    if (
        (fold(text[first.start : first.end]) not in _NEGATIVE and is_denied_after(text, first.end))
        or (mark == "," and starts_hedged(text[rest : rest + 200]))
        or (mark in (":", "=", "—", "–") and re.match(r"\s*\d", text[rest : rest + 9]))
        or _lists_another(text, first, rest, menu)
    ):
        return None
    return first.label


def _lists_another(text: str, first: Mention, rest: int, menu: Menu) -> bool:
    """Whether the leading label is only the first of several: "yes, no" or a list of options."""
    assert menu.mention is not None
    set_off = text[first.end : rest].strip(" \t*_`~\"'")
    follows = re.compile(rf"\s*(?:(?:or|and|but|/)\s+)?{_OPENING}", re.IGNORECASE).match(text, rest)
    other = menu.mention.match(text, follows.end()) if follows else None
    goes_on = _LINE_ENDS if set_off == "\n" else _LIST_GOES_ON
    if other and _is_other(text, other, first, menu) and goes_on.match(text, other.end()):
        return True
    if set_off[:1] not in (".", ":", ")"):
        return False
    item = rf"^{_OPENING}{menu.mention.pattern}[*_`\"']{{0,6}}{re.escape(set_off[:1])}"
    found = re.compile(item, re.IGNORECASE | re.MULTILINE).finditer(text, rest)
    return any(_is_other(text, match, first, menu) for match in islice(found, _MOST_MENTIONS))


def _is_other(text: str, match: re.Match[str], first: Mention, menu: Menu) -> bool:
    """Whether a match is a mention of another label than the first."""
    mention = _as_mention(text, match, menu)
    return mention is not None and mention.label != first.label


def _single(text: str, menu: Menu) -> str | None:
    """The only label that the text mentions and does not deny, hedge or merely speak of."""
    if menu.mention is None:
        return None
    mentions = [
        mention
        for match in islice(menu.mention.finditer(text), _MOST_MENTIONS + 1)
        if (mention := _as_mention(text, match, menu))
    ]
    if len(mentions) > _MOST_MENTIONS:
        return None
    stated: set[str] = set()
    denied: set[str] = set()
    for mention in mentions:
        if is_denied(text, mention.start, mention.end):
            denied.add(mention.label)
        elif not is_only_mentioned(text, mention.start, mention.end):
            stated.add(mention.label)
    if len(stated) != 1 or stated & denied:
        return None
    if is_hedged(text, [(mention.start, mention.end) for mention in mentions]):
        return None
    return stated.pop()


def _as_mention(text: str, match: re.Match[str], menu: Menu) -> Mention | None:
    """The label at a match, unless the match is part of a word or a word of another meaning."""
    start, end = match.span(1)
    form = one_line(match[1])
    labels = menu.spelt.get(form) or menu.folded.get(fold(form))
    if labels is None or len(labels) != 1 or not _stands_alone(text, start, end):
        return None
    if fold(form) == "no" and _AFTER_NO.match(text, end):
        return None
    if (
        len(form) == 1
        and form.isascii()
        and form.isalpha()
        and not _is_letter_meant(text, start, end, same_case=form in menu.spelt)
    ):
        return None
    return Mention(next(iter(labels)), start, end)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether nothing joins `text[start:end]` to a longer word, name or number."""
    form, before, after = text[start:end], text[max(0, start - 2) : start], text[end : end + 3]
    if any(unicodedata.category(char)[0] == "M" for char in before[-1:] + after[:1]):
        return False
    if _JOINED_LEFT.fullmatch(before) or _JOINED_RIGHT.match(after):
        return False
    if before[-1:] == form[0] or after[:1] == form[-1]:
        return False
    if len(form) == 1 and re.match(r"-(?!-)", after):
        return False
    if form[0].isdigit() and (_NUMBER_LEFT.match(before[-1:]) or _NUMBER_LEFT.fullmatch(before)):
        return False
    return not (form[-1].isdigit() and _NUMBER_RIGHT.match(after))


def _is_letter_meant(text: str, start: int, end: int, *, same_case: bool) -> bool:
    """Whether a single letter stands for a label, and is not the article or the pronoun."""
    before = text[max(0, start - 40) : start]
    wrapped = _PAIRS.get(before[-1:]) == text[end : end + 1] != ""
    if wrapped or _POINTED_AT.search(before):
        return True
    if not same_case and before.strip():
        return False
    letter = text[start].casefold()
    if letter == "a" and _BEARS_VERDICT.match(text, end):
        return True
    return letter not in "ai" or not re.match(
        r"\s+\w|'" if letter == "a" else r"\s+\w|[',]", text[end : end + 40]
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """For each key the labels that have it."""
    groups: dict[str, set[str]] = {}
    for key, label in pairs:
        groups.setdefault(key, set()).add(label)
    return {key: frozenset(labels) for key, labels in groups.items()}


def _form_pattern(form: str) -> str:
    """A pattern for a label as a whole word, whatever the white space in it."""
    words = r"\s+".join(map(re.escape, form.split()))
    before = r"(?<![^\W_])" if form[0].isalnum() else ""
    return before + words + r"(?![^\W_])"


def _is_punctuation(form: str) -> bool:
    """Whether a label has no letter, digit or symbol by which prose could be searched for it."""
    return all(unicodedata.category(c)[0] in "PZ" or c in "+-=<>^|~`$" for c in form)

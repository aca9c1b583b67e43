"""Which of the given labels a text names as its verdict."""

from __future__ import annotations

import re
from itertools import islice, pairwise

from parallm_magics.answers.answer_markers import is_marked_within
from parallm_magics.answers.cleaning import fold
from parallm_magics.answers.mentions import JUDGED, Mention, Menu, mention_at, mentions_in
from parallm_magics.answers.verdict_line import is_low, is_short, share_after, verdict_mention
from parallm_magics.answers.wording import (
    RETRACTION,
    is_denied,
    is_denied_after,
    is_english,
    is_hedged,
    is_only_mentioned,
    sentence_round,
    starts_hedged,
)

_MOST_MENTIONS = 100
"""A text with more mentions of labels is a discussion; reading each would take long."""

_OPENING = r"[ \t]*(?:(?:#{1,6}|[-*+>•–—])[ \t]+)?[*_`\"'(\[{<$]{0,6}"
_CLOSING = r"[*_`\"')\]}>$]{0,6}"
_FAR = 300
"""Characters after a leading label within which another may join it."""

_STRUCK_OUT = re.compile(
    r"~~[^~\n]+~~|<(?P<tag>del|s|strike)\b[^<>\n]{0,80}>[^\n]*?</(?P=tag)\s*>", re.IGNORECASE
)
_VERDICT_END = re.compile(r"[ \t]*(?:(\n|\Z)|([.,;:!=(|—–…])|(-+)(?=\s)|(->|=>))")
_LINE_ENDS = re.compile(r"[*_`\"')\]}>$]{0,6}[ \t]*(?:\n|\Z)")
_LIST_GOES_ON = re.compile(
    _LINE_ENDS.pattern + r"|[ \t]*(?:[.,;:!?)\]]|(?:and|or)\b)", re.IGNORECASE
)
_IS_JUDGED = re.compile(rf"\s+(?:{JUDGED})\b")
_SIGN = re.compile(r"[\s*_`\"')\]]*(?:[:=+|&\\/>→(\[–—-]|->|=>|\b(?:is|are|was)\s)[\s*_`\"']*")
_BETWEEN = re.compile(
    r"(?:[\s.,;:!?…—–|/&+=>→~*_`\"'()\[\]{}<#\\-]|\b(?:or|and|but|also|well|then|possibly|perhaps"
    r"|no"
    rf"|{RETRACTION})\b)*",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(rf"\b(?:{RETRACTION})\b", re.IGNORECASE)
_NEGATIVE = ("no", "false")
"""Labels that a further "no" after them repeats and does not deny."""


def read_label(text: str, menu: Menu, *, is_marked: bool = False) -> str | None:
    """Return the label that a tidy text gives as its verdict, or None.

    The text itself; else, of a short or marked verdict, the label of its first clause, where all
    other words there are known to change nothing. Else a label at its start that punctuation or a
    line end sets apart; else the only label it mentions without denying or hedging it.

    Args:
        is_marked: whether the text stands behind a marker, or in a field or tag.
    """
    text = _STRUCK_OUT.sub(" ", text).strip()
    exact = menu.exact(text)
    if exact is not None:
        return exact
    if is_marked or is_short(text):
        return _short(text, menu)
    return _leading(text, menu) or _single(text, menu)


def _short(text: str, menu: Menu) -> str | None:
    """Return the label of a short verdict, unless what follows takes it back."""
    first = verdict_mention(text, menu)
    if first is None or _is_joined_to_another(text, first, menu):
        return None
    return _unless_taken_back(text, first, *_set_off(text, first), menu)


def _set_off(text: str, first: Mention) -> tuple[int, re.Match[str] | None]:
    """Tell where the wrapping of a label ends, and what follows to set it apart."""
    closing = re.compile(_CLOSING).match(text, first.end)
    end = closing.end() if closing else first.end
    return end, _VERDICT_END.match(text, end)


def _is_joined_to_another(text: str, first: Mention, menu: Menu) -> bool:
    """Tell whether a sign joins the label to another one: "YES/NO", "safe: unsafe"."""
    near = mentions_in(text, menu, first.end, first.end + _FAR, _MOST_MENTIONS)
    other = next((each for each in near if each.label != first.label), None)
    return other is not None and bool(_SIGN.fullmatch(text, first.end, other.start))


def _unless_taken_back(
    text: str, first: Mention, end: int, sign: re.Match[str] | None, menu: Menu
) -> str | None:
    """Return the leading label; None where what follows denies it, doubts it or lists others beside it."""
    rest = sign.end() if sign else end
    mark = (sign[2] or sign[3] or sign[4]) if sign else None
    share = share_after(text, first.end)
    if (
        (fold(text[first.start : first.end]) not in _NEGATIVE and is_denied_after(text, first.end))
        or (mark not in (None, ".", ":", "!", "=") and starts_hedged(text[rest : rest + 200]))
        or (
            share is None
            and mark in (":", "=", "—", "–")
            and re.match(r"\s*\d", text[rest : rest + 9])
        )
        or (share is not None and is_low(share, menu))
        or _lists_another(text, first, rest, menu)
    ):
        return None
    return first.label


def _leading(text: str, menu: Menu) -> str | None:
    """Return the label at the start, where what follows sets it apart as the verdict."""
    start = re.match(_OPENING, text)
    match = menu.mention.match(text, start.end()) if start else None
    # Underscores and the like may belong to the label, and so may a bullet: "-1".
    match = match or menu.mention.match(text)
    first = mention_at(text, match, menu) if match else None
    if first is None:
        return None
    end, sign = _set_off(text, first)
    is_set_off = any(c in text[first.end : end] for c in ")]}>*")
    if sign is None and (not is_set_off or _IS_JUDGED.match(text, end)):
        return None
    return _unless_taken_back(text, first, end, sign, menu)


def _lists_another(text: str, first: Mention, rest: int, menu: Menu) -> bool:
    """Tell whether the leading label is only the first of several: "yes, no" or a list of options."""
    place = first.end
    for mention in mentions_in(text, menu, place, place + _FAR, _MOST_MENTIONS):
        between = text[place : mention.start]
        if not _BETWEEN.fullmatch(between):
            break
        if mention.label != first.label:
            goes_on = _LINE_ENDS if "\n" in between else _LIST_GOES_ON
            if _TAKEN_BACK.search(between) or goes_on.match(text, mention.end):
                return True
            break
        place = mention.end
    if share_after(text, first.end) is not None and any(
        each.label != first.label and share_after(text, each.end) is not None
        for each in mentions_in(text, menu, rest, len(text), _MOST_MENTIONS)
    ):
        return True
    set_off = text[first.end : rest].strip(" \t*_`~\"'")
    if set_off[:1] not in (".", ":", ")"):
        return False
    item = rf"^{_OPENING}{menu.mention.pattern}[*_`\"']{{0,6}}{re.escape(set_off[:1])}"
    found = re.compile(item, re.IGNORECASE | re.MULTILINE).finditer(text, rest)
    items = (mention_at(text, match, menu) for match in islice(found, _MOST_MENTIONS))
    return any(each is not None and each.label != first.label for each in items)


def _single(text: str, menu: Menu) -> str | None:
    """Return the only label that the text mentions and does not deny, hedge or merely speak of."""
    mentions = [*mentions_in(text, menu, 0, len(text), _MOST_MENTIONS + 1)]
    if len(mentions) > _MOST_MENTIONS:
        return None
    if any(
        one.label != other.label and _SIGN.fullmatch(text[one.end : other.start])
        for one, other in pairwise(mentions)
    ):
        return None
    stated: set[str] = set()
    denied: set[str] = set()
    doubted: set[str] = set()
    for mention in mentions:
        if not mention.is_sure or is_marked_within(text, mention.start, mention.end):
            # The marker was quoted, denied or somebody else's, or it would have counted.
            doubted.add(mention.label)
        elif is_denied(text, mention.start, mention.end):
            denied.add(mention.label)
        elif not is_english(sentence_round(text, mention.start, mention.end)):
            # Denials of other languages are not known, so nothing is stated in them.
            doubted.add(mention.label)
        elif not is_only_mentioned(text, mention.start, mention.end):
            stated.add(mention.label)
    if len(stated) != 1 or stated & denied or doubted - stated:
        return None
    if is_hedged(text, [(mention.start, mention.end) for mention in mentions]):
        return None
    return stated.pop()

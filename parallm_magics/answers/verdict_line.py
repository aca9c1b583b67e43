"""The label of a short verdict: one clause of a label and words that change nothing about it.

Any other word makes such a verdict unreadable. So no list of denials is needed here, which no list
of any language could hold: "nicht sicher", "hardly safe", "kein Spam".
"""

from __future__ import annotations

import re
from itertools import islice

from parallm_magics.answers.cleaning import fold
from parallm_magics.answers.mentions import Mention, Menu, mentions_in
from parallm_magics.answers.wording import EMPTY_BOX

MOST_WORDS = 5
"""An answer of more words than these says its verdict in prose."""

_REACH = 400
"""Characters of a verdict that are looked at."""

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
_EDGE = re.compile(r"[\s*_`\"'(\[{<$#>•·–—+-]*")
_CLAUSE_END = re.compile(
    r"\.(?!\d)|[,;:。、…\n(\[{]|\s[-–—]{1,3}\s|[—–]|\bbecause\b", re.IGNORECASE
)
_MOST_CLAUSES = 5
_MOST_MENTIONS = 20
_MASK = "\x00"
_SHARE = re.compile(
    r"[*_`\"')\]}]{0,6}\s{0,4}[:=(,|–—-]{0,2}\s{0,4}[(\[]?"
    r"(?:(?:with\s+)?(?:an?\s+)?(?:confidence|probability|score|prob|conf|p)(?:\s+of)?\s{0,4}[:=]?\s{0,4})?"
    r"[~≈]?\s?(?P<number>\d{1,3}(?:\.\d{1,12})?|\.\d{1,12})(?P<percent>\s?%|\s?/\s?100\b)?(?![\w/]|[.,]\d)",
    re.IGNORECASE,
)
_SHARE_WITHIN = re.compile(
    r"(?<![\w.,])[~≈]?(?P<number>\d?\.\d{1,12}|\d{1,3}(?:\.\d{1,12})?(?=\s?%))(?P<percent>\s?%)?"
    r"(?![\w/]|[.,]\d)"
)

# None of these denies, hedges, compares or supposes, alone or beside another one.
_LISTED = """
a an the this that it its it's that's this's is are be i i'm i'd i'll we we'd my our me
think believe say choose pick select vote prefer go going give got conclude judge consider
with for to in on of as and so thus therefore hence well ok okay yes yeah yep here now
answer answers verdict vote grade decision choice label classification class category
prediction judgment judgement conclusion final overall best correct right chosen selected
option candidate response output result letter number rating
content text message prompt request input question item comment email post sentence statement
review query document code
just simply clearly definitely certainly absolutely obviously surely really truly indeed
probably likely very highly quite pretty completely entirely fully totally perfectly strongly
considered deemed rated classified labelled labeled marked judged seems appears looks
sure certain confident confidence probability score
✅ ✔ ☑ 👍 🟢 → ➡
"""
_FILLING_WORDS = frozenset(_LISTED.split())
_FILLING_PHRASES = re.compile(
    r"\b(?:without\s+(?:a\s+|any\s+)?doubt|no\s+doubt|beyond\s+(?:a\s+|any\s+)?doubt|by\s+far"
    r"|most\s+likely|most\s+certainly|from\s+me|i\s+would\s+(?:say|choose|pick|go\s+with)"
    r"|(?:very\s+)?high\s+(?:confidence|certainty|probability)|has\s+to\s+be|must\s+be|leaning\s+towards?|at\s+least)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
_MARKS = frozenset("*_`\"'#>$|~=+-–—!?()[]{}<&/\\•·^…,.;:%")
_DENIES_BEFORE = re.compile(r"[!¬~≠∼]\s*\Z")

# Where words are written without spaces: what may stand before and after a label there.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_UNSPACED_BEFORE = re.compile(
    r"(?:[\s:：*`\"'(「『【]|我|我们|会|認為|认为|觉得|正确|正確|最终|最終|最后|最後|标准|最佳|的|答案|选项|選項"
    r"|结论|結論|判断|判定|选择|選擇|选|選|应该|應該|应|是|为|為|就|因此|所以|综上所述|该|这段|这个|这条|这|此"
    r"|内容|文本|文字|文章|回答|答|私|この|その|これ|それ|の|は|が|正解|答え|結果|ラベル|分類|分类|结果|정답|답|답변|은|는|최종|이|결론|내용)*"
)
_UNSPACED_AFTER = re.compile(
    r"(?:[\s。.,、!！*`\"')」』】]|的|项|項|选项|選項|です|だ|である|となります|になります|を選びます|を選択します|입니다|이다|예요|이에요|啊|了|吧)*"
)


def is_short(text: str) -> bool:
    """Tell whether an answer is so short that all of it is a verdict."""
    return sum(1 for _ in islice(_WORD.finditer(text), MOST_WORDS + 1)) <= MOST_WORDS


def share_after(text: str, end: int) -> float | None:
    """Return the share, from 0 to 1, that is stated right after a label; None without one.

    >>> share_after("toxic (93 %)", 5), share_after("B: 0.9", 1), share_after("B: 42", 1)
    (0.93, 0.9, None)
    """
    found = _SHARE.match(text, end)
    return None if found is None else _share(found)


def is_low(share: float, menu: Menu) -> bool:
    """Tell whether a share is below an even one: it says that another label is the likelier."""
    return share * max(2, menu.size) < 1


def _share(found: re.Match[str]) -> float | None:
    number = float(found["number"])
    if found["percent"]:
        return number / 100 if number <= 100 else None
    return number if "." in found["number"] and number <= 1 else None


def verdict_mention(text: str, menu: Menu) -> Mention | None:
    """Return the label of the first clause that has one; None where any word there might change it.

    Clauses of nothing but such words as "Well," may stand before it.
    """
    is_cut = len(text) > _REACH
    text = _TAG.sub(lambda tag: " " * len(tag[0]), text[:_REACH])
    mentions = [*mentions_in(text, menu, 0, _REACH, _MOST_MENTIONS)]
    if any(EMPTY_BOX.search(text[max(0, m.start - 12) : m.start]) for m in mentions[:1]):
        return None
    masked = list(text)
    for mention in mentions:
        masked[mention.start : mention.end] = _MASK * (mention.end - mention.start)
    line = "".join(masked)
    edge = _EDGE.match(line)
    place = edge.end() if edge else 0
    for _ in range(_MOST_CLAUSES):
        ends = _CLAUSE_END.search(line, place)
        end = ends.start() if ends else len(line)
        inside = [mention for mention in mentions if place <= mention.start < end]
        clause = line[place:end]
        if ends is None and is_cut:
            return None
        if _UNSPACED.search(clause):
            if found := _unspaced(text, place, end, menu):
                return found
            is_empty = not inside and _UNSPACED_BEFORE.fullmatch(clause) is not None
        elif inside:
            return _only(inside, line, place, end, menu)
        else:
            is_empty = is_filled(clause)
        if ends is None or not is_empty or "\n" in ends[0]:
            return None
        place = ends.end()
    return None


def _only(mentions: list[Mention], line: str, place: int, end: int, menu: Menu) -> Mention | None:
    """Return the one label of a clause whose other words are all known to change nothing."""
    first = mentions[0]
    if any(each.label != first.label or not each.is_sure for each in mentions):
        return None
    words = line[place:end].replace(_MASK, " ")
    shares = [_share(stated) for stated in _SHARE_WITHIN.finditer(words)]
    if _DENIES_BEFORE.search(line[max(0, first.start - 3) : first.start]) or any(
        share is not None and is_low(share, menu) for share in shares
    ):
        return None
    return first if is_filled(_SHARE_WITHIN.sub(" ", words)) else None


def is_filled(words: str) -> bool:
    """Tell whether words beside a label change nothing about it.

    >>> is_filled("I think the answer is"), is_filled("nicht"), is_filled("hardly")
    (True, False, False)
    """
    return all(
        token.casefold().replace("’", "'") in _FILLING_WORDS or token in _MARKS
        for token in _TOKEN.findall(_FILLING_PHRASES.sub(" ", words))
    )


def _unspaced(text: str, place: int, end: int, menu: Menu) -> Mention | None:
    """Return the label of a clause without spaces between its words: 我选B."""
    clause = fold(text[place:end])
    if len(clause) != end - place:
        return None
    found = {}
    for form, labels in menu.folded.items():
        at = clause.find(form)
        if at < 0 or len(labels) != 1:
            continue
        after = at + len(form)
        if _UNSPACED_BEFORE.fullmatch(clause[:at]) and _UNSPACED_AFTER.fullmatch(clause[after:]):
            [label] = labels
            found[label] = Mention(label, place + at, place + after)
    return next(iter(found.values())) if len(found) == 1 else None

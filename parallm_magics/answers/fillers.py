"""Words that change nothing about the label they stand beside: the one list of them.

In a short verdict any other word makes it unreadable. So no list of denials is needed there, which
no list of any language could hold: "nicht sicher", "hardly safe", "kein Spam".
"""

from __future__ import annotations

import re

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
_WORDS = frozenset(_LISTED.split())
_PHRASES = re.compile(
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
    r"|内容|文本|文字|文章|回答|答|私|この|その|これ|それ|の|は|が|正解|答え|結果|ラベル|分類|分类|结果"
    r"|정답|답|답변|은|는|최종|이|결론|내용)*"
)
_UNSPACED_AFTER = re.compile(
    r"(?:[\s。.,、!！*`\"')」』】]|的|项|項|选项|選項|です|だ|である|となります|になります|を選びます|を選択します"
    r"|입니다|이다|예요|이에요|啊|了|吧)*"
)


def is_filled(words: str) -> bool:
    """Tell whether words beside a label change nothing about it.

    >>> is_filled("I think the answer is"), is_filled("nicht"), is_filled("hardly")
    (True, False, False)
    """
    return all(
        token.casefold().replace("’", "'") in _WORDS or token in _MARKS
        for token in _TOKEN.findall(_PHRASES.sub(" ", words))
    )


def is_negated_by_sign(before: str) -> bool:
    """Tell whether the last sign before a label denies it: "!safe", "¬safe"."""
    return _DENIES_BEFORE.search(before) is not None


def is_unspaced(text: str) -> bool:
    """Tell whether a text has words of a script that puts no spaces between them."""
    return _UNSPACED.search(text) is not None


def is_filled_unspaced(before: str, after: str) -> bool:
    """Return the same as `is_filled` for what stands directly at a label in such a script."""
    return bool(_UNSPACED_BEFORE.fullmatch(before) and _UNSPACED_AFTER.fullmatch(after))


_ENGLISH = re.compile(
    r"\b(?:the|this|that|these|those|it|its|it's|which|because|would|should|could|does|has|have"
    r"|having|with|from|they|their|there|been|being|were|what|when|where|while|you|your|think"
    r"|believe|choose|answer|based|says|seems|appears|clearly|likely|however|therefore|and|can"
    r"|i'm|i'd|i've|i|we|by|about|who|how|but|only|both|here|as|is\s+(?:a|an|in|no|my)|look|looks"
    r"|choice|final|found|got|says|said|if|then|right|wrong|between|pick)\b",
    re.IGNORECASE,
)
_FOREIGN_DENIAL = re.compile(
    r"\b(?:nicht|kein\w*|nie|niemals|nein|weder|ohne|ne|n['’]\w+|pas|non|jamais|aucun\w*|ni|sans"
    r"|nunca|ning[uú]n\w*|sin|n[aã]o|nem|sem|nessun\w*|mai|senza|niet|geen|nooit|nee|inte|ej|ikke"
    r"|ikkje|aldrig|ei|nej|nije|nu|nav|не|ни|нет|без|ні|değil|hayır|tidak|bukan|tak|không|ez|nyet)\b"
    r"|[不没沒非未無无否]|ない|ません|なし|없|않|아니|لا|ليس|غير|לא|אין|नहीं|ไม่",
    re.IGNORECASE,
)


def is_english(sentence: str) -> bool:
    """Tell whether English rules may tell what a sentence says about a label in it.

    Args:
        sentence: what stands beside the label; where nothing does, no language denies it.
    """
    if not re.search(r"\w", sentence):
        return True
    return bool(_ENGLISH.search(sentence)) and not _FOREIGN_DENIAL.search(sentence)

"""What the English words round a label do to it: deny it, hedge it, quote it, or decline."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parallm_magics.answers.cleaning import cleaned

_REACH = 160
"""Characters on either side of a mention that are looked at; a clause is rarely longer."""

_ENDS = 2000
"""Characters at either end of a long text in which a refusal is looked for."""

# A line that ends in "not" was only wrapped there.
_CLAUSE_END = re.compile(
    r"[.;:!?—–()|]|(?<!\bnot)(?<!n't)(?<!\bnever)(?<!\bbe)\n|,(?!\s*n?or\b)|\b(?:but|so|therefore"
    r"|thus|hence|however|because|then|yet"
    r"|though|although|while|whereas|and\s+(?:is|are|was|remains|it|this|i))\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n")
_NO_DENIAL = re.compile(
    r"\bno\s+(?:doubt|question|problem|wonder|matter|denying|reason\s+to\s+doubt)\b"
    r"|\b(?:without|beyond)\s+(?:a\s+|any\s+)?(?:\w+\s+)?(?:doubt|question|hesitation)\b"
    r"|\bnot\s+(?:only|just|merely)\b|\bnothing\s+(?:but|other\s+than)\b|\bnone\s+other\s+than\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"n't\b|(?<![\d.,])0\s?%|\b(?:not|no|never|cannot|cant|wont|isnt|arent|wasnt|doesnt|dont|didnt"
    r"|without|hardly|barely|scarcely|rarely|seldom|nobody|nothing|nowhere|unlikely|untrue|false"
    r"|impossible|lack(?:s|ing)?|fail(?:s|ed)?|mistake|far\s+(?:from|be)"
    r"|(?:free|clear|devoid|absence)\s+(?:of|from)|zero|less|too\s+\w+\s+(?:for|to)|rather\s+than"
    r"|instead\s+of|other\s+than|apart\s+from|except|exclud(?:e|es|ed|ing)|rul(?:e|es|ed|ing)\s+out"
    r"|reject(?:s|ed|ing)?|eliminat(?:e|es|ed|ing)|avoid(?:s|ed|ing)?|den(?:y|ies|ied)"
    r"|doubt(?:s|ed|ful)?|disagree(?:s|d)?|wrong|incorrect|contrary\s+to|opposite\s+of"
    r"|anything\s+but|all\s+but"
    r"|stop(?:s|ped)?\s+being|cease(?:s|d)?|refuse(?:s|d)?|decline(?:s|d)?)\b",
    re.IGNORECASE,
)
_DENIAL_OF_ALL = re.compile(
    r"\b(?:neither|nor|none\s+of)\b|(?:\bnot|\bnever|n't)\s*[,(—–]"
    r"|\b(?:anything|all)\s+but\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)
EMPTY_BOX = re.compile(r"(?:\[[ \t]?\]|\([ \t]?\)|[☐◻□❌✗✘🚫⛔])[ \t*_`]*\Z")
"""A box that nobody has ticked, or a sign that crosses out, right before a label."""

_SIGN_BEFORE = re.compile(r"(?:[¬≠]\s?|(?:^|\s)!)\Z")

_NO_GOOD = (
    r"(?:not|never|no\s+longer|wrong|incorrect|false|invalid|untrue|unlikely|impossible|out"
    r"|excluded|too\s+\w+|eliminated|rejected|ruled\s+out|inaccurate|inappropriate|unsupported"
    r"|mistaken|implausible)\b"
)
# One such word alone behind a label takes it back: "sicher: nein".
_FOREIGN_NO = (
    r"(?:nein|non|nej|nee|ne|nie|não|nao|нет|ні|не|hayır|hayir|falsch|faux|falso|falsa|fel|forkert"
    r"|fout|onjuist|неверно|ложь|nicht|pas|niet|inte|ikke|değil|いいえ|いえ|否|不|不是|错|錯|错误|違います"
    r"|ちがいます|아니요|아니오|아닙니다|لا|خطأ|לא)"
)
_DENIED_AFTER = re.compile(
    r"[\s*_`)\]}\"']*(?:(?:is|was|are|were|do|does|did|can|could|would|should|will|has|ca|wo)n't\b"
    r"|(?:can\s?not|never|fails|lacks|(?:can|does|do|did|will|must|should|may|has)\s+(?:not"
    r"|never))\b|(?:is|was|are|were|seems?|looks?|appears?|(?:can|should|will"
    r"|must)\s+be)\s+(?:(?:\w+ly|also|just|the|a|an)\s+){0,3}"
    + _NO_GOOD
    + r")|[ \t*_`)\]}\"']*(?:[:=(–—-]+\s*|(?:;|\.\.+)[ \t]*)[*_`\"']*"
    r"(?:(?:no|nope|false|0(?![.,]?\d)|n/a|none|null|[❌✗✘✖🚫👎]|"
    + _NO_GOOD
    + r")[*_`\"']*\s*(?:[.,;!\n})\]|]|$)"
    r"|not\s+(?:at\s+all|really|quite)\b)"
    r"|[\s.,;:?!…(–—*_`)\]}\"'-]*\bnot(?:\s+(?:at\s+all|really|quite))?\s*(?:[.,;!)\n]|$)"
    r"|[\s.,;:?!…(–—*_`)\]}\"'-]*(?<![^\W_])" + _FOREIGN_NO + r"(?![^\W_])\s*(?:[.,;!)\n。]|$)"
    r"|,?\s*(?:but|yet|though|although)\s+(?:(?:it|that|this|i)\s+)?(?:no\s+longer\s+\w+"
    r"|(?:is|was|do|does|did)(?:n't|\s+not))\s*(?:[.,;!\n]|$)",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"\b(?:if|unless|whether|assuming|suppose|supposing|otherwise|in\s+case|until|only\s+(?:for"
    r"|when))\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\W*(?:if|unless)\b(?!\s+(?:i|we|forced|pressed|asked)\b)[^\n]*(?:,|\bthen\b)", re.IGNORECASE
)
_HYPOTHETICAL_AFTER = re.compile(r"[\s*_`)\]}\"']*(?:would|could|might)\b", re.IGNORECASE)
_OTHERS_SAY = re.compile(
    r"\b(?:some|others?|people|many|critics?|reviewers?|users?|candidate|student|author|document"
    r"|text|page|site|website|file|article|report|comment|passage|snippet|template|input|tool|email"
    r"|message|submission|prompt|instructions?|rules?|question|they|he|she|you"
    r"|someone)\b[^.!?\n]{0,40}?\b(?:says?|said|saying|claim(?:s|ed)?|state[sd]?|told|tells?"
    r"|writes?|wrote|write|argue[sd]?|thinks?|suggests?|answers|answered|responds?"
    r"|repl(?:y|ies|ied)|mentions?|instructs?)\b"
    r"|\bit\s+(?:says|said|states|reads)\b",
    re.IGNORECASE,
)
_ASKED_TO = re.compile(
    r"\b(?:asked|told|instructed|instructs?|instructions?|required|supposed|wants?"
    r"|asks?)\b[^.!?\n]{0,60}?\bto\s+(?:answer|end|write|say|reply|respond|output|finish|choose"
    r"|print|return|pick|vote)\b"
    r"(?:(?!\b(?:but|so|therefore|thus|hence|my|i)\b)[^.!?;\n])*$",
    re.IGNORECASE,
)
_OTHERS_SAY_THIS = re.compile(rf"(?:{_OTHERS_SAY.pattern})\s*:[\s*_`\"'(]*$", re.IGNORECASE)
_OTHERS_ANSWER = re.compile(
    r"(?:(?<!\bhere)(?<!\bthat)(?<!\bit)'s|s'|\b(?:their|his|her|your|candidate|student|model"
    r"|reference|expected|previous|given"
    r"|proposed|submitted|wrong|incorrect))\s+$",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|might|may\s+(?:be|well)|could\s+(?:be|go)|conceivably|either)\b",
    re.IGNORECASE,
)
_HEDGED_LABEL = re.compile(_HEDGE.pattern + r"\s+\w", re.IGNORECASE)
RETRACTION = (
    r"actually|wait|hold\s+on|hmm+|correction|corrected|scratch\s+that|strike\s+that|make\s+that"
    r"|on\s+(?:second\s+thoughts?|reflection|further\s+\w+)|sorry|i\s+meant?|oops|my\s+mistake"
    r"|just\s+kidding|rather|instead"
)
"""Words by which what was said is taken back for what follows, as a pattern."""

_ADDED = re.compile(r"\A\W*(?:(?:or|and|but|well)\s+)?", re.IGNORECASE)
_UNSURE = (
    r"\b(?:it|that|this)\s+(?:really\s+|all\s+|entirely\s+)?depends\b|\bdepend(?:s|ing)\s+on\b"
    r"|(?:\bnot|n't)\s+(?:\w+\s+)?(?:sure|certain|confident|clear)\b|\bunsure\b|\buncertain\b"
    r"|\bundecided\b|\bunclear\b|\binconclusive\b|\bindeterminate\b|\btoo\s+close\s+to\s+call\b"
    r"|\b(?:hard|difficult|impossible|tough)\s+to\s+(?:say|tell|know|judge|decide|determine)\b"
    r"|(?:\bnot|n't)\s+(?:really\s+)?know\b|\bdont\s+know\b|\bdunno\b"
    r"|\bno\s+(?:idea|clue|opinion)\b|\b(?:not\s+enough|insufficient"
    r"|too\s+little)\s+(?:\w+\s+)?(?:information|context|data|evidence|detail)"
)
_REFUSAL = (
    r"(?:(?:^|[.!?\n])[\W_]{0,6}|\b(?:i|we)(?:'m|'re|\s+am|\s+are)?\s+(?:\w+\s+)?)"
    r"(?:(?:can|could|will|would|do|must|should)(?:\s?not|n't)|can't|cant|won't|wont|unable\s+to"
    r"|not\s+(?:able|willing|comfortable|allowed|permitted|going)(?:\s+to)?)\s+"
    r"(?:(?!(?:the|an?|this|that|think|believe)\b)\w+\s+){0,2}"
    r"(?:answer|answering|help|assist|assisting|compl(?:y|ete)|fulfill?|provide|providing|say|tell"
    r"|decide|determine|judge|choose|pick|give|engage|discuss|respond|do|make|evaluate|assess|vote"
    r"|participate|process|support|continue|want)\b"
    r"|\b(?:can\s?not|can't)\s+be\s+(?:answered|decided|determined|judged|assessed|known)\b"
    r"|\b(?:rather|prefer)\s+not\b|\bi(?:\s+must|\s+have\s+to|'ll|\s+will)?\s+"
    r"(?:respectfully\s+|politely\s+)?(?:decline|refuse|abstain)\b|\bas\s+an\s+ai\b"
    r"|\bagainst\s+(?:my|the)\s+(?:guidelines|policy|policies)\b"
)
_NO_CHOICE = (
    r"\b(?:none|neither)\s+of\s+(?:the\s+)?(?:above|these|those|them|two|options|choices|candidates"
    r"|answers|labels)\b|\bneither\b|\babstain(?:s|ed|ing)?\b|\bno\s+answer\b|\bnot\s+applicable\b"
    r"|(?<![^\W_])n/a(?![^\W_])|\bunknown\b|\bunanswerable\b|\bi(?:'d|\s+would)?\s+pass\b"
)
_DECLINE = re.compile(f"{_UNSURE}|{_REFUSAL}|{_NO_CHOICE}", re.IGNORECASE)
_BLOCKING = re.compile(f"{_UNSURE}|{_REFUSAL}", re.IGNORECASE)
_DECLINE_WHOLE = re.compile(
    r"(?:none|neither|abstain|unknown|n/a|not applicable|no answer|no opinion|pass|undecided|unsure"
    r"|uncertain|unclear|inconclusive|it depends|it really depends|(?:i am |i'm )?not sure"
    r"|(?:none|neither) of the(?:m|se| above| options| choices)|(?:i have )?no idea)[.! ]*",
    re.IGNORECASE,
)
_DECLINE_START = re.compile(
    r"(?:(?:i'm\s+|i\s+am\s+|we're\s+)?(?:\w+\s+)?sorry\W+|(?:i|my)\s+apolog\w+\W+|unfortunately\W+"
    rf"|but\s+)*(?:{_REFUSAL}|i\s+(?:really\s+)?(?:do\s+not|don't|dont)\s+(?:really\s+)?know\b)",
    re.IGNORECASE,
)

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


def _before(ends: re.Pattern[str], text: str, start: int) -> str:
    """Return what stands between the last of such ends and a place."""
    return ends.split(text[max(0, start - _REACH) : start])[-1]


def _after(ends: re.Pattern[str], text: str, end: int) -> str:
    """Return what stands between a place and the next of such ends."""
    return ends.split(text[end : end + _REACH], maxsplit=1)[0]


def is_english(sentence: str) -> bool:
    """Tell whether English rules may tell what a sentence says about a label in it.

    Args:
        sentence: what stands beside the label; where nothing does, no language denies it.
    """
    if not re.search(r"\w", sentence):
        return True
    return bool(_ENGLISH.search(sentence)) and not _FOREIGN_DENIAL.search(sentence)


def sentence_round(text: str, start: int, end: int) -> str:
    """Return the sentence that a place stands in, as far as it is near."""
    return _before(_SENTENCE_END, text, start) + " " + _after(_SENTENCE_END, text, end)


def is_denied(text: str, start: int, end: int) -> bool:
    """Tell whether the words round `text[start:end]` say that it is not so."""
    return bool(
        _denies(_before(_CLAUSE_END, text, start))
        or EMPTY_BOX.search(text[max(0, start - 12) : start])
        or _SIGN_BEFORE.search(text[max(0, start - 3) : start])
        or _DENIAL_OF_ALL.search(_before(_SENTENCE_END, text, start))
        or is_denied_after(text, end)
    )


def _denies(clause: str) -> bool:
    return _DENIAL.search(_NO_DENIAL.sub(" ", clause)) is not None


def is_denied_after(text: str, end: int) -> bool:
    """Tell whether what follows a place says that what stood there is not so: "safe: no"."""
    return bool(_DENIED_AFTER.match(text[end : end + _REACH]))


def is_only_mentioned(text: str, start: int, end: int) -> bool:
    """Tell whether `text[start:end]` is asked about, supposed, or somebody else's answer."""
    after = _after(_CLAUSE_END, text, end)
    sentence = _SENTENCE_END.search(text, end, end + _REACH)
    return bool(
        (sentence and "?" in sentence[0])
        or _HYPOTHETICAL.search(after)
        or _HYPOTHETICAL_AFTER.match(after)
        or _is_supposed_or_told(text, start)
    )


def _is_supposed_or_told(text: str, start: int) -> bool:
    """Tell whether the words before a place suppose what follows, or give it as another's words."""
    clause, sentence = _before(_CLAUSE_END, text, start), _before(_SENTENCE_END, text, start)
    return bool(
        _SUPPOSED.match(sentence)
        or _HYPOTHETICAL.search(clause)
        or _OTHERS_SAY.search(clause)
        or _OTHERS_SAY_THIS.search(sentence)
        or _ASKED_TO.search(sentence)
    )


def is_no_verdict(text: str, start: int) -> bool:
    """Tell whether the words before an in-line marker take away its force: "I doubt the answer is"."""
    clause = _before(_CLAUSE_END, text, start)
    said = _denies(clause) or _OTHERS_ANSWER.search(clause)
    return bool(said or _is_supposed_or_told(text, start))


def starts_hedged(text: str) -> bool:
    """Tell whether the text begins by taking back what came before it."""
    said = _ADDED.sub("", text[:_REACH], count=1)
    return bool(_HEDGE.match(said) or _BLOCKING.match(said))


def is_hedged(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether the text is unsure of the labels at `spans`, or refuses.

    Words inside the spans do not count: a label may be "not sure".
    """
    chars = list(text)
    for start, end in spans:
        chars[start:end] = "#" * (end - start)
    masked = "".join(chars)
    return bool(_BLOCKING.search(masked)) or any(
        _HEDGE.search(sentence_round(masked, *span)) for span in spans
    )


def declines(text: str) -> bool:
    """Tell whether a text without a readable vote declines in so many words, or hedges.

    A long text is believed to say so near its start or its end.
    """
    if len(text) > 2 * _ENDS:
        text = f"{text[:_ENDS]}\n{text[-_ENDS:]}"
    if _DECLINE_WHOLE.fullmatch(cleaned(text)) or _DECLINE.search(text):
        return True
    return len(text) < 300 and bool(_HEDGED_LABEL.search(text))


def declines_to_answer(text: str) -> bool:
    """Tell whether an open answer is nothing but a refusal or "I don't know"."""
    return bool(_DECLINE_WHOLE.fullmatch(text) or _DECLINE_START.match(text[:400]))

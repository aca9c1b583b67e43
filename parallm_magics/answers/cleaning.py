"""How two spellings of the same answer are made equal."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from parallm_magics.core.characters import IGNORABLE
from parallm_magics.core.plain_values import plain_value

_INVISIBLE = re.compile(f"[{IGNORABLE}]+")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_GAP = re.compile(r"\s{200,}")
_LONG = 2_000
_STRAIGHT = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        "\u2212": "-",
        # These are hyphens to a reader; dashes stay dashes, they separate.
        "\u2010": "-",
        "\u2011": "-",
    }
)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[\w+-]*[ \t]*$", re.MULTILINE)
_TRAILING = ".,;:!?。、।؟،… \t\n"
_LEADING = "¡¿ \t\n"
_PREFIX = re.compile(r"(?:#{1,6}|[>*+•·–—-])\s+")
_LATEX = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf)\s*\{(.*)\}|\\[(\[](.*)\\[)\]]",
    re.DOTALL,
)
_WRAPPERS = dict(zip("([{<「『【《\"'`*_$", ")]}>」』】》\"'`*_$", strict=True))
_OUTER = _TRAILING + _LEADING + "".join({*_WRAPPERS, *_WRAPPERS.values()})
# Deeper wrapping than this is no answer, and peeling it would take quadratic time.
_MOST_LAYERS = 40
# No letter of any language carries so many.
_MANY_ACCENTS = 32


def tidy(text: str) -> str:
    """Return the text with one form for each character and line end; nothing a reader sees is lost."""
    if text.isascii():
        return _LINE_END.sub("\n", text)
    # Wide quotes and primes exist before as well as after compatibility forms are resolved.
    text = _composed(_INVISIBLE.sub("", text.translate(_STRAIGHT)))
    return _LINE_END.sub("\n", _INVISIBLE.sub("", text.translate(_STRAIGHT)))


def without_gaps(text: str) -> str:
    """Return the text with a run of hundreds of blanks as a few: no reader sees more in it."""
    if len(text) < _LONG:
        return text
    return _GAP.sub(lambda gap: "\n\n" if "\n" in gap[0] else "  ", text)


def one_line(text: str) -> str:
    """Return the text with every run of white space as one space."""
    return " ".join(text.split())


def fold(text: str) -> str:
    """Return the text without differences of case, the Turkish i's included."""
    return _composed(text.casefold()).replace("i\u0307", "i").replace("ı", "i")


def without_fences(text: str) -> str:
    """Return the text without the lines that begin and end code blocks."""
    bare = _FENCE.sub("", text)
    # "```yes" may be all there is.
    return bare if bare.strip() else text


def peelings(text: str) -> Iterator[str]:
    """Yield the text on one line, then with one layer of wrapping or punctuation less each time.

    The last one is the cleaned text. All are yielded because a label may have such a layer of its
    own, as "C (other)" and "A*" do.
    """
    text = one_line(text)
    yield text
    for _ in range(_MOST_LAYERS):
        peeled = _peel(text)
        if peeled == text:
            return
        text = peeled
        yield text


def cleaned(text: str) -> str:
    """Return the text without its outer wrapping and punctuation, as spelt."""
    *_, last = peelings(text)
    return last


def same_answer_key(text: str) -> str:
    """Return a key that is equal for answers that differ only in case, spaces and wrapping.

    >>> same_answer_key(" **Paris**. ") == same_answer_key("paris")
    True
    """
    return fold(cleaned(tidy(text)))


def usual_spelling(answers: Sequence[str]) -> str:
    """Return the most frequent spelling of equal answers, without outer spaces and punctuation.

    If several are equally frequent, the one in lower case wins, else the last.

    >>> usual_spelling(["Unsafe", "unsafe", "unsafe."]), usual_spelling(["Yes", "YES "])
    ('unsafe', 'YES')
    """
    spellings = [_bare(answer) for answer in answers]
    counts = Counter(spellings)
    most = max(counts.values())
    usual = [each for each in spellings if counts[each] == most]
    return next((each for each in usual if each == each.lower()), usual[-1])


def _bare(answer: str) -> str:
    """Return the answer without its outer punctuation, unless that is all that sets it apart."""
    bare = cleaned(tidy(answer))
    return bare if same_answer_key(bare) == same_answer_key(answer) else answer.strip()


def _composed(text: str) -> str:
    """Return the text in the form NFKC.

    Python sorts the accents of one letter in quadratic time unless they are sorted already.
    """
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text
    parts = {char: unicodedata.normalize("NFKD", char) for char in set(text)}
    accents = [c for c, part in parts.items() if all(map(unicodedata.combining, part))]
    if accents:
        run = re.compile(f"[{re.escape(''.join(accents))}]{{{_MANY_ACCENTS},}}")

        def ordered(found: re.Match[str]) -> str:
            decomposed = "".join(parts[char] for char in found[0])
            return "".join(sorted(decomposed, key=unicodedata.combining))

        text = run.sub(ordered, text)
    return unicodedata.normalize("NFKC", text)


def _peel(text: str) -> str:
    """Return the text with one layer less, or unchanged."""
    bare = text.rstrip(_TRAILING).lstrip(_LEADING)
    if bare != text:
        return bare
    if prefix := _PREFIX.match(text):
        return text[prefix.end() :]
    if latex := _LATEX.fullmatch(text):
        return (latex[1] if latex[1] is not None else latex[2]).strip()
    inner = text[1:-1]
    if len(text) > 1 and _WRAPPERS.get(text[0]) == text[-1] and _is_one_piece(text[0], inner):
        return inner.strip()
    if text.endswith(")") and "(" not in text:
        return text[:-1]
    # The rest of an emphasis whose other end stood before a marker, as in "**Answer: yes**".
    return text.strip("*`").strip()


def _is_one_piece(opening: str, inner: str) -> bool:
    """Tell whether an opening character and the one at the other end belong together."""
    closing = _WRAPPERS[opening]
    if opening != closing:
        first_closing = inner.find(closing)
        return first_closing < 0 or 0 <= inner.find(opening) < first_closing
    core = inner.strip(_OUTER)
    if opening == "'":
        # An apostrophe within a word is no quotation mark.
        return not re.search(r"(?<!\w)'|'(?!\w)", core)
    return opening not in core


def label_of(value: Any) -> str:
    """Return the label that a value counts for: 8 and 8.0 are the same; an object is its JSON.

    >>> label_of(8.0), label_of("safe")
    ('8', 'safe')
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        return json.dumps(plain_value(value), ensure_ascii=False, sort_keys=True)
    whole = float(value).is_integer() and abs(value) < 1e40
    return str(int(value)) if whole else repr(float(value))

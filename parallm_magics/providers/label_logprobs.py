"""How probable a model found each label, by the log probabilities of the token that began its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from parallm_magics.core.tasks import Reading
from parallm_magics.providers.json_values import mapping, string

MOST_UNCLEAR = 0.01
"""A share of tokens so large that begin more than one label leaves open which one was meant."""
LEAST = -1e6
"""A log probability below which there is none."""
LEAD = re.compile(r"[\s\"'*_`(\[{:#-]*")
"""What a token may hold before the label begins."""


class Token(NamedTuple):
    """A token of an answer.

    Attributes:
        text: what it says.
        options: the tokens that could have stood there, each with its log probability.
    """

    text: str
    options: tuple[tuple[str, float], ...]


def tokens_of(sent: object) -> list[Token]:
    """The tokens of a message, or a piece of one, as chat completions give them."""
    content = mapping(sent).get("content")
    found = []
    for each in map(mapping, content if isinstance(content, list) else ()):
        options = {}
        for option in (*_list(each.get("top_logprobs")), each):
            chance = mapping(option).get("logprob")
            if isinstance(chance, int | float) and chance <= 0:
                # A whole number may be larger than any float.
                options[string(mapping(option).get("token"))] = float(max(chance, LEAST))
        found.append(Token(string(each.get("token")), tuple(options.items())))
    return found


def label_probabilities(
    tokens: Sequence[Token], reading: Reading | None
) -> dict[str, float] | None:
    """The probability of each label, in their order; they sum to 1. None where the tokens do not tell.

    The place is where the answer names a label for the last time. There each token that could have
    stood counts for the label that it begins; the sums are divided by their total, so that they are
    the chances of each label given that one of them follows. A label that no token begins has 0: it
    was less probable than all that were told. Where tokens that begin more than one label hold more
    than one per cent of the total, the first token does not tell them apart.
    """
    if reading is None or not reading.choices or not tokens:
        return None
    place = _label_token(tokens, reading.choices)
    if place is None or len(place[0].options) < 2:
        return None
    token, lead = place
    sums = dict.fromkeys(reading.choices, 0.0)
    unclear = 0.0
    for text, chance in token.options:
        piece = text.removeprefix(lead)
        begun = _begun_by(piece, reading.choices)
        begun = begun or _begun_by(LEAD.sub("", piece, count=1), reading.choices)
        if len(begun) == 1:
            sums[begun[0]] += math.exp(chance)
        elif begun:
            unclear += math.exp(chance)
    total = math.fsum(sums.values())
    if not total or unclear > MOST_UNCLEAR * (total + unclear):
        return None
    return {label: share / total for label, share in sums.items()}


def _label_token(tokens: Sequence[Token], choices: Iterable[str]) -> tuple[Token, str] | None:
    """The token that begins the label which the answer names last, and what it holds before that."""
    text = "".join(token.text for token in tokens)
    longest = sorted(choices, key=len, reverse=True)
    named = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)", re.IGNORECASE)
    start = max((found.start() for found in named.finditer(text)), default=None)
    if start is None:
        return None
    at = 0
    for token in tokens:
        if at <= start < at + len(token.text):
            return token, token.text[: start - at]
        at += len(token.text)
    return None


def _begun_by(piece: str, choices: Iterable[str]) -> list[str]:
    """The labels that a token begins, or holds whole."""
    start = piece.casefold().rstrip()
    if not start:
        return []
    found = []
    for label in choices:
        bare = label.casefold()
        whole = start.startswith(bare) and not start[len(bare) : len(bare) + 1].isalnum()
        if bare == start:
            return [label]
        if whole or bare.startswith(start):
            found.append(label)
    return found


def _list(value: Any) -> list[Mapping[str, Any]]:
    return value if isinstance(value, list) else []

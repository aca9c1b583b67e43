"""The JSON objects in a text, with prose between them or not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_START = re.compile(r'\{(?=\s*+["}])')
_DEEP = 200_000
"""What an attempt costs that ends too deep: each is dear, and a text could hold a million of them."""


def objects_in(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, int, Any]]:
    """Yield the outermost complete objects of a text: where each begins and ends, and what it holds.

    Of a text that takes long, only as many are found as take no longer than its length allows.
    """
    place, budget = 0, 16 * len(text) + _DEEP
    while budget > 0 and (start := _START.search(text, place)):
        try:
            data, place = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            place = start.end()
            # Making the error counts the lines up to it, which is dear in a long text.
            budget -= error.pos - start.start() + error.pos // 8 + 1
        except RecursionError:
            place = start.end()
            budget -= _DEEP
        else:
            yield start.start(), place, data

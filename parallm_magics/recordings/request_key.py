"""Which requests are the same: a key over everything that decides the answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from parallm_magics.answers.questions import split_prompt
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.providers import registry
from parallm_magics.simulation.user_answers import find_answer

# 128 bits: no two requests of any file come to the same key by chance.
DIGITS = 32
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def request_of(task: Task) -> dict[str, Any]:
    """What is asked and of whom; what nobody asked for is left out.

    No time limits, retries or streaming: they decide when an answer comes, not what it says. No
    address and no key. What an answer is held to counts where it is. A simulated answer also
    depends on who asks, on how it is to be read, on the dict that the user has given for it, and on
    what a study says is true.
    """
    request: dict[str, Any] = {
        "provider": task.model.provider,
        "model": task.model.name,
        "system": task.system,
        "prompt": task.prompt,
        "temperature": task.temperature,
        "effort": task.effort,
        "max_tokens": task.max_tokens,
        "params": dict(task.params) or None,
        "format": _reading(task.reading) if task.enforced and task.reading else None,
    }
    asked = registry.find(task.model.provider)
    if asked is not None and asked.decides is True:
        state, instructions = split_prompt(task)
        request |= {"prompt": state, "max_tokens": None, "instructions": instructions}
        request["format"] = None if task.reading is None else _reading(task.reading)
    if asked is not None and asked.simulated:
        answers = asked.answers if isinstance(asked.answers, Mapping) else {}
        request |= {
            "given": find_answer(answers, task),
            "query": [list(pair) for pair in task.model.query] or None,
            "shared": task.shared or None,
            "seed": task.seed,
            "reading": None if task.reading is None else _reading(task.reading),
            "truth": task.truth,
            "worker": task.name,
        }
    return {name: value for name, value in request.items() if value is not None}


def key_of(request: dict[str, Any]) -> str | None:
    """The same for equal requests, another for any other; None where JSON cannot hold the request.

    Such a request could not be told from others that look like it, nor could it be sent.
    """
    try:
        text = _CANONICAL.encode(request)
    except (TypeError, ValueError, RecursionError):
        return None
    # Surrogates pass, so that a half of a character is not taken for another half.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _reading(reading: Reading) -> dict[str, Any]:
    schema = reading.schema
    return {
        "kind": reading.kind,
        "choices": list(reading.choices),
        "low": reading.low,
        "high": reading.high,
        **({} if schema is None else {"schema": json.loads(schema.document)}),
    }

"""Fields that go with every request unasked, and what to do where an endpoint does not take one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parallm_magics.providers.error_body import ErrorBody

WITHOUT = {"stream_options": " (streams then report no usage; --stream off does)"}
# What is wrong with a value: the field itself is taken.
OF_THE_VALUE = re.compile(
    r"too (?:large|big|high|small|low|many)|at (?:most|least)|exceed|greater|less than|must be|"
    r"maximum|between|unsupported value|out of range"
)


class Unwanted:
    """What one endpoint has refused, model by model, as several stand behind one address."""

    def __init__(self, unasked: Mapping[str, str]) -> None:
        """Take the fields that may go, each with its other name; "" where it has none."""
        self._unasked = unasked
        self._refused: dict[str, dict[str, str]] = {}

    def without(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request with what the model does not take left out, or under its other name."""
        refused = self._refused.get(model, {})
        body = dict(body)
        for name, other in refused.items():
            if name in body:
                value = body.pop(name)
                body |= {other: value} if other and other not in body else {}
        return body

    def learn(
        self, model: str, sent: Mapping[str, Any], params: Mapping[str, Any], error: ErrorBody
    ) -> str:
        """The field that the next request goes without; "" where the error names none of ours.

        Args:
            sent: the request that was refused.
            params: the fields that the user asked for: those are not ours to leave out.
        """
        if OF_THE_VALUE.search(error.words.lower()):
            return ""
        refused = self._refused.setdefault(model, {})
        for name, other in self._unasked.items():
            if name in sent and name not in params and other not in refused and _names(error, name):
                refused[name] = other
                return name
        return ""

    def said(self, model: str) -> str:
        """What goes without, in words; "" for nothing."""
        return "; ".join(
            f"{name} is not taken: {f'{other} was sent' if other else 'left out'}"
            f"{WITHOUT.get(name, '')}"
            for name, other in self._refused.get(model, {}).items()
        )


def _names(error: ErrorBody, name: str) -> bool:
    """Whether the error is about this field: by its own mark, else by its words."""
    return name in (error.fields or re.findall(r"\w+", error.words))

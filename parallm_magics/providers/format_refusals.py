"""Which formats of answers a server does not take: those answers are asked for in words from then on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from parallm_magics.core.tasks import Fault, Reading, Task
from parallm_magics.providers.error_body import ErrorBody
from parallm_magics.providers.json_values import merged

if TYPE_CHECKING:
    from parallm_magics.providers.draft import Draft

Key = tuple[str, Reading]
"""A model, and what is asked of its answers."""

# A user who asks for a format of their own has it.
OF_THE_USER = frozenset(
    {
        "response_format",
        "structured_outputs",
        "grammar",
        "json_schema",
        "guided_choice",
        "guided_json",
        "guided_regex",
        "guided_grammar",
    }
)
OF_THE_FORMAT = re.compile(
    r"response[_ ]?format|output_config|structured[_ -]?outputs?|json[_ -]?schema|\bschemas?\b|"
    r"\bgrammars?\b|text\.format|\bguided"
)
# A server that is overloaded says nothing of the format; one that breaks at it says so again.
BROKEN = 500
NOT_IMPLEMENTED = 501
TIMES_BROKEN = 2


@dataclass(slots=True)
class Asking:
    """How one call asks for the form of its answer.

    Attributes:
        key: the model, and what is asked; None where no form is.
        field: the field that holds the answer, as it is named to people.
        held: whether the request has it.
    """

    key: Key | None = None
    field: str = ""
    held: bool = False

    @property
    def said(self) -> str:
        """What is not as asked, in words; "" for nothing."""
        if self.key is None or self.held:
            return ""
        why = f"{self.field} is not taken" if self.field else "no format can hold the answer"
        return f"{why}: asked in words"


class FormatRefusals:
    """What one server has refused.

    A format is refused for good where an error names it, or where the same call is answered without
    it. Any other error of that call keeps its meaning.
    """

    def __init__(self) -> None:
        self._refused: set[Key] = set()
        self._doubted: set[Key] = set()
        self._cleared: set[Key] = set()
        self._broken: dict[Key, int] = {}

    def asking(
        self, task: Task, request: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Asking]:
        """The request with the fields that hold its answer, where they are taken; and what came of it.

        Args:
            fields: what holds the answer; empty where nothing can.
        """
        names = OF_THE_USER & task.params.keys()
        mine = {name: mapping for name, mapping in task.params.items() if name in fields}
        if names or any("format" in each for each in mine.values() if isinstance(each, Mapping)):
            return dict(request), Asking()
        assert task.reading is not None
        asking = Asking((task.model.name, task.reading), _name(fields))
        if not fields or asking.key in self._refused | self._doubted:
            return dict(request), asking
        asking.held = True
        return merged(fields, request), asking

    def accepted(self, asking: Asking) -> None:
        """The call was answered."""
        key = asking.key
        if key is None:
            return
        if asking.held:
            self._cleared.add(key)
            self._broken.pop(key, None)
            self._doubted.discard(key)
        elif key in self._doubted:
            self._doubted.discard(key)
            self._refused.add(key)

    def judged(self, draft: Draft, fault: Fault, error: ErrorBody) -> Fault:
        """The fault of a call, as a passing one where the next try goes without the format."""
        asking = draft.asking
        key = asking.key
        if key is None or fault.kind not in ("bad_request", "server") or fault.http is None:
            return fault
        if not asking.held:
            self._doubted.discard(key)
            if fault.kind == "bad_request":  # it was not the format
                self._cleared.add(key)
            return fault
        if (
            _names_format(error, asking.field, draft.asked.prompt.lower())
            or fault.http == NOT_IMPLEMENTED
        ):
            self._refused.add(key)
        elif key in self._cleared or (error.fields and fault.kind == "bad_request"):
            return fault
        elif fault.kind == "server":
            return self._after_breaking(key, fault)
        else:
            self._doubted.add(key)
        return replace(fault, kind="parameter")

    def _after_breaking(self, key: Key, fault: Fault) -> Fault:
        """The fault of a server that broke: where it does so again, the next try is the proof."""
        if fault.http == BROKEN:
            self._broken[key] = self._broken.get(key, 0) + 1
            if self._broken[key] >= TIMES_BROKEN:
                self._doubted.add(key)
        return fault


def _name(fields: Mapping[str, Any]) -> str:
    """The field as it is named to people: `output_config.format`, `response_format`."""
    name = next(iter(fields), "")
    inner = fields.get(name)
    return f"{name}.format" if isinstance(inner, Mapping) and "format" in inner else name


def _names_format(error: ErrorBody, field: str, prompt: str) -> bool:
    """Whether an error is about the format: by its own mark, else by its words.

    Args:
        prompt: what was asked, in lower case; an error may quote it.
    """
    names = {*field.split("."), "json_schema", "schema"}
    if names & set(error.fields):
        return True
    said = f"{error.words} {' '.join(error.codes)}".lower()
    return any(found[0] not in prompt for found in OF_THE_FORMAT.finditer(said))

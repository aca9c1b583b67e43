"""Whether a provider is asked to let the model write nothing else than the answer that is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.options import Options
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import OptionError
from parallm_magics.voting.pick_rules import PICKS


def is_enforced(options: Options, reading: Reading | None, model: Model) -> bool:
    """Tell whether the answers of a worker are to be enforced.

    A schema is, wherever it can be: what it asks for is long, and nothing is lost. A label is where
    that costs nothing, or is asked for: a model that may write nothing else cannot reason before it.
    A decision model writes nothing.

    Raises:
        OptionError: that was asked for, and cannot be.
    """
    asked = options.enforce
    if reading is None or asked == "off" or model.decides or not KINDS[reading.kind].is_enforceable:
        return False
    is_object = reading.schema is not None
    states_confidence = PICKS[options.pick].states_confidence and not is_object
    if asked == "on":
        if model.enforcement == "none":
            raise OptionError(
                f"--enforce on: {model.provider} cannot enforce an answer; remove it, or choose another provider"
            )
        if states_confidence:
            raise OptionError(
                f"--enforce on cannot be combined with --pick {options.pick}, whose answers also state a "
                "confidence; remove one of them"
            )
        return True
    return is_object or (model.enforcement == "free" and not states_confidence)


def refuse_formless(tasks: Iterable[Task]) -> None:
    """Refuse to enforce answers of which none has a form.

    Raises:
        OptionError: says what gives them one.
    """
    if not any(
        task.reading is not None and KINDS[task.reading.kind].is_enforceable for task in tasks
    ):
        raise OptionError(
            "--enforce on: no answer of this cell has a form; add --choices, --score, --number or --schema"
        )

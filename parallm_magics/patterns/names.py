"""What is said where a name is asked for that a result does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from parallm_magics.errors import nearest

Value = TypeVar("Value")
MOST = 8
"""As many keys are told; of more, the first and the last."""
_COMPARED = 200


class Fields(dict[str, Value]):
    """A dict of fields by their names that says which there are where it is asked for another one."""

    def __missing__(self, name: Any) -> Value:
        said = f"there is no field {name!r}"
        if not self:
            raise KeyError(f"{said}, because the answers are no objects; add --schema")
        raise KeyError(f"{said}; the fields are {', '.join(self)}{nearest(str(name), self)}")


def no_key(key: object, known: Mapping[Any, Any]) -> KeyError:
    """Return the error that a result does not have this key, with those that it has."""
    said = f"there is no key {key!r}"
    if not known:
        return KeyError(f"{said}, because there is no answer; see run.failed")
    told = ", ".join(map(repr, known)) if len(known) <= MOST else _first_and_last(known)
    # The question of whether a key is there ends here too, and must cost little.
    near = nearest(str(key), map(str, known)) if len(known) <= _COMPARED else ""
    return KeyError(f"{said}; the keys are {told}{near}")


def no_attribute(run: object, name: str, instead: str = "") -> AttributeError:
    """Return the error that a result does not have this attribute, with what says it instead."""
    said = f"{type(run).__name__!r} object has no attribute {name!r}"
    return AttributeError(f"{said}; {instead}" if instead else said, name=name, obj=run)


def _first_and_last(known: Mapping[Any, Any]) -> str:
    return f"{next(iter(known))!r} to {next(reversed(known))!r}, {len(known):,} in all"

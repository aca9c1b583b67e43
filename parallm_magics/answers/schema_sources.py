"""From what a user gives as a schema, a class, a JSON Schema or its short form, to the schema.

Pydantic is imported where a schema is made, and nowhere before.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from importlib.util import find_spec
from typing import Annotated, Any, Literal, get_origin

from parallm_magics.answers.cleaning import same_answer_key
from parallm_magics.answers.schema_fields import fields_of, refuse_recursion, without_titles
from parallm_magics.answers.short_schemas import document_of
from parallm_magics.core import user_code
from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.schemas import MakingInterrupted, Schema
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.errors import translated

MOST_ERRORS = 3
"""So many of an object's mistakes are named."""
_CLIP = 160
_OF_VALIDATORS = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError)
"""Validators of the user's may raise anything; of these the last three would end or hang the run."""
UNNAMED = "answer"
"""What a schema is called that has no name of its own."""


def schema_of(source: Any) -> Schema:
    """Return the schema that a user gives.

    Args:
        source: a pydantic model, dataclass or TypedDict; a JSON Schema as a dict or as its text; or
            the short form, such as "vendor, total: number".

    Raises:
        ValueError: it is none, or one that is not supported, in one line.
    """
    if isinstance(source, Schema):
        return source
    if isinstance(source, str):
        if not source.lstrip().startswith("{"):
            return _schema(UNNAMED, document_of(source), ShortForm(source))
        source = translated(lambda: json.loads(source), _no_json, ValueError, RecursionError)
    if isinstance(source, Mapping):
        return _of_document(source)
    if isinstance(source, type) or get_origin(source) is not None:
        return _of_class(source)
    fields = getattr(type(source), "model_fields", None)
    hint = f"; give the class itself: {type(source).__name__}" if fields is not None else ""
    raise ValueError(
        f"expected a pydantic model, a dataclass, a TypedDict, a JSON Schema or fields such as "
        f'"vendor, total: number", got {type(source).__name__}{hint}'
    )


def _no_json(error: Exception) -> ValueError:
    return ValueError(f"it is not valid JSON ({_clipped(str(error))})")


def _schema(name: str, document: Mapping[str, Any], way: Any) -> Schema:
    """Put a schema together; what is wrong with it is told in one line."""

    def made() -> Schema:
        refuse_recursion(document)
        written = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return Schema(name, written, fields_of(document), way.make, way.plain)

    return translated(
        made,
        lambda error: ValueError(
            f"{name}: the schema is nested too deeply"
            if isinstance(error, RecursionError)
            else f"{name}: {error}"
        ),
        *(ValueError, TypeError, RecursionError),
    )


# --- classes --------------------------------------------------------------------------------------


def _of_class(target: Any) -> Schema:
    name = getattr(target, "__name__", None) or str(target)

    def made() -> tuple[Validated, dict[str, Any]]:
        way = Validated(target)
        written = way.adapter.json_schema(schema_generator=_generator(), mode="validation")
        _refuse_hidden(target, written)
        return way, without_titles(written)

    # The class is the user's: whatever it raises becomes one line.
    way, document = translated(
        made,
        lambda error: ValueError(
            f"{name} cannot be used as a schema ({_clipped(str(error).split(chr(10))[0])})"
        ),
        Exception,
    )
    return _schema(name, document, way)


def _refuse_hidden(target: Any, written: Mapping[str, Any]) -> None:
    """Refuse fields that are not written as they are: they could be neither shown nor counted.

    Raises:
        ValueError: names the way out.
    """
    fields = getattr(target, "model_fields", {})
    if left_out := [name for name, field in fields.items() if field.exclude]:
        raise ValueError(
            f"field {left_out[0]} has exclude=True, so nobody could read it; remove that"
        )
    if '"writeOnly": true' in json.dumps(written, default=str):
        raise ValueError("a secret type hides its value, so that all values look alike; use str")


@functools.cache
def _generator() -> type[Any]:
    """Return what writes a class's JSON Schema; a decimal is a number and not also a text."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            written = super().decimal_schema(schema)
            options = written.get("anyOf", ())
            return next((each for each in options if each.get("type") == "number"), written)

    return Generator


class Validated:
    """Makes objects of a user's class; what it makes is pickled by the class's name."""

    def __init__(self, target: Any) -> None:
        from pydantic import TypeAdapter

        self.target, self.adapter = target, TypeAdapter(target)
        self._renamed = _renamed(target)

    def __reduce__(self) -> tuple[Any, ...]:
        return Validated, (self.target,)

    def make(self, value: Any) -> Any:
        """Return the object of what JSON holds.

        Raises:
            ValueError: it does not conform, in one line.
        """
        # Validators are code of the user's, and may take their time.
        text = _json(value)
        made = _validated(lambda: user_code.call(self.adapter.validate_json, text))
        # What cannot be written again could neither be shown nor counted.
        plain = _validated(lambda: user_code.call(self.plain, made))
        if not isinstance(plain, dict):
            raise ValueError(f"its class writes it as {type(plain).__name__} and not as an object")
        return made

    def plain(self, value: Any) -> Any:
        """Return what JSON holds of an object, under the names by which it is read again."""
        found = self.adapter.dump_python(value, mode="json", by_alias=True)
        if self._renamed and isinstance(found, dict):
            return {self._renamed.get(name, name): each for name, each in found.items()}
        return found


def _renamed(target: Any) -> dict[str, str]:
    """Return the names by which fields are written, each with the one by which it is read, if that differs."""
    found: dict[str, str] = {}
    for name, field in getattr(target, "model_fields", {}).items():
        alias = field.validation_alias
        read = next(
            (each for each in getattr(alias, "choices", ()) if isinstance(each, str)), alias
        )
        written = field.serialization_alias or name
        if isinstance(read or name, str) and (read or name) != written:
            found[written] = read or name
    return found


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _validated(make: Callable[[], Any]) -> Any:
    """Return what is made; an object that does not conform is told in one line."""
    from pydantic import ValidationError

    def told(error: BaseException) -> ValueError:
        if isinstance(error, ValidationError):
            return ValueError(
                _told((each["loc"], each["msg"]) for each in error.errors(include_url=False))
            )
        if isinstance(error, UserCodeInterrupted):
            return MakingInterrupted("its validation was interrupted")
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        with contextlib.suppress(Exception):  # the words of an error are the user's code too
            return ValueError(_clipped(f"{kind}{error}") or type(error).__name__)
        return ValueError(type(error).__name__)

    return translated(make, told, *_OF_VALIDATORS)


def _told(problems: Iterable[tuple[Iterable[Any], str]]) -> str:
    """Say what is wrong with an object, each mistake with its place."""
    lines = []
    for place, problem in problems:
        where = ".".join(map(str, place))
        said = problem.removeprefix("Value error, ")
        said = said[:1].lower() + said[1:] if said[1:2].islower() else said
        lines.append(_clipped(f"{where}: {said}" if where else said))
    more = f"; and {len(lines) - MOST_ERRORS} more" if len(lines) > MOST_ERRORS else ""
    return "; ".join(lines[:MOST_ERRORS]) + more


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CLIP else f"{line[: _CLIP - 1]}…"


# --- JSON Schema ----------------------------------------------------------------------------------


def _of_document(source: Mapping[str, Any]) -> Schema:
    inner = source.get("json_schema", source)
    if isinstance(inner, Mapping) and isinstance(inner.get("schema"), Mapping):
        # As providers' own requests hold it.
        source = {"title": inner.get("name", ""), **inner["schema"]}
    name = str(source.get("title") or UNNAMED)
    document = translated(
        lambda: json.loads(json.dumps(dict(source), allow_nan=False)),
        lambda error: ValueError(f"the JSON Schema is not plain JSON ({_clipped(str(error))})"),
        *(TypeError, ValueError, RecursionError),
    )
    return _schema(name, document, Conforming(document))


class Conforming:
    """Takes what JSON holds as it is, where it conforms to a JSON Schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        if find_spec("jsonschema") is None:
            raise ValueError("a JSON Schema needs the package jsonschema; use the short form")
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import extend, validator_for
        from referencing import Registry

        kind = validator_for(document, default=Draft202012Validator)
        translated(
            lambda: kind.check_schema(document),
            lambda error: ValueError(
                _clipped(f"{'.'.join(map(str, error.path)) or 'it'}: {error.message}")
                if isinstance(error, SchemaError)
                else "the JSON Schema is nested too deeply"
            ),
            *(SchemaError, RecursionError),
        )
        self.document = document
        # With a registry of its own, no reference is ever fetched from anywhere.
        exact = extend(kind, {"multipleOf": _multiple_of})
        self._validator = exact(document, format_checker=kind.FORMAT_CHECKER, registry=Registry())

    def __reduce__(self) -> tuple[Any, ...]:
        return Conforming, (self.document,)

    def make(self, value: Any) -> Any:
        """Return what JSON holds.

        Raises:
            ValueError: it does not conform, in one line.
        """
        # A reference that leads nowhere there, or a number too large, is told by an error of its own.
        found = _validated(
            lambda: sorted(
                self._validator.iter_errors(value), key=lambda error: [*map(str, error.path)]
            )
        )
        if found:
            raise ValueError(_told((error.path, error.message) for error in found))
        return value

    def plain(self, value: Any) -> Any:
        """Return what JSON holds of an object."""
        return value


def _multiple_of(validator: Any, step: Any, value: Any, _: Any) -> Iterator[Any]:
    """Say that a number is no multiple; exactly as both are written, so that 19.99 is one of 0.01."""
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(value, "number"):
        return
    parts = [Fraction(repr(each) if isinstance(each, float) else each) for each in (value, step)]
    if (parts[0] / parts[1]).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {step!r}")


# --- the short form -------------------------------------------------------------------------------


class ShortForm:
    """Makes dicts by a short form: numbers, dates and lists as Python has them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._model = _model(UNNAMED, document_of(text))

    def __reduce__(self) -> tuple[Any, ...]:
        return ShortForm, (self._text,)

    def make(self, value: Any) -> Any:
        """Return the dict of what JSON holds.

        Raises:
            ValueError: it does not conform, in one line.
        """
        made = _validated(lambda: self._model.model_validate_json(_json(value)))
        return made.model_dump(by_alias=True)

    def plain(self, value: Any) -> Any:
        """Return what JSON holds of such a dict."""
        return plain_value(value)


def _model(name: str, document: Mapping[str, Any]) -> Any:
    """Return a pydantic model of the objects that a short form describes."""
    from pydantic import Field, create_model

    fields: dict[str, Any] = {}
    for at, (key, node) in enumerate(document["properties"].items()):
        # Its own name could be that of one of the model's methods.
        default = Field(alias=key) if key in document["required"] else Field(None, alias=key)
        fields[f"f{at}"] = (_type(key, node), default)
    return create_model(name, **fields)


def _type(name: str, node: Mapping[str, Any]) -> Any:
    from pydantic import BeforeValidator, Field

    if "anyOf" in node:
        return _type(name, node["anyOf"][0]) | None
    if "enum" in node:
        values = tuple(node["enum"])
        return Annotated[Literal[values], BeforeValidator(_Spelling(values))]
    kind = node["type"]
    if kind == "array":
        return list[_type(name, node["items"])]  # type: ignore[misc]
    if kind == "object":
        return _model(name, node)
    # Pydantic reads true as the number 1 and a number as a date in seconds since 1970.
    typed: dict[str, tuple[Any, type]] = {
        "number": (float, bool),
        "integer": (int, bool),
        "date": (datetime.date, int),
        "date-time": (datetime.datetime, int),
        "time": (datetime.time, int),
    }
    found = typed.get(str(node.get("format", kind)))
    if found is None:
        return {"string": str, "boolean": bool}[kind]
    if kind == "number":
        # Pydantic reads the text "nan" as a number too.
        return Annotated[float, BeforeValidator(_Refusing(bool)), Field(allow_inf_nan=False)]
    return Annotated[found[0], BeforeValidator(_Refusing(found[1]))]


class _Spelling:
    """Gives a value of a closed set the spelling that the set has."""

    def __init__(self, values: Iterable[str]) -> None:
        self._spelt = {same_answer_key(value): value for value in values}

    def __call__(self, value: Any) -> Any:
        """Return the value as the set spells it; as it is where it is none of it."""
        return self._spelt.get(same_answer_key(value), value) if isinstance(value, str) else value


class _Refusing:
    """Refuses values of a type that would be taken for something else."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __call__(self, value: Any) -> Any:
        """Return any other value.

        Raises:
            ValueError: it is of that type.
        """
        if isinstance(value, self._kind) or (self._kind is int and isinstance(value, float)):
            raise ValueError(f"{json.dumps(value)} is of another type")
        return value

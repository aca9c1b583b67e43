"""The options that a directive's line or a script gives, and which of them win."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

from parallm_magics.cell import option_lists as lists
from parallm_magics.cell import option_values as read
from parallm_magics.cell.blocks import Token
from parallm_magics.cell.directives import BLOCK_WORDS
from parallm_magics.cell.option_entry import MAGICS, NAMES, Option
from parallm_magics.cell.options import TABLE, Options
from parallm_magics.cell.typography import dash_problem
from parallm_magics.cell.variables import Lookup, Ref, as_text, fill, split, whole
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError, VariableError, nearest, translated
from parallm_magics.voting.pick_rules import rule_named

Layer = Mapping[str, Any]
"""The options that one place gives, by name."""

NOTHING: Layer = {}

_TEXTS = (
    read.text,
    read.schema,
    lists.choices,
    lists.models,
    read.comparisons,
    read.parameter,
    read.file_path,
)
_READINGS = ("choices", "score", "number", "open", "schema")


def of_environment() -> Layer:
    """Return the options that the environment gives: PARALLM_MODEL."""
    model = os.environ.get("PARALLM_MODEL", "").strip()
    return {"model": (model,)} if model else {}


def read_tokens(found: Sequence[Token], place: str, lookup: Lookup | None) -> dict[str, Any]:
    """Read the options that a directive's line gives, by name.

    Args:
        found: the tokens behind the word (and name).
        place: the magic's or block's word; decides which options are allowed.
        lookup: gives the value of a variable; None leaves braces as they are.

    Raises:
        OptionError: unknown, misplaced, repeated, without or with a bad value; names the line.
    """
    layer: dict[str, Any] = {}
    rest = list(found)
    while rest:
        token = rest.pop(0)
        at = f"line {token.line}: "
        flag, glued = _cut(token.text)
        if not flag.startswith("-"):
            raise OptionError(f"{at}{_unexpected(flag, place)}")
        option = _known(flag, place, at)
        if option.read is read.switch:
            if glued is not None:
                raise OptionError(f"{at}{flag} is a switch; it takes no value")
            value: Any = True
        elif glued is not None:
            value = glued
        elif not rest or option_of(rest[0].text) is not None:
            raise OptionError(f"{at}{flag} needs a value: {flag} {option.metavar}")
        else:
            value = rest.pop(0).text
        if option.read in _TEXTS and (more := _words(rest)):
            quoted = f"{flag} {_quoted(' '.join([str(value), *more]))}"
            raise OptionError(f"{at}{_unexpected(more[0], place, quoted)}")
        if isinstance(value, str) and lookup is not None and "{{" in value:
            value = _substitute(value, option, lookup, f"{at}{flag}")
        value = _read(option, value, f"{at}{flag}")
        if option.name in layer and not option.repeats:
            hint = "; write several models as one list: -m a,b" if option.name == "model" else ""
            raise OptionError(f"{at}{flag} is set twice{hint}")
        layer[option.name] = (*layer.get(option.name, ()), *value) if option.repeats else value
    if len(layer) > 1:
        _refuse_two_readings(layer, f"line {found[0].line}: ")
    return layer


def read_keywords(keywords: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Read the options that a script gives as keywords, by name; None means not given."""
    layer: dict[str, Any] = {}
    for name, value in keywords.items():
        option = TABLE.get(name)
        if option is None or place not in option.where:
            known = {other.name: other for other in TABLE.values() if place in other.where}
            if (short := option_of(f"-{name}")) is not None:
                raise OptionError(f"{place}() has no option {name!r}; did you mean {short.name!r}?")
            raise OptionError(f"{place}() has no option {name!r}{_meant(name, known)}")
        if value is not None:
            layer[name] = _read(option, value, name)
    _refuse_two_readings(layer, "")
    return layer


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of options that stand below those of a block; the last wins."""

    layers: tuple[Layer, ...]

    def over(self, layer: Layer) -> Layers:
        """Put one more layer on top."""
        return Layers((*self.layers, layer))

    def options(self, own: Layer = NOTHING) -> Options:
        """Merge the options of a block that gives these itself."""
        return merge(*self.layers, own)


def merge(*layers: Layer) -> Options:
    """Put the layers' options over the defaults, later layers first; a reading replaces a reading."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if any(_is_set(layer.get(name)) for name in _READINGS):
            merged = {name: value for name, value in merged.items() if name not in _READINGS}
        params = dict([*merged.get("param", ()), *layer.get("param", ())])
        merged |= {**layer, "param": tuple(params.items())}
    return Options(**merged)


def _is_set(value: Any) -> bool:
    """Tell whether a reading is asked for; a class or dict of the user's is never asked if it is true."""
    return value is not None and value is not False


def option_of(flag: str) -> Option | None:
    """Find the option that is typed like this."""
    return next((option for option in TABLE.values() if flag in option.flags), None)


def _cut(text: str) -> tuple[str, str | None]:
    """Cut a token into flag and the value glued to it: `--a=b`, `-n5`."""
    if text.startswith("--"):
        flag, equals, value = text.partition("=")
        return flag, value if equals else None
    if text.startswith("-") and len(text) > 2 and option_of(text[:2]) is not None:
        return text[:2], text[2:].removeprefix("=")
    return text, None


def _known(flag: str, place: str, at: str) -> Option:
    option = option_of(flag)
    if option is not None and place in option.where:
        return option
    shown = f"%%{place}" if place in MAGICS else f"%{place}"
    if option is not None:
        cells_first = sorted(option.where, key=lambda word: (word not in MAGICS, word))
        takers = ", ".join(f"%%{word}" if word in MAGICS else f"%{word}" for word in cells_first)
        raise OptionError(f"{at}{flag} is not allowed on {shown}; it is allowed on {takers}")
    if flag in ("--help", "-h"):
        raise OptionError(f"{at}for help, run {_help(place)} in a separate cell")
    here = {f: known for known in TABLE.values() if place in known.where for f in known.flags}
    if dash := dash_problem(flag, here):
        raise OptionError(f"{at}{dash}")
    hint = _meant(flag, here) or f"; {_help(place)} lists all options"
    raise OptionError(f"{at}{shown} has no option {flag[:60]}{hint}")


def _help(place: str) -> str:
    """Return what shows the options of a place: blocks have no help of their own."""
    return " or ".join(
        f"%%{cell}?" for cell in BLOCK_WORDS if place == cell or place in BLOCK_WORDS[cell]
    )


def _unexpected(word: str, place: str, quoted: str = "") -> str:
    """Say what is wrong with a word that is no option, and what was probably meant.

    Args:
        quoted: the option before it, with all of its words between quotes; "" where none takes them.
    """
    if dash := dash_problem(word, [flag for option in TABLE.values() for flag in option.flags]):
        return dash
    where, below = f"%{place}", "write one name, then options; the prompt starts on the next line"
    if place in MAGICS:
        where, below = f"%%{place}", "the prompt starts on the next line"
    quotes = f"; a value with spaces needs quotes: {quoted}" if quoted else ""
    comma = "; write no space after a comma" if ", " in quoted else ""
    return f"unexpected {word[:60]!r} after {where}; {below}{quotes}{comma}"


def _words(found: Sequence[Token]) -> list[str]:
    """Return the words up to the next option."""
    texts = [token.text for token in found]
    end = next((at for at, text in enumerate(texts) if text.startswith("-")), len(texts))
    return texts[:end]


def _quoted(value: str) -> str:
    quote = "'" if '"' in value else '"'
    return f"{quote}{value[:60]}{quote}"


def _meant(word: str, known: Mapping[str, Option]) -> str:
    """Return the option that a word begins or is begun by, means elsewhere, or is most like; as a hint.

    Args:
        known: the options by the names that are possible here.
    """
    bare = word.lstrip("-").replace("-", "_")
    names = {each.lstrip("-").replace("-", "_"): each for each in known}
    begun = [name for name in names if min(len(name), len(bare)) > 2 and _begins(name, bare)]
    if begun:
        best = max(begun, key=lambda name: (name.startswith(bare), -abs(len(name) - len(bare))))
        return f"; did you mean {names[best]!r}?"
    elsewhere = next((each for each, option in known.items() if bare in option.also), "")
    return f"; did you mean {elsewhere!r}?" if elsewhere else nearest(word, known)


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _substitute(text: str, option: Option, lookup: Lookup, where: str) -> Any:
    """Put the variables into a value; a value that is one variable keeps its Python type."""
    if option.offers in NAMES:
        return text
    ref = whole(text)
    if ref is not None:
        return lookup(ref)
    key, equals, rest = text.partition("=")
    if option.read is read.parameter and equals and (ref := whole(rest)) is not None:
        return ((key.strip(), lookup(ref)),)
    return fill(split(text), lambda part: _embedded(part, option, lookup, where))


def _embedded(ref: Ref, option: Option, lookup: Lookup, where: str) -> str:
    """Return a variable within an option's text: the same text as in a prompt."""
    value = lookup(ref)
    shown = ref.shown
    if option.read in (lists.models, lists.choices) and not isinstance(value, str | Number):
        raise OptionError(
            f"{where}: {shown} is a {type(value).__name__}; pass the list by itself, "
            f"as in {option.flags[0]} {ref.source}"
        )
    return translated(
        lambda: as_text(value, shown),
        lambda error: VariableError(f"{where}: {error}"),
        VariableError,
    )


def _read(option: Option, value: Any, where: str) -> Any:
    def told(error: Exception) -> OptionError:
        problem = f"{type(value).__name__} cannot be used here ({type(error).__name__})"
        if isinstance(error, ValueError):
            problem = str(error)
        if issubclass(type(value), str) and whole(f"{{{value}}}") is not None:
            problem += f"; for a variable, write {{{value}}}"
        return OptionError(f"{where}: {problem}")

    # A value of the user's may raise anything when it is looked at; it becomes one line.
    return translated(lambda: option.read(value), told, Exception)


def reading_of(options: Options) -> Reading | None:
    """Tell how the options want answers read; None where they do not say."""
    if options.schema is not None:
        return Reading("object", schema=options.schema)
    if options.choices:
        return Reading(rule_named(options.pick).reads, choices=options.choices)
    if options.score:
        return Reading("score", low=options.score[0], high=options.score[1])
    if options.number:
        return Reading("number")
    return Reading("open") if options.open else None


def _refuse_two_readings(layer: Layer, at: str) -> None:
    named = [TABLE[name].flags[0] for name in _READINGS if _is_set(layer.get(name))]
    if len(named) > 1:
        raise OptionError(
            f"{at}{' and '.join(named)} cannot be combined: an answer is read in one way only"
        )

"""The options: one field each is flag, type, help, default, setting and script keyword in one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

from parallm_magics.cell import readers as read
from parallm_magics.cell.tokens import Token
from parallm_magics.cell.variables import Lookup, Ref, as_text, fill, split, whole
from parallm_magics.errors import OptionError, VariableError, nearest
from parallm_magics.types import Reading

FANOUT, VOTE = "fanout", "vote"
CELLS = frozenset({FANOUT, VOTE})
WORKERS = frozenset({"section", "voter"})
CALLS = CELLS | WORKERS | {"synthesis"}
ANSWERS = CELLS | WORKERS


@dataclass(frozen=True, slots=True)
class Option:
    """One option as users meet it.

    Attributes:
        name: the script keyword and the name of the setting.
        flags: as typed, the long one first.
        read: from typed text or a Python value to the value; raises ValueError with the reason.
        help: one line.
        metavar: what stands for the value in help; "" for a switch.
        where: the magics and block words that take it.
        setting: whether `%config ParallmMagics.NAME` sets its default.
        repeats: whether it may be given more than once.
        default: the value when nobody says anything.
    """

    name: str
    flags: tuple[str, ...]
    read: Callable[[Any], Any]
    help: str
    metavar: str
    where: frozenset[str]
    setting: bool
    repeats: bool
    default: Any


def _option(
    flags: str,
    reader: Callable[[Any], Any],
    metavar: str,
    text: str,
    *,
    where: Iterable[str] = CELLS,
    default: Any = None,
    setting: bool = True,
    repeats: bool = False,
) -> Any:
    meta = {
        "flags": tuple(flags.split()),
        "read": reader,
        "metavar": metavar,
        "help": text,
        "where": frozenset(where),
        "setting": setting,
        "repeats": repeats,
    }
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option with its value, as one cell or block sees them."""

    out: str | None = _option(
        "--out -o",
        read.identifier,
        "NAME",
        "store the run under this name, and still show it",
        setting=False,
    )
    model: tuple[str, ...] = _option(
        "--model -m",
        read.models,
        "A[,B…]",
        "the model, or several to deal the workers to",
        where=CALLS,
        default=(),
    )
    n: int | None = _option(
        "-n", read.workers, "N", "how many workers", where={FANOUT, VOTE, "section"}, setting=False
    )
    each: Any = _option(
        "--each",
        read.items,
        "NAME",
        "run once per item of this variable, as {{item}} and {{index}}",
        where={FANOUT},
        setting=False,
    )
    system: str | None = _option("--system", read.text, "TEXT", "the system prompt", where=CALLS)
    temperature: tuple[float, float] | None = _option(
        "--temperature -t",
        read.temperature,
        "X|LO..HI",
        "one temperature, or a range spread over the workers",
        where=CALLS,
    )
    effort: str | None = _option(
        "--effort", read.word, "LEVEL", "reasoning effort, as the model names it", where=CALLS
    )
    param: tuple[tuple[str, Any], ...] = _option(
        "--param",
        read.parameter,
        "KEY=JSON",
        "one more request field, sent as given",
        where=CALLS,
        default=(),
        repeats=True,
    )
    max_tokens: int = _option(
        "--max-tokens",
        read.count,
        "N",
        "most output tokens a worker, thinking included",
        where=CALLS,
        default=4096,
    )
    choices: tuple[str, ...] | None = _option(
        "--choices", read.choices, "A,B", "the answer is one of these labels", where=ANSWERS
    )
    score: tuple[float, float] | None = _option(
        "--score", read.span, "LO..HI", "the answer is a score in this range", where=ANSWERS
    )
    number: bool = _option(
        "--number", read.switch, "", "the answer is a number", where=ANSWERS, default=False
    )
    open: bool = _option(
        "--open", read.switch, "", "the answer is free text", where=ANSWERS, default=False
    )
    flag: str | None = _option(
        "--flag",
        read.text,
        "LABEL",
        "sections that answer this label are listed in run.flagged",
        where={FANOUT, "section"},
        setting=False,
    )
    aggregate: str | None = _option(
        "--aggregate",
        read.one_of("join", "synthesis", "none"),
        "join|synthesis|none",
        "how the sections become one text (join; with a %synthesis block: synthesis)",
        where={FANOUT},
    )
    pick: str = _option(
        "--pick",
        read.one_of("plurality", "majority", "threshold", "unanimous"),
        "plurality|majority|threshold|unanimous",
        "the rule that picks the winner",
        where={VOTE},
        default="plurality",
    )
    threshold: str | None = _option(
        "--threshold",
        read.threshold,
        "Q",
        "votes the winner needs: 0.6, 2/3, 60% or a count",
        where={VOTE},
    )
    base: str = _option(
        "--base",
        read.one_of("requested", "valid"),
        "requested|valid",
        "what majority, threshold and unanimous are shares of",
        where={VOTE},
        default="requested",
    )
    quorum: int | None = _option(
        "--quorum",
        read.count,
        "N",
        "least valid votes for a result (half of the requested)",
        where={VOTE},
    )
    timeout: float | None = _option(
        "--timeout",
        read.seconds,
        "S",
        "seconds of silence before a worker has timed out (15; 60 for the first token and for unstreamed calls)",
        where=CALLS,
    )
    deadline: float = _option(
        "--deadline",
        read.seconds,
        "S",
        "seconds for a worker as a whole",
        where=CALLS,
        default=120.0,
    )
    retries: int = _option(
        "--retries",
        read.count_or_none,
        "N",
        "further tries after a passing fault",
        where=CALLS,
        default=2,
    )
    retry_timeouts: bool = _option(
        "--retry-timeouts",
        read.switch,
        "",
        "try again after a time-out too, although it may have been billed",
        where=CALLS,
        default=False,
    )
    concurrency: int | None = _option(
        "--concurrency -c",
        read.concurrency,
        "N",
        "most workers at once (20 at first, then as many as the provider bears, up to 200)",
    )
    min_success: str = _option(
        "--min-success",
        read.minimum,
        "N|P%",
        "fewer successes than this are an error",
        default="50%",
    )
    seed: int = _option(
        "--seed", read.whole_number, "N", "makes simulated answers reproducible", default=0
    )
    stream: str = _option(
        "--stream",
        read.one_of("auto", "on", "off"),
        "auto|on|off",
        "read answers as they are written (auto: up to 200 workers)",
        default="auto",
    )
    dry_run: bool = _option(
        "--dry-run",
        read.switch,
        "",
        "show the rendered prompts and the estimated cost; no call",
        default=False,
        setting=False,
    )
    quiet: bool = _option("--quiet", read.switch, "", "show nothing", default=False)
    no_vars: bool = _option(
        "--no-vars", read.switch, "", "put no variables into the text", default=False
    )
    no_ask: bool = _option(
        "--no-ask",
        read.switch,
        "",
        "leave out the closing line that --choices or --score adds",
        default=False,
    )


TABLE: Mapping[str, Option] = {
    field.name: Option(name=field.name, default=field.default, **field.metadata)
    for field in dataclasses.fields(Options)
}
_FLAGS: Mapping[str, Option] = {flag: option for option in TABLE.values() for flag in option.flags}
_READINGS = ("choices", "score", "number", "open")


def read_tokens(found: Sequence[Token], place: str, lookup: Lookup | None) -> dict[str, Any]:
    """The options that a directive's line gives, by name.

    Args:
        found: the tokens behind the word (and name).
        place: the magic's or block's word; decides which options are allowed.
        lookup: gives the value of a variable; None leaves braces as they are.

    Raises:
        OptionError: unknown, misplaced, repeated, without or with a bad value; names the line.
    """
    given: dict[str, Any] = {}
    rest = list(found)
    while rest:
        token = rest.pop(0)
        at = f"line {token.line}: "
        flag, glued = _cut(token.text)
        option = _known(flag, place, at)
        if not option.metavar:
            if glued is not None:
                raise OptionError(f"{at}{flag} is a switch and takes no value")
            value: Any = True
        elif glued is not None:
            value = glued
        elif not rest or rest[0].text in _FLAGS:
            raise OptionError(f"{at}{flag} needs a value: {flag} {option.metavar}")
        else:
            value = rest.pop(0).text
        if isinstance(value, str) and lookup is not None:
            value = _substitute(value, option, lookup, f"{at}{flag}")
        value = _read(option, value, f"{at}{flag}")
        if option.name in given and not option.repeats:
            hint = "; several models are one list: -m a,b" if option.name == "model" else ""
            raise OptionError(f"{at}{flag} is given twice{hint}")
        given[option.name] = (*given.get(option.name, ()), *value) if option.repeats else value
    _one_reading(given, f"line {found[0].line}: " if found else "")
    return given


def read_keywords(keywords: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The options that a script gives as keywords, by name; None means not given.

    Raises:
        OptionError: as `read_tokens`.
    """
    given: dict[str, Any] = {}
    for name, value in keywords.items():
        option = TABLE.get(name)
        if option is None or place not in option.where:
            known = [other.name for other in TABLE.values() if place in other.where]
            raise OptionError(f"{place}() has no option {name!r}{nearest(name, known)}")
        if value is not None:
            given[name] = _read(option, value, name)
    _one_reading(given, "")
    return given


def merge(*layers: Mapping[str, Any]) -> Options:
    """The layers' options over the defaults, later layers first; a reading replaces a reading."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(name) for name in _READINGS):
            merged = {name: value for name, value in merged.items() if name not in _READINGS}
        params = dict([*merged.get("param", ()), *layer.get("param", ())])
        merged |= {**layer, "param": tuple(params.items())}
    return Options(**merged)


def reading_of(options: Options) -> Reading | None:
    """How the options want answers read; None where they do not say."""
    if options.choices:
        return Reading("choice", choices=options.choices)
    if options.score:
        return Reading("score", low=options.score[0], high=options.score[1])
    if options.number:
        return Reading("number")
    return Reading("open") if options.open else None


def _cut(text: str) -> tuple[str, str | None]:
    """A token as flag and the value glued to it: `--a=b`, `-n5`."""
    if text.startswith("--"):
        flag, equals, value = text.partition("=")
        return flag, value if equals else None
    if text.startswith("-") and text[:2] in _FLAGS and len(text) > 2:
        return text[:2], text[2:].removeprefix("=")
    return text, None


def _known(flag: str, place: str, at: str) -> Option:
    here = [known for known, option in _FLAGS.items() if place in option.where]
    shown = f"%%{place}" if place in CELLS else f"%{place}"
    if not flag.startswith("-"):
        hint = (
            "the prompt goes below this line"
            if place in CELLS
            else "one name, then options; the prompt goes below"
        )
        raise OptionError(f"{at}unexpected {flag[:60]!r} after {shown}; {hint}")
    option = _FLAGS.get(flag)
    if option is None:
        raise OptionError(f"{at}{shown} has no option {flag[:60]}{nearest(flag, here)}")
    if place not in option.where:
        takers = ", ".join(
            f"%%{word}" if word in CELLS else f"%{word}" for word in sorted(option.where)
        )
        raise OptionError(f"{at}{flag} does not go on {shown}; it goes on {takers}")
    return option


def _substitute(text: str, option: Option, lookup: Lookup, where: str) -> Any:
    """A value with its variables put in; a value that is one variable keeps its Python type."""
    if option.read is read.items:
        return text
    ref = whole(text)
    if ref is not None:
        return lookup(ref)
    key, equals, rest = text.partition("=")
    if option.read is read.parameter and equals and (ref := whole(rest)) is not None:
        return ((key.strip(), lookup(ref)),)
    return fill(split(text), lambda part: _embedded(part, option, lookup, where))


def _embedded(ref: Ref, option: Option, lookup: Lookup, where: str) -> str:
    """A variable within an option's text: the same text as in a prompt."""
    value = lookup(ref)
    shown = ref.source.strip("{} \t")
    if option.read in (read.models, read.choices) and not isinstance(value, str | Number):
        raise OptionError(
            f"{where}: {shown} is a {type(value).__name__}; a list must stand alone, "
            f"as in {option.flags[0]} {ref.source}"
        )
    problem = ""
    try:
        return as_text(value, shown)
    except VariableError as error:
        problem = str(error)
    raise VariableError(f"{where}: {problem}")


def _read(option: Option, value: Any, where: str) -> Any:
    problem = ""
    try:
        return option.read(value)
    except ValueError as error:
        problem = str(error)
    # A value of the user's may raise anything when it is looked at; it becomes one line.
    except Exception as error:
        problem = f"{type(value).__name__} cannot be used here ({type(error).__name__})"
    if (
        issubclass(type(value), str)
        and value.startswith("{")
        and not value.startswith("{{")
        and value.endswith("}")
    ):
        problem += f"; for a variable write {{{value}}}"
    raise OptionError(f"{where}: {problem}")


def _one_reading(given: Mapping[str, Any], at: str) -> None:
    named = [TABLE[name].flags[0] for name in _READINGS if given.get(name)]
    if len(named) > 1:
        raise OptionError(
            f"{at}{' and '.join(named)} exclude each other: an answer is read in one way"
        )

"""`%parallm`: one function a command, in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from parallm_magics import display
from parallm_magics.cell.options import TABLE
from parallm_magics.cell.tokens import Token, tokens
from parallm_magics.cell.variables import path, value_of
from parallm_magics.errors import OptionError, nearest
from parallm_magics.notebook.settings import spoken_settings
from parallm_magics.patterns.api import default_model
from parallm_magics.providers import recording, registry
from parallm_magics.providers.address import host_of
from parallm_magics.providers.well_known import WELL_KNOWN

MODES = ("auto", "off")

Command = Callable[[Any, Sequence[Token]], None]


def run(magics: Any, line: str) -> None:
    """Run the command that the line names; without one, show the status.

    Raises:
        OptionError: an unknown command, or arguments that it cannot take.
    """
    words = tokens(line, 1)
    name = words[0].text if words else "status"
    command = COMMANDS.get(name)
    if command is None:
        known = ", ".join(COMMANDS)
        raise OptionError(
            f"%parallm has no command {name[:40]!r}{nearest(name, COMMANDS)}; known: {known}"
        )
    command(magics, words[1:])


def status(magics: Any, rest: Sequence[Token]) -> None:
    """The settings in force, the providers and the spend of this session."""
    _no_more(rest, "status")
    session = magics.session  # where its settings are wrong, that is all there is to say
    spoken = spoken_settings(magics)
    model = ", ".join(spoken.get("model", ())) or default_model() or "none (give -m MODEL)"
    print(f"model      {display.one_line(model)}")
    for name, value in spoken.items():
        if name != "model":
            print(f"{name:<10} {display.one_line(value)}  (default {TABLE[name].default})")
    for definition in registry.definitions():
        print(f"provider   {definition.name:<10} {_state(definition)}")
    _say_recordings(session)
    _say_usage(magics)


def models(magics: Any, rest: Sequence[Token]) -> None:
    """How models are named, one line a provider."""
    _no_more(rest, "models")
    for definition in registry.definitions():
        own = [m for m in WELL_KNOWN if registry.parse_model(m).provider == definition.name]
        simulated = f"{definition.name}:NAME?accuracy=0.8&latency=1" if definition.simulated else ""
        print(f"{definition.name:<10} {', '.join(own) or simulated or f'{definition.name}:NAME'}")


def usage(magics: Any, rest: Sequence[Token]) -> None:
    """Calls, tokens and cost of this session, and what is left of its cap."""
    _no_more(rest, "usage")
    _say_usage(magics)


def _say_usage(magics: Any) -> None:
    spend = magics.session.spend
    print(
        f"session    {display.count(spend.runs, 'run')}, {display.count(spend.calls, 'call')}, "
        f"{display.count(spend.usage.total_tokens, 'token')}, "
        f"cost {display.money(spend.cost, spend.complete)}"
    )
    ledger, cap = magics.session.ledger, magics.session_max_cost
    if cap is not None:
        left = max(cap - ledger.spent - ledger.held, Decimal(0))
        print(
            f"session_max_cost {display.money(cap)}: {display.money(left)} left "
            "(calls whose cost is unknown count as the most that they can have cost)"
        )


def recordings(magics: Any, rest: Sequence[Token]) -> None:
    """Keep answers in a file, so that only what is missing is asked again."""
    form = "%parallm recordings PATH [--mode auto|off]"
    words = [part for token in rest for part in _parted(token.text)]
    mode = ""
    if "--mode" in words:
        at = words.index("--mode")
        mode = _mode(words[at + 1] if at + 1 < len(words) else "")
        del words[at : at + 2]
    if len(words) > 1 or any(word.startswith("-") or not word.strip() for word in words):
        raise OptionError(f"%parallm recordings: one path is needed: {form}")
    if words and words[0].lower() in (*MODES, *recording.RESERVED):  # a mode is no file's name
        mode = mode or _mode(words.pop())
    if mode == "off":
        magics.session.record(None)
    elif words:
        magics.session.record(words[0])
    elif mode and magics.session.recordings is None:
        raise OptionError(f"%parallm recordings: a path is needed: {form}")
    _say_recordings(magics.session)


def _say_recordings(session: Any) -> None:
    store = session.recordings
    print(f"recordings {display.one_line(_shown(store.path)) if store else 'off'}")


def _parted(word: str) -> list[str]:
    """`--mode=off` as two words."""
    return word.split("=", 1) if word.startswith("--mode=") else [word]


def _mode(word: str) -> str:
    """The mode of that name.

    Raises:
        OptionError: there is none, or not yet.
    """
    mode = word.lower()
    if mode in MODES:
        return mode
    if mode in recording.RESERVED:
        problem = f"the mode {mode} does not exist in this version"
    else:
        problem = f"--mode {word[:20]!r}{nearest(mode, MODES)}"
    raise OptionError(f"%parallm recordings: {problem}; known: {', '.join(MODES)}")


def _shown(path: Path) -> str:
    """The path as it may stand in a notebook that is shared: without the folders of this computer."""
    if not path.is_absolute():
        return str(path)
    for base, short in ((Path.cwd(), ""), (Path.home(), "~")):
        if path.is_relative_to(base):
            return str(short / path.relative_to(base))
    return f"…/{path.name}"


def provider(magics: Any, rest: Sequence[Token]) -> None:
    """Give a name to an OpenAI-compatible endpoint, or to a simulated model with given answers."""
    form = "%parallm provider NAME --base-url URL [--key-env VARIABLE], or NAME --sim ANSWERS"
    words = [token.text for token in rest]
    if not words or words[0].startswith("-"):
        raise OptionError(f"a name is missing: {form}")
    name, flags = words[0], _flags(words[1:], form)
    if "--sim" in flags and len(flags) == 1:
        registry.define_simulated(name, _answers(flags["--sim"], magics.shell.user_ns))
    elif "--base-url" in flags and "--sim" not in flags:
        registry.define(name, flags["--base-url"], flags.get("--key-env"))
    else:
        raise OptionError(f"one of --base-url and --sim is needed: {form}")


def _state(definition: registry.Definition) -> str:
    """Whether a provider can be asked, in words; never its key."""
    if definition.simulated:
        return "SIMULATED, needs no key"
    at = f"at {host_of(definition.base_url)}, " if definition.base_url else ""
    if definition.key_env is None:
        return f"{at}needs no key"
    is_set = bool(os.environ.get(definition.key_env, "").strip())
    return f"{at}{definition.key_env} is {'set' if is_set else 'not set'}"


def _flags(words: Sequence[str], form: str) -> dict[str, str]:
    known = ("--base-url", "--key-env", "--sim")
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in known:
            raise OptionError(
                f"%parallm provider has no option {flag[:40]!r}{nearest(flag, known)}: {form}"
            )
        if not equals:
            if not rest:
                raise OptionError(f"{flag} needs a value: {form}")
            value = rest.pop(0)
        flags[flag] = value
    return flags


def _answers(text: str, variables: dict[str, Any]) -> Any:
    ref = path(text.strip("{} "))
    if ref is None:
        raise OptionError(f"--sim takes the name of a dict or a function, not {text[:40]!r}")
    return value_of(ref, variables, "--sim")


def _no_more(rest: Sequence[Token], name: str) -> None:
    if rest:
        raise OptionError(f"%parallm {name} takes no {rest[0].text[:40]!r}")


COMMANDS: dict[str, Command] = {
    "status": status,
    "models": models,
    "usage": usage,
    "provider": provider,
    "recordings": recordings,
}

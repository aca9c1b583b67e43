"""`%parallm`: one function a command, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from parallm_magics.cell.tokens import Token, tokens
from parallm_magics.cell.variables import path, value_of
from parallm_magics.errors import OptionError, nearest
from parallm_magics.notebook.status import recordings_state, show_models, show_status, show_usage
from parallm_magics.providers import recording, registry

MODES = ("auto", "off")

FLAGS = {
    "provider": ("--base-url", "--key-env", "--sim"),
    "recordings": ("--mode",),
}
"""The flags of each command that has any."""

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
    show_status(magics)


def models(magics: Any, rest: Sequence[Token]) -> None:
    """How models are named, a line for each provider."""
    _no_more(rest, "models")
    show_models()


def usage(magics: Any, rest: Sequence[Token]) -> None:
    """Calls, tokens and cost of this session, and what is left of its cap."""
    _no_more(rest, "usage")
    show_usage(magics)


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
    print(f"recordings {recordings_state(session)}")


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


def _flags(words: Sequence[str], form: str) -> dict[str, str]:
    known = FLAGS["provider"]
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

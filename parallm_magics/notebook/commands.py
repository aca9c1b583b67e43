"""`%parallm`: one function a command, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from parallm_magics.cell.blocks import Token, tokens
from parallm_magics.cell.variables import path, value_of
from parallm_magics.errors import OptionError, nearest, then, translated
from parallm_magics.export.program import program
from parallm_magics.notebook import batches_command, dask_command
from parallm_magics.notebook.status import (
    recordings_state,
    show_models,
    show_providers,
    show_status,
    show_usage,
)
from parallm_magics.providers import registry
from parallm_magics.providers.keys import scrub
from parallm_magics.recordings.modes import MODES, mode_of
from parallm_magics.recordings.store import Recordings

FLAGS = {
    "provider": {
        "--base-url": "the base URL of an OpenAI-compatible server",
        "--key-env": "the environment variable that holds its key",
        "--sim": "a dict or function in the notebook that gives the answers",
    },
    "batches": batches_command.FLAGS,
    "dask": dask_command.FLAGS,
    "recordings": {
        "--mode": "when to replay and when to ask: auto, replay, refresh or off",
        "--prune": "delete the entries that no cell has used since the file was set",
    },
}
"""The flags and the words of each command that has any, and what each does."""

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
        unknown = f"%parallm has no command {name[:40]!r}{nearest(name, COMMANDS)}"
        raise OptionError(then(unknown, f"known: {', '.join(COMMANDS)}"))
    command(magics, words[1:])


def status(magics: Any, rest: Sequence[Token]) -> None:
    """Show the current settings, the providers and the cost of this session."""
    _no_more(rest, "status")
    show_status(magics)


def models(magics: Any, rest: Sequence[Token]) -> None:
    """Show how to name models, one line per provider."""
    _no_more(rest, "models")
    show_models()


def usage(magics: Any, rest: Sequence[Token]) -> None:
    """Show the calls, tokens and cost of this session, and how much of its cap is left."""
    _no_more(rest, "usage")
    show_usage(magics)


def recordings(magics: Any, rest: Sequence[Token]) -> None:
    """Record answers in a file and replay them later, or prune the file."""
    form = f"%parallm recordings PATH [--mode {'|'.join(MODES)}], or --prune"
    session = magics.session
    words = [part for token in rest for part in _parted(token.text)]
    prune = "--prune" in words
    if prune:
        words.remove("--prune")
    mode = None
    if "--mode" in words:
        at = words.index("--mode")
        mode = mode_of(words[at + 1] if at + 1 < len(words) else "")
        del words[at : at + 2]
    if len(words) > 1 or any(word.startswith("-") or not word.strip() for word in words):
        raise OptionError(f"%parallm recordings: expected one path: {form}")
    if words and words[0].lower() in MODES:  # a mode is no file's name
        mode = mode or mode_of(words.pop())
    path = _path(words[0], magics.shell.user_ns) if words else None
    if path is None and session.recordings is None and (prune or mode not in (None, "off")):
        raise OptionError(f"%parallm recordings: expected a path: {form}")
    if path is not None or mode is not None:
        session.record(path, mode or "auto", anew=not prune)
    if prune:
        _prune(session.recordings)
    # Where the notebook names a mode it stands in the cell; where the environment forces one, the
    # output must be the same as without.
    named = path is not None or mode is not None
    print(f"recordings {recordings_state(session, with_mode=not named)}")


def _prune(store: Recordings | None) -> None:
    if store is None:
        raise OptionError("%parallm recordings --prune: recordings are off")
    kept, dropped, backup = store.prune()
    noun = "entry" if kept == 1 else "entries"
    was = (
        f"deleted {dropped:,}; the old file is saved as {backup.name!r}"
        if backup
        else "deleted none"
    )
    print(f"kept {kept:,} {noun} that cells have used since the file was set, {was}")


def _path(word: str, variables: dict[str, Any]) -> str:
    """The path that a word names, itself or as a `{{variable}}`."""
    if word.startswith("$"):
        raise OptionError(f"%parallm recordings: for a variable, write {{{{{word[1:41]}}}}}")
    if not (word.startswith("{{") and word.endswith("}}")):
        return word
    ref = path(word.strip("{} "))
    if ref is None:
        raise OptionError(f"%parallm recordings: {word[:40]} is not the name of a variable")
    return str(value_of(ref, variables, "%parallm recordings", named=True))


def _parted(word: str) -> list[str]:
    """`--mode=off` as two words."""
    return word.split("=", 1) if word.startswith("--mode=") else [word]


def code(magics: Any, rest: Sequence[Token]) -> None:
    """Print the last cell as a plain asyncio program, or write it to a new file.

    What reads and counts is imported where it is printed, to be read, and in the file by its source.
    """
    _no_more(rest[1:], "code")
    plan = magics.session.last
    if plan is None:
        raise OptionError(
            "%parallm code: no cell has run yet; run a %%fanout or %%vote cell first (--dry-run is enough)"
        )
    text = scrub(program(plan, by_itself=bool(rest)))
    if not rest:
        print(text, end="")
        return
    name = rest[0].text

    def write() -> None:
        with Path(name).expanduser().open("x", encoding="utf-8") as file:
            file.write(text)

    def told(error: OSError) -> OptionError:
        return OptionError(f"%parallm code: {name[:60]} cannot be written: {error.strerror}")

    translated(write, told, OSError)
    print(f"{name} written: {len(text.splitlines()):,} lines")


def provider(magics: Any, rest: Sequence[Token]) -> None:
    """List the providers, or add an OpenAI-compatible server or a model with your own answers."""
    form = "%parallm provider NAME --base-url URL [--key-env VARIABLE], or NAME --sim ANSWERS"
    words = [token.text for token in rest]
    if not words:
        show_providers()
        return
    if words[0].startswith("-"):
        raise OptionError(f"a name is missing: {form}")
    name, flags = words[0], _flags(words[1:], form)
    if "--sim" in flags and len(flags) == 1:
        registry.define_simulated(name, _answers(flags["--sim"], magics.shell.user_ns))
    elif "--base-url" in flags and "--sim" not in flags:
        registry.define(name, flags["--base-url"], flags.get("--key-env"))
    else:
        raise OptionError(f"add --base-url or --sim: {form}")


def _flags(words: Sequence[str], form: str) -> dict[str, str]:
    known = FLAGS["provider"]
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in known:
            unknown = f"%parallm provider has no option {flag[:40]!r}{nearest(flag, known)}"
            raise OptionError(then(unknown, f"write {form}"))
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
    return value_of(ref, variables, "--sim", named=True)


def _no_more(rest: Sequence[Token], name: str) -> None:
    if rest:
        raise OptionError(f"%parallm {name} does not take {rest[0].text[:40]!r}")


COMMANDS: dict[str, Command] = {
    "status": status,
    "models": models,
    "usage": usage,
    "provider": provider,
    "recordings": recordings,
    "batches": batches_command.batches,
    "dask": dask_command.dask,
    "code": code,
}

"""Keys: read from the environment, and kept out of every text that leaves."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from parallm_magics.errors import MissingKeyError

HIDDEN = "[key]"
# Some servers mask the middle of an echoed key with asterisks; what is left is still shaped like one.
SHAPES = re.compile(
    r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_*-]{8,}"
    r"|(?<=://)[^\s/@]*:[^\s/@]*(?=@)"
    r"|(?i:(?<=bearer ))[A-Za-z0-9+/=._~*-]{16,}"
)
LEAST_BEGUN = 4  # fewer characters of a key tell nobody anything
SHORTEST = 6  # a shorter "key" is a placeholder, and a word that texts may hold


class _Vault:
    """Secrets that were in use, behind a repr that tells nothing."""

    __slots__ = ("_known", "_values", "secrets", "variables")

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.variables: set[str] = set()
        self._values: list[str | None] = []
        self._known: list[str] = []

    def __repr__(self) -> str:
        return f"<{len(self.secrets)} secrets>"

    def known(self) -> list[str]:
        """The keys in use, the longest first; worked out anew where there may be another one."""
        values = [*map(os.environ.get, self.variables), *self.secrets]
        if values != self._values:
            found = {(value or "").strip() for value in values}
            self._values = values
            self._known = sorted(
                (secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True
            )
        return self._known


_VAULT = _Vault()


def register(variable: str) -> None:
    """Let `scrub` know the environment variable as one that holds a key."""
    _VAULT.variables.add(variable)


def hide(secret: str) -> str:
    """The secret itself, which `scrub` removes from texts from now on."""
    if len(secret) >= SHORTEST:
        _VAULT.secrets.add(secret)
    return secret


def is_set(variable: str) -> bool:
    """Whether the environment has a value there."""
    return bool(os.environ.get(variable, "").strip())


def fingerprint(variable: str | None, address: str) -> str:
    """Tells a changed key or address from an unchanged one, and nothing else."""
    value = os.environ.get(variable, "").strip() if variable else ""
    return hashlib.sha256(f"{value} {address}".encode(errors="replace")).hexdigest()[:16]


def read(*variables: str) -> str:
    """The key in the first of these variables that is set, without the blanks that copying leaves.

    Raises:
        MissingKeyError: there is none, or none that can be sent; names the variables.
    """
    for name in variables:
        register(name)
    variable = next(filter(is_set, variables), None)
    if variable is None:
        raise MissingKeyError(
            f"{' or '.join(variables)} is not set; set it before you start the notebook "
            f'(or run os.environ["{variables[0]}"] = getpass.getpass()), or use -m sim, which needs no key'
        )
    if not re.fullmatch(r"[!-~]+", os.environ[variable].strip()):
        raise MissingKeyError(
            f"{variable} contains spaces or other characters that do not belong in a key; copy the key again"
        )
    return hide(os.environ[variable].strip())


def without_keys(text: str) -> str:
    """The text of an answer without any known key; what only looks like one is the model's own."""
    for secret in _VAULT.known() if text else ():
        text = text.replace(secret, HIDDEN)
    return text


class KeyFilter:
    """Lets the pieces of one text pass without any key that is known when it begins.

    What may be the beginning of a key waits for the piece behind it.
    """

    __slots__ = ("_beginnings", "_secrets", "_told", "_waiting")

    def __init__(self) -> None:
        self._secrets = _VAULT.known()
        self._beginnings = [secret[:LEAST_BEGUN] for secret in self._secrets]
        self._told = self._waiting = ""

    def passed(self, piece: str) -> str:
        """What may be told now that this piece has come."""
        if not piece:
            return ""
        # The last characters that were told count too: a key comes in pieces of any size.
        text, start = self._told + self._waiting + piece, len(self._told)
        end = len(text)
        if any(beginning in text for beginning in self._beginnings):
            for secret in self._secrets:
                text = text.replace(secret, HIDDEN)
            while not text.startswith(self._told[:start]):
                start -= 1
            end = max(start, len(text) - self._begun(text))
        self._told, self._waiting = text[:end][1 - LEAST_BEGUN :], text[end:]
        return text[start:end]

    def _begun(self, text: str) -> int:
        """How many of the last characters may be the beginning of a key."""
        for secret in self._secrets:
            for size in range(min(len(secret) - 1, len(text)), LEAST_BEGUN - 1, -1):
                if text.endswith(secret[:size]):
                    return size
        return 0


def scrub(text: str) -> str:
    """The text without any known key, and without what looks like one.

    >>> scrub("Incorrect API key provided: sk-abcdefgh12345678")
    'Incorrect API key provided: [key]'
    """
    text = without_keys(text)
    # Looking for the marks is ten times faster than looking for the shapes.
    if "sk-" in text or "://" in text or "bearer " in text.lower():
        return SHAPES.sub(HIDDEN, text)
    return text


def scrubbed(value: Any) -> Any:
    """A value of JSON's types with every text in it scrubbed, names of fields included."""
    if not holds_key(value):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrubbed(name): scrubbed(item) for name, item in value.items()}
    return [scrubbed(item) for item in value]


def holds_key(value: Any) -> bool:
    """Whether something in a value of JSON's types looks like a key."""
    text = "\0".join(_texts(value))  # in one go: a scrub has its price
    return scrub(text) != text


def _texts(value: Any) -> list[str]:
    found: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            left += item.keys()
            left += item.values()
        elif isinstance(item, list | tuple):
            left += item
    return found

"""What the requests of a batch are called, so that an answer is known by its name alone."""

from __future__ import annotations

import hashlib
import re
import secrets

from parallm_magics.core.batch_entries import Asked

_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{32})-(0|[1-9][0-9]{0,8})")


def new_nonce() -> str:
    """16 hexadecimal digits that no other batch has."""
    return secrets.token_hex(8)


def nonce_of(asked: Asked, number: int) -> str:
    """The same 16 digits for the same first request and number of the batch, as a simulation needs them."""
    return hashlib.sha256(f"{asked.key}-{asked.sample}-{number}".encode()).hexdigest()[:16]


def request_id(nonce: str, asked: Asked) -> str:
    """The name of a request: whose batch it is in, and what is asked.

    >>> request_id("0123456789abcdef", Asked("0" * 32, 7))
    '0123456789abcdef-00000000000000000000000000000000-7'
    """
    return f"{nonce}-{asked.key}-{asked.sample}"


def asked_by(nonce: str, name: str) -> Asked | None:
    """The request of that name; None where it is none of that batch."""
    found = _ID.fullmatch(name)
    return Asked(found[2], int(found[3])) if found is not None and found[1] == nonce else None

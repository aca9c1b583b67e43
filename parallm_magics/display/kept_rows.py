"""The rows of finished calls and what was drawn of them: a result finds what was drawn while it was waited for.

They are known by the record itself, as to compare what is in it would take longer than to draw it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

from parallm_magics.core.tasks import Record
from parallm_magics.display.call_rows import Read, Row, read_of, row_of

MOST = 512
"""Rows that are kept, of however many runs."""

MOST_CHARACTERS = 4_000
"""Most characters of an answer and the thinking before it whose row is kept."""

_rows: OrderedDict[tuple[int, Read], tuple[Record, Row]] = OrderedDict()
_drawn: dict[int, dict[Hashable, Any]] = {}


def kept_row(record: Record, read: Read | None = None) -> Row:
    """The row of a finished call, the same one each time; see `row_of`."""
    read = read_of(record) if read is None else read
    if _is_long(record) or _may_change(record):
        return row_of(record, read)
    key = id(record), read
    found = _rows.get(key)
    if found is None:
        # With the record, so that no other one comes to have its identity.
        found = _rows[key] = record, row_of(record, read)
        _drawn[id(found[1])] = {}
        if len(_rows) > MOST:
            with suppress(KeyError):  # another thread was sooner
                _drawn.pop(id(_rows.popitem(last=False)[1][1]), None)
    return found[1]


def _is_long(record: Record) -> bool:
    return len(record.text) + len(record.thinking or "") > MOST_CHARACTERS


def _may_change(record: Record) -> bool:
    """Whether the user may change what the row shows of it, such as a dict."""
    return record.probabilities is not None or not isinstance(
        record.value, str | float | int | None
    )


def drawn_of(row: Row) -> dict[Hashable, Any]:
    """What was made of a row, by what it is, to be added to; of a row that is not kept nothing stays."""
    found = _drawn.get(id(row))
    return {} if found is None else found

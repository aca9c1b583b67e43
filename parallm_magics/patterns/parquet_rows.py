"""Records as rows of Parquet, and rows as records again; pyarrow is imported here only, on use."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.tasks import Attempt, Fault, Record, Usage
from parallm_magics.errors import OptionError

ROWS_A_GROUP = 1_000
"""Rows that are read at once."""

RUN = b"parallm_magics.run"
"""The key of a file's metadata under which the id of the run stands that wrote it."""

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")

Made = Callable[[int, Any], Any]
"""From a worker's place and what JSON holds of its value to the value itself."""

_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _json(value: Any) -> str | None:
    return None if value is None else _WRITER.encode(value)


def _typed(record: Record) -> str | None:
    """Key and item as JSON where they are no texts, which is what their columns hold."""
    if isinstance(record.key, str | None) and isinstance(record.item, str | None):
        return None
    return _json([record.key, record.item])


_COLUMNS: tuple[tuple[str, str, Callable[[Record], Any]], ...] = (
    ("index", "int64", lambda r: r.index),
    ("key", "string", lambda r: None if r.key is None else str(r.key)),
    ("item", "string", lambda r: None if r.item is None else str(r.item)),
    ("name", "string", lambda r: r.name),
    ("role", "string", lambda r: r.role),
    ("status", "string", lambda r: r.status),
    ("text", "string", lambda r: r.text),
    ("value", "string", lambda r: _json(plain_value(r.value))),
    ("probabilities", "string", lambda r: _json(r.probabilities and dict(r.probabilities))),
    ("thinking", "string", lambda r: r.thinking),
    ("thinking_tokens", "int64", lambda r: r.thinking_tokens),
    ("model", "string", lambda r: r.model),
    ("model_answered", "string", lambda r: r.model_answered),
    ("temperature", "float64", lambda r: r.temperature),
    ("effort", "string", lambda r: r.effort),
    ("system", "string", lambda r: r.system),
    ("input_tokens", "int64", lambda r: r.usage and r.usage.input_tokens),
    ("cache_read_tokens", "int64", lambda r: r.usage and r.usage.cache_read_tokens),
    ("cache_write_tokens", "int64", lambda r: r.usage and r.usage.cache_write_tokens),
    ("output_tokens", "int64", lambda r: r.usage and r.usage.output_tokens),
    ("cost", "float64", lambda r: None if r.cost is None else float(r.cost)),
    ("saved", "float64", lambda r: None if r.saved is None else float(r.saved)),
    ("start", "float64", lambda r: r.start),
    ("queued", "float64", lambda r: r.queued),
    ("seconds", "float64", lambda r: r.seconds),
    ("attempts", "string", lambda r: _json([[a.outcome, a.seconds] for a in r.attempts])),
    ("finish", "string", lambda r: r.finish),
    ("request_id", "string", lambda r: r.request_id),
    ("error_kind", "string", lambda r: r.error and r.error.kind),
    ("error", "string", lambda r: r.error and r.error.message),
    ("error_http", "int64", lambda r: r.error and r.error.http),
    ("address", "string", lambda r: r.address or None),
    ("adapted", "string", lambda r: r.adapted or None),
    ("batch", "string", lambda r: r.batch or None),
    ("simulated", "bool_", lambda r: r.simulated),
    ("replayed", "bool_", lambda r: r.replayed),
    ("typed", "string", _typed),
)
"""Name, type and content of each column; the types are names of pyarrow's."""

COLUMNS = tuple(name for name, _, _ in _COLUMNS)


def load(path: str) -> None:
    """Import what writes Parquet: before any call, as it takes half a second of the loop.

    Raises:
        OptionError: there is no pyarrow.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise OptionError(
            f"--out-file {path}: Parquet parts need pyarrow: "
            '%pip install "parallm_magics[dask]"; or name a file, which gets JSON lines'
        )
    import pyarrow.json
    import pyarrow.parquet  # noqa: F401


def line_of(record: Record) -> bytes:
    """The row of a record as a JSON line; what is unknown is left out."""
    row = {name: cell for name, _, read in _COLUMNS if (cell := read(record)) is not None}
    return _WRITER.encode(row).encode("utf-8", "replace") + b"\n"


def write_part(path: Path, lines: Sequence[bytes], run: str) -> None:
    """Write the rows of these lines as one file, whole before it has its name.

    Raises:
        OSError: the disk takes no more.
        Exception: whatever pyarrow says of a value that no column holds.
    """
    import pyarrow as pa
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    # Made of Python's own lists, the columns would need 60 MB of pandas, which pyarrow then imports.
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind, _ in _COLUMNS])
    rows = b"".join(lines)
    table = pj.read_json(
        pa.BufferReader(rows),
        pj.ReadOptions(use_threads=False, block_size=len(rows) + 1),
        pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    table = table.select(COLUMNS).replace_schema_metadata({RUN: run})
    draft = path.with_name(f".{path.name}.tmp")
    try:
        pq.write_table(table, draft, row_group_size=ROWS_A_GROUP)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def run_of(path: Path) -> str:
    """The id of the run that wrote the part; "" where it is no part of ours, or none at all."""
    import pyarrow.parquet as pq

    try:
        return ((pq.read_schema(path).metadata or {}).get(RUN) or b"").decode("ascii", "replace")
    except (OSError, ValueError):  # pyarrow's errors are among them
        return ""


def read_group(path: Path, group: int, made: Made) -> list[Record]:
    """The records of one group of rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read_row_group(group, use_threads=False)
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    rows: Iterable[tuple[Any, ...]] = zip(*columns, strict=True)
    return [_record(dict(zip(COLUMNS, row, strict=True)), made) for row in rows]


def _record(row: Mapping[str, Any], made: Made) -> Record:
    key, item = json.loads(row["typed"]) if row["typed"] else (row["key"], row["item"])
    value = None if row["value"] is None else made(row["index"], json.loads(row["value"]))
    usage = None if row["input_tokens"] is None else Usage(*(row[name] for name in TOKENS))
    error = None
    if row["error_kind"] is not None:
        error = Fault(row["error_kind"], row["error"], row["error_http"])
    probabilities = None if row["probabilities"] is None else json.loads(row["probabilities"])
    return Record(
        **{name: row[name] for name in _AS_THEY_ARE},
        key=key,
        item=item,
        value=value,
        probabilities=probabilities,
        usage=usage,
        cost=_dollars(row["cost"]),
        saved=_dollars(row["saved"]),
        attempts=tuple(_attempts(json.loads(row["attempts"]))),
        error=error,
        address=row["address"] or "",
        adapted=row["adapted"] or "",
        batch=row["batch"] or "",
    )


def _attempts(pairs: Sequence[tuple[str, float]]) -> Iterator[Attempt]:
    return (Attempt(outcome, seconds) for outcome, seconds in pairs)


def _dollars(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(repr(amount))


_AS_THEY_ARE = (
    *("index", "name", "role", "status", "text", "thinking", "thinking_tokens", "model"),
    *("model_answered", "temperature", "effort", "system", "start", "queued", "seconds"),
    *("finish", "request_id", "simulated", "replayed"),
)

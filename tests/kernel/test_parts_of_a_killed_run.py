"""A process that dies while it writes Parquet parts leaves every result that came, and no torn part."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
from kernel import environment

from parallm_magics.patterns.part_folder import JOURNAL

PROGRAM = """
import asyncio
from parallm_magics import fanout
from parallm_magics.patterns import part_folder
part_folder.ROWS_A_PART = 100
docs = (f"document {n}" for n in range(1_000_000))
asyncio.run(fanout("{{item}}", each=docs, model="sim?scale=0.01", out_file="out/"))
"""


def rows_of(folder: Path) -> tuple[list[int], list[int]]:
    """The indices in the parts and in the journal; a kill may have torn its last line."""
    parts = sorted(folder.glob("part-*.parquet"))
    in_parts = [index for part in parts for index in pq.read_table(part)["index"].to_pylist()]
    journal = folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    return in_parts, [json.loads(line)["index"] for line in lines if line.endswith(b"\n")]


def test_a_killed_process_leaves_whole_parts_and_a_journal(tmp_path: Path) -> None:
    """Wherever the kill falls: of the first results none is missing, but for those in flight."""
    moments, env = random.Random(7), environment(tmp_path)
    folder = tmp_path / "out"
    for _ in range(5):
        wanted = moments.randrange(150, 700)
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, cwd=tmp_path)
        try:
            deadline = time.monotonic() + 120
            while sum(map(len, rows_of(folder))) < wanted:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        in_parts, in_journal = rows_of(folder)
        assert len(set(in_parts)) == len(in_parts)
        assert len({*in_parts, *in_journal}) >= wanted
        # A kill between a part's name and the journal's end leaves its rows in both.
        assert not {*in_parts[:-100]} & {*in_journal}
        assert not list(folder.glob("part-*.tmp"))

"""Writing a file of recordings anew with some of its lines."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path


def rewrite(file: Path, spans: Iterable[tuple[int, int]], size: int) -> Path:
    """Keep these spans of the first `size` bytes, and all that others may have added since.

    The file is replaced in one go: whoever reads it sees the old one or the new one. What it was
    is kept beside it under a name that is free, ending in `.bak`; that path is given back.

    Args:
        spans: offset and length of each line that stays, in order.

    Raises:
        OSError: it cannot be written; then the file is as it was.
    """
    backup = _free(file)
    with open(file, "rb") as old:
        shutil.copyfile(file, backup)
        shutil.copymode(file, backup)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with open(handle, "wb") as new:
                for offset, length in spans:
                    old.seek(offset)
                    line = old.read(length)
                    new.write(line if line.endswith(b"\n") else line + b"\n")
                new.flush()
                os.fsync(new.fileno())
            shutil.copymode(file, name)
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        # Another kernel may have appended to the old file until this moment.
        old.seek(size)
        late = old.read()
        if late:
            with open(file, "ab") as new:
                new.write(late)
    return backup


def _free(file: Path) -> Path:
    """A name for a backup that no earlier one has."""
    ends = itertools.chain(["bak"], (f"bak{turn}" for turn in itertools.count(2)))
    paths = (file.with_name(f"{file.name}.{end}") for end in ends)
    return next(path for path in paths if not path.exists())

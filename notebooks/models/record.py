"""Record the lessons: ask the small model again, and keep its answers and the executed notebooks.

    python notebooks/models/record.py                        all lessons, seed 1
    python notebooks/models/record.py 03_voting --seed 2     one, by another seed

Seed 1 is what the lessons play back: their recordings in `recorded/` and the notebooks are written again. Another seed
leaves the notebooks alone and writes into `recorded/seed-N/`. `NUMBERS.md` shows what the lessons measured with each:
it is made of the outputs of cells that are tagged `figures`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from serve import HOST, PORT, is_taken

NOTEBOOKS = Path(__file__).resolve().parent.parent
RECORDED = "recorded"
FIRST = 1
"""The seed of the recordings that the lessons play back."""
START_SECONDS = 60


@contextmanager
def served(seed: int, asked: int = 0) -> Iterator[None]:
    """The model, behind this seed, at the address that the lessons know.

    Args:
        asked: answers of an earlier try, whose seeds are not used a second time.

    Raises:
        SystemExit: it does not start, or another server would answer in its place.
    """
    if is_taken(PORT):
        raise SystemExit(f"something listens on port {PORT} already, and would be recorded: end it")
    script = Path(__file__).with_name("serve.py")
    process = subprocess.Popen(
        [sys.executable, str(script), "--seed", str(seed), "--asked", str(asked)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the model did not start: see python {script}")
            try:
                urllib.request.urlopen(f"http://{HOST}:{PORT}/health").close()
                break
            except OSError:  # nobody listens yet, or the model is being loaded
                if time.monotonic() > end:
                    raise SystemExit("the model did not start in time") from None
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def folder_of(seed: int) -> Path:
    """Where the recordings of a seed lie."""
    return NOTEBOOKS / RECORDED / ("" if seed == FIRST else f"seed-{seed}")


def executed(lesson: str, workplace: Path) -> Any:
    """The lesson, executed in this copy of the folder."""
    notebook = nbformat.read(workplace / f"{lesson}.ipynb", as_version=4)
    resources = {"metadata": {"path": str(workplace)}}
    NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=resources).execute()
    return notebook


def figures(notebook: Any) -> str:
    """What the cells tagged `figures` printed."""
    return "".join(
        output.text
        for cell in notebook.cells
        if "figures" in cell.metadata.get("tags", ())
        for output in cell.get("outputs", ())
        if output.output_type == "stream"
    )


def record(lesson: str, seed: int) -> None:
    """Execute one lesson with the served model, and keep what came of it.

    Where a cell fails, the answers so far are kept as `NAME.jsonl.part`; the next recording of this lesson goes on
    with them.
    """
    begun = time.monotonic()
    kept = folder_of(seed)
    kept.mkdir(parents=True, exist_ok=True)
    part = kept / f"{lesson}.jsonl.part"
    asked = len(part.read_bytes().splitlines()) if part.exists() else 0
    # A server for each: a lesson's answers do not depend on which others are recorded with it.
    with served(seed, asked), tempfile.TemporaryDirectory() as place:
        workplace = Path(place) / "notebooks"
        shutil.copytree(NOTEBOOKS, workplace)
        made = workplace / RECORDED / f"{lesson}.jsonl"
        made.unlink(missing_ok=True)
        if part.exists():
            shutil.copyfile(part, made)
        try:
            notebook = executed(lesson, workplace)
        except BaseException:
            if made.exists():
                shutil.copyfile(made, part)
            raise
        size = made.stat().st_size if made.exists() else 0
        if size:  # at no moment is there less than one whole recording
            shutil.copyfile(made, part)
            part.replace(kept / made.name)
        else:
            (kept / made.name).unlink(missing_ok=True)
            part.unlink(missing_ok=True)
    if seed == FIRST:
        nbformat.write(notebook, NOTEBOOKS / f"{lesson}.ipynb")
    elif told := figures(notebook):
        (kept / f"{lesson}.txt").write_text(told)
    print(f"{lesson}: {time.monotonic() - begun:.0f} s, {size / 1e6:.2f} MB", flush=True)


def numbers() -> str:
    """The figures of every lesson, a column a seed."""
    seeds = sorted(int(path.name[5:]) for path in (NOTEBOOKS / RECORDED).glob("seed-*"))
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        told = {FIRST: figures(nbformat.read(path, as_version=4))}
        for seed in seeds:
            other = folder_of(seed) / f"{path.stem}.txt"
            told[seed] = other.read_text() if other.exists() else ""
        for seed, text in told.items():
            for line in text.splitlines():
                name, colon, value = line.partition(": ")
                if colon:
                    rows.setdefault((path.stem, name.strip()), {})[seed] = value.strip()
    columns = [FIRST, *seeds]
    lines = [
        "# What the lessons measured",
        "",
        "SmolLM2-135M-Instruct, by the seed of its recording. Made by `python notebooks/models/record.py`.",
        "",
        "| Lesson | Figure | " + " | ".join(f"seed {seed}" for seed in columns) + " |",
        "| --- | --- |" + " --- |" * len(columns),
    ]
    for (lesson, name), values in rows.items():
        cells = " | ".join(values.get(seed, "") for seed in columns)
        lines.append(f"| [{lesson}](../{lesson}.ipynb) | {name} | {cells} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Record the lessons that are named, else all."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", metavar="LESSON")
    parser.add_argument("--seed", type=int, default=FIRST)
    options = parser.parse_args(arguments)
    every = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    unknown = set(options.lessons) - set(every)
    if unknown:
        raise SystemExit(
            f"no such lesson: {', '.join(sorted(unknown))}; there are {', '.join(every)}"
        )
    # Nobody watches, and no model or recording of the user's own choice takes part.
    for name in [name for name in os.environ if name.startswith("PARALLM_")]:
        del os.environ[name]
    os.environ["PARALLM_LIVE"] = "0"
    for lesson in options.lessons or every:
        record(lesson, options.seed)
    (Path(__file__).parent / "NUMBERS.md").write_text(numbers())


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write the lessons for a class: without outputs and solutions, with everything that they need beside them.

    python notebooks/student.py FOLDER               every lesson
    python notebooks/student.py FOLDER 03_voting     only this one
    python notebooks/student.py FOLDER --nbgrader    with solutions: the source of a course of nbgrader
    python notebooks/student.py --mark               write the metadata of exercises into the lessons

Tags tell what an exercise consists of: `exercise` is the cell that students write, `check` the cell that tells whether
it is right, and `solution` alone the text that explains it. `--mark` gives these cells the metadata of nbgrader, and
folds the solution and the check away in JupyterLab and Jupyter Book.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Container, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent
BESIDE = ("plots.py", "data")
"""What lessons read, apart from their recordings."""
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CODE_STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"
"""What nbgrader leaves where a solution was."""
FENCED = re.compile(r"^```[^\n]*\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
"""A link to a file: its words and its path."""


class FormError(Exception):
    """An exercise cannot be made into one for students; the message says which and why."""


def part_of(cell: Any) -> str:
    """What a cell is in an exercise: "exercise", "check", "explanation", or "" if it is no part of one."""
    tags = cell.metadata.get("tags") or ()
    if "exercise" in tags:
        return "exercise"
    if "check" in tags:
        return "check"
    return "explanation" if "solution" in tags else ""


def marked(notebook: Any, lesson: str) -> Any:
    """A copy whose exercise has the metadata of nbgrader; its solution and its check are folded away."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        part = part_of(cell)
        if not part:
            continue
        graded = part != "exercise"
        cell.metadata["nbgrader"] = {
            "grade": graded,
            "grade_id": f"{lesson}-{part}",
            "locked": part == "check",
            **({"points": 2 if part == "check" else 1} if graded else {}),
            "schema_version": 3,
            "solution": part != "check",
            "task": False,
        }
        if part == "exercise":
            cell.metadata["tags"] = sorted({*cell.metadata.tags, "solution", "hide-cell"})
            cell.metadata["jupyter"] = {"outputs_hidden": True, "source_hidden": True}
        elif part == "check":  # it would give the answer away
            cell.metadata["tags"] = sorted({*cell.metadata.tags, "hide-input"})
            cell.metadata["jupyter"] = {"source_hidden": True}
    return copy


def for_students(notebook: Any) -> Any:
    """A copy without outputs and without solutions.

    Raises:
        FormError: a solution cannot be taken out.
    """
    copy = deepcopy(notebook)
    copy.metadata.pop("widgets", None)
    task = ""
    for cell in copy.cells:
        part = part_of(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
        if part == "exercise":
            cell.source = begun(cell.source, task)
            cell.metadata["tags"] = ["exercise"]
            cell.metadata.pop("jupyter", None)
        elif part == "explanation":
            cell.source = TEXT_STUB
            cell.metadata.pop("tags")
            cell.pop("attachments", None)
        if cell.cell_type == "code" and BEGIN in cell.source and part != "check":
            raise FormError(f"'{BEGIN}' stands in a cell without the tag 'exercise'")
        if cell.cell_type == "markdown":
            task = cell.source
    return copy


def begun(solution: str, task: str) -> str:
    """What students find in place of a solution: the last code block of the task, else nbgrader's stub."""
    blocks = FENCED.findall(task)
    if BEGIN in solution:
        if is_magic(solution):
            raise FormError(f"'{BEGIN}' would be a part of the prompt: show the stub in the task")
        return without_marked(solution)
    if not blocks:
        raise FormError(f"neither '{BEGIN}' in the solution nor a code block in the text above it")
    return str(blocks[-1])


def is_magic(source: str) -> bool:
    """Whether the whole cell goes to a magic."""
    lines = (line for line in source.splitlines() if line.strip() and not line.startswith("#"))
    return next(lines, "").startswith("%%")


def without_marked(source: str) -> str:
    """A source whose marked lines are replaced, as nbgrader does it."""
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        if BEGIN in line:
            if inside:
                raise FormError(f"a second '{BEGIN}' before '{END}'")
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + stub for stub in CODE_STUB.splitlines()]
        elif END in line:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise FormError(f"no '{END}'")
    return "\n".join(kept)


def unlinked(text: str, there: Container[str]) -> str:
    """A text in which links to files that are not handed out are plain words."""
    return LINK.sub(lambda found: found[0] if found[2] in there else found[1], text)


def names() -> list[str]:
    """The names of all lessons, in order."""
    return [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


def lessons(chosen: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """The lessons of these names, or all: name and notebook."""
    every = names()
    if unknown := sorted(set(chosen) - set(every)):
        raise SystemExit(f"no such lesson: {', '.join(unknown)}; there are {', '.join(every)}")
    for name in chosen or every:
        yield name, nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def write(folder: Path, chosen: Sequence[str] = ()) -> None:
    """Write the students' versions of these lessons, and what they need, into a folder."""
    found = dict(lessons(chosen))
    there = [f"{name}.ipynb" for name in found]
    for name, notebook in found.items():
        try:
            copy = for_students(marked(notebook, name))
        except FormError as error:
            raise SystemExit(f"{name}: {error}") from None
        put(copy, name, folder, there)


def write_for_nbgrader(folder: Path, chosen: Sequence[str] = ()) -> None:
    """Write these lessons, with their solutions, as the source of a course of nbgrader: an assignment each."""
    for name, notebook in lessons(chosen):
        put(marked(notebook, name), name, folder / "source" / name, [f"{name}.ipynb"])


def put(notebook: Any, name: str, folder: Path, there: Sequence[str]) -> None:
    """Write a notebook into a folder, and beside it what it reads."""
    (folder / "recorded").mkdir(parents=True, exist_ok=True)
    for beside in (*BESIDE, f"recorded/{name}.jsonl"):
        for path in (NOTEBOOKS / beside, *(NOTEBOOKS / beside).rglob("*")):
            if path.is_file():
                keep(folder / path.relative_to(NOTEBOOKS), path.read_bytes())
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = unlinked(cell.source, found.union(there))
    keep(folder / f"{name}.ipynb", f"{nbformat.writes(notebook)}\n".encode())


def keep(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        SystemExit: another one of that name is there, which may hold somebody's answers.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    elif path.read_bytes() != content:
        raise SystemExit(
            f"{path} is there, and would be lost: move it away, or choose another FOLDER"
        )


def mark(chosen: Sequence[str] = ()) -> None:
    """Write into the lessons what their tags mean."""
    for name, notebook in lessons(chosen):
        changed = marked(notebook, name)
        if changed != notebook:
            nbformat.write(changed, NOTEBOOKS / f"{name}.ipynb")
            print(f"{name}: marked")


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mark", action="store_true", help="mark the exercises in the lessons")
    parser.add_argument("--nbgrader", action="store_true", help="write the source of a course")
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("lessons", nargs="*", metavar="LESSON")
    options = parser.parse_args(arguments)
    chosen = [*dict.fromkeys(options.lessons)]
    if options.mark and options.folder is not None:
        parser.error("--mark marks every lesson: leave FOLDER out")
    if options.mark:
        mark()
    elif options.folder is None:
        parser.error("say into which FOLDER")
    elif options.folder.resolve().is_relative_to(NOTEBOOKS):
        parser.error("choose another FOLDER: the lessons themselves lie there")
    else:
        try:
            (write_for_nbgrader if options.nbgrader else write)(options.folder, chosen)
        except OSError as error:
            raise SystemExit(f"{error.filename}: {error.strerror}") from None
        print(f"{len(chosen or names())} lessons are in {options.folder}")


if __name__ == "__main__":
    main(sys.argv[1:])

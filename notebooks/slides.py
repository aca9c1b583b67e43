"""Make slides of the lessons: one file a lesson, which needs no network.

    python notebooks/slides.py FOLDER               every lesson
    python notebooks/slides.py FOLDER 03_voting     only this one

A question to guess stands beside the cell that it is about; the result comes with the next key. What else the lesson
says is in the notes of the speaker, which the key S opens. The solution lies below the exercise.

reveal.js comes from npm, once, into `build/reveal`.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import student
from jinja2 import DictLoader
from nbconvert.exporters import SlidesExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

REVEAL = "reveal.js@5.2.1"
KEPT = Path(__file__).resolve().parent.parent / "build" / "reveal"
PARTS = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")
GUESS = "**Guess:**"
TASK = "## Exercise"
MARKS = (student.BEGIN, student.END)
FENCE = re.compile(r"^(```|~~~)")
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`*])")
LESSON = re.compile(r"\]\(([^):\s]+)\.ipynb(?:#[^)\s]*)?\)")
FITS = 8
"""So many lines of code fit on a slide beside other things."""
SHORT = 60
"""Characters of an opening that may have a sentence more."""
SHOWN = ("#", "|", "-", "* ", "1.", "```", "<details>", GUESS)
"""How the blocks of a text begin that stand on a slide; of the others only the first does."""
SETTINGS = {
    "width": 1200,
    "height": 720,
    "center": False,
    "hash": True,
    "transition": "none",
    "slideNumber": "c/t",
}
"""How reveal.js shows the slides."""
STYLE = Path(__file__).with_suffix(".css")
TEMPLATE = """
{%- extends "index.html.j2" -%}
{%- block header -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>{{ resources.lesson }}</title>
{% for css in resources.inlining.css %}<style>{{ css }}</style>{% endfor %}
<style>{{ resources.parts["dist/reveal.css"] }}</style>
<style>{{ resources.style }}</style>
</head>
{%- endblock header -%}
{%- block footer_js -%}
<!-- {{ resources.parts["LICENSE"] }} -->
<script>{{ resources.parts["dist/reveal.js"] }}</script>
<script>{{ resources.parts["plugin/notes/notes.js"] }}</script>
<script>Reveal.initialize({...{{ resources.settings }}, plugins: [RevealNotes]});</script>
{%- endblock footer_js -%}
"""


def slides_of(notebook: Any) -> Any:
    """A notebook whose cells are the slides of a lesson, marked as nbconvert wants it."""
    return new_notebook(cells=list(_cells(notebook)), metadata=notebook.metadata)


def _cells(notebook: Any) -> Iterator[Any]:
    """The pieces of the cells, each with its place: on a slide, below one, or in the notes."""
    cells = list(notebook.cells)
    after_result = False
    for place, cell in enumerate(cells):
        part = student.part_of(cell)
        if cell.cell_type == "markdown":
            after = cells[place + 1] if place + 1 < len(cells) else None
            asked = bool(after) and after.cell_type == "code" and GUESS in cell.source
            if part == "explanation":
                yield _text(unfolded(cell.source), "fragment")
            else:
                yield from _text_slides(cell.source, after_result, after if asked else None)
            after_result = False
        elif part == "check":
            continue
        elif part == "exercise":
            yield _code(cell, "subslide", outputs=False)
        else:
            yield from _code_slides(cell, place > 0 and GUESS in cells[place - 1].source)
            after_result = bool(cell.outputs)


def _code_slides(cell: Any, guessed: bool) -> Iterator[Any]:
    """A cell with its result; of one that was guessed, the result alone. Long Python is for the speaker."""
    helper = is_helper(cell.source)
    if cell.outputs:
        yield _code(cell, "subslide", source=not guessed and not helper)
    if helper and not guessed:
        yield _code(cell, "notes", outputs=False)
    elif not cell.outputs and not guessed:
        yield _code(cell, "subslide")


def is_helper(source: str) -> bool:
    """Whether a cell is more Python than a slide should show."""
    return not student.is_magic(source) and len(source.splitlines()) > FITS


def _text_slides(source: str, after_result: bool, asked_about: Any) -> Iterator[Any]:
    """What of a text is shown, then what the speaker reads, then the question with its cell."""
    shown: list[str] = []
    spoken: list[str] = []
    guesses: list[str] = []
    fresh = True
    whole = False
    for block in blocks_of(source):
        if block.startswith(GUESS):
            guesses.append(block)
        elif block.startswith("#"):
            if shown or spoken:
                yield from _slide(shown, spoken, after_result)
            shown, spoken, fresh, after_result = [block], [], True, False
            whole = block.startswith(TASK)
        elif whole or block.startswith(SHOWN):
            shown.append(block)
        elif fresh:
            kept, left = opening(block, 2 if shown else 1)
            shown.append(kept)
            spoken += [left] if left else []
            fresh = False
        else:
            spoken.append(block)
    if shown or spoken:
        yield from _slide(shown, spoken, after_result)
    if guesses and asked_about is not None:
        fits = bool(shown) and not after_result and len(asked_about.source.splitlines()) <= FITS
        place = "notes" if is_helper(asked_about.source) else "-" if fits else "subslide"
        yield _code(asked_about, place, outputs=False)
        for guess in guesses:
            alone = place == "notes" and (after_result or not shown)
            yield _text(guess, "subslide" if alone else "-", "guess")


def _slide(shown: Sequence[str], spoken: Sequence[str], after_result: bool) -> Iterator[Any]:
    """A piece of text on a slide of its own, or below the result that it explains; and its notes."""
    text = "\n\n".join(shown)
    heads = text.startswith("#")
    kind = "slide" if text.startswith(("# ", "## ")) else "subslide"
    if shown:
        yield _text(text, kind if heads or not after_result else "fragment")
    if spoken:
        yield _text("\n\n".join(spoken), "notes")


def blocks_of(source: str) -> list[str]:
    """The paragraphs, headings, tables, lists and code blocks of a text."""
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in source.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        if line.strip() or fenced:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]


def opening(text: str, sentences: int) -> tuple[str, str]:
    """So many sentences of a text, one more if they are short; and what is left."""
    parts = SENTENCE.split(text)
    if sum(map(len, parts[:sentences])) < SHORT:
        sentences += 1
    return " ".join(parts[:sentences]), " ".join(parts[sentences:])


def unfolded(source: str) -> str:
    """A text without what folds it."""
    return re.sub(r"</?details>|<summary>.*?</summary>", "", source).strip()


def linked(text: str) -> str:
    """A text whose links to lessons lead to their slides; other files are not beside them."""
    there = [f"{name}.ipynb" for name in student.names()]
    return LESSON.sub(r"](\1.slides.html)", student.unlinked(text, there))


def _text(source: str, slide: str, *tags: str) -> Any:
    return new_markdown_cell(
        linked(source), metadata={"slideshow": {"slide_type": slide}, "tags": [*tags]}
    )


def _code(cell: Any, slide: str, *, source: bool = True, outputs: bool = True) -> Any:
    """A code cell, or only its source, or only its outputs."""
    lines = (line for line in cell.source.splitlines() if line.strip() not in MARKS)
    return new_code_cell(
        "\n".join(lines),
        outputs=cell.outputs if outputs else [],
        metadata={
            "slideshow": {"slide_type": slide},
            "tags": [] if source else ["without-source"],
        },
    )


def page(notebook: Any, lesson: str, parts: dict[str, str]) -> str:
    """The slides of a lesson as one page of html."""
    config = Config(
        TagRemovePreprocessor={"enabled": True, "remove_input_tags": {"without-source"}},
    )
    exporter = SlidesExporter(
        config=config,
        extra_loaders=[DictLoader({"lesson.html.j2": TEMPLATE})],
        template_file="lesson.html.j2",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    given = {
        "parts": parts,
        "lesson": lesson,
        "style": STYLE.read_text("utf-8"),
        "settings": json.dumps(SETTINGS),
    }
    html, _ = exporter.from_notebook_node(slides_of(notebook), given)
    return str(html)


def reveal() -> dict[str, str]:
    """The files of reveal.js; fetched from npm where they are not there yet."""
    if not all((KEPT / part).exists() for part in PARTS):
        with tempfile.TemporaryDirectory() as place:
            command = ["npm", "pack", "--silent", REVEAL]
            try:
                done = subprocess.run(
                    command, cwd=place, check=True, capture_output=True, text=True
                )
            except FileNotFoundError:
                raise SystemExit("slides need reveal.js: install npm (Node.js)") from None
            except subprocess.CalledProcessError as error:
                raise SystemExit(f"npm did not give {REVEAL}: {error.stderr.strip()}") from None
            packed = (Path(place) / done.stdout.split()[-1]).read_bytes()
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for part in PARTS:
                file = archive.extractfile(f"package/{part}")
                assert file is not None, part
                (KEPT / part).parent.mkdir(parents=True, exist_ok=True)
                (KEPT / part).write_bytes(file.read())
    return {part: (KEPT / part).read_text("utf-8") for part in PARTS}


def main(arguments: Sequence[str]) -> None:
    """Make the slides of the lessons that are named, else of all."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("lessons", nargs="*", metavar="LESSON")
    options = parser.parse_args(arguments)
    found = dict(student.lessons(options.lessons))
    parts = reveal()
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, notebook in found.items():
            html = page(notebook, name, parts)
            (options.folder / f"{name}.slides.html").write_text(html, "utf-8")
    except OSError as error:
        raise SystemExit(f"{error.filename}: {error.strerror}") from None
    print(f"slides of {len(found)} lessons are in {options.folder}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Students get no solution, and a check that tells a right answer from a wrong one."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import student
from exercises import WRONG
from kernel import Kernel, environment
from lesson_form import read
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from paths import NOTEBOOKS

CLEAN = "for _n in set(globals()) - _before: del globals()[_n]"


def cell_of(notebook: Any, part: str) -> Any:
    """The cell that is this part of the exercise."""
    (found,) = (cell for cell in notebook.cells if student.part_of(cell) == part)
    return found


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a class gets."""
    folder = tmp_path_factory.mktemp("class")
    student.write(folder)
    return folder


def test_students_find_neither_solutions_nor_outputs(handed_out: Path) -> None:
    """Of no lesson."""
    for name, solved in student.lessons():
        given = nbformat.read(handed_out / f"{name}.ipynb", as_version=4)
        nbformat.validate(given)
        assert len(given.cells) == len(solved.cells)
        for cell, before in zip(given.cells, solved.cells, strict=True):
            assert not cell.get("outputs")
            assert "solution" not in cell.metadata.get("tags", ())
            if student.part_of(before) in ("exercise", "explanation"):
                assert cell.source != before.source
                assert student.BEGIN not in cell.source


def test_students_find_what_the_lessons_need(handed_out: Path) -> None:
    """Recordings, data and pictures; no link leads out of the folder."""
    for path in (NOTEBOOKS / "recorded").glob("*.jsonl"):
        assert (handed_out / "recorded" / path.name).read_bytes() == path.read_bytes()
    assert (handed_out / "plots.py").exists()
    for path in handed_out.glob("*.ipynb"):
        text = path.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+)", text):
            assert (handed_out / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("name", WRONG)
def test_a_check_is_red_until_the_answer_is_right(name: str, handed_out: Path) -> None:
    """Red for what students find and for wrong answers, with one line that says why; then green."""
    given = nbformat.read(handed_out / f"{name}.ipynb", as_version=4)
    exercise, check = cell_of(given, "exercise"), cell_of(given, "check").source
    solution = cell_of(read(name), "exercise").source
    answers = [exercise.source]
    for old, new in WRONG[name]:
        assert solution.count(old) == 1, f"the solution does not hold {old!r} once"
        answers.append(solution.replace(old, new))
    with Kernel(PARALLM_LIVE="0") as kernel:
        kernel.run(f"%cd -q {handed_out}")
        for cell in given.cells[: given.cells.index(exercise)]:
            if cell.cell_type == "code":
                ran = kernel.run(cell.source)
                assert not ran.error or "raises-exception" in cell.metadata.get("tags", ()), ran
        kernel.run("_before = {*globals(), '_before', '_n'}")
        for answer in answers:
            kernel.run(answer)
            why = kernel.run(check).of("error")
            assert why, f"the check accepts:\n{answer}"
            assert why[0]["ename"] == "AssertionError", f"{why[0]['evalue']} for:\n{answer}"
            assert 10 < len(why[0]["evalue"].splitlines()[0]) == len(why[0]["evalue"]) < 160
            kernel.run(CLEAN)
        ran = kernel.run(solution)
        assert not ran.error, ran.error
        assert kernel.run(check).stream().endswith("right\n")


@pytest.mark.nbgrader
def test_nbgrader_takes_out_the_same() -> None:
    """Its own tool leaves what ours leaves; only a magic's cell begins with what the task shows."""
    from nbgrader.nbgraderformat.v3 import MetadataValidatorV3
    from nbgrader.preprocessors.clearsolutions import ClearSolutions

    for name, notebook in student.lessons():
        solved = student.marked(notebook, name)
        MetadataValidatorV3().validate_nb(solved)
        given = student.for_students(solved)
        magic = [student.is_magic(cell.source) for cell in solved.cells]
        cleared, _ = ClearSolutions().preprocess(solved, {})
        for ours, theirs, whole in zip(given.cells, cleared.cells, magic, strict=True):
            if whole and student.part_of(ours) == "exercise":
                assert theirs.source == student.CODE_STUB
            else:
                assert theirs.source == ours.source


@pytest.mark.nbgrader
def test_nbgrader_grades_a_class(tmp_path: Path) -> None:
    """The whole way: what is right gets the points of its check, what was handed out gets none."""
    name = "03_voting"
    student.write_for_nbgrader(tmp_path, [name])

    def nbgrader(*arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        env = environment(tmp_path, PARALLM_LIVE="0")
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    nbgrader("generate_assignment", name)
    for who in ("ada", "ben"):
        shutil.copytree(tmp_path / "release" / name, tmp_path / "submitted" / who / name)
    answer = tmp_path / "submitted" / "ada" / name / f"{name}.ipynb"
    handed_in = nbformat.read(answer, as_version=4)
    cell_of(handed_in, "exercise").source = cell_of(read(name), "exercise").source
    nbformat.write(handed_in, answer)
    nbgrader("autograde", name)
    nbgrader("export")
    with (tmp_path / "grades.csv").open() as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"ada": 2, "ben": 0}


@pytest.mark.parametrize(
    ("task", "solution", "told"),
    [
        pytest.param("No block.", "x = 1", "neither '### BEGIN", id="nothing to begin with"),
        pytest.param("No block.", "### BEGIN SOLUTION\nx = 1", "no '### END", id="no end"),
        pytest.param(
            "```\n%%vote\n```", "%%vote\n### BEGIN SOLUTION", "part of the prompt", id="in a magic"
        ),
    ],
)
def test_a_solution_that_cannot_be_taken_out_is_an_error(
    task: str, solution: str, told: str
) -> None:
    """It is never handed out by mistake."""
    cell = new_code_cell(solution, metadata={"tags": ["exercise", "solution"]})
    notebook = new_notebook(cells=[new_markdown_cell(task), cell])
    with pytest.raises(student.FormError, match=told):
        student.for_students(notebook)


def test_the_lessons_themselves_are_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Their solutions would be lost."""
    before = [path.read_bytes() for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    with pytest.raises(SystemExit):
        student.main([str(NOTEBOOKS / "data" / "..")])
    assert "choose another FOLDER" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == before


@pytest.mark.parametrize("held", ["recorded", "data", "class/students"])
def test_nothing_is_written_among_the_lessons(
    held: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor into a folder below them, from which the next class would get it."""
    with pytest.raises(SystemExit):
        student.main([str(NOTEBOOKS / held), "03_voting"])
    assert "choose another FOLDER" in capsys.readouterr().err
    assert not list((NOTEBOOKS / held).glob("*.ipynb"))


@pytest.mark.parametrize("held", ["03_voting.ipynb", "plots.py", "data/reviews.csv"])
def test_what_somebody_wrote_is_not_lost(held: str, tmp_path: Path) -> None:
    """A second run changes nothing; a file that has been changed since ends it with one line."""
    arguments = [str(tmp_path), "03_voting", "03_voting"]
    student.main(arguments)
    student.main(arguments)
    (tmp_path / held).write_text("my answers")
    with pytest.raises(SystemExit, match=f"{re.escape(held)} is there, and would be lost"):
        student.main(arguments)
    assert (tmp_path / held).read_text() == "my answers"


def test_a_link_to_a_lesson_is_not_followed(tmp_path: Path) -> None:
    """The lesson behind it would lose its solution."""
    lesson = tmp_path / "lesson.ipynb"
    lesson.write_text("the lesson")
    (tmp_path / "class").mkdir()
    (tmp_path / "class/03_voting.ipynb").symlink_to(lesson)
    with pytest.raises(SystemExit, match="would be lost"):
        student.main([str(tmp_path / "class"), "03_voting"])
    assert lesson.read_text() == "the lesson"


def test_a_folder_that_is_a_file_gets_one_line(tmp_path: Path) -> None:
    """With its name."""
    (tmp_path / "class").touch()
    with pytest.raises(SystemExit, match=r"class.*: Not a directory|class: File exists"):
        student.main([str(tmp_path / "class"), "03_voting"])


def test_pictures_and_marked_lines_give_no_solution_away() -> None:
    """What is attached to an explanation goes with it; a marked solution needs its tag."""
    told = new_markdown_cell("![a](attachment:a.png)", metadata={"tags": ["solution"]})
    told["attachments"] = {"a.png": {"image/png": "AAAA"}}
    [given] = student.for_students(new_notebook(cells=[told])).cells
    assert given.source == student.TEXT_STUB
    assert "attachments" not in given
    forgotten = new_notebook(cells=[new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION")])
    with pytest.raises(student.FormError, match="without the tag 'exercise'"):
        student.for_students(forgotten)


def test_marked_lines_of_python_become_the_stub() -> None:
    """What stands around them stays, indented as it was."""
    solution = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n\n\nf(1)"
    stub = "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n\n\nf(1)"
    assert student.begun(solution, "") == stub

"""Students get no solution, and a check that tells a right answer from a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import student
from exercises import WRONG
from kernel import Kernel
from paths import NOTEBOOKS

CLEAN = "for _n in set(globals()) - _before: del globals()[_n]"


@pytest.mark.parametrize("name", WRONG)
def test_a_check_is_red_until_the_answer_is_right(name: str, tmp_path: Path) -> None:
    """Red for what students find and for wrong answers, with one line that says why; then green."""
    student.write(tmp_path, [name])
    solved = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    given = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    (at,) = (i for i, cell in enumerate(given.cells) if student.part_of(cell) == "exercise")
    check = next(cell for cell in given.cells[at:] if student.part_of(cell) == "check").source
    solution = solved.cells[at].source
    answers = [given.cells[at].source]
    for old, new in WRONG[name]:
        assert solution.count(old) == 1, f"the solution does not hold {old!r} once"
        answers.append(solution.replace(old, new))
    with Kernel(PARALLM_LIVE="0") as kernel:
        kernel.run(f"%cd -q {tmp_path}")
        for cell in given.cells[:at]:
            if cell.cell_type == "code":
                ran = kernel.run(cell.source)
                assert not ran.error or "raises-exception" in cell.metadata.get("tags", ()), ran
        kernel.run("_before = {*globals(), '_before', '_n'}")
        for answer in answers:
            kernel.run(answer)
            why = kernel.run(check).of("error")
            assert why, f"the check accepts:\n{answer}"
            assert re.search(r"^AssertionError", why[0]["ename"]), why
            assert 10 < len(why[0]["evalue"]) < 160, why[0]["evalue"]
            assert "\n" not in why[0]["evalue"]
            kernel.run(CLEAN)
        assert not kernel.run(solution).error
        assert kernel.run(check).stream() == "right\n"

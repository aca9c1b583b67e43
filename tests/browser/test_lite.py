"""The course in a browser alone: lessons run to their end, nobody else is asked, and nothing shown can act."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from lite import SITE, Lesson, Served, lesson_of

pytestmark = pytest.mark.lite

LESSONS = ("01_quickstart.ipynb", "05_measuring.ipynb")


@pytest.fixture(scope="module")
def site() -> Iterator[Served]:
    """The site that was built last."""
    assert SITE.is_dir(), "there is no site yet: python lite/build.py"
    with Served(SITE) as site:
        yield site


@pytest.fixture(scope="module")
def open_lesson(chromium: Browser, site: Served) -> Iterator[Lesson]:
    """A lesson that was just opened, for cells of the test's own."""
    with lesson_of(chromium, site) as lesson:
        lesson.open(LESSONS[0])
        lesson.run("%load_ext parallm_magics")
        yield lesson


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_to_its_end(chromium: Browser, site: Served, name: str) -> None:
    """Run All ends without an error, and asks only the site."""
    with lesson_of(chromium, site) as lesson:
        lesson.open(name)
        lesson.run_all()
        code = [cell for cell in lesson.cells() if cell["cell_type"] == "code" and cell["source"]]
        assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
        assert [said for cell in code for said in cell["outputs"] if _is_bad(said)] == []
        assert lesson.hosts == {"127.0.0.1"}


def _is_bad(output: dict[str, Any]) -> bool:
    return output["output_type"] == "error" or output.get("name") == "stderr"


def test_what_a_model_wrote_cannot_act(open_lesson: Lesson) -> None:
    """Without what cleans html, hostile Markdown and html are shown as they were written."""
    hostile = (
        "**b** <img src=x onerror='window.acted=1'><script>window.acted=1</script>[l](javascript:1)"
    )
    open_lesson.run(f"given = {{'say': {hostile!r}}}")
    open_lesson.run("%parallm provider said --sim given")
    *_, shown = open_lesson.run("%%fanout -m said\nsay")
    html = shown["data"]["text/html"]
    assert "&lt;img src=x onerror=" in html
    assert (
        open_lesson.page.locator(".parallm-run img, .parallm-run script, .parallm-run a").count()
        == 0
    )
    assert open_lesson.page.evaluate("window.acted") is None


def test_cancel_ends_a_run(open_lesson: Lesson) -> None:
    """The live table is there, a click is heard while the cell runs, and what is done is kept."""
    open_lesson.start("%%fanout -n 4 -o kept -m sim:?latency=600\nSay it.")
    live = open_lesson.page.locator(".parallm-live")
    expect(live).to_contain_text("0 of 4 done")
    live.get_by_role("button", name="Cancel").click()
    *_, said = open_lesson.ended()
    assert said["evalue"].startswith("cancelled; 0 of 4 workers were done")
    [count] = open_lesson.run("print(len(kept.results))")
    assert count["text"] == "4\n"


def test_a_model_that_cannot_be_asked_is_refused_in_one_line(open_lesson: Lesson) -> None:
    """A page's own Python opens no connections; the line says what to do."""
    [said] = open_lesson.run("%%vote -n 3 -m llamacpp:smollm2-135m --choices yes,no\nIs it?")
    assert "ModelError" in said["ename"]
    assert "\n" not in said["evalue"]
    assert "can ask no model" in said["evalue"]


def test_recordings_are_kept_and_played_back(open_lesson: Lesson) -> None:
    """The notebook's own folder takes a file of recordings, and plays it back."""
    open_lesson.run("%parallm recordings kept.jsonl")
    for _ in range(2):
        open_lesson.run("%%vote -n 3 -m sim --choices yes,no -o run\nIs it?")
    [played] = open_lesson.run("print(*[record.replayed for record in run.results])")
    assert played["text"] == "True True True\n"
    open_lesson.run("%parallm recordings --mode off")
    [lines] = open_lesson.run("print(len(open('kept.jsonl').readlines()))")
    assert lines["text"] == "3\n"


def test_a_cell_below_another_magic_waits_or_says_that_it_cannot(open_lesson: Lesson) -> None:
    """`%%time` above a vote needs a browser that lets Python wait; one that does not is told in one line."""
    shown = open_lesson.run("%%time\n%%vote -n 3 -m sim --choices yes,no\nIs it?")
    assert any("votes" in str(each.get("data")) for each in shown) or "cannot wait" in str(shown)

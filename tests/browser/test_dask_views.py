"""A map on a Dask cluster as a person sees it: the workers of the cluster while it runs, the result, an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Lab, Notebook
from playwright.sync_api import Browser, expect
from provider import KEY, Act, Call, Loopback

READABLE = 4.5


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    """The scripted provider, whose answers come when the test lets them."""
    with Loopback() as server:
        yield server


def cells(url: str) -> list[str]:
    """A cluster whose workers reach the provider, a map on it, and one without a cluster."""
    mapped = "%%fanout --each docs --engine dask -m anthropic:{} -c 12 -o run\nSay {{{{item}}}}.\n"
    first = (
        "%load_ext parallm_magics\nimport os\n"
        f"os.environ['ANTHROPIC_BASE_URL'], os.environ['ANTHROPIC_API_KEY'] = {url!r}, {KEY!r}\n"
        "docs = [f'text {n}' for n in range(40)]"
    )
    return [
        first,
        "%parallm dask --local 2",
        mapped.format("ok"),
        mapped.format("waits"),
        "%parallm dask off",
        mapped.format("ok"),
    ]


def wide(notebook: Notebook, index: int) -> float:
    """By how many pixels what a cell shows is wider than its place."""
    return float(
        notebook.output(index)
        .locator(".parallm-run")
        .first.evaluate("e => e.scrollWidth - e.clientWidth")
    )


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_map_on_a_cluster_in_a_notebook(
    lab: Lab, chromium: Browser, server: Loopback, theme: str
) -> None:
    """Live, each cluster worker has a row that can be read at any width; then the result, and one line for an error."""
    held = [True]

    def waits(call: Call) -> Act:
        number = int(call.prompt.split()[-1].rstrip("."))
        return Act(delay=0.05) if number < 16 or not held[0] else Act(hang=True)

    server.script("waits", waits)
    name = f"cluster-{theme}.ipynb"
    lab.write(name, cells(server.url))
    lab.theme(theme)
    notebook = Notebook.open(chromium, lab, name)
    notebook.run(0, 1, 2)
    expect(notebook.output(1)).to_contain_text("2, with 2 threads")
    expect(notebook.output(1)).to_contain_text("ANTHROPIC_API_KEY is set on 2 of 2")
    expect(notebook.output(2)).to_contain_text("40 of 40")
    notebook.start(3)
    live = notebook.output(3).locator(".parallm-live-top")
    expect(live).to_contain_text("2 cluster workers, 12 calls under way")
    expect(live).to_contain_text("16 of 40 done")
    for width in (1200, 600):
        notebook.page.set_viewport_size({"width": width, "height": 1000})
        assert wide(notebook, 3) <= 1, width
    found = notebook.contrasts(1, 2, 3)
    assert {text: ratio for text, ratio in found.items() if ratio < READABLE} == {}
    held[0] = False
    notebook.output(3).get_by_role("button", name="Cancel").click()
    notebook.wait(3)
    expect(notebook.output(3)).to_contain_text("cancelled; 16 of 40 workers were done; run holds")
    notebook.run(4, 5)
    expect(notebook.output(5)).to_contain_text("OptionError: no Dask cluster is connected; start")
    assert KEY not in notebook.output(1).inner_text() + notebook.output(3).inner_text()
    notebook.close()
    lab.shut_down_kernels()

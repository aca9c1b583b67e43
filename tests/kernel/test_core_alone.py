"""The package without what the Python of a web page cannot have: SDKs, prices, what cleans html and checks schemas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ABSENT = (
    *("anthropic", "openai", "httpx", "httpx2", "aiohttp", "genai_prices", "nh3", "jsonschema"),
    *("referencing", "rpds", "markupsafe", "nest_asyncio2", "pandas", "pyarrow", "dask"),
)
ALONE = f"""
import contextlib, io, sys
for name in {ABSENT!r}:
    sys.modules[name] = None
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")
def cell(code):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = shell.run_cell(code)
    return result.error_before_exec or result.error_in_exec or result.result
cell("%load_ext parallm_magics")
"""


def alone(code: str, folder: Path, **variables: str) -> list[str]:
    """What a Python without these packages prints."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "IPYTHONDIR": str(folder), **variables},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_votes_fan_outs_and_studies_run(tmp_path: Path) -> None:
    """All that asks a simulation does, and what it shows is html that is safe."""
    code = """
print(cell("%%vote -n 5 -m sim:a?accuracy=1 --choices yes,no\\nIs it?").winner in ("yes", "no"))
cell("words = ['<b>one</b>', 'two']")
run = cell("%%fanout -m sim --each words\\nSay **{{item}}**.")
html = run._repr_mimebundle_()["text/html"]
print(len(run.succeeded), "<b>one" in html, "&lt;b&gt;one" in html)
cell("rows = [{'text': str(n), 'label': 'ab'[n % 2]} for n in range(8)]")
study = cell("%%vote -n 3 -m sim:a?accuracy=1 --choices a,b --each rows --truth label\\n{{item.text}}")
print(type(study).__name__)
"""
    assert alone(code, tmp_path) == ["True", "2 False True", "StudyRun"]


def test_what_is_recorded_is_played_back_for_a_model_that_cannot_be_asked(tmp_path: Path) -> None:
    """Recorded answers need no SDK; a call that is not recorded is refused in one line."""
    code = """
cell("%parallm recordings kept.jsonl")
for _ in range(2):
    print(cell("%%vote -n 3 -m sim --choices yes,no\\nIs it?").winner in ("yes", "no"))
print(cell("%%vote -n 3 -m openai:gpt-5-mini --choices yes,no\\nIs it?"))
"""
    first, again, refused = alone(code, tmp_path, OPENAI_API_KEY="none")
    assert first == again == "True"
    assert "the package openai cannot be imported" in refused


def test_a_json_schema_says_what_it_needs(tmp_path: Path) -> None:
    """The short form does without the package that a JSON Schema needs, which one line names."""
    code = """
print(cell("%%fanout -m sim --schema 'vendor, total: number'\\nRead it.").results[0].ok)
cell("s = {'type': 'object', 'properties': {'a': {'type': 'string'}}}")
print(cell("%%fanout -m sim --schema s\\nRead it."))
"""
    short, refused = alone(code, tmp_path)
    assert short == "True"
    assert "needs the package jsonschema" in refused

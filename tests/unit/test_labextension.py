"""The editor's extension, as far as its files tell: of this version, with our words, and harmless."""

from __future__ import annotations

import json
import re
import tomllib

from paths import LABEXTENSION, PROJECT

from parallm_magics.cell.directives import BLOCK_WORDS, SYSTEM_WORDS

ABOUT = json.loads((LABEXTENSION / "package.json").read_text("utf-8"))
CODE = (LABEXTENSION / ABOUT["jupyterlab"]["_build"]["load"]).read_text("utf-8")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
REACHES_OUT = (
    r"\beval\b|\bFunction\b|\bfetch\b|XMLHttpRequest|WebSocket|sendBeacon|\bimport\b|https?:|innerHTML|"
    r"insertAdjacentHTML|document\b(?!\.addEventListener|\.body\.classList)|\bWorker\b|localStorage|setTimeout|setInterval"
)


def test_it_is_of_the_packages_version() -> None:
    """A release changes both, so that Jupyter lists the version that is installed."""
    assert ABOUT["version"] == PYPROJECT["project"]["version"]


def test_it_goes_where_jupyter_looks() -> None:
    """Under its own name, and once: not in the package too."""
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    source = LABEXTENSION.relative_to(PROJECT).as_posix()
    assert wheel["shared-data"] == {source: f"share/jupyter/labextensions/{ABOUT['name']}"}
    assert source in wheel["exclude"]
    assert (
        json.loads((LABEXTENSION / "install.json").read_text("utf-8"))["packageName"]
        == (PYPROJECT["project"]["name"])
    )


def test_it_knows_the_words_of_the_grammar() -> None:
    """A directive that is added has its colour."""
    lists = re.findall(r"(?m)^\s*(?:const )?(\w+)(?::| =) (\[(?:'\w+'(?:, )?)+\])", CODE)
    found = {name: json.loads(words.replace("'", '"')) for name, words in lists}
    assert found == {magic: [*words] for magic, words in BLOCK_WORDS.items()} | {
        "PAIR": [*SYSTEM_WORDS]
    }


def test_it_runs_no_text_and_reaches_nobody() -> None:
    """No evaluation, no network, no page of its own, no clock: it styles what is typed."""
    code = re.sub(r"(?m)^\s*//.*$", "", CODE)
    assert re.findall(REACHES_OUT, code) == []

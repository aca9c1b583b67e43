"""The page on providers says what the entries say."""

from __future__ import annotations

import json
import re

from paths import PACKAGE
from provider_page import PAGE, page

from parallm_magics.providers.entries import ENTRIES


def test_the_table_is_made_of_the_entries() -> None:
    """`python tests/support/provider_page.py` writes it anew."""
    as_written = PAGE.read_text()
    assert as_written == page(as_written), "run: python tests/support/provider_page.py"


def test_the_page_names_files_that_exist() -> None:
    """Whoever wants to know what was tried finds it."""
    for path in re.findall(r"`(tests/[\w/]+\.py|parallm_magics/[\w/]+\.py)`", PAGE.read_text()):
        assert (PACKAGE.parent / path).exists(), path


def test_the_readme_names_every_provider() -> None:
    """Its table of models leaves none out."""
    readme = (PACKAGE.parent / "README.md").read_text()
    for entry in ENTRIES:
        assert re.search(rf"`{entry.name}\b", readme), entry.name


def test_notebooks_compare_no_list_of_providers() -> None:
    """So that one more changes none of them."""
    for path in (PACKAGE.parent / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            lists = re.search(
                r"(?m)^%parallm( *| +(models|provider|status) *)$", "".join(cell["source"])
            )
            if cell["cell_type"] == "code" and lists:
                assert "nbval-ignore-output" in cell["metadata"]["tags"], (path.name, lists[0])

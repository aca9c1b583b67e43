"""The page on providers says what the entries say."""

from __future__ import annotations

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

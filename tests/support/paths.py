"""Where things lie that tests read: their data, the notebooks, the package."""

from __future__ import annotations

from pathlib import Path

import parallm_magics

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
DATA = TESTS / "data"
PROJECT = TESTS.parent
NOTEBOOKS = PROJECT / "notebooks"
PACKAGE = Path(parallm_magics.__file__).parent
LABEXTENSION = PACKAGE / "labextension"

"""Whether this is the Python of a web page: no threads, no connections, no signals, no locks of files."""

from __future__ import annotations

import sys

IN_BROWSER = sys.platform == "emscripten"

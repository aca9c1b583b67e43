"""How Sphinx builds the site: `python docs/make.py`.

The source folder is the project's own, so that links to notebooks and files are the same on the
site and in the repository.
"""

from __future__ import annotations

project = "parallm_magics"
author = "the parallm_magics maintainers"
extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "notebooks/*.ipynb",
    "notebooks/data/README.md",
    "notebooks/models/NUMBERS.md",
    "notebooks/models/README.md",
    "tests/benchmarks/*.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = ["build", ".*", "**/.*"]

# Links to headings work as in the repository, and a broken one is an error.
myst_heading_anchors = 3
myst_enable_extensions: list[str] = []

# Notebooks are shown as they were executed; widgets would load scripts from another host.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [("html", "text/html", 1)]

highlight_language = "text"  # a cell is no Python, whose words would be coloured in its prompts
smartquotes = False  # an option keeps its two dashes
html_theme = "furo"
html_title = "parallm_magics"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

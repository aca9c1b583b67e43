"""Build the site into build/site, and check it.

    python docs/make.py

Needs the extra `docs`, and no network. Stops at any warning, at a link to a page or heading that
does not exist, and at a page that would load something from another host.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
FRONT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
PICTURES = Path("notebooks/images")
"""Pictures that a page's own html shows, which Sphinx does not see."""
LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "link": ("href",),
}
"""What a browser fetches by itself: the attributes of each element that say from where."""


class Page(HTMLParser):
    """The links, the anchors and the loaded files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors = {""}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element links to, loads, or can be linked by."""
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        for name in LOADED.get(tag, ()):
            several = given.get(name, "").split(",") if name == "srcset" else [given.get(name, "")]
            self.loaded |= {each.split()[0] for each in several if each.strip()}


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with the links and the loaded files of a built site, a line each."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in sorted(pages.items()):
        name = path.relative_to(site.resolve())
        for target in sorted(page.loaded):
            parts = urlsplit(target)
            if parts.netloc or parts.scheme not in ("", "data"):
                yield f"{name} loads {target[:100]}"
            elif not parts.scheme and not (path.parent / unquote(parts.path)).exists():
                yield f"{name} loads {target[:100]}, which is not there"
        for target in sorted(page.links):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue  # another site: never contacted
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists():
                yield f"{name} links to {target[:100]}, which is not there"
            elif file in pages and unquote(parts.fragment) not in pages[file].anchors:
                yield f"{name} links to {target[:100]}, which has no such heading"


def main() -> None:
    """Build from nothing, then check."""
    from sphinx.cmd.build import build_main

    shutil.rmtree(SITE, ignore_errors=True)
    options = [
        "-q",
        "-E",
        "-n",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-d",
        str(ROOT / "build" / "doctrees"),
    ]
    if build_main([*options, "-c", str(ROOT / "docs"), str(ROOT), str(SITE)]):
        sys.exit("the site was not built")
    (SITE / "index.html").write_text(FRONT, "utf-8")
    shutil.copytree(ROOT / PICTURES, SITE / PICTURES)
    found = list(problems(SITE))
    sys.exit("\n".join(found) if found else print(f"the site is in {SITE.relative_to(ROOT)}"))


if __name__ == "__main__":
    main()

"""Foreign text made fit to be shown in one line, or kept as an answer."""

from __future__ import annotations

from parallm_magics.core.characters import is_invisible

LONGEST = 200


def one_line(text: str, most: int = LONGEST) -> str:
    """Return the text in one line of printable characters, cut where it is too long.

    >>> one_line("a\\n  b\\x1b[31m")
    'a b\ufffd[31m'
    """
    line = " ".join(text[: 4 * most].split())
    if not (line.isascii() and line.isprintable()):
        line = "".join("\ufffd" if is_invisible(c) or not c.isprintable() else c for c in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def mended(text: str) -> str:
    """Return the text with surrogates that belong together joined, and lone ones replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

"""The look of a live table said once: a class and a rule in the place of a style that repeats."""

from __future__ import annotations

import re

# A width says how much, which is another thing with every drawing; what follows it is a look.
_STYLE = re.compile(r'(?:class="([^"]*)" )?style="((?:width:[\d.]+%;)?)([^"]*)"')

MOST_RULES = 400
"""Looks beyond these stay where they are: a sheet that grew for ever would be sent for ever."""


class StyleSheet:
    """Turns the styles of html of ours into classes, and collects the rules of these.

    A front end takes <style> out of what is saved, so that a saved view says each look in its place;
    what is sent several times a second is a third as long without.
    """

    def __init__(self, within: str) -> None:
        """Take the class of what the rules are about."""
        # Twice, so that a rule outdoes those of the page, as a style in its place does.
        self._within = f".{within}.{within}"
        self._classes: dict[str, str] = {}

    def classed(self, html: str) -> str:
        """The same html with a class for each look."""
        return _STYLE.sub(self._said, html)

    def _said(self, style: re.Match[str]) -> str:
        named, width, look = style.groups()
        name = self._classes.get(look)
        if name is None:
            if not look or len(self._classes) >= MOST_RULES:
                return style[0]
            name = self._classes[look] = f"p{len(self._classes)}"
        drawn = f'class="{named} {name}"' if named else f'class="{name}"'
        return f'{drawn} style="{width}"' if width else drawn

    @property
    def rules(self) -> str:
        """The rules so far, as the text of a style sheet."""
        return "\n".join(
            f"{self._within} .{name}{{{look}}}" for look, name in self._classes.items()
        )

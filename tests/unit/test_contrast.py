"""Colours stand out from light and dark pages, by WCAG 2's measure."""

from __future__ import annotations

import re

import pytest

from parallm_magics.display import looks

Colour = tuple[float, float, float]

PAGES: dict[str, tuple[str, str]] = {
    "JupyterLab light": ("#ffffff", "#212121"),
    "JupyterLab dark": ("#111111", "#e0e0e0"),
    "GitHub light": ("#ffffff", "#1f2328"),
    "GitHub dark": ("#0d1117", "#f0f6fc"),
    "VS Code light": ("#ffffff", "#3b3b3b"),
    "VS Code dark": ("#1f1f1f", "#cccccc"),
}
"""Ground and text of the pages that show notebooks."""

TEXT, MARK = 4.5, 3.0
"""The least contrast of text and of marks, level AA."""

MARKS = ("GREEN", "BLUE", "AMBER", "RED", "PURPLE", "GREY")


def colour(code: str) -> Colour:
    """Red, green and blue from 0 to 1."""
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def over(ground: Colour, paint: Colour, opacity: float) -> Colour:
    """A translucent paint on a ground."""
    red, green, blue = (b + (p - b) * opacity for b, p in zip(ground, paint, strict=True))
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """From 1 to 21."""
    linear = [
        [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in each]
        for each in (one, other)
    ]
    dark, light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (light + 0.05) / (dark + 0.05)


def opacity(style: str) -> float:
    """That of a style."""
    found = re.search(r"opacity:(\.\d+)", style)
    return float(found[1]) if found else 1.0


def test_the_measure_is_right() -> None:
    """Black on white is the greatest contrast; an AA grey on white is known."""
    assert contrast(colour("#000000"), colour("#ffffff")) == pytest.approx(21)
    assert contrast(colour("#767676"), colour("#ffffff")) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", MARKS)
def test_marks_stand_out(page: str, name: str) -> None:
    """Dots and bars of every state, on every page."""
    ground = colour(PAGES[page][0])
    assert contrast(ground, colour(getattr(looks, name))) >= MARK


def test_every_state_has_a_measured_colour() -> None:
    """A new colour is measured too."""
    measured = {getattr(looks, name) for name in MARKS}
    assert {state.colour for state in looks.STATES.values()} <= measured


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("style", ["DIM", "SMALL_DIM", "HEAD", "HEAD_CELL"])
def test_dim_text_can_be_read(page: str, style: str) -> None:
    """Small print, on the page and on the faint ground of code and empty bars."""
    ground, text = map(colour, PAGES[page])
    faint = over(ground, (128 / 255,) * 3, 0.14)
    for behind in (ground, faint):
        assert contrast(behind, over(behind, text, opacity(getattr(looks, style)))) >= TEXT

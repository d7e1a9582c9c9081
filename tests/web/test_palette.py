"""Text can be read in both palettes: the contrast that WCAG 2.2 asks for at level AA.

https://www.w3.org/TR/WCAG22/#contrast-minimum and #non-text-contrast.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STYLE = Path(__file__).parents[2] / "src" / "forthwith" / "web" / "static" / "style.css"
TEXT_MIN, SHAPE_MIN = 4.5, 3.0
# What is written on what.
WRITTEN = [
    *[
        (text, ground)
        for text in ("ink", "faint", "accent", "bad")
        for ground in ("ground", "card")
    ],
    ("on-accent", "accent"),
    ("warn", "card"),
    *[(state, f"{state}-ground") for state in ("good", "bad", "warn", "calm")],
    *[("ink", f"{kind}-ground") for kind in ("good", "bad", "warn", "calm", "plain")],
    *[("faint", f"{kind}-ground") for kind in ("bad", "warn", "plain")],
]
DRAWN = [(colour, "card") for colour in ("good", "bad", "warn", "accent")]


def palettes() -> dict[str, dict[str, str]]:
    """Return the colours by name, of the light palette and of the dark one."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": dark}


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' luminances, from 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of `#rrggbb`, from 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read_and_charts_seen(name: str) -> None:
    palette = palettes()[name]
    assert len(palette) == len(palettes()["light"])
    weak = {
        f"{front} on {back}": round(found, 2)
        for pairs, least in ((WRITTEN, TEXT_MIN), (DRAWN, SHAPE_MIN))
        for front, back in pairs
        if (found := contrast(palette[front], palette[back])) < least
    }
    assert not weak

"""Colours and patterns that any reader can tell apart."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab

from landshift.pipeline.colours.palette import PALETTE, PATTERNS, fill_colours, style_kinds
from landshift.pipeline.colours.vision import DISTINCT, ciede2000, is_dark, lab_of, list_differences
from landshift.pipeline.drawing.symbols import fill_css, screen_lines

COLOURS = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")
DEMO = ("#2f6b3c", "#ead27a", "#a9cc7a", "#b5434a", "#4a86b8", "#7b6ba8")
PAIRS = (  # of the data of Sharma, Wu and Dalal: two colours in CIELAB and their difference
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0010), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, 2.5000, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)  # fmt: skip


@pytest.mark.parametrize(("one", "other", "difference"), PAIRS)
def test_the_difference_is_that_of_the_paper(one: tuple[float, ...], other: tuple[float, ...], difference: float) -> None:
    assert float(ciede2000(np.array(one), np.array(other))) == pytest.approx(difference, abs=5e-5)


@settings(deadline=None)
@given(st.lists(COLOURS, min_size=2, max_size=6))
def test_normal_sight_agrees_with_scikit_image(colours: list[str]) -> None:
    channels = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    lab = rgb2lab(channels[np.newaxis])[0]
    ours = lab_of(colours)[0]
    np.testing.assert_allclose(ours, lab, atol=0.02)
    np.testing.assert_allclose(ciede2000(lab[:, None], lab[None]), deltaE_ciede2000(lab[:, None], lab[None]), atol=1e-6)


def test_red_and_green_come_together_without_red_or_green_cones() -> None:
    normal, protanopia, deuteranopia = (float(ciede2000(*lab)) for lab in lab_of(["#b04a3a", "#6f7a32"]))
    assert normal > 30
    assert min(protanopia, deuteranopia) < 15
    assert list_differences(["#b04a3a", "#6f7a32"])[0, 1] == min(protanopia, deuteranopia)


def test_sixteen_colours_are_apart_to_everyone() -> None:
    apart = list_differences(PALETTE)[np.triu_indices(len(PALETTE), 1)]
    assert apart.min() >= DISTINCT
    assert len(PALETTE) == 16
    assert list_differences(PALETTE, ["#d9d9d9"]).min() > 12


def test_patterns_differ() -> None:
    assert len(set(PATTERNS)) == len(PATTERNS) >= 32
    assert not PATTERNS[0].angles


@settings(deadline=None, max_examples=60)
@given(st.lists(COLOURS, min_size=2, max_size=16))
@example(["#336699"] * 16)
@example(list(PALETTE))
@example(list(DEMO))
def test_any_two_changes_of_any_legend_are_told_apart(classes: list[str]) -> None:
    styles = style_kinds(classes)
    assert set(styles) == {(a, b) for a in range(len(classes)) for b in range(len(classes)) if a != b}
    apart = list_differences([s.colour for s in styles.values()])
    patterns = np.array([s.pattern for s in styles.values()])
    assert patterns.max() < len(PATTERNS)
    same = (patterns[:, None] == patterns[None]) & ~np.eye(len(patterns), dtype=bool)
    assert not (same & (apart < DISTINCT)).any()


def test_the_pattern_is_what_a_place_was_and_the_colour_what_it_became() -> None:
    styles = style_kinds(PALETTE[:6])
    assert {style.pattern for style in styles.values()} == set(range(6))
    assert all(style.pattern == before for (before, _), style in styles.items())
    near = list_differences([styles[0, 3].colour, styles[5, 3].colour], [PALETTE[3]])
    assert near.max() < 10, "the shade only hints at the class before"


@settings(deadline=None)
@given(st.lists(st.none() | COLOURS, min_size=2, max_size=16))
def test_colours_that_were_left_out_are_filled_in(given_colours: list[str | None]) -> None:
    filled = fill_colours(given_colours)
    assert [f for f, g in zip(filled, given_colours, strict=True) if g is not None] == [
        g for g in given_colours if g is not None
    ]
    if not any(given_colours):
        assert filled == PALETTE[: len(filled)]


def test_filled_colours_keep_away_from_those_that_are_there() -> None:
    filled = fill_colours(["#5ab496", None, None])
    assert filled[1:] == PALETTE[1:3]


def test_a_swatch_of_a_page_has_the_same_lines() -> None:
    assert fill_css("#e1f01e") == "#e1f01e"
    (index,) = (n for n, p in enumerate(PATTERNS) if p.angles == (45, 135) and (p.spacing_mm, p.width_mm) == (1.3, 0.16))
    first, second = re.findall(r"gradient\((\d+)deg, (#\w+)", fill_css("#0000c3", index))
    assert (first, second) == (("135", "#ffffff"), ("45", "#ffffff"))
    assert screen_lines("#e1f01e", index).ink == "#1a1a1a"


def test_lines_are_white_on_dark_colours() -> None:
    assert [is_dark(c) for c in ("#0000c3", "#e1f01e")] == [True, False]

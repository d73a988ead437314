"""Pages stand alone and escape every name; a missing field is an error and no silence."""

import re
from typing import Any

import jinja2
import pytest

from pipeline.report import model_card, run_page

HOSTILE = "<script>alert(1)</script>"
SCORES = {"kappa": 0.5, "f1": 0.25, "iou": 0.125, "precision": 1.0, "recall": 0.75, "auc": None, "n": 1234567}


def run(**more: Any) -> dict[str, Any]:
    return {
        "name": "place", "before_date": "2020-06-15", "after_date": "2022-06-20",
        "grid": {"crs": "EPSG:32651", "rows": 40, "columns": 48, "pixel_size_m": 10.0},
        "areas": {
            "changed_ha": 1234.5, "changed_share": 0.125, "not_observed_ha": 0.0, "polygons": 7,
            "observed_share": 0.5, "unchanged_ha": 1.0, "total_ha": 2.0,
            "changes": [
                {
                    "name": "Forest to Cropland", "colour": "#aa0000", "area_ha": 12.0, "pixels": 1200, "polygons": 7,
                    "test": {"precision": 0.625, "recall": 0.5, "pixels": 40},
                },
                {
                    "name": "Forest to Water", "colour": "#0000aa", "area_ha": 1.0, "pixels": 100, "polygons": 1,
                    "test": {"precision": 0.0, "recall": None, "pixels": 0},
                },
            ],
        },
        "key": "k1",
        "warnings": [], "model": {"name": "place", "encoder": "resnet18", "weights": "sha256:00", "scores": {"test": SCORES}},
        "threshold": 0.4, "observed": {"before": 1.0, "after": 0.5}, "config": {"detect": {"min_area_ha": 0.5}},
        "files": {"change.tif": "Change map"}, "inputs": [{"path": "a.tif", "date": "2020-06-15", "hash": "sha256:abc"}],
        "versions": {"rasterio": "1.4"}, **more,
    }  # fmt: skip


PICTURES = {name: "data:image/png;base64,AA==" for name in ("before", "after", "change")}


def test_the_page_says_the_figures() -> None:
    page = run_page(run(), PICTURES)
    for text in (
        "1,234.5 ha",
        "62 %",
        "not tested",
        "Forest to Cropland",
        "1,234,567",
        "kappa 0.5",
        "EPSG:32651",
        "<code>abc</code>",
    ):
        assert text in page


def test_the_page_needs_no_network() -> None:
    page = run_page(run(), PICTURES)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_names_are_escaped_everywhere() -> None:
    page = run_page(
        run(name=HOSTILE, warnings=[HOSTILE], files={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE},
            inputs=[{"path": HOSTILE, "date": HOSTILE, "hash": HOSTILE}]),
        PICTURES | {"before": '"><script>'},
    )  # fmt: skip
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 9


def test_a_run_without_change_and_without_scores() -> None:
    quiet = run()
    quiet["areas"]["changes"] = []
    quiet["model"]["scores"] = None
    page = run_page(quiet, PICTURES)
    assert "No change was found." in page
    assert "kappa" not in page


def test_a_missing_field_is_an_error() -> None:
    broken = run()
    del broken["threshold"]
    with pytest.raises(jinja2.UndefinedError, match="threshold"):
        run_page(broken, PICTURES)


def report(seeds: int) -> dict[str, Any]:
    spread = {k: {"mean": 0.5, "std": 0.1} for k in ("kappa", "f1", "iou", "auc")}
    rows = [{"seed": i, "test": SCORES, "warnings": ["It says unchanged everywhere."] if i else []} for i in range(seeds)]
    encoder = {k: k.title() for k in ("name", "task", "sensor", "licence", "citation")}
    return {
        "project": "place", "encoder": encoder, "strategy": "frozen", "notes": ["swir16: mean of the filters"], "seeds": rows,
        "warnings": [], "kept_seed": 0, "network": spread, "classical": {"IR-MAD, Otsu": SCORES | {"auc": float("nan")}},
    }  # fmt: skip


MODEL = {
    "legend": [{"name": "Forest"}, {"name": "Cropland"}],
    "spec": {"bands": ["red", "nir"], "heads": "both", "decoder": "unet", "fusion": "difference"},
    "units": "reflectance", "normalisation": {"origin": "ImageNet"},
    "threshold": 0.4, "temperatures": {"change": 1.2, "landuse": 1.0},
}  # fmt: skip


def test_the_card_has_a_row_for_each_method() -> None:
    card = model_card(report(1), MODEL)
    assert "among Forest, Cropland." in card
    assert "| Network, seed 0 (kept) | 0.500 | 0.250 | 0.125 | 1.000 | 0.750 | – | 1,234,567 |" in card
    assert "| IR-MAD, Otsu | 0.500 | 0.250 | 0.125 | 1.000 | 0.750 | – | 1,234,567 |" in card
    assert "- swir16: mean of the filters" in card
    assert "mean ±" not in card


def test_several_seeds_have_mean_and_spread_and_the_warnings_are_said() -> None:
    card = model_card(report(2), MODEL)
    assert "| Network, mean ± standard deviation | 0.500 ± 0.100 |" in card
    assert "**Warning:**" not in card
    warned = model_card(report(2) | {"warnings": ["It says unchanged everywhere."]}, MODEL)
    assert "**Warning:** It says unchanged everywhere." in warned


def test_tables_of_the_card_are_not_interrupted() -> None:
    """A blank line would end a Markdown table."""
    for table in re.findall(r"(?:^\|.*\n)+", model_card(report(3), MODEL), re.MULTILINE):
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1

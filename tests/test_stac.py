"""STAC documents: valid by the community's schemas, relative, and true to the files."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import shapely
from affine import Affine

from pipeline.raster_write import write_cog, write_raster
from pipeline.stac import footprint, slug, write_stac
from pipeline.stac_model import write_model_item
from tests.conftest import small_grid
from tests.small_run import SHAPE, write_run

CHECK = Path(__file__).parent / "checks" / "stac.py"


def made(folder: Path, **how: Any) -> dict[str, Any]:
    run = write_run(folder, **how)
    grid = small_grid(*SHAPE)
    confidence = np.full(SHAPE, 180, dtype=np.uint8)
    confidence[0, 0] = 255
    plain = write_raster(folder / "plain.tif", confidence, grid, nodata=255, descriptions=["confidence"], units=["1"],
                         scale=0.005, offset=0.0)  # fmt: skip
    write_cog(folder / "confidence.tif", plain, categorical=False)
    plain.unlink()
    (folder / "change.qml").write_text("<qgis/>", encoding="utf-8")
    write_stac(folder, run)
    return run


def validate(folder: Path) -> None:
    found = subprocess.run([sys.executable, str(CHECK), str(folder)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def item_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "item.json").read_text(encoding="utf-8")))


HOSTILE = (('Wald "A" & <b>', "#2f6b3c"), ("\U0001f33e", "#ead27a"), ("غابة", "#4a86b8"))


@pytest.mark.parametrize("how", [{}, {"quiet": True}, {"classes": ()}, {"classes": HOSTILE, "names": ("'; DROP--",)}])
def test_item_and_collection_are_valid_wherever_the_folder_lies(tmp_path: Path, how: dict[str, Any]) -> None:
    made(tmp_path / "run", **how)
    moved = Path(shutil.move(tmp_path / "run", tmp_path / "elsewhere"))
    validate(moved)
    item = pystac.Item.from_file(str(moved / "item.json"))
    assert {Path(asset.get_absolute_href() or "").parent for asset in item.assets.values()} == {moved}
    collection = pystac.Collection.from_file(str(moved / "collection.json"))
    assert [found.id for found in collection.get_items()] == [item.id]
    assert item.get_collection() is not None
    assert str(tmp_path) not in (moved / "item.json").read_text(encoding="utf-8")


def test_checksums_and_sizes_are_those_of_the_bytes(tmp_path: Path) -> None:
    made(tmp_path)
    assets = item_of(tmp_path)["assets"].values()
    listed = {asset["href"].removeprefix("./") for asset in assets}
    assert listed == {p.name for p in tmp_path.iterdir()} - {"item.json", "collection.json"}
    for asset in assets:
        content = (tmp_path / asset["href"]).read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset["file:size"] == len(content)


def test_bands_and_classes_say_how_to_read_the_numbers(tmp_path: Path) -> None:
    run = made(tmp_path)
    item = item_of(tmp_path)
    (band,) = item["assets"]["confidence"]["bands"]
    assert (band["name"], band["data_type"], band["nodata"], band["unit"], band["raster:scale"]) == (
        "confidence", "uint8", 255, "1", 0.005,
    )  # fmt: skip
    assert band["statistics"]["mean"] == 180
    classes = {
        c["value"]: (c["title"], c["color_hint"], c.get("nodata")) for c in item["assets"]["change"]["classification:classes"]
    }
    assert classes[0] == ("Not observed", "FFFFFF", True)
    assert sorted(classes) == [0, 1, *sorted(row["code"] for row in run["areas"]["changes"])]
    properties = item["properties"]
    assert (properties["proj:code"], properties["proj:shape"]) == ("EPSG:32651", list(SHAPE))
    assert (properties["start_datetime"], properties["end_datetime"]) == ("2020-06-15T00:00:00Z", "2022-06-20T00:00:00Z")
    assert properties["datetime"] is None
    assert "biased" in properties["description"]
    assert item["assets"]["change_qml"]["roles"] == ["style"]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in ("item.json", "collection.json")]
    write_stac(tmp_path, run)
    assert [(tmp_path / name).read_bytes() for name in ("item.json", "collection.json")] == before


def test_a_footprint_follows_the_bend_of_the_sides() -> None:
    """A grid across a whole UTM zone: the middle of its northern side lies farther north than its corners."""
    outline = footprint(Affine(10_000, 0, 200_000, 0, -10_000, 7_000_000), (60, 60), "EPSG:32633")
    corner = footprint(Affine(10, 0, 200_000, 0, -10, 7_000_000), (1, 1), "EPSG:32633").bounds[3]
    assert 0.05 < outline.bounds[3] - corner < 0.3
    assert 8 < outline.bounds[0] < outline.bounds[2] < 22
    assert shapely.is_ccw(outline.exterior)
    coarse = footprint(Affine(600_000, 0, 200_000, 0, -600_000, 7_000_000), (1, 1), "EPSG:32633")
    assert coarse.equals(outline), "vertices do not depend on the size of pixels"


@pytest.mark.parametrize(
    ("name", "expected"), [("Forest to Cropland", "forest-to-cropland-2"), ("غابة", "class-2"), ("", "class-2")]
)
def test_slugs_are_ascii(name: str, expected: str) -> None:
    assert slug(name, 2) == expected


def model(**changed: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "place", "weights": "sha256:" + "ab" * 32, "units": "reflectance", "threshold": 0.4,
        "temperatures": {"change": 1.0, "landuse": 1.0},
        "spec": {"architecture": "resnet18", "bands": ["red", "nir"], "heads": "both", "classes": 2, "decoder": "unet",
                 "fusion": "difference", "decoder_channels": [32, 16]},
        "encoder": {"name": "torchgeo:x", "source": "torchgeo", "task": "SSL4EO"},
        "normalisation": {"mean": [0.1, 0.2], "std": [0.05, 0.1]},
        "legend": [{"code": 1, "name": "Forest", "colour": "#2f6b3c"}, {"code": 2, "name": "غابة", "colour": "#ead27a"}],
        "facts": {"versions": {"torch": "2.13.0"}, "territory": {
            "before_date": "2020-06-15", "after_date": "2022-06-20",
            "footprint": shapely.geometry.mapping(shapely.box(14, 50, 15, 51)),
        }},
    }  # fmt: skip
    return content | changed


@pytest.mark.parametrize("heads", ["change", "landuse", "both"])
def test_the_item_of_a_model_is_valid_and_says_what_goes_in_and_out(tmp_path: Path, heads: str) -> None:
    for name in ("weights.safetensors", "model.json", "card.md"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    content = model()
    content["spec"]["heads"] = heads
    write_model_item(tmp_path, content)
    validate(tmp_path)
    item = item_of(tmp_path)
    properties = item["properties"]
    assert [i["bands"] for i in properties["mlm:input"]] == [["red", "nir"], ["red", "nir"]]
    assert properties["mlm:input"][0]["value_scaling"][1] == {"type": "z-score", "mean": 0.2, "stddev": 0.1}
    outputs = {"change": ["change"], "landuse": ["landuse_before", "landuse_after"]}
    outputs["both"] = outputs["change"] + outputs["landuse"]
    assert [o["name"] for o in properties["mlm:output"]] == outputs[heads]
    assert item["assets"]["weights"]["roles"][0] == "mlm:model"
    assert (properties["mlm:pretrained"], properties["mlm:pretrained_source"]) == (True, "torchgeo:x: SSL4EO")


def test_random_weights_are_no_pretrained_source(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("x", encoding="utf-8")
    write_model_item(tmp_path, model(encoder={"name": "random:resnet18", "source": "random", "task": ""}))
    validate(tmp_path)
    properties = item_of(tmp_path)["properties"]
    assert (properties["mlm:pretrained"], properties["mlm:pretrained_source"]) == (False, None)

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
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_cog, write_raster
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run.stac import bounding_box, footprint, slug, write_stac
from landshift.pipeline.run.stac_model import write_model_item
from landshift.pipeline.scores.reliability import KnownCalibration
from tests.conftest import small_grid
from tests.small_run import SHAPE, write_run

CHECK = Path(__file__).parent / "checks" / "stac.py"


def made(folder: Path, **how: Any) -> RunRecord:
    run = write_run(folder, **how)
    grid = small_grid(*SHAPE)
    change_probability = np.full(SHAPE, 180, dtype=np.uint8)
    change_probability[0, 0] = 255
    plain = write_raster(folder / "plain.tif", change_probability, grid, nodata=255, descriptions=["change_probability"],
                         units=["1"], scale=0.005, offset=0.0)  # fmt: skip
    write_cog(folder / "layers/change_probability.tif", plain, categorical=False)
    plain.unlink()
    (folder / "layers/change.qml").write_text("<qgis/>", encoding="utf-8")
    write_stac(folder, run)
    return run


def validate(folder: Path) -> None:
    found = subprocess.run([sys.executable, str(CHECK), str(folder)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert problems(folder) == []


def problems(folder: Path) -> list[str]:
    """What the schemas object to, also in documents whose schema refers to ones that are not here.

    The check above gives such a document up at the first such reference, which is every item of a model. What is
    referred to is small, and stated here from the specifications.
    """
    draft = {"$schema": "http://json-schema.org/draft-07/schema#"}
    kinds = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)] + ["float16", "float32", "float64"]
    known: dict[str, Any] = {
        "https://stac-extensions.github.io/raster/v1.1.0/schema.json": draft
        | {"definitions": {"bands": {"items": {"properties": {"data_type": {"enum": kinds}}}}}},
        "https://stac-extensions.github.io/processing/v1.1.0/schema.json": draft
        | {"definitions": {"fields": {"properties": {"processing:expression": {"required": ["format", "expression"]}}}}},
    }
    for path in (CHECK.parent / "schemas").glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        known[schema["$id"].rstrip("#")] = schema
    registry = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in known.items())
    found = []
    for path in folder.rglob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        for extension in document.get("stac_extensions", []):
            if extension in known:
                validator = Draft7Validator(known[extension], registry=registry)
                found += [f"{path.name}: {fault.json_path} {fault.message}" for fault in validator.iter_errors(document)]
    return found


def item_of(folder: Path, place: str = "record") -> dict[str, Any]:
    return dict(json.loads((folder / place / "item.json").read_text(encoding="utf-8")))


HOSTILE = (('Wald "A" & <b>', "#2f6b3c"), ("\U0001f33e", "#ead27a"), ("غابة", "#4a86b8"))


@pytest.mark.parametrize("how", [{}, {"quiet": True}, {"classes": ()}, {"classes": HOSTILE, "names": ("'; DROP--",)}])
def test_item_and_collection_are_valid_wherever_the_folder_lies(tmp_path: Path, how: dict[str, Any]) -> None:
    made(tmp_path / "run", **how)
    moved = Path(shutil.move(tmp_path / "run", tmp_path / "elsewhere"))
    validate(moved)
    item = pystac.Item.from_file(str(moved / "record/item.json"))
    assert {Path(asset.get_absolute_href() or "").parent for asset in item.assets.values()} == {
        moved,
        moved / "layers",
        moved / "record",
    }
    collection = pystac.Collection.from_file(str(moved / "record/collection.json"))
    assert [found.id for found in collection.get_items()] == [item.id]
    assert item.get_collection() is not None
    assert str(tmp_path) not in (moved / "record/item.json").read_text(encoding="utf-8")


def test_checksums_and_sizes_are_those_of_the_bytes(tmp_path: Path) -> None:
    made(tmp_path)
    assets = item_of(tmp_path)["assets"].values()
    record = tmp_path / "record"
    listed = {(record / asset["href"]).resolve() for asset in assets}
    there = {p.resolve() for p in tmp_path.rglob("*") if p.is_file()}
    assert listed == there - {record / "item.json", record / "collection.json"}
    for asset in assets:
        content = (record / asset["href"]).read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset["file:size"] == len(content)


@pytest.mark.parametrize(
    ("known", "error", "told"),
    [(KnownCalibration(0.02, 0.02), 0.02, "calibrated"), (KnownCalibration(None, 0.001), None, "uncalibrated here")],
)
def test_an_item_tells_whether_probabilities_were_calibrated_on_its_images(
    tmp_path: Path, known: KnownCalibration, error: float | None, told: str
) -> None:
    made(tmp_path, calibration=known)
    properties = item_of(tmp_path)["properties"]
    assert (properties["landshift:calibration_error"], properties["landshift:probabilities"]) == (error, told)


def test_bands_and_classes_say_how_to_read_the_numbers(tmp_path: Path) -> None:
    run = made(tmp_path)
    item = item_of(tmp_path)
    (band,) = item["assets"]["change_probability"]["bands"]
    assert (band["name"], band["data_type"], band["nodata"], band["unit"], band["raster:scale"]) == (
        "change_probability", "uint8", 255, "1", 0.005,
    )  # fmt: skip
    assert band["statistics"]["mean"] == 180
    classes = {
        c["value"]: (c["title"], c["color_hint"], c.get("nodata")) for c in item["assets"]["change"]["classification:classes"]
    }
    assert classes[0] == ("Not observed", "FFFFFF", True)
    assert sorted(classes) == [0, 1, *sorted(row.code for row in run.areas.changes)]
    properties = item["properties"]
    assert (properties["proj:code"], properties["proj:shape"]) == ("EPSG:32651", list(SHAPE))
    assert (properties["start_datetime"], properties["end_datetime"]) == ("2020-06-15T00:00:00Z", "2022-06-20T23:59:59Z")
    assert properties["datetime"] is None
    assert "biased" in properties["description"]
    assert item["assets"]["change_qml"]["roles"] == ["style"]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = [(tmp_path / "record" / name).read_bytes() for name in ("item.json", "collection.json")]
    write_stac(tmp_path, run)
    assert [(tmp_path / "record" / name).read_bytes() for name in ("item.json", "collection.json")] == before


def test_a_footprint_follows_the_bend_of_the_sides() -> None:
    """A grid across a whole UTM zone: the middle of its northern side lies farther north than its corners."""
    outline = footprint(Affine(10_000, 0, 200_000, 0, -10_000, 7_000_000), (60, 60), "EPSG:32633")
    corner = footprint(Affine(10, 0, 200_000, 0, -10, 7_000_000), (1, 1), "EPSG:32633").bounds[3]
    assert 0.05 < outline.bounds[3] - corner < 0.3
    assert 8 < outline.bounds[0] < outline.bounds[2] < 22
    assert shapely.is_ccw(outline.exterior)
    coarse = footprint(Affine(600_000, 0, 200_000, 0, -600_000, 7_000_000), (1, 1), "EPSG:32633")
    assert coarse.equals(outline), "vertices do not depend on the size of pixels"


def test_a_footprint_across_the_antimeridian_has_two_parts() -> None:
    """East of Fiji: without the cut it would go around the Earth the other way."""
    outline = footprint(Affine(10, 0, 810_000, 0, -10, 8_000_000), (4000, 6000), "EPSG:32760")
    assert outline.is_valid
    west, south, east, north = bounding_box(outline)
    assert (179.9 < west < 180, -179.6 < east < -179.4) == (True, True)
    assert (south, north) == pytest.approx((-18.4276, -18.0571), abs=1e-3)
    assert {part.bounds[i] for part, i in zip(sorted(outline.geoms, key=lambda p: p.bounds), (0, 2), strict=True)} == {
        -180,
        180,
    }
    assert all(shapely.is_ccw(part.exterior) for part in outline.geoms)
    assert outline.area < 0.3
    # The same rectangle, whose western corner lies beyond 180 already.
    beyond = footprint(Affine(10, 0, 830_000, 0, -10, 8_000_000), (400, 600), "EPSG:32760")
    assert beyond.geom_type == "Polygon"
    assert -180 < beyond.bounds[0] < beyond.bounds[2] < -179


def test_a_grid_without_an_authority_says_its_crs_in_full(tmp_path: Path) -> None:
    run = made(tmp_path)
    codes, _ = read_raster(tmp_path / "layers/change.tif")
    laea = "+proj=laea +lat_0=31.3 +lon_0=121.7 +datum=WGS84 +units=m"
    write_raster(
        tmp_path / "layers/change.tif", codes, grid_of(Affine(10, 0, -1000, 0, -10, 5000), codes.shape, laea), nodata=0
    )
    write_stac(tmp_path, run)
    validate(tmp_path)
    properties = item_of(tmp_path)["properties"]
    assert properties["proj:code"] is None
    assert "Lambert Azimuthal Equal Area" in properties["proj:wkt2"]


def test_journals_backups_and_notes_are_not_published(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = item_of(tmp_path)["assets"]
    for name in ("changes.gpkg-wal", "changes.gpkg-shm", "map.qgz~", "our notes.docx"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    write_stac(tmp_path, run)
    assert item_of(tmp_path)["assets"] == before


def test_the_collection_says_what_its_items_hold(tmp_path: Path) -> None:
    made(tmp_path)
    collection = json.loads((tmp_path / "record/collection.json").read_text(encoding="utf-8"))
    item = item_of(tmp_path)
    assert set(collection["item_assets"]) == set(item["assets"])
    change = collection["item_assets"]["change"]
    assert change["classification:classes"] == item["assets"]["change"]["classification:classes"]
    assert not {"href", "file:size", "file:checksum"} & set(change)
    assert {link["rel"]: link["href"] for link in collection["links"]} == {"root": "./collection.json", "item": "./item.json"}


@pytest.mark.parametrize(
    ("name", "expected"), [("Forest to Cropland", "forest-to-cropland-2"), ("غابة", "class-2"), ("", "class-2")]
)
def test_slugs_are_ascii(name: str, expected: str) -> None:
    assert slug(name, 2) == expected


def model(**changed: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "place", "weights": "sha256:" + "ab" * 32, "units": "reflectance", "threshold": 0.4,
        "temperatures": {"change": 1.0, "landuse": 1.0},
        "spec": {"architecture": "resnet18", "image_bands": ["red", "nir"], "bands": ["red", "nir"],
                 "heads": "both", "classes": 2, "decoder": "unet",
                 "fusion": "difference", "decoder_channels": [32, 16]},
        "encoder": {"name": "torchgeo:x", "source": "torchgeo", "task": "SSL4EO"},
        "normalisation": {"mean": [0.1, 0.2], "std": [0.05, 0.1], "scale": 1.0},
        "legend": [{"code": 1, "name": "Forest", "colour": "#2f6b3c"}, {"code": 2, "name": "غابة", "colour": "#ead27a"}],
        "facts": {"versions": {"torch": "2.13.0"}, "territory": {
            "before_date": "2020-06-15", "after_date": "2022-06-20",
            "footprint": shapely.geometry.mapping(shapely.box(14, 50, 15, 51)),
        }},
    }  # fmt: skip
    return content | changed


def write_model(folder: Path, **changed: Any) -> dict[str, Any]:
    (folder / "weights.safetensors").write_text("x", encoding="utf-8")
    write_model_item(folder, model(**changed))
    validate(folder)
    return dict(item_of(folder, "")["properties"])


@pytest.mark.parametrize("heads", ["change", "landuse", "both"])
def test_the_item_of_a_model_is_valid_and_says_what_goes_in_and_out(tmp_path: Path, heads: str) -> None:
    for name in ("model.json", "card.md"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    properties = write_model(tmp_path, spec=model()["spec"] | {"heads": heads})
    assert [i["bands"] for i in properties["mlm:input"]] == [["red", "nir"], ["red", "nir"]]
    assert properties["mlm:input"][0]["value_scaling"][1] == {"type": "z-score", "mean": 0.2, "stddev": 0.1}
    outputs = {"change": ["change"], "landuse": ["landuse_before", "landuse_after"]}
    outputs["both"] = outputs["change"] + outputs["landuse"]
    assert [o["name"] for o in properties["mlm:output"]] == outputs[heads]
    assert item_of(tmp_path, "")["assets"]["weights"]["roles"][0] == "mlm:model"
    assert (properties["mlm:pretrained"], properties["mlm:pretrained_source"]) == (True, "torchgeo:x: SSL4EO")


def test_random_weights_are_no_pretrained_source(tmp_path: Path) -> None:
    properties = write_model(tmp_path, encoder={"name": "random:resnet18", "source": "random", "task": ""})
    assert (properties["mlm:pretrained"], properties["mlm:pretrained_source"]) == (False, None)


def test_scaling_is_in_the_units_of_the_pixels(tmp_path: Path) -> None:
    """The network computes (pixel * scale - mean) / std: here the encoder counts in ten thousandths of our reflectance."""
    normalisation = {"mean": [1000.0, 2000.0], "std": [500.0, 250.0], "scale": 10_000.0}
    scaling = write_model(tmp_path, normalisation=normalisation)["mlm:input"][0]["value_scaling"]
    pixel = 0.3
    said = [(pixel - s["mean"]) / s["stddev"] for s in scaling]
    assert said == pytest.approx([(pixel * 10_000 - 1000) / 500, (pixel * 10_000 - 2000) / 250])


def test_bands_are_those_that_the_images_must_have(tmp_path: Path) -> None:
    """Its encoder takes two of three; the network picks them itself."""
    spec = model()["spec"] | {"image_bands": ["red", "swir16", "nir"]}
    before, after = write_model(tmp_path, spec=spec)["mlm:input"]
    assert before["bands"] == after["bands"] == ["red", "swir16", "nir"]
    assert before["input"]["shape"] == [-1, 3, -1, -1]
    assert [s["type"] for s in before["value_scaling"]] == ["z-score", "scale", "z-score"]
    assert before["value_scaling"][1]["value"] == 0


@pytest.mark.parametrize("name", ["place-", "7", "a.b_c"])
@pytest.mark.parametrize("torch", ["2.13.0+cpu", "2.6.0a0+git1234", None])
def test_any_project_and_any_build_of_pytorch_give_a_valid_item(tmp_path: Path, name: str, torch: str | None) -> None:
    facts = model()["facts"] | {"versions": {} if torch is None else {"torch": torch}}
    properties = write_model(tmp_path, name=name, facts=facts)
    assert name in properties["mlm:name"]
    assert properties.get("mlm:framework_version") == (torch if torch == "2.13.0+cpu" else None)


def test_outputs_are_what_the_network_returns(tmp_path: Path) -> None:
    change, before, _ = write_model(tmp_path)["mlm:output"]
    assert dict(zip(change["result"]["dim_order"], change["result"]["shape"], strict=True)) == {
        "batch": -1, "height": -1, "width": -1,
    }  # fmt: skip
    assert before["result"]["shape"] == [-1, 2, -1, -1]
    assert [c["value"] for c in before["classification:classes"]] == [1, 2]
    assert "Logit" in change["description"]

"""A config says everything or is refused, with every fault named and the nearest right key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from landshift.flows.config.project import Project, load_project, schema_text, shipped_config
from landshift.pipeline.errors import InputError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def content() -> dict[str, Any]:
    return {
        "name": "place",
        "sensor": {"name": "custom", "bands": ["red", "nir"], "scale": 1e-4, "nodata": 0},
        "epochs": {
            "before": {"start": "2020-06-01", "end": "2020-06-30"},
            "after": {"start": "2022-06-01", "end": "2022-06-30"},
        },
    }


def load(folder: Path, config: Any) -> Project:
    path = folder / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
    return load_project(path)


def test_a_small_config_is_enough(tmp_path: Path) -> None:
    project = load(tmp_path, content())
    assert project.sensor.bands == ("red", "nir")
    assert project.split.block_px == 64
    assert project.detect.margin == 128


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_what_we_ship_is_valid(path: Path) -> None:
    assert load_project(path).name
    assert shipped_config(path.name).samefile(path)


def test_what_we_do_not_ship() -> None:
    with pytest.raises(InputError, match=r"ships no config mars.yaml"):
        shipped_config("mars.yaml")


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Set keys, `a__b` for `b` in the section `a`."""

    def change(config: dict[str, Any]) -> None:
        for key, value in values.items():
            *sections, last = key.split("__")
            node = config
            for section in sections:
                node = node.setdefault(section, {})
            node[last] = value

    return change


S2 = {"name": "sentinel-2-l2a"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(sensr={}), r"sensr: this key is not known. Did you mean `sensor`"),
        (put(detect__min_area=1), r"detect: min_area: this key is not known. Did you mean `min_area_ha`"),
        (
            put(legend=[{"code": 1, "name": "a", "color": "#000000", "colour": "#000000"}]),
            "legend: 0: color: .*Did you mean `colour`",
        ),
        (put(labels={"polygons": {"path": "a", "befor_column": "x"}}), "befor_column: .*Did you mean `before_column`"),
        (put(grid={"zzz": 1}), "grid: zzz: this key is not known. Expected one of bounds, crs, pixel_size"),
        (put(name="two words"), "name: .*two words"),
        (put(name="../escape"), "name: "),
        (put(sensor__name="sentinel-3"), "sensor: name: .*sentinel-2-l2a"),
        (put(sensor={"name": "custom", "bands": ["red"], "scale": 1}), "sensor: sensor custom needs `nodata`"),
        (put(sensor={"name": "custom", "scale": 1, "nodata": 0}), "sensor custom needs `bands`"),
        (put(sensor__scale=0), "sensor: scale: .*greater than 0"),
        (put(sensor__scale=".inf"), "sensor: scale"),
        (put(sensor=S2 | {"scale": 1}), "`scale` belongs to sensor custom; sentinel-2-l2a has its own"),
        (put(sensor=S2 | {"offset": -0.1}), "`offset` belongs to sensor custom"),
        (put(sensor=S2 | {"units": "dn"}), "`units` belongs to sensor custom"),
        (put(sensor__number_offset=-1000), "`number_offset` belongs to Sentinel-2; custom has none"),
        (put(epochs__before__end="2022-06-01"), "before ends on 2022-06-01, after starts on 2022-06-01: the dates must ascend"),
        (put(epochs__before={"start": "2023-01-01", "end": "2023-02-01"}), "the dates must ascend"),
        (put(epochs__before__start="yesterday"), "epochs: before: start: .*yesterday"),
        (put(grid={"crs": "EPSG:32651", "pixel_size": 0, "bounds": [0, 0, 1, 1]}), "grid: pixel_size"),
        (put(labels={}), "give either `polygons` or `rasters`"),
        (put(labels={"polygons": {"path": "a"}, "rasters": {"values": {}}}), "give either"),
        (put(model__heads="landuse"), "model: heads: landuse needs a `legend`"),
        (put(model__encoder="file"), "model: encoder: file needs `model: file:`"),
        (put(detect__core=1000), "detect: core: .*multiple of 32"),
        (put(detect__margin=100), "detect: margin: .*multiple of 32"),
        (put(training__chip=100), "training: chip: .*multiple of 32"),
        (put(detect__threshold=1), "detect: threshold"),
        (put(training__seeds=[]), "training: seeds"),
        (put(training__seeds=[1, 1]), "training: seeds: name each seed once"),
        (put(training__seeds=[2**32]), "training: seeds: 0: .*less than 4294967296"),
        (put(split__seed=-1), "split: seed: .*greater than or equal to 0"),
        (put(split__fractions=[0.6, 0.4, 0.2]), "split: fractions: .*sum to 1"),
        (put(split__fractions=[1.2, 0.4, -0.6]), "split: fractions: each share must be above 0"),
        (put(split__fractions=[float("nan"), 0.2, 0.2]), "split: fractions: 0: .*finite"),
        (put(training__chip=4128), "training: chip: .*4096"),
        (put(training__batch=4097), "training: batch: .*4096"),
        (put(training__workers=257), "training: workers: .*256"),
        (put(training__epochs=10_001), "training: epochs: .*10000"),
        (put(training__chips_per_epoch=10**7 + 1), "training: chips_per_epoch: .*10000000"),
        (put(training__learning_rate=float("inf")), "training: learning_rate: .*finite"),
        (put(detect__core=16_416), "detect: core: .*16384"),
        (put(detect__margin=4128), "detect: margin: .*4096"),
        (put(detect__min_area_ha=float("nan")), "detect: min_area_ha: .*finite"),
        (put(model__decoder_channels=[0, 1, 1, 1, 1]), "model: decoder_channels: 0"),
        (put(model__decoder_channels=[1, 1, 1, 1, 4097]), "model: decoder_channels: 4: .*4096"),
        (put(sensor=S2 | {"number_offset": -1e7}), "sensor: number_offset: .*-1000000"),
        (put(sensor__nodata=float("-inf")), "sensor: nodata: .*infinite pixels are never observed"),
        (put(grid={"crs": "EPSG:32651", "pixel_size": 10, "bounds": [0, 0, float("inf"), 1]}), "grid: bounds: 2: .*finite"),
        (put(output="a\0b"), "output: a path cannot hold a NUL"),
    ],
)
def test_faults(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    config = content()
    change(config)
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, config)
    assert "config.yaml" in str(error.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    config = content()
    put(sensr=1, detect__core=7)(config)
    del config["epochs"]
    with pytest.raises(InputError, match="3 faults") as error:
        load(tmp_path, config)
    for key in ("sensr", "detect: core", "epochs: Field required"):
        assert key in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds NoneType; expected keys"),
        ("- a", "holds list"),
        ("name: [", "is not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (
            "name: a\nstart: 2019-13-45",
            r"is not valid YAML: '2019-13-45' is not a valid timestamp \(month must be .*\n.*line 2",
        ),
        ("a: " + "9" * 5000, "a number of 5000 characters"),
        ("a: 0x" + "f" * 5000, "a number of 5002 characters"),
        ("a: !!float ''", "'' is not a valid float"),
        ("a: !!bool maybe", "'maybe' is not a valid bool"),
        ("[" * 5000, "nested too deep"),
        ("name: a\nsensor: {name: x, name: y}", r"the key 'name' is there twice\n.*line 2, column 19"),
        ("name: a\nname: b", r"the key 'name' is there twice\n.*line 2"),
        ("a: &a [x]\nb: [*a, *a]", r"anchors and aliases \(here a\) are not accepted"),
    ],
)
def test_what_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


def test_one_fault_is_said_shortly(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 1 fault:") as error:
        load(tmp_path, content() | {"name": "x" * 100_000})
    assert len(str(error.value)) < 1000


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read anything, so the refusal is played."""
    with pytest.raises(InputError, match=r"cannot be read \(File name too long"):
        load_project(tmp_path / ("a" * 300))

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.yaml").touch()
    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied"):
        load_project(tmp_path / "a.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.yaml is not there.*landshift init"):
        load_project(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="is not valid YAML"):
        load_project(tmp_path / "a.yaml")


@pytest.mark.parametrize(("text", "kept"), [("0", 0.0), ("none", "none"), (".nan", "nan"), ("nan", "nan"), ("-9999", -9999.0)])
def test_nodata_survives_json(tmp_path: Path, text: str, kept: object) -> None:
    """JSON has no NaN, and the config is published in run.json."""
    project = load(tmp_path, yaml.safe_dump(content()).replace("nodata: 0", f"nodata: {text}"))
    said = project.model_dump(mode="json")
    assert said["sensor"]["nodata"] == kept
    json.dumps(said, allow_nan=False)
    assert Project.model_validate(said).model_dump(mode="json") == said


def test_projects_differ_with_any_value() -> None:
    config = content()
    first = Project.model_validate(config)
    assert Project.model_validate(content()) == first
    put(split__seed=1)(config)
    assert Project.model_validate(config) != first


def test_a_project_is_frozen() -> None:
    project = Project.model_validate(content())
    with pytest.raises(ValueError, match="frozen"):
        project.name = "other"


def test_the_schema_explains_every_key() -> None:
    schema = json.loads(schema_text())
    assert schema["additionalProperties"] is False
    for section in [schema, *schema["$defs"].values()]:
        for name, key in section["properties"].items():
            # pydantic leaves the description out beside some references; the section has its own.
            assert key.get("description") or "$ref" in key, f"{section['title']}: {name}"


def test_the_shipped_schema_is_current() -> None:
    path = Path(__file__).parents[1] / "configs" / "schema.json"
    if not path.exists():
        pytest.skip("configs/schema.json is not written yet")
    assert path.read_text(encoding="utf-8") == schema_text()

"""A config is complete or refused, with every fault named and the nearest right key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from landshift.flows.config.project import Project, find_config, load_project, schema_text, validate
from landshift.pipeline.colours.palette import fill_colours
from landshift.pipeline.errors import PATTERNS, InputError

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
    assert project.detect.margin == "auto"


def test_a_margin_is_calibrated_where_tiles_meet_and_nobody_gave_it(tmp_path: Path) -> None:
    project = load(tmp_path, content())
    assert project.detect.settle_margin((1024, 1025)) is None
    assert project.detect.settle_margin((1024, 1024)) == 64
    assert project.detect.model_copy(update={"margin": 96}).settle_margin((4096, 64)) == 96


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_what_we_ship_is_valid(path: Path) -> None:
    assert load_project(path, chips=True).name
    assert find_config(path.name).samefile(path)


def test_what_we_do_not_ship() -> None:
    with pytest.raises(InputError, match=r"ships no config mars.yaml"):
        find_config("mars.yaml")


def give(**values: Any) -> Callable[[dict[str, Any]], None]:
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
        (give(sensr={}), r"sensr: this key is not known. Did you mean `sensor`"),
        (give(detect__min_area=1), r"detect: min_area: this key is not known. Did you mean `min_area_ha`"),
        (
            give(legend=[{"code": 1, "name": "a", "color": "#000000", "colour": "#000000"}]),
            r"legend: class 1 \(a\): color: .*Did you mean `colour`",
        ),
        (give(labels={"polygons": {"path": "a", "befor_column": "x"}}), "befor_column: .*Did you mean `before_column`"),
        (give(grid={"zzz": 1}), "grid: zzz: this key is not known. Expected one of bounds, crs, pixel_size"),
        (give(name="two words"), "name: .*two words"),
        (give(name="../escape"), "name: "),
        (give(sensor__name="sentinel-3"), "sensor: name: .*sentinel-2-l2a"),
        (give(sensor={"name": "custom", "bands": ["red"], "scale": 1}), "sensor: sensor custom needs `nodata`"),
        (give(sensor={"name": "custom", "scale": 1, "nodata": 0}), "sensor custom needs `bands`"),
        (give(sensor__scale=0), "sensor: scale: expected more than 0"),
        (give(sensor__scale=".inf"), "sensor: scale"),
        (give(sensor=S2 | {"scale": 1}), "`scale` belongs to sensor custom; sentinel-2-l2a has its own"),
        (give(sensor=S2 | {"offset": -0.1}), "`offset` belongs to sensor custom"),
        (give(sensor=S2 | {"units": "dn"}), "`units` belongs to sensor custom"),
        (give(sensor__number_offset=-1000), "`number_offset` belongs to Sentinel-2; custom has none"),
        (
            give(epochs__before__end="2022-06-01"),
            "before ends on 2022-06-01, after starts on 2022-06-01: the dates must ascend",
        ),
        (give(epochs__before={"start": "2023-01-01", "end": "2023-02-01"}), "the dates must ascend"),
        (give(epochs__before__start="yesterday"), "epochs: before: start: .*yesterday"),
        (give(grid={"crs": "EPSG:32651", "pixel_size": 0, "bounds": [0, 0, 1, 1]}), "grid: pixel_size"),
        (give(labels={}), "give either `polygons`, `rasters` or `chips`"),
        (give(labels={"polygons": {"path": "a"}, "rasters": {"values": {}}}), "give either"),
        (give(model__heads="landuse"), "model: heads: landuse needs a `legend`"),
        (give(model__encoder="file"), "model: encoder: file needs `model: file:`"),
        (give(detect__core=1000), "detect: core: .*multiple of 32"),
        (give(detect__margin=100), "detect: margin: .*multiple of 32"),
        (give(training__chip=100), "training: chip: .*multiple of 32"),
        (give(detect__threshold=1), "detect: threshold"),
        (give(training__seeds=[]), "training: seeds"),
        (give(training__seeds=[1, 1]), "training: seeds: name each seed once"),
        (give(split__seed=-1), "split: seed: expected at least 0"),
        (give(split__fractions=[0.6, 0.4, 0.2]), "split: fractions: .*sum to 1"),
        (give(split__fractions=[1.2, 0.4, -0.6]), "split: fractions: each share must be above 0"),
        (give(split__fractions=[float("nan"), 0.2, 0.2]), "split: fractions: share 1: .*finite"),
        (give(detect__min_area_ha=float("nan")), "detect: min_area_ha: .*finite"),
        (give(model__decoder_channels=[0, 1, 1, 1, 1]), "model: decoder_channels: item 1: expected at least"),
        (give(sensor=S2 | {"number_offset": -1e7}), "sensor: number_offset: .*-1000000"),
        (give(sensor__nodata=float("-inf")), "sensor: nodata: .*infinite pixels are never observed"),
        (
            give(grid={"crs": "EPSG:32651", "pixel_size": 10, "bounds": [0, 0, float("inf"), 1]}),
            "grid: bounds: edge 3: .*finite",
        ),
        (give(output="a\0b"), "output: .*holds line breaks, control characters"),
    ],
)
def test_faults(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    config = content()
    change(config)
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, config)
    assert "config.yaml" in str(error.value)


def leaves(node: dict[str, Any], defs: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Give the path of every key of the schema."""
    for key, inner in node.get("properties", {}).items():
        yield (*path, key)
        for option in [inner, *inner.get("anyOf", []), *inner.get("allOf", [])]:
            if "$ref" in option:
                yield from leaves(defs[option["$ref"].rpartition("/")[2]], defs, (*path, key))


def test_no_fault_is_in_the_words_of_the_library() -> None:
    """Every key, with values that cannot be right for most."""
    schema, unknown, count = json.loads(schema_text()), set(), 0
    foreign = re.compile(r"\b(should|[Ii]nput|[Vv]alid|[Ff]ield|parsing|instance|None)\b")
    for path in leaves(schema, schema["$defs"]):
        for wrong in ([], [{}], [[]], {}, {"a": [1]}, "", "x y", -1e9, 1e12, 0.5, True, None, [-1e9] * 3, ["?"] * 40):
            changed = content()
            give(**{"__".join(path): wrong})(changed)
            try:
                validate(changed, "a.yaml")
            except InputError as error:
                count += 1
                unknown |= {line for line in str(error).splitlines()[1:] if foreign.search(line.partition(" (found")[0])}
    assert count > 1000
    assert not unknown, "\n".join(sorted(unknown)[:20])


def test_every_pattern_of_the_config_has_words() -> None:
    found = set(re.findall(r'"pattern": ("(?:[^"\\\\]|\\\\.)*")', schema_text()))
    assert {json.loads(pattern) for pattern in found} == set(PATTERNS)


def test_a_fault_names_the_class_that_it_is_in(tmp_path: Path) -> None:
    legend = [{"code": 1, "name": "Water", "colour": "#3366cc"}, {"code": 2, "name": "Forest", "colour": "green"}]
    with pytest.raises(InputError) as error:
        load(tmp_path, content() | {"legend": legend, "detect": {"method": "irmad"}})
    assert str(error.value).splitlines()[1:] == [
        "  legend: class 2 (Forest): colour: expected a colour such as \"#1b7837\", in quotes (found 'green')",
        "  detect: method: expected 'model', 'ir-mad' or 'cva' (found 'irmad'). Did you mean `ir-mad`?",
    ]


def test_colours_of_a_legend_may_be_left_out() -> None:
    names = ("Water", "Forest", "Built", "Field")
    given = {"Forest": "#2f6b3c"}
    legend = [
        {"code": n, "name": name, **({"colour": given[name]} if name in given else {})} for n, name in enumerate(names, 1)
    ]
    project = validate(content() | {"legend": legend}, "a.yaml")
    colours = [entry.colour for entry in project.legend]
    assert colours == list(fill_colours([None, "#2f6b3c", None, None]))
    assert len(set(colours)) == 4
    assert validate(project.model_dump(), "again") == project


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    config = content()
    give(sensr=1, detect__core=7)(config)
    del config["epochs"]
    with pytest.raises(InputError, match="3 faults") as error:
        load(tmp_path, config)
    for key in ("sensr", "detect: core", "epochs: is missing"):
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


def test_one_fault_has_a_short_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 1 fault:") as error:
        load(tmp_path, content() | {"name": "x" * 100_000})
    assert len(str(error.value)) < 1000


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read anything, so the refusal is played."""
    with pytest.raises(InputError, match=r"cannot be read: it is out of reach \(File name too long"):
        load_project(tmp_path / ("a" * 300))

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.yaml").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied"):
        load_project(tmp_path / "a.yaml")


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.yaml is not there.*landshift init"):
        load_project(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="is not text in UTF-8: byte 0xff in line 1"):
        load_project(tmp_path / "a.yaml")


@pytest.mark.parametrize(("text", "kept"), [("0", 0.0), ("none", "none"), (".nan", "nan"), ("nan", "nan"), ("-9999", -9999.0)])
def test_nodata_survives_json(tmp_path: Path, text: str, kept: object) -> None:
    """JSON has no NaN, and the config is published in run.json."""
    project = load(tmp_path, yaml.safe_dump(content()).replace("nodata: 0", f"nodata: {text}"))
    dumped = project.model_dump(mode="json")
    assert dumped["sensor"]["nodata"] == kept
    json.dumps(dumped, allow_nan=False)
    assert Project.model_validate(dumped).model_dump(mode="json") == dumped


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
    """It holds every limit of a key."""
    assert (Path(__file__).parents[1] / "configs/schema.json").read_text(encoding="utf-8") == schema_text()

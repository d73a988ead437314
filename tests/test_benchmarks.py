"""What the benchmarks stand on: the made pair, the model that costs nothing, and the watching of a command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import demo_spread
import figures
import flame
import free_model
import growth
import machine
import made
import polygons
import register
import report
import trust

from landshift.models.use import bundle
from landshift.models.use.inference import predict
from landshift.pipeline.epochs.matching import PairWindow
from landshift.pipeline.scores.training import Temperatures

SIZE = 640


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.make_pair(tmp_path_factory.mktemp("pairs"), made.Recipe(SIZE, 4))


def numbers(pair: Path) -> tuple[np.ndarray, np.ndarray]:
    images = []
    for day in made.DATES:
        with rasterio.open(pair / "data" / f"scene_{day}.tif") as file:
            images.append(file.read())
    return images[0], images[1]


def truth() -> tuple[np.ndarray, np.ndarray]:
    before, after, _ = made._Ground(SIZE).strip(np.arange(SIZE))
    return before, after


def test_the_pair_is_as_hard_to_decode_as_real_ones(pair: Path) -> None:
    before, after = numbers(pair)
    assert before.shape == (4, SIZE, SIZE)
    files = sum(file.stat().st_size for file in (pair / "data").glob("*.tif"))
    # Blocks past the edge are stored whole: 640 pixels lie in blocks of 1024.
    assert 1.4 < (before.nbytes + after.nbytes) / files < 1.8
    assert before.min() > 0
    assert 0 < (after == 0).all(axis=0).mean() < 0.01


def test_parcels_change_and_rows_do_not_depend_on_the_strip(pair: Path) -> None:
    before, after = truth()
    assert 0.02 < (before != after).mean() < 0.06
    assert set(np.unique(before)) == set(range(6))
    part = made._Ground(SIZE).strip(np.arange(500, 530))[0]
    assert (part == before[500:530]).all()


def test_the_model_that_costs_nothing_sees_what_changed(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("build_encoder", "model_of", "require_shapes"):
        monkeypatch.setattr(bundle, name, getattr(bundle, name))
    free_model.install()
    about, network = bundle.load(pair / "model")
    images = [np.where(i == 0, np.nan, i * made.SCALE).astype(np.float32) for i in numbers(pair)]
    said = predict(network, PairWindow(images[0], images[1]), Temperatures())
    before, after = truth()
    seen = np.isfinite(said.change)
    assert ((said.change >= about.threshold) == (before != after))[seen].mean() > 0.97
    assert (said.before.argmax(axis=0) == before)[seen].mean() > 0.9


def test_a_command_is_watched_with_what_it_starts(tmp_path: Path) -> None:
    inner = "sum(range(3_000_000)); b = bytearray(150_000_000); import time; time.sleep(0.5)"
    file = f"open({str(tmp_path / 'file')!r}, 'wb').write(bytes(4_000_000))"
    outer = f"import subprocess, sys; {file}; subprocess.run([sys.executable, '-c', {inner!r}]); print('done')"
    cost = machine.run_watched([sys.executable, "-c", outer], [tmp_path])
    assert cost.output == "done\n"
    assert cost.cpu_s > 0.02
    assert 0.15 < cost.peak_process_gb < cost.peak_ram_gb
    assert 0.004 <= cost.peak_disk_gb < 0.005
    with pytest.raises(RuntimeError, match="ended with 3"):
        machine.run_watched([sys.executable, "-c", "raise SystemExit(3)"])


def test_columns_of_figures_stay_beside_each_other(tmp_path: Path) -> None:
    machine.keep_figures(tmp_path / "a.json", "before", {"x": 1})
    machine.keep_figures(tmp_path / "a.json", "now", {"x": 2})
    assert (tmp_path / "a.json").read_text() == '{\n  "before": {\n    "x": 1\n  },\n  "now": {\n    "x": 2\n  }\n}\n'


def test_the_page_on_performance_is_what_the_measurements_make() -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.make_page(), "run `python benchmarks/report.py`"


def test_the_page_on_trust_is_what_the_measurements_make() -> None:
    assert trust.PAGE.read_text(encoding="utf-8") == trust.make_page(), "run `python benchmarks/trust.py`"


def test_a_column_that_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    row = {"times_decode": 61.53, "cpu_s_per_mpx": 5.406, "peak_process_gb": 2.753, "disk_times_inputs": 2.48}
    column = {
        "machine": {"processor": "P", "vectors": [], "cores": 2, "memory_gb": 8.0, "load": 0.5, "day": "2026-01-01"},
        "bands": 10, "codec": "zstd", "startup": {"model": {"cpu_s": 18.66}},
        "sizes": {"2560": {"tiles": {"share": 0.879}, "model": row}},
    }  # fmt: skip
    (tmp_path / "detect_path.json").write_text(json.dumps({"now": column}))
    page = report.make_page(tmp_path)
    assert "| start-up, seconds of a core | ≤ 5 | – | 19 |" in page
    assert "| 2,560 px: `detect`, times decoding | ≤ 10 | – | 61.5 |" in page
    assert "--method cva" not in page
    assert "Now: P (no vectors known), 2 cores, 8 GB, load 0.5 at the beginning, 2026-01-01." in page


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (0.05, "0.05"), (12345.6, "12,000"), (-0.031, "−0.031"), (5.0, "5")]
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert report.number(value) == text


def test_an_exponent_is_that_of_the_power() -> None:
    assert growth.fit_exponent([1, 2, 4, 8], [3, 6, 12, 24]) == 1
    assert growth.fit_exponent([1, 4, 16], [2, 4, 8]) == 0.5
    assert growth.fit_exponent([1, 2], [0, 1]) is None


@pytest.mark.parametrize(
    ("stack", "phase"),
    [
        ("<module> (free_model.py:1);write_cog (landshift/pipeline/raster/write.py:9)", "rasters and pictures of the run"),
        ("<module> (free_model.py:1);detect (a.py:1);_find_and_load (<frozen importlib._bootstrap>:1)", "start-up: imports"),
        ("<module> (free_model.py:1);map_second_opinion (x.py:1);RasterReader.read (y.py:3)", "second opinion by IR-MAD"),
        ("<module> (free_model.py:1);Condition.wait (threading.py:327)", None),
        ("<module> (free_model.py:1);f (x.py:1)", "other"),
    ],
)
def test_a_stack_is_for_one_thing(stack: str, phase: str | None) -> None:
    assert flame.phase_of(stack) == phase


def test_made_maps_have_about_as_many_patches_as_are_asked_for(tmp_path: Path) -> None:
    found = polygons.measure(1000, 0, tmp_path / "changes.gpkg")
    assert 800 < found["patches"] < 1200
    assert found["total_s"] == pytest.approx(found["find_s"] + found["layers_s"] + found["write_s"], abs=0.002)


@pytest.mark.parametrize("edge", [2560, 4000])
def test_maps_of_any_size_have_the_same_few_patches(edge: int) -> None:
    assert sum(int((rows == 2).sum()) for rows in polygons.few_changes(edge)) > 0.9 * polygons.FEW * 36


def test_a_register_takes_the_merges_that_are_timed(tmp_path: Path) -> None:
    store = register.open_register(tmp_path / "register.gpkg")
    found = register.time_merges(store, 300, 50, clock=lambda: 0.0)
    assert found["changes"] > 300
    assert [seen.after_date[:4] for seen in store.observations().values()] == ["2016", "2017", "2018", "2019"]


def test_several_names_of_a_file_take_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(bytes(range(256)) * 400)
    alone = machine.size_of(tmp_path)
    (tmp_path / "a" / "two").hardlink_to(tmp_path / "a" / "one")
    (tmp_path / "three").hardlink_to(tmp_path / "a" / "one")
    assert machine.size_of(tmp_path) == alone > 0
    (tmp_path / "four").write_bytes(bytes(range(256)) * 400)
    assert machine.size_of(tmp_path) == 2 * alone


def test_the_figures_of_readme_are_those_of_the_measurements() -> None:
    assert figures.main(check=True) == 0
    page = (figures.ROOT / "README.md").read_text(encoding="utf-8")
    assert figures.BLOCK.search(page)
    trees, ir_mad = figures.few_labels()
    assert f"| {figures.span(trees)} |" in page
    assert ir_mad < min(trees)


def test_a_stale_figure_is_found() -> None:
    text = "<!-- figures: demo -->\n0.9\n<!-- /figures -->"
    filled = figures.fill(text)
    assert filled != text
    assert figures.fill(filled) == filled


def test_a_demo_of_another_machine_lies_among_the_runs_or_is_named() -> None:
    runs = [{"landscape": 7, "kappa": 0.85}, {"landscape": 7, "kappa": 0.86}, {"landscape": 8, "kappa": 0.5}]
    assert demo_spread.lies_apart(runs, {"landscape": 7, "kappa": 0.82}) == ""
    assert "kappa 0.780 lies further than 0.05" in demo_spread.lies_apart(runs, {"landscape": 7, "kappa": 0.78})
    assert demo_spread.lies_apart(runs, {"landscape": 9, "kappa": 0.1}) == ""

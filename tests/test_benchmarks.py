"""What the benchmarks stand on: the made pair, the model that costs nothing, and the watching of a command."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import free_model
import machine
import made

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
    for name in ("build_encoder", "model_of"):
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

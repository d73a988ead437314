"""A run opened in Python holds what its files hold."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

import landshift
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.reliability import KnownCalibration
from tests.small_run import SHAPE, write_run
from tests.test_sample_estimate import finished


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("made") / "run")


def test_maps_have_coordinates_crs_and_meaning(made: Path) -> None:
    run = landshift.open_run(made)
    codes, grid = read_raster(made / "layers/change.tif")
    assert run.rasters.sizes == {"y": SHAPE[0], "x": SHAPE[1]}
    assert (run.rasters.change.values == codes).all()
    assert float(run.rasters.x[0]) == grid.transform.c + grid.transform.a / 2
    assert float(run.rasters.y[-1]) == grid.transform.f + (SHAPE[0] - 0.5) * grid.transform.e
    assert CRS.from_wkt(run.rasters.spatial_ref.attrs["crs_wkt"]).to_epsg() == 32651
    meanings = dict(zip(run.rasters.change.flag_values.tolist(), run.rasters.change.flag_meanings.split(), strict=True))
    assert (meanings[0], meanings[2]) == ("Not_observed", "Forest_to_Cropland")
    change_probability = run.rasters.change_probability
    assert change_probability.dtype == np.float32
    assert np.isnan(change_probability.values[codes == 0]).all()
    assert change_probability.values[codes > 0] == pytest.approx(0.9)
    assert np.datetime64("2019-04-14") == run.rasters.last_observed.values[5, 5]  # day 18000


def test_probabilities_of_a_model_from_elsewhere_are_called_uncalibrated(made: Path, tmp_path: Path) -> None:
    assert landshift.open_run(made).rasters.change_probability.long_name == "Probability that the pixel changed"
    run = landshift.open_run(finished(tmp_path / "run", calibration=KnownCalibration(None, 0.001)))
    assert run.rasters.change_probability.long_name == "Probability that the pixel changed (uncalibrated here)"


def test_layers_facts_and_what_is_not_there_yet(made: Path) -> None:
    run = landshift.open_run(str(made), variables=["change"])
    assert list(run.rasters.data_vars) == ["change"]
    assert len(run.changes) == 4
    assert run.not_observed.area_ha.sum() == pytest.approx(1.0, rel=0.01)
    assert run.areas_of_interest["name"].tolist() == ["Nature reserve", "Plan B"]
    assert run.samples.empty
    assert "weight_ha" in run.samples
    assert run.samples.crs == run.changes.crs
    assert (run.estimates, run.domain_shift, run.facts["key"]) == (None, None, "k1")
    assert [c.name for c in run.legend.classes] == ["Forest", "Cropland", "Water"]


def test_what_is_wrong_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no map 'chnage'"):
        landshift.open_run(made, variables=["chnage"])
    with pytest.raises(InputError, match=r"is not the folder of a run: it lacks record/run\.json, layers/change\.tif"):
        landshift.open_run(tmp_path)
    copy = shutil.copytree(made, tmp_path / "copy")
    landshift.open_run(copy, verify=True)
    (copy / "layers/change_probability.tif").write_bytes((copy / "layers/change_probability.tif").read_bytes() + b"x")
    with pytest.raises(InputError, match=r"change_probability\.tif changed"):
        landshift.open_run(copy, verify=True)


def test_a_map_that_the_run_had_and_lost_is_no_silence(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "layers/change_probability.tif").unlink()
    assert list(landshift.open_run(copy, variables="change").rasters) == ["change"]
    for variables in (None, ["change_probability"]):
        with pytest.raises(InputError, match=r"change_probability\.tif is not there"):
            landshift.open_run(copy, variables=variables)
    with pytest.raises(InputError, match=r"change_probability\.tif missing"):
        landshift.open_run(copy, verify=True)
    (copy / "record/manifest.json").unlink()
    with pytest.raises(InputError, match=r"manifest\.json is missing or damaged"):
        landshift.open_run(copy, variables=["change"], verify=True)


def test_a_map_that_no_such_run_has_is_asked_for_in_vain(tmp_path: Path) -> None:
    write_run(tmp_path, classes=())
    with pytest.raises(InputError, match="This run has no map 'landuse_after'"):
        landshift.open_run(tmp_path, variables=["change", "landuse_after"])
    assert list(landshift.open_run(tmp_path).rasters) == ["change"]


def test_coordinates_are_in_the_units_of_the_crs(tmp_path: Path) -> None:
    write_run(tmp_path)
    codes, _ = read_raster(tmp_path / "layers/change.tif")
    grid = grid_of(Affine(32, 0, 980_000, 0, -32, 200_000), codes.shape, "EPSG:2263")
    write_raster(tmp_path / "layers/change.tif", codes, grid, nodata=0)
    assert landshift.open_run(tmp_path, variables=["change"]).rasters.x.attrs["units"] == "US_survey_foot"


def test_meanings_of_codes_stay_apart(tmp_path: Path) -> None:
    classes = (("Wald A", "#2f6b3c"), ("Wald_A", "#ead27a"), ("غابة", "#4a86b8"))
    write_run(tmp_path, classes=classes)
    change = landshift.open_run(tmp_path, variables=["change"]).rasters.change
    meanings = change.flag_meanings.split(" ")
    assert len(meanings) == len(set(meanings)) == len(change.flag_values)
    assert all(re.fullmatch(r"[0-9A-Za-z_.+@-]+", meaning) for meaning in meanings)


@pytest.mark.parametrize("content", ["3", "{", "null"])
def test_estimates_that_are_none_are_refused(made: Path, tmp_path: Path, content: str) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "record/estimates.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"estimates\.json.*[Mm]ake it again"):
        landshift.open_run(copy, variables=["change"])


def test_runs_can_be_kept_in_sets(made: Path) -> None:
    run = landshift.open_run(made, variables=[])
    assert run in {run}
    assert run != landshift.open_run(made, variables=[])

"""Two interpreters are compared by the published formulas, and Collect Earth Online gives back what it was given."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.sample.agreement import cohens_kappa, measure_agreement
from landshift.pipeline.sample.draw import Sample
from landshift.pipeline.sample.judging.collect_earth import plots_csv, read_collected, survey_lines
from landshift.pipeline.sample.judging.points import sample_frame
from landshift.pipeline.sample.references import References
from tests.conftest import small_grid

LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland, dry", "#ffcc00"), LandUse(9, "Water", "#0000cc")))


def judged(before: list[int], after: list[int], names: list[str] | None = None) -> References:
    n = len(before)
    ids = tuple(names or [f"S{i:04}" for i in range(1, n + 1)])
    a, b = np.array(before, dtype=np.uint8), np.array(after, dtype=np.uint8)
    return References(np.arange(n), ids, np.arange(n), np.arange(n), LEGEND.change_lookup()[a, b], a, b, n)


def test_kappa_is_that_of_the_published_example() -> None:
    # Fleiss, Cohen and Everitt 1969, table 1: 200 subjects; kappa 0.429, standard error 0.0543.
    table = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    found = cohens_kappa(table)
    assert found.estimate == pytest.approx(0.429, abs=0.0005)
    n = table.sum()
    p = table / n
    rows, columns = p.sum(1), p.sum(0)
    chance, same = rows @ columns, np.trace(p)
    k = (same - chance) / (1 - chance)
    a = sum(p[i, i] * ((1 - chance) - (rows[i] + columns[i]) * (1 - same)) ** 2 for i in range(3))
    b = (1 - same) ** 2 * sum(p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(3) for j in range(3) if i != j)
    error = np.sqrt((a + b - (same * chance - 2 * chance + same) ** 2) / n) / (1 - chance) ** 2
    assert found.standard_error == pytest.approx(error, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((k - 1.96 * error, k + 1.96 * error), abs=1e-4)


def test_kappa_agrees_with_another_library() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 4, 300)
    second = np.where(rng.random(300) < 0.7, first, rng.integers(0, 4, 300))
    table = np.array([[((first == i) & (second == j)).sum() for j in range(4)] for i in range(4)])
    assert cohens_kappa(table).estimate == pytest.approx(cohen_kappa_score(first, second), abs=1e-6)
    assert cohens_kappa(np.diag([5, 5])).estimate == 1
    assert cohens_kappa(np.array([[7]])).estimate is None
    assert cohens_kappa(np.zeros((2, 2))).estimate is None


def test_interpreters_are_compared_by_class() -> None:
    first = judged([1, 1, 1, 4], [1, 4, 4, 4])
    second = judged([1, 1, 4, 9], [1, 4, 4, 9], ["S0001", "S0002", "S0003", "S0009"])
    found = measure_agreement(LEGEND, first, second, "second.gpkg")
    assert (found.pixels, found.only_first, found.only_second) == (3, 1, 1)
    assert found.disagreements == ("S0003",)
    change = found.questions[0]
    assert [q.question for q in found.questions] == ["change", "land use before", "land use after"]
    assert change.agreed.estimate == pytest.approx(2 / 3, abs=1e-6)
    rows = {c.name: (c.first, c.second, c.both, c.agreement.estimate) for c in change.classes}
    assert rows == {"Unchanged": (1, 2, 1, 0.5), "Forest to Cropland, dry": (2, 1, 1, 0.5)}
    assert found.questions[2].agreed.estimate == 1
    nothing = measure_agreement(LEGEND, first, judged([1], [1], ["S0009"]), "x")
    assert nothing.questions[0].agreed.estimate is None


@pytest.fixture
def frame() -> pd.DataFrame:
    return sample_frame(Sample(np.array([0, 2, 1]), np.array([1, 4, 0])), small_grid(8, 8), LEGEND, run_id="r1", first=40)


EXPORTED = (
    "plot_id,sample_id,lon,lat,email,flagged,collection_time,analysis_duration,imagery_title,imagery_attributions,sample_geom,"
    "pl_sample_id,pl_run_id,Land use before,Land use after\n"
)


def test_the_plots_file_has_the_columns_that_are_imported(frame: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(plots_csv(frame))))
    assert list(rows[0]) == ["LON", "LAT", "PLOTID", "SAMPLE_ID", "RUN_ID"]
    assert [row["PLOTID"] for row in rows] == ["40", "41", "42"]
    points = frame.geometry.to_crs(4326)
    assert [float(row["LON"]) for row in rows] == pytest.approx(points.x.tolist(), abs=1e-8)
    assert [float(row["LAT"]) for row in rows] == pytest.approx(points.y.tolist(), abs=1e-8)
    assert survey_lines(LEGEND)[0] == "Land use before: Forest, Cropland, dry, Water, Cannot be told"
    assert survey_lines(Legend()) == ["What happened: Unchanged, Changed, Cannot be told"]


def test_what_was_judged_there_comes_back(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "ceo.csv"
    plots = list(csv.DictReader(io.StringIO(plots_csv(frame))))
    answered = [("Forest", "Water", "false"), ("Cropland, dry", "cannot be told", "false"), ("", "", "true")]
    lines = [
        f'{p["PLOTID"]},1,{p["LON"]},{p["LAT"]},a@b.org,{flag},2026-01-01 10:00,31 secs,Mapbox,"(c) x, y",POINT,'
        f'{p["SAMPLE_ID"]},{p["RUN_ID"]},"{before}","{after}"'
        for p, (before, after, flag) in zip(plots, answered, strict=True)
    ]
    path.write_text("\ufeff" + EXPORTED + "\n".join(reversed(lines)), encoding="utf-8")
    found = read_collected(path, frame, LEGEND)
    assert found["sample_id"].tolist() == frame["sample_id"].tolist()
    assert found["reference_before"].tolist() == [1, 4, 0]
    assert found["reference_after"].tolist() == [9, 0, 0]
    assert set(found["interpreter"]) == {"a@b.org"}
    path.write_text(EXPORTED.upper() + lines[0], encoding="utf-8")
    assert read_collected(path, frame, LEGEND)["reference_after"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "lacks the column 'plot_id'"),
        (EXPORTED.replace("Land use after", "q") + "", "lacks the column 'Land use after'"),
        (EXPORTED + "7,1,0,0,e,false,,,,,,,r1,Forest,Water\n", "not of this sample"),
        (EXPORTED + "40,1,0,0,e,false,,,,,,,r2,Forest,Water\n", "judged for run r2"),
        (EXPORTED + "40,1,0,0,e,false,,,,,,,r1,Forest,Water\n40,2,0,0,e,false,,,,,,,r1,Forest,Water\n", "several rows"),
        (EXPORTED + "40,1,0,0,e,false,,,,,,,r1,Woods,Water\n", "has the answer 'Woods'"),
    ],
)
def test_what_does_not_fit_the_sample_is_refused(frame: pd.DataFrame, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ceo.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_collected(path, frame, LEGEND)

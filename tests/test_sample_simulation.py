"""On simulated maps the default design needs half the pixels, and its intervals hold the truth (large: a benchmark)."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import sampling


def test_half_the_pixels_give_about_the_same_interval() -> None:
    rng = np.random.default_rng(3)
    designs = {name: sampling.DESIGNS[name] for name in ("kinds", "kinds_half", "doubt")}
    rows = [sampling.measure_map(sampling.make_map(rng, (0.0, 0.1), 260), 12, rng, designs=designs) for _ in range(8)]
    for row in rows:
        assert row["doubt"]["pixels"] == row["kinds"]["pixels"] // 2
    length = {name: float(np.median([row[name]["length"] / row["kinds"]["length"] for row in rows])) for name in designs}
    assert length["kinds_half"] > 1.2
    assert length["doubt"] < 1.2
    assert np.mean([row["doubt"]["holds"] for row in rows]) > 0.9
    assert abs(np.mean([row["doubt"]["ratio"] for row in rows]) - 1) < 0.08


def test_the_table_of_the_results_is_what_was_measured() -> None:
    assert sampling.write_docs(check=True) == 0, "run `python benchmarks/sampling.py --docs`"

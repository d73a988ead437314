"""A territory that is watched for two years through clouds: what happened is known, and the register has to agree."""

import re
from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from landshift.flows.config.project import Project
from landshift.flows.monitor import monitor
from landshift.flows.steps.monitoring.outcome import Monitored
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.layers import REGISTER_COLUMNS
from landshift.pipeline.register.store import Register, open_register
from tests.conftest import small_grid

SIDE, DATES = 96, 24
BASELINE = date(2022, 6, 15)
DAYS = [date(2023, 1, 12) + timedelta(30 * n) for n in range(DATES)]
PLACES = [(8 + 22 * (k // 4), 6 + 23 * (k % 4)) for k in range(16)]
"""First row and column of 16 squares of 12 pixels, 1.44 ha each."""
BEGINNINGS = {k: (0 if k < 6 else 2 * (k - 5)) for k in range(13)}
"""Place to the date at which it changes: six before the first one, then one every second date, up to the fourteenth."""
DAMAGED, LATE, WRONG = 9, 5, 16
"""Date whose file is cut off, date whose file comes after all others, and date whose scene shows a change that is none."""


def truth(at: int) -> np.ndarray:
    """Return which pixels have changed at a date, bool."""
    changed = np.zeros((SIDE, SIDE), dtype=bool)
    for place, beginning in BEGINNINGS.items():
        if beginning <= at:
            row, column = PLACES[place]
            changed[row : row + 12, column : column + 12] = True
    return changed


def clouds(at: int) -> np.ndarray:
    """Return which pixels clouds hide at a date, bool: nothing to 40 %, in spots of some 15 pixels."""
    rng = np.random.default_rng(100 + at)
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 7, mode="wrap")
    return np.asarray(field < np.quantile(field, 0.4 * rng.uniform()))


def write_scene(folder: Path, day: date, at: int) -> Path:
    """Write four bands; what changed is bare, the rest is grass with a texture that stays."""
    texture, noise = np.random.default_rng(7), np.random.default_rng(1000 + at)
    grass, bare = (np.array(v).reshape(4, 1, 1) for v in ([500, 800, 600, 3200], [1500, 1800, 2200, 2600]))
    changed = truth(at)
    if at == WRONG:
        row, column = PLACES[15]
        changed[row : row + 12, column : column + 12] = True
    pixels = np.where(changed, bare, grass) * (1 + 0.06 * texture.standard_normal((SIDE, SIDE)))
    pixels = (pixels + noise.normal(0, 15, pixels.shape)).clip(1, 9999).astype(np.uint16)
    if at >= 0:
        pixels[:, clouds(at)] = 0
    path = folder / f"scene_{day:%Y%m%d}.tif"
    write_raster(path, pixels, small_grid(SIDE, SIDE), nodata=0)
    return path


def project() -> Project:
    return Project.model_validate({
        "name": "watched",
        "sensor": {"name": "custom", "bands": ["blue", "green", "red", "nir"], "scale": 1e-4, "nodata": 0},
        "scenes": {"folder": "scenes", "clouds": {"mask": "none"}},
        "epochs": {"before": {"start": BASELINE, "end": BASELINE}, "after": {"start": DAYS[0], "end": DAYS[-1]}},
        "detect": {"method": "cva", "min_area_ha": 0.4},
        "gates": {"season_gap_days": {"otherwise": "pass"}},
        "alerts": {
            "rules": [{"name": "all", "states": ["new", "confirmed", "closed", "withdrawn"]}],
            "channels": [{"name": "feed", "kind": "feed", "path": "feed.xml", "rules": ["all"]}],
        },
    })  # fmt: skip


class Watch:
    def __init__(self, folder: Path) -> None:
        self.data, self.output = folder / "data", folder / "runs"
        (self.data / "scenes").mkdir(parents=True)
        write_scene(self.data / "scenes", BASELINE, -1)

    @property
    def register(self) -> Register:
        return open_register(self.output / "watched/register.gpkg")

    def come_in(self, *numbers: int) -> None:
        for at in numbers:
            write_scene(self.data / "scenes", DAYS[at], at)

    def run(self) -> Monitored:
        return monitor(project(), self.data, self.output, today=date(2026, 1, 1))

    def changes(self) -> pd.DataFrame:
        """Return what is known of the changes that stand for themselves, but for their ids, by place."""
        changes = self.register.changes()
        own = changes[changes["united_with"] == ""]
        steady = [c.name for c in REGISTER_COLUMNS if c.name != "change_id"]
        return pd.DataFrame(own[steady]).assign(place=places_of(own)).sort_values(["place", "state"], ignore_index=True)


def places_of(changes: gpd.GeoDataFrame) -> list[int]:
    """Return the place that each change lies in, -1 where it lies in none."""
    transform = small_grid(SIDE, SIDE).transform
    found = []
    for polygon in changes.geometry:
        column, row = ~transform @ polygon.centroid.coords[0]
        found.append(next((k for k, (r, c) in enumerate(PLACES) if r <= row < r + 12 and c <= column < c + 12), -1))
    return found


def agree(watch: Watch) -> None:
    """Compare the register with what happened."""
    changes = watch.changes()
    real = changes[changes["state"] != "withdrawn"].set_index("place")
    assert sorted(real.index) == sorted(BEGINNINGS), changes
    for place, beginning in BEGINNINGS.items():
        row, column = PLACES[place]
        inside = (slice(row, row + 12), slice(column, column + 12))
        # Patches under 0.4 ha are dropped.
        clear = [n for n in range(beginning, DATES) if n not in (DAMAGED, WRONG) and (~clouds(n)[inside]).mean() > 0.7]
        seen = [n for n in range(beginning, DATES) if n not in (DAMAGED, WRONG) and (~clouds(n)[inside]).any()]
        change = real.loc[place]
        assert str(DAYS[seen[0]]) <= change["first_seen"] <= str(DAYS[clear[0]]), place
        assert change["state"] == "confirmed", (place, change["state"])
        assert change["area_ha"] == pytest.approx(1.44, rel=0.2)
    history = watch.register.table(HISTORY)
    all_changes = watch.register.changes()
    wrong = set(all_changes["change_id"][np.array(places_of(all_changes)) == 15])
    assert set(history["change_id"][history["event"] == "closed"]) <= wrong, "no change ended"


@pytest.mark.slow
def test_two_years_under_clouds(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.come_in(*(n for n in range(12) if n not in (LATE, DAMAGED)))
    damaged = write_scene(watch.data / "scenes", DAYS[DAMAGED], DAMAGED)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    first = watch.run()
    assert {pair.outcome for pair in first.pairs if pair.after != str(DAYS[DAMAGED])} == {"done"}
    assert any(damaged.stem in text for text in (*first.faulty, *(p.message for p in first.failed)))
    for n in range(12, DATES):
        watch.come_in(n)
        if n % 4 == 3:
            assert all(pair.after == str(DAYS[DAMAGED]) for pair in watch.run().failed)
    watch.come_in(LATE)
    assert [p.after for p in watch.run().pairs if p.outcome == "done"] == [str(DAYS[LATE])]
    wrong = f"scene_{DAYS[WRONG]:%Y%m%d}"
    watch.register.withdraw("scene", wrong, "fields were ploughed")
    watch.run()
    agree(watch)
    assert set(watch.changes().query("place == 15")["state"]) == {"withdrawn"}

    feed = (tmp_path / "runs/watched/feed.xml").read_text(encoding="utf-8")
    sent: dict[str, list[str]] = {}
    for identity, state in re.findall(r"Change (\S+) is (\w+)", feed):
        sent.setdefault(state, []).append(identity)
    changes = watch.register.changes()
    standing = changes[(changes["united_with"] == "") & (changes["state"] != "withdrawn")]["change_id"].tolist()
    (wrong_id,) = changes["change_id"][changes["state"] == "withdrawn"]
    assert set(sent.get("closed", [])) <= {wrong_id}, "nothing else ended, and no one was alarmed"
    assert sent["withdrawn"] == [wrong_id]
    assert sorted(sent["confirmed"]) == sorted(standing), "each once"
    assert set(sent.get("new", [])) <= {*standing, wrong_id}

    # All of it at once, in the order of the dates, gives the same register.
    other = Watch(tmp_path / "other")
    other.come_in(*(n for n in range(DATES) if n not in (DAMAGED, WRONG)))
    other.run()
    agree(other)
    ours = watch.changes().query("state != 'withdrawn'")
    assert_same = [c for c in ours.columns if c not in ("first_run", "last_run", "reason")]
    pd.testing.assert_frame_equal(ours[assert_same].reset_index(drop=True), other.changes()[assert_same])


def test_the_simulation_is_what_it_seems() -> None:
    assert truth(0).sum() == 6 * 144
    assert truth(DATES).sum() == len(BEGINNINGS) * 144
    shares = [clouds(n).mean() for n in range(DATES)]
    assert min(shares) < 0.03
    assert 0.3 < max(shares) <= 0.4
    assert max(BEGINNINGS.values()) < DATES - 4

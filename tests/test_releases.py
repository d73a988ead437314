"""Releases: the decision is fair, the journal never lies, and the way back is one step."""

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.learning.seen import read_seen, read_uses, write_seen
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.release import releases as releasing
from landshift.flows.steps.release.releases import list_releases, roll_back, settle_release
from landshift.pipeline import manifest
from landshift.pipeline import releases as storing
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import TEST, TRAIN, VALIDATION
from landshift.pipeline.manifest import file_hash, write_json
from landshift.pipeline.releases import (
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    Entry,
    ReleaseJournal,
    model_in_use,
    read_journal,
    write_journal,
)
from landshift.pipeline.scores.release import (
    CHANGE,
    NOT_JUDGED,
    NOT_WORSE,
    WORSE,
    Held,
    ReleaseRule,
    compare_regions,
    decide_release,
    enough_blocks,
)
from landshift.pipeline.vector.columns import LEARNT, TESTED
from tests.conftest import Territory, small_grid

RULE = ReleaseRule()
SIDE = 100
"""Pixels of a block, a fifth of them changed."""


def pixels(blocks: Sequence[int], *, kinds: int = 1, seed: int = 0) -> Held:
    """So many blocks in each region, with labels that both models map right."""
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(len(blocks)), np.asarray(blocks) * SIDE)
    block = np.repeat(np.arange(sum(blocks)), SIDE)
    truth = np.where(np.arange(block.size) % 5 == 0, rng.integers(2, 2 + kinds, block.size), 1)
    return Held(truth, truth.copy(), truth.copy(), region, block)


def wrong(truth: np.ndarray, share: float, where: np.ndarray, seed: int) -> np.ndarray:
    """Map a share of the pixels as the contrary of what they are."""
    hit = where & (np.random.default_rng(seed).random(truth.size) < share)
    return np.where(hit, np.where(truth > 1, 1, 2), truth)


def verdict(held: Held, rule: ReleaseRule = RULE) -> Any:
    names = [f"region {n}" for n in range(int(held.region.max()) + 1)]
    return decide_release(compare_regions({CHANGE: held}, names, rule), rule)


@given(
    st.lists(st.integers(4, 9), min_size=1, max_size=5), st.floats(0, 0.6), st.integers(1, 3), st.integers(0, 9),
    st.floats(0, 0.1),
)  # fmt: skip
def test_a_model_is_never_worse_than_itself(
    blocks: list[int], errors: float, kinds: int, seed: int, tolerance: float
) -> None:  # fmt: skip
    held = pixels(blocks, kinds=kinds, seed=seed)
    mapped = wrong(held.truth, errors, np.ones(held.truth.size, dtype=bool), seed)
    found = verdict(replace(held, old=mapped, new=mapped.copy()), replace(RULE, tolerance=tolerance))
    assert (found.verdict, found.promote) == (NOT_WORSE, True)
    assert all(r.gain.low == r.gain.high == 0 for r in found.rows)


@settings(max_examples=40)
@given(st.integers(2, 4), st.integers(8, 12), st.floats(0.15, 0.9), st.integers(0, 9), st.data())
def test_one_region_that_is_worse_by_a_lot_refuses_whatever_the_others_gain(
    regions: int, blocks: int, errors: float, seed: int, data: st.DataObject
) -> None:
    held = pixels([blocks] * regions)
    bad = data.draw(st.integers(0, regions - 1))
    here = held.region == bad
    old, new = wrong(held.truth, 0.3, ~here, seed), wrong(held.truth, errors, here, seed)
    found = verdict(replace(held, old=old, new=new))
    assert (found.verdict, found.promote) == (WORSE, False)
    assert [r.region for r in found.rows if r.verdict == WORSE] == [f"region {bad}"]
    assert f"worse in region {bad}" in found.sentence
    assert verdict(replace(held, old=new, new=old)).verdict == WORSE, "and the other way round"
    assert verdict(replace(held, old=new, new=new)).promote


def test_the_tolerance_decides_about_losses_that_chance_explains() -> None:
    held = pixels([20])
    first = np.flatnonzero(held.truth > 1)[:4]  # 4 of 400 changed pixels, all in one block, are missed
    new = held.truth.copy()
    new[first] = 1
    found = verdict(replace(held, new=new))
    (row,) = found.rows
    assert (row.old, row.new) == (1.0, pytest.approx(2 * 396 / (400 + 396)))
    assert found.promote
    assert row.gain.high == 0, "resamples without that block show no loss"
    strict = verdict(replace(held, new=new), replace(RULE, tolerance=0.001))
    assert (strict.verdict, strict.promote) == (WORSE, False)


def test_a_small_loss_that_is_sure_is_a_loss() -> None:
    held = pixels([20])
    new = held.truth.copy()
    new[::SIDE] = 1  # one of the 20 changed pixels of each block
    found = verdict(replace(held, new=new), replace(RULE, tolerance=0.1))
    assert -0.1 < found.rows[0].gain.estimate < 0
    assert found.rows[0].gain.high < 0
    assert found.verdict == WORSE


def test_more_regions_ask_for_surer_intervals() -> None:
    one, many = (verdict(pixels([6] * n)).rows[0].gain.level for n in (1, 5))
    assert (one, many) == (pytest.approx(0.95), pytest.approx(0.99))


@pytest.mark.parametrize(("undecided", "promoted"), [("refuse", False), ("promote", True)])
def test_a_region_with_few_labels_is_not_judged(undecided: Any, promoted: bool) -> None:
    held = pixels([6, 3])
    worse_there = wrong(held.truth, 0.9, held.region == 1, 0)
    rule = replace(RULE, undecided=undecided)
    found = verdict(replace(held, new=worse_there), rule)
    assert [r.verdict for r in found.rows] == [NOT_WORSE, NOT_JUDGED]
    assert (found.verdict, found.promote) == (NOT_JUDGED, promoted)
    assert "region 1 (change): 3 held-out blocks with change, 4 are needed" in found.sentence
    assert not enough_blocks(held, 2, RULE)
    assert enough_blocks(held, 1, RULE)
    assert not decide_release((), RULE).promote
    known_worse = verdict(replace(held, new=wrong(held.truth, 0.9, held.region == 0, 0)), rule)
    assert not known_worse.promote


def test_what_one_of_the_models_could_not_see_is_not_compared() -> None:
    held = pixels([5])
    new = held.truth.copy()
    new[held.block == 0] = 0
    found = verdict(replace(held, new=new))
    assert (found.promote, found.rows[0].pixels, found.rows[0].blocks) == (True, 400, 4)
    new[held.block == 1] = 0
    assert verdict(replace(held, new=new)).verdict == NOT_JUDGED


def test_kinds_of_change_that_are_mixed_up_count() -> None:
    held = pixels([8], kinds=2)
    mixed = np.where(held.truth > 1, 5 - held.truth, 1)  # every change is found, and called the other one
    assert verdict(replace(held, new=mixed).plain).promote
    found = verdict(replace(held, new=mixed))
    assert (found.rows[0].new, found.verdict) == (0.0, WORSE)


# The journal, on folders that only look like models.


def model(folder: Path, letter: str) -> tuple[str, str]:
    """Write what rolling back looks at."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_text(letter * 100)
    weights = file_hash(folder / "weights.safetensors")
    write_json(folder / "model.json", {"weights": weights, "name": letter})
    (folder / "card.md").write_text(f"# Model {letter}\n")
    return weights, file_hash(folder / "model.json")


@pytest.fixture
def ws(territory: Territory) -> Workspace:
    """Three releases, the third in use."""
    place: Workspace = territory.workspace()
    entries: list[Entry] = []
    for letter in "abc":
        weights, description = model(place.candidate, letter)
        journal = ReleaseJournal(tuple(entries))
        number, folder = storing.keep_release(place.releases, place.candidate, releasing.KEPT, journal, weights)
        files, left = releasing.hashes_of(folder), entries[-1].number if entries else None
        told = (f"2026-01-0{number}", "Ana", "better", weights, description, number, folder.name, files, left)
        entries.append(Entry(PROMOTED, *told))
        releasing.show_model(place, folder, ReleaseJournal(tuple(entries)))
    return place


def letter_in_use(place: Workspace) -> str:
    return str(json.loads((place.model_in_use / "model.json").read_text(encoding="utf-8"))["name"])


def test_every_release_is_kept_and_the_last_is_in_use(ws: Workspace) -> None:
    assert [p.name[:5] for p in sorted(ws.releases.glob("0*"))] == ["0001-", "0002-", "0003-"]
    assert ws.model_in_use == ws.model
    assert letter_in_use(ws) == "c"
    content, lines = list_releases(ws)
    assert content["in_use"]["release"] == 3
    first, *_, last = lines
    assert first == "Release 3 is in use."
    assert last.endswith("(in use)")
    assert sum("(in use)" in line for line in lines) == 1
    assert content["faults"] == []


def test_rolling_back_goes_one_step_further_each_time_and_forward_by_number(ws: Workspace) -> None:
    said, lines = roll_back(ws, None, "it's haze", "Ana")
    assert (said["release"], said["left"], letter_in_use(ws)) == (2, 3, "b")
    third = read_journal(ws.releases).releases[3].weights
    assert f"--model {third} --reason 'it'\"'\"'s haze'" in lines[-1]
    assert said["left_weights"] == third
    roll_back(ws, None, "worse still")
    assert letter_in_use(ws) == "a"
    with pytest.raises(InputError, match="no release before the one in use"):
        roll_back(ws, None, "again")
    roll_back(ws, 3, "it was the scene")
    assert letter_in_use(ws) == "c"
    assert [e.action for e in read_journal(ws.releases).entries] == [PROMOTED] * 3 + [ROLLED_BACK] * 3
    assert read_journal(ws.releases).entries[3].left == 3
    assert ws.model.joinpath("card.md").read_text() == "# Model c\n"


def test_a_release_that_was_rolled_back_from_is_remembered_until_it_is_back(ws: Workspace) -> None:
    third = read_journal(ws.releases).releases[3].description
    assert read_journal(ws.releases).rollback_of(third) is None
    roll_back(ws, None, "haze")
    entry = read_journal(ws.releases).rollback_of(third)
    assert entry is not None
    assert entry.reason == "haze"
    roll_back(ws, 3, "it was the scene")
    assert read_journal(ws.releases).rollback_of(third) is None


def test_rolling_back_to_what_is_in_use_mends_its_folder_and_writes_no_line(ws: Workspace) -> None:
    before = (ws.releases / "releases.json").read_bytes()
    assert roll_back(ws, 3, "sure?")[1] == ["Release 3 is in use already."]
    (ws.model / "weights.safetensors").write_text("damaged")
    assert roll_back(ws, 3, "sure?")[0]["mended"]
    assert (ws.model / "weights.safetensors").read_text() == "c" * 100
    assert (ws.releases / "releases.json").read_bytes() == before


def test_what_is_written_over_the_model_in_use_does_not_reach_its_release(ws: Workspace) -> None:
    with (ws.model / "weights.safetensors").open("r+b") as stream:
        stream.write(b"overwritten in place")
    assert list_releases(ws)[0]["faults"] == []


@pytest.mark.parametrize("harm", ["altered", "gone"])
def test_a_release_that_is_not_what_it_was_is_refused(ws: Workspace, harm: str) -> None:
    (folder,) = ws.releases.glob("0002-*")
    if harm == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "weights.safetensors").unlink()
        (folder / "weights.safetensors").write_text("other")
    with pytest.raises(InputError, match=r"Release 2 cannot be used.*Copy it back"):
        roll_back(ws, None, "haze")
    assert letter_in_use(ws) == "c"
    assert len(list_releases(ws)[0]["faults"]) == 1


def test_an_unknown_number_and_no_reason_are_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no release 9; there are 1, 2, 3"):
        roll_back(ws, 9, "haze")
    with pytest.raises(InputError, match="reason is empty"):
        roll_back(ws, None, "  ")
    elsewhere = replace(ws, output=tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds no release"):
        roll_back(elsewhere, None, "haze")
    assert not elsewhere.output.exists()
    with ws.alone(), pytest.raises(InputError, match="Another run is writing"):
        roll_back(ws, None, "haze")


def _end_at(moment: str) -> None:
    """End this process, without any tidying up, once that moment is reached."""
    write, rename = releasing.write_journal, Path.rename

    def written(*given: Any) -> None:
        if moment == "after the journal":
            write(*given)
        if moment != "between two renames":
            os._exit(9)
        write(*given)

    def renamed(path: Path, target: Path) -> Path:
        rename(path, target)
        os._exit(9)

    releasing.write_journal = written
    if moment == "between two renames":
        # Where the system cannot exchange two folders in one step.
        manifest._exchange = lambda *_: False
        Path.rename = renamed  # type: ignore[method-assign]


@pytest.mark.parametrize("moment", ["before the journal", "after the journal", "between two renames"])
def test_a_kill_leaves_the_old_model_or_the_new_one(ws: Workspace, moment: str) -> None:
    """In a process of its own, ended so that nothing can tidy up."""
    process = os.fork()
    if process == 0:
        try:
            _end_at(moment)
            roll_back(ws, None, "haze")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    expected = "c" if moment == "before the journal" else "b"
    assert ws.model.is_dir() == (moment != "between two renames")
    assert letter_in_use(ws) == expected
    with ws.alone():
        settle_release(ws)
    assert ws.model_in_use == ws.model
    assert letter_in_use(ws) == expected
    assert not list(ws.output.rglob(".partial*"))


def test_a_full_disk_changes_nothing(ws: Workspace, full_disk: Callable[[int], Any]) -> None:
    before = (ws.releases / "releases.json").read_bytes()
    with full_disk(50), pytest.raises(OSError, match="File too large"):
        roll_back(ws, None, "haze")
    assert letter_in_use(ws) == "c"
    assert (ws.releases / "releases.json").read_bytes() == before
    roll_back(ws, None, "haze")
    assert letter_in_use(ws) == "b"


def test_a_model_without_a_release_is_listed_and_never_replaced(territory: Territory) -> None:
    ws = territory.workspace()
    assert list_releases(ws)[1] == ["No model was released yet; `landshift train` makes the first."]
    ws.model.mkdir(parents=True)
    (ws.model / "model.json").write_text("{}", encoding="utf-8")
    (line,) = list_releases(ws)[1]
    assert str(ws.model) in line
    assert line.endswith("is used.")
    with ws.alone(), pytest.raises(InputError, match=r"was never released.*Move that folder away"):
        settle_release(ws)


def test_a_model_put_there_by_hand_is_not_used_in_silence(ws: Workspace) -> None:
    model(ws.model, "x")
    with pytest.raises(InputError, match=r"never released.*release 3.*--model"):
        _ = ws.model_in_use
    with ws.alone(), pytest.raises(InputError, match="never released"):
        settle_release(ws)
    roll_back(ws, 3, "by mistake")
    assert letter_in_use(ws) == "c"


@pytest.mark.parametrize(
    "harm",
    [
        b"", b"[]", b'{"format": 1}', b"\xff", b'{"format": 1, "entries": [{"action": "promoted"}]}',
        b'{"format": 2, "entries": []}',
    ],
)  # fmt: skip
def test_a_damaged_journal_is_said_to_be_one(ws: Workspace, harm: bytes) -> None:
    (ws.releases / "releases.json").write_bytes(harm)
    with pytest.raises(InputError, match=r"releases\.json (is damaged|has format 2)"):
        _ = ws.model_in_use


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folder", "../../elsewhere"), ("folder", ".."), ("folder", ""), ("folder", None), ("number", "3"), ("number", True),
        ("number", None),
        ("action", "dreamt"), ("files", {"../x": "sha256:0"}), ("files", []), ("left", [1]), ("comparison", 3), ("weights", 5),
        ("folder", "a\0b"), ("folder", "a" * 5000), ("folder", "\u00e9"), ("files", {"a\0b": "sha256:0"}), ("number", -1),
    ],
)  # fmt: skip
def test_a_journal_leads_nowhere_else(ws: Workspace, field: str, value: Any) -> None:
    path = ws.releases / "releases.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["entries"][0][field] = value
    write_json(path, content)
    with pytest.raises(InputError, match="damaged"):
        read_journal(ws.releases)


def test_a_model_that_is_gone_with_its_release_is_missed(ws: Workspace) -> None:
    for folder in (ws.model, next(ws.releases.glob("0003-*"))):
        shutil.rmtree(folder)
    with ws.alone(), pytest.raises(InputError, match="Release 3 cannot be used"):
        settle_release(ws)
    assert not ws.model.exists(), "an empty folder would look like a model"


def test_a_link_that_leads_nowhere_is_no_obstacle(ws: Workspace, tmp_path: Path) -> None:
    shutil.rmtree(ws.model)
    ws.model.symlink_to(tmp_path / "unmounted")
    roll_back(ws, None, "haze")
    assert ws.model_in_use == ws.model
    assert letter_in_use(ws) == "b"


def test_a_journal_that_is_lost_gives_no_number_twice(ws: Workspace) -> None:
    (ws.releases / "releases.json").unlink()
    assert model_in_use(ws.releases, ws.model) == ws.model
    weights, _ = model(ws.candidate, "d")
    assert storing.keep_release(ws.releases, ws.candidate, releasing.KEPT, ReleaseJournal(), weights)[0] == 4


@given(st.lists(st.integers(1, 4), max_size=12), st.data())
def test_the_way_back_ends_at_what_is_in_use_and_names_each_once(numbers: list[int], data: st.DataObject) -> None:
    entries = []
    for n in numbers:
        action = data.draw(st.sampled_from([PROMOTED, ROLLED_BACK, REFUSED]))
        entries.append(Entry(action, "", None, "", f"w{n}", f"d{n}", None if action == REFUSED else n, str(n), {"a": "b"}))
    journal = ReleaseJournal(tuple(entries))
    way = journal.way_back
    assert len(set(way)) == len(way)
    if journal.in_use is None:
        assert way == ()
    else:
        assert way[-1] == journal.in_use.number
    assert set(way) <= set(journal.releases)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    row = Entry(
        REFUSED, "2026-01-01T00:00:00+00:00", None, "worse", "w", "d", key="k", comparison={"rows": [], "promote": False}
    )
    write_journal(tmp_path, ReleaseJournal((row,)))
    found = read_journal(tmp_path)
    assert found == ReleaseJournal((row,))
    assert found.refusal_of("d", "k") == row
    assert found.refusal_of("d", "other") is None
    assert (found.in_use, found.releases) == (None, {})


# Where a model was trained.


def test_where_a_model_was_trained_is_known_on_other_grids_too(territory: Territory, tmp_path: Path) -> None:
    from landshift.pipeline.raster.write import write_raster

    labels = np.zeros(territory.grid.shape, dtype=np.uint8)
    labels[:, ::2] = 1
    territory.write("labels.tif", labels[np.newaxis], descriptions=("change",), nodata=None)
    territory.config["labels"] = {"rasters": {"change": "labels.tif", "values": {0: "unchanged", 1: "changed"}}}
    territory.config["split"] = {"block_px": 8, "buffer_px": 1, "min_pixels": 10}
    place = territory.workspace()
    assert read_seen(tmp_path, territory.grid) is None
    divide_labels(place, territory.grid)
    write_seen(place, territory.grid, tmp_path)
    wanted = np.isin(read_masks(place).role, (TRAIN, VALIDATION))
    assert 0 < wanted.sum() < wanted.size
    np.testing.assert_array_equal(read_seen(tmp_path, territory.grid), wanted)
    uses = read_uses(tmp_path, territory.grid)
    assert uses is not None
    np.testing.assert_array_equal(uses, np.where(wanted, LEARNT, np.where(read_masks(place).role == TEST, TESTED, 0)))
    assert read_uses(tmp_path, small_grid(40, 48, x=300_050)) is None
    moved = small_grid(40, 48, x=300_000 + 50)  # five pixels further east
    found = read_seen(tmp_path, moved)
    assert found is not None
    assert found[:, :43][wanted[:, 5:]].all()
    assert not found[:, 45:].any(), "nobody was there"
    assert not read_seen(tmp_path, small_grid(40, 48, x=900_000))[:].any()  # type: ignore[index]
    write_raster(tmp_path / "seen.tif", np.ones((40, 48), dtype=np.uint8), territory.grid)
    assert read_seen(tmp_path, territory.grid).all()  # type: ignore[union-attr]


# The command line.


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return result.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", result.stdout), result.stderr


@pytest.mark.parametrize("verb", ["list", "promote", "rollback"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    code, out, _ = run("release", verb, "--help")
    assert code == 0
    assert f"landshift release {verb}" in out
    assert "--json" in out


def test_the_command_lists_and_rolls_back(ws: Workspace, territory: Territory) -> None:
    config = territory.data / "place.yaml"
    config.write_text(yaml.safe_dump(territory.config))
    where = ("--output", territory.output)
    code, out, _ = run("release", "rollback", config, *where, "--reason", "haze", "--json")
    assert (code, json.loads(out)["release"]) == (0, 2)
    code, out, _ = run("release", "list", config, *where)
    assert code == 0
    last = out.partition("\n\nNext:")[0].splitlines()[-1]
    who = str(read_journal(ws.releases).entries[-1].who)
    assert last.split()[-6:] == ["rolled", "back", who, "haze", "(in", "use)"]
    content = json.loads(run("release", "list", config, *where, "--json")[1])
    assert content["in_use"]["release"] == 2
    assert len(content["entries"]) == 4
    code, _, err = run("release", "rollback", config, *where, "--reason", "haze", "--to", "8")
    assert code == 2
    assert "no release 8" in err
    assert run("release", "list", config, "--output", territory.data)[1].startswith("No model was released yet")
    code, _, err = run("release", "promote", config, *where, "--despite-verdict")
    assert code == 2
    assert "--despite-verdict needs --reason" in err
    shutil.rmtree(ws.candidate)
    code, _, err = run("release", "promote", config, *where)
    assert code == 2
    assert "landshift train" in err

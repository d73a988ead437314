"""The first screen of a run's page: how good the map is and on whose test, and where not to trust it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.change.second_opinion import SecondOpinion
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.run.page.answer import list_doubts, measure_quality
from landshift.pipeline.run.page.tables import area_rows
from landshift.pipeline.run.record import RunRecord, TerritoryShift
from landshift.pipeline.sample.area_estimation import UNKNOWN
from landshift.pipeline.sample.record import ErrorMatrix
from tests.small_run import estimates_of, known, mapped_change, run_record

LEGEND = Legend(tuple(LandUse(i, name, "#00aa00") for i, name in enumerate(("Forest", "Cropland", "Water"), 1)))
TEST = {"precision": 0.861, "recall": 0.934}
EVIDENCE = {"blocks": 19, "precision": (0.8, 0.913), "recall": [0.88, 0.97]}


def run_of(*tests: OnTestBlocks, scores: Any = None, tested_here: bool = True) -> RunRecord:
    plain = run_record(LEGEND)
    kinds = tuple(
        mapped_change(kind, 10.0 - i, test=test) for i, (kind, test) in enumerate(zip(LEGEND.changes[2:], tests, strict=False))
    )
    areas = replace(plain.areas, changed_ha=sum(k.area_ha for k in kinds), changes=kinds, polygons=len(kinds))
    assert plain.model is not None
    return replace(plain, areas=areas, model=replace(plain.model, scores=scores, tested_here=tested_here))


def test_a_judged_sample_goes_before_test_blocks() -> None:
    run = run_of(scores={"test": TEST, "evidence": EVIDENCE})
    found = measure_quality(run, estimates_of(run))
    assert found.right is not None
    assert found.found is not None
    assert [(s.text, s.span) for s in (found.right, found.found)] == [("75", "62 to 88"), ("50", "25 to 75")]
    assert "117 points drawn at random over the whole map; judged by: not recorded" in found.tested_on


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (True, "19 blocks of labels in these images, which the model never saw"),
        (False, "and not on these: here it can be worse"),
    ],
)
def test_without_a_sample_the_test_blocks_tell_and_where_they_lie(here: bool, said: str) -> None:
    found = measure_quality(run_of(scores={"test": TEST, "evidence": EVIDENCE}, tested_here=here), None)
    assert found.right is not None
    assert found.found is not None
    assert [(s.text, s.span) for s in (found.right, found.found)] == [("86", "80 to 91"), ("93", "88 to 97")]
    assert said in found.tested_on


def test_what_has_no_interval_or_no_number_is_called_so() -> None:
    found = measure_quality(run_of(scores={"test": {"precision": 0.5, "recall": None}}), None)
    assert found.right is not None
    assert (found.right.text, found.right.span, found.found) == ("50", "no interval", None)
    nothing = measure_quality(run_of(), None)
    assert not nothing.is_measured
    assert "without test blocks, and no sample of it was judged" in nothing.tested_on
    run = run_of(scores={"test": TEST})
    estimates = estimates_of(run)
    silent = replace(estimates, changed=replace(estimates.changed, users_accuracy=UNKNOWN, producers_accuracy=UNKNOWN))
    assert "blocks" not in measure_quality(run, silent).tested_on
    assert measure_quality(run, silent).right is not None, "the model's own test is left"


def test_doubts_name_what_was_not_seen_unlike_wrong_and_unconfirmed() -> None:
    wrong, unsure = OnTestBlocks(0.2, 0.1, 0.4, 40, blocks=3), OnTestBlocks(0.9, 0.5, 1.0, 8, blocks=2)
    run = run_of(OnTestBlocks(0.9, 0.8, 0.95, 100, blocks=5), wrong, unsure)
    run = replace(
        run, domain_shift=TerritoryShift(32, 0.125), second_opinion=SecondOpinion(0.4, 0.5, 0.03, 0.01, 0.2),
        areas=replace(run.areas, not_observed_ha=12.0, observed_share=0.75),
    )  # fmt: skip
    doubts = list_doubts(run, area_rows(run, None))
    assert [d.layer for d in doubts] == ["unseen", "unlike", "kinds", "kinds", "opinion"]
    names = [kind.name for kind in run.areas.changes]
    for text, doubt in zip(("12.0 ha (25 %)", "12 %", names[1], names[2], "25 %"), doubts, strict=True):
        assert text in doubt.text
    assert names[0] not in " ".join(d.text for d in doubts)


def test_a_kind_that_the_sample_found_wrong_is_doubted_whatever_the_test_blocks_tell() -> None:
    run = run_of(OnTestBlocks(0.9, 0.8, 0.95, 100, blocks=5))
    estimates = estimates_of(run)
    rows = tuple(replace(row, users_accuracy=known(0.25, 0.1)) if row.code == 2 else row for row in estimates.changes)
    assert not [d for d in list_doubts(run, area_rows(run, None)) if d.layer == "kinds"]
    doubts = list_doubts(run, area_rows(run, replace(estimates, changes=rows)))
    assert any("More often wrong than right" in d.text and run.areas.changes[0].name in d.text for d in doubts)


def test_many_kinds_are_summed_up() -> None:
    run = run_of(*[OnTestBlocks(0.1, 0.0, 0.3, 50, blocks=4)] * 5)
    (doubt,) = (d for d in list_doubts(run, area_rows(run, None)) if d.layer == "kinds")
    assert "and 3 more kinds (40.0 ha mapped)" in doubt.text


def test_a_map_like_its_training_that_all_was_seen_of_is_not_doubted(tmp_path: Path) -> None:
    run = replace(run_of(OnTestBlocks(0.9, 0.8, 0.95, 100, blocks=5)), domain_shift=TerritoryShift(32, 0.04))
    assert list_doubts(run, area_rows(run, None)) == []
    (doubt,) = list_doubts(replace(run, domain_shift=TerritoryShift(32, None)), area_rows(run, None))
    assert "not known" in doubt.text


def test_a_kind_is_called_wrong_or_right_only_where_enough_was_tested_to_tell() -> None:
    wrong_once, wrong_often = OnTestBlocks(0.0, 0.0, 0.95, 1, blocks=2), OnTestBlocks(0.2, 0.1, 0.4, 40, blocks=3)
    right_once, either = OnTestBlocks(1.0, 0.05, 1.0, 1, blocks=2), OnTestBlocks(0.7, 0.4, 0.9, 16, blocks=3)
    run = run_of(wrong_often, wrong_once, right_once, either)
    wrong, hardly = (d for d in list_doubts(run, area_rows(run, None)) if d.kinds)
    names = [kind.name for kind in run.areas.changes]
    assert wrong.text == f"More often wrong than right when tested: {names[0]} (40 test pixels); 10.0 ha mapped."
    assert hardly.text.startswith(
        f"Hardly tested or not at all: {names[1]} (1 test pixel), {names[2]} (1 test pixel), {names[3]}"
    )
    assert (wrong.kinds, hardly.kinds) == ((0,), (1, 2, 3))


def test_a_kind_that_two_samples_found_wrong_is_hardly_tested() -> None:
    run = run_of(OnTestBlocks(0.9, 0.8, 0.95, 100, blocks=5), OnTestBlocks(0.9, 0.8, 0.95, 100, blocks=5))
    estimates, code = estimates_of(run), run.areas.changes[0].code
    rows = tuple(replace(row, users_accuracy=known(0.0, 0.3)) if row.code == code else row for row in estimates.changes)
    for counts, said in ((2, "Hardly tested or not at all"), (20, "More often wrong than right when tested")):
        matrix = ErrorMatrix((code,), ("",), ((counts,),), ((1.0,),))
        found = area_rows(run, replace(estimates, changes=rows, matrix=matrix))
        doubts = [d for d in list_doubts(run, found) if d.kinds]
        assert [d.text for d in doubts] == [f"{said}: {run.areas.changes[0].name} ({counts} samples); 10.0 ha mapped."]
        assert found[0].right_brief == f"0 % right (0 to 30), {counts} samples"
        assert ("too few to rely on" in found[0].right_text) == (counts == 2)

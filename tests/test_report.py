"""Pages stand alone and escape every name; a missing field is an error and no silence."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, Caution, Gate
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.pages.card import model_card
from landshift.pipeline.records import content_of, record_of, write_record
from landshift.pipeline.run.page.map_data import DrawnLayers, largest
from landshift.pipeline.run.page.pictures import Pictures
from landshift.pipeline.run.page.write import page_of, run_page
from landshift.pipeline.run.record import InputFile, RunRecord, TerritoryShift, UsedAdaptation
from landshift.pipeline.scores.accuracy import KindScore, ScoreEvidence
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.calibration import TemperatureCheck
from landshift.pipeline.scores.evidence import BlockShare
from landshift.pipeline.scores.reliability import KnownCalibration
from landshift.pipeline.scores.training import Cost, TemperatureChecks
from tests.small_run import DATES, NAMES, estimates_of, mapped_change, run_record, write_run
from tests.test_assessment import adaptation, obligatory, whole

HOSTILE = "<script>alert(1)</script>"
SCORES = {"kappa": 0.5, "f1": 0.25, "iou": 0.125, "precision": 1.0, "recall": 0.75, "auc": None, "n": 1234567}


def assessed(content: dict[str, Any]) -> Assessment:
    return record_of(Assessment, content, "a test")


LEGEND = Legend(tuple(LandUse(i, name, "#00aa00") for i, name in enumerate(("Forest", "Cropland", "Water"), 1)))
GATES = tuple(Gate(f"Gate {outcome}", "1 %", "at most 2 %", outcome, "It means so.") for outcome in (PASS, MARK, NOT_MEASURED))


def run(**more: Any) -> RunRecord:
    """Two kinds of change, of which the model was tested on one."""
    kinds = (
        mapped_change(
            LEGEND.changes[2], 12.0, polygons=7, test=OnTestBlocks(0.625, 0.41, 0.8, 40, blocks=5, found=0.5, labelled=50)
        ),
        mapped_change(LEGEND.changes[3], 1.0, test=OnTestBlocks(None, None, None, 0)),
    )
    plain = run_record(LEGEND)
    areas = replace(plain.areas, changed_ha=1234.5, changed_share=0.125, observed_share=0.5, polygons=7, changes=kinds)
    tested = replace(plain.model, scores={"test": SCORES})
    return replace(plain, areas=areas, model=tested, gates=GATES, files={"change.tif": "Change map"}, **more)


NOTHING = BlockShare(None, None, None, 0, blocks=0)


@dataclass(frozen=True)
class Kinds:
    """For their JSON."""

    kinds: tuple[KindScore, ...]


COST = {
    "step": "detection", "seconds": 31.0, "kwh": 0.00025, "co2e_kg": 0.0125, "gpu_hours": 0.0, "how": "estimated somehow",
    "country": "FRA",
}  # fmt: skip
PICTURES = Pictures(*["data:image/png;base64,AA=="] * 3)
NO_POLYGONS = gpd.GeoDataFrame(
    {
        name: []
        for name in (
            "change_id",
            "change_code",
            "from_name",
            "to_name",
            "area_ha",
            "change_probability",
            "change_probability_min",
        )
    },
    geometry=[],
)
OUR_SCRIPTS = 4
"""The data, Leaflet and two of ours."""


def page_for(content: RunRecord, pictures: Pictures = PICTURES) -> str:
    return run_page(content, None, pictures, {}, DrawnLayers(NO_POLYGONS, NO_POLYGONS))


def test_the_page_says_the_figures() -> None:
    page = page_for(run())
    for text in (
        "1,234.5 ha",
        "62 % (41 to 80 %) of 40 mapped test pixels right",
        "not tested",
        "Forest to Cropland",
        "1,234,567",
        "kappa 0.5",
        "EPSG:32651",
        "<code>abc</code>",
    ):
        assert text in page


def page_of_tests(*test: OnTestBlocks) -> str:
    content = run()
    rows = tuple(replace(row, test=t) for row, t in zip(content.areas.changes, test, strict=True))
    return page_for(replace(content, areas=replace(content.areas, changes=rows)))


def test_a_kind_that_was_always_wrong_is_called_so_and_not_untested() -> None:
    page = page_of_tests(
        OnTestBlocks(0.0, 0.0, 0.66, 37, blocks=2, found=None, labelled=0), OnTestBlocks(mapped=0, labelled=12, found=0.0)
    )
    assert "0 % (0 to 66 %) of 37 mapped test pixels right" in page
    assert page.count("not tested</td>") == 1, "mapped nowhere on the test blocks"


def test_kinds_that_rest_on_little_are_doubted() -> None:
    page = page_of_tests(OnTestBlocks(1.0, 0.2, 1.0, 300, blocks=1), OnTestBlocks(0.5, 0.1, 0.9, 8, blocks=2))
    assert "100 % (20 to 100 %) of 300 mapped test pixels right, in one block, too few to rely on" in page
    assert "50 % (10 to 90 %) of 8 mapped test pixels right, too few to rely on" in page


def test_scores_of_other_images_are_called_so() -> None:
    plain = run()
    assert "measured where the model was trained" not in page_for(plain)
    away = page_for(replace(plain, model=replace(plain.model, tested_here=False)))
    assert "(measured where the model was trained)" in away
    assert "Measured where the model was trained, on other images than these" in away
    assert '"tested":false' in away


def test_scores_of_the_map_have_intervals() -> None:
    plain = run()
    evidence = content_of(ScoreEvidence(40, 5, (0.4, 0.6), None))
    page = page_for(replace(plain, model=replace(plain.model, scores={"test": SCORES, "evidence": evidence})))
    assert "kappa 0.500 (0.400 to 0.600), F1 0.250 (no interval)" in page
    assert "the 5 test blocks anew; all lie in one territory" in page


def test_the_page_doubts_every_probability_of_a_model_that_was_calibrated_elsewhere(tmp_path: Path) -> None:
    write_run(tmp_path / "home")
    home = re.sub("<script.*?</script>", "", page_of(tmp_path / "home"), flags=re.DOTALL)
    assert "uncalibrated here" not in home
    assert "it was off by 0.300 on average" in home
    write_run(tmp_path / "away", calibration=KnownCalibration(None, 0.001))
    away = page_of(tmp_path / "away")
    assert '"calibrated":false' in away
    away = re.sub("<script.*?</script>", "", away, flags=re.DOTALL)
    assert away.count("(uncalibrated here)") == 3, "heading of the table, of the list for paper, and the threshold"
    assert "is not the share of them that changed" in away
    assert "0.001" not in away


def test_every_outcome_of_a_gate_has_a_symbol_and_a_word() -> None:
    page = page_for(run())
    for symbol, word in (("✓", "passed"), ("▲", "take care"), ("○", "not measured")):
        assert f'<span aria-hidden="true">{symbol}</span> {word}' in page


@pytest.mark.parametrize("assessment", [Assessment(), assessed(whole())], ids=["bare", "assessed"])
def test_the_page_needs_no_network(assessment: Assessment) -> None:
    page = page_for(run(assessment=assessment))
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert page.count("<script") == OUR_SCRIPTS
    assert "@import" not in page
    assert "sourceMappingURL" not in page
    assert not re.findall(r"""url\((?!#|"data:)""", page)


def test_names_are_escaped_everywhere() -> None:
    page = page_for(
        replace(run(
            name=HOSTILE, warnings=(Caution(HOSTILE, HOSTILE),), versions={HOSTILE: HOSTILE},
            inputs=(InputFile(HOSTILE, "before", DATES[0], HOSTILE),),
            legend=tuple(replace(c, name=HOSTILE + c.name) for c in LEGEND.classes),
        ), files={HOSTILE: HOSTILE}, gates=(Gate(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),)),
        replace(PICTURES, before='"><script>'),
    )  # fmt: skip
    assert page.count("<script") == OUR_SCRIPTS
    assert page.count("&lt;script&gt;") >= 15


def test_the_folder_of_a_run_is_all_that_its_page_needs(tmp_path: Path) -> None:
    content = write_run(tmp_path / "run", assessment=assessed(whole()))
    page = page_of(tmp_path / "run")
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere '&")
    assert page_of(moved) == page
    assert str(tmp_path) not in page
    for text in ("2.40", "place-30010-359969", *NAMES, "What happened in the rest is not known", "landshift sample RUN"):
        assert text in page
    write_record(moved / "record/estimates.json", estimates_of(content))
    estimated = page_of(moved)
    for text in (
        "10.8 to 13.8",
        "117 judged samples",
        "Cropland to Forest",
        "87.5 %",
        "3 samples were not judged.",
        "12 samples",
    ):
        assert text in estimated
        assert text not in page


def test_pixel_counts_are_called_biased_wherever_they_head_a_column(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = page_of(tmp_path)
    assert page.count("(pixel count, biased)") >= 6


@pytest.mark.parametrize("classes", [(), (("Forest", "#00aa00"), ("Water", "#0000aa"))])
def test_a_run_without_any_change_says_so(tmp_path: Path, classes: tuple[tuple[str, str], ...]) -> None:
    write_run(tmp_path, quiet=True, classes=classes, names=())
    page = page_of(tmp_path)
    assert "<strong>No change was found</strong>" in page
    assert 'id="patches"' not in page
    assert 'id="largest"' not in page
    assert 'id="places"' not in page


def test_what_is_not_drawn_is_said_with_the_true_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    assert "Not everything is drawn" not in page_of(tmp_path)
    monkeypatch.setattr("landshift.pipeline.run.page.write.largest", lambda changes: largest(changes, 2))
    page = page_of(tmp_path)
    assert "hold the 2 largest of 4 patches" in page
    assert page.count('class="what"') == 2


def test_a_run_that_lost_a_file_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "layers/image_before.tif").unlink()
    with pytest.raises(InputError, match=r"image_before\.tif is not there"):
        page_of(tmp_path)


def test_a_run_without_change_and_without_scores() -> None:
    page = page_for(run_record(LEGEND))
    assert "No change was found." in page
    assert "kappa" not in page


def test_what_was_assessed_is_on_the_page_of_the_map() -> None:
    page = page_for(run(assessment=assessed(whole())))
    for text in (
        "How far can the map be trusted?",
        "whether transfer helps, threshold, cost",
        whole()["guard"]["sentence"],
        "▲</span> Helps",
        "south</bdi> (worst)",
        "cannot be told apart",
        "23 % lies further out.",
        'role="img"',
        "temperature of the region (after)",
        "250 Wh",
        "not on\nthe very model",
    ):
        assert text in page
    assert "Not measured yet" not in page


def test_what_was_not_assessed_names_the_command() -> None:
    assert "<code>landshift assess CONFIG</code> measures it" in page_for(run())
    quick = page_for(run(assessment=assessed(obligatory())))
    assert "landshift assess CONFIG --curve" in quick
    assert "Not known yet whether" in quick
    elsewhere = page_for(run(assessment=assessed({"adaptation": adaptation(labels=False)})))
    assert "None is accepted." in elsewhere
    assert "Whether transfer helps" not in elsewhere


def test_the_page_says_where_the_map_deserves_less_trust() -> None:
    assert "38 % of the territory" in page_for(run())
    assert "is not known" in page_for(run(domain_shift=TerritoryShift(32, None)))


def test_the_page_says_what_the_map_cost() -> None:
    page = page_for(run(cost=Cost(**COST)))
    assert "took 31 s and 0.25 Wh of electricity (12.5 g CO2e); energy: estimated somehow." in page
    assert "took 31 s; energy: not measured" in page_for(
        run(cost=Cost(**COST | {"kwh": None, "co2e_kg": None, "how": "not measured"}))
    )


@pytest.mark.parametrize(("verified", "said"), [(True, "it was found to help"), (False, "unverified")])
def test_an_adapted_map_says_what_was_done_and_whether_it_helps(verified: bool, said: str) -> None:
    used = UsedAdaptation("histogram", verified, threshold=0.4, temperatures=None, notes=(HOSTILE,))
    page = page_for(run(adaptation=used))
    assert said in page
    assert "can hide change" in page
    assert "0.400, which was chosen on labels of this territory" in page
    assert page.count("<script") == OUR_SCRIPTS


def test_a_missing_field_is_an_error(tmp_path: Path) -> None:
    broken = content_of(run())
    del broken["threshold"]
    (tmp_path / "record").mkdir()
    (tmp_path / "record/run.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(InputError, match="threshold: is missing"):
        page_of(tmp_path)


def report(seeds: int) -> dict[str, Any]:
    spread = {k: {"mean": 0.5, "std": 0.1} for k in ("kappa", "f1", "iou", "auc")}
    rows = [
        {"seed": i, "test": SCORES, "calibration_error": 0.05, "warnings": ["It says unchanged everywhere."] if i else []}
        for i in range(seeds)
    ]
    encoder = {k: k.title() for k in ("name", "task", "sensor", "licence", "citation")}
    return {
        "project": "place", "encoder": encoder, "strategy": "frozen", "notes": ["swir16: mean of the filters"], "seeds": rows,
        "warnings": [], "kept_seed": 0, "network": spread, "classical": {"IR-MAD, Otsu": SCORES | {"auc": float("nan")}},
    }  # fmt: skip


MODEL = {
    "legend": [{"name": "Forest"}, {"name": "Cropland"}],
    "spec": {"bands": ["red", "nir"], "heads": "both", "decoder": "unet", "fusion": "difference"},
    "units": "reflectance", "normalisation": {"origin": "ImageNet"},
    "threshold": 0.4, "temperatures": {"change": 1.2, "landuse": 1.0},
}  # fmt: skip


def test_the_card_has_a_row_for_each_method() -> None:
    card = model_card(report(1), MODEL)
    assert "among Forest, Cropland." in card
    assert "| Network, seed 0 (kept) | 0.500 | 0.250 | 0.125 | 1.000 | 0.750 | – | 1,234,567 | – | – |" in card
    assert "| IR-MAD, Otsu | 0.500 | 0.250 | 0.125 | 1.000 | 0.750 | – | 1,234,567 | – | – |" in card
    assert "- swir16: mean of the filters" in card
    assert "mean ±" not in card


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (TemperatureCheck(2.885, True, 0.182, 0.01, 4), "2.885 is kept: on 4 validation blocks, held out in turn, it takes"),
        (TemperatureCheck(0.871, False, 0.007, 0.01, 9), "0.871 is not kept: on 9 validation blocks"),
        (TemperatureCheck(0.871, False, None, None, 1), "1: all validation labels lie in one block, so nothing can"),
    ],
)  # fmt: skip
def test_the_card_tells_why_a_temperature_is_kept(check: TemperatureCheck, told: str) -> None:
    content = report(1)
    content["seeds"][0]["temperature_checks"] = content_of(TemperatureChecks(change=check))
    card = model_card(content, MODEL)
    assert f"| Temperature of change | {told}" in card
    assert "Temperature of land use" not in card
    assert "| 0.050, on the images of the training alone; uncalibrated on all others |" in card


def test_scores_of_the_card_have_intervals_and_kinds() -> None:
    content = report(1)
    content["seeds"][0] |= {
        "evidence": content_of(ScoreEvidence(40, 5, (0.4, 0.6), (0.2, 0.3))),
        "kinds": content_of(Kinds((
            KindScore(3, "Forest to Water", BlockShare(0.0, 0.0, 0.66, 37, blocks=2), NOTHING),
            KindScore(4, "Water to Forest", NOTHING, NOTHING),
        )))["kinds"],
    }  # fmt: skip
    card = model_card(content, MODEL)
    assert "| 0.500 (0.400 to 0.600) | 0.250 (0.200 to 0.300) | 0.125 | 1.000 | 0.750 | – | 1,234,567 | 40 | 5 |" in card
    assert "| Forest to Water | 37 | 0 % (0 % to 66 %) | 0 | – | 2 |" in card
    assert "| Water to Forest |" not in card
    assert "All blocks lie in one territory" in card


def test_the_card_states_that_a_split_was_given() -> None:
    sentence = "The split came with the labels (`split: by: column`): the roles are not kept apart by blocks"
    assert sentence in model_card(report(1) | {"splits": {"by": "column"}}, MODEL)
    assert "The split came with" not in model_card(report(1) | {"splits": {"by": "blocks"}}, MODEL)


def test_several_seeds_have_mean_and_spread_and_the_warnings_are_said() -> None:
    card = model_card(report(2), MODEL)
    assert "| Network, mean ± standard deviation | 0.500 ± 0.100 |" in card
    assert "**Warning:**" not in card
    warned = model_card(report(2) | {"warnings": ["It says unchanged everywhere."]}, MODEL)
    assert "**Warning:** It says unchanged everywhere." in warned


@pytest.mark.parametrize("assessment", [Assessment(), assessed(whole())], ids=["bare", "assessed"])
def test_tables_of_the_card_are_not_interrupted(assessment: Assessment) -> None:
    """A blank line would end a Markdown table."""
    for table in re.findall(r"(?:^\|.*\n)+", model_card(report(3), MODEL, assessment), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def risk(threshold: float | None) -> dict[str, Any]:
    return {"threshold": threshold, "alpha": 0.1, "tiles": 20, "empirical": 0.0625, "guarantee": "At most 0.1 is missed."}


def test_the_card_says_what_is_promised_and_what_training_cost() -> None:
    told = report(2)
    told["seeds"][0] |= {"risk_control": risk(0.25), "cost": COST}
    told["seeds"][1] |= {"risk_control": risk(0.75), "cost": None}
    card = model_card(told, MODEL)
    assert "| Threshold for at most 10 % missed | 0.250 |" in card
    assert "At most 0.1 is missed. That threshold is 0.250; on the validation blocks it misses 6.2 %." in card
    assert "| Seed 0 (kept) | 31 s | 0.25 Wh | 12.5 g | estimated somehow |" in card
    assert "0.750 (in use)" not in card
    assert "0.250 (in use)" in model_card(told, MODEL | {"threshold": 0.25})


def test_the_card_says_where_nothing_can_be_promised() -> None:
    told = report(1)
    told["seeds"][0]["risk_control"] = risk(None) | {"empirical": None, "guarantee": "Nothing is promised."}
    card = model_card(told, MODEL)
    assert "Nothing is promised." in card
    assert "That threshold" not in card


def test_the_card_of_an_older_report_leaves_out_what_it_does_not_know() -> None:
    card = model_card(report(1), MODEL)
    assert "promise" not in card
    assert "Cost of training" not in card


def test_the_assessment_is_part_of_the_card() -> None:
    assert model_card(report(1), MODEL, Assessment()) == model_card(report(1), MODEL)
    card = model_card(report(1), MODEL, assessed(whole()))
    assert card.index("## Limits") < card.index("\n## Does the encoder help here?")

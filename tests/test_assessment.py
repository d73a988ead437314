"""The page of an assessment says the verdict first, escapes every name, and says what was not measured."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import pytest

from landshift.flows.config.sections import DetectConfig
from landshift.pipeline.formatting import duration, energy, gas
from landshift.pipeline.pages.assessment import assessment_page, card_section, summary_lines
from landshift.pipeline.pages.assessment_view import ADAPTATIONS
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.conformal import risk_controlled_threshold
from landshift.pipeline.scores.evidence import f1_gain, judge_transfer
from landshift.pipeline.scores.ranking import kendall_tau
from landshift.pipeline.scores.regional import optimism_gap, regional_scores
from landshift.pipeline.scores.reliability import brier_score, calibration_error_interval, reliability

HOSTILE = """'"><script>alert(1)</script>|🛰 שלום"""
OPTIONAL = ("guard", "evaluation", "alignment", "strategies", "verification", "curve", "cost")
ELSEWHERE = "A model from elsewhere in this territory"
PAGE_HEADINGS = [
    "What was measured", "Quality in each region", "Against starting from something else",
    "Ranking of encoders before training", "Bands",
    "Overlap of the training blocks with the rest", "How far fine-tuning moved the encoder", "Strategies",
    "What labels are worth", "Can the probabilities be trusted?", "Did the ranking foretell the result?",
    "What the assessment cost", "How to read this page", "Where it comes from",
]  # fmt: skip
CARD_HEADINGS = [
    "Does the encoder help here?", "Ranking of encoders before training", "Overlap of the training blocks with the rest",
    "Scores by region", "Calibration", "Label efficiency", "Cost of the assessment",
]  # fmt: skip


def ranked(name: str, rank: int, tied: list[str], fault: str = "") -> dict[str, Any]:
    return {
        "name": name, "score": -rank / 10, "low": -rank / 10 - 0.05, "high": -rank / 10 + 0.05, "rank": rank, "tied_with": tied,
        "scores": {"LogME": -rank / 10, "LEEP": None}, "probe_f1": 0.8 if rank == 1 else None,
        "depths": {"stride 16": -0.5, "stride 4": -0.25}, "notes": [f"{name} is adapted."],
        "bands": [{"band": "red", "offset": 0.25, "contrast": 1.5, "fault": fault}],
        "source": {"task": name, "sensor": name, "licence": name, "citation": name},
    }  # fmt: skip


def obligatory(name: str = "resnet18", region: str = "north") -> dict[str, Any]:
    return {
        "key": "sha256:00", "project": name, "encoder": name, "strategy": "full", "versions": {"landshift": "1"},
        "budget": {"epochs": 6, "chips_per_epoch": 128, "seeds": [0, 1, 2]},
        "regions": {"names": [region, "south"], "folds": 2, "notes": [f"Regions are {region}."]},
        "ranking": {
            "target": "change", "pixels": 2000, "groups": 90, "dimensions": 32, "choice": None,
            "sentence": f"Abstains: {name}.",
            "rows": [ranked(name, 1, ["other"]), ranked("other", 2, [name], "red: other units.")],
            "left_out": [{"encoder": name, "reason": f"{name} is not here."}],
        },
        "overlap": {
            "frechet": 1.5, "coral": 0.25, "mmd": 0.125, "mmd_p_value": 0.004, "training_blocks": 60, "target_blocks": 100,
            "beyond": 0.23, "sentence": "23 % lies further out.",
        },
    }  # fmt: skip


def guarded(gain: float, name: str, region: str) -> dict[str, Any]:
    control = {(r, seed): 0.5 + 0.01 * seed for r in (region, "south") for seed in (0, 1, 2)}
    candidate = {key: f1 + gain + (0.001 if key[0] == "south" else 0) for key, f1 in control.items()}
    judged = {
        arm: judge_transfer(candidate, control, names=(name, said)) for arm, said in (("random", "chance"), ("frozen", "still"))
    }
    tables = {"candidate": candidate, "random": control, "frozen": control}
    return {
        "verdict": judged["random"].verdict, "sentence": judged["random"].sentence, "notes": [], "folds": 2,
        "controls": {arm: asdict(v) for arm, v in judged.items()},
        "f1": {arm: [{"region": r, "seed": s, "f1": f1} for (r, s), f1 in t.items()] for arm, t in tables.items()},
        "compared": {"candidate": [name, "full"], "random": [name, "scratch"], "frozen": [name, "frozen"]},
        "diverged": [f"{name}-diverged"], "not_possible": [{"arm": name, "reason": f"{name} is too large."}],
    }  # fmt: skip


def evaluated(region: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400).astype(np.uint8)
    probability = np.clip(truth * 0.6 + rng.random(400) * 0.4, 0, 1)
    where, block = np.arange(400) % 2, np.arange(400) // 20
    kinds = ("raw", "temperature from other regions", "temperature of the region")
    error = calibration_error_interval(probability, truth, block)
    tiles = [(probability[block == b], truth[block == b]) for b in range(20)]
    found = {
        "seed": 0,
        "worst": {"mean": 0.65625, "worst_region": "south", "worst": 0.5625, "regions": {region: 0.75, "south": 0.5625}},
        "regional": content_of(regional_scores(truth, probability, 0.5, where, (region, "south"), blocks=block)),
        "calibration": {
            "rows": [{"probabilities": k, **asdict(error), "brier": brier_score(probability, truth)} for k in kinds],
            "temperatures": {region: 1.5, "south": None}, "pixels": 400, "notes": [f"{region}: few labels."],
            "reliability": {k: [vars(b) for b in reliability(probability, truth, 10)] for k in kinds},
        },
        "risk": {**asdict(risk_controlled_threshold(tiles, 0.1)), "checked_tiles": 10, "checked_miss_rate": 0.07},
        "optimism": {**asdict(optimism_gap(0.9, 0.8)), "low": 0.0625, "high": 0.1375},
        "regions_by_seed": {"1": {region: None, "south": 0.625}, "0": {region: 0.75, "south": 0.5}},
    }  # fmt: skip
    cell = {"code": 1, "name": region, "recall": 0.5, "precision": None, "support": 3}
    found["classes"] = {"before": [{"region": region, **cell}, {"region": "south", **cell, "support": 0}], "after": []}
    return found


def whole(gain: float = 0.1, name: str = "resnet18", region: str = "north") -> dict[str, Any]:
    none = {"mean": None, "low": None, "high": None}
    curve = {
        "arm": name, "seeds": 3, "f1": {"mean": 0.75, "low": 0.5, "high": 0.875}, "f1_by_seed": {}, "gain": none,
        "epochs": 5.5, "seconds": 240.0,
        "kwh": 0.0005, "target_f1": 0.7, "reached": 2, "epochs_to_target": 3.0, "kwh_to_target": None,
    }  # fmt: skip
    scores = {n: float(i) for i, n in enumerate("abc")}
    content = obligatory(name, region) | {
        "guard": guarded(gain, name, region), "evaluation": evaluated(region),
        "alignment": {name: {"stride 4": 0.9, "stride 16": 0.5}},
        "strategies": {
            "choice": "full", "sentence": "full scored best.",
            "rows": [
                {"strategy": "full", "validation": 0.75, "low": None, "high": None, "parameters": 1234567, "trainings": 6,
                 "f1": {"mean": 0.5, "worst_region": region, "worst": 0.25, "regions": {}}, "kwh": 0.0015, "reason": ""},
                {"strategy": "lora", "validation": None, "low": None, "high": None, "f1": None, "parameters": None, "kwh": None,
                 "trainings": 0, "reason": f"{name} has no module."},
            ],
        },
        "verification": {
            "rows": [{"encoder": name, "f1": 0.9}],
            "scores": {"LogME": asdict(kendall_tau(scores, scores)), "LEEP": asdict(kendall_tau({}, {}))},
            "notes": [f"{name}, full (fold 1): diverged. the loss is nan"],
        },
        "curve": {"rows": [curve | {"arm": arm, "share": s} for s in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
                           for arm in (name, "random weights")],
                  "notes": [f"{name}: diverged."]},
        "cost": {"step": "assessment", "seconds": 7200.0, "kwh": 0.25, "co2e_kg": None, "gpu_hours": 0.0, "how": "estimated",
                 "country": None},
    }  # fmt: skip
    return dict(json.loads(json.dumps(content)))


def adaptation(*, labels: bool, reason: str = "too few pixels") -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"method": method, "notes": [f"{method} was fitted."], "reason": "", "mapped_share": 0.125} for method in ADAPTATIONS
    ]
    rows[1] |= {"reason": reason, "mapped_share": None, "notes": []}
    content = {"accepted": "none", "verified": labels, "calibration": None, "sentence": "None is accepted."}
    if labels:
        truth, vote, groups = np.array([0, 1, 1, 0]), np.array([False, True, False, False]), np.arange(4)
        for row in rows:
            if not row["reason"]:
                row |= {"f1": 0.625, "calibration_error": 0.03125, "gain": asdict(f1_gain(truth, vote, truth == 1, groups))}
        rows[0] |= {"own_calibration_f1": 0.375, "own_calibration_error": 0.21, "calibration_gain": rows[0]["gain"]}
        content |= {"accepted": "batch-norm", "calibration": {"threshold": 0.5, "temperatures": {"change": 1.0}}}
    return dict(json.loads(json.dumps(content | {"rows": rows})))


def page_of(content: dict[str, Any]) -> str:
    return assessment_page(record_of(Assessment, content, "a test"))


def card_of(content: dict[str, Any]) -> str:
    return card_section(record_of(Assessment, content, "a test"))


def lines_of(content: dict[str, Any]) -> list[str]:
    return summary_lines(record_of(Assessment, content, "a test"))


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


@pytest.mark.parametrize("content", [whole(), obligatory()], ids=["whole", "quick"])
def test_every_section_is_there_in_order_whatever_was_measured(content: dict[str, Any]) -> None:
    assert headings(page_of(content)) == PAGE_HEADINGS
    assert re.findall(r"^#+ (.*)$", card_of(content), re.MULTILINE) == CARD_HEADINGS


@pytest.mark.parametrize("missing", OPTIONAL)
def test_any_section_may_be_absent(missing: str) -> None:
    content = whole()
    del content[missing]
    assert headings(page_of(content)) == PAGE_HEADINGS
    assert lines_of(content)
    assert card_of(content)


def test_a_model_from_elsewhere_without_labels_is_unverified() -> None:
    content = {"project": "place", "versions": {"landshift": "1"}, "adaptation": adaptation(labels=False)}
    page, lines, card = page_of(content), lines_of(content), card_of(content)
    assert headings(page) == [ELSEWHERE, "How to read this page", "Where it comes from"]
    assert "<h1>No labels here: nothing can be proved</h1>" in page
    assert re.search(r'class="badge .*Unverified</p>', page)
    assert page.count("None is accepted.") == 1
    assert "12 %" in page
    assert "Gain over doing nothing" not in page
    assert lines[0].startswith("Unverified: No labels here: nothing can be proved.")
    assert "Adaptation: None is accepted." in lines
    assert "Warning: Adaptation histogram cannot be used: too few pixels" in lines
    assert re.findall(r"^#+ (.*)$", card, re.MULTILINE) == [ELSEWHERE]
    assert "**unverified**" in card


def test_each_adaptation_says_what_it_does_and_its_danger() -> None:
    content = whole() | {"adaptation": adaptation(labels=True)}
    page = page_of(content)
    assert headings(page) == [*PAGE_HEADINGS[:-2], ELSEWHERE, *PAGE_HEADINGS[-2:]]
    for does, danger in ADAPTATIONS.values():
        assert does.replace("'", "&#39;") in page
        assert danger in page
    assert "batch-norm</span> (accepted)" in page
    assert "Unverified" not in page
    assert "can hide change" in card_of(content)


def test_every_adaptation_of_a_config_is_explained() -> None:
    wanted = set(get_args(DetectConfig.model_fields["adaptation"].annotation)) - {"auto"}
    assert wanted == set(ADAPTATIONS)


def test_calibration_of_the_territory_stands_beside_the_model_s_own() -> None:
    content = whole() | {"adaptation": adaptation(labels=True)}
    assert "F1 0.375 to 0.625" in "\n".join(lines_of(content))
    for written in (page_of(content), card_of(content)):
        for number in ("0.375", "0.625", "0.210", "0.031"):
            assert number in written


def test_the_worst_region_is_that_of_all_seeds_together() -> None:
    """In the first seed alone the worst region's F1 is another."""
    content = whole()
    assert content["evaluation"]["regional"]["worst"]["f1"] != 0.5625
    assert re.search(r"<strong>0.562</strong>F1 in the worst region", page_of(content))
    assert "south</bdi> (worst)" in page_of(content)
    assert "Worst region: south, F1 0.562 (mean over all regions 0.656)." in lines_of(content)
    assert "Worst region: south, F1 0.562 (mean over seeds" in card_of(content)


def test_without_f1_in_any_region_there_is_no_worst_one() -> None:
    content = whole()
    content["evaluation"]["worst"] = {"mean": None, "worst_region": None, "worst": None, "regions": {}}
    assert "The worst region is" not in page_of(content)
    assert not any(line.startswith("Worst region") for line in lines_of(content))
    assert "Worst region" not in card_of(content)


def test_what_is_missing_names_the_option_that_measures_it() -> None:
    page = page_of(obligatory())
    for option in ("--curve", "--verify", "--strategies", "without <code>--quick</code>"):
        assert option in page
    assert "Not measured yet" not in page_of(whole())


@pytest.mark.parametrize(
    ("gain", "badge", "title", "style"),
    [
        (0.1, "Helps", "resnet18 helps in resnet18", "helps"),
        (-0.0005, "No evidence", "No evidence that resnet18 helps or hurts in resnet18", "no-evidence"),
        (-0.1, "Hurts", "resnet18 hurts in resnet18", "hurts"),
    ],
)
def test_the_verdict_is_said_in_words_before_all_else(gain: float, badge: str, title: str, style: str) -> None:
    content = whole(gain)
    page = page_of(content)
    assert f"<h1>{title}</h1>" in page
    assert re.search(rf'class="badge {style}">.*{badge}</p>', page)
    assert lines_of(content)[0] == f"{badge}: {content['guard']['sentence']}"
    assert f"**{badge}.**" in card_of(content)


def test_without_a_verdict_none_is_made_up() -> None:
    page = page_of(obligatory())
    assert "Not known yet whether" in page
    assert not re.search(r'class="badge (helps|hurts|no-evidence)', page)
    assert lines_of(obligatory())[0].startswith("Not measured: ")


def test_nothing_to_compare_gives_no_advice() -> None:
    content = whole()
    content["guard"] |= {"verdict": "no evidence", "sentence": "Nothing was compared.", "controls": {}}
    page = page_of(content)
    assert "Choose by cost" not in page
    assert page.count("Nothing was compared.") == 2


@pytest.mark.parametrize("write", [page_of, card_of])
def test_names_are_escaped_everywhere(write: Callable[[dict[str, Any]], str]) -> None:
    elsewhere = adaptation(labels=False, reason=HOSTILE)
    for content in (
        whole(name=HOSTILE, region=HOSTILE),
        obligatory(HOSTILE, HOSTILE),
        {"project": HOSTILE, "versions": {}, "adaptation": elsewhere},
        whole() | {"adaptation": adaptation(labels=True, reason=HOSTILE)},
    ):
        written = write(content)
        assert "<script" not in written
        assert "&lt;script&gt;" in written


def test_the_page_needs_no_network() -> None:
    page = page_of(whole())
    assert not re.findall(r"""(?:src|href)=["'](?![#])""", page)
    assert "@import" not in page
    assert "<script" not in page
    assert page.count('role="img"') == 4


def test_the_page_is_the_same_every_time() -> None:
    assert page_of(whole()) == page_of(whole())


def test_the_page_says_the_numbers() -> None:
    page = page_of(whole())
    for text in (
        "6 epochs of 128 chips",
        "+0.100",
        "cannot be told apart",
        "red: other units.",
        "0.5 Wh",
        "4 min",
        "1,234,567",
        "2 of 3",
        "250 Wh",
        "2.0 h",
        "7.0 %",
        "resnet18 has no module.",
    ):
        assert text in page


def test_the_optimism_has_its_interval_where_there_is_one() -> None:
    content = whole()
    assert "95 % interval over seeds: 0.062 to 0.138" in page_of(content)
    content["evaluation"]["optimism"] |= {"low": None, "high": None}
    assert "interval over seeds" not in page_of(content)


def test_trainings_that_could_not_verify_the_ranking_are_told() -> None:
    assert "full (fold 1): diverged. the loss is nan" in page_of(whole())


def test_depths_go_from_shallow_to_deep() -> None:
    page = page_of(whole())
    assert page.index("stride 4") < page.index("stride 16")


def test_code_in_sentences_is_shown_as_code() -> None:
    content = obligatory()
    content["ranking"]["rows"][0]["bands"][0]["fault"] = "check `sensor: <scale>:`"
    assert "check <code>sensor: &lt;scale&gt;:</code>" in page_of(content)


def test_the_summary_is_short() -> None:
    content = whole()
    content["ranking"]["rows"] += [ranked(f"encoder {i}", i, []) for i in range(3, 30)]
    content["ranking"]["left_out"] *= 9
    content["guard"]["diverged"] *= 9
    lines = lines_of(content)
    assert len(lines) <= 27
    assert all("\n" not in line for line in lines)
    said = "\n".join(lines)
    for text in ("resnet18: LogME -0.100", "Overlap: ", "Worst region: ", "Calibration error, raw: ", "Optimism gap: ",
                 "Strategy: full scored best.",
                 "1 % of the labels: ", "100 % of the labels: ", "LogME +1.00, LEEP –", "Cost: 2.0 h",
                 "Warning: Left out: ", "… and 8 more"):  # fmt: skip
        assert text in said


def test_the_project_s_own_encoder_is_in_the_summary_however_low() -> None:
    content = whole()
    content["ranking"]["rows"] += [ranked(f"encoder {i}", i, []) for i in range(3, 30)]
    content["encoder"] = "encoder 29"
    assert any("29. encoder 29" in line for line in lines_of(content))


def test_an_evaluation_that_could_not_be_made_says_why() -> None:
    content = whole() | {"evaluation": {"notes": ["No trial could be finished."]}}
    assert "No trial could be finished." in page_of(content)
    assert "No trial could be finished." in lines_of(content)
    assert "Not measured." in card_of(content)


def test_tables_of_the_card_are_not_interrupted_by_names() -> None:
    card = card_of(whole(name=HOSTILE, region="a|b\nc") | {"adaptation": adaptation(labels=True, reason="a|b\nc")})
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("shown", "value", "expected"),
    [
        (duration, None, "–"),
        (duration, 2.5, "2.5 s"),
        (duration, 24.9, "25 s"),
        (duration, 240.0, "4 min"),
        (duration, 9000.0, "2.5 h"),
        (energy, None, "–"),
        (energy, 0.0, "0 Wh"),
        (energy, 0.000108, "0.108 Wh"),
        (energy, 0.25, "250 Wh"),
        (energy, 0.9999, "1.00 kWh"),
        (energy, 12.5, "12.50 kWh"),
        (gas, None, "–"),
        (gas, 0.04, "40 g"),
        (gas, 1.5, "1.50 kg"),
    ],
)
def test_units_suit_the_size(shown: Callable[[float | None], str], value: float | None, expected: str) -> None:
    assert shown(value) == expected

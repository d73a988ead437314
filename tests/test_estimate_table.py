"""The table of the estimates: a reader of CSV finds every estimate, with what it takes to publish it, and runs nothing."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.sample.agreement import AgreementOn, ClassAgreement, InterpreterAgreement
from landshift.pipeline.sample.area_estimation import STEHMAN, UNKNOWN, Interval
from landshift.pipeline.sample.design import WILSON
from landshift.pipeline.sample.record import ErrorMatrix, Estimates, JudgedStratum, LandUseBalance, OtherChanges
from landshift.pipeline.sample.tables.report import decimals_of, report_text
from landshift.pipeline.sample.tables.rows import COLUMNS, csv_about, csv_table
from landshift.pipeline.sample.tables.word import write_word
from tests.small_run import small_estimates

RUN = ("Vale", (date(2019, 6, 12), date(2023, 6, 18)))
HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\u200b=1", "＝1", "\r\n=1", 'a",b;"c"', "<b>&amp;</b>",
           "line\nbreak", "שלום", "\U0001f33e Äcker", "'", "null", "1,5"]  # fmt: skip


def binary() -> Estimates:
    found = small_estimates()
    strata = (
        JudgedStratum(1, "Unchanged", (1,), 890, area_ha=89.0, judged=10, drawn=None),
        JudgedStratum(2, "Changed", (2,), 110, area_ha=11.0, judged=10, drawn=None),
    )
    normal = replace(found.changes[0].producers_accuracy, method=STEHMAN)
    return replace(
        found, samples=replace(found.samples, strata=strata),
        changes=tuple(
            replace(row, name=name, producers_accuracy=normal)
            for row, name in zip(found.changes[:2], ("Unchanged", "Changed"), strict=True)
        ),
        matrix=ErrorMatrix((1, 2), ("Unchanged", "Changed"), ((9, 1), (2, 8)), ((80.1, 8.9), (2.0, 9.0))),
        landuse_before=(), landuse_after=(), transitions=None, intensity=None, areas_of_interest=(), disagreement=None,
    )  # fmt: skip


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.encode().decode("utf-8-sig"), newline=""), strict=True))


def about_of(estimates: Estimates) -> dict[str, str]:
    return {row["about"]: row["text"] for row in read(csv_about(estimates, *RUN))}


def rows_of(estimates: Estimates, table: str) -> list[dict[str, str]]:
    return [row for row in read(csv_table(estimates)) if row["table"] == table]


def intervals(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, dict) and {"estimate", "low", "high"} <= set(value):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from intervals(part, (*path, key))
    elif isinstance(value, list):
        for part in value:
            yield from intervals(part, path)


def expected(path: tuple[str, ...], interval: dict[str, Any]) -> tuple[str, ...]:
    accuracy = path[-1].endswith("accuracy")
    table = {"overall_accuracy": "areas", "changed": "areas", "changes": "areas"}.get(path[0], path[0])
    table = "accuracy" if table == "areas" and accuracy else table
    numbers = (interval.get(key) for key in ("estimate", "standard_error", "low", "high"))
    texts = ("" if number is None else f"{number:.{6 if accuracy else 4}f}" for number in numbers)
    return (table, "share" if accuracy else "ha", *texts, interval.get("method") or "")


@pytest.mark.parametrize("estimates", [small_estimates(), binary()], ids=["classes", "binary"])
def test_every_interval_of_the_estimates_is_in_the_table_once(estimates: Estimates) -> None:
    wanted = Counter(expected(path, interval) for path, interval in intervals(content_of(estimates)))
    keys = ("table", "unit", "estimate", "se", "low", "high", "method")
    tables = {"areas", "accuracy", "landuse_before", "landuse_after", "transitions", "areas_of_interest"}
    counted = {"total area", "observed area", "not observed area"}
    rows = [row for row in read(csv_table(estimates)) if row["table"] in tables and row["quantity"] not in counted]
    assert Counter(tuple(row[key] for key in keys) for row in rows) == wanted
    assert len(rows) > 8


def test_a_row_by_hand() -> None:
    (row,) = [r for r in rows_of(small_estimates(), "areas") if r["class"] == "Forest to Built-up"]
    assert row == {
        "table": "areas", "place": "", "class": "Forest to Built-up", "quantity": "area", "unit": "ha", "estimate": "16.9000",
        "se": "8.7000", "low": "0.0000", "high": "33.9520", "n": "9", "method": STEHMAN,
        "mapped_ha_biased": "10.0000", "note": "",
    }  # fmt: skip


def test_each_row_is_told_from_the_others() -> None:
    text = csv_table(small_estimates())
    assert text.startswith("\ufefftable,quantity,class,place,estimate,se,low,high,unit,n,method,")
    assert text.endswith("\n")
    rows = read(text)
    assert tuple(rows[0]) == COLUMNS
    assert all(None not in row and None not in row.values() for row in rows)
    most = max(Counter((r["table"], r["place"], r["class"], r["quantity"]) for r in rows).values())
    assert most == 1
    assert list(dict.fromkeys(r["table"] for r in rows)) == [
        "areas", "accuracy", "landuse_before", "landuse_after", "transitions", "areas_of_interest", "strata", "error_matrix",
        "disagreement", "intensity", "not_observed",
    ]  # fmt: skip
    assert {r["unit"] for r in rows} == {"ha", "share", "pixels"}


def test_another_reader_takes_the_numbers_for_numbers() -> None:
    table = pd.read_csv(io.BytesIO(csv_table(small_estimates()).encode()), encoding="utf-8-sig")
    numbers = ["estimate", "se", "low", "high", "n", "mapped_ha_biased"]
    assert all(pd.api.types.is_numeric_dtype(table[column]) for column in numbers)
    assert "Åsby" in set(table["place"])


def number(row: dict[str, str], column: str = "estimate") -> float:
    return float(row[column] or 0)


def test_sums_agree() -> None:
    areas = {r["class"]: r for r in rows_of(small_estimates(), "areas")}
    assert list(areas) == ["Forest to Built-up", "Built-up to Forest", "All changes", "Unchanged"]
    kinds = [areas["Forest to Built-up"], areas["Built-up to Forest"]]
    for column in ("estimate", "n", "mapped_ha_biased"):
        assert sum(number(r, column) for r in kinds) == pytest.approx(number(areas["All changes"], column))
    strata, matrix = rows_of(small_estimates(), "strata"), rows_of(small_estimates(), "error_matrix")
    total = sum(number(r) for r in strata if r["unit"] == "ha")
    assert number(areas["All changes"]) + number(areas["Unchanged"]) == pytest.approx(total)
    assert sum(number(r) for r in matrix) == pytest.approx(total)
    judged = sum(number(r) for r in strata if r["quantity"] == "judged")
    assert sum(number(r, "n") for r in matrix) == judged == 25
    assert sum(number(r) for r in strata if r["quantity"] == "drawn") == 26
    assert sum(number(r) for r in strata if r["quantity"] == "pixels") == 1000
    for name, area in areas.items():
        column = [r for r in matrix if r["quantity"] == f"reference: {name}"]
        assert name == "All changes" or sum(number(r) for r in column) == pytest.approx(number(area))
    transitions = rows_of(small_estimates(), "transitions")
    before = [number(r) for r in rows_of(small_estimates(), "landuse_before") if r["quantity"] == "area"]
    assert [number(a) + number(b) for a, b in (transitions[:2], transitions[2:])] == pytest.approx(before)
    for place in ("Åsby", "Três Rios"):
        found = {
            r["quantity"]: r for r in rows_of(small_estimates(), "areas_of_interest") if r["place"] == place and not r["class"]
        }
        parts = number(found["observed area"]) + number(found["not observed area"])
        assert number(found["total area"]) == pytest.approx(parts)


def test_pixels_behind_an_accuracy_are_those_of_its_denominator() -> None:
    found = {(r["class"], r["quantity"]): r["n"] for r in rows_of(small_estimates(), "accuracy")}
    assert found["Forest to Built-up", "user's accuracy"] == "10"
    assert found["Forest to Built-up", "producer's accuracy"] == "9"
    assert found["All changes", "user's accuracy"] == "15"
    assert found["Unchanged", "user's accuracy"] == "10"
    assert found["All classes", "overall accuracy"] == "25"


def test_what_is_not_known_is_empty_and_says_why() -> None:
    (row,) = [r for r in rows_of(small_estimates(), "areas") if r["class"] == "Built-up to Forest"]
    assert [row[key] for key in ("estimate", "se", "low", "high", "method")] == [""] * 5
    assert (row["mapped_ha_biased"], row["note"]) == ("1.0000", "Left open, not 0: no sampled pixel tells.")
    (row,) = [r for r in rows_of(small_estimates(), "areas_of_interest") if r["place"] == "Três Rios" and r["class"]]
    assert row["note"].startswith("Nothing was observed here")
    (row,) = rows_of(small_estimates(), "not_observed")
    assert (row["estimate"], row["unit"], row["mapped_ha_biased"]) == ("7.5000", "ha", "")
    some = small_estimates()
    half_known = replace(some.changes[2], area_ha=replace(UNKNOWN, high=3.0))
    (row,) = [
        r
        for r in rows_of(replace(some, changes=(*some.changes[:2], half_known)), "areas")
        if r["class"] == "Built-up to Forest"
    ]
    assert (row["estimate"], row["high"], row["note"]) == ("", "3.0000", "")


def test_intensities_of_what_the_sample_never_met_are_no_zeros() -> None:
    rows = rows_of(small_estimates(), "intensity")
    assert [(r["class"], r["quantity"], r["estimate"], r["note"]) for r in rows] == [
        ("All classes", "change intensity", "0.169000", ""),
        ("Forest", "loss", "16.9000", ""),
        ("Forest", "loss intensity", "0.281667", "active"),
        ("Built-up", "gain", "16.9000", ""),
        ("Built-up", "gain intensity", "0.297000", "active"),
        ("Forest to Built-up", "gain intensity", "0.281667", "uniform"),
        ("Forest to Built-up", "uniform gain intensity", "0.281667", ""),
        ("Forest to Built-up", "loss intensity", "0.297000", ""),
    ]


def test_it_says_what_it_is_about_and_cites_its_methods() -> None:
    about = about_of(small_estimates())
    assert {key: about[key] for key in ("run", "run id", "before date", "after date", "confidence level", "seed", "file")} == {
        "run": "Vale", "run id": "3e4223b458fbb0b5", "before date": "2019-06-12", "after date": "2023-06-18",
        "confidence level": "0.95", "seed": "0", "file": "judged.gpkg",
    }  # fmt: skip
    cited = " ".join(about.values())
    for doi in ("10.1016/j.rse.2014.02.015", "10.1080/01431161.2014.930207", "10.1007/978-1-4612-4378-6",
                "10.1002/sim.3095", "10.1080/01431161.2011.552923", "10.1016/j.landurbplan.2012.02.010"):  # fmt: skip
        assert f"doi:{doi}" in cited


def test_a_binary_run_without_areas_of_interest_leaves_out_what_it_has_not() -> None:
    rows = read(csv_table(binary()))
    assert {r["table"] for r in rows} == {"areas", "accuracy", "strata", "error_matrix", "not_observed"}
    assert [r["class"] for r in rows if r["table"] == "areas"] == ["Changed", "All changes", "Unchanged"]
    cited = {key for key in about_of(binary()) if key.startswith("method")}
    assert cited == {"method: areas and accuracies", "method: classes that are not the strata"}
    strata = [(r["class"], r["quantity"], r["estimate"]) for r in rows if r["table"] == "strata" and r["unit"] == "pixels"]
    assert strata == [
        ("Unchanged", "pixels", "890"), ("Unchanged", "judged", "10"), ("Changed", "pixels", "110"),
        ("Changed", "judged", "10"),
    ]  # fmt: skip


def named(name: str) -> Estimates:
    """The estimates, with a name of the user wherever there can be one."""
    found = content_of(small_estimates())
    for row in (found["changes"][1], found["landuse_before"][0], found["areas_of_interest"][0], found["samples"]["strata"][1],
                found["intensity"]["classes"][0]):  # fmt: skip
        row["name"] = name
    found["matrix"]["names"][1] = found["transitions"]["names"][0] = name
    found["intensity"]["transitions"][0]["from_name"] = found["notes"][0] = found["samples"]["file"] = name
    return record_of(Estimates, found, "estimates.json")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_run_nothing(name: str) -> None:
    check_name(name)


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=12))
def test_any_name_survives(name: str) -> None:
    check_name(name)


def check_name(name: str) -> None:
    text = csv_table(named(name))
    rows = read(text)
    described = read(csv_about(named(name), name, RUN[1]))
    assert len(described) == len(about_of(small_estimates()))
    assert not re.search(r"(?<!\\\\)[<>]", report_text(named(name), name, RUN[1]).replace("> ", ""))
    assert len(rows) == len(read(csv_table(small_estimates()))) == text.count("\n") - 1
    line = name.replace("\r", " ").replace("\n", " ")
    (place,) = {r["place"] for r in rows} - {"", "Três Rios"} or {""}
    assert place in (line, f"'{line}")
    for row in [*rows, *described]:
        for cell in row.values():
            seen = "".join(c for c in cell if c.isprintable()).lstrip()
            assert not seen.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def with_groups() -> Estimates:
    """The small estimates with gains and losses, two kinds taken together and a second interpreter."""
    found = small_estimates()
    gain, few = found.changes[1].area_ha, replace(found.changes[1].area_ha, method=WILSON)
    nothing = Interval(0.0, 0.0, 0.0, 4.0, WILSON)
    net = Interval(-16.9, 8.7, -33.952, 0.152, STEHMAN)
    users = Interval(0.6, 0.1, 0.4, 0.8, WILSON)
    names = ("Forest to Built-up", "Built-up to Forest")
    small = OtherChanges((2, 3), names, 11.0, area_ha=few, users_accuracy=users, producers_accuracy=UNKNOWN, samples=9)
    agreed = Interval(0.9, 0.06, 0.7, 0.97, "Wilson 1927")
    part = AgreementOn("change", agreed, Interval(-0.1, 0.2, -0.5, 0.3, "k"), (ClassAgreement("Unchanged", 10, 12, 9, agreed),))
    return replace(
        found, other_changes=small, agreement=InterpreterAgreement("b.gpkg", 25, 0, 0, (part,), disagreements=("S0001",)),
        balances=(LandUseBalance(1, "Forest", "#006400", gain_ha=nothing, loss_ha=gain, net_ha=net, samples=9),),
    )  # fmt: skip


def test_groups_and_agreement_have_rows() -> None:
    found = {(r["table"], r["class"], r["quantity"]): r for r in read(csv_table(with_groups()))}
    assert found["gains_and_losses", "Forest", "net change"]["estimate"] == "-16.9000"
    assert found["areas", "Other changes", "area"]["note"] == "Of: Forest to Built-up; Built-up to Forest."
    assert found["accuracy", "Other changes", "user's accuracy"]["n"] == "15"
    kappa = found["agreement", "All classes", "kappa of change"]
    assert (kappa["unit"], kappa["estimate"], kappa["n"]) == ("kappa", "-0.100000", "25")
    assert found["agreement", "Unchanged", "equal answers on change"]["n"] == "13"
    assert "method: agreement" in about_of(with_groups())


def test_a_report_has_one_format_a_column_and_explains_its_mark_once() -> None:
    text = report_text(with_groups(), "Vale", RUN[1])
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [
        "Change", "Other changes", "All changes", "Unchanged", "Land use", "Forest",
    ]  # fmt: skip
    areas = [line.split(" | ")[2] for line in lines[1:4]]
    assert areas == ["17", "17", "83"]
    assert lines[5].split(" | ")[1:] == ["0", "0 to 4 (w)", "17", "0 to 34", "-17", "-34 to 0 |"]
    assert text.count("(Wilson 1927;") == 1
    assert "(w): the interval is built" in text
    assert "17 ha (95 % interval 0 to 34) changed their land use" in text
    assert "Cohen's kappa -0.10" in text
    assert "10.1016/j.rse.2014.02.015" in text
    assert "Wilson, E. B." in text
    assert "Gains and losses" not in report_text(binary(), "Vale", RUN[1])


def test_columns_have_the_decimals_of_their_least_error() -> None:
    assert [decimals_of(v) for v in ([8.7, 20], [0.5, None], [0.04], [0.001], [120.0], [None, 0])] == [0, 1, 2, 2, 0, 1]


def test_the_word_document_has_the_same_cells(tmp_path: Path) -> None:
    from docx import Document

    name = "Forest | *old* & <wild>"
    text = report_text(named(name), "Vale", RUN[1])
    path = write_word(tmp_path / "report.docx", text)
    document = Document(str(path))
    assert document.paragraphs[0].style.name == "Heading 1"
    cells = [[cell.text for cell in row.cells] for table in document.tables for row in table.rows]
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    assert len(cells) == len(rows)
    assert any(name in row[0] for row in cells)
    assert all("\\" not in cell for row in cells for cell in row)
    with pytest.raises(InputError, match=r"ends with \.docx"):
        write_word(tmp_path / "report.doc", text)

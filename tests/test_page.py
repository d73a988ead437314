"""The page of a run in a real browser: clicks and keys, what a screen reader hears, no network, narrow, on paper."""

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from landshift.pipeline.gates import Caution
from landshift.pipeline.records import write_record
from landshift.pipeline.run.page.write import page_of
from landshift.pipeline.run_files import CHANGES
from landshift.pipeline.vector.columns import CHANGES_LAYER, LEARNT, TESTED
from landshift.pipeline.vector.read import read_layer
from tests.small_run import NAMES, PATCHES, SHAPE, estimates_of, known, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright (pip install playwright)"),
]
WIDE, NARROW, SCREEN = {"width": 1400, "height": 900}, {"width": 380, "height": 800}, {"width": 400, "height": 800}
HOSTILE = """<img src=x onerror="document.title='broken'">'"; </script><script>x() & 🌲 שלום"""
ROWS = "#patches tbody tr[data-row]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    options: dict[str, dict[str, Any]] = {
        "run": {}, "quiet": {"quiet": True}, "binary": {"classes": (), "names": ()},
        "hostile": {"names": (HOSTILE, "plan"), "project": HOSTILE,
                    "classes": ((HOSTILE, "#2f6b3c"), ("A", "#ead27a"), ("B", "#4a86b8"))},
    }  # fmt: skip
    # Of 4 pixels each, one in each field of a chessboard.
    fields = [((slice(y, y + 2), slice(x, x + 2)), 2, 0.9) for y in range(14, 58, 5) for x in range(2, 78, 5)]
    options["many"] = {"patches": fields}
    options["warned"] = options["doubted"] = {}
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:12, 2:20], labels[40:50, 30:60] = LEARNT, TESTED
    options["labelled"] = {"labels": labels}
    options["formula"] = {"classes": (("=1+1", "#2f6b3c"), ("A", "#ead27a"), ("B", "#4a86b8")), "patches": [
        (where, code if code < 4 else 3, sure) for where, code, sure in PATCHES
    ]}  # fmt: skip
    warnings = (Caution("The first warning.", "Set `scenes: clouds: mask: model`."), Caution("The second warning."))
    found = {}
    for name, chosen in options.items():
        run = write_run(folder / name, **chosen)
        if name == "warned":
            config = {**run.config, "notice": "An exercise."}
            write_record(folder / name / "record/run.json", replace(run, warnings=warnings, config=config))
        if name in ("run", "hostile", "warned"):
            write_record(folder / name / "record/estimates.json", estimates_of(run))
        if name == "doubted":
            estimates = estimates_of(run)
            wrong = (replace(row, users_accuracy=known(0.1, 0.1)) if row.code == 2 else row for row in estimates.changes)
            write_record(folder / name / "record/estimates.json", replace(estimates, changes=tuple(wrong)))
        found[name] = folder / f"{name}.html"
        found[name].write_text(page_of(folder / name), encoding="utf-8")
    return found


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Open pages, and fail on anything in the console or on the network."""
    contexts, faults = [], []

    def open_page(name: str, size: dict[str, int] = WIDE, address: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url))
        page.goto(pages[name].as_uri() + address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html.ready")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def hectares(page: Any) -> list[float]:
    return [float(row.locator("td.number").first.inner_text()) for row in page.locator(ROWS).all()]


def zoomed_in(page: Any) -> bool:
    """Whether the image is wider than the map."""
    wide = page.evaluate("document.querySelector('.leaflet-image-layer').getBoundingClientRect().width")
    return bool(wide > 1.2 * page.locator("#map").bounding_box()["width"])


def test_the_table_sorts_by_clicks_and_says_so(opened: Any) -> None:
    page = opened("run")
    assert hectares(page) == [2.4, 1.0, 0.3, 0.16]
    area, sure = page.get_by_role("button", name="Hectares"), page.get_by_role("button", name="Probability of change")
    area.click()
    assert hectares(page) == [0.16, 0.3, 1.0, 2.4]
    assert page.locator("#patches th", has_text="Hectares").get_attribute("aria-sort") == "ascending"
    sure.focus()
    page.keyboard.press("Enter")
    assert hectares(page) == [0.3, 1.0, 0.16, 2.4]
    assert page.locator("#patches th", has_text="Hectares").get_attribute("aria-sort") == "none"
    assert page.locator("#patches th", has_text="Probability of change").get_attribute("aria-sort") == "descending"


def painted(page: Any) -> int:
    """How many pixels of the map's canvas are patches, once it was drawn anew."""
    page.wait_for_timeout(150)
    count = """canvas => { const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let found = 0; for (let i = 3; i < pixels.length; i += 4) found += pixels[i] > 0; return found; }"""
    return int(page.locator("canvas.patches").evaluate(count))


def test_a_filter_holds_for_table_map_and_legend(opened: Any) -> None:
    page = opened("run")
    whole = painted(page)
    page.get_by_label("Kind of change").first.select_option(label="Forest to Cropland")
    assert hectares(page) == [1.0, 0.16]
    assert painted(page) == pytest.approx(whole * 116 / 386, rel=0.2)
    assert page.locator("[data-kind]:checked").count() == 1
    assert page.get_by_role("status").inner_text() == "2 of 4 patches, 1.2 ha (pixel count, biased)"
    page.get_by_label("Cropland to Water").check()
    assert hectares(page) == [2.4, 1.0, 0.16]
    assert page.locator("#filter").input_value() == "mixed"
    page.get_by_role("button", name="Hide all changes").click()
    assert page.get_by_role("status").inner_text().startswith("0 of 4 patches")
    assert painted(page) == 0
    page.get_by_role("button", name="Show all changes").click()
    assert page.get_by_role("status").inner_text() == "4 patches, 3.9 ha (pixel count, biased)"
    assert painted(page) == whole


def test_a_row_zooms_the_map_and_tells_of_its_patch(opened: Any) -> None:
    page = opened("run")
    assert not zoomed_in(page)
    page.locator(ROWS).nth(2).locator("td.number").first.click()
    card = page.get_by_role("region", name="The chosen patch")
    for text in ("Forest to Water", "0.30 ha (pixel count, biased)", "0.95 (lowest pixel 0.95)", "Plan B", "2020-06-15"):
        assert text in card.inner_text()
    assert card.locator(".chip").count() == 2
    assert zoomed_in(page)
    assert page.locator("tr[aria-current=true]").count() == 1
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_timeout(400)
    assert not zoomed_in(page)
    assert not card.is_visible()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_card_leaves_its_patch_free(opened: Any, size: dict[str, int]) -> None:
    page = opened("run", size, reduced_motion="reduce")
    for number in range(4):
        page.locator(ROWS).nth(number).click()
        card, patch = (page.locator(place).bounding_box() for place in ("#card", "path.chosen"))
        apart = (
            patch["x"] + patch["width"] <= card["x"] or card["x"] + card["width"] <= patch["x"]
            or patch["y"] + patch["height"] <= card["y"] or card["y"] + card["height"] <= patch["y"]
        )  # fmt: skip
        assert apart, number


def test_where_labels_were_is_outlined(opened: Any) -> None:
    page = opened("labelled")
    lines = page.locator("path.label")
    assert lines.count() == 0
    page.get_by_label("Where labels were").check()
    assert [line.get_attribute("stroke-dasharray") for line in lines.all()] == [None, "1 5"]
    assert opened("run").get_by_label("Where labels were").count() == 0


def place_on_map(page: Any, column: float, row: float) -> tuple[float, float]:
    """Where a pixel of the small map lies on the screen."""
    image = page.locator("#map .leaflet-before-pane img").bounding_box()
    return image["x"] + image["width"] * column / 80, image["y"] + image["height"] * row / 60


def test_a_patch_on_the_map_marks_its_row(opened: Any) -> None:
    page = opened("run")
    page.mouse.click(*place_on_map(page, 10, 10))
    assert "1.00 ha" in page.locator("#card").inner_text()
    assert "1.00" in page.locator("tr[aria-current=true]").inner_text()
    page.mouse.click(*place_on_map(page, 30, 56))
    assert not page.locator("#card").is_visible()


def test_the_map_is_used_with_keys_alone(opened: Any) -> None:
    page = opened("run", reduced_motion="reduce")
    cursor = page.locator("#cursor")
    cursor.focus()
    page.keyboard.press("ArrowRight")
    assert cursor.get_attribute("aria-label").startswith("Forest to Cropland, 1.00 ha.")
    page.keyboard.press("Enter")
    assert "1.00 ha" in page.locator("#card").inner_text()
    assert page.evaluate("document.activeElement.id") == "card"
    page.keyboard.press("Escape")
    assert not page.locator("#card").is_visible()
    assert page.evaluate("document.activeElement.id") == "cursor"


def test_a_patch_has_an_address(opened: Any) -> None:
    page = opened("run", address="#place-30010-359969")
    assert "2.40 ha" in page.locator("#card").inner_text()
    assert zoomed_in(page)
    page.locator(ROWS).nth(1).click()
    assert page.evaluate("location.hash") == "#place-30005-359994"
    page.evaluate("location.hash = '#place-30010-359969'")
    page.wait_for_timeout(100)
    assert "2.40 ha" in page.locator("#card").inner_text()
    assert not opened("run", address="#nowhere").locator("#card").is_visible()


COLOUR = """([canvas, x, y]) => { const box = canvas.getBoundingClientRect(), at = canvas.width / box.width;
  return [...canvas.getContext('2d').getImageData((x - box.x) * at, (y - box.y) * at, 1, 1).data].slice(0, 3).join(); }"""


def test_patches_are_painted_by_what_is_known_of_them(opened: Any) -> None:
    page = opened("run")

    def look() -> str:
        page.wait_for_timeout(150)
        x, y = place_on_map(page, 16, 40)
        return str(page.evaluate(COLOUR, [page.locator("canvas.patches").element_handle(), x, y]))

    by_kind = look()
    page.select_option("#paint", "probability")
    assert look() == "124,123,120"  # 0.6
    assert page.locator("#steps-probability").is_visible()
    page.select_option("#paint", "right")
    assert look() == "188,175,111"  # 88 % right in the judged sample
    page.select_option("#paint", "outline")
    assert look() == "0,0,0"
    page.select_option("#paint", "kind")
    assert look() == by_kind
    page.get_by_label("Opacity").fill("40")
    assert page.locator(".leaflet-patches-pane").evaluate("e => e.style.opacity") == "0.4"


def test_escape_closes_the_card_from_the_table(opened: Any) -> None:
    page = opened("run")
    row = page.locator(f"{ROWS} >> nth=1")
    row.locator(".go").focus()
    page.keyboard.press("Enter")
    assert page.locator("#card").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#card").is_visible()
    assert page.evaluate("document.activeElement.className") == "go", "the row keeps the focus"


def test_no_tab_stop_is_an_outline(opened: Any) -> None:
    page = opened("run")
    stops = []
    page.locator("#map").focus()
    for _ in range(6):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.tagName"))
    assert "path" not in stops


def test_an_address_of_no_patch_is_answered(opened: Any) -> None:
    page = opened("run", address="#demo-0-0")
    assert page.locator("#lost").inner_text() == "No patch on this page is called demo-0-0. It may be of another run."
    page.evaluate("location.hash = '#place-30010-359969'")
    page.wait_for_timeout(100)
    assert not page.locator("#lost").is_visible()


def test_tables_that_are_wider_than_the_screen_say_so(opened: Any) -> None:
    note = "e => getComputedStyle(e, '::before').content"
    table = ".scroll[aria-label='Areas of each change']"
    assert "Continues to the right" in opened("run", SCREEN).locator(table).evaluate(note)
    assert opened("run").locator(table).evaluate(note) == "none"


def test_what_is_doubted_is_shown_alone_and_then_all_is_as_before(opened: Any) -> None:
    page = opened("doubted", reduced_motion="reduce")
    page.locator(ROWS).first.click()
    assert zoomed_in(page)
    page.select_option("#paint", "probability")
    wrong, unseen = (page.locator("#answer li", has_text=text).get_by_role("button") for text in ("More often", "not seen"))
    wrong.click()
    assert hectares(page) == [1.0, 0.16]
    assert not zoomed_in(page)
    assert not page.locator("#card").is_visible()
    assert page.locator("#paint").input_value() == "kind"
    assert [b.get_attribute("aria-pressed") for b in (wrong, unseen)] == ["true", "false"]
    unseen.click()
    assert [b.get_attribute("aria-pressed") for b in (wrong, unseen)] == ["false", "true"]
    assert page.locator("#paint").input_value() == "outline"
    assert len(hectares(page)) == 4
    unseen.click()
    assert unseen.get_attribute("aria-pressed") == "false"
    assert page.locator("#paint").input_value() == "probability"
    wrong.click()
    page.get_by_role("checkbox", name="Cropland to Water").check()
    assert wrong.get_attribute("aria-pressed") == "false", "the reader chose otherwise"
    assert hectares(page) == [2.4, 1.0, 0.16]


def test_colours_of_how_often_a_kind_was_right_have_one_for_what_was_not_tested(opened: Any) -> None:
    page = opened("labelled")
    page.select_option("#paint", "right")
    page.wait_for_timeout(150)
    entry = page.locator("#steps-right li", has_text="hardly tested or not at all")
    assert entry.locator(".swatch").evaluate("e => e.style.backgroundColor") == "rgb(187, 187, 187)"
    x, y = place_on_map(page, 16, 40)
    assert page.evaluate(COLOUR, [page.locator("canvas.patches").element_handle(), x, y]) == "187,187,187"


def test_the_table_is_saved_as_it_is_filtered_and_no_cell_is_a_formula(
    opened: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    page = opened("run")
    page.get_by_label("Cropland to Water").uncheck()
    with page.expect_download() as found:
        page.get_by_role("button", name="Save as CSV").click()
    found.value.save_as(tmp_path / "patches.csv")
    table = pd.read_csv(tmp_path / "patches.csv", encoding="utf-8-sig")
    assert table["hectares_pixel_count_biased"].round(2).tolist() == [1.0, 0.3, 0.16]
    assert table["change"].tolist() == ["Forest to Cropland", "Forest to Water", "Forest to Cropland"]
    assert table["change_id"][0] == "place-30005-359994"
    assert table.loc[0, ["right_in_sample", "right_in_sample_low", "right_in_sample_high"]].round(4).tolist() == [
        0.875,
        0.8125,
        0.9375,
    ]
    layer = read_layer(pages["run"].with_suffix("") / CHANGES, CHANGES_LAYER).set_index("change_id")
    for column in ("kind_right", "kind_right_low", "kind_right_high", "kind_tested_px"):
        expected = layer.loc[table["change_id"], column].astype(float).tolist()
        assert table[column].tolist() == pytest.approx(expected, nan_ok=True), "of the test blocks, as in the layer"
    assert found.value.suggested_filename == "place-patches.csv"
    page = opened("formula")
    with page.expect_download() as found:
        page.get_by_role("button", name="Save as CSV").click()
    found.value.save_as(tmp_path / "formula.csv")
    table = pd.read_csv(tmp_path / "formula.csv", encoding="utf-8-sig")
    assert table["from"].tolist() == ["'=1+1"] * 4


def test_the_swipe_cuts_the_image_after(opened: Any) -> None:
    page = opened("run")
    swipe, pane = page.get_by_label("Swipe"), page.locator(".leaflet-after-pane")
    edge = "element => Number(element.style.clipPath.match(/polygon\\((-?[\\d.]+)px/)[1])"
    middle = pane.evaluate(edge)
    assert swipe.get_attribute("aria-valuetext") == "50 % of the map shows before, the rest after"
    swipe.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    width = page.locator("#map").bounding_box()["width"]
    assert pane.evaluate(edge) == pytest.approx(middle + 0.1 * width, abs=1.5)
    assert "60 %" in swipe.get_attribute("aria-valuetext")
    handle = page.locator(".divider .handle").bounding_box()
    page.mouse.move(handle["x"] + 15, handle["y"] + 15)
    page.mouse.down()
    page.mouse.move(page.locator("#map").bounding_box()["x"] + 0.2 * width, handle["y"] + 15, steps=4)
    page.mouse.up()
    assert swipe.input_value() == "20"


def test_what_was_not_observed_is_hatched_and_layers_can_be_hidden(opened: Any) -> None:
    page = opened("run")
    hatched, areas = page.locator("path[fill='url(#hatch)']"), page.locator("path.area")
    assert (hatched.count(), areas.count()) == (1, 2)
    page.get_by_label("Not observed").uncheck()
    page.locator("#show-areas").uncheck()
    assert (hatched.count(), areas.count()) == (0, 0)
    page.get_by_role("button", name=f"Show {NAMES[1]} on the map").click()
    assert areas.count() == 1


def test_every_patch_is_in_the_table_though_few_rows_are_on_the_page(opened: Any) -> None:
    page = opened("many")
    assert page.locator("#patches").get_attribute("aria-rowcount") == "145"
    assert page.locator(ROWS).count() < 30
    box = page.locator("#box")
    box.evaluate("e => { e.scrollTop = e.scrollHeight; }")
    last = page.locator(ROWS).last
    last.wait_for()
    page.wait_for_timeout(100)
    assert page.locator(ROWS).last.get_attribute("aria-rowindex") == "145"
    page.mouse.click(*place_on_map(page, 3, 15))
    row = page.locator("tr[aria-current=true]")
    edges = row.bounding_box(), box.bounding_box()
    assert edges[1]["y"] <= edges[0]["y"] <= edges[1]["y"] + edges[1]["height"] - 20


@pytest.mark.parametrize("name", ["run", "quiet", "binary", "hostile"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_runs_off_the_side(opened: Any, name: str, size: dict[str, int]) -> None:
    page = opened(name, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator("#map .leaflet-image-layer").count() == 2


def test_hostile_names_are_shown_and_never_run(opened: Any) -> None:
    page = opened("hostile")
    page.locator(ROWS).first.click()
    page.locator(ROWS).nth(1).click()
    assert HOSTILE in page.locator("#card").inner_text()
    assert HOSTILE in page.get_by_role("heading", level=1).inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.title().startswith("<img src=x")


def test_a_run_without_change_still_shows_its_images(opened: Any) -> None:
    page = opened("quiet")
    assert "No change was found" in page.locator("#answer").inner_text()
    page.get_by_label("Swipe").fill("80")
    assert page.locator("#patches").count() == 0
    assert page.locator("path[fill='url(#hatch)']").count() == 1


def test_without_javascript_pictures_and_tables_stay(opened: Any) -> None:
    page = opened("run", java_script_enabled=False)
    assert all(page.locator(f"#image-{date}").is_visible() for date in ("before", "after", "change"))
    assert not page.locator("#map").is_visible()
    assert "JavaScript is switched off" in page.locator("noscript").inner_text()
    assert page.locator("#places tbody tr").count() == 2
    assert page.locator("#largest li").count() == 4


CHECKS = {
    "pictures without a text": "[...document.images].filter(i => !i.hasAttribute('alt')).length",
    "headings of tables without a scope": "document.querySelectorAll('th:not([scope])').length",
    "buttons without a name": "[...document.querySelectorAll('button,a,select,input')].filter(e => !(e.innerText.trim() "
    "|| e.getAttribute('aria-label') || (e.labels && e.labels.length))).length",
    "headings that skip a level": "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
    ".filter((level, i, all) => i && level > all[i - 1] + 1).length",
    "ids that occur twice": "(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))",
    "tab stops without a name": "[...document.querySelectorAll('[tabindex=\"0\"]')].filter(e => !e.ariaLabel).length",
    "scrolling parts out of reach of keys": "[...document.querySelectorAll('.scroll')].filter(e => e.tabIndex < 0).length",
    "links within the page that lead nowhere": "[...document.querySelectorAll('nav a, .skip')]"
    ".filter(a => !document.querySelector(a.getAttribute('href'))).length",
}


@pytest.mark.parametrize("fault", CHECKS)
@pytest.mark.parametrize("name", ["run", "quiet"])
def test_a_screen_reader_finds_its_way(opened: Any, name: str, fault: str) -> None:
    assert opened(name).evaluate(CHECKS[fault]) == 0


def test_landmarks_and_the_skip_link(opened: Any) -> None:
    page = opened("run")
    for role in ("main", "navigation", "banner"):
        assert page.get_by_role(role).count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
  // A half transparent ground lies on white.
  const ground = (e) => { for (; e; e = e.parentElement) {
    const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
    if (a) return `rgb(${[r, g, b].map((v) => a * v + 255 * (1 - a))})`; } return 'rgb(255, 255, 255)'; };
  const texts = [...document.querySelectorAll('p,td,th,li,a,button,label,span,strong,dt,dd,h1,h2,h3,figcaption,caption')]
    .filter((e) => e.offsetParent && !e.closest('.leaflet-container'))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.map((e) => { const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)]; }).filter(([ratio]) => ratio < 4.5);
}"""


def test_text_stands_out_from_its_ground(opened: Any) -> None:
    page = opened("run")
    assert page.evaluate(CONTRAST) == []


def test_it_prints_with_pictures_and_without_controls(opened: Any, tmp_path: Path) -> None:
    page = opened("run")
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert 2 <= pdf.count(b"/Type /Page\n") <= 12
    page.emulate_media(media="print")
    assert page.locator("#image-change").is_visible()
    for hidden in ("#map", "#swipe", "#filter", "nav", "#patches", "#opacity"):
        assert not page.locator(hidden).is_visible()
    assert page.locator("#largest li").count() == 4
    assert page.locator("#largest li").first.is_visible()
    assert page.locator("#areas").bounding_box()["y"] < page.locator("#largest").bounding_box()["y"], "areas before patches"
    assert page.evaluate("document.body.scrollWidth") <= WIDE["width"]
    bar, picture = page.locator(".bar").bounding_box(), page.locator("#image-change").bounding_box()
    assert page.locator(".bar").inner_text() == "200 m"
    assert bar["width"] == pytest.approx(picture["width"] * 200 / 800, abs=1.5)


@pytest.mark.parametrize(("size", "seen"), [(WIDE, ("warnings", "#map")), (SCREEN, ())], ids=["wide", "narrow"])
def test_the_first_screen_is_the_answer(opened: Any, size: dict[str, int], seen: tuple[str, ...]) -> None:
    page = opened("warned", size)
    for heading in ("What changed", "How good the map is", "Where not to trust it"):
        place = page.get_by_role("heading", name=heading).bounding_box()
        assert place["y"] + place["height"] < size["height"] - 40, heading
    assert page.locator("header .notice").inner_text() == "An exercise."
    text = page.locator("#answer").inner_text()
    assert "12.2 ha changed" in text
    assert "Of 100 mapped hectares about 75 (62 to 88) had changed; of 100 changed about 50 (25 to 75) were found" in text
    assert "117 points drawn at random over the whole map; judged by: not recorded" in text, "nobody knows whether by people"
    assert "What people judged" not in page.locator("main").inner_text()
    assert "2 warnings" in text
    assert "scenes:" not in text, "settings are for the maker of the map"
    if seen:
        for part in ("details.warnings", "#map"):
            place = page.locator(part).bounding_box()
            assert place["y"] + place["height"] <= size["height"], part
    assert not page.get_by_text("The first warning.", exact=True).is_visible()
    page.get_by_text("2 warnings").click()
    assert page.get_by_text("The first warning.", exact=True).is_visible()
    assert not page.get_by_text("Set").first.is_visible()
    page.get_by_text("What the maker of the map can do").click()
    assert page.locator("details.makers code").first.inner_text() == "scenes: clouds: mask: model"


def test_chips_show_where_the_patch_lies(opened: Any) -> None:
    """The sheet has a cell for each patch; the second chip is the second cell."""
    page = opened("run")
    chip = page.locator(f"{ROWS} >> nth=1").locator(".chip.after")
    assert chip.evaluate("e => getComputedStyle(e).backgroundPosition") == "-56px 0px"
    sheet = chip.evaluate("e => getComputedStyle(e).backgroundImage")
    assert sheet.startswith('url("data:image/jpeg;base64,')

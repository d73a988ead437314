"""The page of a run in a real browser: clicks and keys, what a screen reader hears, no network, narrow, on paper."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from landshift.pipeline.records import write_record
from landshift.pipeline.run.page.write import page_of
from tests.small_run import NAMES, estimates_of, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright (pip install playwright)"),
]
WIDE, NARROW = {"width": 1400, "height": 1000}, {"width": 380, "height": 800}
HOSTILE = """<img src=x onerror="document.title='broken'">'"; </script><script>x() & 🌲 שלום"""
ROWS = "#patches tbody tr:visible"


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
    found = {}
    for name, chosen in options.items():
        run = write_run(folder / name, **chosen)
        if name in ("run", "hostile"):
            write_record(folder / name / "record/estimates.json", estimates_of(run))
        found[name] = folder / f"{name}.html"
        found[name].write_text(page_of(folder / name), encoding="utf-8")
    return found


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Open pages, and fail on anything in the console or on the network."""
    contexts, faults = [], []

    def open_page(name: str, size: dict[str, int] = WIDE, **options: Any) -> Any:
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url))
        page.goto(pages[name].as_uri())
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


def test_a_filter_holds_for_table_map_and_legend(opened: Any) -> None:
    page = opened("run")
    shapes = page.locator("path[role=button]")
    assert shapes.count() == 4
    page.get_by_label("Kind of change").select_option(label="Forest to Cropland")
    assert hectares(page) == [1.0, 0.16]
    assert shapes.count() == 2
    assert page.locator("[data-kind]:checked").count() == 1
    assert page.get_by_role("status").inner_text() == "2 of 4 patches, 1.2 ha (pixel count, biased)"
    page.get_by_label("Cropland to Water").check()
    assert hectares(page) == [2.4, 1.0, 0.16]
    assert page.get_by_label("Kind of change").input_value() == "mixed"
    page.get_by_role("button", name="Hide all changes").click()
    assert page.get_by_role("status").inner_text().startswith("0 of 4 patches")
    assert shapes.count() == 0
    page.get_by_role("button", name="Show all changes").click()
    assert shapes.count() == 4


def test_a_row_zooms_the_map_and_opens_the_right_popup(opened: Any) -> None:
    page = opened("run")
    assert not zoomed_in(page)
    page.locator(ROWS).nth(2).locator("td.number").first.click()
    popup = page.locator(".leaflet-popup-content")
    for text in ("Forest to Water", "0.30 ha (pixel count, biased)", "0.95 (lowest pixel 0.95)", "Plan B", "2020-06-15"):
        assert text in popup.inner_text()
    assert popup.locator(".chip").count() == 2
    assert zoomed_in(page)
    assert page.locator("tr[aria-current=true]").count() == 1
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_timeout(400)
    assert not zoomed_in(page)


def test_a_patch_on_the_map_marks_its_row(opened: Any) -> None:
    page = opened("run")
    page.locator("path[role=button]").nth(1).click()
    assert "1.00 ha" in page.locator(".leaflet-popup-content").inner_text()
    assert "1.00" in page.locator("tr[aria-current=true]").inner_text()


def test_the_map_is_used_with_keys_alone(opened: Any) -> None:
    page = opened("run", reduced_motion="reduce")
    assert page.locator("path[tabindex='0']").count() == 1
    page.locator("path[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "1.00 ha" in page.locator(".leaflet-popup-content").inner_text()
    assert page.locator("path[tabindex='0']").get_attribute("aria-label") == "Forest to Cropland, 1.00 ha"
    assert page.evaluate("document.activeElement.className") == "leaflet-popup-content"
    page.keyboard.press("Escape")
    page.wait_for_selector(".leaflet-popup", state="detached")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Forest to Cropland, 1.00 ha"


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


def test_a_long_table_comes_in_parts(opened: Any) -> None:
    page = opened("many")
    assert page.locator(ROWS).count() == 50
    assert page.get_by_role("status").inner_text().endswith("; the first 50 are listed")
    page.get_by_role("button", name="Show more").click()
    assert page.locator(ROWS).count() == 144
    assert not page.locator("#more").is_visible()


def test_a_patch_whose_row_is_not_listed_yet_is_listed(opened: Any) -> None:
    page = opened("many")
    page.locator("path[role=button]").nth(140).click()
    row = page.locator("tr[aria-current=true]")
    assert row.get_attribute("data-row") == "140"
    assert row.is_visible()


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
    assert HOSTILE in page.locator(".leaflet-popup-content").last.inner_text()
    assert HOSTILE in page.get_by_role("heading", level=1).inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.title().startswith("<img src=x")


def test_a_run_without_change_still_shows_its_images(opened: Any) -> None:
    page = opened("quiet")
    assert "No change was found" in page.locator("#map-section").inner_text()
    page.get_by_label("Swipe").fill("80")
    assert page.locator("#patches").count() == 0
    assert page.locator("path[fill='url(#hatch)']").count() == 1


def test_without_javascript_pictures_and_tables_stay(opened: Any) -> None:
    page = opened("run", java_script_enabled=False)
    assert all(page.locator(f"#image-{date}").is_visible() for date in ("before", "after", "change"))
    assert not page.locator("#map").is_visible()
    assert "JavaScript is switched off" in page.locator("noscript").inner_text()
    assert page.locator("#places tbody tr").count() == 2


CHECKS = {
    "pictures without a text": "[...document.images].filter(i => !i.hasAttribute('alt')).length",
    "headings of tables without a scope": "document.querySelectorAll('th:not([scope])').length",
    "buttons without a name": "[...document.querySelectorAll('button,a,select,input')].filter(e => !(e.innerText.trim() "
    "|| e.getAttribute('aria-label') || (e.labels && e.labels.length))).length",
    "headings that skip a level": "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
    ".filter((level, i, all) => i && level > all[i - 1] + 1).length",
    "ids that occur twice": "(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))",
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
    for hidden in ("#map", "#swipe", "#filter", "nav", "#more"):
        assert not page.locator(hidden).is_visible()
    assert page.locator("#patches tbody tr").first.is_visible()
    assert page.evaluate("document.body.scrollWidth") <= WIDE["width"]


def test_chips_show_where_the_patch_lies(opened: Any) -> None:
    """The sheet has a cell for each patch; the second chip is the second cell."""
    page = opened("run")
    chip = page.locator(f"{ROWS} >> nth=1").locator(".chip.after")
    assert chip.evaluate("e => getComputedStyle(e).backgroundPosition") == "-56px 0px"
    sheet = chip.evaluate("e => getComputedStyle(e).backgroundImage")
    assert sheet.startswith('url("data:image/jpeg;base64,')

"""The page of a run with a hundred thousand patches: how large it is, and how long a browser takes for each frame.

    python benchmarks/page.py [--out FILE] [--column now] [--folder FOLDER]

Needs Chromium and playwright. The patches are blobs of noise on a map of 7,000 pixels; the page is opened from the disk in a
browser of 1400 x 900 pixels without a screen or a graphics card. Milliseconds are those between two frames while the page
answers: the longest one is what a reader feels.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, keep_figures, say
from scipy import ndimage

from landshift.pipeline.run.page.write import page_of

ROOT = Path(__file__).parents[1]
PIXELS, LEAST, KINDS, SHARE = 7000, 9, 6, 0.93
"""Side of the map, pixels of the smallest patch, kinds of change, and the share of the ground without change."""
GAPS = """async () => {
  window.gaps = [];
  let last = performance.now();
  const look = (now) => { window.gaps.push(now - last); last = now; window.looking = requestAnimationFrame(look); };
  requestAnimationFrame(look);
}"""


def make_run(folder: Path) -> int:
    """Write the folder of a run whose patches are blobs of noise, of sizes like those of real maps; return how many."""
    sys.path.insert(0, str(ROOT))
    from tests import small_run

    small_run.SHAPE, small_run.UNSEEN = (PIXELS, PIXELS), (slice(0, 100), slice(0, 300))
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((PIXELS, PIXELS), dtype=np.float32), 2.2)
    blobs, count = ndimage.label(noise > np.quantile(noise[::7, ::7], SHARE))
    stays = np.bincount(blobs.ravel()) >= LEAST
    stays[0] = False
    kind = np.where(stays[blobs], 2 + rng.integers(0, KINDS, count + 1)[blobs], 0)
    patches = [(kind == code, code, 0.5 + code / 20) for code in range(2, 2 + KINDS)]
    return small_run.write_run(folder, names=(), patches=patches).areas.polygons


def time_frames(page: Any, act: Callable[[], object], wait_ms: int = 900) -> dict[str, float]:  # noqa: ANN401 (of playwright)
    """Do something, and return the time between two frames while the page answers: the longest, and its 95th percentile."""
    page.evaluate(GAPS)
    page.wait_for_timeout(100)
    page.evaluate("window.gaps.length = 0")
    act()
    page.wait_for_timeout(wait_ms)
    gaps = page.evaluate("(cancelAnimationFrame(window.looking), window.gaps)")
    return {"longest_ms": round(max(gaps), 1), "p95_ms": round(float(np.percentile(gaps, 95)), 1), "frames": len(gaps)}


def measure(html: Path) -> dict[str, Any]:
    """Open a page in a browser without a screen or a graphics card, and use it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(html.as_uri())
        page.wait_for_selector("html.ready")
        ready_ms = page.evaluate("performance.now()")
        page.wait_for_timeout(2000)
        box = page.locator("#map").bounding_box()
        middle = box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2

        def drag() -> None:
            page.mouse.move(*middle)
            page.mouse.down()
            for step in range(20):
                page.mouse.move(middle[0] - 8 * step, middle[1] + 3 * step)
            page.mouse.up()

        def turn(times: int) -> None:
            page.locator("#map").focus()
            page.mouse.move(*middle)
            for _ in range(times):
                page.mouse.wheel(0, -240)
                page.wait_for_timeout(60)

        def scroll() -> None:
            for share in (0.1, 0.5, 0.9, 0.2):
                page.locator("#box").evaluate("(box, share) => { box.scrollTop = share * box.scrollHeight; }", share)
                page.wait_for_timeout(50)

        acts = {
            "pan the whole map": drag, "choose a patch by a click": lambda: page.mouse.click(*middle),
            "hide a kind of change": lambda: page.locator("[data-kind]").nth(1).uncheck(),
            "show it again": lambda: page.locator("[data-kind]").nth(1).check(),
            "scroll the table": scroll,
            "sort the table": lambda: page.locator("[data-sort=probability]").click(),
            "colour by probability": lambda: page.select_option("#paint", "probability"),
            "zoom in by four turns of the wheel": lambda: turn(4), "pan in the middle of the map": drag,
            "go back to the whole map": lambda: page.locator("#home").click(),
        }  # fmt: skip
        found = {name: time_frames(page, act) for name, act in acts.items()}
        version = browser.version
        browser.close()
    if faults:
        raise RuntimeError(f"The page failed: {faults[0]}")
    return {"ready_ms": round(ready_ms), "chromium": version, "frames": found}


def main() -> None:
    """Make the run and its page, and use it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--folder", type=Path, help="where the run is made, and stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "run"
        say("making a run")
        patches = make_run(folder)
        started, html = time.process_time(), folder / "page.html"
        html.write_text(page_of(folder), encoding="utf-8")
        page_s = round(time.process_time() - started, 1)
        say("using its page")
        found = {
            "machine": describe_machine(), "patches": patches, "edge_px": PIXELS, "bytes": html.stat().st_size,
            "page_s": page_s, **measure(html),
        }  # fmt: skip
        keep_figures(options.out, options.column, found)


if __name__ == "__main__":
    main()

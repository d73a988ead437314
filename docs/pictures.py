"""Make the pictures of these pages from a finished demo: `make pictures`.

Needs, beside Landshift's `dev` extra, QGIS with its Python and Chromium (Debian: qgis, python3-qgis, chromium).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = HERE / "images"
SYSTEM_PYTHON = "/usr/bin/python3"
WIDE, NARROW = (1400, 1000), (390, 844)
_NARROW_SHOWN = 1700
"""Pixels of the narrow page from its top; a telephone shows half of them at once."""
_SETTLED_MS = 800
_SIDE = 512
"""Pixels of each picture of three."""


def qgis_pictures(run: Path, folder: Path) -> None:
    """Render the project's map and its print layout; runs in QGIS's own Python."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from qgis.core import QgsApplication, QgsLayoutExporter, QgsMapRendererParallelJob, QgsMapSettings, QgsProject
    from qgis.PyQt.QtCore import QSize
    from qgis.PyQt.QtGui import QColor

    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    if not project.read(str(run / "map.qgz")):
        sys.exit(f"QGIS cannot read {run / 'map.qgz'}")
    root = project.layerTreeRoot()
    settings = QgsMapSettings()
    settings.setLayers([node for node in root.layerOrder() if root.findLayer(node.id()).isVisible()])
    settings.setExtent(project.viewSettings().defaultViewExtent())
    settings.setDestinationCrs(project.crs())
    settings.setOutputSize(QSize(1000, 1000))
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(folder / "qgis_map.png"))
    (layout,) = project.layoutManager().printLayouts()
    options = QgsLayoutExporter.ImageExportSettings()
    options.dpi = 110
    if QgsLayoutExporter(layout).exportToImage(str(folder / "qgis_layout.png"), options) != QgsLayoutExporter.Success:
        sys.exit("QGIS cannot export the layout")
    sys.stdout.flush()
    os._exit(0)  # QGIS crashes when Python tears its objects down in the wrong order


def page_pictures(run: Path, folder: Path) -> None:
    """Show the page wide, narrow and as the first sheets of its PDF."""
    import pypdfium2
    from PIL import Image
    from playwright.sync_api import sync_playwright

    page_url = (run / "report.html").resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height) in (("page_wide", WIDE), ("page_narrow", NARROW)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(page_url)
            page.wait_for_timeout(_SETTLED_MS)
            shown = {"x": 0, "y": 0, "width": width, "height": height if name == "page_wide" else _NARROW_SHOWN}
            page.screenshot(path=folder / f"{name}.png", full_page=True, clip=shown)
            page.close()
        page = browser.new_page()
        page.goto(page_url)
        pdf = page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
        browser.close()
    sheets = pypdfium2.PdfDocument(pdf)
    pictures = [sheets[number].render(scale=1.1).to_pil() for number in range(min(2, len(sheets)))]
    joined = Image.new("RGB", (sum(p.width for p in pictures) + 12 * (len(pictures) - 1), pictures[0].height), "#888888")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + 12
    joined.save(folder / "page_pdf.png")


def first_map_picture(run: Path, folder: Path) -> None:
    """Map the demo's landscape once more, without labels and without a model, and put both dates and the map side by side."""
    from landshift.pipeline.drawing.pictures import change_picture, display_picture, png, side_by_side
    from landshift.pipeline.legend import Legend
    from landshift.pipeline.run_files import CHANGE_MAP
    from landshift.pipeline.run_files import IMAGES as OF_RUN

    demo = run.resolve().parents[2]
    (data,) = demo.glob("landscape-*/north")
    command = [sys.executable, "-m", "landshift.flows.cli.main", "detect", str(demo / "demo.yaml"), "--data", str(data)]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*command, "--method", "ir-mad", "--output", scratch], check=True, stdout=subprocess.DEVNULL)
        (made,) = Path(scratch).glob("*/run")
        before, after = (display_picture(made / file, _SIDE) for file in OF_RUN.values())
        change = change_picture(made / CHANGE_MAP, Legend().changes, after, _SIDE)
        (folder / "first_map.png").write_bytes(png(side_by_side([before, after, change]), colours=256))


def main() -> None:
    """Make every picture in a scratch folder, shrink it, and put it into its place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the demo's run")
    parser.add_argument("--qgis", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.qgis:
        qgis_pictures(asked.run.resolve(), asked.qgis)
        return
    from PIL import Image

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        subprocess.run([SYSTEM_PYTHON, __file__, str(asked.run), "--qgis", scratch], check=True)
        page_pictures(asked.run, folder)
        first_map_picture(asked.run, folder)
        for picture in sorted(folder.glob("*.png")):
            with Image.open(picture) as image:
                # The other methods give rare colours, such as those of a legend, to their neighbours.
                image.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(IMAGES / picture.name, optimize=True)


if __name__ == "__main__":
    main()

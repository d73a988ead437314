#!/usr/bin/python3
"""Open a detect run in real QGIS as a planner would, print what QGIS shows, and render a map.

usage: qgis_open.py RUN_DIR MAP.png      needs: apt-get install -y qgis python3-qgis (runs without a screen)
Exits 1 where a layer does not load, has no style, or lists categories that are not in the data.
"""

import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

run, picture = os.path.abspath(sys.argv[1]), sys.argv[2]
QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
failures = []


def check(holds, text):
    print(("ok    " if holds else "FAIL  ") + text)
    if not holds:
        failures.append(text)


vector = QgsVectorLayer(f"{run}/changes.gpkg|layername=changes", "changes", "ogr")
check(vector.isValid(), f"changes.gpkg opens: {vector.featureCount()} features, {vector.crs().authid()}")
kind = vector.renderer().type() if vector.isValid() else "none"
check(kind == "categorizedSymbol", f"styled by category without a click (renderer: {kind})")
if kind == "categorizedSymbol":
    print("      " + ", ".join(f"{c.label()} {c.symbol().color().name()}" for c in vector.renderer().categories()))

raster = QgsRasterLayer(f"{run}/layers/change.tif", "change")
check(raster.isValid(), "change.tif opens")
classes = raster.renderer().classes() if raster.isValid() and hasattr(raster.renderer(), "classes") else []
check(0 < len(classes) <= 64 and all(c.label for c in classes), f"change.tif legend: {len(classes)} rows, all named")
print("      " + ", ".join(f"{int(c.value)}={c.label}" for c in classes[:20]))

settings = QgsMapSettings()
settings.setLayers([vector, raster])
settings.setExtent(raster.extent())
settings.setDestinationCrs(raster.crs())
settings.setOutputSize(QSize(1000, 1000))
settings.setBackgroundColor(QColor("white"))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
check(job.renderedImage().save(picture), f"map rendered to {picture}: look at it")

for name in sorted(f for f in os.listdir(run) if f.endswith((".qgz", ".qgs"))):
    project = QgsProject.instance()
    check(project.read(f"{run}/{name}"), f"{name} opens")
    layers = project.mapLayers().values()
    broken = [layer.name() for layer in layers if not layer.isValid()]
    check(layers and not broken, f"{name}: {len(layers)} layers" + (f", broken: {broken}" if broken else ", all valid"))
sys.stdout.flush()
os._exit(bool(failures))  # QGIS crashes when Python tears its objects down in the wrong order

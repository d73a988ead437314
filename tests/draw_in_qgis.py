"""Draw the first layer of a project in real QGIS, with features selected. Runs with the Python that QGIS comes with.

usage: draw_in_qgis.py PROJECT FOLDER SELECTIONS as JSON: {name of the picture: [sample_id]}
"""

import json
import os
import sys
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], True)
app.initQgis()
project = QgsProject.instance()
assert project.read(sys.argv[1])
layer = project.layerTreeRoot().findLayers()[0].layer()
for name, chosen in json.loads(sys.argv[3]).items():
    layer.selectByIds([feature.id() for feature in layer.getFeatures() if feature["sample_id"] in chosen])
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(project.viewSettings().defaultViewExtent())
    settings.setDestinationCrs(project.crs())
    settings.setOutputSize(QSize(480, 400))
    settings.setBackgroundColor(QColor(120, 60, 120))
    settings.setSelectionColor(project.selectionColor())
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(Path(sys.argv[2], f"{name}.png")))
os._exit(0)  # QGIS crashes when Python tears its objects down in the wrong order

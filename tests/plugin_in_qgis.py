"""Install the zip of the plugin into an empty profile of real QGIS, run its algorithms, and state as JSON what happened.

usage: plugin_in_qgis.py ZIP CALLS [PICTURE]

Runs with the Python that QGIS is installed with. CALLS is JSON: a list of {"id", "parameters", "executable", "cancel"}. An
algorithm runs as the toolbox runs it: in the project that is open. The picture shows what was added to it.
"""

import json
import os
import sys
import zipfile
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import QSize

archive, calls = Path(sys.argv[1]), json.loads(sys.argv[2])
plugins = Path(os.environ["HOME"]) / "plugins"
with zipfile.ZipFile(archive) as content:
    content.extractall(plugins)
QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], True)
app.initQgis()
sys.path[:0] = [str(plugins), str(Path(QgsApplication.pkgDataPath()) / "python" / "plugins")]
from processing.core.Processing import Processing  # noqa: E402 (QGIS has its plugins there)
from processing.core.ProcessingConfig import ProcessingConfig  # noqa: E402

Processing.initialize()
import landshift_processing  # noqa: E402

plugin = landshift_processing.classFactory(None)
plugin.initGui()
provider = QgsApplication.processingRegistry().providerById("landshift")


class Watched(QgsProcessingFeedback):
    """Feedback that keeps what it is given, and may cancel at the first warning."""

    def __init__(self, cancel):
        super().__init__(False)
        self.told, self.steps, self.percents, self.cancels = [], [], [], cancel
        self.progressChanged.connect(lambda p: self.percents.append(p))

    def setProgressText(self, text):
        self.steps.append(text)

    def pushInfo(self, text):
        self.told.append(["info", text])

    def pushWarning(self, text):
        self.told.append(["warning", text])
        if self.cancels:
            self.cancel()

    def reportError(self, text, fatalError=False):
        self.told.append(["error", text])


def run(call):
    """Run one algorithm, and return its results and what the feedback was given."""
    ProcessingConfig.setSettingValue("LANDSHIFT_EXECUTABLE", call.get("executable", ""))
    algorithm, context = provider.algorithm(call["id"]).create(), QgsProcessingContext()
    context.setProject(QgsProject.instance())
    feedback = Watched(call.get("cancel", False))
    done, reason = algorithm.checkParameterValues(call["parameters"], context)
    results, succeeded = {}, False
    if done:
        results, succeeded = algorithm.run(call["parameters"], context, feedback)
    return {
        "results": results, "succeeded": succeeded, "reason": reason, "told": feedback.told, "steps": feedback.steps,
        "percents": feedback.percents,
    }  # fmt: skip


outcomes = [run(call) for call in calls]
project = QgsProject.instance()
tree = [
    [group.name(), [node.name() for node in group.findLayers()], [node.layer().isValid() for node in group.findLayers()],
     [node.layer().renderer().type() for node in group.findLayers() if node.layer().renderer()]]
    for group in project.layerTreeRoot().findGroups()
]  # fmt: skip
if len(sys.argv) > 3:
    settings = QgsMapSettings()
    layers = [node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible()]
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    settings.setExtent(settings.fullExtent())
    settings.setOutputSize(QSize(900, 700))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(sys.argv[3])
found = {
    "version": Qgis.QGIS_VERSION,
    "algorithms": {a.name(): [p.name() for p in a.parameterDefinitions()] for a in provider.algorithms()},
    "help": {a.name(): a.shortHelpString() for a in provider.algorithms()},
    "icon": not provider.icon().isNull(),
    "setting": [s.description for s in ProcessingConfig.settings.values() if s.name == "LANDSHIFT_EXECUTABLE"],
    "torch": sorted({"torch", "landshift"} & set(sys.modules)),
    "outcomes": outcomes,
    "tree": tree,
}
plugin.unload()
found["left"] = QgsApplication.processingRegistry().providerById("landshift") is not None
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)

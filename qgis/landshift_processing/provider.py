"""The Processing provider: its algorithms, and the setting where the program is."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .mapping import DetectWithModel, FirstMap
from .opening import OpenRun
from .plots import JudgePlots
from .program import EXECUTABLE, WHERE
from .review import ExportReview, ImportReview
from .sampling import DrawSample, EstimateAreas

ALGORITHMS = (DetectWithModel, FirstMap, DrawSample, EstimateAreas, ExportReview, ImportReview, JudgePlots, OpenRun)
ICON = Path(__file__).with_name("icon.svg")


class LandshiftProvider(QgsProcessingProvider):
    """Landshift in the toolbox."""

    def load(self) -> bool:
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(Setting(self.name(), EXECUTABLE, WHERE, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        ProcessingConfig.removeSetting(EXECUTABLE)

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        return "landshift"

    def name(self) -> str:
        return "Landshift"

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        return str(ICON)

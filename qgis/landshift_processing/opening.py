"""A run's layers in the open project."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)

from .algorithm import FOLDER, PROJECT, RUN, RUN_PROJECT, LandshiftAlgorithm


class OpenRun(LandshiftAlgorithm):
    """Adds the layers of `map.qgz`; needs no program."""

    ID, TITLE, GROUP = "openrun", "Open a run", "Map"
    TAGS = ("open", "load", "style")
    HELP = (
        "Adds the layers of a run to this project as a group, in their colours and with their names. The run's own project "
        "map.qgz has a layout to print besides."
    )

    def flags(self) -> QgsProcessingAlgorithm.Flags:
        return super().flags() | QgsProcessingAlgorithm.FlagNoThreading

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(RUN, "Folder of the run", FOLDER, optional=False)
        self.add_results(files=(PROJECT,))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        path = self.required(parameters, RUN, context) / RUN_PROJECT
        if not path.is_file():
            raise QgsProcessingException(
                f"{path.parent}: found no {RUN_PROJECT}, expected the folder of a run, such as runs/NAME/run."
            )
        self.to_open = path
        return {PROJECT: str(path)}

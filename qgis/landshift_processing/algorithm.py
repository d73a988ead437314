"""What the algorithms share: names, parameters, one call of the program, and layers that are added when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtGui import QIcon

from .layers import add_layer, add_project
from .program import EXECUTABLE, CancelledError, ProgramError, call_program, find_program

CONFIG, DATA, OUTPUT, MODEL, RUN, OPEN = "CONFIG", "DATA", "OUTPUT", "MODEL", "RUN", "OPEN"
FOLDER, FILE = QgsProcessingParameterFile.Folder, QgsProcessingParameterFile.File
PROJECT = "PROJECT"
RUN_PROJECT, RUN_CHANGES, RUN_PAGE = "map.qgz", "changes.gpkg", "report.html"
"""Files of a run."""


class LandshiftAlgorithm(QgsProcessingAlgorithm):
    """One verb of the program. What differs stands in the attributes."""

    ID, TITLE, GROUP, HELP = "", "", "", ""
    TAGS: tuple[str, ...] = ()

    def __init__(self) -> None:
        """Make the algorithm with nothing to open yet."""
        super().__init__()
        self.to_open: Path | None = None
        """Project, or GeoPackage with a layer of its name, that is added once the call is done."""

    def createInstance(self) -> LandshiftAlgorithm:
        return type(self)()

    def name(self) -> str:
        return self.ID

    def displayName(self) -> str:
        return self.TITLE

    def group(self) -> str:
        return self.GROUP

    def groupId(self) -> str:
        return self.GROUP.lower()

    def shortHelpString(self) -> str:
        return self.HELP

    def tags(self) -> list[str]:
        return ["land use", "change", *self.TAGS]

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """Add the layers: this part runs where projects may be changed."""
        project = context.project()
        if self.to_open is not None and project is not None:
            try:
                is_project = self.to_open.suffix == ".qgz"
                count = (
                    add_project(self.to_open, project) if is_project else add_layer(self.to_open, self.to_open.stem, project)
                )
            except ValueError as error:
                feedback.reportError(str(error))
            else:
                feedback.pushInfo(f"{count} layers were added, in their colours, of {self.to_open}.")
        return {}

    def add(self, definition: QgsProcessingParameterDefinition, text: str = "", *, advanced: bool = False) -> None:
        """Add a parameter, with its tooltip."""
        if text:
            definition.setHelp(text)
        if advanced:
            definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(definition)

    def add_file(
        self, name: str, title: str, behaviour: int = FILE, *, extension: str = "", optional: bool = True, text: str = ""
    ) -> None:
        """Add a parameter that is a file, or with `FOLDER` a folder."""
        self.add(QgsProcessingParameterFile(name, title, behaviour, extension, None, optional), text)

    def add_text(self, name: str, title: str, text: str, *, lines: bool = False) -> None:
        """Add an optional text among the advanced parameters."""
        self.add(QgsProcessingParameterString(name, title, None, lines, True), text, advanced=True)

    def add_open(self) -> None:
        """Add the switch that adds the layers of what was made."""
        self.add(QgsProcessingParameterBoolean(OPEN, "Add the layers to this project when it is done", True))

    def add_results(self, *, folders: tuple[str, ...] = (), files: tuple[str, ...] = (), numbers: tuple[str, ...] = ()) -> None:
        """Add outputs, named and titled alike."""
        for name in folders:
            self.addOutput(QgsProcessingOutputFolder(name, name.capitalize()))
        for name in files:
            self.addOutput(QgsProcessingOutputFile(name, name.capitalize()))
        for name in numbers:
            self.addOutput(QgsProcessingOutputNumber(name, name.capitalize().replace("_", " ")))

    def path(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> Path | None:
        """Return a parameter that is a file or folder; None where it is empty."""
        text = self.parameterAsString(parameters, name, context).strip()
        return Path(text) if text else None

    def required(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> Path:
        """Return a file or folder that must be given and exist."""
        found = self.path(parameters, name, context)
        if found is None or not found.exists():
            title = self.parameterDefinition(name).description()
            raise QgsProcessingException(f"{title}: found {found or 'nothing'}, expected a path that exists.")
        return found

    def call(self, arguments: list[str], feedback: QgsProcessingFeedback, folder: Path | None = None) -> dict[str, Any] | None:
        """Call the program, as the settings state where it is; None where the user cancelled.

        Raises:
            QgsProcessingException: With the program's own message.
        """
        try:
            program = find_program(ProcessingConfig.getSetting(EXECUTABLE) or "")
            return call_program(program, arguments, feedback, folder)
        except ProgramError as error:
            raise QgsProcessingException(str(error)) from error
        except CancelledError:
            feedback.pushInfo("Stopped. The same call goes on where it stopped.")
            return None

"""Maps of change: with a model, and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterEnum,
)

from .algorithm import (
    CONFIG,
    DATA,
    FOLDER,
    MODEL,
    OPEN,
    OUTPUT,
    PROJECT,
    RUN,
    RUN_CHANGES,
    RUN_PAGE,
    RUN_PROJECT,
    LandshiftAlgorithm,
)

IMAGES, METHOD = "IMAGES", "METHOD"
METHODS = ("ir-mad", "cva")
CONFIG_NAME = "landshift.yaml"
"""What `landshift init` writes into the folder of the images."""


class _Detect(LandshiftAlgorithm):
    GROUP = "Map"

    def add_places(self) -> None:
        """Add the folders of data and outputs, and the results."""
        self.add_file(DATA, "Folder of the data", FOLDER, text="Empty: the folder of the config.")
        self.add_file(OUTPUT, "Folder of the outputs", FOLDER, text="Empty: the folder runs beside the config.")
        self.add_open()
        self.add_results(
            folders=(RUN,), files=(PROJECT, "CHANGES", "PAGE"), numbers=("CHANGED_HA", "POLYGONS"),
        )  # fmt: skip

    def detect(
        self, config: Path, options: list[str], parameters: dict[str, Any], context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:  # fmt: skip
        """Run `landshift detect`, and return the outputs; none where the user cancelled."""
        data = self.path(parameters, DATA, context)
        output = self.path(parameters, OUTPUT, context) or config.parent / "runs"
        more = ["--data", str(data)] if data else []
        answer = self.call(["detect", str(config), *more, "--output", str(output), *options], feedback, config.parent)
        if answer is None:
            return {}
        run, areas = Path(answer["run"]), answer["areas"]
        for warning in answer["warnings"]:
            feedback.pushWarning(warning)
        feedback.pushInfo(
            f"{areas['changed_ha']:,.1f} ha mapped as changed (pixel count, biased), in {areas['polygons']:,} patches."
        )
        if self.parameterAsBool(parameters, OPEN, context):
            self.to_open = run / RUN_PROJECT
        return {
            RUN: str(run), PROJECT: str(run / RUN_PROJECT), "CHANGES": str(run / RUN_CHANGES), "PAGE": str(run / RUN_PAGE),
            "CHANGED_HA": areas["changed_ha"], "POLYGONS": areas["polygons"],
        }  # fmt: skip


class DetectWithModel(_Detect):
    """Runs `landshift detect`."""

    ID, TITLE = "detect", "Map changes with a model"
    TAGS = ("detect", "deep learning")
    HELP = (
        "Makes the change map of a Landshift project, with the project's trained model or another one. The result is a folder "
        "with a page, a QGIS project, polygons and rasters. A long run can be stopped: the same call goes on where it stopped; "
        "a finished run is not done again.\n\nHectares of the map are counted pixels, which are biased: draw a sample and "
        "estimate areas before you publish them."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(CONFIG, "Config of the project (.yaml)", extension="", optional=False)
        self.add_file(MODEL, "Model (its folder)", FOLDER, text="Empty: the model in use of the project.")
        self.add_places()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        config, model = self.required(parameters, CONFIG, context), self.path(parameters, MODEL, context)
        options = ["--method", "model", *(["--model", str(model)] if model else [])]
        return self.detect(config, options, parameters, context, feedback)


class FirstMap(_Detect):
    """Runs `landshift detect --method`, and before it, where there is no config yet, `landshift init`."""

    ID, TITLE = "firstmap", "First map without a model"
    TAGS = ("IR-MAD", "CVA", "change vector analysis", "unsupervised")
    HELP = (
        "Maps changed and unchanged between two images by a classical method: no labels, no training. Give the config of a "
        "project, or just a folder with images of two dates: its config landshift.yaml is then written first.\n\nSuch a map "
        "also finds changes of season and light. Draw a sample to learn how good it is."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(IMAGES, "Folder with images of two dates", FOLDER)
        self.add_file(CONFIG, "or config of a project (.yaml)")
        self.add(QgsProcessingParameterEnum(METHOD, "Method", ["IR-MAD", "Change vector analysis"], False, 0))
        self.add_places()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        images, config = self.path(parameters, IMAGES, context), self.path(parameters, CONFIG, context)
        if (images is None) == (config is None):
            raise QgsProcessingException(
                f"Images and config: found {'neither' if images is None else 'both'}, expected one of them: a folder with "
                "images of two dates, or the config of a project."
            )
        if images is not None:
            images = self.required(parameters, IMAGES, context)
            config = images / CONFIG_NAME
            if config.is_file():
                feedback.pushInfo(f"{config} is there already, and is used as it stands.")
            elif not self._write_config(images, config, feedback):
                return {}
        else:
            config = self.required(parameters, CONFIG, context)
        method = METHODS[self.parameterAsEnum(parameters, METHOD, context)]
        return self.detect(config, ["--method", method], parameters, context, feedback)

    def _write_config(self, images: Path, config: Path, feedback: QgsProcessingFeedback) -> bool:
        answer = self.call(["init", str(images)], feedback, images)
        if answer is None:
            return False
        for text in answer.get("to_decide", ()):
            feedback.pushWarning(f"To decide in {config}: {text}")
        return True

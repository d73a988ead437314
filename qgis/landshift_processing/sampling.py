"""Hectares with intervals: pixels drawn at random, and estimates from them once they are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterNumber,
)

from .algorithm import FOLDER, OPEN, OUTPUT, PROJECT, RUN, RUN_PAGE, LandshiftAlgorithm

SIZE, ERROR, MINIMUM, SEED = "SIZE", "TARGET_ERROR", "MINIMUM", "SEED"
SAMPLES, AREAS, LAYER, COLUMN, MISSING = "SAMPLES", "AREAS", "LAYER", "NAME_COLUMN", "ALLOW_MISSING"
SAMPLE_PROJECT, SAMPLE_LAYER = "samples.qgz", "samples.gpkg"
INTEGER, DOUBLE = QgsProcessingParameterNumber.Integer, QgsProcessingParameterNumber.Double


class DrawSample(LandshiftAlgorithm):
    """Runs `landshift sample`."""

    ID, TITLE, GROUP = "sample", "Draw a sample of a map", "Hectares"
    TAGS = ("accuracy", "stratified", "Olofsson")
    HELP = (
        "Draws a stratified random sample of a map's pixels, with pictures of both dates and a form. Judge each pixel in the "
        "form, save, and run Estimate areas. The same seed draws the same pixels."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(RUN, "Folder of the run", FOLDER, optional=False)
        self.add(
            QgsProcessingParameterNumber(SIZE, "Pixels to draw in all", INTEGER, None, True, 1),
            "Empty: what the standard error below needs.",
        )
        self.add(
            QgsProcessingParameterNumber(ERROR, "Standard error of the overall accuracy", DOUBLE, 0.01, False, 0.0001, 0.5)
        )
        self.add(QgsProcessingParameterNumber(MINIMUM, "Pixels of each kind of change at least", INTEGER, 50, False, 2))
        self.add(QgsProcessingParameterNumber(SEED, "Seed", INTEGER, 0, False, 0))
        self.add_file(OUTPUT, "Folder to make", FOLDER, text="Empty: the folder sample beside the run.")
        self.add_open()
        self.add_results(folders=("SAMPLE",), files=(PROJECT, SAMPLES), numbers=("TOTAL",))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        run, output = self.required(parameters, RUN, context), self.path(parameters, OUTPUT, context)
        arguments = ["sample", str(run), "--target-error", f"{self.parameterAsDouble(parameters, ERROR, context):.10g}"]
        for option, name in (("--minimum", MINIMUM), ("--seed", SEED), ("--size", SIZE)):
            if parameters.get(name) is not None:
                arguments += [option, str(self.parameterAsInt(parameters, name, context))]
        answer = self.call([*arguments, *(["--output", str(output)] if output else [])], feedback, run.parent)
        if answer is None:
            return {}
        folder = Path(answer["folder"])
        feedback.pushInfo(f"{answer['total']:,} pixels to judge.")
        if self.parameterAsBool(parameters, OPEN, context):
            self.to_open = folder / SAMPLE_PROJECT
        return {
            "SAMPLE": str(folder), PROJECT: str(folder / SAMPLE_PROJECT), SAMPLES: str(folder / SAMPLE_LAYER),
            "TOTAL": answer["total"],
        }  # fmt: skip


class EstimateAreas(LandshiftAlgorithm):
    """Runs `landshift estimate`."""

    ID, TITLE, GROUP = "estimate", "Estimate areas from a judged sample", "Hectares"
    TAGS = ("accuracy", "confidence interval", "Olofsson")
    HELP = (
        "Estimates hectares and accuracies with 95 % confidence intervals from the judged sample of a run, and puts them into "
        "its page and files (Olofsson et al. 2014, https://doi.org/10.1016/j.rse.2014.02.015)."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(RUN, "Folder of the run", FOLDER, optional=False)
        self.add_file(SAMPLES, "Judged sample (samples.gpkg)", optional=False)
        self.add_file(AREAS, "Areas of interest (vector file)", text="Empty: those of the run.")
        self.add_text(LAYER, "Layer of that file", "Where it has several.")
        self.add_text(COLUMN, "Column with the names of the areas", "Empty: numbers.")
        self.add(QgsProcessingParameterBoolean(MISSING, "Leave out pixels that were not judged", False), advanced=True)
        self.add_results(folders=(RUN,), files=("PAGE",), numbers=("CHANGED_HA", "LOW_HA", "HIGH_HA"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        run, samples = self.required(parameters, RUN, context), self.required(parameters, SAMPLES, context)
        arguments = ["estimate", str(run), str(samples)]
        for option, name in (("--areas", AREAS), ("--layer", LAYER), ("--name-column", COLUMN)):
            text = self.parameterAsString(parameters, name, context).strip()
            arguments += [option, text] if text else []
        if self.parameterAsBool(parameters, MISSING, context):
            arguments.append("--allow-missing")
        answer = self.call(arguments, feedback, run.parent)
        if answer is None:
            return {}
        changed = answer["changed"]["area_ha"]
        names = {"CHANGED_HA": "estimate", "LOW_HA": "low", "HIGH_HA": "high"}
        found = {name: changed[key] for name, key in names.items() if changed.get(key) is not None}
        if len(found) == len(names):
            feedback.pushInfo(
                f"{found['CHANGED_HA']:,.1f} ha changed, 95 % interval {found['LOW_HA']:,.1f} to {found['HIGH_HA']:,.1f} ha."
            )
        return {RUN: str(run), "PAGE": str(run / RUN_PAGE), **found}

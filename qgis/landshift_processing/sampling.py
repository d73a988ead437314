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

SIZE, AREA_ERROR, MINIMUM, SEED, PLAN = "SIZE", "AREA_ERROR", "MINIMUM", "SEED", "PLAN"
SAMPLES, MORE, SECOND = "SAMPLES", "MORE_SAMPLES", "SECOND"
AREAS, LAYER, COLUMN, MISSING = "AREAS", "LAYER", "NAME_COLUMN", "ALLOW_MISSING"
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
            QgsProcessingParameterNumber(
                AREA_ERROR, "Standard error of the changed area (percent)", DOUBLE, None, True, 0.1, 100
            ),
            "Relative; the number of pixels follows from it. Empty: 10, with 600 pixels at most.",
        )
        self.add(QgsProcessingParameterNumber(SIZE, "or pixels to draw in all", INTEGER, None, True, 1))
        self.add(
            QgsProcessingParameterNumber(MINIMUM, "Pixels of each stratum at least", INTEGER, None, True, 2), advanced=True
        )
        self.add(QgsProcessingParameterNumber(SEED, "Seed", INTEGER, 0, False, 0), advanced=True)
        self.add(QgsProcessingParameterBoolean(PLAN, "Only show what the sample would cost", False))
        self.add_file(OUTPUT, "Folder to make", FOLDER, text="Empty: the folder sample beside the run.")
        self.add_open()
        self.add_results(folders=("SAMPLE",), files=(PROJECT, SAMPLES), numbers=("TOTAL",))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        run, output = self.required(parameters, RUN, context), self.path(parameters, OUTPUT, context)
        arguments = ["sample", str(run)]
        for option, name in (("--size", SIZE), ("--minimum", MINIMUM), ("--seed", SEED)):
            if parameters.get(name) is not None:
                arguments += [option, str(self.parameterAsInt(parameters, name, context))]
        if parameters.get(AREA_ERROR) is not None:
            arguments += ["--area-error", f"{self.parameterAsDouble(parameters, AREA_ERROR, context):.10g}%"]
        plan = self.parameterAsBool(parameters, PLAN, context)
        arguments += [*(["--output", str(output)] if output else []), *(["--plan"] if plan else [])]
        answer = self.call(arguments, feedback, run.parent)
        if answer is None:
            return {}
        folder, found = Path(answer["folder"]), answer.get("plan") or {}
        feedback.pushInfo(f"{answer['total']:,} pixels {'would be drawn' if plan else 'to judge'}.")
        for name, value in found.items():
            if isinstance(value, (int, float, str)) and not isinstance(value, bool):
                feedback.pushInfo(
                    f"  {name.replace('_', ' ')}: {value:,.4g}"
                    if isinstance(value, float)
                    else f"  {name.replace('_', ' ')}: {value}"
                )
        if plan:
            return {"TOTAL": answer["total"]}
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
        self.add_text(MORE, "Judged samples that were added to it", "One a line.", lines=True)
        self.add_text(SECOND, "The same pixels judged by a second interpreter", "One file a line.", lines=True)
        self.add_file(AREAS, "Areas of interest (vector file)", text="Empty: those of the run.")
        self.add_text(LAYER, "Layer of that file", "Where it has several.")
        self.add_text(COLUMN, "Column with the names of the areas", "Empty: numbers.")
        self.add(QgsProcessingParameterBoolean(MISSING, "Leave out pixels that were not judged", False), advanced=True)
        self.add_results(folders=(RUN,), files=("PAGE",), numbers=("CHANGED_HA", "LOW_HA", "HIGH_HA"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        run, samples = self.required(parameters, RUN, context), self.required(parameters, SAMPLES, context)
        more, second = (self.parameterAsString(parameters, name, context).split("\n") for name in (MORE, SECOND))
        arguments = ["estimate", str(run), str(samples), *(text.strip() for text in more if text.strip())]
        arguments += [part for text in second if text.strip() for part in ("--second", text.strip())]
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

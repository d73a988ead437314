"""Plots: thousands of parcels or concessions judged by a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from .algorithm import CONFIG, DATA, FOLDER, OPEN, OUTPUT, LandshiftAlgorithm

PLOTS_LAYER, PLOTS_TABLE = "plots.gpkg", "plots.csv"


class JudgePlots(LandshiftAlgorithm):
    """Runs `landshift plots`."""

    ID, TITLE, GROUP = "plots", "Judge plots (parcels, concessions)", "Map"
    TAGS = ("parcels", "EUDR", "deforestation", "cut-off")
    HELP = (
        "Judges the plots that the config names (plots:) by the run of the project: changed after the cut-off date, no change "
        "seen, not observed, or too small or uncertain to judge. Gives a layer coloured by verdict, a CSV and GeoJSON.\n\nA "
        "change can be dated to the time between the two images and no closer; the column because states what is not known."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_file(CONFIG, "Config of the project (.yaml)", optional=False)
        self.add_file(DATA, "Folder of the data", FOLDER, text="Empty: the folder of the config.")
        self.add_file(OUTPUT, "Folder of the outputs", FOLDER, text="Empty: the folder runs beside the config.")
        self.add_open()
        self.add_results(folders=("FOLDER",), files=("PLOTS", "TABLE"), numbers=("COUNT",))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        config, data = self.required(parameters, CONFIG, context), self.path(parameters, DATA, context)
        output = self.path(parameters, OUTPUT, context) or config.parent / "runs"
        arguments = ["plots", str(config), *(["--data", str(data)] if data else []), "--output", str(output)]
        answer = self.call(arguments, feedback, config.parent)
        if answer is None:
            return {}
        for row in answer["verdicts"]:
            feedback.pushInfo(f"{row['plots']:,}  {row['verdict']}  ({row['changed_ha']:,.1f} ha changed)")
        for note in answer["notes"]:
            feedback.pushWarning(note)
        folder = Path(answer["folder"])
        if self.parameterAsBool(parameters, OPEN, context):
            self.to_open = folder / PLOTS_LAYER
        return {
            "FOLDER": str(folder), "PLOTS": str(folder / PLOTS_LAYER), "TABLE": str(folder / PLOTS_TABLE),
            "COUNT": answer["count"],
        }  # fmt: skip

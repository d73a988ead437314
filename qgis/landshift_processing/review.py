"""Reviews of the changes in a register: given out to be judged, and taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
)

from .algorithm import FOLDER, OPEN, OUTPUT, PROJECT, LandshiftAlgorithm

REGISTER, ADDRESS, RUNS, LIMIT, ORDER, SEED, AGAIN, WHO = (
    "REGISTER", "ADDRESS", "RUNS", "LIMIT", "ORDER", "SEED", "AGAIN", "WHO",
)  # fmt: skip
REVIEW = "REVIEW"
ORDERS = ("largest", "least-probable", "random", "random-by-kind")
REVIEW_PROJECT = "review.qgz"
INTEGER = QgsProcessingParameterNumber.Integer


class _OfRegister(LandshiftAlgorithm):
    GROUP = "Review"

    def add_register(self) -> None:
        """Add the two ways to name a register."""
        self.add_file(REGISTER, "Register (.gpkg)")
        self.add_text(
            ADDRESS,
            "or its address",
            "postgresql://USER@HOST/DATABASE?schema=NAME; the password as PGPASSWORD or in ~/.pgpass.",
        )

    def register(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """Return the register's file or address.

        Raises:
            QgsProcessingException: Neither is given, or both.
        """
        given = [self.parameterAsString(parameters, name, context).strip() for name in (REGISTER, ADDRESS)]
        found = [text for text in given if text]
        if len(found) != 1:
            raise QgsProcessingException(f"Register: found {len(found)}, expected one: a GeoPackage or an address.")
        return found[0]


class ExportReview(_OfRegister):
    """Runs `landshift register review export`."""

    ID, TITLE = "reviewexport", "Give changes out to be reviewed"
    TAGS = ("review", "register", "export")
    HELP = (
        "Chooses changes of a register that wait to be reviewed, and makes a folder with a form and pictures of both dates. "
        "Judge them in the form, save, and run Take reviews in."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_register()
        self.add_text(RUNS, "Folders of runs whose images are shown", "One a line.", lines=True)
        self.add(QgsProcessingParameterNumber(LIMIT, "Changes to give out at most", INTEGER, 100, False, 1))
        self.add(QgsProcessingParameterEnum(ORDER, "Which first", list(ORDERS), False, 0))
        self.add(QgsProcessingParameterNumber(SEED, "Seed", INTEGER, 0, False, 0), advanced=True)
        self.add(QgsProcessingParameterBoolean(AGAIN, "Also changes that were reviewed before", False), advanced=True)
        self.add_file(OUTPUT, "Folder to make", FOLDER, optional=False)
        self.add_open()
        self.add_results(folders=(REVIEW,), files=(PROJECT,), numbers=("CHANGES",))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        register, output = self.register(parameters, context), self.path(parameters, OUTPUT, context)
        if output is None:
            raise QgsProcessingException("Folder to make: found nothing, expected a path that is not there yet.")
        runs = self.parameterAsString(parameters, RUNS, context).splitlines()
        arguments = ["register", "review", "export", register, *(r.strip() for r in runs if r.strip()), "--output", str(output)]
        arguments += ["--limit", str(self.parameterAsInt(parameters, LIMIT, context))]
        arguments += ["--order", ORDERS[self.parameterAsEnum(parameters, ORDER, context)]]
        arguments += ["--seed", str(self.parameterAsInt(parameters, SEED, context))]
        if self.parameterAsBool(parameters, AGAIN, context):
            arguments.append("--again")
        answer = self.call(arguments, feedback)
        if answer is None:
            return {}
        folder = Path(answer["output"])
        feedback.pushInfo(f"{answer['changes']:,} changes to review.")
        if self.parameterAsBool(parameters, OPEN, context):
            self.to_open = folder / REVIEW_PROJECT
        return {REVIEW: str(folder), PROJECT: str(folder / REVIEW_PROJECT), "CHANGES": answer["changes"]}


class ImportReview(_OfRegister):
    """Runs `landshift register review import`."""

    ID, TITLE = "reviewimport", "Take reviews in"
    TAGS = ("review", "register", "import")
    HELP = (
        "Takes the verdicts of a reviewed folder into the register: all of a file or, where something is wrong with it, none."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_register()
        self.add_file(REVIEW, "Folder that was given out", FOLDER, optional=False)
        self.add_text(WHO, "Reviewer", "Where the form has none.")
        self.add_results(numbers=("TAKEN", "NOT_REVIEWED"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        register, review = self.register(parameters, context), self.required(parameters, REVIEW, context)
        who = self.parameterAsString(parameters, WHO, context).strip()
        more = ["--who", who] if who else []
        answer = self.call(["register", "review", "import", register, str(review), *more], feedback)
        if answer is None:
            return {}
        for text in answer["half_filled"]:
            feedback.pushWarning(f"Not taken, because half-filled: {text}")
        feedback.pushInfo(
            f"{answer['taken']:,} verdicts were taken in; {answer['not_reviewed']:,} changes are not reviewed yet."
        )
        return {"TAKEN": answer["taken"], "NOT_REVIEWED": answer["not_reviewed"]}

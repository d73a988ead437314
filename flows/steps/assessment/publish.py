"""An assessment as JSON, as a page and on the model's card."""

import json
from dataclasses import dataclass
from pathlib import Path

from landshift.flows.runtime.artifacts import show_table, show_text
from landshift.flows.steps.assessment.current import ASSESSMENT, PAGE
from landshift.flows.steps.learning.fitting import encoder_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.manifest import file_hash, write_text
from landshift.pipeline.pages.card import model_card
from landshift.pipeline.records import write_record
from landshift.pipeline.releases import COMPARED
from landshift.pipeline.scores.assessment import Assessment


@dataclass(frozen=True)
class Assessed:
    """What an assessment made."""

    report: Path
    """`assessment.json`: everything that was measured."""
    page: Path
    """`assessment.html`: the same for people."""


def _refresh_card(ws: Workspace, assessment: Assessment) -> None:
    """Put the assessment on the card of the model that this project trained, where there is one."""
    from landshift.models.use.bundle import CARD, MODEL

    report, manifest = ws.output / "training.json", ws.manifest(ws.output)
    entry = manifest.entries().get("model")
    if assessment.ranking is None or entry is None:
        return
    files = [ws.output / name for name in entry["files"]]
    described = next((path for path in files if path.name == MODEL and path.is_file()), None)
    if described is None:
        return
    trained, model = (json.loads(path.read_text(encoding="utf-8")) for path in (report, described))
    if model["encoder"]["name"] != encoder_of(ws).name or model["facts"]["strategy"] not in ws.project.training.strategies:
        return  # it was trained from another encoder, or in another way
    card = model_card(trained, model, assessment)
    write_text(described.with_name(CARD), card)
    shown = ws.model / MODEL
    if shown != described and shown.is_file() and file_hash(shown) == file_hash(described):
        # It is the model in use.
        path = ws.model / CARD
        _, heading, compared = path.read_text(encoding="utf-8").partition(f"\n{COMPARED}") if path.is_file() else ("", "", "")
        write_text(path, f"{card.rstrip()}\n{heading}{compared}" if heading else card)
    manifest.record("model", entry["key"], files)


def publish_assessment(ws: Workspace, assessment: Assessment) -> Assessed:
    """Write the assessment as JSON, as a page and on the model's card, and show it in Prefect."""
    from landshift.pipeline.pages.assessment import assessment_page, summary_lines

    page = ws.assessment / PAGE
    write_record(ws.assessment / ASSESSMENT, assessment)
    write_text(page, assessment_page(assessment))
    manifest, key = ws.manifest(ws.assessment), assessment.key or ""
    if not manifest.is_current("assessment", key):
        manifest.record("assessment", key, [ws.assessment / ASSESSMENT])
    _refresh_card(ws, assessment)
    name = ws.project.artifact_name
    if assessment.ranking is not None:
        show_table(
            [{"encoder": r.name, "rank": r.rank, **r.scores} for r in assessment.ranking.rows],
            key=f"{name}-ranking", description=assessment.ranking.sentence,
        )  # fmt: skip
    summary = "\n".join(f"- {line}" for line in summary_lines(assessment) if line)
    show_text(summary, key=f"{name}-assessment", description="Assessment")
    return Assessed(ws.assessment / ASSESSMENT, page)

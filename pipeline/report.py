"""The page of a detect run and the card of a model."""

from collections.abc import Mapping
from typing import Any

from pipeline.assessment import card_section
from pipeline.assessment_view import ADAPTATIONS, assessment_view
from pipeline.rendering import template_environment


def run_page(run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Write the page of a run: one file that needs no network.

    Args:
        run: Content of `run.json`.
        pictures: `before`, `after` and `change` as data URIs.
    """
    assessed = assessment_view(run["assessment"]) if run["assessment"] else None
    template = template_environment(html=True).get_template("run.html.j2")
    return template.render(run=run, pictures=pictures, assessed=assessed, adaptations=ADAPTATIONS)


def model_card(report: Mapping[str, Any], model: Mapping[str, Any], assessment: Mapping[str, Any] | None = None) -> str:
    """Write the card of a model in Markdown.

    Args:
        report: Content of `training.json`.
        model: Content of `model.json`.
        assessment: Content of `assessment.json`; none where nothing was assessed.
    """
    card = template_environment(html=False).get_template("card.md.j2").render(report=report, model=model)
    return f"{card}\n\n{card_section(assessment)}" if assessment else card

"""The card of a model."""

from collections.abc import Mapping
from typing import Any

from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.pages.assessment import card_section
from landshift.pipeline.scores.assessment import Assessment


def model_card(report: Mapping[str, Any], model: Mapping[str, Any], assessment: Assessment | None = None) -> str:
    """Write the card of a model in Markdown.

    Args:
        report: Content of `training.json`.
        model: Content of `model.json`.
        assessment: Empty or None where nothing was assessed.
    """
    card = template_environment(html=False).get_template("card.md.j2").render(report=report, model=model)
    return f"{card}\n\n{card_section(assessment)}" if assessment and assessment != Assessment() else card

"""What the readers of a run must know, in the voices of both: the map's reader and its maker."""

from collections.abc import Iterator, Sequence

from landshift.flows.steps.project.plan import Plan
from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import Caution
from landshift.pipeline.run.record import UsedClassical

_AMID = 2.0
"""Otsu's threshold is doubted where it maps more than so many times what the threshold of false alarms maps."""


def warn_of_training(warnings: Sequence[str]) -> Iterator[Caution]:
    """Yield one warning for all that the training of a model warned of, in the words of its makers."""
    if warnings:
        things = "a thing was" if len(warnings) == 1 else f"{len(warnings)} things were"
        yield Caution(
            f"When the model was trained, {things} noted that can make its maps worse; its makers know which.",
            " ".join(warnings),
        )


def warn_of_images(made: Plan) -> Iterator[Caution]:
    """Yield what images of the project were left out, or are used without a mask of clouds."""
    if made.skipped:
        yield Caution("Some images could not be used; the map rests on the others.", " ".join(made.skipped))
    if made.unmasked:
        yield Caution(
            "Nothing took the clouds out of some of the images: cloud and its shadow may look like change.",
            " ".join(made.unmasked),
        )


def warn_of_phases(trained: int | None, used: int) -> list[Caution]:
    """Warn where the map averages over more or fewer phases than the calibration did."""
    if trained in (None, used):
        return []
    return [
        Caution(
            "The map was computed in another way than the one that the model was tested in: its probabilities and scores need "
            "not hold for it.",
            f"It was made with `detect: phases: {used}`, the model was calibrated and scored with {trained}: its threshold, "
            f"probabilities and scores are those of {trained}. Set the same number, or train again.",
        )
    ]


def warn_of_otsu(used: UsedClassical) -> tuple[Caution, ...]:
    """Return a warning where a map rests on Otsu's threshold and that lies amid what unchanged ground shows."""
    shares = {row.rule: row.changed_share for row in used.thresholds}
    if used.used != "otsu" or shares["otsu"] <= _AMID * shares["false-alarm"]:
        return ()
    return (
        Caution(
            f"The map takes {percent(shares['otsu'])} of the pixels for changed, a threshold for {percent(used.rate)} false "
            f"alarms only {percent(shares['false-alarm'])}: changed and unchanged ground do not differ clearly, and there may "
            f"be little change, or only haze and season.",
            "Otsu's threshold lies amid the differences. Try `detect: classical_threshold: false-alarm`.",
        ),
    )

"""The config of a first map: the one that is there, or one for what lies in a folder, where nothing of it is left to decide."""

from pathlib import Path

from landshift.flows.steps.inspection.init import write_config
from landshift.pipeline.errors import InputError

_OF_NO_MATTER = ("labels", "legend", "split", "before training", "model", "training")
"""Keys of questions that a map without a model does not depend on."""
_ANSWERED = ("epochs", "scenes: nothing masks clouds")
"""Beginnings of questions with an answer that a first map can be made by; it is shown."""


def find_or_write_config(folder: Path, path: Path) -> list[str]:
    """Make sure that there is a config to make a first map by.

    Args:
        folder: With images of at least two dates.
        path: The config; where it is not there, it is written.

    Returns:
        What was understood, in lines for people; nothing of a config that was there.

    Raises:
        InputError: As `init.write_config`; or a person has to decide something first: the config is written, and the message
            names what.
    """
    if path.exists():
        return []
    made = write_config(folder, path)
    waiting = [q for q in made.to_decide if not q.startswith((*_OF_NO_MATTER, *_ANSWERED))]
    if waiting:
        raise InputError(
            f"{path} was written, and before a map can be made you have to decide:\n"
            + "\n".join(f"- {question}" for question in waiting)
            + "\nMend the lines marked DECIDE, and run the same command again."
        )
    chosen = [scene for scene in made.scenes if scene.id in made.chosen]
    days = sorted({str(scene.date) for scene in chosen})
    return [
        f"Wrote {path}: {' and '.join(days)} are compared, of {len({s.date for s in made.scenes})} dates found.",
        *(f"Taken for now: {question}" for question in made.to_decide if question.startswith(_ANSWERED)),
    ]

"""The folder of a run: names of its files, and what `run.json` says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend

RUN, PAGE, ESTIMATES, TABLE = "run.json", "report.html", "estimates.json", "estimates.csv"

CHANGE_MAP, LAYERS, PROJECT = "change.tif", "changes.gpkg", "map.qgz"

_EXPECTED = ("name", "key", "before_date", "after_date", "grid", "legend", "areas", "config")


def read_run(folder: Path) -> dict[str, Any]:
    """Read what a run says about itself.

    Args:
        folder: As `landshift detect` made it, wherever it was moved to.

    Returns:
        Content of `run.json`.

    Raises:
        InputError: It is no folder of a run, or one of another version.
    """
    path = folder / RUN
    missing = [name for name in (RUN, CHANGE_MAP, LAYERS) if not (folder / name).is_file()]
    if missing:
        found = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else []
        raise InputError(
            f"{folder} is no folder of a run: it lacks {', '.join(missing)}"
            + (f" (it holds {', '.join(found)})" if found else "")
            + ". Expected the folder `run` that `landshift detect` made, with all its files."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Copy the run's folder again, or make it again.") from error
    lacking = [key for key in _EXPECTED if not isinstance(content, dict) or key not in content]
    if lacking:
        raise InputError(
            f"{path} lacks {', '.join(lacking)}; it comes from another version of Landshift. Make the run again with "
            f"`landshift detect`."
        )
    return dict(content)


def legend_of_run(run: Mapping[str, Any]) -> Legend:
    """Return the legend of a run.

    Args:
        run: Content of `run.json`.

    Raises:
        InputError: It holds codes or names that could not be told apart.
    """
    return Legend.of(run["legend"])

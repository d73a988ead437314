"""Places: several projects at once, each with its folders and a name of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.flows.config.project import Project, load_project
from landshift.pipeline.errors import InputError


def artifact_name(project: Project) -> str:
    """Return the project's name as Prefect allows it in an artifact's key: lowercase letters, digits and dashes."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in project.name.lower())


@dataclass(frozen=True)
class Place:
    """Where a project's data lie and its outputs go, absolute: the worker may have another working directory."""

    config: Path
    """The config."""
    data: Path
    """Data folder."""
    output: Path | None
    """Folder of outputs; the config's where None."""
    model: Path | None
    """Model to use instead of the project's own."""
    allow_outside: bool = False
    """Whether paths in the config may leave the data folder."""


def place_of(config: Path, data: Path | None, output: Path | None, model: Path | None, *, allow_outside: bool) -> Place:
    """Resolve the paths of the command line.

    Raises:
        InputError: The data folder is not there.
    """
    folder = (data if data is not None else config.parent).resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected the data folder; check --data.")
    return Place(
        config.resolve(), folder, None if output is None else output.resolve(),
        None if model is None else model.resolve(), allow_outside,
    )  # fmt: skip


def projects_of(places: Sequence[Place]) -> list[Project]:
    """Read the configs, which must not share a name: folders and Prefect's names carry it.

    Raises:
        InputError: A config cannot be used, or two projects have one name.
    """
    projects: list[Project] = []
    names: dict[str, Path] = {}
    for place in places:
        project = load_project(place.config)
        name = artifact_name(project)
        if name in names:
            raise InputError(
                f"{place.config} and {names[name]} are both called {name}; give each project a `name:` of its own."
            )
        names[name] = place.config
        projects.append(project)
    return projects

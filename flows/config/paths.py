"""Absolute paths of the configs, data and outputs of several projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.flows.config.project import Project, load_project
from landshift.pipeline.errors import InputError


@dataclass(frozen=True)
class ProjectPaths:
    """Absolute paths of one project: a worker may have another working directory."""

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


def data_folder(config: Path, data: Path | None) -> Path:
    """Return the data folder of a config, by default the folder that it lies in.

    Raises:
        InputError: The data folder is not there.
    """
    folder = data if data is not None else config.parent
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected the data folder; check --data.")
    return folder


def resolve_paths(
    configs: Sequence[Path], data: Path | None, output: Path | None, model: Path | None, *, allow_outside: bool = False
) -> list[ProjectPaths]:
    """Resolve the paths of the command line, which all of its configs share.

    Raises:
        InputError: A data folder is not there.
    """
    output, model = (None if path is None else path.resolve() for path in (output, model))
    return [
        ProjectPaths(config.resolve(), data_folder(config, data).resolve(), output, model, allow_outside=allow_outside)
        for config in configs
    ]


def load_projects(paths: Sequence[ProjectPaths]) -> list[Project]:
    """Read the configs, which must not share a name: folders and Prefect's names carry it.

    Raises:
        InputError: A config cannot be used, or two projects have one name.
    """
    projects: dict[str, Project] = {}
    for place in paths:
        project = load_project(place.config)
        if project.artifact_name in projects:
            other = paths[list(projects).index(project.artifact_name)]
            raise InputError(
                f"{place.config} and {other.config} are both called {project.artifact_name}; "
                f"give each project a `name:` of its own."
            )
        projects[project.artifact_name] = project
    return list(projects.values())

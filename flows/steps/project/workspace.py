"""Where a project's inputs lie and its outputs go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from landshift.flows.config.project import Project
from landshift.pipeline.errors import BusyError, InputError
from landshift.pipeline.manifest import Manifest, remove_partials, scratch_folder
from landshift.pipeline.raster.place import ArchivedFile, RasterPlace, RemoteFile
from landshift.pipeline.register.address import RegisterLocation, location_of
from landshift.pipeline.releases import RELEASES, model_in_use

CHECKPOINTS = "checkpoints"
"""What the names of folders of unfinished trainings begin with."""


@dataclass(frozen=True)
class Workspace:
    """A project with its folders."""

    project: Project
    """The validated config."""
    data: Path
    """Data folder: the root that paths in the config may not leave."""
    output: Path
    """Folder of this project's outputs."""
    allow_outside: bool = False
    """Whether paths in the config may leave the data folder."""
    chosen_model: Path | None = None
    """A model named on the command line, which goes before the config's and the project's own."""

    @property
    def uses_other_model(self) -> bool:
        """Whether the model in use was not trained by this project."""
        return self.chosen_model is not None or self.project.trained_model is not None

    @property
    def model_in_use(self) -> Path:
        """The model that detect uses: one named by a person, else the project's release in use.

        Raises:
            InputError: The config names one outside the data folder, and that is not allowed; or which release is in use
                cannot be known.
        """
        if self.chosen_model is not None:
            return self.chosen_model
        if self.project.trained_model is not None:
            return self.input(self.project.trained_model, "trained_model")
        return model_in_use(self.releases, self.model)

    @property
    def models_needed(self) -> list[Path]:
        """The model that detect uses; none where a classical method maps the changes.

        Raises:
            InputError: As `model_in_use`.
        """
        return [self.model_in_use] if self.project.detect.method == "model" else []

    @property
    def epochs(self) -> Path:
        """Analysis-ready images."""
        return self.output / "epochs"

    @property
    def training(self) -> Path:
        """Label masks, checkpoints and one candidate model a seed."""
        return self.output / "training"

    @property
    def assessment(self) -> Path:
        """What `assess` found out, and the trials behind it."""
        return self.output / "assessment"

    @property
    def model(self) -> Path:
        """The project's model in use: a copy of a release."""
        return self.output / "model"

    @property
    def candidate(self) -> Path:
        """The model that was trained last, whether or not it came into use."""
        return self.output / "candidate"

    @property
    def releases(self) -> Path:
        """Every model that was ever in use, and the journal of them."""
        return self.output / RELEASES

    @property
    def work(self) -> Path:
        """Where a detect run grows until it is whole."""
        return self.output / "work"

    @property
    def register_file(self) -> Path:
        """The register that the monitor keeps where the config names none on a server."""
        return self.output / "register.gpkg"

    @property
    def register(self) -> RegisterLocation:
        """The register that the monitor keeps.

        Raises:
            InputError: The environment variable that the config names is not set, or holds no address.
        """
        variable = self.project.monitor.register_env
        if variable is None:
            return self.register_file
        expected = "it has to hold the address of a register, postgresql://USER@HOST/DATABASE?schema=NAME"
        if not os.environ.get(variable):
            raise InputError(f"monitor: register_env: the environment variable {variable} is not set; {expected}.")
        place = location_of(os.environ[variable])
        if isinstance(place, Path):
            # What it holds is not shown: it may be half an address, password and all.
            raise InputError(f"monitor: register_env: the environment variable {variable} holds another text; {expected}.")
        return place

    @property
    def run(self) -> Path:
        """The finished detect run, as published."""
        return self.output / "run"

    def input(self, path: Path, key: str) -> Path:
        """Return where a path of the config points.

        Raises:
            InputError: It is not a path, or leaves the data folder, and that is not allowed.
        """
        try:
            full = (self.data / path).resolve()
        except (ValueError, OSError, RuntimeError) as error:  # a NUL, or links in a circle
            raise InputError(f"{key}: {str(path)!r:.200} is not a path ({error}). Correct it.") from error
        if not self.allow_outside and not full.is_relative_to(self.data.resolve()):
            raise InputError(
                f"{key}: {path} points outside the data folder {self.data}. Move the file there, name another folder with "
                f"--data, or allow it with --allow-outside."
            )
        try:
            full.lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # reported where it is opened, with what is there instead
        except (ValueError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"{key}: {str(path)!r:.200} cannot be used ({why}). Correct it.") from error
        return full

    def absolute(self) -> "Workspace":
        """Return the same folders as another process finds them, whatever its working directory."""
        model = None if self.chosen_model is None else self.chosen_model.resolve()
        return replace(self, data=self.data.resolve(), output=self.output.resolve(), chosen_model=model)

    def relative(self, path: RasterPlace) -> str:
        """Return a path as it may be published: relative to the data folder, else the bare name; of a server its address."""
        if isinstance(path, RemoteFile):
            return str(path)
        if isinstance(path, ArchivedFile):
            return f"{self.relative(path.archive)}/{path.member}"
        full = path.resolve()
        root = self.data.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else full.name

    def manifest(self, folder: Path) -> Manifest:
        """Return the record of a folder of outputs, rid of what an interrupted run left."""
        if folder.is_dir():
            remove_partials(folder)
        return Manifest(folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the output folder, and clear what a kill left in it.

        Raises:
            BusyError: Another run is writing there.
            InputError: The folder cannot be written to.
        """
        self.require_writable()
        lock = FileLock(self.output / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"Another run is writing to {self.output}. Wait for it, or choose another folder with --output."
            ) from error
        try:
            remove_partials(self.output)
            yield
        finally:
            lock.release()

    def require_writable(self) -> None:
        """Refuse an output folder that cannot be written to, before any long work.

        Raises:
            InputError: The folder cannot be made or written to.
        """
        try:
            with scratch_folder(self.output):
                pass
        except OSError as error:
            raise InputError(
                f"{self.output} cannot be written to ({error.strerror}). Choose another folder with --output."
            ) from error


def require_no_model(ws: Workspace) -> None:
    """Refuse a model that is named where a classical method maps the changes.

    Raises:
        InputError: One is named.
    """
    if ws.chosen_model is not None:
        method = ws.project.detect.method
        raise InputError(f"--model names {ws.chosen_model}, and the method {method} uses no model: leave one of them out.")


def workspace(
    project: Project, data: Path, output: Path | None = None, *, allow_outside: bool = False, model: Path | None = None
) -> Workspace:
    """Put a project and its folders together.

    Args:
        project: The validated config.
        data: Data folder.
        output: Folder of outputs; the config's where None. The project's name is added.
        allow_outside: Whether paths in the config may leave the data folder.
        model: A model to use instead of the project's own.
    """
    return Workspace(project, data, (output or project.output) / project.name, allow_outside, chosen_model=model)

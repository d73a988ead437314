"""Where a project's inputs lie and its outputs go."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.config import Project
from pipeline.errors import InputError
from pipeline.manifest import Manifest, remove_partials


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
    def model_in_use(self) -> Path:
        """The model that detect uses.

        Raises:
            InputError: The config names one outside the data folder, and that is not allowed.
        """
        if self.chosen_model is not None:
            return self.chosen_model
        return self.model if self.project.trained_model is None else self.input(self.project.trained_model, "trained_model")

    @property
    def epochs(self) -> Path:
        """Analysis-ready images."""
        return self.output / "epochs"

    @property
    def training(self) -> Path:
        """Label masks, checkpoints and one candidate model a seed."""
        return self.output / "training"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.output / "model"

    @property
    def work(self) -> Path:
        """Where a detect run grows until it is whole."""
        return self.output / "work"

    @property
    def run(self) -> Path:
        """The finished detect run: what leaves the house."""
        return self.output / "run"

    def input(self, path: Path, key: str) -> Path:
        """Return where a path of the config points.

        Raises:
            InputError: It leaves the data folder, and that is not allowed.
        """
        full = (self.data / path).resolve()
        if not self.allow_outside and not full.is_relative_to(self.data.resolve()):
            raise InputError(
                f"{key}: {path} points outside the data folder {self.data}. Move the file there, name another folder with "
                f"--data, or allow it with --allow-outside."
            )
        return full

    def relative(self, path: Path) -> str:
        """Return a path as it may be published: relative to the data folder, else the bare name."""
        full = path.resolve()
        root = self.data.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else full.name

    def manifest(self, folder: Path) -> Manifest:
        """Return the record of a folder of outputs, rid of what an interrupted run left."""
        if folder.is_dir():
            remove_partials(folder)
        return Manifest(folder)

    def require_writable(self) -> None:
        """Refuse an output folder that cannot be written to, before any long work, and clear what a kill left in it.

        Raises:
            InputError: The folder cannot be made or written to.
        """
        probe = self.output / ".partial-probe"
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            remove_partials(self.output)
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"{self.output} cannot be written to ({error.strerror}). Choose another folder with --output."
            ) from error


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
    return Workspace(project, data, (output or project.output) / project.name, allow_outside, model)


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a pixel."""
    found = {}
    for name in (
        "landshift",
        "torch",
        "segmentation-models-pytorch",
        "timm",
        "torchgeo",
        "rasterio",
        "numpy",
        "shapely",
        "prefect",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found

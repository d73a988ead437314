"""The configuration: typed at the border, frozen after, unknown keys refused with the nearest right name."""

import json
import reprlib
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from landshift.flows.config.alerts import AlertsConfig
from landshift.flows.config.faults import Schema, head_of, list_faults
from landshift.flows.config.gates import GatesConfig
from landshift.flows.config.labels import ChipLabels, LabelsConfig
from landshift.flows.config.learning import AssessConfig, CalibrationConfig, ModelConfig, ReleaseConfig, TrainingConfig
from landshift.flows.config.plots import PlotsConfig
from landshift.flows.config.scenes import EpochsConfig, RadiometryConfig, ScenesConfig, SensorConfig
from landshift.flows.config.sections import (
    AreasOfInterestConfig,
    ClassConfig,
    CrosswalkConfig,
    DetectConfig,
    EnergyConfig,
    GridConfig,
    MonitorConfig,
    PublishConfig,
    Section,
    SplitConfig,
    default_of,
)
from landshift.pipeline.alerts.rules import require_known
from landshift.pipeline.colours.palette import fill_colours
from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import MISSING, fault_of, read_text
from landshift.pipeline.legend import MAX_CLASSES, Legend
from landshift.pipeline.limits import CONFIG_BYTES

_OF_A_TERRITORY = (
    "scenes",
    "epochs",
    "grid",
    "bands",
    "split",
    "release",
    "areas_of_interest",
    "plots",
    "monitor",
    "alerts",
    "publish",
    "trained_model",
)
"""Keys that chips have no use for."""

_LONGEST_NUMBER = 40
"""Characters; no number of a config needs more, and Python takes very long over some that have more."""


class Project(Section):
    """One territory and two dates, or a collection of chips to learn from."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """Short name without spaces; outputs and ids carry it."""
    notice: str = Field(default="", max_length=300)
    """What everyone who sees a map of it must know first, such as that it is an exercise; on top of the page of each run."""
    sensor: SensorConfig
    """What the files hold."""
    scenes: ScenesConfig = ScenesConfig()
    """Where the scenes are."""
    labels: LabelsConfig | None = None
    """Needed to train."""
    epochs: EpochsConfig | None = Field(default=None, validate_default=True)
    """The two epochs; needed, but for chips."""
    radiometry: RadiometryConfig = RadiometryConfig()
    """How both dates are brought to one light."""
    grid: GridConfig | None = None
    """The region's grid; None takes the one that all scenes share."""
    bands: tuple[str, ...] = ()
    """Bands to use, in order; empty takes all that every scene has."""
    legend: tuple[ClassConfig, ...] = ()
    """Land-use classes; empty for a binary project (changed or unchanged)."""
    crosswalk: CrosswalkConfig = CrosswalkConfig()
    """Official classes of the legend's classes (IPCC, UNCCD), for tables of estimates."""
    split: SplitConfig = SplitConfig()
    """How labels are divided."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How to train."""
    assess: AssessConfig = AssessConfig()
    """How to find out whether transfer helps."""
    release: ReleaseConfig = ReleaseConfig()
    """When a newly trained model replaces the one in use."""
    calibration: CalibrationConfig = CalibrationConfig()
    """How probabilities become a map."""
    detect: DetectConfig = DetectConfig()
    """How to make the map."""
    gates: GatesConfig = GatesConfig()
    """What is asked of the data and the model of a run."""
    areas_of_interest: AreasOfInterestConfig | None = None
    """Named polygons to sum up the changes for."""
    plots: PlotsConfig | None = None
    """Parcels or concessions, and what is asked about each; for `landshift plots`, not for the map."""
    monitor: MonitorConfig = MonitorConfig()
    """How to go on as new scenes come in."""
    alerts: AlertsConfig = AlertsConfig()
    """Which changes of the register are sent, and where."""
    publish: PublishConfig | None = None
    """Where finished runs are copied to, besides the folder here; None copies nothing."""
    energy: EnergyConfig = EnergyConfig()
    """What computing costs."""
    trained_model: Path | None = None
    """A model trained elsewhere, for detect; None takes the one that `landshift train` made for this project."""
    output: Path = Path("runs")
    """Folder of the outputs, relative to the working directory; the project's name is added."""

    @field_validator("legend")
    @classmethod
    def _have_colours(cls, legend: tuple[ClassConfig, ...]) -> tuple[ClassConfig, ...]:
        if all(entry.colour is not None for entry in legend) or len(legend) > MAX_CLASSES:
            return legend
        colours = fill_colours([entry.colour for entry in legend])
        return tuple(entry.model_copy(update={"colour": c}) for entry, c in zip(legend, colours, strict=True))

    @field_validator("epochs")
    @classmethod
    def _are_there(cls, epochs: EpochsConfig | None, info: ValidationInfo) -> EpochsConfig | None:
        # Here and not after all fields, so that it is named together with their faults.
        labels = info.data.get("labels")
        if epochs is None and "labels" in info.data and (labels is None or labels.chips is None):
            raise PydanticCustomError("missing", "Field required")
        return epochs

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Project":
        if self.chips is None:
            return self
        fields = type(self).model_fields
        for key in _OF_A_TERRITORY:
            if getattr(self, key) != default_of(fields[key]):
                raise ValueError(f"`{key}` belongs to a territory, and `labels: chips:` has none: leave it out")
        if self.sensor.name != "custom":
            raise ValueError("sensor: chips need `name: custom` with `bands`, `scale`, `nodata` and `units` of their files")
        if self.chips.before_label is not None and not self.legend:
            raise ValueError("labels: chips: `before_label` and `after_label` need a `legend`")
        if self.chips.before_label is None and self.legend:
            raise ValueError("`legend` needs the classes of both dates: labels: chips: `before_label` and `after_label`")
        return self

    @property
    def chips(self) -> ChipLabels | None:
        """The collection that the project learns from instead of a territory; None for a territory."""
        return None if self.labels is None else self.labels.chips

    @property
    def dates(self) -> EpochsConfig:
        """The two epochs of a territory.

        Raises:
            InputError: The project is a collection of chips.
        """
        if self.epochs is None:
            raise InputError(
                f"{self.name} is a collection of chips (`labels: chips:`): it has no territory and no dates, so nothing can be "
                f"mapped, monitored or released. `landshift train` makes a model of it; write a config of your territory that "
                f"starts from this model (`model: file:`) or maps with it (`trained_model:`)."
            )
        return self.epochs

    @model_validator(mode="after")
    def _heads_fit(self) -> "Project":
        if not self.legend and self.model.heads in ("landuse", "both"):
            raise ValueError(f"model: heads: {self.model.heads} needs a `legend`")
        if self.model.encoder == "file" and self.model.file is None:
            raise ValueError("model: encoder: file needs `model: file:`")
        if self.scenes.stac is not None and self.grid is None:
            raise ValueError("scenes: stac needs `grid:`, the region to search")
        return self

    @model_validator(mode="after")
    def _crosswalk_fits(self) -> "Project":
        self.crosswalk.require_whole([c.name for c in self.legend])
        return self

    @model_validator(mode="after")
    def _alerts_fit(self) -> "Project":
        for entry in self.alerts.rules:
            require_known(entry.rule, Legend.of(c.model_dump() for c in self.legend))
            if entry.areas and self.areas_of_interest is None:
                raise ValueError(f"alerts: rules: {entry.name}: `areas` needs `areas_of_interest`, the file that holds them")
        return self

    @model_validator(mode="after")
    def _plots_fit(self) -> "Project":
        if self.plots is not None:
            for key in ("from_classes", "to_classes"):
                for name in getattr(self.plots, key):
                    if not self.legend:
                        raise ValueError(f"plots: {key} needs a `legend`; without one every change counts")
                    Legend.of(c.model_dump() for c in self.legend).code_of(name)
        return self

    @property
    def artifact_name(self) -> str:
        """The name as Prefect allows it in an artifact's key: lowercase letters, digits and dashes."""
        return "".join(c if c.isascii() and c.isalnum() else "-" for c in self.name.lower())

    @property
    def heads(self) -> str:
        """The network's heads: `change`, `landuse` or `both`."""
        if self.model.heads != "auto":
            return self.model.heads
        return "both" if self.legend else "change"


class _YamlFault(yaml.MarkedYAMLError):
    """A fault with its line."""

    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """Reads YAML as plain as a config is: each key once, no aliases, and every fault with its line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (as in PyYAML)
        """Refuse aliases, a few lines of which can stand for more than fits into memory."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _YamlFault(f"anchors and aliases (here {event.anchor}) are not accepted; write it out", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        """Turn Python's error about an impossible value, such as the date 2019-13-45, into a fault with its line."""
        if node.tag == "tag:yaml.org,2002:int" and len(str(node.value)) > _LONGEST_NUMBER:
            raise _YamlFault(f"a number of {len(str(node.value))} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _YamlFault(f"{reprlib.repr(node.value)} is not a valid {kind} ({error})", node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is there twice: which value was meant cannot be known."""
        content = super().construct_mapping(node, deep)
        if len(content) < len(node.value):
            seen: set[Hashable] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise _YamlFault(f"the key {reprlib.repr(key)} is there twice", key_node.start_mark)
                seen.add(key)
        return content


def load_project(path: Path, *, chips: bool = False) -> Project:
    """Read and validate a config.

    Args:
        path: The config.
        chips: Whether it may be a collection of chips instead of a territory.

    Raises:
        InputError: The file is missing or not valid YAML, or keys or values are wrong (every fault is named at once); or it is
            a collection of chips, and a territory is needed.
    """
    if fault_of(path) == MISSING:
        raise InputError(f"{path} is not there. Expected a config; `landshift init FOLDER` writes one.")
    text = read_text(path, CONFIG_BYTES)
    try:
        # The loader is a SafeLoader.
        content = _Loader(text).get_single_data()
    except RecursionError as error:
        raise InputError(f"{path} is not a config: it is nested too deep. Expected sections of a few levels.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}; expected keys such as `name:`, `sensor:` and `epochs:`.")
    project = validate(content, str(path))
    if not chips:
        _ = project.dates
    return project


def validate(content: object, name: str) -> Project:
    """Return the project that a mapping describes.

    Args:
        content: As YAML holds it.
        name: Of the config, for the error.

    Raises:
        InputError: Keys or values are wrong; every fault is named at once.
    """
    try:
        return Project.model_validate(content)
    except ValidationError as error:
        listed = list_faults(error, content, _schema())
        raise InputError(f"{name} has {head_of(error, listed)}:\n" + "\n".join(listed)) from error


def with_method(project: Project, method: str | None) -> Project:
    """Return a project whose changes are mapped by another method; the same where None.

    Raises:
        InputError: There is no such method, or the config has settings of a model that would not be used.
    """
    if method is None:
        return project
    content = project.model_dump()
    content["detect"]["method"] = method
    return validate(content, "--method")


@cache
def _schema() -> Schema:
    return Project.model_json_schema()


def schema_text() -> str:
    """Return the content of `configs/schema.json`, which editors use to complete and to check."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Project.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def find_config(name: str) -> Path:
    """Return a config that comes with Landshift: from the installed package, else from the repository.

    Raises:
        InputError: No config has that name.
    """
    path = Path(__file__).resolve().parents[2] / "configs" / name
    if path.is_file():
        return path
    raise InputError(f"Landshift ships no config {name}.")

"""QGIS project files: layers, their order and their styles, as one archive with relative paths."""

import os
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from landshift.pipeline.drawing.qml import QGIS_VERSION
from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.drawing.symbols import clean
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import replace_when_done

Extent = tuple[float, float, float, float]
"""Left, bottom, right, top in the CRS of the project."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an archive can hold; a fixed one makes equal projects equal files."""


@dataclass(frozen=True)
class Layer:
    """One layer of a project."""

    key: str
    """Unique within the project."""
    name: str
    """In the list of layers."""
    source: str
    """Relative to the project file, for example `./change.tif`."""
    qml: str
    """Its style."""
    geometry: str = ""
    """`Point`, `Polygon` or `MultiPolygon`; empty for a raster."""
    visible: bool = True
    """Whether it is drawn at first."""
    expanded: bool = False
    """Whether the list of layers shows its legend at first."""
    abstract: str = ""
    """What it is, in its metadata."""
    style_name: str = "default"
    """What QGIS calls its style."""
    further_styles: tuple[tuple[str, str], ...] = ()
    """Names and QML of styles that can be chosen instead."""

    @property
    def kind(self) -> str:
        """What QGIS calls this kind of layer."""
        return "vector" if self.geometry else "raster"

    @property
    def provider(self) -> str:
        """What QGIS reads it with."""
        return "ogr" if self.geometry else "gdal"

    @property
    def labelled(self) -> str:
        """`1` where the style has labels."""
        return _style_of(self).get("labelsEnabled", "0")

    @property
    def style(self) -> Markup:
        """The parts of the style, as a project holds them."""
        return Markup("\n".join(ET.tostring(part, encoding="unicode").strip() for part in _style_of(self)))  # noqa: S704 (serialised)

    @property
    def other_styles(self) -> tuple[tuple[str, Markup], ...]:
        """Names of the further styles, and each as a project holds it."""
        return tuple(
            (name, Markup(ET.tostring(ET.fromstring(qml), encoding="unicode").strip()))  # noqa: S314, S704 (ours, serialised)
            for name, qml in self.further_styles
        )


@dataclass(frozen=True)
class LayerGroup:
    """Layers under one heading in the list of layers."""

    name: str
    """The heading."""
    layers: tuple[Layer, ...]
    """From top to bottom."""


@dataclass(frozen=True)
class Theme:
    """A choice of layers and of their styles, under a name."""

    name: str
    """In QGIS's list of themes."""
    shown: tuple[tuple[Layer, str], ...]
    """The layers that are drawn, each with the name of its style."""


@dataclass(frozen=True)
class QgisProject:
    """A project: what is drawn, and where."""

    key: str
    """Makes the ids of its layers unique where projects are joined."""
    title: str
    """What QGIS shows as its title."""
    abstract: str
    """What it is, in the metadata."""
    created: str
    """Date and time, ISO 8601."""
    crs: str
    """As WKT."""
    extent: Extent
    """What is shown at first."""
    entries: tuple[Layer | LayerGroup, ...]
    """From top to bottom."""
    themes: tuple[Theme, ...] = ()
    """What can be looked at with one click."""
    layout: object = None
    """What the template of the print layout needs; no layout where None."""
    unfilled_selection: bool = False
    """Whether QGIS leaves the inside of what is selected as it is, so that the ground can be seen."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, from top to bottom."""
        return tuple(_flat(self.entries))


def project_xml(project: QgisProject) -> str:
    """Return the content of a `.qgs` file."""
    return _project_template().render(p=project, version=QGIS_VERSION)


@cache
def _project_template() -> Template:
    environment = template_environment(html=True).overlay(finalize=_printable)
    return environment.get_template("qgis/project.qgs.j2")


def write_qgz(path: Path, project: QgisProject) -> Path:
    """Write a project as an archive, in one atomic step; equal projects give equal bytes.

    Raises:
        OSError: It could not be written.
    """
    entry = zipfile.ZipInfo(f"{path.stem}.qgs", _EPOCH)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(entry, project_xml(project))
    return path


def relative_source(path: Path, folder: Path) -> str:
    """Return a file as a project that will lie in `folder` names it."""
    found = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return found if found.startswith(".") else f"./{found}"


def inert(text: str) -> str:
    """Return text that QGIS prints as it is: in layouts and legends it would compute what stands in `[% %]`."""
    return text.replace("[%", "[\u2060%")


def _flat(entries: Sequence[Layer | LayerGroup]) -> Iterator[Layer]:
    for entry in entries:
        if isinstance(entry, LayerGroup):
            yield from entry.layers
        else:
            yield entry


def _style_of(layer: Layer) -> ET.Element:
    try:
        return ET.fromstring(layer.qml)  # noqa: S314 (what landshift.pipeline.drawing.qml wrote, and expat limits the growth of entities)
    except ET.ParseError as error:
        raise InputError(
            f"The style of {layer.source} is damaged ({error}). Expected XML as QGIS writes it; copy the run again."
        ) from error


def _printable(value: object) -> object:
    """Drop from names what XML cannot hold; the template escapes the rest."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

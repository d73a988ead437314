"""Layers of a project that Landshift wrote, added to the open project as one group."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsLayerDefinition, QgsProject, QgsReadWriteContext, QgsVectorLayer
from qgis.PyQt.QtXml import QDomDocument


def add_project(path: Path, project: QgsProject) -> int:
    """Add all layers of a project file to an open project, styled and in their order, as a group on top.

    Args:
        path: A `.qgz`; a run's `map.qgz`, or that of a sample or review.
        project: The open project.

    Returns:
        How many layers were added.

    Raises:
        ValueError: The file cannot be read, or a layer of it.
    """
    found = QgsProject()
    if not path.is_file() or not found.read(str(path)):
        raise ValueError(f"{path}: expected a QGIS project that Landshift wrote, found {found.error() or 'no file'}.")
    lost = [layer.name() for layer in found.mapLayers().values() if not layer.isValid()]
    if lost:
        raise ValueError(f"{path}: the files of these layers are not where the project expects them: {', '.join(lost)}.")
    document = QDomDocument("qgis-layer-definition")
    nodes = found.layerTreeRoot().children()
    done, fault = QgsLayerDefinition.exportLayerDefinition(document, nodes, QgsReadWriteContext())
    if done:
        before = set(project.mapLayers())
        group = project.layerTreeRoot().insertGroup(0, found.title() or path.parent.name)
        done, fault = QgsLayerDefinition.loadLayerDefinition(document, project, group, QgsReadWriteContext())
    if not done:
        raise ValueError(f"{path}: its layers cannot be added: {fault}")
    return len(set(project.mapLayers()) - before)


def add_layer(path: Path, name: str, project: QgsProject) -> int:
    """Add a layer of a GeoPackage in its own style, on top.

    Args:
        path: The GeoPackage.
        name: Of the layer, and what it is called.
        project: The open project.

    Returns:
        1.

    Raises:
        ValueError: The file has no such layer.
    """
    layer = QgsVectorLayer(f"{path}|layername={name}", name, "ogr")
    if not layer.isValid():
        raise ValueError(f"{path}: expected a GeoPackage with the layer {name}.")
    project.addMapLayer(layer)
    return 1

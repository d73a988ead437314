"""Open a project in real QGIS, and say as JSON what QGIS sees. Runs with the Python that QGIS comes with.

usage: read_in_qgis.py PROJECT PICTURES [EDIT as JSON: {"sample", "column", "value"}]
"""

import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import (
    QgsApplication,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFieldConstraints,
    QgsLayoutExporter,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
)
from qgis.gui import QgsAttributeForm, QgsGui
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtWidgets import QLabel

QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], True)
app.initQgis()
QgsGui.editorWidgetRegistry().initEditors()
complaints = []
QgsApplication.messageLog().messageReceived.connect(lambda text, tag, level: complaints.append([tag, text]) if level else None)


def categories(renderer):
    if renderer.type() == "categorizedSymbol":
        found = renderer.categories()
        return [[str(c.value()), c.label(), c.symbol().symbolLayer(0).color().name()] for c in found]
    if renderer.type() == "RuleRenderer":
        return [
            [rule.filterExpression(), rule.label(), rule.symbol().color().name()] for rule in renderer.rootRule().children()
        ]
    if renderer.type() == "paletted":
        return [[f"{c.value:.0f}", c.label, c.color.name()] for c in renderer.classes()]
    if renderer.type() == "singlebandpseudocolor":
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        return [[f"{item.value:.10g}", item.label, item.color.name()] for item in items]
    return []


def form(layer):
    """What a person meets who opens the form of the first feature."""
    config, fields = layer.editFormConfig(), {}
    for index, field in enumerate(layer.fields()):
        setup = layer.editorWidgetSetup(index)
        constraints = field.constraints()
        fields[field.name()] = {
            "alias": layer.attributeDisplayName(index), "widget": setup.type(), "config": setup.config(),
            "read_only": config.readOnly(index),
            "not_null": constraints.constraintStrength(QgsFieldConstraints.ConstraintNotNull)
            if constraints.constraints() & QgsFieldConstraints.ConstraintNotNull else 0,
        }  # fmt: skip
    feature = next(layer.getFeatures())
    shown = QgsAttributeForm(layer, feature)
    shown.resize(520, 700)
    shown.show()
    for _ in range(20):
        app.processEvents()
    shown.grab().save(sys.argv[2] + "_form.png")
    pictures = [label.pixmap() for label in shown.findChildren(QLabel) if label.pixmap() is not None]
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(feature)
    return {
        "fields": fields,
        "groups": [tab.name() for tab in config.tabs()],
        "pictures": [[p.width(), p.height()] for p in pictures if not p.isNull()],
        "tip": QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context),
    }


def edit(layer, wanted):
    feature = next(f for f in layer.getFeatures() if f[wanted.get("key", "sample_id")] == wanted["sample"])
    layer.startEditing()
    layer.changeAttributeValue(feature.id(), layer.fields().indexOf(wanted["column"]), wanted["value"])
    return layer.commitChanges()


def printed(layout, stem):
    exporter = QgsLayoutExporter(layout)
    image = QgsLayoutExporter.ImageExportSettings()
    image.dpi = 80
    done = [
        exporter.exportToImage(stem + "_layout.png", image),
        exporter.exportToPdf(stem + ".pdf", QgsLayoutExporter.PdfExportSettings()),
    ]
    texts = {item.id(): item.currentText() for item in layout.items() if isinstance(item, QgsLayoutItemLabel)}
    legends = [item for item in layout.items() if isinstance(item, QgsLayoutItemLegend)]
    boxes = {item.id(): [item.pos().x() + item.rect().width(), item.pos().y() + item.rect().height()] for item in legends}
    listed = []
    for legend in legends:
        model = legend.model()
        for node in model.rootGroup().findLayers():
            listed += [[node.layer().name(), row.evaluateLabel()] for row in model.layerLegendNodes(node)]
    return {"name": layout.name(), "done": done, "texts": texts, "legend": listed, "corners": boxes}


project = QgsProject.instance()
said = {"read": project.read(sys.argv[1]), "error": project.error(), "title": project.title()}
said |= {"abstract": project.metadata().abstract(), "crs": project.crs().authid(), "wkt": project.crs().toWkt()}
view = project.viewSettings().defaultViewExtent()
said["view"] = [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()]
said["tree"] = [child.name() for child in project.layerTreeRoot().children()]
said["layers"] = []
vectors = []
for node in project.layerTreeRoot().findLayers():
    layer = node.layer()
    said["layers"].append(
        {"name": layer.name(), "valid": layer.isValid(), "visible": node.isVisible(), "source": layer.source(),
         "crs": layer.crs().authid(), "renderer": layer.renderer().type(), "categories": categories(layer.renderer()),
         "labels": bool(getattr(layer, "labelsEnabled", bool)()), "abstract": layer.metadata().abstract()}
    )  # fmt: skip
    if layer.type() == layer.VectorLayer:
        vectors.append(layer)
settings = QgsMapSettings()
settings.setLayers([node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible()])
settings.setExtent(view)
settings.setDestinationCrs(project.crs())
settings.setOutputSize(QSize(400, 400))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
picture = job.renderedImage()
picture.save(sys.argv[2] + "_map.png")
said["layouts"] = [printed(layout, sys.argv[2]) for layout in project.layoutManager().printLayouts()]
if len(sys.argv) > 3:
    said["form"] = form(vectors[0])
    said["saved"] = edit(vectors[0], json.loads(sys.argv[3]))
themes = project.mapThemeCollection()
said["themes"] = {
    name: {record.layer().name(): record.currentStyle for record in themes.mapThemeState(name).layerRecords()}
    for name in themes.mapThemes()
}
said["styles"] = {}
for layer in vectors:
    styles, first = layer.styleManager(), layer.styleManager().currentStyle()
    for name in styles.styles():
        styles.setCurrentStyle(name)
        said["styles"][name] = categories(layer.renderer())
    styles.setCurrentStyle(first)
    if layer.name().startswith("Changes"):
        config, feature = layer.attributeTableConfig(), next(layer.getFeatures(), None)
        said["table"] = {
            "shown": [c.name for c in config.columns() if not c.hidden],
            "by": config.sortExpression(),
            "descending": int(config.sortOrder()),
        }
        context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
        if feature is not None:
            context.setFeature(feature)
            said["tip"] = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
said["complaints"] = complaints
sys.stdout.write(json.dumps(said, default=str))
sys.stdout.flush()
os._exit(0)  # QGIS crashes when Python tears its objects down in the wrong order

"""Fields that ArcGIS Pro knows, of the objects that layer files of ours hold.

From the property tables of the Cartographic Information Model, version 2: https://github.com/Esri/cim-spec/tree/main/docs/v2,
pages CIMDocument, CIMVectorLayers, CIMImageLayers, CIMRenderers, CIMSymbols, CIMColor and CIMEnumerations; with inherited ones.
In files, `URI` is written `uRI`.
"""

_LAYER = (
    "name uRI sourceURI sourceModifiedTime metadataURI useSourceMetadata attribution description layerElevation expanded "
    "layer3DProperties layerMasks layerType maxScale minScale showLegends transparency visibility displayCacheType "
    "maxDisplayCacheAge layerTemplate popupInfo showPopups serviceLayerID charts searchable refreshRate refreshRateUnit "
    "showMapTips customProperties"
)
_COLORIZER = "resamplingType contrast brightness noDataColor"
_SYMBOL_LAYER = "effects enable name colorLocked primitiveName overprint"
_SYMBOL = "effects symbolLayers thumbnailURI useRealWorldSymbolSizes"
FIELDS = {
    kind: frozenset(fields.split())
    for kind, fields in {
        "CIMLayerDocument": "version build layers tables layerDefinitions binaryReferences elevationSurfaces tableDefinitions "
        "rGBColorProfile cMYKColorProfile",
        "CIMFeatureLayer": f"{_LAYER} autoGenerateFeatureTemplates extrusion featureElevationExpression featureTable "
        "featureTemplates htmlPopupEnabled htmlPopupFormat isFlattened selectable selectionColor selectionSymbol "
        "useSelectionSymbol pageDefinition featureCacheType actions exclusionSet featureMasks labelClasses labelVisibility "
        "maskedSymbolLayers renderer scaleSymbols snappable symbolLayerDrawing useRealWorldSymbolSizes",
        "CIMFeatureTable": "definitionExpression definitionExpressionName displayField editable relates fieldDescriptions "
        "timeFields selectRelatedData displayExpressionInfo dataConnection studyArea studyAreaSpatialRel searchOrder",
        "CIMFieldDescription": "alias fieldName highlight numberFormat readOnly visible valueAsRatio searchable searchMode",
        "CIMStandardDataConnection": "workspaceConnectionString workspaceFactory customWorkspaceFactoryCLSID dataset "
        "datasetType",
        "CIMUniqueValueRenderer": "visualVariables colorRamp defaultDescription defaultLabel defaultSymbol defaultSymbolPatch "
        "fields groups useDefaultSymbol styleGallery valueExpressionInfo polygonSymbolColorTarget",
        "CIMUniqueValueGroup": "classes heading",
        "CIMUniqueValueClass": "description editable label patch symbol values visible alternateSymbols",
        "CIMUniqueValue": "fieldValues",
        "CIMSimpleRenderer": "visualVariables description label patch symbol alternateSymbols",
        "CIMSymbolReference": "primitiveOverrides stylePath symbol symbolName minScale maxScale scaleDependentSizeVariation",
        "CIMPolygonSymbol": f"{_SYMBOL} angleAlignment",
        "CIMLineSymbol": _SYMBOL,
        "CIMSolidFill": f"{_SYMBOL_LAYER} color",
        "CIMHatchFill": f"{_SYMBOL_LAYER} lineSymbol offsetX rotation separation offsetY",
        "CIMSolidStroke": f"{_SYMBOL_LAYER} capStyle joinStyle lineStyle3D miterLimit width closeCaps3D anchor3D color",
        "CIMRGBColor": "colorSpace values",
        "CIMRasterLayer": f"{_LAYER} dataConnection colorizer attributeTable autoComputeStatsHistogram",
        "CIMRasterUniqueValueColorizer": f"{_COLORIZER} defaultColor useDefaultColor fieldName groups colorRamp defaultLabel "
        "defaultDescription numberFormat",
        "CIMRasterUniqueValueGroup": "classes heading",
        "CIMRasterUniqueValueClass": "values label description color editable visible",
        "CIMRasterStretchColorizer": f"{_COLORIZER} bandIndex colorRamp customStretchMax customStretchMin gammaValue invert "
        "statsType stretchClasses stretchStats stretchType useCustomStretchMinMax useGammaStretch numberFormat heading",
        "CIMRasterStretchClass": "label value",
        "CIMMultipartColorRamp": "colorSpace colorRamps weights",
        "CIMLinearContinuousColorRamp": "colorSpace fromColor toColor primitiveName",
    }.items()
}
VALUES = {
    "workspaceFactory": {"Sql", "Raster"},
    "datasetType": {"esriDTFeatureClass", "esriDTRasterDataset"},
    "patch": {"Default", "AreaPolygon", "AreaRectangle"},
    "polygonSymbolColorTarget": {"Fill", "Outline", "FillOutline"},
    "resamplingType": {"NearestNeighbor", "BilinearInterpolation"},
    "stretchType": {"MinimumMaximum", "None"},
    "statsType": {"AreaOfView", "Dataset", "GlobalStats"},
    "capStyle": {"Butt", "Round", "Square"},
    "joinStyle": {"Bevel", "Round", "Miter"},
    "layerType": {"Operational"},
}
"""Values of enumerations."""

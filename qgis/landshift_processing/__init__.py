"""Landshift in QGIS: a Processing provider that runs the program `landshift`."""


def classFactory(iface: object) -> object:
    """Return the plugin; QGIS calls this."""
    from .plugin import LandshiftPlugin

    return LandshiftPlugin()

"""The plugin: its provider, in QGIS and in `qgis_process`."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import LandshiftProvider


class LandshiftPlugin:
    """Adds the provider, and takes it away."""

    def __init__(self) -> None:
        """Make the plugin without its provider, which QGIS asks for."""
        self.provider: LandshiftProvider | None = None

    def initProcessing(self) -> None:
        self.provider = LandshiftProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        self.initProcessing()

    def unload(self) -> None:
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None

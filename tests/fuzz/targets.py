"""Every target of the fuzzer. A new one is a row in a module of its kind, and that module is listed here."""

from tests.fuzz import catalogs, layers, models, rasters, registers, texts
from tests.fuzz.harness import Target

TARGETS: tuple[Target, ...] = (
    *rasters.TARGETS,
    *texts.TARGETS,
    *models.TARGETS,
    *layers.TARGETS,
    *catalogs.TARGETS,
    *registers.TARGETS,
)

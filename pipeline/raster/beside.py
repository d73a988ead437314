"""Files beside a raster that belong to it."""

from pathlib import Path

from landshift.pipeline.errors import InputError


def mask_file(path: object) -> Path | None:
    """Return the mask file beside a raster here, `NAME.tif.msk`; None without one.

    GDAL is kept from looking for it, since it would follow other files too. On servers none is looked for.

    Raises:
        InputError: It points to another folder, which may not be one that is allowed.
    """
    if not isinstance(path, Path):
        return None
    beside = path.with_name(f"{path.name}.msk")
    if not beside.is_file():
        return None
    if beside.resolve().parent != beside.with_name(beside.stem).resolve().parent:
        raise InputError(f"{beside} points to {beside.resolve()}. Expected the mask itself beside its raster; copy it there.")
    return beside

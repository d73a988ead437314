"""A model that was trained elsewhere as the start of another."""

import re
from pathlib import Path

from landshift.models.encoders.bands import Encoder
from landshift.models.use.bundle import WEIGHTS, describe
from landshift.pipeline.errors import InputError


def encoder_of_model(folder: Path) -> Encoder:
    """Return the row of the encoder table that a trained model is, with its bands, its units and what it was trained for.

    Where its pairs were standardised it has no statistics of its own: another territory is standardised as well. Otherwise the
    mean and the deviation that it was trained with go with it, in its units.

    Raises:
        InputError: The folder holds no model, or one that decides pixel by pixel on an encoder that it did not train.
    """
    bundle = describe(folder)
    spec, normal, old = bundle.spec, bundle.normalisation, bundle.encoder
    if spec.estimator != "network":
        raise InputError(
            f"{folder} holds {spec.estimator} on the encoder {old.name}, which was left as it is: name that one as `model: "
            f"encoder:`."
        )
    factor = re.fullmatch(r"reflectance(?: x (\d+))?", bundle.units)
    standardised = bundle.treatment.standardised
    return Encoder(
        name=f"file:{bundle.name}", architecture=spec.architecture, source="file", weights=str(folder / WEIGHTS),
        bands=spec.bands, units="any" if standardised else bundle.units,
        mean=() if standardised else tuple(m / normal.scale for m in normal.mean),
        std=() if standardised else tuple(s / normal.scale for s in normal.std),
        scale=float(factor.group(1) or 1) if factor else 1.0, task=f"land-use change in {bundle.name}",
        sensor=f"{', '.join(spec.bands)} in {bundle.units}", licence=old.licence, citation=old.citation,
    )  # fmt: skip

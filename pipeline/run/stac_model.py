"""STAC: a trained model as an item, with the machine-learning-model extension (https://github.com/stac-extensions/mlm)."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pystac
import shapely

from landshift.pipeline.manifest import write_json
from landshift.pipeline.records import Json
from landshift.pipeline.run.stac import FILE, bounding_box, days_between, file_fields, media_type, slug

MODEL_ITEM = "item.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
"""The bands of an item as the MLM extension can refer to them: STAC 1.1's own `bands` are for assets only."""
MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"

_TASK = "semantic-segmentation"
_FLOAT = "float32"
_HYPERPARAMETERS = ("fusion", "heads", "decoder_channels", "landuse_channels")
_WEIGHTS = ".safetensors"
_VERSION = re.compile(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?")
"""Versions that the extension takes; PyTorch's own builds from source are called otherwise."""


def write_model_item(folder: Path, model: Json) -> Path:
    """Write `item.json` of a model's folder; hrefs are relative to it.

    Args:
        folder: With `weights.safetensors`, `model.json` and `card.md`.
        model: Content of `model.json`; its facts hold `territory`: `before_date` and `after_date` of the images that it was
            trained on (year-month-day), and their `footprint` (GeoJSON, WGS 84).

    Returns:
        The file.
    """
    territory = model["facts"]["territory"]
    outline = shapely.geometry.shape(territory["footprint"])
    start, end = days_between(*(date.fromisoformat(territory[f"{epoch}_date"]) for epoch in ("before", "after")))
    title = f"Change detection model of {model['name']}"
    item = pystac.Item(
        id=f"{model['name']}-model-{str(model['weights']).removeprefix('sha256:')[:16]}",
        geometry=shapely.geometry.mapping(outline), bbox=bounding_box(outline), datetime=None, start_datetime=start,
        end_datetime=end, stac_extensions=[EO, FILE, MLM], properties={"title": title, **_properties(model)},
    )  # fmt: skip
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != MODEL_ITEM and not p.name.startswith(".")):
        roles, fields = ["metadata"], file_fields(path)
        if path.suffix == _WEIGHTS:
            roles, fields = ["mlm:model", "mlm:weights", "data"], {**fields, "mlm:artifact_type": "safetensors.torch.save_file"}
        asset = pystac.Asset(f"./{path.name}", title=path.name, media_type=media_type(path), roles=roles, extra_fields=fields)
        item.add_asset(path.stem, asset)
    item.links = []
    return write_json(folder / MODEL_ITEM, item.to_dict(include_self_link=False, transform_hrefs=False))


def _properties(model: Json) -> Json:
    spec, encoder, facts = model["spec"], model["encoder"], model["facts"]
    bands = [str(band) for band in spec["image_bands"]]
    version = str(facts.get("versions", {}).get("torch", ""))
    random = encoder.get("source") == "random"
    return {
        "description": "A siamese network over one encoder for both dates. It takes the images before and after, in the bands "
        "and units given, and gives logits of change, and of the land use of each date where there are classes. Divided by the "
        "temperatures, a sigmoid and a softmax turn them into probabilities, calibrated on the images of the training alone.",
        "eo:bands": [{"name": band} for band in bands],
        # It must begin and end with a letter or a digit; a project may be called `a-`.
        "mlm:name": f"landshift {model['name']} model",
        "mlm:architecture": f"{spec['architecture']} {spec['decoder']}",
        "mlm:tasks": [_TASK],
        "mlm:framework": "PyTorch",
        **({"mlm:framework_version": version} if _VERSION.fullmatch(version) else {}),
        "mlm:pretrained": not random,
        "mlm:pretrained_source": None if random else f"{encoder['name']}: {encoder.get('task') or 'not known'}",
        # Null means that none is needed.
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:hyperparameters": {key: spec[key] for key in _HYPERPARAMETERS if key in spec},
        "mlm:input": [_input(epoch, bands, model) for epoch in ("before", "after")],
        "mlm:output": _outputs(model),
        "landshift:threshold": model["threshold"],
        "landshift:temperatures": model["temperatures"],
    }  # fmt: skip


def _input(epoch: str, bands: list[str], model: Json) -> Json:
    scaling, spec = model["normalisation"], model["spec"]
    # The network does this itself: (pixel * scale - mean) / std, for the bands that its encoder takes; the others are not used.
    mean, std = (np.asarray(scaling[name], dtype=float) / float(scaling["scale"]) for name in ("mean", "std"))
    standardised = {
        band: {"type": "z-score", "mean": m, "stddev": s}
        for band, m, s in zip(spec["bands"], mean.tolist(), std.tolist(), strict=True)
    }
    return {
        "name": epoch,
        "description": f"Image {epoch} in {model['units']}; NaN where not observed; sides are multiples of 32.",
        "bands": bands,
        "input": {
            "shape": [-1, len(bands), -1, -1], "dim_order": ["batch", "bands", "height", "width"], "data_type": _FLOAT,
        },
        "value_scaling": [standardised.get(band, {"type": "scale", "value": 0}) for band in bands],
    }  # fmt: skip


def _outputs(model: Json) -> list[Json]:
    changed = [(1, "Unchanged"), (2, "Changed")]
    classes = [(int(entry["code"]), str(entry["name"])) for entry in model["legend"]]
    heads = str(model["spec"]["heads"])
    found = [_output("change", "Logit of change.", None, changed)] if heads != "landuse" else []
    if heads != "change":
        found += [
            _output(f"landuse_{epoch}", f"Logit of each class {epoch}, in the order of the classes.", len(classes), classes)
            for epoch in ("before", "after")
        ]
    return found


def _output(name: str, description: str, channels: int | None, classes: list[tuple[int, str]]) -> Json:
    sizes = {"batch": -1, "class": channels, "height": -1, "width": -1}
    shape = {dimension: size for dimension, size in sizes.items() if size is not None}
    return {
        "name": name, "description": description, "tasks": [_TASK], "bands": [],
        "result": {"shape": list(shape.values()), "dim_order": list(shape), "data_type": _FLOAT},
        "classification:classes": [
            {"value": code, "name": slug(text, code), "title": text, "description": text} for code, text in classes
        ],
    }  # fmt: skip

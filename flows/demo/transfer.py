"""The demo of transfer: a territory where a source helps, and one made so that a chosen source hurts."""

import shutil
from pathlib import Path
from typing import Any

from landshift.flows.config.project import find_config, load_project
from landshift.flows.demo.run import make_once
from landshift.flows.runtime.reply import Reply
from landshift.pipeline.demo.territories import EAST, SOUTH
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.records import content_of, read_record
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.evidence import HELPS, HURTS

_SOURCE = "imagenet-efficientnet-lite0"


def run_transfer_demo(folder: Path, seed: int) -> Reply:
    """Assess two sources in the territories of a demo that was run before.

    Args:
        folder: Of the demo.
        seed: Which landscape.

    Returns:
        The verdicts for machines, and as lines for people.
    """
    from landshift.flows.assess import assess

    output = folder / "runs"
    east, south = (make_once(folder, seed, part) for part in (EAST, SOUTH))
    _copy_once(output / "demo" / "model" / "weights.safetensors", east / "northern_model.safetensors")
    _write_source(south / "source_in_digital_numbers.safetensors")
    content: dict[str, Any] = {}
    lines = []
    for name, territory, expected in (("demo_helps", east, HELPS), ("demo_hurts", south, HURTS)):
        config = folder / f"{name}.yaml"
        shutil.copyfile(find_config(config.name), config)
        assessed = assess(load_project(config), territory, output)
        found = read_record(assessed.report, Assessment)
        if found.guard is None:
            raise ValueError("the assessment was not compared with controls")
        content[name] = {
            "verdict": found.guard.verdict, "expected": expected, "page": str(assessed.page), "cost": content_of(found.cost),
        }  # fmt: skip
        lines += [f"{territory.name.capitalize()}: {found.guard.verdict}. {found.guard.sentence}", f"  {assessed.page}"]
        lines += [f"  {band.fault}" for band in found.bands if band.fault][:1]
    return content, lines


def _copy_once(source: Path, target: Path) -> None:
    if not target.is_file() or target.stat().st_size != source.stat().st_size or target.read_bytes() != source.read_bytes():
        with replace_when_done(target) as temporary:
            shutil.copyfile(source, temporary)


def _write_source(path: Path) -> None:
    """Write ImageNet weights as a checkpoint of a user's own."""
    from landshift.models.encoders.table import encoder_named
    from landshift.models.encoders.weight_files import write_tensors
    from landshift.models.encoders.weights import load_encoder

    if not path.is_file():
        encoder = encoder_named(_SOURCE)
        with replace_when_done(path) as temporary:
            write_tensors(temporary, load_encoder(encoder, encoder.bands).model)

"""Hours that a country takes on N workers, from what `benchmarks/detect_shards.py` measured.

    hours = Mpx x overlap x (model + around) / workers / efficiency / 3600

`Mpx` is the country's area at the pixel size; `overlap` 1.2 where neighbouring scenes share ground; `model` the seconds of one
worker for a megapixel: the measured seconds of a core, or 1 / `--rate` (the benchmark's result on your GPU), brought from the
measured size of tiles to the one wanted; `around` the seconds of a core for writing and vectorising (and, with `--rate`, for
reading) a megapixel; `efficiency` what is left of a worker when storage is shared and time is lost at the
end (0.8, an assumption).
Making the images from scenes is not in it: it hangs on the number of scenes and on the storage.

    python benchmarks/sizing.py docs/measurements/detect_shards.json [--km2 357000] [--rate 5.0] [--workers 1 4 16 64]
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

SCENE_PX = 10_980
"""Side of a Sentinel-2 tile at 10 m."""
WIDTH_OF_MAPS = 36
"""Bytes a pixel for maps, shards and images to look at, before compression, as `disk.bytes_required` counts them."""


def work_ratio(core: int, margin: int) -> float:
    """Return the pixels that the network sees for each pixel that it maps."""
    return ((core + 2 * margin) / core) ** 2


def table(measured: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Return the lines of the table."""
    ratio = work_ratio(options.core, measured["margin_px"]) / work_ratio(measured["core_px"], measured["margin_px"])
    # The seconds of a core hold the reading of tiles and the writing of the raw map; a GPU's model seconds do not.
    parts = ("writing", "vectorising") if options.rate is None else ("reading", "writing", "vectorising")
    around = sum(measured[f"{part}_core_seconds_per_mpx"] for part in parts)
    model = ratio * (measured["one"]["core_seconds_per_mpx"] if options.rate is None else 1 / options.rate)
    each = options.overlap * (model + around) / options.efficiency
    area, scene = options.km2 / options.pixel_m**2, SCENE_PX**2 / 1e6
    on_disk = scene / 1000 * (2 * (4 * measured["bands"] + 8) + WIDTH_OF_MAPS)
    lines = [
        f"{options.km2:,.0f} km2 at {options.pixel_m:g} m: {area:,.0f} Mpx, or {area / scene:,.1f} Sentinel-2 tiles.",
        f"A megapixel takes {model:.3g} s for the model (tiles of {options.core}) and {around:.3g} s around it.",
        "",
        "| workers | hours | in a night of 10 h |",
        "| ---: | ---: | --- |",
    ]
    for workers in options.workers:
        hours = area * each / workers / 3600
        lines.append(f"| {workers} | {hours:,.1f} | {'yes' if hours <= 10 else 'no'} |")
    return [
        *lines,
        "",
        f"For a night of 10 h: {math.ceil(area * each / 36_000):,} workers.",
        f"One Sentinel-2 tile: {scene * (model + around) / 3600:.2f} h on one worker alone; disk {on_disk:.1f} GB before "
        f"compression, of which both images took {scene / 1000 * measured['images_bytes_per_pixel']:.1f} GB as measured.",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measured", type=Path)
    parser.add_argument("--km2", type=float, default=357_000, help="357,000: Germany")
    parser.add_argument("--pixel-m", type=float, default=10)
    parser.add_argument("--core", type=int, default=1024)
    parser.add_argument("--rate", type=float, help="`one: model_mpx_per_second` of the benchmark on your GPU")
    parser.add_argument("--overlap", type=float, default=1.2)
    parser.add_argument("--efficiency", type=float, default=0.8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    options = parser.parse_args()
    print("\n".join(table(json.loads(options.measured.read_text(encoding="utf-8")), options)))


if __name__ == "__main__":
    main()

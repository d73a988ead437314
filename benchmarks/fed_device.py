"""How fast a device may be before what surrounds it is what limits: the network replaced by a delay.

    python benchmarks/fed_device.py [--out FILE] [--size 5490] [--rates 50 200 500] [--folder FOLDER]

`landshift detect` runs whole on all cores of this machine, but the network and its decision take no work: a wait, as long as a
device of so many megapixels a second would take (of what it is given, margins included), and codes come back as from a device.
Measured from the first tile to the last: megapixels a second that come out, and seconds of a core for each. From these follows
how many cores a device of a given speed needs. It is a simulation: copies to a device and its driver are not in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, keep_figures, say
from made import Recipe, make_pair

DEVICES = {
    "13.7 Mpx/s: the public record end to end, on one consumer GPU": 13.7,
    "150 Mpx/s: models alone on a V100": 150.0,
    "500 Mpx/s: an H200-class device": 500.0,
}


def run_delayed(words: list[str], rate: float, out: Path) -> None:
    """Run the command line in this process with a delay for a network, and write what each tile met."""
    import free_model

    free_model.install()
    from landshift.models.use import streaming
    from landshift.models.use.inference import Probabilities
    from landshift.pipeline.change.decision import Decision

    calls: list[tuple[float, float]] = []

    def wait(_network: Any, _reader: Any, tile: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        calls.append((time.perf_counter(), time.process_time()))
        time.sleep(tile.read.height * tile.read.width / rate / 1e6)
        shape = (tile.core.height, tile.core.width)
        codes = [np.full(shape, code, np.uint8) for code in (1, 1, 1, 20)]
        return Probabilities(None, None, None), Decision(codes[0], codes[1], codes[2], codes[3])

    given: Any = streaming
    given.predict_tile = wait
    stream = streaming.stream

    def start(*about: Any, **more: Any) -> Any:  # noqa: ANN401
        # What was looked at before the map is no part of it.
        calls.clear()
        yield from stream(*about, **more)

    given.stream = start
    from landshift.flows.cli.main import app

    app(words, standalone_mode=False)
    first, last = calls[0], calls[-1]
    out.write_text(json.dumps({"tiles": len(calls), "wall_s": last[0] - first[0], "cpu_s": last[1] - first[1]}))


def measure(home: Path, folder: Path, rate: float, size: int) -> dict[str, float]:
    """Run one rate in a process of its own."""
    out = folder / "fed.json"
    about = ["--data", str(home / "data"), "--model", str(home / "model"), "--output", str(folder / f"runs-{rate}"), "--json"]
    words = [sys.executable, __file__, "--run", str(rate), "--report", str(out), "detect", str(home / "config.yaml"), *about]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PREFECT_HOME": str(folder / "prefect")})
    said = json.loads(out.read_text(encoding="utf-8"))
    # The last tile's end is not seen: one less was finished between first and last.
    mpx = size**2 / 1e6 * (said["tiles"] - 1) / said["tiles"]
    return {
        "device_mpx_per_second": rate, "tiles": said["tiles"], "delivered_mpx_per_second": round(mpx / said["wall_s"], 2),
        "cpu_s_per_mpx": round(said["cpu_s"] / mpx, 4), "cores_busy": round(said["cpu_s"] / said["wall_s"], 2),
        "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def main() -> None:
    """Measure each rate."""
    if "--run" in sys.argv:
        at = sys.argv.index("--run")
        run_delayed(sys.argv[at + 4 :], float(sys.argv[at + 1]), Path(sys.argv[at + 3]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--size", type=int, default=5490)
    parser.add_argument("--bands", type=int, choices=(4, 10), default=10)
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 200.0, 500.0])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    result: dict[str, Any] = {"machine": describe_machine(), "size_px": options.size, "bands": options.bands, "rows": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        home = make_pair(options.folder or Path(name) / "pairs", Recipe(options.size, options.bands))
        for rate in options.rates:
            say(f"a device of {rate:g} Mpx/s")
            result["rows"].append(measure(home, Path(name), rate, options.size))
    least = min(row["cpu_s_per_mpx"] for row in result["rows"])
    result["cores_that_feed"] = {name: round(rate * least, 1) for name, rate in DEVICES.items()}
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()

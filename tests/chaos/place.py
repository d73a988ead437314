"""A small project that is real: the demo's north in small, and each verb with what it makes of it when left alone."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
import typer
import yaml

from landshift.flows.config.project import find_config, load_project
from tests.alike import contents
from tests.chaos.child import Ended, Fault, Source
from tests.s3_server import Bucket

SIZE = 128
SMALL: dict[str, Any] = {
    "split": {"block_px": 16, "buffer_px": 0, "min_pixels": 1, "seed": 0},
    "model": {
        "encoder": "imagenet-efficientnet-lite0", "decoder_channels": [32, 16, 16, 8, 8],
        "landuse_channels": [32, 16, 16, 8, 8],
    },
    "training": {"strategy": "full", "epochs": 2, "chips_per_epoch": 16, "chip": 64, "batch": 4, "learning_rate": 0.003},
    "detect": {"core": 64, "margin": 32, "min_area_ha": 0.05, "device": "cpu"},
}  # fmt: skip


@dataclass(frozen=True)
class Verb:
    """Something that a user runs."""

    name: str
    """For the table."""
    state: str
    """Name of the folder that it starts from."""
    arguments: tuple[str, ...] = ()
    """Of the command line, in the folder."""
    work: Callable[[], Any] | None = None
    """Run instead of a command line."""
    outputs: str = "runs"
    """Folder of what it makes."""

    def __call__(self) -> None:
        """Run it in the working directory."""
        from landshift.flows.cli.main import main
        from landshift.flows.cli.session import session

        if self.work is not None:
            try:
                with session(as_json=False, verbose=False):
                    self.work()
            except typer.Exit as end:
                raise SystemExit(end.exit_code) from end
            return

        sys.argv = ["landshift", *self.arguments]
        main()


def prepare_composite() -> None:
    """Make the images of two epochs, one of which is composed of two scenes."""
    from landshift.flows.prepare import prepare

    prepare(load_project(Path("composite.yaml")), Path("data"), Path("runs"))


def estimate_judged() -> None:
    """Judge the sample by the truth, and estimate areas from it."""
    from landshift.flows.demo.sample import estimate_demo

    estimate_demo(Path("runs/demo/run"), Path("data"))


_DETECT = ("demo.yaml", "--data", "data", "--output", "runs")
_SCENE = "S2_L2A_20240617.tif"
_RUNS = ("other/2023/demo/run", "other/2024/demo/run")
VERBS = (
    Verb("prepare", "new", work=prepare_composite),
    Verb("train", "new", ("train", *_DETECT)),
    Verb("detect", "trained", ("detect", *_DETECT)),
    Verb("detect by IR-MAD", "trained", ("detect", *_DETECT, "--method", "ir-mad")),
    Verb("monitor", "watched", ("monitor", *_DETECT)),
    Verb("merge", "merging", ("register", "merge", "kept/register.gpkg", *_RUNS), outputs="kept"),
    Verb(
        "withdraw",
        "merged",
        ("register", "withdraw", "kept/register.gpkg", "--scene", _SCENE, "--reason", "a test"),
        outputs="kept",
    ),
    Verb("sample", "mapped", ("sample", "runs/demo/run", "--size", "60", "--minimum", "3")),
    Verb("publish", "mapped", ("detect", "published.yaml", *_DETECT[1:])),
    Verb("estimate", "judged", ("estimate", "runs/demo/run", "runs/demo/sample/judged.gpkg")),
)
_JUDGE = Verb("judge", "mapped", work=estimate_judged)


@dataclass
class Place:
    """Folders: `states` that verbs start from, and `site`, in which they run."""

    folder: Path
    """Of everything."""
    source: Source
    """Of the processes."""
    bucket: Bucket
    """Object storage, which is empty when a verb begins."""
    expected: dict[str, dict[str, object]] = field(default_factory=dict)
    """What each verb makes when it is left alone."""
    alone: dict[str, Ended] = field(default_factory=dict)
    """How it ended then."""

    @property
    def site(self) -> Path:
        """The same path for every trial: some outputs name it."""
        return self.folder / "site"

    def begin(self, verb: Verb) -> None:
        """Lay out what a verb starts from."""
        for path in self.site.iterdir() if self.site.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.folder / "states" / verb.state, self.site, dirs_exist_ok=True)
        self.bucket.objects.clear()

    def look(self, verb: Verb) -> dict[str, object]:
        """Return what a verb made, here and in the storage."""
        stored = {f"bucket/{name}": hashlib.sha256(content).hexdigest() for name, content in self.bucket.objects.items()}
        return {**contents(self.site / verb.outputs), **stored}

    def run(self, verb: Verb, fault: Fault = Fault("none")) -> Ended:  # noqa: B008
        """Run a verb at the site."""
        return self.source.run(verb.name, self.site, fault, self.folder / "log")

    def keep(self, state: str, *verbs: Verb) -> None:
        """Keep what verbs make as a state that others start from."""
        for verb in verbs:
            self.must(verb)
        shutil.copytree(self.site, self.folder / "states" / state)

    def must(self, verb: Verb) -> Ended:
        """Run a verb that has to end well.

        Raises:
            RuntimeError: It did not.
        """
        ended = self.run(verb)
        if ended.code:
            raise RuntimeError(f"{verb.name}: exit code {ended.code}\n{ended.said[-3000:]}")
        return ended

    def make(self, verbs: Sequence[Verb]) -> None:
        """Make the states, and what each verb makes of them when left alone; what varies by itself is an error.

        Raises:
            RuntimeError: A verb fails without any fault.
        """
        from landshift.pipeline.demo.files import make_territory
        from landshift.pipeline.demo.territories import NORTH

        by_name = {verb.name: verb for verb in VERBS}
        states = self.folder / "states"
        make_territory(states / "new" / "data", NORTH, seed=11, size=SIZE)
        scenes = states / "new" / "data" / "scenes"
        first, second = sorted(scenes.glob("*.tif"))
        content = yaml.safe_load(find_config("demo.yaml").read_text(encoding="utf-8"))
        for section, values in SMALL.items():
            content[section] = {**content[section], **values}
        _write(states / "new" / "demo.yaml", content)
        _write(states / "new" / "published.yaml", {**content, "publish": {"to": "s3://bucket/maps"}})
        of_several = {"scenes": {"folder": "more"}, "epochs": {**content["epochs"], "composite": "median"}}
        _write(states / "new" / "composite.yaml", {**content, "name": "composite", **of_several})
        more = states / "new" / "data" / "more"
        more.mkdir()
        shutil.copyfile(first, more / first.name)
        for day in ("20230618", "20230628"):
            _copy_scene(second, more, day)
        shutil.copytree(states / "new", self.site)
        self.keep("trained", by_name["train"])
        self.keep("mapped", by_name["detect"])
        self.must(_JUDGE)
        shutil.rmtree(self.site / "runs/demo/run")
        shutil.copytree(states / "mapped" / "runs/demo/run", self.site / "runs/demo/run")
        shutil.copytree(self.site, states / "judged")
        self.begin(by_name["detect"])
        self.must(by_name["monitor"])
        _copy_scene(second, self.site / "data" / "scenes", "20240617")
        shutil.copytree(self.site, states / "watched")
        self.must(by_name["monitor"])
        for year in ("2023", "2024"):
            (run_,) = self.site.glob(f"runs/demo/pairs/*{year}-0*/demo/run")
            shutil.copytree(run_, self.site / "other" / year / "demo" / "run")
        shutil.rmtree(self.site / "runs")
        (self.site / "kept").mkdir()
        shutil.copytree(self.site, states / "merging")
        self.keep("merged", by_name["merge"])
        for verb in verbs:
            self.begin(verb)
            self.alone[verb.name] = self.must(verb)
            self.expected[verb.name] = self.look(verb)


def _copy_scene(source: Path, folder: Path, day: str) -> None:
    target = folder / f"S2_L2A_{day}.tif"
    if target.exists():
        return
    shutil.copyfile(source, target)
    with rasterio.open(target, "r+") as dataset:
        # A tag with another day than the name would be a contradiction.
        dataset.update_tags(TIFFTAG_DATETIME=f"{day[:4]}:{day[4:6]}:{day[6:]} 10:20:00")


def _write(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def start_source() -> Source:
    """Start the process that verbs are forks of; before anything else is done."""
    return Source(load_everything, {verb.name: verb for verb in (*VERBS, _JUDGE)})


def load_everything() -> None:
    """Load what verbs load, so that a fork has it."""
    from importlib import import_module

    import torch

    torch.set_num_threads(1)
    for name in (
        "landshift.flows.cli.main", "landshift.flows.train", "landshift.flows.detect", "landshift.flows.monitor",
        "landshift.flows.prepare", "landshift.flows.demo.sample", "landshift.flows.steps.register.changes",
        "landshift.models.use.inference", "landshift.models.use.ready", "landshift.models.use.steadiness",
        "landshift.models.use.streaming", "landshift.models.network.training", "landshift.models.network.cache",
        "landshift.models.network.samples", "landshift.models.transfer.blocks", "landshift.models.transfer.shift", "pyogrio",
        "matplotlib.figure",
    ):  # fmt: skip
        import_module(name)
    os.environ.pop("PREFECT_API_URL", None)

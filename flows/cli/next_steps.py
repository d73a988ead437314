"""What to do after each verb: one table, and the lines that `answer` puts under what a verb found."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.pipeline.register.address import location_of

Content = Mapping[str, object]
"""Arguments or an answer of any verb, by name."""

_PLACE = re.compile(r"\{([\w-]+)\}")
_CARRIED = {"data": "--data", "output": "--output", "allow_outside": "--allow-outside"}
"""Options that one verb of a project hands on to the next."""
_UNKNOWN = {"config": "CONFIG", "run": "runs/NAME/run", "register": "REGISTER", "folder": "FOLDER", "output": "FOLDER"}
"""What stands for a value that a call does not have."""


@dataclass(frozen=True)
class NextStep:
    """A sentence, and commands to copy."""

    sentence: str
    """What to do, and what for."""
    commands: tuple[str, ...] = ()
    """Of Landshift or another program. `{name}` stands for an argument of the verb or for a value of its answer, `{carried}`
    for the options that the next verb of a project needs too, `{--output}` for one of them."""
    when: str = ""
    """Value of the answer that must be there and not be empty or false; without it the row always fits."""


STEPS: Mapping[str, tuple[NextStep, ...]] = {
    "demo": (
        NextStep("open the page or the QGIS project, then try images of your own", ("landshift first-map FOLDER",)),
    ),
    "first-map": (
        NextStep("look at the page, then get hectares with intervals", ("landshift sample {run}",)),
    ),
    "init": (
        NextStep("decide in {config} what is marked DECIDE, then", ("{next}",), when="to_decide"),
        NextStep("see whether all fits, and what it will take", ("{next}",)),
    ),
    "check": (
        NextStep("train on the chips", ("landshift train {config}{carried}",), when="chips"),
        NextStep(
            "train a model, or get a first map without one",
            ("landshift train {config}{carried}", "landshift detect {config}{carried} --method ir-mad"), when="labels",
        ),
        NextStep(
            "get a first map without a model, or find out where to label",
            ("landshift detect {config}{carried} --method ir-mad", "landshift suggest {config}{carried}"),
        ),
    ),
    "scenes": (
        NextStep("mend what the last lines name, then", ("landshift scenes {config}{carried}",), when="problems"),
        NextStep("see whether labels and disk fit too", ("landshift check {config}{carried}",)),
    ),
    "assess": (NextStep("train with this encoder, or with another", ("landshift train {config}{carried}",)),),
    "train": (
        NextStep(
            "start from this model in the config of a territory (`model: encoder: file`, and {model} as `model: file:`), then",
            ("landshift check CONFIG",), when="chips",
        ),
        NextStep("make the map", ("landshift detect {config}{carried}",), when="promoted"),
        NextStep(
            "label more, or put it in use all the same, with your reason",
            ("landshift suggest {config}{carried}",
             "landshift release promote {config}{carried} --despite-verdict --reason 'WHY'"),
        ),
    ),
    "detect": (
        NextStep(
            "keep all regions in one register", ("landshift register merge changes-register.gpkg RUN...",), when="regions"
        ),
        NextStep("look at the page, then get hectares with intervals", ("landshift sample {run}",)),
    ),
    "suggest": (
        NextStep("name the labels in the config, then", ("landshift check CONFIG",), when="taken"),
        NextStep(
            "label the patches in QGIS ({output}/suggestions.qgz), save, and take the answers in",
            ("landshift suggest --import {output} --labels labels.gpkg",),
        ),
    ),
    "monitor": (
        NextStep("look at what changed ({diff}), or give it out to be judged",
                 ("landshift register review export {register} --output to-review",), when="diff"),
        NextStep("run the same command when there are new images, or by a schedule", ("landshift serve {config}",)),
    ),
    "encoders": (
        NextStep("name one in the config (`model: encoder:`), and find out whether it helps", ("landshift assess CONFIG",)),
    ),
    "serve": (NextStep("begin again whenever you like: what was done stays done", ("landshift serve CONFIG...",)),),
    "deploy": (NextStep("start a worker on the machine that computes", ("prefect worker start --pool {pool}",)),),
    "sample": (
        NextStep("draw it, with the same options but without --plan", ("landshift sample {run}",), when="planned"),
        NextStep("draw what was planned: the same command without --plan", when="planned"),
        NextStep(
            "judge every pixel in QGIS ({folder}/samples.qgz), save, then, with the files of all draws",
            ("landshift estimate {run} {add_to}/samples.gpkg {folder}/samples.gpkg",), when="earlier",
        ),
        NextStep(
            "judge every pixel in QGIS ({folder}/samples.qgz), save, then", ("landshift estimate {run} {folder}/samples.gpkg",)
        ),
    ),
    "estimate": (NextStep("publish the hectares with their intervals; the page shows them now"),),
    "plots": (
        NextStep("open the layer in QGIS; where hectares have to be defended, get intervals", ("landshift sample RUN",)),
    ),
    "register merge": (NextStep("see what there is", ("landshift register list {register}",)),),
    "register list": (
        NextStep("look at one of them", ("landshift register show {register} CHANGE_ID",), when="changes"),
        NextStep("merge a run", ("landshift register merge {register} runs/NAME/run",)),
    ),
    "register show": (
        NextStep(
            "confirm or reject it",
            ("landshift register confirm {register} {change_id} --reason 'WHY'",
             "landshift register reject {register} {change_id} --reason 'WHY'"),
        ),
    ),
    "register diff": (NextStep("open {output} in QGIS"),),
    "register reject": (
        NextStep("teach it to the next model", ("landshift register review labels {register} --output labels.gpkg",)),
    ),
    "register confirm": (
        NextStep("teach it to the next model", ("landshift register review labels {register} --output labels.gpkg",)),
    ),
    "register withdraw": (NextStep("see what is left", ("landshift register list {register}",)),),
    "register alerts": (
        NextStep("send them", ("landshift register alerts {register} {config}{--data}",), when="dry_run"),
        NextStep(
            "run it again after each merge; an alert is sent once", ("landshift register alerts {register} {config}{--data}",)
        ),
    ),
    "register review export": (
        NextStep(
            "judge them in QGIS ({output}/review.qgz), save, then", ("landshift register review import {register} {output}",)
        ),
    ),
    "register review import": (
        NextStep("see how often the map was right", ("landshift register review precision {register}",)),
    ),
    "register review precision": (
        NextStep("teach the verdicts to the next model", ("landshift register review labels {register} --output labels.gpkg",)),
    ),
    "register review labels": (
        NextStep("name {output} in the config (`labels: polygons: path:`), then", ("landshift train CONFIG",)),
    ),
    "release list": (
        NextStep("go back to an earlier one, if you have to", ("landshift release rollback {config}{--output} --reason 'WHY'",),
                 when="in_use"),
        NextStep("train the first", ("landshift train {config}",)),
    ),
    "release promote": (
        NextStep("map with it", ("landshift detect {config}{carried}",), when="promoted"),
        NextStep("see what is in use", ("landshift release list {config}{--output}",)),
    ),
    "release rollback": (NextStep("map with it", ("landshift detect {config}{carried}",)),),
}  # fmt: skip
"""By verb; of several rows the first that fits."""


def describe_next(verb: str, given: Content, content: Content) -> list[str]:
    """Return the lines about what to do next.

    Args:
        verb: As a user types it, without `landshift`.
        given: Arguments of the call, by the names of the verb's parameters.
        content: Answer of the verb.
    """
    rows = STEPS.get(verb, ())
    chosen = next((row for row in rows if not row.when or content.get(row.when)), None)
    if chosen is None:
        return []
    values = {**given, **{k: v for k, v in content.items() if isinstance(v, str | Path)}}
    sentence = _PLACE.sub(lambda found: str(_value(found[1], values)), chosen.sentence)
    commands = [_PLACE.sub(lambda found: _quote(found[1], values), command) for command in chosen.commands]
    if not commands:
        return ["", f"Next: {sentence}"]
    return ["", f"Next: {sentence}:", *(f"  {command}" for command in commands)]


def _value(name: str, values: Content) -> object:
    found = values.get(name)
    if name == "config" and found is None and isinstance(configs := values.get("configs"), Sequence) and configs:
        found = configs[0]
    if name == "register" and found is not None:
        # As text an address has no password.
        found = location_of(str(found))
    return _UNKNOWN.get(name, name.upper()) if found is None else found


def _quote(name: str, values: Content) -> str:
    if name == "next":
        # A command already.
        return str(values.get(name, ""))
    if name != "carried" and name not in _CARRIED.values():
        return shlex.quote(str(_value(name, values)))
    given = [(option, values.get(key)) for key, option in _CARRIED.items() if name in ("carried", option)]
    return "".join(
        f" {option}" if value is True else f" {option} {shlex.quote(str(value))}" for option, value in given if value
    )

"""What a person at a terminal sees beside the answer: progress, tables, and the next step."""

import re
import shlex
import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.cli.next_steps import STEPS, describe_next
from landshift.flows.runtime.lines import Lines
from landshift.flows.runtime.progress import bars, show_now, step
from landshift.flows.runtime.reply import table_lines
from landshift.models.network.callbacks import History

PROGRAMS = {"prefect": {"worker", "start"}}


class Clock:
    """Seconds that pass when a test lets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def verbs(command: object, name: str = "") -> dict[str, set[str]]:
    """Return every verb that does something, as a user types it, with its options."""
    found = {}
    for verb, inner in getattr(command, "commands", {}).items():
        path = f"{name} {verb}".strip()
        if getattr(inner, "commands", None):
            found |= verbs(inner, path)
        else:
            found[path] = {option for p in inner.params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
    return found


VERBS = verbs(typer.main.get_command(app))


def test_every_verb_has_a_next_step_and_no_other() -> None:
    assert set(STEPS) == set(VERBS)
    assert not [verb for verb, rows in STEPS.items() if rows[-1].when], "the last row always fits"


@pytest.mark.parametrize("command", sorted({c for rows in STEPS.values() for row in rows for c in row.commands}))
def test_the_next_step_can_be_typed(command: str) -> None:
    words = shlex.split(re.sub(r"\{\w+\}", " X ", re.sub(r"\{(--\w+)\}", r" \1 X ", command)))
    if words == ["X"]:
        return  # as the verb has worked it out
    if words[0] != "landshift":
        assert set(words[1:3]) == PROGRAMS[words[0]]
        return
    verb = next(v for n in (3, 2, 1) if (v := " ".join(words[1 : 1 + n])) in VERBS)
    options = {word for word in words if word.startswith("--")}
    options |= {"--data", "--output", "--allow-outside"} if "{carried}" in command else set()
    assert options <= VERBS[verb]


def test_a_next_step_has_the_values_of_the_call_and_of_the_answer() -> None:
    given = {"config": Path("my scenes/a.yaml"), "data": Path("data"), "output": None, "allow_outside": True, "as_json": False}
    assert describe_next("check", given, {"labels": None}) == [
        "",
        "Next: get a first map without a model, or find out where to label:",
        "  landshift detect 'my scenes/a.yaml' --data data --allow-outside --method ir-mad",
        "  landshift suggest 'my scenes/a.yaml' --data data --allow-outside",
    ]
    assert describe_next("detect", {"configs": [Path("a.yaml")]}, {"run": Path("runs/a/run")})[2:] == [
        "  landshift sample runs/a/run"
    ]
    assert describe_next("nothing", {}, {}) == []


def test_a_next_step_stands_under_the_answer_and_not_in_json() -> None:
    result = CliRunner().invoke(app, ["encoders"])
    assert result.stdout.rstrip().endswith("landshift assess CONFIG")
    assert "Next:" not in CliRunner().invoke(app, ["encoders", "--json"]).stdout


def test_version() -> None:
    assert re.fullmatch(r"landshift \d+\.\d+\.\d+\S*\n", CliRunner().invoke(app, ["--version"]).stdout)


def test_a_table_has_its_numbers_below_each_other() -> None:
    head, _, *rows = table_lines(("Method", "F1"), [("Network", "0.9"), ("[red]IR-MAD", "–0.25")])
    assert [head, *rows] == ["Method           F1", "Network         0.9", "[red]IR-MAD   –0.25"]


def test_a_line_a_minute_names_what_is_done_and_what_is_left() -> None:
    written: list[str] = []
    clock = Clock()
    lines = Lines(written.append, clock)
    with lines.step("Looking"):
        clock.now = 10
    with lines.step("Training") as advance:
        advance(0.25)
        clock.now = 70
        assert lines.describe() == "Training: 25 %, about 180 s left. Done: Looking.".replace("180 s", "3 min")
        advance(0.5)
        clock.now = 110
        advance(0.75)
        assert lines.describe() == "Training: 75 %, about 50 s left."
    with lines.step("Merging"):
        clock.now = 300
        assert lines.describe() == "Merging: 3 min so far. Done: Training."
    assert lines.describe() == "Working. Done: Merging."
    assert written == ["Looking ..."], "the first step is named at once, and others wait for their minute"


def test_work_that_is_resumed_is_not_taken_for_fast() -> None:
    clock = Clock()
    lines = Lines(lambda _: None, clock)
    with lines.step("Training") as advance:
        advance(0.5)
        clock.now = 20
        advance(0.6)
        assert lines.describe() == "Training: 60 %, about 80 s left."


def test_no_silence_while_a_step_reports_nothing() -> None:
    written: list[str] = []
    three = Event()

    def write(text: str) -> None:
        written.append(text)
        if len(written) > 3:
            three.set()

    lines = Lines(write, every_s=0.01)
    with lines.beating(), lines.step("Waiting"):
        assert three.wait(20)
    assert written[0] == "Waiting ..."
    assert written[1].startswith("Waiting: ")
    assert written[1].endswith(" so far.")
    count = len(written)
    time.sleep(0.05)
    assert len(written) == count, "and none after the end"


def test_a_sentence_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with bars():
        show_now("Checked [bold].")
        with step("Training") as advance:
            advance(0.5)
    with bars(quiet=True):
        show_now("Nothing of this.")
    shown = capsys.readouterr()
    assert shown.err == "Checked [bold].\nTraining ...\n"
    assert not shown.out


def test_training_reports_each_batch() -> None:
    reported: list[float] = []
    history = History(4, reported.append)
    trainer = SimpleNamespace(current_epoch=1, num_training_batches=2)
    for number in range(2):
        history.on_train_batch_end(trainer, None, None, None, batch_idx=number)  # type: ignore[arg-type]
    assert reported == [0.375, 0.5]

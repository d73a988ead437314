"""Interrupts: SIGTERM and Ctrl-C end a verb with one sentence, wherever they meet it, and are no failure of a step."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from landshift.flows.runtime.compute import each
from landshift.flows.runtime.tasks import as_task

SENTENCE = "Interrupted: run the same command again; what is finished is not done again."
VERB = """
import signal, sys, time
import typer
from landshift.flows.cli.session import session

signal.signal(signal.SIGINT, signal.default_int_handler)

def work(ready=[]):
    if not ready:
        ready.append(True)
        print("ready", flush=True)
    time.sleep(0.01)

class Late:
    def __del__(self):
        while True:
            work()

try:
    with session(False, False):
        {where}
except typer.Exit as ended:
    sys.exit(ended.exit_code)
print("went on")
"""
PLACES = {
    "work": "while True: work()",
    # Python prints what is raised there, with a traceback, and goes on.
    "the end of an object": "Late()\n        while True: work()",
    "tidying up": "try:\n            while True: work()\n        finally: time.sleep(0.5)",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("where", PLACES)
def test_a_verb_that_is_stopped_ends_with_one_sentence(where: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", VERB.format(where=PLACES[where])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as verb:
        assert verb.stdout is not None
        assert verb.stdout.readline() == "ready\n"
        verb.send_signal(number)
        if where == "tidying up" and number == signal.SIGTERM:
            verb.send_signal(number)
        out, err = verb.communicate(timeout=60)
    assert (verb.returncode, out, err.strip()) == (130, "", SENTENCE), "neither a traceback nor what comes after"


def wrapped() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("the loop was closed") from error


def named() -> None:
    raise RuntimeError("flow run crashed: KeyboardInterrupt()")


@pytest.mark.parametrize("stop", [wrapped, named])
def test_an_interrupt_that_a_library_wrapped_is_no_failure_of_a_step(stop: Callable[[], None]) -> None:
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        stop()

    with pytest.raises(RuntimeError):
        as_task(step, "step")()
    assert calls == [1], "not tried again"
    with pytest.raises(RuntimeError):
        list(each(stop, [(), ()], "Working"))

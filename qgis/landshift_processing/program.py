"""The program `landshift`: where it is, and one call of it with progress and cancellation. Knows nothing of QGIS.

The program has a Python of its own. What QGIS sets in the environment for its libraries is kept from it.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

EXECUTABLE = "LANDSHIFT_EXECUTABLE"
"""Name of the setting, and of the environment variable that stands in for it where it is empty."""
WHERE = "The program landshift (empty: as found on the PATH)"
PROGRESS = re.compile(r"^(?P<step>.*\S): (?P<percent>\d{1,3}) %$")
"""A line of `landshift` on standard error while it works."""
OF_QGIS = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH",
)  # fmt: skip
"""Environment variables by which QGIS finds its own libraries; the wheels of the program bring theirs."""
GRACE_S = 30.0
"""Time to stop tidily before the program is killed."""
POLL_S = 0.1
FAULT = re.compile(r"^(Bad input|Failed|Interrupted): ")
"""How the program begins the message that its answer holds too."""
KEPT_LINES = 20
"""Last lines that are shown where a call fails without a message."""


class Feedback(Protocol):
    """What is needed of `QgsProcessingFeedback`."""

    def isCanceled(self) -> bool: ...

    def setProgress(self, progress: float) -> None: ...

    def setProgressText(self, text: str) -> None: ...

    def pushInfo(self, info: str) -> None: ...

    def pushWarning(self, warning: str) -> None: ...


class ProgramError(Exception):
    """The program is not there, or what it was asked for failed; its text is for the user."""


class CancelledError(Exception):
    """The user stopped the call; what was finished is kept."""


@dataclass
class Call:
    """One running call of the program, followed until it ends."""

    process: subprocess.Popen[str]
    feedback: Feedback
    lines: queue.Queue[str | None] = field(default_factory=queue.Queue)
    """Of standard error; None at its end."""
    answer: list[str] = field(default_factory=list)
    """Standard output."""
    last: list[str] = field(default_factory=list)
    """The last lines of standard error."""
    step: str = ""
    """The step whose percentages are shown."""

    def follow(self) -> None:
        """Pass on lines and percentages until the process has ended, or the user cancels."""
        errors, output = self.process.stderr, self.process.stdout
        threads = [
            threading.Thread(target=self._read_errors, args=(errors,), daemon=True),
            threading.Thread(target=self._read_answer, args=(output,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        at_end = False
        while not at_end:
            if self.feedback.isCanceled():
                self.feedback.pushInfo("Stopping: what is finished is kept ...")
                stop(self.process)
                raise CancelledError
            try:
                line = self.lines.get(timeout=POLL_S)
            except queue.Empty:
                # A process that it left behind may hold the pipe.
                at_end = self.process.poll() is not None
                continue
            at_end = line is None
            if line:
                self._pass_on(line)
        self.process.wait()
        for thread in threads:
            thread.join(timeout=1.0)

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.put(line.rstrip())
        self.lines.put(None)

    def _read_answer(self, stream: IO[str]) -> None:
        with stream:
            self.answer.extend(stream)

    def _pass_on(self, line: str) -> None:
        found = PROGRESS.match(line)
        if found is None:
            self.last[:] = [*self.last, line][-KEPT_LINES:]
            if not FAULT.match(line):
                (self.feedback.pushWarning if line.startswith("Warning") else self.feedback.pushInfo)(line)
            return
        if found["step"] != self.step:
            self.step = found["step"]
            self.feedback.setProgressText(self.step)
        self.feedback.setProgress(min(float(found["percent"]), 100.0))


def find_program(setting: str) -> Path:
    """Return the program's file.

    Args:
        setting: A file, or the folder of an environment with it; empty for the environment variable, and then the PATH.

    Raises:
        ProgramError: It is not there, or cannot be executed; the text states what was found, and what to do.
    """
    given = setting.strip() or os.environ.get(EXECUTABLE, "").strip()
    if not given:
        on_path = shutil.which("landshift")
        if on_path:
            return Path(on_path)
        raise ProgramError(
            f"The program landshift was not found: the setting is empty, and no folder of the PATH has it. {_TODO}"
        )
    path = Path(given).expanduser()
    if path.is_dir():
        inside = [path / part / name for part in ("bin", "Scripts", "") for name in ("landshift", "landshift.exe")]
        path = next((p for p in inside if p.is_file()), path)
    if not path.is_file() or not os.access(path, os.X_OK):
        is_file = "a file that cannot be executed" if path.is_file() else "no such file"
        found = "a folder without bin/landshift" if path.is_dir() else is_file
        raise ProgramError(f"The program landshift was not found: {given} is {found}. {_TODO}")
    return path


_TODO = (
    "Expected: the program's file, such as /home/me/landshift/bin/landshift. To do: install it in an environment of its own "
    "(python3 -m venv ~/landshift; ~/landshift/bin/pip install landshift), and set its path in Settings > Options > "
    "Processing > Providers > Landshift."
)


def child_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of the program: that of QGIS without its libraries, with progress in whole percents."""
    kept = {name: value for name, value in environment.items() if name not in OF_QGIS}
    return {**kept, "LANDSHIFT_PROGRESS": "lines", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def call_program(program: Path, arguments: list[str], feedback: Feedback, folder: Path | None = None) -> dict[str, Any]:
    """Call the program with `--json`, and return its answer.

    Args:
        program: Its file.
        arguments: Verb, arguments and options; no shell sees them.
        feedback: Takes lines and percentages, and may cancel.
        folder: Working directory; that of QGIS where None.

    Raises:
        ProgramError: It cannot be started, or failed, with its own message.
        CancelledError: The user cancelled; the process and what it started have ended.
    """
    command = [str(program), *arguments, "--json"]
    feedback.pushInfo(" ".join(command))
    feedback.setProgress(0.0)
    own_group: dict[str, Any] = (
        {"start_new_session": True} if os.name == "posix" else {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    )
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=child_environment(dict(os.environ)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", **own_group,
        )  # fmt: skip
    except OSError as error:
        raise ProgramError(f"{program} cannot be started: {error}. {_TODO}") from error
    call = Call(process, feedback)
    try:
        call.follow()
    finally:
        if process.poll() is None:
            stop(process)
    answer = read_answer("".join(call.answer))
    if process.returncode != 0 or "error" in answer:
        message = answer.get("message") or "\n".join(call.last) or "it wrote no message"
        raise ProgramError(f"landshift {arguments[0]} ended with exit code {process.returncode}: {message}")
    return answer


def read_answer(text: str) -> dict[str, Any]:
    """Return the JSON object that standard output holds; empty where it holds none."""
    try:
        content = json.loads(text[text.find("{") :]) if "{" in text else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def stop(process: subprocess.Popen[str], grace_s: float = GRACE_S) -> None:
    """End a process and its children: ask as an operator does, so that it tidies up, and kill what stays.

    Args:
        process: The leader of its group.
        grace_s: How long it may tidy up.
    """
    _signal_group(process, "SIGTERM")
    until = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < until:
        time.sleep(POLL_S)
    _signal_group(process, "SIGKILL")
    process.wait()


def _signal_group(process: subprocess.Popen[str], name: str) -> None:
    if os.name != "posix":
        (process.kill if name == "SIGKILL" else process.terminate)()
        return
    try:
        os.killpg(process.pid, getattr(signal, name))
    except (ProcessLookupError, PermissionError):
        # The group has ended.
        return

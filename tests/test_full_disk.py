"""A disk that fills up while the monitor works: it is said, nothing is half-written, and the next run ends as any other."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from landshift.flows import monitor as monitoring
from landshift.pipeline.register.store import Register
from tests.conftest import disk_of
from tests.demo_territory import DemoTerritory
from tests.test_monitor import Watched, outcomes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def begun(demo: DemoTerritory, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A territory with one pair done and a second scene, and what becomes of it on a large disk."""
    calm = Watched(demo, tmp_path_factory.mktemp("calm"))
    calm.run()
    calm.comes_in("20240617")
    calm.run()
    return SimpleNamespace(trained=demo, changes=calm.changes())


def starved(limit: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*given: Any, **more: Any) -> Any:
        with disk_of(limit):
            return function(*given, **more)

    return run


@pytest.mark.parametrize("step", ["maps", "register", "diff", "record"])
def test_a_full_disk(begun: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    watched = Watched(begun.trained, tmp_path)
    watched.run()
    watched.comes_in("20240617")
    register = watched.home / "register.gpkg"
    whole = register.read_bytes()
    with monkeypatch.context() as patch:
        if step == "maps":
            patch.setattr(monitoring, "detect_planned", starved(20_000, monitoring.detect_planned))
        elif step == "register":
            patch.setattr(Register, "merge", starved(len(whole) // 4, Register.merge))
        elif step == "diff":
            patch.setattr(monitoring, "write_diff", starved(1000, monitoring.write_diff))
        else:
            patch.setattr(monitoring, "write_state", starved(100, monitoring.write_state))
        if step in ("maps", "register"):
            said = watched.run()
            assert outcomes(said) == {"2023-06-18": "known", "2024-06-17": "failed"}
            assert "full" in said.failed[0].message
            assert register.read_bytes() == whole, "nothing was merged"
        else:
            with pytest.raises(OSError, match=r"disk full|File too large"):
                watched.run()
    assert not list(watched.output.rglob(".partial*"))
    again = watched.run()
    assert not again.failed
    assert again.diff is not None
    assert again.diff.is_file()
    pd.testing.assert_frame_equal(watched.changes(), begun.changes)

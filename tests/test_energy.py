"""The meter gives a cost, keeps quiet, stays off the network, and never stops what it measures."""

import json
import logging
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path

import codecarbon
import pytest
from codecarbon.core import resource_tracker

from landshift.flows.config.sections import EnergyConfig
from landshift.models.use.energy import ESTIMATED, MEASURED, measure_cost, total
from landshift.pipeline.scores.training import Cost


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the meter went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def work(seconds: float = 0.15) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


def cost(step: str = "train", **fields: object) -> Cost:
    given = {"seconds": 10.0, "kwh": 0.5, "co2e_kg": 0.2, "gpu_hours": 0.0, "how": ESTIMATED, "country": "CHL"} | fields
    return Cost(step, **given)


def test_a_step_has_a_cost_when_it_is_over() -> None:
    with measure_cost("train", "CHL") as meter:
        assert meter.cost is None
        work()
    made = meter.cost
    assert made.step == "train"
    assert made.country == "CHL"
    assert 0.15 <= made.seconds < 5
    assert made.kwh > 0
    assert made.how in (MEASURED, ESTIMATED)
    assert made.gpu_hours == 0
    assert json.loads(json.dumps(asdict(made))) == asdict(made)


def test_the_grid_of_the_country_decides() -> None:
    """Norway's electricity is nearly all from water, Poland's mostly from coal."""
    intensity = {}
    for country in ("NOR", "POL"):
        with measure_cost("train", country) as meter:
            work()
        intensity[country] = meter.cost.co2e_kg / meter.cost.kwh
    assert 0 < intensity["NOR"] < 0.1 < 0.4 < intensity["POL"] < 1.2


def test_without_a_country_there_is_energy_and_no_guess() -> None:
    with measure_cost("train", None) as meter:
        work()
    assert meter.cost.kwh > 0
    assert meter.cost.co2e_kg is None
    assert meter.cost.country is None


def test_a_country_without_a_known_grid() -> None:
    with measure_cost("train", "ATA") as meter:
        work()
    assert meter.cost.kwh > 0
    assert meter.cost.co2e_kg is None
    assert "no grid of ATA" in meter.cost.how


@pytest.mark.parametrize("country", ["XYZ", "CHI"])
def test_the_config_refuses_a_country_that_is_not_there(country: str) -> None:
    assert EnergyConfig(country="CHL").country == "CHL"
    with pytest.raises(ValueError, match="no country has this code"):
        EnergyConfig(country=country)


def test_nothing_is_printed_logged_written_or_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECARBON_EMISSIONS_ENDPOINT", "http://example.org")
    monkeypatch.setenv("CODECARBON_CO2_SIGNAL_API_TOKEN", "token")
    monkeypatch.setenv("CODECARBON_SAVE_TO_API", "true")
    monkeypatch.setattr(logging.getLogger("codecarbon"), "propagate", True)
    before = set(threading.enumerate())
    with measure_cost("train", "CHL") as meter:
        work(1.1)  # the timer of a second runs once
    assert meter.cost.co2e_kg > 0
    assert set(threading.enumerate()) <= before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []
    assert not logging.getLogger("codecarbon").filters


def test_steps_inside_steps() -> None:
    with measure_cost("all", "CHL") as outer:
        with measure_cost("part", "CHL") as inner:
            work()
        work()
    assert 0 < inner.cost.seconds < outer.cost.seconds
    assert 0 < inner.cost.kwh < outer.cost.kwh


def test_an_exception_passes_and_the_cost_is_there() -> None:
    before = set(threading.enumerate())
    meters = []

    def train() -> None:
        with measure_cost("train", "CHL") as meter:
            meters.append(meter)
            work()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train()
    assert meters[0].cost.kwh > 0
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("when", ["start", "measure", "stop"])
def test_a_meter_that_fails_stops_nothing(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError("no access to the processor")

    name = {"start": "_ensure_hardware_ready", "measure": "_measure_power_and_energy", "stop": "_prepare_emissions_data"}[when]
    monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, name, fail)
    before = set(threading.enumerate())
    done = []
    with measure_cost("train", "CHL", gpus=2) as meter:
        done.append(1)
    assert done == [1]
    assert meter.cost.kwh is None
    assert meter.cost.co2e_kg is None
    assert meter.cost.how == "not measured: PermissionError: no access to the processor"
    assert meter.cost.gpu_hours == pytest.approx(2 * meter.cost.seconds / 3600)
    assert set(threading.enumerate()) <= before


def test_a_gpu_that_gives_no_energy_is_not_left_out_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_tracker.gpu, "is_nvidia_system", lambda: False)
    monkeypatch.setattr(resource_tracker.gpu, "is_rocm_system", lambda: False)
    monkeypatch.setattr("codecarbon.core.hardware_cache._plans", {})
    with measure_cost("train", "CHL", gpus=1) as meter:
        work()
    assert meter.cost.kwh is None
    assert "NVML" in meter.cost.how


def test_a_number_of_gpus_makes_sense() -> None:
    with pytest.raises(ValueError, match="-1"), measure_cost("train", None, gpus=-1):
        pass


def test_a_total_adds_up_and_keeps_what_is_unknown() -> None:
    both = total([cost(gpu_hours=1.5), cost(seconds=2.0, kwh=0.25, co2e_kg=0.1, country="DEU", how=MEASURED)])
    assert both == Cost("total", 12.0, 0.75, pytest.approx(0.3), 1.5, f"{ESTIMATED}; {MEASURED}", "CHL, DEU")
    partly = total([cost(), cost(co2e_kg=None, country=None)], step="all")
    assert (partly.step, partly.kwh, partly.co2e_kg, partly.how, partly.country) == ("all", 1.0, None, ESTIMATED, "CHL")
    assert total([cost(), cost(kwh=None, co2e_kg=None, how="not measured: x")]).kwh is None
    assert total([]) == Cost("total", 0, 0, 0, 0, "nothing to measure", None)

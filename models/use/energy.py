"""Meter of a step: time, electricity, and the greenhouse gas of the grid that it came from."""

import inspect
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landshift.pipeline.scores.training import Cost

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

MEASURED = "measured by RAPL/NVML"
"""The processor's package (all of it, for all processes) and the GPUs have counters; memory has a power for its size."""
ESTIMATED = "estimated from the processor's rated power by codecarbon"
"""Share of processor time times rated power; 4 W a thread for a processor that codecarbon does not know."""

# RAPL counters wrap around after about an hour at full power; memory and GPUs change slowly.
_SECONDS_BETWEEN_READINGS = 15


@dataclass
class Meter:
    """Cost of a step that is being measured."""

    cost: Cost | None = None
    """None until the step has ended."""


@dataclass(frozen=True)
class _Reading:
    kwh: float | None
    co2e_kg: float | None
    how: str


def total(costs: Iterable[Cost], step: str = "total") -> Cost:
    """Add costs up.

    Returns:
        An unknown part is not 0: the energy or greenhouse gas of the sum is then unknown. Different ways of
        measuring are joined by `; `, different countries by a comma.
    """
    parts = tuple(costs)
    return Cost(
        step,
        seconds=sum(c.seconds for c in parts),
        kwh=_sum_of_known(c.kwh for c in parts),
        co2e_kg=_sum_of_known(c.co2e_kg for c in parts),
        gpu_hours=sum(c.gpu_hours for c in parts),
        how="; ".join(dict.fromkeys(c.how for c in parts)) or "nothing to measure",
        country=", ".join(dict.fromkeys(c.country for c in parts if c.country)) or None,
    )


@contextmanager
def measure_cost(step: str, country: str | None, *, gpus: int | None = None) -> Iterator[Meter]:
    """Measure the body with codecarbon, without network, files, output, or threads that stay.

    The processor time of this process and its children is charged, not that of others on the machine: costs of trainings
    are compared, and a neighbour would decide. RAPL knows no processes, so there the package is charged whole. The first
    meter of a process takes a second or two, in which codecarbon looks up the processor; later ones take milliseconds. The
    settings of a `.codecarbon.config` for the machine (`force_cpu_power`, `pue`) hold.

    Args:
        step: Its name in the ledger.
        country: ISO 3166 code of three letters, as the config checks it; None leaves the greenhouse gas unknown.
        gpus: CUDA devices that the step uses, the first of those visible; None counts all that PyTorch sees.

    Yields:
        A meter whose `cost` is there once the body has ended, also by an exception. A meter that fails never stops the
        body: the cost then holds the reason why it has no energy.

    Raises:
        ValueError: `gpus` is below 0.
    """
    gpus = torch.cuda.device_count() if gpus is None else gpus
    if gpus < 0:
        raise ValueError(f"A step cannot use {gpus} GPUs.")
    meter = Meter()
    with _silent_codecarbon():
        tracker, trouble = _start(country, gpus)
        begin = time.perf_counter()
        try:
            yield meter
        finally:
            seconds = time.perf_counter() - begin
            reading = _stop(tracker, country, gpus) if tracker is not None else _not_measured(trouble)
            meter.cost = Cost(
                step, seconds, reading.kwh, reading.co2e_kg, gpu_hours=seconds / 3600 * gpus, how=reading.how, country=country
            )


def _start(country: str | None, gpus: int) -> "tuple[OfflineEmissionsTracker | None, str]":
    """Return a running tracker, or None and the reason."""
    tracker = None
    try:
        # Here and not above: whatever keeps codecarbon from loading must not keep a network from being trained.
        from codecarbon import OfflineEmissionsTracker

        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = (visible.split(",") if visible else [str(i) for i in range(gpus)])[:gpus]
        # Everything that would send, write or guess a place is named: unnamed settings come from files and the environment.
        tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            country_2letter_iso_code=None,
            region=None,
            cloud_provider=None,
            cloud_region=None,
            electricitymaps_api_token="",  # not None, for which codecarbon looks for a token elsewhere
            emissions_endpoint=None,
            output_methods=[],
            output_handlers=[],
            output_dir=".",
            tracking_mode="process",
            measure_power_secs=_SECONDS_BETWEEN_READINGS,
            gpu_ids=devices or None,
            allow_multiple_runs=True,
            log_level="critical",
        )
        # codecarbon turns its exceptions into log records; the ledger wants the reason.
        inspect.unwrap(OfflineEmissionsTracker.start)(tracker)
    except Exception as error:
        if tracker is not None:
            _end_threads(tracker)
        return None, f"{type(error).__name__}: {error}"
    return tracker, ""


def _stop(tracker: "OfflineEmissionsTracker", country: str | None, gpus: int) -> _Reading:
    try:
        from codecarbon.input import DataSource

        inspect.unwrap(type(tracker).stop)(tracker)
        data = tracker.final_emissions_data
        parts = tracker._conf["hardware"]
        grids = DataSource().get_global_energy_mix_data()
    except Exception as error:
        return _not_measured(f"{type(error).__name__}: {error}")
    finally:
        _end_threads(tracker)
    if gpus and not any(part.startswith("GPU") for part in parts):
        return _not_measured("the GPU's driver gives no energy (NVML)")
    how = MEASURED if any("rapl" in part.lower() for part in parts) else ESTIMATED
    if gpus and how == ESTIMATED:
        how += "; GPU measured by NVML"
    # The GPUs of the machine are read even where the step uses none, and others may be using them.
    kwh = data.energy_consumed - (0.0 if gpus else data.gpu_energy)
    if country is None:
        return _Reading(kwh, None, how)
    if country not in grids:
        return _Reading(kwh, None, f"{how}; codecarbon knows no grid of {country}")
    return _Reading(kwh, data.emissions * kwh / data.energy_consumed if data.energy_consumed else 0.0, how)


def _not_measured(reason: str) -> _Reading:
    return _Reading(None, None, f"not measured: {reason}")


def _end_threads(tracker: "OfflineEmissionsTracker") -> None:
    """Wait for the tracker's timers, and stop one that was starting its successor while codecarbon stopped it."""
    from codecarbon.external.scheduler import PeriodicScheduler

    for _ in range(3):
        for thread in threading.enumerate():
            scheduler = getattr(getattr(thread, "function", None), "__self__", None)
            if isinstance(scheduler, PeriodicScheduler) and getattr(scheduler.function, "__self__", None) is tracker:
                scheduler.stop()
                thread.join(timeout=5)


@contextmanager
def _silent_codecarbon() -> Iterator[None]:
    """Drop what codecarbon logs; it sets up a handler of its own and speaks before it reads the level."""

    def drop(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("codecarbon")
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def _sum_of_known(values: Iterable[float | None]) -> float | None:
    parts = tuple(values)
    known = [v for v in parts if v is not None]
    return sum(known, 0.0) if len(known) == len(parts) else None

"""Experiments: one declarative specification a file, run by one engine."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: Mapping[str, str] = {
    "bands": "bayesjko.experiments.bands",
    "calibration": "bayesjko.experiments.calibration",
    "countries": "bayesjko.experiments.countries",
    "interval": "bayesjko.experiments.interval",
    "selection": "bayesjko.experiments.selection",
}
"""Every experiment by its name: the module whose `EXPERIMENT` specifies it."""

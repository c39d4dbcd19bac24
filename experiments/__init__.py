"""Experiments: one declarative specification a file, run by one engine."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: Mapping[str, str] = {
    "bands": "bayesjko.experiments.bands",
    "calibration": "bayesjko.experiments.calibration",
    "changing": "bayesjko.experiments.changing",
    "countries": "bayesjko.experiments.countries",
    "design": "bayesjko.experiments.design",
    "embryoid": "bayesjko.experiments.embryoid",
    "emt": "bayesjko.experiments.emt",
    "followed": "bayesjko.experiments.followed",
    "general": "bayesjko.experiments.general",
    "identifiability": "bayesjko.experiments.identifiability",
    "interval": "bayesjko.experiments.interval",
    "lightspeed": "bayesjko.experiments.lightspeed",
    "scaling": "bayesjko.experiments.scaling",
    "selection": "bayesjko.experiments.selection",
}
"""Every experiment by its name: the module whose `EXPERIMENT` specifies it."""

"""How far apart may snapshots be of particles that are followed from one to the next?"""

from __future__ import annotations

from bayesjko.experiments.interval import INTERVALS, SCHEMES, along, apart
from bayesjko.experiments.recovery import recover
from bayesjko.experiments.specification import Experiment, Study

__all__ = ["EXPERIMENT"]

METHODS = {**SCHEMES, "residual": {"likelihood": "residual"}}
"""Three schemes as they are, and what a fit does unless told."""

EXPERIMENT = Experiment(
    question="How far apart may snapshots of the same particles be before a scheme is wrong about "
    "the drift, about β, or about how sure it is?",
    studies=(Study(apart(1000, INTERVALS, paired=True), METHODS, 4, recover),),
    smoke=(
        Study(
            apart(100, (0.05,), ("tilted_double_well",), paired=True),
            {name: METHODS[name] for name in ("residual_explicit", "residual")},
            2,
            recover,
        ),
    ),
    report=along,
)

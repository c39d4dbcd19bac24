"""Priors of β, the strength of the internal energy.

What is left of a half-normal where the data say little of β depends on the power of β before it.
Flat in β itself, cut at zero, it puts β at about one standard deviation whatever the truth; flat in
the noise's amplitude √β it says less (Gelman, Bayesian Analysis 1, 2006, of scale parameters), but
still that β is of the order of the largest that is thought possible; flat in β^¼ it leaves half of
its mass to what is a sixteenth of that or less. Flat in log β would be improper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["POWERS", "BetaPrior"]

BetaPrior = Literal["normal", "half-normal", "amplitude", "vague"]
"""May be negative; half-normal; that times a power of β."""

POWERS: Mapping[BetaPrior, float] = {"half-normal": 0.0, "amplitude": -0.5, "vague": -0.75}
"""Of those under which β is never negative."""

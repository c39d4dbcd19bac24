"""What every inference method may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Covariance", "InferenceOptions"]

Covariance = Literal["sandwich", "model", "bootstrap"]


@dataclass(frozen=True)
class InferenceOptions:
    """Options shared by all methods; each takes what it needs.

    Attributes:
        draws: how many draws of the posterior to keep, over all chains.
        seed: of every random number.
        covariance: what a closed form's intervals stand on.
        prior_scale: standard deviation of every coefficient in standard units; the most probable
            one under the evidence, for each term, if None.
    """

    draws: int = 1000
    seed: int = 0
    covariance: Covariance = "sandwich"
    prior_scale: float | None = None

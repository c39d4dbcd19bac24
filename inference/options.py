"""What every inference method, and every search for what it starts from, may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesjko.models import beta

__all__ = [
    "BetaPrior",
    "Covariance",
    "Guide",
    "InferenceOptions",
    "Method",
    "MomentOptions",
    "PriorName",
]

Covariance = Literal["sandwich", "model", "bootstrap"]
Method = Literal["conjugate", "nuts", "blackjax-nuts", "mclmc", "vi"]
PriorName = Literal["normal", "hierarchical", "ard", "horseshoe"]
BetaPrior = Literal["auto", beta.BetaPrior]
Guide = Literal["full-rank", "low-rank", "mean-field"]


@dataclass(frozen=True)
class InferenceOptions:
    """Options shared by all methods; each takes what it needs.

    Attributes:
        method: how the posterior is found.
        draws: how many draws of the posterior to keep, over all chains.
        seed: of every random number.
        covariance: what a closed form's intervals stand on.
        prior_scale: standard deviation of every coefficient in standard units; the most probable
            one under the evidence, for each term, if None.
        prior: of the coefficients; all but the conjugate method take others than `normal`, whose
            scales are relative to the normal one's.
        beta_prior: of β; `auto` is the likelihood's own, and half-normal instead of normal where
            the coefficients' is not normal.
        chains: of methods that sample.
        warmup: steps of each chain that tune it and are no draws.
        guide: family of variational approximations.
    """

    method: Method = "conjugate"
    draws: int = 1000
    seed: int = 0
    covariance: Covariance = "sandwich"
    prior_scale: float | None = None
    prior: PriorName = "normal"
    beta_prior: BetaPrior = "auto"
    chains: int = 4
    warmup: int = 500
    guide: Guide = "full-rank"


@dataclass(frozen=True)
class MomentOptions:
    """How moment equations are made.

    Attributes:
        form: `weak`, trapezoidal in time, `flow`, simulated, or `symmetric`: simulated, with the
            trapezoid's slope.
        bumps: tests beside the potential's own features; as many as coefficients, and at least
            `fewest_bumps`, if None. Fewer where a snapshot has too few particles for them.
        shrinkage: share of the identity in the weight's covariance. What the noise of an estimated
            weight does to the estimate is of the order (tests per particle)², which is the share
            if None, but at least a small one.
        steps: of a path from snapshot to snapshot; as many as doubling them asks for if None.
        copies: noise copies of each path, an even number; as many as they must be to add little
            noise if None.
        rounds: of the solve at most.
        most_shift: standard deviations of forces, rms, from where the trapezoid puts them, that a
            weak search goes before it is given up.
        near: whether `flow` looks if it may be `symmetric`.
    """

    form: Literal["weak", "flow", "symmetric"] = "weak"
    bumps: int | None = None
    shrinkage: float | None = None
    steps: int | None = None
    copies: int | None = None
    rounds: int = 8
    most_shift: float = np.inf
    fewest_bumps: int = 50
    near: bool = True

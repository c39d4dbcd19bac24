"""What every inference method may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayesjko.models import beta

__all__ = ["BetaPrior", "Covariance", "Guide", "InferenceOptions", "Method", "PriorName"]

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

"""The posterior bootstrap: the estimate made again at random weights of the particles.

Dirichlet weights are what is known of a population of which these particles were drawn (Rubin, Ann.
Statist. 9, 1981; Lyddon, Holmes and Walker, Biometrika 106, 2019). At each, couplings, densities
and closed form are done again under the prior of the estimate itself: the spread holds all that
other particles would have changed, the couplings with them, and assumes nothing of what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from bayesjko.inference.conditioning import Conditioned, condition
from bayesjko.inference.conjugate import conditioned_problem, infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.parallel import one_thread, workers
from bayesjko.inference.posterior import CHAINS, Posterior
from bayesjko.inference.problem import LinearProblem, Reweighted
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError

__all__ = ["bootstrap"]

_BLOCK = 8  # estimates that are kept at a time


def bootstrap(
    problem: LinearProblem,
    options: InferenceOptions,
    *,
    bootstraps: int = 200,
    jobs: int = 1,
    done: Sequence[Mapping[str, np.ndarray]] = (),
    keep: Callable[[Mapping[str, np.ndarray]], None] | None = None,
    progress: bool = False,
) -> Posterior:
    """The closed form's posterior mean, and draws around it that stand on the bootstrap.

    The estimates are moved to have their mean at that of all particles: weights make a cloud worth
    half as many, so what couplings of few particles get wrong is in every estimate once more. The
    prior's share in the covariance, which no weights move, is added as the sandwich adds it.

    Each draw depends on the seed and its own number only, not on how many processes or how many
    runs made them.

    Args:
        problem: what the snapshots say.
        options: seed and prior.
        bootstraps: how many draws, rounded up to fill the chains.
        jobs: how many processes; with one, this process does it all.
        done: blocks that an earlier run kept, in order.
        keep: called with each new block.
        progress: show a progress bar.

    Raises:
        InputError: the likelihood makes no couplings, or the processes cannot work.
    """
    if problem.reweighted is None:
        raise InputError(
            "The bootstrap makes couplings again, and this likelihood has none; use the residual "
            "likelihood, or covariance=sandwich, which holds for all."
        )
    count = CHAINS * -(-bootstraps // CHAINS)
    options = replace(options, covariance="sandwich", draws=count)
    found = conditioned_problem(problem, options)
    again = _Again(problem.reweighted, found.ridge, options.seed)
    kept = [np.asarray(block["estimates"]) for block in done]
    first = sum(map(len, kept))
    with tqdm(
        desc="bootstrap", total=count, initial=first, unit="draw", disable=not progress
    ) as bar:
        fresh: list[np.ndarray] = []
        for index, estimate in zip(
            range(first, count), _estimates(again, range(first, count), jobs), strict=True
        ):
            fresh.append(estimate)
            bar.update()
            if len(fresh) == _BLOCK or index == count - 1:
                kept.append(np.stack(fresh))
                fresh = []
                if keep is not None:
                    keep({"estimates": kept[-1]})
    estimates = np.concatenate(kept)
    draws = estimates - estimates.mean(axis=0) + found.mean + _prior_share(found, options, count)
    spread = draws - draws.mean(axis=0)
    return replace(
        infer(problem, options),
        coefficients=draws.reshape(CHAINS, -1, *found.mean.shape),
        covariance=np.einsum("npi,npj->pij", spread, spread) / (count - 1),
        uncertainty="bootstrap",
    )


@dataclass(frozen=True, eq=False)
class _Again:
    """The estimate at the weights that a draw's number stands for."""

    reweighted: Reweighted
    ridge: Float[np.ndarray, " K"]
    seed: int

    def __call__(self, index: int) -> Float[np.ndarray, "period K"]:
        weights = _weights(self.reweighted.snapshots, np.random.default_rng([self.seed, index]))
        # θ̂ needs the ridge only, whatever the noise
        return condition(self.reweighted(weights), self.ridge, 1.0).mean


def _weights(snapshots: Snapshots, rng: np.random.Generator) -> list[np.ndarray]:
    """Dirichlet(1, …, 1) times the particles' own; one for a particle that is followed."""
    factors = [rng.standard_exponential(count) for count in snapshots.counts]
    if snapshots.paired:
        factors = [factors[0]] * len(factors)
    weights = [own * factor for own, factor in zip(snapshots.weights, factors, strict=True)]
    return [weight / weight.sum() for weight in weights]


def _prior_share(
    found: Conditioned, options: InferenceOptions, count: int
) -> Float[np.ndarray, "draws period K"]:
    """Draws of N(0, s²Q⁻¹RQ⁻¹): how far the ridge R holds a truth back that it is the prior of."""
    inverse = found.joint_inverse()
    root = np.sqrt(found.noise * np.tile(found.ridge, len(found.mean)))
    shares = [
        inverse @ (root * np.random.default_rng([options.seed, index, 1]).normal(size=len(root)))
        for index in range(count)
    ]
    return np.stack(shares).reshape(count, *found.mean.shape)


def _estimates(
    again: _Again, indices: Sequence[int], jobs: int
) -> Iterator[Float[np.ndarray, "period K"]]:
    jobs = min(jobs, len(indices))
    if jobs <= 1:
        yield from map(again, indices)
        return
    pool = workers(jobs, _prepare, (again,))
    try:
        with one_thread():
            yield from pool.map(_estimate, indices)
    except BrokenProcessPool as error:
        raise InputError(
            "The bootstrap's processes could not start or were killed: in a script, put the fit "
            "under `if __name__ == '__main__':`; where memory is short, give fewer jobs."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_work: _Again


def _prepare(again: _Again) -> None:
    global _work
    _work = again


def _estimate(index: int) -> Float[np.ndarray, "period K"]:
    return _work(index)

"""The residual likelihood: JKOnet*'s first-order optimality condition with Gaussian errors.

For a coupled pair (x, y) over τ, e = y − x − τ F(z) ~ N(0, s² τ I) (Terpin, Lanzetti, Gadea and
Dörfler, NeurIPS 2024, §3, whose least-squares loss is the mode). F is linear in θ, so everything
the likelihood knows of the data is in four sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bayesjko.models.blocks import block_rows
from bayesjko.models.data import Couplings
from bayesjko.models.energies.linear import Field, LinearEnergy, field_of
from bayesjko.models.precision import wide

__all__ = ["SCHEMES", "Scheme", "Statistics", "evaluation_points", "statistics"]

Scheme = Literal["explicit", "midpoint", "implicit"]

SCHEMES: dict[str, float] = {"explicit": 0.0, "midpoint": 0.5, "implicit": 1.0}
"""Where between source (0) and target (1) each scheme takes the force."""

Part = TypeVar("Part")

_DESIGN_BYTES = 2**23  # of one chunk's design matrix: what bounds memory


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sufficient statistics: SSE(θ) = Σ n_k w_i ‖e_i‖²/τ_k = θᵀAθ − 2bᵀθ + c.

    They add over intervals, files and machines.

    Attributes:
        gram: A = Σ n w τ DᵀD.
        moment: b = Σ n w Dᵀ(y − x).
        square: c = Σ n w ‖y − x‖²/τ.
        count: m = d Σ n, how many scalar observations.
    """

    gram: Float[np.ndarray, "K K"]
    moment: Float[np.ndarray, " K"]
    square: float
    count: float

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.gram + other.gram,
            self.moment + other.moment,
            self.square + other.square,
            self.count + other.count,
        )

    def __mul__(self, factor: float) -> Statistics:
        """The same data counted `factor` times: a tempered likelihood."""
        return Statistics(
            factor * self.gram, factor * self.moment, factor * self.square, factor * self.count
        )

    def sum_of_squares(self, coefficients: Float[np.ndarray, " K"]) -> float:
        """SSE(θ)."""
        return float(
            coefficients @ self.gram @ coefficients - 2.0 * self.moment @ coefficients + self.square
        )


def evaluation_points(couplings: Couplings, scheme: Scheme) -> Float[np.ndarray, "m d"]:
    """z: the source (explicit), the middle (midpoint) or the target (implicit) of each pair."""
    share = SCHEMES[scheme]
    return np.asarray((1.0 - share) * couplings.source + share * couplings.target)


def statistics(
    energy: LinearEnergy, couplings: Couplings, scheme: Scheme = "explicit"
) -> Statistics:
    """The four sums of one interval, formed in chunks of bounded memory, summed in float64.

    An interaction is averaged over the cloud of evaluation points with the couplings' weights,
    each point itself included. An energy that changes is that in the middle of the interval.
    """
    energy = energy.at(couplings.middle)
    points = evaluation_points(couplings, scheme)
    m, d = points.shape
    n, tau = float(couplings.effective_count), float(couplings.duration)
    few = block_rows()
    most = max(few, _DESIGN_BYTES // (8 * d * max(energy.size, 1)))
    most = 1 << (most.bit_length() - 1)
    chunk = most if m > most else few  # two sizes are ever compiled
    move = np.asarray(couplings.target - couplings.source)
    weight = np.asarray(couplings.weight)
    gram = np.zeros((energy.size, energy.size))
    moment = np.zeros(energy.size)
    with wide():
        field = field_of(energy, points, weight)

    def part(start: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(start, start + chunk)
        root = np.sqrt(weight[rows])[:, None]
        with wide():
            score = None if couplings.score is None else _pad(couplings.score[rows], chunk)
            weighted = _weighted_design(field, _pad(points[rows], chunk), score, _pad(root, chunk))
        # the Gram product by BLAS, which is several times as fast as XLA's on a CPU
        design = np.asarray(weighted, np.float64)[: len(root)].reshape(-1, energy.size)
        return design.T @ design, np.ravel(root * move[rows]) @ design

    for products in _in_order(part, range(0, m, chunk), at_once=chunk == most):
        gram += products[0]
        moment += products[1]
    square = float(weight @ np.sum(move**2, axis=1))
    return Statistics(n * tau * gram, n * moment, n * square / tau, n * d)


def _in_order(part: Callable[[int], Part], starts: range, *, at_once: bool) -> Iterator[Part]:
    """Every chunk's part, several large chunks worked on at a time.

    BLAS has one thread in each of ours, since its own wait for one another at every product: thirty
    times as long as the product takes, measured on a machine with other work.
    """
    if not at_once:
        yield from map(part, starts)
        return
    workers = min(len(starts), os.cpu_count() or 1)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield from pool.map(part, starts)


@eqx.filter_jit
def _weighted_design(
    field: Field,
    points: Float[Array, "m d"],
    score: Float[Array, "m d"] | None,
    root: Float[Array, "m 1"],
) -> Float[Array, "m d K"]:
    design = jax.vmap(field.design, in_axes=(0, None if score is None else 0))(points, score)
    return root[:, :, None] * design


def _pad(rows: Float[Array | np.ndarray, "r c"], length: int) -> Any:
    """Rows of zeros (and so of no weight) added, so that few shapes are ever compiled."""
    return np.pad(np.asarray(rows, np.float64), [(0, length - len(rows)), (0, 0)])

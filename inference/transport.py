"""Couplings between consecutive snapshots by optimal transport."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial.distance import cdist
from tqdm import tqdm

from bayesjko.models.data import Couplings, SnapshotError, Snapshots, middles
from bayesjko.models.precision import double

__all__ = [
    "BATCH",
    "Block",
    "Plan",
    "Solver",
    "couple",
    "mini_batches",
    "optimal_plan",
    "plan_batch",
]

Solver = Literal["exact", "entropic", "paired"]

# Network simplex ends long before this on any block of a sensible size; POT's own 100,000 does not.
_PIVOTS = 100_000_000
_MARGINAL_ERROR = 1e-9
_TARGETS_PER_SOURCE = 16
_EPSILON = 0.05

BATCH = 4000
"""The largest size coupled in one piece."""


class Plan(NamedTuple):
    """A sparse transport plan between two weighted clouds.

    Attributes:
        source: row of each pair in the first cloud.
        target: row of each pair in the second.
        mass: what each pair carries; sums to one.
    """

    source: Int[np.ndarray, " m"]
    target: Int[np.ndarray, " m"]
    mass: Float[np.ndarray, " m"]


def couple(
    snapshots: Snapshots,
    *,
    solver: Solver = "exact",
    batch: int | None = None,
    effective_count: float | Sequence[float] | None = None,
    epsilon: float = _EPSILON,
    jobs: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Couplings, ...]:
    """One set of couplings for each interval between consecutive snapshots.

    `exact` is optimal transport for the squared Euclidean cost; both marginals hold to 1e-9.
    `entropic` is Sinkhorn's plan, each source coupled to at most 16 targets drawn from its row
    of the plan by systematic sampling: means over the couplings are unbiased for means over the
    dense plan, the source marginal holds to 1e-9, the target marginal in expectation.
    `paired` couples row i to row i, carrying the source's weight.

    Two clouds whose geometric mean size exceeds `batch` are cut at random into blocks of the
    same mass that are coupled one by one. Both marginals still hold, and the couplings are
    longer than the optimal ones. Exact transport takes about 40 batch² bytes for each of `jobs`.

    Args:
        snapshots: the clouds, in whatever units the couplings are wanted in.
        solver: how pairs are found.
        batch: the largest size coupled in one piece.
        effective_count: how many observations an interval is worth, one number or one for each
            interval; the smaller effective size of its two snapshots if not given.
        epsilon: Sinkhorn's entropic weight in units of the mean cost; only for `entropic`.
        jobs: how many threads work on intervals and blocks; does not change the result.
        seed: for the random blocks and the systematic sampling.
        progress: show a progress bar on stderr when the work takes more than a second.

    Raises:
        SnapshotError: `paired` is asked of snapshots that are not.
        RuntimeError: the transport solver did not converge.
    """
    batch = BATCH if batch is None else batch
    if batch < 1 or jobs < 1:
        raise ValueError(f"batch is {batch} and jobs is {jobs}; both must be at least 1.")
    counts = _effective_counts(snapshots, effective_count)
    if solver == "paired":
        plans = _identity(snapshots)
    elif solver == "exact":
        plans = _solve(snapshots, _exact, batch, jobs, seed, progress)
        _check_marginals(plans, snapshots)
    elif solver == "entropic":
        entropic = partial(_entropic, epsilon=epsilon)
        plans = _solve(snapshots, entropic, batch, jobs, seed, progress)
    else:
        raise ValueError(f"Unknown solver {solver!r}; choose exact, entropic or paired.")
    return tuple(
        Couplings(
            source=snapshots.particles[k][plan.source],
            target=snapshots.particles[k + 1][plan.target],
            weight=plan.mass,
            duration=float(snapshots.durations[k]),
            effective_count=counts[k],
            source_index=plan.source,
            target_index=plan.target,
            middle=float(middle),
        )
        for k, (plan, middle) in enumerate(zip(plans, middles(snapshots.times), strict=True))
    )


def optimal_plan(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    *,
    order: Literal[1, 2] = 2,
    batch: int | None = None,
    seed: int = 0,
) -> Plan:
    """The cheapest plan from (x, a) to (y, b) for the cost ‖x − y‖^order.

    Exact up to a geometric mean size of `batch`, and a feasible plan in random blocks beyond.

    Raises:
        RuntimeError: the network simplex did not converge.

    Examples:
        Neighbours are coupled, whatever the order of the rows:

        >>> x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[2.1], [0.1], [1.1]])
        >>> plan = optimal_plan(x, y, np.ones(3), np.ones(3))
        >>> plan.target[np.argsort(plan.source)]
        array([1, 2, 0])
    """
    rng = np.random.default_rng(seed)
    solver = partial(_exact, order=order)
    return _merge(
        [_on_block(solver, x, y, block, rng) for block in _blocks(a, b, batch or BATCH, rng)]
    )


class Block(NamedTuple):
    """Some particles of two clouds, with the part of their mass that is coupled here."""

    rows: Int[np.ndarray, " n"]
    row_mass: Float[np.ndarray, " n"]
    columns: Int[np.ndarray, " m"]
    column_mass: Float[np.ndarray, " m"]


# (x, y, a, b, rng) -> plan between two clouds whose masses each sum to one.
_PlanSolver = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator], Plan]


def _solve(
    snapshots: Snapshots, solver: _PlanSolver, batch: int, jobs: int, seed: int, progress: bool
) -> list[Plan]:
    """Every interval's plan, with all blocks of all intervals shared out over threads.

    Threads because both solvers release the interpreter's lock.
    """
    clouds, weights = snapshots.particles, snapshots.weights
    work = []
    for k, (a, b) in enumerate(pairwise(weights)):
        work += [(k, *each) for each in mini_batches(a, b, k, batch=batch, seed=seed)]

    def run(item: tuple[int, Block, np.random.Generator]) -> tuple[int, Plan]:
        k, block, stream = item
        return k, _on_block(solver, clouds[k], clouds[k + 1], block, stream)

    parts: list[list[Plan]] = [[] for _ in snapshots.durations]
    with ThreadPoolExecutor(jobs) as pool:
        done = map(run, work) if jobs == 1 else pool.map(run, work)
        for k, plan in tqdm(
            done, desc="coupling", total=len(work), unit="block", delay=1.0, disable=not progress
        ):
            parts[k].append(plan)
    return [_merge(part) for part in parts]


def mini_batches(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    interval: int,
    *,
    batch: int | None = None,
    seed: int = 0,
) -> list[tuple[Block, np.random.Generator]]:
    """What `couple` cuts an interval into, with the random numbers of each piece."""
    rng = np.random.default_rng([seed, interval])
    blocks = list(_blocks(a, b, batch or BATCH, rng))
    return list(zip(blocks, rng.spawn(len(blocks)), strict=True))


def plan_batch(
    solver: Literal["exact", "entropic"],
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    block: Block,
    rng: np.random.Generator,
) -> Plan:
    """The plan of one piece, x and y its own particles only; rows are counted among them."""
    own = block._replace(rows=np.arange(len(x)), columns=np.arange(len(y)))
    return _on_block(
        _exact if solver == "exact" else partial(_entropic, epsilon=_EPSILON), x, y, own, rng
    )


def _on_block(
    solver: _PlanSolver,
    x: np.ndarray,
    y: np.ndarray,
    block: Block,
    rng: np.random.Generator,
) -> Plan:
    mass = block.row_mass.sum()
    plan = solver(
        x[block.rows],
        y[block.columns],
        block.row_mass / mass,
        block.column_mass / block.column_mass.sum(),
        rng,
    )
    return Plan(block.rows[plan.source], block.columns[plan.target], mass * plan.mass)


def _blocks(a: np.ndarray, b: np.ndarray, batch: int, rng: np.random.Generator) -> Iterator[Block]:
    """Both clouds cut into blocks of equal mass on the two sides.

    Each cloud's mass is laid out on [0, 1] in random order and both are cut at the same places,
    so a particle across a cut is shared between two blocks and the marginals survive. The cuts
    take equal shares of particles (of both clouds together), whatever the weights, and then
    move to the edge of a source particle if one is near: clouds of equal weights and sizes are
    never split, and their plan stays a permutation.
    """
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    count = math.ceil(math.sqrt(len(rows) * len(columns)) / batch)
    if count == 1:
        yield Block(rows, a[rows], columns, b[columns])
        return
    rows, columns = rng.permutation(rows), rng.permutation(columns)
    row_edges, column_edges = _edges(a[rows]), _edges(b[columns])
    knots = np.union1d(row_edges, column_edges)
    share = np.interp(knots, row_edges, np.linspace(0, 0.5, len(row_edges)))
    share += np.interp(knots, column_edges, np.linspace(0, 0.5, len(column_edges)))
    cuts = np.interp(np.arange(1, count) / count, share, knots)
    above = np.searchsorted(row_edges, cuts).clip(1, len(row_edges) - 1)
    below_is_nearer = cuts - row_edges[above - 1] < row_edges[above] - cuts
    nearest = row_edges[np.where(below_is_nearer, above - 1, above)]
    cuts = np.where(np.abs(nearest - cuts) < 1 / len(rows), nearest, cuts)
    for low, high in pairwise(np.unique([0.0, *cuts, 1.0])):
        yield Block(
            *_between(rows, a[rows], row_edges, low, high),
            *_between(columns, b[columns], column_edges, low, high),
        )


def _edges(weight: np.ndarray) -> np.ndarray:
    edges = np.concatenate([[0.0], np.cumsum(weight)]) / np.sum(weight)
    edges[-1] = 1.0
    return edges


def _between(
    index: np.ndarray, weight: np.ndarray, edges: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The particles between two cuts, with what of their mass lies there."""
    span = slice(np.searchsorted(edges, low, "right") - 1, np.searchsorted(edges, high, "left"))
    start, end = edges[:-1][span], edges[1:][span]
    inside = (start >= low) & (end <= high)
    # Whole particles keep their own weight: a difference of edges would carry their rounding.
    mass = np.where(inside, weight[span], np.minimum(end, high) - np.maximum(start, low))
    keep = inside | (mass > _MARGINAL_ERROR / len(weight))
    return index[span][keep], mass[keep]


def _exact(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    order: Literal[1, 2] = 2,
) -> Plan:
    import ot  # with scipy.stats, which takes a second

    del rng  # the solver's signature; nothing here is random
    # The network simplex prices its artificial arcs above the largest cost by an absolute one,
    # and loses small costs beside it (7% off the optimum at 1e-12): costs of order one.
    scale = math.sqrt(_mean_square_distance(x, y, a, b)) or 1.0
    metric = "sqeuclidean" if order == 2 else "euclidean"
    cost = cdist(x / scale, y / scale, metric)
    plan, log = ot.emd(a, b, cost, numItermax=_PIVOTS, log=True, center_dual=False)
    if log["warning"] is not None:
        raise RuntimeError(
            f"Exact transport between {len(x)} and {len(y)} particles failed "
            f"({log['warning']}); lower batch, or choose the entropic solver."
        )
    source, target = np.nonzero(plan)
    return Plan(source, target, plan[source, target])


def _entropic(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    epsilon: float,
) -> Plan:
    scale = math.sqrt(_mean_square_distance(x, y, a, b)) or 1.0
    with double():
        plan, converged = map(np.asarray, _sinkhorn()(x / scale, y / scale, a, b, epsilon))
    if not converged:
        raise RuntimeError(
            f"Sinkhorn's iterations between {len(x)} and {len(y)} particles did not converge "
            f"at epsilon {epsilon:g}; raise epsilon, or choose the exact solver."
        )
    return _sample(plan, a, rng)


@cache
def _sinkhorn() -> Callable[..., tuple[Array, Array]]:
    """The compiled Sinkhorn solver, imported and built only where it is asked for."""
    with warnings.catch_warnings():
        # ott 0.6 imports jaxopt, which says on import that nobody maintains it.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ott.geometry.pointcloud import PointCloud
        from ott.solvers import linear

    def solve(
        x: Float[Array, "n d"],
        y: Float[Array, "m d"],
        a: Float[Array, " n"],
        b: Float[Array, " m"],
        epsilon: Float[Array, ""],
    ) -> tuple[Float[Array, "n m"], Bool[Array, ""]]:
        geometry = PointCloud(x, y, epsilon=epsilon)
        # The sampling moves the target marginal by far more than 1e-4 of the mass.
        out = linear.solve(geometry, a, b, threshold=1e-4, max_iterations=20_000)
        return out.matrix, jnp.asarray(out.converged)

    return jax.jit(solve)


def _sample(plan: np.ndarray, a: np.ndarray, rng: np.random.Generator) -> Plan:
    """Targets of each source by systematic sampling from its row of a dense plan."""
    n, m = plan.shape
    row = np.arange(n)[:, None]
    cumulative = np.cumsum(plan, axis=1)
    cumulative /= cumulative[:, -1:]
    places = (np.arange(_TARGETS_PER_SOURCE) + rng.random((n, 1))) / _TARGETS_PER_SOURCE
    # Row i's cumulative masses lie in (i, i + 1]: one search finds all rows' targets.
    flat = np.searchsorted((cumulative + row).ravel(), (places + row).ravel(), "right")
    flat = np.clip(flat.reshape(n, -1), row * m, row * m + m - 1)
    pair, drawn = np.unique(flat, return_counts=True)
    source, target = np.divmod(pair, m)
    return Plan(source, target, a[source] * drawn / _TARGETS_PER_SOURCE)


def _mean_square_distance(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Σ aᵢ bⱼ ‖xᵢ − yⱼ‖², without the matrix of distances."""
    mean_x, mean_y = a @ x, b @ y
    spread = a @ (x - mean_x) ** 2 + b @ (y - mean_y) ** 2 + (mean_x - mean_y) ** 2
    return float(np.sum(spread))


def _identity(snapshots: Snapshots) -> list[Plan]:
    if not snapshots.paired:
        raise SnapshotError(
            "These snapshots are not paired, so row i is not the same particle at every time; "
            "mark them as paired if it is, or choose the exact solver."
        )
    plans = []
    for weight in snapshots.weights[:-1]:
        row = np.flatnonzero(weight)
        plans.append(Plan(row, row, weight[row]))
    return plans


def _merge(parts: Sequence[Plan]) -> Plan:
    if len(parts) == 1:
        return parts[0]
    return Plan(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _check_marginals(plans: Sequence[Plan], snapshots: Snapshots) -> None:
    for k, (plan, (a, b)) in enumerate(zip(plans, pairwise(snapshots.weights), strict=True)):
        source = np.bincount(plan.source, plan.mass, len(a))
        target = np.bincount(plan.target, plan.mass, len(b))
        error = max(np.abs(source - a).max(), np.abs(target - b).max())
        if error > _MARGINAL_ERROR:
            raise RuntimeError(
                f"The transport plan of interval {k} misses its marginals by {error:.1e}; "
                "choose the entropic solver."
            )


def _effective_counts(
    snapshots: Snapshots, given: float | Sequence[float] | None
) -> tuple[float, ...]:
    intervals = len(snapshots.durations)
    if given is None:
        sizes = snapshots.effective_sizes
        counts = np.minimum(sizes[:-1], sizes[1:])
    else:
        counts = np.asarray(given, dtype=np.float64)
        if counts.ndim and counts.shape != (intervals,):
            raise ValueError(
                f"{counts.size} effective counts for {intervals} intervals; "
                "give one number or one for each interval."
            )
        counts = np.broadcast_to(counts, (intervals,))
    if not np.all(counts > 0):
        raise ValueError(f"Effective counts must be positive; got {counts.tolist()}.")
    return tuple(float(n) for n in counts)

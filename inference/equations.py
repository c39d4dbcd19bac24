"""The moment equations of a linear energy: trapezoidal in time, corrected, or simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float

from bayesjko.inference.crossfit import Crossed, CrossFit
from bayesjko.inference.parallel import threaded
from bayesjko.inference.resolution import Resolution
from bayesjko.models.bases import Basis
from bayesjko.models.blocks import averaged
from bayesjko.models.data import Snapshots, middles
from bayesjko.models.energies import Field, LinearEnergy, field_of
from bayesjko.models.likelihoods.flow import Paths, box_of, moments_of_paths, simulate_paths
from bayesjko.models.likelihoods.moments import Sides, equation_covariance, values_of
from bayesjko.models.likelihoods.weak import WeakSums, generator, generator_in, pull, weak_sums
from bayesjko.models.precision import double

__all__ = ["Equations", "Linearised"]

_TOO_LARGE = 1e30  # of a slope: the square of much more is no number


@dataclass(frozen=True, eq=False)
class Linearised:
    """The equations near one θ: g(θ′) ≈ observed − jacobian θ′.

    Attributes:
        at: θ.
        observed: g(θ) + jacobian θ.
        jacobian: X = −∂g/∂θ.
        sides: what each particle adds to the equations at θ, made when it is asked for: one
            snapshot's is as large as the rest of this.
        crossed: the equations in folds of particles, where they would share the noise of X.
    """

    at: Float[np.ndarray, " P"]
    observed: Float[np.ndarray, " E"]
    jacobian: Float[np.ndarray, "E P"]
    sides: Callable[[], Iterable[Sides]]
    crossed: Crossed | None = None

    @property
    def bounded(self) -> bool:
        """Whether the slope is of numbers that can be squared: not where particles escape."""
        return bool(np.all(np.abs(self.jacobian) < _TOO_LARGE))


@dataclass(frozen=True, eq=False)
class Equations:
    """g(θ) in each of its forms.

    Attributes:
        energy: whose coefficients θ are.
        snapshots: in standard units.
        tests: ψ.
        values: of the tests at every particle of each snapshot.
        period_of: period of each interval.
        shrinkage: of the tests' covariance in the weight.
        seed: of the paths' noise.
        sums: over all particles of each snapshot, of which those above may be a share.
        shares: how large a share, by effective size.
        jobs: threads that simulate paths, an interval each at a time.
    """

    energy: LinearEnergy
    snapshots: Snapshots
    tests: Basis
    values: Sequence[Float[np.ndarray, "_ M"]]
    period_of: Sequence[int]
    shrinkage: float
    seed: int
    sums: Sequence[WeakSums]
    shares: Sequence[float]
    jobs: int = 1

    def weak(self, theta: Float[np.ndarray, "period K"]) -> Linearised:
        """Plain: trapezoidal on each interval."""
        sides = partial(self._weak_sides, theta, None)
        return Linearised(theta.ravel(), self._moved(), self._trapezoid, sides)

    def corrected(
        self, theta: Float[np.ndarray, "period K"], *, resolution: Resolution
    ) -> Linearised:
        """Trapezoidal, less what the trapezoid misses of the paths at θ."""
        theta = self._diffusing(theta)
        tau = self.snapshots.durations

        def missed_over(k: int) -> Float[np.ndarray, "n M"]:
            cloud, weight = self.snapshots.particles[k], self.snapshots.weights[k]
            own, half = theta[self.period_of[k]], 0.5 * float(tau[k])
            paths = self.paths(k, resolution.copies, resolution.steps[k])
            end = simulate_paths(self.within(k), own, cloud, weight, float(tau[k]), paths)
            copies, _, d = end.shape
            with double():
                clouds = end.reshape(-1, d), np.tile(weight, copies) / copies
                field = field_of(self._energy_at(k + 1), *clouds)
            # ψ − ½τLψ at the ends
            after = averaged(partial(self._less_drift, field, own, half), end)
            start = generator(self._energy_at(k), self.tests, own, cloud, weight)
            before = self.values[k] + half * start
            return np.asarray(after - before)

        missed = threaded(missed_over, range(len(tau)), self.jobs)
        lost = [w @ m for w, m in zip(self.snapshots.weights[:-1], missed, strict=True)]
        observed = self._moved() - np.concatenate(lost)
        sides = partial(self._weak_sides, theta, missed)
        return Linearised(theta.ravel(), observed, self._trapezoid, sides)

    def symmetric(
        self, theta: Float[np.ndarray, "period K"], *, resolution: Resolution
    ) -> Linearised:
        """What paths miss of ψ − ½τLψ, in folds of particles.

        The tests of `corrected`, whose slope has half of the noise of that of ψ alone, and none
        that either end of an interval shares with its equations to first order in time.
        """
        found = self.corrected(theta, resolution=resolution)
        sides = list(found.sides())
        gap = found.observed - found.jacobian @ found.at
        crossed = self._folds.crossed(gap, sides, self._trapezoids)
        return replace(found, sides=lambda: sides, crossed=crossed)

    @np.errstate(over="ignore", invalid="ignore")  # a search rejects what is no number
    def flow(self, theta: Float[np.ndarray, "period K"], *, resolution: Resolution) -> Linearised:
        """Moments of the paths themselves."""
        theta = self._diffusing(theta)
        energy, tests, tau = self.energy, self.tests, self.snapshots.durations
        clouds, weights = self.snapshots.particles, self.snapshots.weights
        folds = self._folds

        def moments_over(k: int) -> tuple[Float[np.ndarray, "n M"], Float[np.ndarray, "F M K"]]:
            own, fold = theta[self.period_of[k]], folds.fold[k]
            paths = self.paths(k, resolution.copies, resolution.steps[k])
            return moments_of_paths(
                self.within(k), tests, own, clouds[k], weights[k], float(tau[k]), paths, fold
            )

        ends, parts = zip(*threaded(moments_over, range(len(tau)), self.jobs), strict=True)
        jacobian = self._assembled([part.sum(axis=0) for part in parts])
        shared = zip(parts, folds.shares[:-1], strict=True)
        apart = [part / share[:, None, None] for part, share in shared]
        slopes = np.stack([self._assembled(part) for part in zip(*apart, strict=True)])
        means = self._means
        gap = np.concatenate([means[k + 1] - weights[k] @ end for k, end in enumerate(ends)])
        sides = []
        for index, weight in enumerate(weights):
            source = None
            if index < len(ends):
                own = theta[self.period_of[index]]
                source = ends[index] + tau[index] * pull(energy, tests, own, clouds[index], weight)
            sides.append(Sides(weight, self.values[index] if index else None, source))
        at, crossed = theta.ravel(), folds.crossed(gap, sides, slopes)
        return Linearised(at, gap + jacobian @ at, jacobian, lambda: sides, crossed)

    def slope_covariance(self, theta: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "E E"]:
        """Of the trapezoid's Xθ, over repeated sampling of particles."""
        apart = zip(
            self._weak_sides(theta, None), self._weak_sides(np.zeros_like(theta), None), strict=True
        )

        def less(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
            return None if a is None or b is None else a - b

        return equation_covariance(
            Sides(a.weight, less(a.target, b.target), less(a.source, b.source), a.share)
            for a, b in apart
        )

    def ends(
        self, theta: Float[np.ndarray, "period K"], interval: int, paths: Paths
    ) -> Float[np.ndarray, "copies n d"]:
        """Where the paths from every particle of an interval's start end."""
        own = self._diffusing(theta)[self.period_of[interval]]
        cloud, weight = self.snapshots.particles[interval], self.snapshots.weights[interval]
        duration = float(self.snapshots.durations[interval])
        return simulate_paths(self.within(interval), own, cloud, weight, duration, paths)

    def within(self, interval: int) -> LinearEnergy:
        """The energy that paths over an interval are of: that in its middle."""
        return self.energy.at(middles(self.snapshots.times)[interval])

    def paths(self, interval: int, copies: int, steps: int, count: int | None = None) -> Paths:
        """Paths over an interval, from every particle of its start or from so many."""
        clouds = self.snapshots.particles
        count, seed = count or len(clouds[interval]), self.seed + interval
        return Paths.over(count, *box_of(clouds), copies=copies, steps=steps, seed=seed)

    @cached_property
    def _folds(self) -> CrossFit:
        return CrossFit.of(self.values, self.snapshots.weights, self.shrinkage, self.seed)

    @cached_property
    def _means(self) -> list[np.ndarray]:
        return [each.mean for each in self.sums]

    def _moved(self) -> np.ndarray:
        return np.diff(self._means, axis=0).ravel()

    @cached_property
    def _trapezoid(self) -> Float[np.ndarray, "E P"]:
        return self._between([each.design for each in self.sums])

    @cached_property
    def _trapezoids(self) -> Float[np.ndarray, "F E P"]:
        """The same of each fold alone."""
        folds = self._folds
        designs = []
        for index, (cloud, weight, fold, share) in enumerate(
            zip(self.snapshots.particles, self.snapshots.weights, folds.fold, folds.shares,
                strict=True)
        ):  # fmt: skip
            with double():
                field = field_of(self._energy_at(index), cloud, weight)
            designs.append([
                weak_sums(field, self.tests, cloud[fold == f], weight[fold == f]).design / share[f]
                for f in range(folds.count)
            ])  # fmt: skip
        return np.stack([self._between(each) for each in zip(*designs, strict=True)])

    def _between(self, designs: Sequence[Float[np.ndarray, "M K"]]) -> Float[np.ndarray, "E P"]:
        tau = self.snapshots.durations
        return self._assembled(
            [0.5 * tau[k] * (designs[k] + designs[k + 1]) for k in range(len(tau))]
        )

    def _assembled(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        size, intervals = self.tests.size, len(self.period_of)
        jacobian = np.zeros((intervals, size, max(self.period_of) + 1, self.energy.size))
        for k, block in enumerate(blocks):
            jacobian[k, :, self.period_of[k]] = block
        return jacobian.reshape(intervals * size, -1)

    def _weak_sides(
        self, theta: np.ndarray, missed: Sequence[np.ndarray] | None
    ) -> Iterator[Sides]:
        tests, tau = self.tests, self.snapshots.durations
        period_of, intervals = self.period_of, len(self.period_of)
        for index, (cloud, weight, value) in enumerate(
            zip(self.snapshots.particles, self.snapshots.weights, self.values, strict=True)
        ):
            energy = self._energy_at(index)
            rates = {
                p: generator(energy, tests, theta[p], cloud, weight)
                + pull(energy, tests, theta[p], cloud, weight)
                for p in {period_of[k] for k in (index - 1, index) if 0 <= k < intervals}
            }
            target = source = apart = None
            if index > 0:
                target = value - 0.5 * tau[index - 1] * rates[period_of[index - 1]]
            if index < intervals:
                source = value + 0.5 * tau[index] * rates[period_of[index]]
                if missed is not None:
                    apart = missed[index]
                    source = source + apart
            yield Sides(weight, target, source, self.shares[index], apart)

    def _energy_at(self, snapshot: int) -> LinearEnergy:
        return self.energy.at(self.snapshots.times[snapshot])

    def _less_drift(
        self, field: Field, theta: np.ndarray, half: float, points: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n M"]:
        moved = generator_in(field, self.tests, theta, points)
        return np.asarray(values_of(self.tests, points) - half * moved)

    def _diffusing(self, theta: np.ndarray) -> np.ndarray:
        """θ with β not negative, which no path can have."""
        if not self.energy.internal:
            return theta
        lifted = theta.copy()
        lifted[:, -1] = np.maximum(lifted[:, -1], 1e-6)
        return lifted

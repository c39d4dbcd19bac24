"""The search for the solution of moment equations, on paths as fine as they must be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from jaxtyping import Float

from bayesjko.inference.conditioning import Conditioned, condition
from bayesjko.inference.conjugate import balances, conditioned_problem, heard
from bayesjko.inference.discretisation import FAR, MOST_FAINT, discretisation, in_spreads
from bayesjko.inference.equations import Equations, Linearised
from bayesjko.inference.options import InferenceOptions, MomentOptions
from bayesjko.inference.positivity import most_likely
from bayesjko.inference.problem import CLOSE, LinearProblem, OwnNoise, unsettled
from bayesjko.inference.residual import TimeVariation, residual_problem
from bayesjko.inference.resolution import Resolution, refined
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.moments import (
    GoodnessOfFit,
    equation_covariance,
    goodness_of_fit,
    values_of,
    without_leverage,
)
from bayesjko.models.likelihoods.residual import Statistics

__all__ = ["Found", "Search", "linear_equations", "trapezoidal"]

_HALVINGS = 6
_SLACK = CLOSE**2  # a coefficient, by which a step may raise the objective: a move of that size
_TRUSTING = 2  # rounds that keep the prior they start with
_FREEDOM = 4.0  # factor by which a later round may change it
_REFINEMENTS = 3  # of the paths, each at what the one before has found
_MOST_SYMMETRIC = 0.1  # bend of a quadrature that nothing warns of
_AS_LOOKED_AT = 0.5  # standard deviations of forces, rms, within which paths need not be finer
_SCOUTS = 2  # copies of each path, to see where a search leads
_PATIENCE = 4  # with them: times as many rounds, while steps are taken
_APART = 3.0  # standard deviations of forces, rms, from which another solution is another one
_BACK = 1.0 / 3.0  # of that: from there a second search ends where the first one has
_OTHER = 1.0  # such deviations, from which an end that fits better is taken for a poor one
_UNLIKELY = 0.1  # p-value of a poor one

_Linearise = Callable[[Float[np.ndarray, "period K"]], Linearised]
_Watch = Callable[[Float[np.ndarray, "period K"], Conditioned], bool]
"""Where a round has led, and what it found ↦ whether that is enough; raises where it is too far."""


@dataclass(frozen=True, eq=False)
class Found:
    """The end of a search.

    Attributes:
        problem: the equations at it.
        resolution: what their paths are made of.
        moved: by the last round, in posterior sds; infinite where no step was a number.
        notes: sentences for the summary.
    """

    problem: LinearProblem
    resolution: Resolution
    moved: float
    notes: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether it is a solution."""
        return self.moved < CLOSE


@dataclass(frozen=True, eq=False)
class _Ahead:
    """Where few copies of each path have led.

    Attributes:
        end: where a search on all copies starts.
        trusting: rounds of it that keep their prior.
        resolution: of paths there.
        settled: whether it is a solution for so few.
        looked: where it was seen that paths are as fine as they must be.
    """

    end: Conditioned
    trusting: int
    resolution: Resolution
    settled: bool = True
    looked: Float[np.ndarray, "period K"] | None = None


@dataclass(frozen=True, eq=False)
class Search:
    """For the solution of moment equations in one of their forms.

    Attributes:
        equations: of one θ for all intervals, or of one for each.
        weight: Σ_W⁻¹.
        options: of the inference: what the prior is decides where the solution lies.
        moments: of the equations.
        time_variation: of the energy that is looked for; one that wanders is where that of all
            intervals is.
        plain: the equations, trapezoidal in time.
        first: their solution, where searches start.
        opening: what paths must be made of there.
    """

    equations: Equations
    weight: Float[np.ndarray, "E E"]
    options: InferenceOptions
    moments: MomentOptions
    time_variation: TimeVariation
    plain: LinearProblem
    first: Conditioned
    opening: Resolution | None = None

    @classmethod
    def of(
        cls,
        equations: Equations,
        weight: Float[np.ndarray, "E E"],
        options: InferenceOptions,
        moments: MomentOptions,
        time_variation: TimeVariation,
    ) -> Search:
        """A search that starts from the trapezoid's solution."""
        plain = trapezoidal(equations, weight)
        first = conditioned_problem(plain, options)
        search = cls(equations, weight, options, moments, time_variation, plain, first)
        first = search._possible(first)
        return replace(search, first=first, opening=search._refined(first.mean, None))

    @property
    def wanders(self) -> bool:
        """Whether the energy does."""
        return self.time_variation == "random-walk"

    @property
    def trading(self) -> bool:
        """Whether there is a β, and what may balance it."""
        energy = self.equations.energy
        return energy.internal and energy.size > 1

    @property
    def astray(self) -> bool:
        """Whether nobody knows where paths lead under what is linear in time."""
        return self.opening is not None and self.opening.lost

    def corrected(self) -> Found:
        """The end of a weak search.

        Raises:
            UnsettledError: it went further than it may.
        """
        limit = np.inf if self.wanders else self.moments.most_shift
        watch = partial(self._strayed, limit) if np.isfinite(limit) else None
        return self._settled(self.first, self.opening, watch=watch)

    def nearby(self) -> Found | None:
        """Where snapshots are so close to each other that a slope of paths is the trapezoid's."""
        if self.astray:
            return None
        if self.trading and self.noise_share() > MOST_FAINT:
            return None  # near equilibrium, where that of paths is the safer one
        weak, symmetric = (
            replace(self, moments=replace(self.moments, form=form))
            for form in ("weak", "symmetric")
        )
        watch = partial(self._strayed, FAR)
        for sure in (False, True):
            try:
                found = symmetric._settled(self.first, self.opening, watch=watch, sure=sure)
            except InputError:
                return None
            if found.settled:
                break
        else:
            return None
        shared = partial(weak.near, found.resolution)
        at = self.conditioned(found.problem).mean
        trapezoid = replace(shared(at), plain=self.plain, linearised_at=shared)
        time = discretisation(trapezoid, self.equations.snapshots, self.options)
        return found if time.bend <= _MOST_SYMMETRIC else None

    def instead_of(self, near: Found) -> Found | None:
        """Where the slope of paths leads, if it is another end and `near` hardly fits.

        Forces that are far too small move nothing, and then nothing bends.
        """
        here = self.conditioned(near.problem)
        assert near.problem.fit_test is not None
        if near.problem.fit_test(here).p_value > _UNLIKELY:
            return None
        try:
            other = self.far()
        except InputError:
            return None
        there = self.conditioned(other.problem)
        apart = self._apart(there.mean - here.mean, there.joint_inverse())
        better = _excess(other.problem, there) < _excess(near.problem, here)
        return other if better and apart > _OTHER else None

    def far(self) -> Found:
        """Where the slope must be that of paths.

        Raises:
            UnsettledError: all starts have led to nothing.
        """
        last: tuple[_Ahead, Found | None] | None = None
        for start, opening, sure in self._starts():
            try:
                ahead = self._ahead(start, opening, sure=sure)
                found = self._ended(ahead, sure=sure) if ahead.settled else None
            except InputError:  # one that leaves all data behind
                continue
            if found is not None and found.settled:
                return found if self.wanders else self._elsewhere(found)
            if not sure:
                last = ahead, found
        if last is None:
            raise unsettled()
        ahead, found = last
        try:
            return found or self._ended(ahead)  # on all copies, wherever few have led
        except InputError as error:
            raise unsettled() from error

    def _starts(self) -> Iterator[tuple[Conditioned, Resolution | None, bool]]:
        """Where to start from, what paths are made of there, and whether to go surely."""
        if not self.astray:
            yield self.first, self.opening, False
        equations, variation = self.equations, self.time_variation
        coupled = residual_problem(  # what is implicit in time is nearer
            equations.energy,
            equations.snapshots,
            scheme="implicit",
            time_variation="static" if self.wanders else variation,
            seed=self.options.seed,
        )
        # a start only: the model's own evidence shrinks more, and holds on to what is hardly seen
        model = replace(self.options, covariance="model")
        yield self._possible(conditioned_problem(coupled, model)), None, False
        # or the trapezoid moves in a direction in which there is nothing but noise
        yield self.first, self.opening, True

    def near(self, resolution: Resolution, theta: Float[np.ndarray, "period K"]) -> LinearProblem:
        """The equations near θ, in the form that is looked for, of such paths."""
        linearised = self._linearised(resolution)(theta)
        return linear_equations(self.equations, linearised, self.weight)

    def noise_share(self) -> float:
        """How much of the trapezoid's information on a β that other terms balance is noise."""
        equations, (block,) = self.equations, self.plain.blocks
        gram, shares = block.gram, []
        for period, balance in enumerate(balances(gram, equations.energy.size)):
            theta = np.zeros((max(equations.period_of) + 1, len(balance)))
            theta[period] = balance
            noise = np.sum(self.weight * equations.slope_covariance(theta))
            shares.append(float(noise / (theta.ravel() @ gram @ theta.ravel())))
        return max(shares)

    def _linearised(self, resolution: Resolution) -> _Linearise:
        forms = {
            "weak": self.equations.corrected,
            "symmetric": self.equations.symmetric,
            "flow": self.equations.flow,
        }
        return partial(forms[self.moments.form], resolution=resolution)

    def _strayed(self, most: float, at: Float[np.ndarray, "period K"], found: Conditioned) -> bool:
        """Ends a search that is further from its beginning than it may be."""
        if self._apart(at - self.first.mean, found.joint_inverse()) > most:
            raise unsettled()
        return False

    def _apart(self, change: np.ndarray, covariance: np.ndarray) -> float:
        equations = self.equations
        return in_spreads(equations.energy, equations.snapshots, change, covariance)

    def _settled(
        self,
        start: Conditioned,
        opening: Resolution | None = None,
        *,
        watch: _Watch | None = None,
        sure: bool = False,
    ) -> Found:
        """The equations at their own solution, in all directions or only where they `surely` lead.

        On paths as fine as they must be, which are few copies first.
        """
        return self._ended(self._ahead(start, opening, watch=watch, sure=sure), watch, sure=sure)

    def _ahead(
        self,
        start: Conditioned,
        opening: Resolution | None = None,
        *,
        watch: _Watch | None = None,
        sure: bool = False,
    ) -> _Ahead:
        """Where few copies of each path lead; only a slope of paths asks there for finer ones."""
        resolution = opening or self._refined(start.mean, None)
        ahead = _Ahead(start, _TRUSTING, resolution)
        if self.moments.form == "symmetric":
            return ahead
        for _ in range(_REFINEMENTS):
            found = self._scouted(ahead.end, resolution, watch=watch, sure=sure, patience=_PATIENCE)
            if not found.settled:
                return replace(ahead, settled=False)
            end = self.conditioned(found.problem)
            ahead = replace(ahead, end=end, trusting=0)
            if self.moments.form == "weak" or self._as_looked_at(ahead.looked, end):
                break
            before, resolution = resolution, self._refined(end.mean, resolution)
            ahead = replace(ahead, resolution=resolution, looked=end.mean)
            if resolution.steps == before.steps:
                break
        return ahead

    def _ended(self, ahead: _Ahead, watch: _Watch | None = None, *, sure: bool = False) -> Found:
        """The equations at their own solution on all copies, from where few have led."""
        current, resolution = ahead.end, ahead.resolution
        for _ in range(_REFINEMENTS):
            problem, moved = self._solved(
                self._linearised(resolution), current, ahead.trusting, watch=watch, sure=sure
            )
            current = self.conditioned(problem)
            if self._as_looked_at(ahead.looked, current):
                break
            before, resolution = resolution, self._refined(current.mean, resolution)
            if resolution.as_fine_as(before):
                break
        return Found(problem, resolution, moved)

    def _as_looked_at(self, looked: np.ndarray | None, found: Conditioned) -> bool:
        """Whether how fine paths must be has been looked at, and about here."""
        if looked is None:
            return False
        return self._apart(found.mean - looked, found.joint_inverse()) < _AS_LOOKED_AT

    def _scouted(
        self,
        start: Conditioned,
        resolution: Resolution,
        *,
        watch: _Watch | None = None,
        sure: bool = False,
        patience: int = 1,
    ) -> Found:
        """The equations at their own solution on few copies of each path."""
        coarse = replace(resolution, copies=min(_SCOUTS, resolution.copies))
        problem, moved = self._solved(
            self._linearised(coarse), start, watch=watch, sure=sure, patience=patience
        )
        return Found(problem, resolution, moved)

    def _elsewhere(self, found: Found) -> Found:
        """The better of this end of the search and of where one from no forces at all ends.

        The second search is on fewer copies of each path, until it is found to end elsewhere.
        """
        here = self.conditioned(found.problem)
        nowhere = np.zeros_like(here.mean)
        if self.equations.energy.internal:
            nowhere[:, -1] = np.maximum(here.mean[:, -1], 0.0)
        start, spread = replace(here, mean=nowhere), here.joint_inverse()

        def away(at: Float[np.ndarray, "period K"]) -> float:
            return self._apart(at - here.mean, spread)

        def returned(at: Float[np.ndarray, "period K"], _: Conditioned) -> bool:
            return away(at) < _BACK * _APART

        try:
            other = self._scouted(start, found.resolution, watch=returned)
            there = self.conditioned(other.problem)
            if other.settled and away(there.mean) > _APART:
                other = self._settled(there)
                there = self.conditioned(other.problem)
        except InputError:  # a search that leaves all data behind
            return found
        apart = away(there.mean)
        if not (other.settled and apart > _APART):
            return found
        excess, its = _excess(found.problem, here), _excess(other.problem, there)
        note = (
            "The moment equations have two solutions: a second search, from no forces at all, "
            f"ended {apart:.2g} standard deviations of its forces away. Taken is the one that fits "
            f"better (χ² a degree of freedom {min(excess, its):.3g}, the other's "
            f"{max(excess, its):.3g}); the intervals know nothing of the other."
        )
        better = found if excess <= its else other
        return replace(better, moved=found.moved, notes=(note,))

    def conditioned(self, problem: LinearProblem) -> Conditioned:
        """Its posterior where it is most likely."""
        return self._possible(conditioned_problem(problem, self.options))

    def _possible(self, found: Conditioned) -> Conditioned:
        """What is found, where paths can be of it: β is not negative."""
        return most_likely(found, -1) if self.equations.energy.internal else found

    def _refined(self, theta: np.ndarray, before: Resolution | None) -> Resolution:
        """What paths must be made of at θ."""
        equations, weight = self.equations, self.weight
        intervals = len(equations.period_of)
        tests = len(weight) // intervals
        blocks = weight.reshape(intervals, tests, intervals, tests)
        return refined(
            partial(equations.ends, theta),
            partial(values_of, equations.tests),
            equations.paths,
            equations.snapshots.weights[:-1],
            # of the particles that are simulated: paths need be no finer than these can tell
            [blocks[k, :, k] * equations.shares[k] for k in range(intervals)],
            before,
            steps=self.moments.steps,
            copies=self.moments.copies,
            jobs=equations.jobs,
        )

    def _solved(
        self,
        linearise: _Linearise,
        current: Conditioned,
        trusting: int = _TRUSTING,
        *,
        watch: _Watch | None = None,
        sure: bool = False,
        patience: int = 1,
    ) -> tuple[LinearProblem, float]:
        """Gauss–Newton with step halving on gᵀΣ_W⁻¹g + θᵀRθ, each round under its own prior scale.

        In all directions, or only where the equations `surely` lead; until it moves no more, or
        who watches has seen enough. More rounds than are usual are for those who get somewhere.
        """
        weight = self.weight
        at, precision = current.mean, current.precision
        here = linearise(at)

        def posed() -> LinearProblem:
            problem = linear_equations(self.equations, here, weight)
            return heard(problem, at, searching=True) if sure else problem

        for number in range(patience * self.moments.rounds):
            problem = posed()
            if number < trusting:  # far from the solution an evidence is of the linearisation's
                solution = self._possible(condition(problem.blocks, precision, problem.noise))
            else:
                solution = self.conditioned(problem)
                bounds = precision / _FREEDOM, precision * _FREEDOM
                if np.any((solution.precision < bounds[0]) | (solution.precision > bounds[1])):
                    precision = np.clip(solution.precision, *bounds)
                    solution = self._possible(condition(problem.blocks, precision, problem.noise))
            precision = solution.precision
            ridge = np.tile(solution.ridge, len(at))

            def objective(found: Linearised, theta: np.ndarray, ridge: np.ndarray = ridge) -> float:
                if not found.bounded:
                    return np.inf
                gap = found.observed - found.jacobian @ theta.ravel()
                value = gap @ weight @ gap + theta.ravel() ** 2 @ ridge
                return float(value) if np.isfinite(value) else np.inf

            # Where slope and equations share noise the solution is not where the objective is
            # least, but not further from there than a standard deviation of each coefficient.
            before = objective(here, at)
            aim = min(objective(here, solution.mean), before + at.size)
            before = max(before, aim) + _SLACK * at.size
            step = solution.mean - at
            for halved in range(_HALVINGS):
                proposal = at + 0.5**halved * step
                there = linearise(proposal)
                after = objective(there, proposal)
                if after <= before:
                    break
            if after == np.inf:  # nor is any part of the step a number
                return posed(), np.inf
            spread = np.sqrt(np.diag(solution.joint_inverse())).reshape(at.shape)
            moved = float(np.sqrt(np.mean(((proposal - at) / spread) ** 2)))
            at, here = proposal, there
            seen_enough = watch is not None and watch(at, solution)
            if seen_enough or (moved < CLOSE and number >= trusting):
                break
            if after > before and number + 1 >= self.moments.rounds:
                break
        return posed(), moved


def trapezoidal(equations: Equations, weight: Float[np.ndarray, "E E"]) -> LinearProblem:
    """The equations, trapezoidal in time, which no energy is needed to know."""
    nowhere = np.zeros((max(equations.period_of) + 1, equations.energy.size))
    return linear_equations(equations, equations.weak(nowhere), weight)


def _excess(problem: LinearProblem, found: Conditioned) -> float:
    """Of the equations left over, over what they should be."""
    assert problem.fit_test is not None
    test = problem.fit_test(found)
    return test.statistic / test.degrees_of_freedom


def linear_equations(
    equations: Equations, found: Linearised, weight: Float[np.ndarray, "E E"]
) -> LinearProblem:
    """What the equations near some θ say of it, for inference to use.

    Raises:
        UnsettledError: they are not of numbers, since particles escape.
    """
    energy, periods = equations.energy, max(equations.period_of) + 1
    if found.crossed is not None and not found.bounded:
        raise unsettled()
    weighted = weight @ found.jacobian
    gram = found.jacobian.T @ weighted
    moment = weighted.T @ found.observed
    own_noise, crossed = None, found.crossed
    if crossed is not None:
        moment = gram @ found.at + crossed.score
        # a priori a particle diffuses no more than through the population in half of that time
        widest = 1.0 / float(np.sum(equations.snapshots.durations))
        own_noise = OwnNoise(gram, partial(crossed.informing, gram), crossed.bias, widest)
    statistics = Statistics(
        gram=gram,
        moment=moment,
        square=float(found.observed @ weight @ found.observed),
        count=float(len(found.observed)),
    )

    @cache  # no round of a search that keeps its prior asks for it
    def covariance() -> Float[np.ndarray, "E E"]:
        return equation_covariance(without_leverage(found.sides(), weight))

    @cache
    def meat() -> Float[np.ndarray, "P P"]:
        return weighted.T @ covariance() @ weighted

    def fit_test(
        conditioned: Conditioned, mixed: Float[np.ndarray, "P P"] | None = None
    ) -> GoodnessOfFit:
        jacobian = found.jacobian if mixed is None else found.jacobian @ mixed
        ridge = np.tile(conditioned.ridge, periods)
        if crossed is None:
            inverse = conditioned.joint_inverse()
        else:  # what is left over was lessened by the noise of X as well
            shared = gram if mixed is None else mixed.T @ gram @ mixed
            inverse = np.linalg.inv(shared + np.diag(ridge))
        left = found.observed - jacobian @ conditioned.mean.ravel()
        return goodness_of_fit(left, weight, jacobian, inverse, covariance(), ridge)

    return LinearProblem(
        energy,
        (statistics,),
        periods,
        1.0,
        lambda _: meat(),
        fit_test,
        beta_prior="half-normal",
        own_noise=own_noise,
    )

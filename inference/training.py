"""Networks trained on the residual, so that their last layer has features worth conditioning on.

The loss is that of JKOnet* (Terpin et al., NeurIPS 2024) at the scheme's points. What is inferred
afterwards is the last layer of what is trained here, or all of it.

An interaction is felt from a whole population, too many for every step of a training. Each step
feels a few particles for each pair, drawn anew. The square of an error that they make would punish
forces for depending on which were drawn; the product of two errors, of particles drawn apart, is on
average the square of the error that the whole population makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from tqdm import tqdm

from bayesjko.models.bases import Basis, Even, Neural, clock
from bayesjko.models.data import Couplings
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Scheme, evaluation_points
from bayesjko.models.precision import double

__all__ = ["Network", "Trained", "Training", "train_networks"]

_CLOUD = 1000  # particles that stand for the population of an interval


@dataclass(frozen=True)
class Training:
    """How networks are trained.

    Attributes:
        steps: of Adam.
        batch: pairs of particles a step.
        rate: of Adam at the start; falls to a hundredth along a cosine.
        decay: of weights.
        frequency: how many times as steep as usual the first layer starts.
        held_out: share of the pairs that tell when to stop.
        look: steps between two looks at them.
        felt: particles that each pair feels of the population in a step, twice.
    """

    steps: int = 3000
    batch: int = 1000
    rate: float = 3e-3
    decay: float = 1e-4
    frequency: float = 6.0
    held_out: float = 0.2
    look: int = 100
    felt: int = 4


class Network(eqx.Module):
    """A scalar function of a point, or of a point and time.

    Attributes:
        hidden: its layers but for the last; of an interaction, their even part.
        last: that one.
    """

    hidden: Basis
    last: Float[Array | np.ndarray, " H"]

    def slope(
        self, x: Float[Array, " d"], when: Float[Array, " t"] | None = None
    ) -> Float[Array, " d"]:
        """Its gradient in x; `when` is one number, or none, as the network asks for."""

        def height(z: Float[Array, " d"]) -> Float[Array, ""]:
            place = z if when is None else jnp.concatenate([z, when])
            return self.hidden.value(place) @ self.last

        return jax.grad(height)(x)


class Trained(eqx.Module):
    """All that is trained.

    Attributes:
        potential: V, if it is a network.
        interaction: W, if it is one.
        others: coefficients of the terms that are none.
    """

    potential: Network | None
    interaction: Network | None
    others: Float[Array | np.ndarray, " J"]

    def forces(
        self,
        z: Float[Array, " d"],
        design: Float[Array, "d J"],
        felt: Float[Array, "2 S d"] | None,
        when: Float[Array, " t"],
    ) -> list[Float[Array, " d"]]:
        """The force at a point, −∇V − ∇W∗ρ and what the other terms' design there makes of it.

        Args:
            z: the point.
            design: of the terms that are no networks.
            felt: of an interaction, two samples of ρ.
            when: time as a coordinate, or nothing for a potential that is the same at all times.

        Returns:
            The force with each of the samples; the one force there is without an interaction.
        """
        own = design @ self.others
        if self.potential is not None:
            own = -self.potential.slope(z, when) + own
        if self.interaction is None:
            return [own]
        assert felt is not None
        slopes = jax.vmap(jax.vmap(self.interaction.slope))(z - felt)
        return [own - each for each in jnp.mean(slopes, axis=1)]


class _Pairs(eqx.Module):
    """Coupled pairs of all intervals."""

    point: Float[Array, "m d"]
    move: Float[Array, "m d"]
    duration: Float[Array, " m"]
    weight: Float[Array, " m"]
    design: Float[Array, "m d J"]  # of the terms that are no networks
    interval: Int[Array, " m"]
    when: Float[Array, "m t"]  # time as a coordinate, of a potential that changes

    def take(self, rows: np.ndarray | Array) -> _Pairs:
        return jax.tree.map(lambda a: a[rows], self)


def train_networks(
    couplings: Sequence[Couplings],
    widths: Mapping[str, Sequence[int]],
    others: LinearEnergy | None,
    scheme: Scheme,
    *,
    seed: int,
    span: Float[np.ndarray, "2"] | None = None,
    apart: Sequence[Couplings] | None = None,
    training: Training | None = None,
    progress: bool = False,
) -> Trained:
    """The networks whose forces explain the couplings best, beside the other terms.

    Some pairs are held out, and the weights kept that explain them best: couplings are noisy, and
    a network that follows each of them has features of no use for others. Pairs of one coupling
    share what its clouds are off by chance; many intervals average that, and a network that knows
    their times can learn it of each: such a one is judged by couplings of other particles.

    Args:
        couplings: with the density's gradient, if there is an internal term.
        widths: units of each hidden layer of the `potential`, of the `interaction` or of both.
        others: the energy's other terms, trained along.
        scheme: where the force is taken.
        seed: of initial weights, batches, particles felt and pairs held out.
        span: first and last time of a potential that changes, whose network is one of position and
            time, as `clock` tells it; the same at all times if None.
        apart: couplings of particles held out; a share of the pairs is if None.
        training: how; the defaults if None.
        progress: show a progress bar.
    """
    training = training or Training()
    pairs = _pairs(couplings, others, scheme, span)
    if apart is None:
        order = np.random.default_rng(seed).permutation(len(pairs.weight))
        count = int(training.held_out * len(order))
        held, used = pairs.take(order[:count]), pairs.take(order[count:])
    else:
        held, used = _pairs(apart, others, scheme, span), pairs
    key = jax.random.PRNGKey(seed)
    model = _untrained(pairs, widths, training, key)
    clouds = _clouds(couplings, scheme) if "interaction" in widths else None
    state, best, least = _optimiser(training).init(model), model, np.inf
    rounds = max(1, training.steps // training.look)
    for index in tqdm(range(rounds), disable=not progress, desc="training", unit="look"):
        here = jax.random.fold_in(key, index)
        model, state, loss = _advance(model, state, used, held, clouds, here, training)
        if float(loss) < least:
            best, least = model, float(loss)
    return jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), best)


def _untrained(
    pairs: _Pairs, widths: Mapping[str, Sequence[int]], training: Training, key: PRNGKeyArray
) -> Trained:
    """Networks of random hidden layers that exert no force yet."""
    networks: dict[str, Network | None] = {"potential": None, "interaction": None}
    for term, units in widths.items():
        own = key if term == "potential" else jax.random.split(key)[1]
        inputs = pairs.point.shape[1] + (pairs.when.shape[1] if term == "potential" else 0)
        hidden = Neural.initial(inputs, units, training.frequency, own)
        even = Even(hidden) if term == "interaction" else hidden
        networks[term] = Network(even, jnp.zeros(hidden.size))
    return Trained(**networks, others=jnp.zeros(pairs.design.shape[2]))


@lru_cache
def _optimiser(training: Training):  # type: ignore[no-untyped-def]
    import optax

    rate = optax.cosine_decay_schedule(training.rate, training.steps, 0.01)
    return optax.chain(
        optax.clip_by_global_norm(10.0), optax.adamw(rate, weight_decay=training.decay)
    )


@eqx.filter_jit
def _advance(model, state, used, held, clouds, key, training):  # type: ignore[no-untyped-def]
    """As many steps as there are between two looks, and the loss that the look finds.

    All that a training needs is an argument: members of an ensemble are compiled for once.
    """
    batch = min(training.batch, len(used.weight))
    total = jnp.cumsum(used.weight)

    def loss(model, pairs, felt):  # type: ignore[no-untyped-def]
        each = jax.vmap(lambda pair, near: _misfit(model, pair, near))(pairs, felt)
        return jnp.sum(jnp.full(batch, 1.0 / batch) * each)

    def step(carry, key):  # type: ignore[no-untyped-def]
        model, state = carry
        rows = jnp.searchsorted(total, total[-1] * jax.random.uniform(key, (batch,)))
        pairs = used.take(rows)
        felt = _felt(clouds, pairs.interval, jax.random.fold_in(key, 1), training)
        slope = jax.grad(loss)(model, pairs, felt)
        change, state = _optimiser(training).update(slope, state, model)
        return (eqx.apply_updates(model, change), state), None

    (model, state), _ = jax.lax.scan(step, (model, state), jax.random.split(key, training.look))
    # the same particles at every look, so that looks can be compared
    felt = _felt(clouds, held.interval, jax.random.PRNGKey(0), training)
    each = jax.lax.map(lambda pair: _misfit(model, *pair), (held, felt), batch_size=training.batch)
    return model, state, jnp.sum(held.weight / held.weight.sum() * each)


def _felt(
    clouds: Float[Array, "T C d"] | None,
    interval: Int[Array, " m"],
    key: PRNGKeyArray,
    training: Training,
) -> Float[Array, "m 2 S d"] | None:
    """Two samples of the population of each pair's interval."""
    if clouds is None:
        return None
    shape = (len(interval), 2, training.felt)
    return clouds[interval[:, None, None], jax.random.randint(key, shape, 0, clouds.shape[1])]


def _misfit(model: Trained, pair: _Pairs, felt: Float[Array, "2 S d"] | None) -> Float[Array, ""]:
    """‖y − x − τF‖²/τ of one pair; of an interaction, an estimate of it without bias."""
    errors = [
        pair.move - pair.duration * force
        for force in model.forces(pair.point, pair.design, felt, pair.when)
    ]
    return jnp.sum(errors[0] * errors[-1]) / pair.duration


def _clouds(couplings: Sequence[Couplings], scheme: Scheme) -> Float[Array, "T C d"]:
    """The population that is felt in each interval, as so many particles of the same weight."""
    clouds = []
    for each in couplings:
        total = np.cumsum(each.weight)
        rows = np.searchsorted(total, total[-1] * (np.arange(_CLOUD) + 0.5) / _CLOUD)
        clouds.append(evaluation_points(each, scheme)[rows])
    return jnp.asarray(np.stack(clouds), jnp.float32)


def _pairs(
    couplings: Sequence[Couplings],
    others: LinearEnergy | None,
    scheme: Scheme,
    span: Float[np.ndarray, "2"] | None,
) -> _Pairs:
    """In single precision: noise of training is far larger than its round-off."""
    parts = []
    for index, each in enumerate(couplings):
        points = evaluation_points(each, scheme)
        told = [] if span is None else [float(clock(np.asarray(each.middle), span))]
        design = np.zeros((*points.shape, 0))
        if others is not None:
            with double():
                field = others.around(jnp.asarray(points), jnp.asarray(each.weight))
                score = None if each.score is None else jnp.asarray(each.score)
                over = (0, None if score is None else 0)
                design = np.asarray(jax.vmap(field.design, over)(jnp.asarray(points), score))
        parts.append(
            (
                points,
                np.asarray(each.target - each.source),
                np.full(len(points), float(each.duration)),
                float(each.effective_count) * np.asarray(each.weight),
                design,
                np.full(len(points), index),
                np.tile(np.array(told), (len(points), 1)),
            )
        )
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    interval = jnp.asarray(columns.pop(-2), jnp.int32)
    point, move, duration, weight, beside, when = (jnp.asarray(c, jnp.float32) for c in columns)
    return _Pairs(point, move, duration, weight / weight.sum(), beside, interval, when)

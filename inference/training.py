"""Networks trained on the residual, so that their last layer has features worth conditioning on.

The loss is that of JKOnet* (Terpin et al., NeurIPS 2024) at the scheme's points; what is kept is
not the network's own last layer but the features that it found, whose coefficients are inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from bayesjko.models.bases import Neural
from bayesjko.models.data import Couplings
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Scheme, evaluation_points
from bayesjko.models.precision import double

__all__ = ["Training", "train_features"]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        steps: of Adam.
        batch: pairs of particles a step.
        rate: of Adam at the start; falls to a hundredth along a cosine.
        decay: of weights.
        frequency: how many times as steep as usual the first layer starts.
        held_out: share of the pairs that tell when to stop.
        look: steps between two looks at them.
    """

    steps: int = 3000
    batch: int = 1000
    rate: float = 3e-3
    decay: float = 1e-4
    frequency: float = 6.0
    held_out: float = 0.2
    look: int = 100


class _Trained(eqx.Module):
    """All that is trained: the features, their coefficients, and those of the other terms."""

    features: Neural
    last: Float[Array, " H"]
    others: Float[Array, " J"]

    def force(self, z: Float[Array, " d"], design: Float[Array, "d J"]) -> Float[Array, " d"]:
        slope = jax.grad(lambda x: self.features.value(x) @ self.last)(z)
        return -slope + design @ self.others


class _Pairs(eqx.Module):
    """Coupled pairs of all intervals."""

    point: Float[Array, "m d"]
    move: Float[Array, "m d"]
    duration: Float[Array, " m"]
    weight: Float[Array, " m"]
    design: Float[Array, "m d J"]  # of the terms beside the network's

    def take(self, rows: np.ndarray | Array) -> _Pairs:
        return jax.tree.map(lambda a: a[rows], self)


def train_features(
    couplings: Sequence[Couplings],
    widths: Sequence[int],
    others: LinearEnergy | None,
    scheme: Scheme,
    *,
    seed: int,
    training: Training | None = None,
    progress: bool = False,
) -> Neural:
    """The hidden layers of a potential −∇V that explains the couplings best.

    Some pairs are held out, and the weights kept that explain them best: couplings are noisy, and
    a network that follows each of them has features of no use for others.

    Args:
        couplings: with the density's gradient, if there is an internal term.
        widths: units of each hidden layer.
        others: the energy's other terms, trained along.
        scheme: where the force is taken.
        seed: of initial weights, batches and pairs held out.
        training: how; the defaults if None.
        progress: show a progress bar.
    """
    import optax

    training = training or Training()
    pairs = _pairs(couplings, others, scheme)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pairs.weight))
    count = int(training.held_out * len(order))
    held, used = pairs.take(order[:count]), pairs.take(order[count:])
    key = jax.random.PRNGKey(seed)
    features = Neural.initial(pairs.point.shape[1], widths, training.frequency, key)
    start = _Trained(features, jnp.zeros(features.size), jnp.zeros(pairs.design.shape[2]))
    rate = optax.cosine_decay_schedule(training.rate, training.steps, 0.01)
    optimiser = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adamw(rate, weight_decay=training.decay)
    )
    batch = min(training.batch, len(used.weight))

    @eqx.filter_jit
    def advance(model, state, key):  # type: ignore[no-untyped-def]
        def step(carry, key):  # type: ignore[no-untyped-def]
            model, state = carry
            rows = jax.random.choice(key, len(used.weight), (batch,), p=used.weight)
            slope = jax.grad(_loss)(model, used.take(rows), jnp.full(batch, 1.0 / batch))
            change, state = optimiser.update(slope, state, model)
            return (eqx.apply_updates(model, change), state), None

        keys = jax.random.split(key, training.look)
        (model, state), _ = jax.lax.scan(step, (model, state), keys)
        return model, state, _loss(model, held, held.weight / held.weight.sum())

    model, state, best, least = start, optimiser.init(start), start, np.inf
    rounds = max(1, training.steps // training.look)
    for index in tqdm(range(rounds), disable=not progress, desc="training", unit="look"):
        model, state, loss = advance(model, state, jax.random.fold_in(key, index))
        if float(loss) < least:
            best, least = model, float(loss)
    return jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), best.features)


def _loss(model: _Trained, pairs: _Pairs, weight: Float[Array, " m"]) -> Float[Array, ""]:
    force = jax.vmap(model.force)(pairs.point, pairs.design)
    error = pairs.move - pairs.duration[:, None] * force
    return jnp.sum(weight * jnp.sum(error**2, axis=1) / pairs.duration)


def _pairs(couplings: Sequence[Couplings], others: LinearEnergy | None, scheme: Scheme) -> _Pairs:
    """In single precision: noise of training is far larger than its round-off."""
    parts = []
    for each in couplings:
        points = evaluation_points(each, scheme)
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
            )
        )
    whole = [jnp.asarray(np.concatenate(part), jnp.float32) for part in zip(*parts, strict=True)]
    return _Pairs(whole[0], whole[1], whole[2], whole[3] / whole[3].sum(), whole[4])

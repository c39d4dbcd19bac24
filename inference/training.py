"""Networks trained on the residual, so that their last layer has features worth conditioning on.

The loss is that of JKOnet* (Terpin et al., NeurIPS 2024) at the scheme's points. What is inferred
afterwards is the last layer of what is trained here, or all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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

__all__ = ["Trained", "Training", "train_network"]


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


class Trained(eqx.Module):
    """All that is trained.

    Attributes:
        hidden: layers of V but for the last.
        last: that one.
        others: coefficients of the terms beside V.
    """

    hidden: Neural
    last: Float[Array | np.ndarray, " H"]
    others: Float[Array | np.ndarray, " J"]

    def force(self, z: Float[Array, " d"], design: Float[Array, "d J"]) -> Float[Array, " d"]:
        """−∇V at a point, and what the other terms' design there makes of their coefficients."""
        slope = jax.grad(lambda x: self.hidden.value(x) @ self.last)(z)
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


def train_network(
    couplings: Sequence[Couplings],
    widths: Sequence[int],
    others: LinearEnergy | None,
    scheme: Scheme,
    *,
    seed: int,
    training: Training | None = None,
    progress: bool = False,
) -> Trained:
    """The network −∇V that explains the couplings best, beside the other terms.

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
    training = training or Training()
    pairs = _pairs(couplings, others, scheme)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pairs.weight))
    count = int(training.held_out * len(order))
    held, used = pairs.take(order[:count]), pairs.take(order[count:])
    key = jax.random.PRNGKey(seed)
    hidden = Neural.initial(pairs.point.shape[1], widths, training.frequency, key)
    model = Trained(hidden, jnp.zeros(hidden.size), jnp.zeros(pairs.design.shape[2]))
    state, best, least = _optimiser(training).init(model), model, np.inf
    rounds = max(1, training.steps // training.look)
    for index in tqdm(range(rounds), disable=not progress, desc="training", unit="look"):
        here = jax.random.fold_in(key, index)
        model, state, loss = _advance(model, state, used, held, here, training)
        if float(loss) < least:
            best, least = model, float(loss)
    return jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), best)


@lru_cache
def _optimiser(training: Training):  # type: ignore[no-untyped-def]
    import optax

    rate = optax.cosine_decay_schedule(training.rate, training.steps, 0.01)
    return optax.chain(
        optax.clip_by_global_norm(10.0), optax.adamw(rate, weight_decay=training.decay)
    )


@eqx.filter_jit
def _advance(model, state, used, held, key, training):  # type: ignore[no-untyped-def]
    """As many steps as there are between two looks, and the loss that the look finds.

    All that a training needs is an argument: members of an ensemble are compiled for once.
    """
    batch = min(training.batch, len(used.weight))
    total = jnp.cumsum(used.weight)

    def step(carry, key):  # type: ignore[no-untyped-def]
        model, state = carry
        rows = jnp.searchsorted(total, total[-1] * jax.random.uniform(key, (batch,)))
        slope = jax.grad(_loss)(model, used.take(rows), jnp.full(batch, 1.0 / batch))
        change, state = _optimiser(training).update(slope, state, model)
        return (eqx.apply_updates(model, change), state), None

    (model, state), _ = jax.lax.scan(step, (model, state), jax.random.split(key, training.look))
    return model, state, _loss(model, held, held.weight / held.weight.sum())


def _loss(model: Trained, pairs: _Pairs, weight: Float[Array, " m"]) -> Float[Array, ""]:
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

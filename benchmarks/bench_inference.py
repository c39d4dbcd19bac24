"""What inference costs beside the linear algebra and the compiled loops it is made of.

make bench
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import block_diag, cho_factor, cho_solve

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conditioning import condition, draw_conditioned, maximise_evidence
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.random_walk import mixing, step_variances, walked
from bayesjko.inference.smoothing import smoothed
from bayesjko.inference.training import Training, train_networks
from bayesjko.inference.tridiagonal import BlockTridiagonal
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.dynamics import advance
from bayesjko.models.energies import LinearEnergy, build_linear_energy, field_of
from bayesjko.models.likelihoods.moments import build_tests
from bayesjko.models.likelihoods.residual import Statistics, statistics
from bayesjko.models.likelihoods.weak import weak_sums
from bayesjko.models.precision import double


def couplings(pairs):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(pairs, 2))
    target = source - 0.1 * source + np.sqrt(0.1) * rng.normal(size=(pairs, 2))
    rows, weight = np.arange(pairs), np.full(pairs, 1 / pairs)
    return Couplings(source, target, weight, 0.1, float(pairs), rows, rows)


def snapshots(particles):
    clouds = np.random.default_rng(1).normal(size=(2, particles, 2))
    return Snapshots(np.array([0.0, 1.0]), tuple(clouds))


def test_the_closed_form(beside):
    """K³/3 flops of a Cholesky factor and 2K³ of an inverse, K = 124."""
    energy = build_linear_energy(snapshots(4000), potential="rbf:119")
    data = statistics(energy, couplings(20_000))
    ridge = np.full(energy.size, 1e-3 * np.median(np.diag(data.gram)))
    matrix = data.gram + np.diag(ridge)

    def bare():
        factor = cho_factor(matrix, lower=True)
        return cho_solve(factor, np.eye(len(matrix))), cho_solve(factor, data.moment)

    ours = lambda: condition([data], ridge, "inverse-gamma")  # noqa: E731
    beside("closed form, 124 coefficients", ours, "LAPACK, one solve", bare, most=3.0, rounds=50)


def test_the_most_probable_prior(beside):
    """A search over the prior's scale: some tens of solves."""
    energy = build_linear_energy(snapshots(4000), potential="rbf:119")
    data = statistics(energy, couplings(20_000))
    terms = list(energy.slices.values())
    ridge = np.full(energy.size, 1e-3 * np.median(np.diag(data.gram)))
    beside(
        "evidence maximised, 124 coefficients",
        lambda: maximise_evidence([data], energy.size, terms, "inverse-gamma"),
        "one closed form",
        lambda: condition([data], ridge, "inverse-gamma"),
    )


@pytest.mark.parametrize("intervals", [10, 20])
def test_an_energy_that_wanders(beside, intervals):
    """TK³ for passes over T intervals, (TK)³ for matrices of all of them: K = 40."""
    size, rng = 40, np.random.default_rng(0)
    energy = LinearEnergy(Polynomial(tuple((power,) for power in range(1, size + 1))))
    times = np.arange(intervals + 1.0)
    blocks = []
    for _ in range(intervals):
        design, move = rng.normal(size=(400, size)), rng.normal(size=400)
        blocks.append(Statistics(design.T @ design, design.T @ move, float(move @ move), 400.0))
    meat = block_diag(*(block.gram for block in blocks))
    problem = LinearProblem(energy, tuple(blocks), intervals, 1.0, lambda _: meat)
    ridge, white = np.ones(size), rng.normal(size=(intervals, size, 1000))
    variances, mixed = step_variances(energy, times, 0.3), mixing(energy, times, 0.3)

    def passes():
        found = smoothed(problem.blocks, ridge, variances, 1.0)
        return found.mean + np.moveaxis(found.errors(BlockTridiagonal.cut(meat, size), white), 2, 0)

    def dense():
        walk = walked(problem, mixed)
        found = condition(walk.blocks, ridge, 1.0)
        joint = sandwich(found, walk.meat(found.mean))
        return draw_conditioned(found, joint, 1000, 0)[0].reshape(1000, -1) @ mixed.T

    beside(f"a walk over {intervals} intervals, 1,000 draws", passes, "dense matrices", dense)


def test_weak_moments(beside):
    """2ndMK flops of the product of tests' and features' gradients, beside the same by BLAS."""
    data = snapshots(100_000)
    energy = build_linear_energy(data, potential="rbf:119")
    tests = build_tests(energy, data.particles[1][:20_000], bumps=120, most=1000, seed=0)
    cloud, weight = data.particles[0], data.weights[0]
    field, n = field_of(energy, cloud, weight), len(cloud)
    left, right = np.ones((2 * n // 8, tests.size)), np.ones((2 * n // 8, energy.size))

    def product():
        for _ in range(8):
            left.T @ right

    ours = lambda: weak_sums(field, tests, cloud, weight)  # noqa: E731
    beside("weak moments of 10⁵, rbf:119", ours, "BLAS, their product", product, rounds=3)


def test_bends_in_ten_dimensions(beside):
    """Hessians of poly:2 along paths, of the terms that are not zero, beside its gradients."""
    basis = Polynomial.of_degree(2, 10)
    theta = jnp.linspace(-1.0, 1.0, basis.size)
    points = jnp.asarray(np.random.default_rng(3).normal(size=(2048, 10)))
    bend = jax.jit(jax.vmap(lambda x: basis.hessian(x, theta)))
    slope = jax.jit(jax.vmap(lambda x: basis.gradient(x) @ theta))
    beside(
        "Hessians of poly:2 in ten dimensions",
        lambda: bend(points).block_until_ready(),
        "their gradients",
        lambda: slope(points).block_until_ready(),
        most=1.0,
    )


def test_steps_of_a_forecast(beside):
    """50 clouds of 1,000 particles, 20 steps, beside the same potential written by hand."""
    energy = build_linear_energy(snapshots(1000), potential="poly:4", internal=True)
    steps, count, particles = 20, 50, 1000
    with double():
        key = jax.random.PRNGKey(0)
        keys = jax.random.split(key, count)
        theta = jnp.tile(jnp.full(energy.size, 0.1), (count, 1))
        clouds = jnp.asarray(np.random.default_rng(2).normal(size=(count, particles, 2)))
        weight = jnp.full(particles, 1 / particles)
        powers = [(a, b) for a in range(5) for b in range(5 - a) if a + b]
        scale = jnp.full(len(powers), 0.1)

        def potential(x):
            return sum(s * x[0] ** a * x[1] ** b for s, (a, b) in zip(scale, powers, strict=True))

        force = jax.vmap(jax.vmap(jax.grad(potential)))

        @jax.jit
        def walk(clouds, key):
            def step(i, x):
                shock = jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
                return jnp.clip(x - 1e-3 * force(x) + 0.01 * shock, -9, 9)

            return jax.lax.fori_loop(0, steps, step, clouds)

        beside(
            f"forecast, {count * particles * steps / 1e6:g}·10⁶ particle steps",
            lambda: advance(
                energy, theta, clouds, weight, jnp.asarray(0.02), steps, keys
            ).block_until_ready(),
            "one hand-written loop",
            lambda: walk(clouds, key).block_until_ready(),
        )


def test_training_of_a_network(benchmark, table):
    """An epoch of 5,000 pairs in batches of 1,000, beside JKOnet*'s: 64–64, softplus, Adam.

    Theirs is a compiled step for each batch of shuffled pairs, as the reference has it without its
    loader, and the force at the target. Ours is a whole training after one that has compiled it,
    with what it prepares and its looks at the pairs held out.
    """
    epochs, batch, data = 40, 1000, couplings(5000)
    each = len(data.weight) // batch
    points = np.asarray(data.target, np.float32)
    move = np.asarray(data.target - data.source, np.float32)
    rng = np.random.default_rng(0)
    layers = [
        jnp.asarray(rng.normal(size=shape) / np.sqrt(shape[0]), jnp.float32)
        for shape in ((2, 64), (64, 64), (64, 1))
    ]
    optimiser = optax.adam(1e-3)

    def value(x, layers):
        for layer in layers[:-1]:
            x = jax.nn.softplus(x @ layer)
        return (x @ layers[-1])[0]

    def loss(layers, x, y):
        return jnp.mean((y + 0.1 * jax.vmap(jax.grad(value), (0, None))(x, layers)) ** 2)

    @jax.jit
    def step(layers, state, x, y):
        slope = jax.grad(loss)(layers, x, y)
        change, state = optimiser.update(slope, state, layers)
        return optax.apply_updates(layers, change), state

    def plain(count):
        found, state = layers, optimiser.init(layers)
        for _ in range(count):
            for rows in np.split(rng.permutation(len(points)), each):
                found, state = step(found, state, points[rows], move[rows])
        return found

    training = Training(steps=each * epochs, batch=batch)

    def trained():
        widths = {"potential": (64, 64)}
        return train_networks([data], widths, None, "implicit", training=training, seed=0)

    def seconds(work):
        start = time.process_time()  # each runs for a second, in which other work takes its part
        jax.block_until_ready(work())
        return time.process_time() - start

    trained(), plain(1)  # compiles
    benchmark.pedantic(lambda: None)
    # in turns; the fastest of each
    ours, theirs = zip(
        *((seconds(trained), seconds(lambda: plain(epochs))) for _ in range(3)), strict=True
    )
    table(
        "network 64–64, an epoch",
        min(ours) / epochs,
        "JKOnet*'s, step by step",
        min(theirs) / epochs,
        most=1.1,
    )

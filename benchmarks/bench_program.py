"""What an effective draw of NUTS costs: the same for any number of particles, and beside a program
that is written over particles.

make bench
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from scipy.linalg import block_diag

from bayesjko.inference.methods import infer_by_method
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.target import linear_program, target_of
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.likelihoods.residual import statistics
from bayesjko.models.precision import double

NOISE = 1.0
OPTIONS = InferenceOptions(
    method="nuts", covariance="model", draws=2000, warmup=300, chains=1, prior_scale=1.0
)


def couplings(pairs):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(pairs, 2))
    target = source - 0.1 * source + np.sqrt(0.1) * rng.normal(size=(pairs, 2))
    rows, weight = np.arange(pairs), np.full(pairs, 1 / pairs)
    return Couplings(source, target, weight, 0.1, float(pairs), rows, rows)


def energy():
    clouds = np.random.default_rng(1).normal(size=(2, 4000, 2))
    return build_linear_energy(Snapshots(np.array([0.0, 1.0]), tuple(clouds)), potential="poly:6")


def a_gradient(density, place, rounds=2000):
    """Seconds, inside one compiled loop as in a sampler."""

    @jax.jit
    def loop(z):
        return jax.lax.fori_loop(0, rounds, lambda _, z: z + 1e-9 * jax.grad(density)(z), z)

    loop(place).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        loop(place).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times) / rounds  # other work on the machine only ever adds


def ours(pairs):
    """Seconds for an effective draw of the coefficient that mixes least."""
    model = energy()
    data = statistics(model, couplings(pairs))
    problem = LinearProblem(model, (data,), 1, NOISE, lambda _: block_diag(data.gram))
    found = infer_by_method(problem, OPTIONS)
    least = effective_sample_size(found.coefficients).min()
    with double():
        target = target_of(linear_program(problem, OPTIONS))
        seconds = a_gradient(target.log_density, jnp.zeros(target.size))
    return seconds * found.sample_stats["n_steps"].sum() / least


def over_particles(pairs):
    """The same model as anybody would write it first."""
    model, data = energy(), couplings(pairs)
    with double():
        field = model.around(jnp.asarray(data.source), jnp.asarray(data.weight))
        design = jax.vmap(lambda x: field.design(x, None))(jnp.asarray(data.source))
        move = jnp.asarray(data.target - data.source)

        def program():
            theta = numpyro.sample("theta", dist.Normal(jnp.zeros(model.size), 1.0).to_event(1))
            force = jnp.einsum("ndk,k->nd", design, theta)
            scale = jnp.sqrt(NOISE * data.duration)
            numpyro.sample("move", dist.Normal(data.duration * force, scale).to_event(2), obs=move)

        sampler = MCMC(
            NUTS(program), num_warmup=300, num_samples=300, progress_bar=False, num_chains=1
        )
        sampler.run(jax.random.PRNGKey(0), extra_fields=("num_steps",))
        drawn = np.asarray(sampler.get_samples(group_by_chain=True)["theta"])
        steps = np.asarray(sampler.get_extra_fields()["num_steps"]).sum()

        def density(theta):
            error = move - data.duration * jnp.einsum("ndk,k->nd", design, theta)
            return -0.5 * jnp.sum(error**2) / (NOISE * data.duration) - 0.5 * jnp.sum(theta**2)

        seconds = a_gradient(density, jnp.zeros(model.size), rounds=50)
    return seconds * steps / effective_sample_size(drawn).min()


def test_an_effective_draw_costs_the_same_for_a_thousand_and_a_million_particles(benchmark, table):
    small, large = ours(10**3), ours(10**6)
    benchmark.pedantic(lambda: None)
    table("NUTS, an effective draw, 10⁶ particles", large, "10³ particles", small, 1.2)


def test_an_effective_draw_costs_a_hundredth_of_one_over_particles(benchmark, table):
    summed, plain = ours(5000), over_particles(5000)
    benchmark.pedantic(lambda: None)
    table("NUTS, an effective draw, 5000 particles", summed, "NUTS over particles", plain, 0.01)

"""Every method on one problem: all agree with the closed form, each as well as it promises."""

import subprocess
import sys

import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from bayesjko.inference.methods import METHODS
from bayesjko.inference.methods import infer_by_method as infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.bases import Polynomial
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Statistics

ENERGY = LinearEnergy(Polynomial.of_degree(2, 2), internal=True)
SIZE = ENERGY.size


def problem(noise="inverse-gamma", rows=200):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, SIZE))
    theta = np.append(rng.normal(size=SIZE - 1), 0.05)  # β near zero
    y = x @ theta + np.sqrt(0.5) * rng.normal(size=rows)
    data = Statistics(x.T @ x, x.T @ y, float(y @ y), float(rows))
    root = rng.normal(size=(SIZE, SIZE))
    meat = 20.0 * (root @ root.T + np.eye(SIZE))
    return LinearProblem(ENERGY, (data,), 1, noise, lambda _: meat, notes=("A note.",))


def agrees(found, exact, mean, sd):
    """Means in Monte Carlo standard errors, spreads in their own Monte Carlo error."""
    draws = found.coefficients
    size = effective_sample_size(draws)
    own = found.draws.std(axis=0)
    np.testing.assert_array_less(np.abs(found.mean - exact.mean) * np.sqrt(size) / own, mean)
    truth = exact.draws.std(axis=0) if exact.covariance is None else _spread(exact)
    np.testing.assert_allclose(own, truth, rtol=sd)


def _spread(posterior):
    return np.sqrt(np.diagonal(posterior.covariance, axis1=1, axis2=2))


@pytest.mark.parametrize("method", [name for name in METHODS if name != "conjugate"])
def test_under_a_normal_prior_it_is_the_conjugate_posterior(method):
    exact = infer(problem(), InferenceOptions(draws=4000))
    found = infer(problem(), InferenceOptions(method=method, draws=4000, warmup=300))
    assert found.method == method
    assert found.uncertainty == "sandwich"
    assert found.coefficients.shape == (4, 1000, 1, SIZE)
    assert found.notes == ("A note.",)
    # the conjugate spread itself is exact; 5% is three standard errors of 4,000 draws' own
    agrees(found, exact, mean=4.0, sd=0.05 if method == "vi" else 0.1)
    assert split_gelman_rubin(found.coefficients).max() < 1.01
    if "diverging" in found.sample_stats:
        assert not found.sample_stats["diverging"].any()


def test_an_unknown_noise_is_found_as_in_the_closed_form():
    options = InferenceOptions(covariance="model", draws=8_000, prior_scale=1.0)
    exact = infer(problem(), options)
    asked = InferenceOptions(
        method="vi", covariance="model", draws=8_000, prior_scale=1.0, beta_prior="half-normal"
    )
    found = infer(problem(), asked)
    np.testing.assert_allclose(found.noise.mean(), exact.noise.mean(), rtol=0.03)
    np.testing.assert_allclose(found.noise.std(), exact.noise.std(), rtol=0.1)
    # the exact posterior cut where β is negative
    kept = exact.draws[exact.draws[:, 0, -1] > 0.0]
    assert 0.1 * len(exact.draws) < len(kept) < 0.9 * len(exact.draws)
    assert found.draws[..., -1].min() > 0.0
    np.testing.assert_allclose(found.mean[0], kept.mean(axis=0)[0], atol=0.02)


LAZY = """
import importlib.util, sys

spec = importlib.util.find_spec("numpyro")
loader = importlib.util.LazyLoader(spec.loader)
spec.loader = loader
sys.modules["numpyro"] = numpyro = importlib.util.module_from_spec(spec)
loader.exec_module(numpyro)

import bayesjko.inference.{module}

assert numpyro.distributions.distribution is sys.modules["numpyro.distributions.distribution"]
"""


@pytest.mark.parametrize("module", ["target", "vi"])
def test_numpyro_is_whole_where_another_library_has_announced_it(module):
    """As ArviZ 1 does; `import numpyro.distributions` then runs that package twice, in pieces."""
    subprocess.run([sys.executable, "-c", LAZY.format(module=module)], check=True)

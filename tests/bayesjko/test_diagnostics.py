"""Verdicts on draws: what is fine is called fine, and what is not is told with a way out."""

from dataclasses import replace

import numpy as np
import pytest

from bayesjko import FitSettings, fit, load_result, simulate
from bayesjko.diagnostics import diagnose, probe_draws
from bayesjko.plots import PICTURES
from bayesjko.plots.style import styled
from bayesjko.summary import summarise

DATA = simulate("styblinski_tang", beta=0.2, particles=80, snapshots=3, seed=1)
SETTINGS = FitSettings(likelihood="residual", potential="poly:2", draws=2000)


@pytest.fixture(scope="module")
def exact():
    return fit(DATA, SETTINGS)


def as_chains(result, coefficients=None, **stats):
    """The result as if a sampler had drawn it."""
    chains, draws = result.posterior.coefficients.shape[:2]
    rng = np.random.default_rng(0)
    usual = {
        "diverging": np.zeros((chains, draws), bool),
        "energy": rng.normal(size=(chains, draws)),
    }
    posterior = replace(
        result.posterior,
        method="nuts",
        log_evidence=None,
        coefficients=result.posterior.coefficients if coefficients is None else coefficients,
        sample_stats={**usual, **stats},
    )
    made = replace(result, posterior=posterior)
    return replace(made, diagnostics=diagnose(made))


def as_approximation(result, ratios):
    posterior = replace(
        result.posterior, method="vi", sample_stats={"log_importance_ratio": ratios}
    )
    made = replace(result, posterior=posterior)
    return replace(made, diagnostics=diagnose(made))


def test_draws_of_a_closed_form_need_no_verdict(exact):
    assert exact.diagnostics is None


def test_independent_draws_are_trusted(exact, tmp_path):
    result = as_chains(exact)
    found = result.diagnostics
    assert found.trusted
    assert "trust it" in found.verdict
    assert found.r_hat < 1.01
    assert found.ess_bulk > 1000
    assert found.divergences == 0
    assert (found.probes, found.draws) == (40, 2000)
    assert found.verdict in summarise(result)
    result.save(tmp_path / "result.nc")
    assert load_result(tmp_path / "result.nc").diagnostics == found


def test_chains_that_are_apart_are_not_trusted_and_the_probes_are_counted(exact):
    apart = exact.posterior.coefficients.copy()
    # one chain elsewhere in the slope of the first feature: the force differs at every probe
    apart[0, :, :, 0] += 3.0 * apart[..., 0].std()
    found = as_chains(exact, apart).diagnostics
    assert not found.trusted
    assert found.r_hat > 1.05
    assert 0 < found.apart <= 40
    said = f"do not trust: R-hat {found.r_hat:.3g} on {found.apart} of 40 probes"
    assert said in found.verdict
    assert "run longer" in found.verdict


def test_chains_that_hardly_move_are_not_trusted(exact):
    slow = exact.posterior.coefficients.mean(axis=1, keepdims=True) + 0.0
    steps = np.random.default_rng(1).normal(size=exact.posterior.coefficients.shape)
    walk = slow + 0.05 * exact.posterior.coefficients.std(axis=1, keepdims=True) * steps.cumsum(1)
    found = as_chains(exact, walk).diagnostics
    assert not found.trusted
    assert "effective draws" in found.verdict


def test_divergences_and_little_energy_are_told(exact):
    shape = exact.posterior.coefficients.shape[:2]
    lost = np.zeros(shape, bool)
    lost[0, :60] = True
    found = as_chains(exact, diverging=lost).diagnostics
    assert not found.trusted
    assert "60 divergences" in found.verdict
    lost[0, 2:60] = False
    found = as_chains(exact, diverging=lost).diagnostics
    assert found.trusted
    assert "trust with care: 2 divergences" in found.verdict
    stiff = 0.1 * np.random.default_rng(0).normal(size=shape).cumsum(axis=1)
    found = as_chains(exact, energy=stiff).diagnostics
    assert found.bfmi < 0.3
    assert "energy" in found.verdict


def test_an_approximation_is_judged_by_its_importance_ratios(exact):
    rng = np.random.default_rng(0)
    good = as_approximation(exact, 0.3 * rng.normal(size=(4, 500))).diagnostics
    assert good.trusted
    assert good.pareto_k < 0.5
    assert "trust it" in good.verdict
    bad = as_approximation(exact, 3.0 * rng.exponential(size=(4, 500))).diagnostics
    assert not bad.trusted
    assert bad.pareto_k > 0.7
    assert "--method nuts" in bad.verdict


def test_probes_are_drifts_in_the_users_units(exact):
    draws = probe_draws(exact)
    assert draws["force"].shape == (4, 500, 40, 2)
    cloud = DATA.particles[0]
    drift = exact.drift(cloud, 0.0).reshape(4, 500, -1, 2)
    gaps = np.abs(draws["force"][0, 0, 0] - drift[0, 0]).sum(axis=-1)
    assert gaps.min() < 1e-9
    np.testing.assert_allclose(draws["beta"][..., 0].ravel(), exact.beta)
    assert draws["w1"].shape == (4, 500)


@pytest.mark.parametrize("name", ["traces", "ranks", "chain_energy"])
def test_chains_have_pictures_of_their_own_and_draws_of_a_closed_form_have_not(exact, name):
    assert PICTURES[name](exact, None) is None
    with styled():
        figure = PICTURES[name](as_chains(exact), None)
    assert len(figure.axes) == (1 if name == "chain_energy" else 3)

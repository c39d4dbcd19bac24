"""The posterior mean is the JKOnet* solution: golden arrays, to 1e-8 relative."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from bayesjko.inference.conditioning import condition
from bayesjko.models.bases import RBF, Polynomial, Stacked
from bayesjko.models.data import Couplings
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import statistics

HERE = Path(__file__).parents[1] / "golden"
TERMS = {
    "potential": (True, False, False),
    "potential_internal": (True, False, True),
    "all": (True, True, True),
}


def load(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def posterior_mean(golden, terms):
    """Their convention in our words: ridge = reg·n·τ, ℓ² = σ/2, the score given at the target."""
    tau, (_, n, _) = float(golden["tau"]), golden["source"].shape
    width = float(np.sqrt(golden["rbf_sigma"] / 2))
    basis = Stacked((Polynomial(golden["exponents"]), RBF(golden["rbf_centers"], width)))
    potential, interaction, internal = terms
    energy = LinearEnergy(basis if potential else None, basis if interaction else None, internal)
    rows = np.arange(n)
    parts = [
        statistics(energy, Couplings(x, y, np.full(n, 1 / n), tau, float(n), rows, rows, score))
        for x, y, score in zip(golden["source"], golden["target"], golden["score"], strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    ridge = np.full(energy.size, float(golden["reg"]) * n * tau)
    return condition([total], ridge, 1.0).mean[0]


def check(golden, name):
    expected = np.concatenate(
        [golden[f"{name}_theta_{term}"] for term in ("potential", "interaction", "internal")]
    )
    found = posterior_mean(golden, TERMS[name])
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    print(f"{name}: relative difference {difference:.1e}")
    assert difference < 1e-8


@pytest.mark.processor
@pytest.mark.parametrize("name", TERMS)
def test_our_own_golden_arrays(name):
    check(load(HERE / "jkonet_star.npz"), name)


@pytest.mark.parametrize("name", TERMS)
def test_the_public_solvers_golden_arrays(name):
    folder = os.environ.get("BAYESJKO_ANCHORS")
    if not folder:
        pytest.skip("BAYESJKO_ANCHORS names no folder with jkonet_star_linear_golden.npz")
    check(load(Path(folder) / "jkonet_star_linear_golden.npz"), name)


def test_the_golden_arrays_are_those_of_the_script_beside_them():
    script = HERE / "make_jkonet_star.py"
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location("make_jkonet_star", script)
    )
    module.__spec__.loader.exec_module(module)
    made, committed = module.make(), load(HERE / "jkonet_star.npz")
    assert made.keys() == committed.keys()
    for name, array in committed.items():
        np.testing.assert_allclose(made[name], array, rtol=1e-9, atol=1e-9)

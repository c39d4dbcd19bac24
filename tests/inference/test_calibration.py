"""Counting particles: does the meat say how far the estimating function moves between samples?"""

import numpy as np

from bayesjko.inference.residual import residual_problem
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import build_linear_energy

TIMES = np.array([0.0, 0.05, 0.1])


def quartic_population(seed: int) -> Snapshots:
    """Unpaired samples of ẋ = −x³·4 from a normal: its tails are steep, and gone at once."""
    rng = np.random.default_rng(seed)
    clouds = []
    for time in TIMES:
        start = rng.normal(size=(300, 1))
        clouds.append(start / np.sqrt(1.0 + 8.0 * time * start**2))  # exact
    return Snapshots(TIMES, tuple(clouds))


def test_meat_is_the_variance_between_samples_where_tails_are_steep():
    energy = build_linear_energy(quartic_population(999), potential="poly:4")
    problems = [
        residual_problem(energy, quartic_population(seed), scheme="midpoint") for seed in range(150)
    ]
    grams = np.array([sum(block.gram for block in problem.blocks) for problem in problems])
    moments = np.array([sum(block.moment for block in problem.blocks) for problem in problems])
    theta = np.linalg.solve(grams.mean(axis=0), moments.mean(axis=0))
    between = (moments - grams @ theta).var(axis=0)
    counted = np.mean([np.diag(problem.meat(theta[None])) for problem in problems[:10]], axis=0)
    ratio = np.sqrt(between / counted)
    assert np.all((ratio > 0.75) & (ratio < 1.33)), ratio

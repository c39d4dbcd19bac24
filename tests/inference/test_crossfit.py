"""Equations of some particles with the slope and the weight of the others."""

import numpy as np
import pytest

from bayesjko.inference.crossfit import CrossFit
from bayesjko.models.likelihoods.moments import Sides, weight_covariance

TESTS, SIZE = 3, 2


def population(seed, counts=(40, 44, 36), unequal=False):
    """What particles add to two equations of three tests each, and to their slopes."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(n, TESTS)) for n in counts]
    weights = [rng.random(n) + 0.1 if unequal else np.ones(n) for n in counts]
    weights = [w / w.sum() for w in weights]
    sides = [
        Sides(w, v if k else None, v if k < 2 else None)
        for k, (w, v) in enumerate(zip(weights, values, strict=True))
    ]
    # a particle's slope goes with what it adds to the equations
    slopes = [1.0 + np.stack([v, v**2 - 1.0], axis=-1) for v in values[:-1]]
    contractions = [lambda v, j=j: np.einsum("nm,nmk->k", v, j) for j in slopes]
    means = [w @ v for w, v in zip(weights, values, strict=True)]
    return values, weights, sides, slopes, contractions, np.diff(means, axis=0).ravel()


@pytest.mark.parametrize("unequal", [False, True])
def test_score_is_of_each_fold_with_the_others(unequal):
    values, weights, sides, slopes, contractions, gap = population(0, unequal=unequal)
    folds = CrossFit.of(values, weights, 0.1, seed=3)
    count = len(folds.factors)
    assert count == 8
    expected = np.zeros((2, SIZE))
    for f in range(count):
        own = [w * (fold == f) for w, fold in zip(weights, folds.fold, strict=True)]
        rest = [w * (fold != f) for w, fold in zip(weights, folds.fold, strict=True)]
        own = [w / w.sum() for w in own]
        rest = [w / w.sum() for w in rest]
        means = [w @ v for w, v in zip(own, values, strict=True)]
        weighed = np.linalg.solve(
            (1 - 1 / count) * weight_covariance(values, rest, 0.1),
            np.diff(means, axis=0).ravel(),
        ).reshape(2, TESTS)
        for k in range(2):
            slope = np.einsum("n,nmk->mk", rest[k], slopes[k])
            expected[k] += slope.T @ weighed[k] / count
    np.testing.assert_allclose(folds.score(gap, sides, contractions), expected, rtol=1e-10)


def test_nothing_is_shared():
    """At the truth, where all means are equal: zero on average, and not so if all are together."""
    crossed, plain = [], []
    for seed in range(600):
        values, weights, sides, slopes, contractions, gap = population(seed)
        folds = CrossFit.of(values, weights, 0.1, seed=seed)
        crossed.append(np.sum(folds.score(gap, sides, contractions), axis=0))
        weighed = np.linalg.solve(weight_covariance(values, weights, 0.1), gap).reshape(2, TESTS)
        plain.append(
            sum(
                np.einsum("n,nmk,m->k", w, j, v)
                for w, j, v in zip(weights, slopes, weighed, strict=False)
            )
        )
    for scores, shared in ((crossed, False), (plain, True)):
        z = np.mean(scores, axis=0) / np.std(scores, axis=0) * np.sqrt(len(scores))
        assert bool(np.max(np.abs(z)) > 3.5) == shared, z


def test_two_folds_are_the_least():
    values, weights, sides, _, contractions, gap = population(1, counts=(5, 4, 4))
    folds = CrossFit.of(values, weights, 0.1, seed=0)
    assert len(folds.factors) == 2
    assert np.all(np.isfinite(folds.score(gap, sides, contractions)))

"""Equations of some particles with the slope and the weight of the others."""

import numpy as np
import pytest

from bayesjko.inference.crossfit import CrossFit
from bayesjko.models.likelihoods.moments import Sides, weight_covariance

TESTS, SIZE, SHRINKAGE = 3, 2, 0.1


def population(seed, counts=(40, 44, 36), unequal=False, blank=False):
    """What particles add to two equations of three tests each, and to their slopes.

    The second coefficient's is nothing but noise if that is asked for.
    """
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(n, TESTS)) for n in counts]
    weights = [rng.random(n) + 0.1 if unequal else np.ones(n) for n in counts]
    weights = [w / w.sum() for w in weights]
    sides = [
        Sides(w, v if k else None, v if k < 2 else None)
        for k, (w, v) in enumerate(zip(weights, values, strict=True))
    ]
    # a particle's slope goes with what it adds to the equations
    slopes = [np.stack([1.0 + 2.0 * v, v**2 - 1.0], axis=-1) for v in values[:-1]]
    if not blank:
        slopes[1][..., 1] += np.arange(TESTS)
    means = [w @ v for w, v in zip(weights, values, strict=True)]
    return values, weights, sides, slopes, np.diff(means, axis=0).ravel()


def crossed(seed, **kwargs):
    values, weights, sides, slopes, gap = population(seed, **kwargs)
    folds = CrossFit.of(values, weights, SHRINKAGE, seed=3)
    means = np.zeros((folds.count, 2, TESTS, SIZE))
    for k in range(2):
        for f in range(folds.count):
            own = folds.fold[k] == f
            share = weights[k][own] / weights[k][own].sum()
            means[f, k] = np.einsum("n,nmk->mk", share, slopes[k][own])
    return folds.crossed(gap, sides, means.reshape(folds.count, -1, SIZE)), folds


def by_hand(seed, folds, left_out=(), **kwargs):
    """Score and slope of the folds that are left, from their definition."""
    values, weights, _, slopes, _ = population(seed, **kwargs)

    def of(fold, what):
        return [
            np.einsum("n,n...->...", w[own == fold] / w[own == fold].sum(), v[own == fold])
            for w, own, v in zip(weights, folds.fold, what, strict=False)
        ]

    kept = [f for f in range(folds.count) if f not in left_out]
    gaps = {f: np.diff(of(f, values), axis=0).ravel() for f in kept}
    means = {f: np.concatenate(of(f, slopes)) for f in kept}
    score, gram = np.zeros(SIZE), np.zeros((SIZE, SIZE))
    for f in kept:
        others = [g for g in kept if g != f]
        rest = [w * np.isin(own, others) for w, own in zip(weights, folds.fold, strict=True)]
        covariance = weight_covariance(values, [w / w.sum() for w in rest], SHRINKAGE)
        scale = len(others) / folds.count
        steer = np.mean([means[g] for g in others], axis=0).T @ np.linalg.inv(scale * covariance)
        score += steer @ gaps[f] / len(kept)
        gram += steer @ means[f] / len(kept)
    return score, gram


@pytest.mark.parametrize("unequal", [False, True])
def test_score_and_slope_are_of_each_fold_with_the_others(unequal):
    found, folds = crossed(0, unequal=unequal)
    assert folds.count == 8
    score, gram = by_hand(0, folds, unequal=unequal)
    np.testing.assert_allclose(found.score, score, rtol=1e-10)
    np.testing.assert_allclose(found.gram, 0.5 * (gram + gram.T), rtol=1e-10)


def test_nothing_is_shared():
    """At the truth, where all means are equal: zero on average, and not so if all are together."""
    apart, plain = [], []
    for seed in range(600):
        values, weights, _, slopes, gap = population(seed)
        apart.append(crossed(seed)[0].score)
        weighed = np.linalg.solve(weight_covariance(values, weights, SHRINKAGE), gap)
        plain.append(
            sum(
                np.einsum("n,nmk,m->k", w, j, v)
                for w, j, v in zip(weights, slopes, weighed.reshape(2, TESTS), strict=False)
            )
        )
    for scores, shared in ((apart, False), (plain, True)):
        z = np.mean(scores, axis=0) / np.std(scores, axis=0) * np.sqrt(len(scores))
        assert bool(np.max(np.abs(z)) > 3.5) == shared, z


def test_bias_is_what_leaving_out_a_fold_tells():
    counts = (800, 880, 720)
    found, folds = crossed(4, counts=counts)
    score, gram = by_hand(4, folds, counts=counts)
    whole = np.linalg.solve(gram, score)
    left = [np.linalg.solve(*by_hand(4, folds, (j,), counts=counts)[::-1]) for j in range(8)]
    jackknife = 7.0 * (np.mean(left, axis=0) - whole)
    # that of the move from where the equations are linearised, all of which is noise
    found_there = found.bias(np.linalg.inv(found.gram), np.eye(SIZE))
    assert np.linalg.norm(jackknife) > 0.01 * np.linalg.norm(whole)
    np.testing.assert_allclose(found_there, jackknife, rtol=0.3, atol=0.02 * np.abs(whole).max())


def test_solutions_are_centred_without_their_bias():
    plain, freed = [], []
    for seed in range(200):
        found, _ = crossed(seed, counts=(80, 88, 72))
        inverse = np.linalg.inv(found.gram)
        plain.append(inverse @ found.score)
        freed.append(plain[-1] - found.bias(inverse, np.eye(SIZE)))
    off, left = (np.mean(each, axis=0) for each in (plain, freed))
    error = np.std(freed, axis=0) / np.sqrt(len(freed))
    assert np.max(np.abs(off / error)) > 3.0
    assert np.all(np.abs(left / error) < 2.5), left / error


def test_two_folds_are_the_least():
    found, folds = crossed(1, counts=(5, 4, 4))
    assert folds.count == 2
    assert np.all(np.isfinite(found.score))
    assert np.all(found.bias(np.eye(SIZE), np.eye(SIZE)) == 0.0)  # too few to leave out


@pytest.mark.parametrize("blank", [False, True])
def test_what_is_only_noise_is_not_heard(blank):
    """Products of noise between folds are of either sign: half of them would be information."""
    heard = []
    for seed in range(60):
        found, _ = crossed(seed, counts=(400, 440, 360), blank=blank)
        values, weights, _, slopes, _ = population(seed, counts=(400, 440, 360), blank=blank)
        x = np.concatenate(
            [np.einsum("n,nmk->mk", w, v) for w, v in zip(weights, slopes, strict=False)]
        )
        shared = x.T @ np.linalg.solve(weight_covariance(values, weights, SHRINKAGE), x)
        gram, kept = found.informing(shared)
        np.testing.assert_allclose(kept @ gram, gram, atol=1e-8 * np.abs(gram).max())
        np.testing.assert_allclose(kept @ kept, kept, atol=1e-8 * np.abs(kept).max())
        rank = np.linalg.matrix_rank(kept, tol=1e-8)
        assert rank == np.linalg.matrix_rank(gram, tol=1e-8 * np.abs(gram).max()) >= 1
        assert np.linalg.eigvalsh(gram).min() > -1e-8 * np.abs(gram).max()
        heard.append(rank == SIZE)
    assert np.mean(heard) <= 0.15 if blank else np.mean(heard) == 1.0, np.mean(heard)

"""Make `jkonet_star.npz`: the closed form of JKOnet*, solved in its own convention.

    python tests/golden/make_jkonet_star.py

Arrays simulated here, and the coefficients that the linear solver of JKOnet* (Terpin, Lanzetti,
Gadea and Dörfler, NeurIPS 2024, arXiv 2406.12616, §3.3 and its public code) gives on them, written
with NumPy alone and nothing of the package: features at the source, the score at the target, the
interaction averaged over the source cloud with each particle itself included, and

    θ = −(Σ_k mean DᵀD + reg·I)⁻¹ Σ_k mean Dᵀ(y − x)/τ.
"""

from itertools import product
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("jkonet_star.npz")

TERMS = {
    "potential": ("potential",),
    "potential_internal": ("potential", "internal"),
    "all": ("potential", "interaction", "internal"),
}


def simulate(seed=20240612, particles=60, intervals=2, tau=0.02, beta=0.2):
    """Coupled pairs of a tilted double well with attraction, and the score of a fitted normal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(particles, 2)) * [1.5, 1.0] + [0.3, -0.2]
    source, target, score = [], [], []
    for _ in range(intervals):
        slope = np.stack([x[:, 0] ** 3 - 2 * x[:, 0] + 0.5, 1.5 * x[:, 1]], axis=1)
        attraction = 0.7 * (x - x.mean(axis=0))
        noise = rng.normal(size=x.shape)
        y = x - tau * (slope + attraction) + np.sqrt(2 * beta * tau) * noise
        source.append(x)
        target.append(y)
        score.append(-(y - y.mean(axis=0)) @ np.linalg.inv(np.cov(y.T)))
        x = y
    return {
        "source": np.array(source),
        "target": np.array(target),
        "score": np.array(score),
        "tau": np.array(tau),
        "reg": np.array(0.01),
        "exponents": np.array([a for a in product(range(4), repeat=2) if 0 < sum(a) <= 3]),
        "rbf_centers": np.array(list(product([-1.0, 1.0], repeat=2))),
        "rbf_sigma": np.array(0.9),
    }


def feature_gradients(points, arrays):
    """∇φ at points, (n, d, K): monomials x^α, then exp(−‖x − c‖²/σ)."""
    columns = []
    for alpha in arrays["exponents"]:
        column = np.empty(points.shape)
        for i in range(points.shape[1]):
            lowered = alpha.copy()
            lowered[i] -= 1
            column[:, i] = alpha[i] * np.prod(points ** np.maximum(lowered, 0), axis=1)
        columns.append(column)
    for centre in arrays["rbf_centers"]:
        gap = points - centre
        value = np.exp(-np.sum(gap**2, axis=1) / arrays["rbf_sigma"])
        columns.append(-2 * gap / arrays["rbf_sigma"] * value[:, None])
    return np.stack(columns, axis=2)


def design(x, score, terms, arrays):
    """The columns of D at the sources x: (n, d, K)."""
    parts = []
    if "potential" in terms:
        parts.append(feature_gradients(x, arrays))
    if "interaction" in terms:
        parts.append(np.mean([feature_gradients(x - other, arrays) for other in x], axis=0))
    if "internal" in terms:
        parts.append(score[:, :, None])
    return np.concatenate(parts, axis=2)


def solve(arrays, terms):
    """θ of these terms, one after the other."""
    gram, moment = 0.0, 0.0
    for x, y, score in zip(arrays["source"], arrays["target"], arrays["score"], strict=True):
        d = design(x, score, terms, arrays)
        gram = gram + np.einsum("ndj,ndk->jk", d, d) / len(x)
        moment = moment + np.einsum("ndj,nd->j", d, (y - x) / arrays["tau"]) / len(x)
    return -np.linalg.solve(gram + arrays["reg"] * np.eye(len(gram)), moment)


def make():
    """Every array of the file."""
    arrays = simulate()
    size = len(arrays["exponents"]) + len(arrays["rbf_centers"])
    sizes = {"potential": size, "interaction": size, "internal": 1}
    for name, terms in TERMS.items():
        theta = solve(arrays, terms)
        for term, length in sizes.items():
            taken = length if term in terms else 0
            arrays[f"{name}_theta_{term}"], theta = theta[:taken], theta[taken:]
    return arrays


if __name__ == "__main__":
    np.savez(FILE, **make())

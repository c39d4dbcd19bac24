"""Couplings and distances beside the library that solves them, called bare.

make bench
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import ot
from scipy.spatial.distance import cdist

from bayesjko.inference.distances import wasserstein
from bayesjko.inference.transport import couple
from bayesjko.models.data import Snapshots

PARTICLES = 1500
CORES = os.cpu_count() or 1


def clouds(count):
    rng = np.random.default_rng(0)
    return tuple((1 + 0.1 * k) * rng.normal(size=(PARTICLES, 2)) for k in range(count))


def test_couplings_of_five_intervals_on_all_cores(beside):
    """The network simplex dominates, O(n² log n) and more; its costs are 8n² bytes."""
    snapshots = Snapshots(np.arange(6.0), clouds(6))
    mass = np.full(PARTICLES, 1 / PARTICLES)

    def bare():
        def one(pair):
            return ot.emd(mass, mass, cdist(*pair, "sqeuclidean"), numItermax=10**8)

        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(one, pairwise(snapshots.particles)))

    ours = lambda: couple(snapshots, jobs=CORES)  # noqa: E731
    beside("couplings, 5 × 1500", ours, f"POT on {CORES} threads", bare, most=1.3)


def test_an_earth_movers_distance(beside):
    x, y = clouds(2)
    mass = np.full(PARTICLES, 1 / PARTICLES)
    bare = lambda: ot.emd2(mass, mass, cdist(x, y), numItermax=10**8)  # noqa: E731
    beside("W1 of 1500 and 1500", lambda: wasserstein(x, y), "POT", bare, most=1.3)

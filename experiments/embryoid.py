"""Embryoid bodies (JKOnet* §4.4): 16,819 cells of 27 days in five principal components."""

from __future__ import annotations

from bayesjko.experiments.cells import Cells, alike, cells_report, predict
from bayesjko.experiments.datafiles import DataFile
from bayesjko.experiments.published import published
from bayesjko.experiments.specification import Experiment, Study

__all__ = ["EXPERIMENT"]

FILE = DataFile(
    "eb_pca5.npz",
    "embryoid bodies of Moon et al. (Nature Biotechnology 37, 2019; Mendeley Data v6n743h5ng) in "
    "the principal components of TrajectoryNet (Tong et al., ICML 2020, eb_velocity_v5.npz), the "
    "first five, each standardised, as the array x (cell, component) beside t (0 to 4)",
)

METHODS = {
    "piecewise": {"potential": "rbf:300:1", "time_variation": "piecewise"},
    "piecewise_50": {"potential": "rbf:50:2", "time_variation": "piecewise"},
    "static": {"potential": "rbf:300:1", "likelihood": "residual"},
    "random_walk": {
        "potential": "rbf:50:2",
        "time_variation": "random-walk",
        "likelihood": "residual",
    },
}
"""One energy for each interval on a rich basis and on a poor one, one for all times, and one that
wanders."""

STAND_IN = {
    "potential": "double_well",
    "beta": 0.2,
    "start": "normal",
    "particles": 40,
    "dimension": 3,
    "times": (0.0, 0.2, 0.4, 0.6),
}
"""Of the smoke, which has no file."""

EXPERIMENT = Experiment(
    question="How well is the next snapshot of embryoid bodies predicted for cells that were held "
    "out, and how well are whole snapshots that were left out?",
    studies=(
        Study({"one step": Cells(FILE)}, {**METHODS, **alike(50)}, 5, predict),
        Study(
            {
                "without 1": Cells(FILE, left_out=(1,)),
                "without 2": Cells(FILE, left_out=(2,)),
                "without 3": Cells(FILE, left_out=(3,)),
                "without 1 and 3": Cells(FILE, left_out=(1, 3)),
            },
            {"piecewise": METHODS["piecewise"], "flow": alike(50)["flow"]},
            1,
            predict,
        ),
    ),
    smoke=(
        Study(
            {
                "stand-in, one step": Cells(simulation=STAND_IN),
                "stand-in, without 1": Cells(simulation=STAND_IN, left_out=(1,)),
            },
            {"piecewise": {**METHODS["piecewise"], "potential": "rbf:5", "internal": False}},
            1,
            predict,
        ),
    ),
    report=lambda cells: cells_report(cells, published("embryoid")),
    files=(FILE,),
)

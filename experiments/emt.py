"""Epithelial-to-mesenchymal transition: 3,133 cells at four times in ten dimensions."""

from __future__ import annotations

from bayesjko.experiments.cells import Cells, alike, cells_report, predict
from bayesjko.experiments.datafiles import DataFile
from bayesjko.experiments.embryoid import STAND_IN
from bayesjko.experiments.specification import Experiment, Study

__all__ = ["EXPERIMENT"]

FILE = DataFile(
    "emt.csv",
    "A549 cells in the ten-dimensional embedding that comes with DeepRUOT (Zhang et al., 2024), "
    "columns samples (0 to 3) and x1 to x10",
)
OPTIONS = {"time": "samples"}

METHODS = {
    "piecewise": {"potential": "rbf:100:2", "time_variation": "piecewise"},
    "piecewise_wide": {"potential": "rbf:50:3", "time_variation": "piecewise"},
    "static": {"potential": "rbf:100:2", "likelihood": "residual"},
}
"""One energy for each interval, also on a basis of fewer and wider bumps, and one for all times."""

EXPERIMENT = Experiment(
    question="How well is the next snapshot of an epithelial-to-mesenchymal transition predicted "
    "for cells that were held out, and how well are whole snapshots that were left out?",
    studies=(
        Study({"one step": Cells(FILE, OPTIONS)}, METHODS, 5, predict),
        Study(
            {
                "without 1": Cells(FILE, OPTIONS, left_out=(1,)),
                "without 2": Cells(FILE, OPTIONS, left_out=(2,)),
            },
            {"piecewise": METHODS["piecewise"], "flow": alike(20)["flow"]},
            1,
            predict,
        ),
        Study({"one step": Cells(FILE, OPTIONS)}, alike(20), 1, predict),
    ),
    smoke=(
        Study(
            {"stand-in, one step": Cells(simulation=STAND_IN)},
            {"piecewise": {**METHODS["piecewise"], "potential": "rbf:5", "internal": False}},
            1,
            predict,
        ),
    ),
    report=lambda cells: cells_report(cells, None),
    files=(FILE,),
)

"""A comparison's winner is counted for what it is."""

import pandas as pd
import pytest

from bayesjko.experiments import selection
from bayesjko.experiments.engine import experiment
from bayesjko.selection import Compared, Comparison


def ranked(*names):
    """A comparison in which these energies come in this order, one apart."""
    one = {
        "V": ("none", False),
        "V+beta": ("none", True),
        "V+W": ("poly:2", False),
        "V+W+beta": ("poly:2", True),
    }
    return Comparison(
        tuple(
            Compared("poly:4", *one[name], -float(place), -float(place))
            for place, name in enumerate(names)
        ),
        "weak",
        (),
    )


def test_the_winner_is_right_where_it_is_the_truth(monkeypatch):
    order = ("V+W", "V+W+beta", "V", "V+beta")
    monkeypatch.setattr(selection, "compare", lambda *args, **changes: ranked(*order))
    monkeypatch.setattr(selection, "simulate", lambda **simulation: None)
    truths = experiment("selection").smoke[0].cases
    leads = {"V": -2.0, "V+beta": -3.0, "V+W": 1.0, "V+W+beta": -1.0}
    cells = []
    for case, truth in truths.items():
        found = selection.compete(truth, {}, 0)
        assert found["right"] == (case == "V+W")
        assert [found[f"won_{kind}"] for kind in selection.KINDS] == [0.0, 0.0, 1.0, 0.0]
        assert found["lead"] == pytest.approx(leads[case])
        cells.append({"case": case, "method": "weak", **found})
    cells.append({"case": "V", "method": "weak", "failure": "ValueError: no"})
    table = experiment("selection").report(pd.DataFrame(cells)).tables["metrics"]
    rows = table.set_index("case")
    assert rows["right"].to_dict() == {"V": 0.0, "V+beta": 0.0, "V+W": 1.0, "V+W+beta": 0.0}
    assert rows.loc["V", ["replicates", "failed"]].tolist() == [1, 1]

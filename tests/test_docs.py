"""The pages of the documentation run as they stand, and do what they say."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpyro.diagnostics import split_gelman_rubin

from bayesjko import InputError, share_energy, simulate
from bayesjko.simulate import true_drift

DOCS = Path(__file__).parents[1] / "docs"


def run(page):
    """All names that a page's Python leaves."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


def test_conditions_lend_strength_to_one_another(capsys):
    names = run("programs.md")
    draws = names["draws"]
    assert max(split_gelman_rubin(np.asarray(values)).max() for values in draws.values()) < 1.05
    points = names["points"]
    truth = np.asarray(true_drift(names["few"].truth, points, points))
    errors, held, spread = {}, {}, {}
    for which in ("alone", "together"):
        found = names[which].drift(points)
        errors[which] = np.sqrt(np.mean((found.mean(axis=0) - truth) ** 2))
        spread[which] = found.std(axis=0).mean()
        low, high = np.quantile(found, [0.05, 0.95], axis=0)
        held[which] = np.mean((low <= truth) & (truth <= high))
    assert errors["together"] < errors["alone"]
    assert spread["together"] < 0.6 * spread["alone"]
    assert min(held.values()) > 0.8
    assert "together: drift ± " in capsys.readouterr().out


def test_a_condition_that_cannot_be_compared_is_told():
    data = simulate("styblinski_tang", particles=20, snapshots=2)
    other = simulate("styblinski_tang", particles=20, snapshots=2, dimension=3)
    with pytest.raises(InputError, match="features"):
        share_energy([data, other], potential="poly:2", likelihood="residual")
    with pytest.raises(InputError, match="name it"):
        share_energy([data, data], potential="poly:2")

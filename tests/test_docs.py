"""The pages of the documentation run as they stand, and do what they say."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
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


@pytest.fixture
def scripts(monkeypatch):
    """Modules of the documentation's scripts by their names."""
    monkeypatch.syspath_prepend(DOCS / "scripts")
    return importlib.import_module


def test_results_are_shown_below_the_command_that_makes_them(scripts, tmp_path):
    source = tmp_path / "results" / "bands"
    (source / "figures").mkdir(parents=True)
    (source / "metrics.csv").write_text("case,cover_90\na|b,0.91234\nc,\n", "utf-8")
    (source / "cells.ndjson").write_text("{}", "utf-8")
    (source / "README.md").write_text("- Command: `python -m this`\n- Machine: mine.\n", "utf-8")
    Figure(figsize=(12, 3)).savefig(source / "figures" / "bands.png", dpi=150)
    target = tmp_path / "kept" / "bands"
    scripts("collect").collect(source, target)
    kept = sorted(path.name for path in target.iterdir())
    assert kept == ["README.md", "bands.png", "metrics.csv"]
    page = scripts("generated").found(tmp_path / "kept")
    shown, missing = page.split("## bands\n")[1].split("## calibration\n")[:2]
    places = [shown.index(part) for part in ("python -m this", "| a\\|b | 0.912 |", "| c |  |")]
    assert places == sorted(places)
    assert "![bands: bands](results/bands/bands.png)" in shown
    assert "- Machine: mine." in shown
    assert "python -m bayesjko.experiments run calibration" in missing


def test_everything_public_is_in_the_reference(scripts):
    import bayesjko

    page = scripts("generated").reference()
    for name in bayesjko.__all__:
        assert len(re.findall(rf"^::: bayesjko\.[\w.]*\b{name}$", page, re.MULTILINE)) == 1
    assert page.index("::: bayesjko.fit.fit\n") < page.index(".Snapshots\n")


def test_formulas_become_mathml(scripts):
    turned = scripts("formulas").on_page_content(
        r'a <span class="arithmatex">\(x &lt; y\)</span> <div class="arithmatex">\[\beta\]</div>'
    )
    assert turned.count("<math") == 2
    assert 'display="block"' in turned
    assert "arithmatex" not in turned
    assert "<mi>x</mi><mo>&#x0003C;</mo><mi>y</mi>" in turned


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

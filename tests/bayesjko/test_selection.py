"""Energies compared as a user compares them: what wins, what is said, what is refused."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko import FitSettings, InputError, Snapshots, fit, load_result, select, simulate
from bayesjko.fit.__main__ import main
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.precision import double
from bayesjko.readers import write_snapshots
from bayesjko.selection import _places

DATA = simulate("double_well", beta=0.2, particles=150, snapshots=3, tau=0.02, start="normal")
SETTINGS = FitSettings(
    likelihood="residual", potential="poly:2", interaction="poly:2", draws=20, seed=3
)


@pytest.fixture(scope="module")
def compared():
    return select(DATA, SETTINGS, potentials=["poly:2", "poly:4"], jobs=1)


def test_every_energy_is_compared_and_the_best_is_fitted(compared):
    names = [one.name for one in compared.candidates]
    terms = [
        f"V ({basis}){interaction}{internal}"
        for basis in ("poly:2", "poly:4")
        for interaction in ("", " + W (poly:2)")
        for internal in ("", " + β")
    ]
    assert sorted(names) == sorted(terms)
    evidences = [one.log_evidence for one in compared.candidates]
    assert evidences == sorted(evidences, reverse=True)
    assert [one.difference for one in compared.candidates] == [
        value - evidences[0] for value in evidences
    ]
    best = compared.candidates[0]
    assert best.potential == "poly:4"  # two wells
    chosen = replace(
        SETTINGS,
        potential=best.potential,
        interaction=best.interaction,
        internal=best.internal,
    )
    np.testing.assert_array_equal(
        compared.result.posterior.coefficients, fit(DATA, chosen).posterior.coefficients
    )


def test_the_table_has_the_winner_first_and_grades_the_others(compared):
    head, titles, *rows = compared.table().splitlines()
    assert "residual likelihood" in head
    assert "log evidence" in titles
    assert rows[0].startswith(compared.candidates[0].name)
    assert rows[0].endswith("  wins")
    assert sum(row.endswith("wins") for row in rows) == 1
    for row, one in zip(rows, compared.candidates, strict=True):
        assert f"{one.log_evidence:.2f}" in row
        assert ("clearly worse" in row) == (3.0 <= -one.difference < 5.0)
        assert ("out of the question" in row) == (one.difference <= -5.0)


def test_an_energy_among_others_is_the_energy_alone():
    """The largest energy restricted to a candidate's coefficients pushes as the candidate does."""
    standard = Standardisation.of(DATA).apply(DATA)
    names = ["poly:2+rbf:5", "none", "fourier:6"]
    largest = build_linear_energy(standard, potential="poly:2+rbf:5+fourier:6", internal=True)
    places = _places(largest, names)
    assert len(places["none"]) == 0
    cloud, weight = jnp.asarray(standard.particles[0]), jnp.asarray(standard.weights[0])
    with double():
        pushed = jax.vmap(largest.around(cloud, weight).drift_design)(cloud[:9])
        for name in (names[0], names[2]):
            energy = build_linear_energy(standard, potential=name)
            assert len(places[name]) == energy.size
            alone = jax.vmap(energy.around(cloud, weight).drift_design)(cloud[:9])
            np.testing.assert_allclose(pushed[..., places[name]], alone, rtol=1e-9, atol=1e-12)
    ours = np.sort(np.concatenate([places[name] for name in names]))
    np.testing.assert_array_equal(ours, np.arange(largest.size - 1))


def diffusing(paired=False, seed=0):
    """Particles that only diffuse, from two places: no quadratic potential blurs those."""
    rng = np.random.default_rng(seed)
    start = 0.15 * rng.normal(size=(300, 2)) + np.where(rng.random((300, 1)) < 0.5, -1.0, 1.0)
    steps = np.sqrt(2 * 0.3 * 0.1) * rng.normal(size=(3, 300, 2))
    clouds = list(start + np.cumsum(steps, axis=0))
    if not paired:
        clouds = [rng.permutation(cloud) for cloud in clouds]
    return Snapshots(0.1 * np.arange(3), tuple(clouds), paired=paired)


def test_diffusion_wins_where_nothing_else_moves():
    found = select(
        diffusing(), likelihood="weak", potential="poly:2", interaction="poly:2", tests=20, steps=2
    )
    without = max(one.difference for one in found.candidates if not one.internal)
    assert without < -5.0


def test_units_change_no_evidence():
    settings = replace(SETTINGS, density="kernel")
    moved = Snapshots(0.01 * DATA.times, tuple(30.0 * cloud - 7.0 for cloud in DATA.particles))
    here, there = (select(data, settings, jobs=2).candidates for data in (DATA, moved))
    for ours, theirs in zip(here, there, strict=True):
        assert ours.name == theirs.name
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-3)


def test_periods_and_pairs_are_compared_too():
    found = select(diffusing(paired=True), SETTINGS, time_variation="piecewise")
    assert len(found.candidates) == 4
    assert found.result.posterior.mean.shape[0] == 2


def test_without_a_potential_the_other_terms_are_compared():
    found = select(DATA, SETTINGS, potential="none")
    assert {one.name for one in found.candidates} == {"W (poly:2)", "β", "W (poly:2) + β"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"potentials": ["spline:3"]}, "Unknown basis 'spline:3'"),
        ({"potentials": ["poly:2", ""]}, "Unknown basis ''"),
        ({"potential": "poly:x"}, "Cannot use 'poly:x'"),
        ({"colour": "red"}, "no setting 'colour'"),
        ({"draws": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_compared_is_told(changes, said):
    with pytest.raises(InputError, match=said):
        select(DATA, SETTINGS, **changes)


@pytest.fixture
def data(tmp_path):
    write_snapshots(DATA, tmp_path / "snaps.nc")
    return str(tmp_path / "snaps.nc")


COMMAND = ["--likelihood", "residual", "--potential", "poly:2", "--interaction", "poly:2"]
COMMAND += ["--draws", "20", "--seed", "3"]


def test_the_command_prints_the_table_and_writes_the_winner(data, tmp_path, capsys, compared):
    out = tmp_path / "result.nc"
    options = ["--select", "--potentials", "poly:2, poly:4", "--out", str(out)]
    assert main([data, *COMMAND, *options]) == 0
    said = capsys.readouterr().out
    assert compared.table() in said
    saved = load_result(out)
    np.testing.assert_array_equal(
        saved.posterior.coefficients, compared.result.posterior.coefficients
    )
    assert saved.provenance["selection"] == compared.result.provenance["selection"]


def test_the_command_tells_json_of_it(data, capsys):
    assert main([data, *COMMAND, "--no-internal", "--select", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["selection"]
    assert found["likelihood"] == "residual"
    assert len(found["candidates"]) == 4
    assert found["candidates"][0]["difference"] == 0.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--potentials", "poly:2"], "--potentials is of --select"),
        (["--select", "--potentials", "spline:3"], "Unknown basis 'spline:3'"),
        (["--select", "--potentials", "poly:2,,poly:4"], "Unknown basis ''"),
    ],
)
def test_the_command_refuses_in_one_sentence(options, said, data, tmp_path, capsys):
    out = tmp_path / "result.nc"
    assert main([data, *COMMAND, *options, "--out", str(out)]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert said in written.err
    assert [path.name for path in tmp_path.iterdir()] == ["snaps.nc"]

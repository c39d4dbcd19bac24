"""Pictures: there for every kind of result, not blank, and showing the numbers they stand for."""

from dataclasses import replace
from functools import cache

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.collections import LineCollection
from matplotlib.quiver import Quiver

from bayesjko.fit import fit
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.plots import PICTURES, plot_result
from bayesjko.plots.clouds import draw_clouds
from bayesjko.plots.forces import draw_forces
from bayesjko.plots.interaction import draw_interaction
from bayesjko.plots.landscape import draw_landscape
from bayesjko.plots.scores import draw_scores
from bayesjko.plots.style import styled
from bayesjko.plots.trajectories import draw_trajectories
from bayesjko.plots.view import Plane, thin
from bayesjko.simulate import simulate, true_potential

ALWAYS = {"clouds", "trajectories", "identifiability"}


def _fit(data, **settings):
    return fit(data, **{"potential": "poly:3", "draws": 60, "jobs": 1} | settings)


def _wells(dimension, interaction="none"):
    return simulate(
        "tilted_double_well",
        interaction,
        beta=0.3,
        particles=120,
        snapshots=3,
        tau=0.1,
        start="normal",
        dimension=dimension,
    )


@cache
def _plane():
    return _fit(_wells(2), internal=True, holdout=0.4)


def _line():
    return _fit(_wells(1), time_variation="piecewise")


def _five():
    rng = np.random.default_rng(0)
    clouds = tuple(rng.normal(k, 1.0, (90 + k, 5)) for k in range(4))
    data = Snapshots(
        np.array([0.0, 1.0, 2.0, 4.0]),
        clouds,
        weights=tuple(rng.uniform(0.0, 1.0, len(cloud)) for cloud in clouds),
        features=("a$b$_{", "a name that is much too long to fit on any axis", "é", "%", "x y"),
    )
    return _fit(data, potential="poly:2", time_variation="piecewise")


def _company():
    return _fit(_wells(2, "gaussian"), potential="none", interaction="fourier:12")


def _alone():
    """The plane's internal energy without its potential."""
    found = _plane()
    beta = replace(
        found.posterior,
        coefficients=found.posterior.coefficients[..., -1:],
        mean=found.posterior.mean[:, -1:],
        covariance=None,
        prior_precision=found.posterior.prior_precision[-1:],
        information=None,
    )
    return replace(found, energy=LinearEnergy(internal=True), posterior=beta, scores={})


KINDS = {
    "plane": (_plane, {"landscape", "forces", "scores"}),
    "line": (_line, {"landscape", "forces"}),
    "five": (_five, {"landscape", "forces"}),
    "company": (_company, {"interaction", "forces"}),
    "alone": (_alone, set()),
}


@pytest.fixture(scope="module")
def results():
    """Each kind of result, fitted when first asked for."""
    return cache(lambda kind: KINDS[kind][0]())


@pytest.fixture(scope="module")
def pictures(results, tmp_path_factory):
    """The files of each kind of result, drawn when first asked for."""
    folder = tmp_path_factory.mktemp("pictures")
    return cache(lambda kind: plot_result(results(kind), folder / kind / "new"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_result_has_its_pictures(pictures, kind):
    written = pictures(kind)
    expected = KINDS[kind][1] | ALWAYS
    assert [path.stem for path in written] == [name for name in PICTURES if name in expected]
    assert sorted(written[0].parent.iterdir()) == sorted(written)
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        pixels = matplotlib.image.imread(path)[..., :3]
        assert min(pixels.shape[:2]) > 400
        assert 0.02 < np.mean(pixels.min(axis=2) < 0.98) < 0.98  # neither blank nor full
        assert len(np.unique(pixels[::2, ::2] @ np.array([1.0, 256.0, 65536.0]))) > 100
    assert not Gcf.figs


def test_pictures_repeat_bit_for_bit_whatever_the_users_settings(results, pictures, tmp_path):
    first = pictures("plane")
    with mpl.rc_context({"font.size": 20, "figure.dpi": 60, "axes.facecolor": "red"}):
        second = plot_result(results("plane"), tmp_path / "second")
        assert mpl.rcParams["font.size"] == 20
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_the_landscape_shows_mean_deviation_and_truth_at_their_places(results):
    result = results("plane")
    with styled():
        figure = draw_landscape(result)
    mean, sd, truth = figure.axes[:3]
    assert [axes.get_title() for axes in (mean, sd, truth)] == [
        "posterior mean",
        "posterior standard deviation",
        "truth",
    ]
    origin = result.standardisation.mean
    for row, column in ((3, 50), (40, 10)):
        image = mean.images[0]
        left, right, low, high = image.get_extent()
        rows, columns = image.get_array().shape
        point = np.array(
            [
                left + (column + 0.5) / columns * (right - left),
                low + (row + 0.5) / rows * (high - low),
            ]
        )
        draws = result.potential(point[None])[:, 0]
        actual = np.diff(true_potential(result.snapshots.truth, np.stack([origin, point])))[0]
        shown = [axes.images[0].get_array()[row, column] for axes in (mean, sd, truth)]
        np.testing.assert_allclose(shown, [draws.mean(), draws.std(), actual], rtol=1e-6)


def test_piecewise_landscapes_have_a_row_a_period_and_six_at_most(results):
    with styled():
        figure = draw_landscape(results("five"))
    titles = [axes.get_title() for axes in figure.axes]
    assert [t for t in titles if t.startswith("posterior mean")] == [
        "posterior mean, time 0 to 1",
        "posterior mean, time 1 to 2",
        "posterior mean, time 2 to 4",
    ]
    assert "the other 3 features held at the mean" in figure.get_suptitle()
    rng = np.random.default_rng(0)
    many = Snapshots(np.arange(9.0), tuple(rng.normal(k, 1.0, (20, 1)) for k in range(9)))
    with styled():
        figure = draw_landscape(_fit(many, potential="poly:2", time_variation="piecewise"))
    assert len(figure.axes) == 6
    assert "6 of 8 periods" in figure.get_suptitle()


def test_arrows_point_where_the_drift_does(results):
    result = results("plane")
    with styled():
        figure = draw_forces(result)
    assert figure.axes[1].get_title() == "truth"
    arrows = next(c for c in figure.axes[0].collections if isinstance(c, Quiver))
    draws = result.drift(arrows.XY)
    mean, size = draws.mean(axis=0), np.linalg.norm(draws.mean(axis=0), axis=1)
    shown = np.stack([arrows.U, arrows.V], axis=1)
    cosine = np.sum(shown * mean, axis=1) / np.linalg.norm(shown, axis=1) / size
    np.testing.assert_allclose(cosine, 1.0, atol=1e-9)
    share = np.linalg.norm(draws.std(axis=0), axis=1) / size
    np.testing.assert_allclose(arrows.get_array(), share, rtol=1e-6)


def test_the_interaction_is_even_and_nothing_at_no_displacement(results):
    with styled():
        figure = draw_interaction(results("company"))
    values = np.asarray(figure.axes[0].images[0].get_array())
    left, right, low, high = figure.axes[0].images[0].get_extent()
    assert (left, low) == pytest.approx((-right, -high))
    np.testing.assert_allclose(values, values[::-1, ::-1], atol=1e-8 * np.ptp(values))
    middle = np.abs(values[31:33, 31:33]).max()
    assert middle < 0.05 * np.ptp(values)
    truth = np.asarray(figure.axes[2].images[0].get_array())
    assert truth[32, 32] == pytest.approx(0.0, abs=0.01)  # −exp(−½|z|²) from its bottom
    assert truth[0, 0] == pytest.approx(1.0, abs=0.01)


def test_scores_are_drawn_where_they_are(results):
    result = results("plane")
    with styled():
        axes = draw_scores(result).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    rows = result.scores["intervals"]
    for label, name in {
        "forecast by the posterior mean": "w1",
        "reference: nobody moves": "persistence_w1",
        "reference: noise floor (as good as it gets)": "floor_w1",
    }.items():
        np.testing.assert_array_equal(drawn[label], [row[name] for row in rows])
    bars = next(c for c in axes.collections if isinstance(c, LineCollection))
    np.testing.assert_array_equal(
        [segment[:, 1] for segment in bars.get_segments()],
        [[row["w1_low"], row["w1_high"]] for row in rows],
    )


def test_test_snapshots_are_what_forecasts_are_shown_against(results):
    result = results("plane")
    test = simulate(
        "tilted_double_well", particles=30, snapshots=2, tau=0.1, start="normal", seed=9
    )
    with styled():
        figure = draw_clouds(result, test)
        assert draw_scores(replace(result, scores={}), test) is not None
        assert draw_scores(replace(result, scores={})) is None
    assert "held-out" in figure.get_suptitle()
    assert [axes.get_title() for axes in figure.axes] == ["time 0 → 0.1"]
    np.testing.assert_array_equal(
        np.sort(figure.axes[0].lines[0].get_xdata()), np.sort(test.particles[1][:, 0])
    )


def test_energies_that_let_particles_escape_are_shown_as_far_as_they_go(results):
    result = results("plane")
    wild = replace(result.posterior, coefficients=-1e6 * result.posterior.coefficients)
    with styled():
        assert draw_trajectories(replace(result, posterior=wild)) is None
        wild = replace(result.posterior, mean=-1e9 * result.posterior.mean)
        figure = draw_clouds(replace(result, posterior=wild))
    assert all("escape" in axes.get_title() for axes in figure.axes)


def test_the_fan_starts_at_particles_and_keeps_its_bands_around_the_medians(results):
    result = results("plane")
    with styled():
        figure = draw_trajectories(result)
    first = figure.axes[1]
    medians = [line for line in first.lines if line.get_marker() == "o"]
    assert len(medians) == 3
    for line, band in zip(medians, first.collections, strict=True):
        assert line.get_ydata()[0] in result.snapshots.particles[0][:, 0]
        edges = band.get_paths()[0].vertices
        for time, value in zip(*line.get_data(), strict=True):
            at_time = edges[np.isclose(edges[:, 0], time), 1]
            assert at_time.min() - 1e-9 <= value <= at_time.max() + 1e-9
        assert np.ptp(edges[np.isclose(edges[:, 0], 0.2), 1]) > 0.05


def test_weights_decide_who_is_shown():
    cloud = np.arange(10.0)[:, None]
    weights = np.array([0.0] * 8 + [1.0, 3.0])
    data = Snapshots(np.array([0.0, 1.0]), (cloud, cloud), weights=(weights, np.ones(10)))
    seen = thin(data, 0, 10)
    assert set(seen[:, 0]) == {8.0, 9.0}
    np.testing.assert_array_equal(thin(data, 1, 20), cloud)
    assert len(thin(data, 1, 4)) == 4


def test_a_plane_keeps_a_width_where_all_but_a_few_are_alike():
    points = np.zeros((5000, 2))
    points[:, 0] = np.linspace(0.0, 1.0, 5000)
    points[0, 1] = 1.0
    plane = Plane.around(points, ("a", "b"), np.zeros(2))
    assert np.all(plane.sides > 0.9)
    assert plane.support(np.array([[0.5, 0.0], [0.5, 0.9]]), points).tolist() == [1.0, 0.0]


def test_tiny_snapshots_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    data = Snapshots(np.array([0.0, 1.0]), (rng.normal(size=(2, 2)), rng.normal(size=(3, 2))))
    written = plot_result(_fit(data, potential="poly:1"), tmp_path)
    assert {path.stem for path in written} == {"landscape", "forces"} | ALWAYS


def test_mistakes_are_told(results, tmp_path):
    result = results("plane")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot make the folder"):
        plot_result(result, tmp_path / "file" / "pictures")
    other = replace(result.snapshots, features=("p", "q"))
    with pytest.raises(InputError, match="features p, q"):
        plot_result(result, tmp_path / "new", other)
    assert not (tmp_path / "new").exists()

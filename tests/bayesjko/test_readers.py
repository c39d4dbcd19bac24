"""Every format in and out, and every bad input to one sentence."""

import gzip
import json
import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.readers import FORMATS, WRITERS, read_snapshots, write_snapshots

RNG = np.random.default_rng(0)
COUNTS = (5, 3, 4)
TIMES = np.array([0.0, 1 / 3, 2.5])
CLOUDS = tuple(RNG.normal(size=(n, 2)) for n in COUNTS)
X = np.concatenate(CLOUDS)
T = np.repeat(TIMES, COUNTS)
BLOCK = RNG.normal(size=(3, 4, 2))
SHUFFLED = RNG.permutation(len(X))
FRAME = pd.DataFrame({"t": T, "x1": X[:, 0], "x2": X[:, 1]})


def same(snapshots, times=TIMES, clouds=CLOUDS):
    """Bit for bit these times and clouds."""
    assert snapshots.times.tolist() == list(times)
    assert snapshots.counts == tuple(map(len, clouds))
    for read, cloud in zip(snapshots.particles, clouds, strict=True):
        assert read.tobytes() == np.ascontiguousarray(cloud, dtype=np.float64).tobytes()


def refused(source, words, **options):
    """`SnapshotError` with one sentence that has these words."""
    with pytest.raises(SnapshotError) as caught:
        read_snapshots(source, **options)
    message = str(caught.value)
    assert re.search(words, message), message
    assert "\n" not in message
    assert message.endswith(".")
    assert not re.search(r"[a-z)'\]]\. +[A-Z]", message), message
    assert len(message) < 500


def anndata():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("anndata")


def cells(days=None, **obsm):
    """An AnnData object with times of several kinds."""
    days = pd.Categorical([f"day {3 * t:g}" for t in T]) if days is None else days
    obs = pd.DataFrame(
        {"day": days, "mass": np.arange(1.0, 13)}, index=[f"c{i}" for i in range(12)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata().AnnData(X=np.c_[X, X, X], obs=obs, obsm=obsm or {"X_pca": np.c_[X, X]})


def store(data, path, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that version 3 has no consolidated metadata yet
        data.to_zarr(path, zarr_format=version)


# --- every file format, as others write it ------------------------------------------------------


def write_foreign(path: Path) -> Path:
    """A file of the path's ending with `CLOUDS`, not by our own writer."""
    name = path.name
    if name.endswith((".csv", ".csv.gz")):
        FRAME.to_csv(path, index=False)
    elif name.endswith((".tsv", ".tsv.gz")):
        FRAME.to_csv(path, index=False, sep="\t")
    elif name.endswith(".parquet"):
        FRAME.to_parquet(path)
    elif name.endswith(".npz"):
        np.savez_compressed(path, x=X, t=T)
    elif name.endswith(".h5ad"):
        cells(days=T, X_pca=X).write_h5ad(path)
    elif name.endswith(".nc"):
        xr.Dataset({"x": (("cell", "gene"), X), "t": ("cell", T)}).to_netcdf(path)
    elif name.endswith(".zarr"):
        store(xr.Dataset({"x": (("cell", "gene"), X), "t": ("cell", T)}), path, 3)
    return path


@pytest.mark.parametrize("ending", [ending for ending in FORMATS if ending != ".npy"])
def test_reads_each_format(ending, tmp_path):
    path = write_foreign(tmp_path / f"snaps{ending}")
    same(read_snapshots(path))
    same(read_snapshots(str(path)))


def test_reads_npy_as_numbered_snapshots(tmp_path):
    np.save(tmp_path / "x.npy", BLOCK)
    snapshots = read_snapshots(tmp_path / "x.npy")
    same(snapshots, [0, 1, 2], BLOCK)
    assert any("numbered 0, 1, 2" in note for note in snapshots.notes)


def test_reads_classic_netcdf(tmp_path):
    data = xr.Dataset({"x": (("cell", "gene"), X), "t": ("cell", T)})
    data.to_netcdf(tmp_path / "old.nc", engine="scipy")
    same(read_snapshots(tmp_path / "old.nc"))


def test_reads_both_generations_of_zarr(tmp_path):
    data = xr.Dataset({"x": (("cell", "gene"), X), "t": ("cell", T)})
    for version in (2, 3):
        store(data, tmp_path / f"v{version}.zarr", version)
        same(read_snapshots(tmp_path / f"v{version}.zarr"))


def test_reads_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "european.csv"
    FRAME.to_csv(path, index=False, sep=";", decimal=",")
    same(read_snapshots(path))


def test_rows_in_any_order_keep_their_order_within_a_time():
    shuffled = FRAME.iloc[SHUFFLED]
    same(read_snapshots(shuffled), clouds=[X[SHUFFLED][T[SHUFFLED] == t] for t in TIMES])


def test_reads_counts_and_single_precision_exactly(tmp_path):
    np.savez(tmp_path / "a.npz", x=X.astype(np.float32), t=np.repeat([0, 1, 2], COUNTS))
    same(
        read_snapshots(tmp_path / "a.npz"),
        [0, 1, 2],
        [cloud.astype(np.float32) for cloud in CLOUDS],
    )


# --- objects ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        FRAME,
        FRAME.set_index("t"),
        FRAME.set_index(np.arange(12)[::-1]),
        FRAME.convert_dtypes(),
        FRAME.astype({"x1": "object"}),
        (list(CLOUDS), TIMES),
        (CLOUDS, list(TIMES)),
        ([CLOUDS[2], CLOUDS[0], CLOUDS[1]], [2.5, 0.0, 1 / 3]),
        dict(zip(TIMES.tolist(), CLOUDS, strict=True)),
        {"2.5 h": CLOUDS[2], "0 h": CLOUDS[0], f"{1 / 3!r} h": CLOUDS[1]},
        (X, T),
        {"x": X, "t": T},
        {"x": X[:, 0], "y": X[:, 1], "t": T},
        xr.Dataset({"x": (("cell", "gene"), X), "t": ("cell", T)}),
        xr.Dataset({"t": ("cell", T), "a": ("cell", X[:, 0]), "b": ("cell", X[:, 1])}),
    ],
    ids=lambda source: type(source).__name__,
)
def test_reads_objects(source):
    same(read_snapshots(source))


@pytest.mark.parametrize(
    ("source", "times"),
    [
        (BLOCK, [0, 1, 2]),
        (list(BLOCK), [0, 1, 2]),
        ((BLOCK, [1.0, 2.0, 4.0]), [1, 2, 4]),
        ({"x": BLOCK, "t": [1.0, 2.0, 4.0]}, [1, 2, 4]),
        (xr.DataArray(BLOCK, dims=("time", "particle", "feature")), [0, 1, 2]),
        (
            xr.DataArray(
                BLOCK.transpose(2, 1, 0),
                dims=("feature", "particle", "time"),
                coords={"time": [1.0, 2.0, 4.0]},
            ),
            [1, 2, 4],
        ),
    ],
    ids=["array", "list", "array and times", "dict", "xarray", "xarray in another order"],
)
def test_reads_blocks(source, times):
    same(read_snapshots(source), times, BLOCK)


def test_one_feature_may_come_without_an_axis():
    same(read_snapshots([[1.0, 2.0], [3.0, 4.0, 5.0]]), [0, 1], [[[1], [2]], [[3], [4], [5]]])
    same(read_snapshots((X[:, 0], T)), clouds=[cloud[:, :1] for cloud in CLOUDS])


def test_snapshots_come_back_as_they_are_or_by_feature():
    snapshots = Snapshots(TIMES, CLOUDS, features=("a", "b"), truth={"beta": 0.1})
    assert read_snapshots(snapshots) is snapshots
    chosen = read_snapshots(snapshots, features="b")
    assert chosen.features == ("b",)
    assert chosen.truth == {"beta": 0.1}
    same(chosen, clouds=[cloud[:, 1:] for cloud in CLOUDS])
    refused(snapshots, "No feature 'c' in the snapshots; the features are a, b", features="c")
    refused(snapshots, "have their times", time="t")


# --- AnnData ----------------------------------------------------------------------------------


def test_reads_anndata_from_memory_and_file_alike(tmp_path):
    data = cells()
    data.write_h5ad(tmp_path / "cells.h5ad")
    for source in (data, tmp_path / "cells.h5ad"):
        snapshots = read_snapshots(source, features="X_pca:2", weight="mass")
        same(snapshots, [0, 1, 7.5])
        assert snapshots.features == ("pca1", "pca2")
        np.testing.assert_allclose(snapshots.weights[0], np.arange(1, 6) / 15, rtol=1e-15)
        assert read_snapshots(source).features == ("pca1", "pca2", "pca3", "pca4")
        assert read_snapshots(source, features="X").dimension == 6


def test_anndata_says_what_it_lacks(tmp_path):
    data = cells(X_umap=X)
    refused(data, "no 'X_pca' in obsm .* X or one of X_umap")
    refused(data, "No array 'X_tsne' in obsm .* there are X, X_umap", features="X_tsne")
    refused(data, "2 features .* and 5 were asked", features="X_umap:5")
    refused(data, "No time 'hour'", features="X_umap", time="hour")
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "Cannot read file .* as AnnData .*cut short")


def test_anndata_is_an_extra(tmp_path, monkeypatch):
    path = write_foreign(tmp_path / "cells.h5ad")
    monkeypatch.setitem(__import__("sys").modules, "anndata.io", None)
    refused(path, r"needs the package anndata; install it with pip install 'bayesjko\[anndata\]'")


# --- which columns ------------------------------------------------------------------------------


def test_notes_say_what_was_read_and_what_left_out():
    frame = FRAME.assign(barcode="ACGT", dead=False)
    notes = " ".join(read_snapshots(frame).notes)
    assert "Times are the numbers in 't'." in notes
    assert "Features: x1, x2; left out: barcode, dead." in notes


def test_an_index_without_a_name_is_no_feature(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv")
    assert read_snapshots(tmp_path / "a.csv").features == ("x1", "x2")


@pytest.mark.parametrize(
    ("features", "read"),
    [
        ("x2", ("x2",)),
        ("x2,x1", ("x2", "x1")),
        ("x*", ("x1", "x2")),
        ("y, x?", ("y", "x1", "x2")),
        (["y", "x1"], ("y", "x1")),
        ("x1,x1", ("x1",)),
        (None, ("x1", "x2", "y")),
    ],
)
def test_features_by_name_and_pattern(features, read, tmp_path):
    frame = FRAME.assign(y=np.arange(12.0), text="a")
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "a.npz", x=frame[["x1", "x2", "y"]], t=T, features=["x1", "x2", "y"])
    for source in (frame, tmp_path / "a.csv", tmp_path / "a.npz"):
        snapshots = read_snapshots(source, features=features)
        assert snapshots.features == read
        expected = [frame.loc[T == t, list(read)].to_numpy() for t in TIMES]
        same(snapshots, clouds=expected)


@pytest.mark.parametrize("features", ["", " , ", ()])
def test_no_feature_is_none_that_was_asked_for(features):
    refused(FRAME, "option features names none", features=features)


def test_a_name_may_have_a_comma():
    frame = FRAME.rename(columns={"x1": "a,b"})
    assert read_snapshots(frame, features="a,b").features == ("a,b",)


def test_arrays_without_names_take_those_given():
    assert read_snapshots((X, T), features="u,v").features == ("u", "v")
    assert read_snapshots((X, T), features="x2").features == ("x2",)
    refused((X, T), "No feature 'u'", features="x1,u")


def test_npz_key_of_another_array(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X_pca=np.c_[X, X], X_umap=X[:, :1], hours=T, n=3)
    refused(path, r"More than one array .* \(X_pca, X_umap\).*option features")
    same(read_snapshots(path, features="X_pca:2"))
    same(read_snapshots(path, features="X_umap"), clouds=[cloud[:, :1] for cloud in CLOUDS])
    refused(path, "4 features .* and 9 were asked", features="X_pca:9")
    np.savez(path, x=X, stamp=T)
    same(read_snapshots(path))


@pytest.mark.parametrize("ending", [".csv", ".npz", ".nc"])
def test_time_by_name(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    frame = FRAME.rename(columns={"t": "when"})
    if ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".npz":
        np.savez(path, x=X, when=T, who=np.arange(12))
    else:
        xr.Dataset({"x": (("i", "j"), X), "when": ("i", T), "who": ("i", T)}).to_netcdf(path)
    same(read_snapshots(path, time="when"))
    refused(path, "No time found in .* option time, one of .*when")
    refused(path, "No time 'then' in .* choose one of .*when.* with the option time", time="then")


def test_ambiguous_time_names_the_candidates():
    frame = FRAME.assign(Day=T)
    refused(frame, "More than one time is possible .*option time: t, Day")
    assert read_snapshots(frame, time="t").features == ("x1", "x2", "Day")


def test_weights(tmp_path):
    w = np.arange(1.0, 13)
    weighted = FRAME.assign(w=w)
    for source in (weighted, weighted.rename(columns={"w": "mass"}), {"x": X, "t": T, "w": w}):
        name = "mass" if "mass" in source else None
        snapshots = read_snapshots(source, weight=name)
        same(snapshots)
        np.testing.assert_allclose(snapshots.weights[1], np.array([6, 7, 8]) / 21, rtol=1e-15)
        assert any("weights" in note and "effective sizes" in note for note in snapshots.notes)
    assert read_snapshots(weighted, features="w,x1").features == ("w", "x1")
    doubtful = weighted.rename(columns={"w": "Weight"})
    refused(doubtful, "'Weight' .* may be the particles' weights or a feature")
    assert read_snapshots(doubtful, features="x1,Weight").features == ("x1", "Weight")
    refused(FRAME, "No weight 'mass'", weight="mass")
    refused(weighted.assign(w=-w), "weights of the snapshot at time 0 must be finite, not negative")
    refused(weighted.assign(w="heavy"), "weights in column 'w' .* are not numbers")
    refused({"x": X, "t": T, "w": w[:5]}, "5 weights for 12 particles", weight="w")


def test_paired_by_option(tmp_path):
    assert read_snapshots(BLOCK, paired=True).paired
    assert not read_snapshots(BLOCK).paired
    refused(FRAME, "Paired snapshots need the same number of particles", paired=True)


# --- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "times", "words"),
    [
        (["day 0", "day 3", "day 10"], [0, 3, 10], "'day 0' = 0, 'day 3' = 3, 'day 10' = 10"),
        (["D7.5", "d0", "D10"], [7.5, 0, 10], "numbers in the text"),
        (["-1 h", "0h", "2  h"], [-1, 0, 2], "numbers in the text"),
        (["day-1", "day-2", "day-4"], [1, 2, 4], "'day-1' = 1"),
        (["1e-3", "2.5", "-inf"][:2] + ["3"], [0.001, 2.5, 3], "numbers in the text"),
        (pd.Categorical([3, 1, 2], ordered=True), [3, 1, 2], "Times are the numbers in"),
        (pd.Categorical(["d5", "d1", "d9"]), [5, 1, 9], "numbers in the categories"),
        (
            pd.Categorical(["late", "early", "mid"], ["early", "mid", "late"], ordered=True),
            [2, 0, 1],
            "positions of the ordered categories of 't': 'early' = 0, 'mid' = 1, 'late' = 2",
        ),
        (
            pd.Categorical(["b 1", "a 7", "c 3"], ["a 7", "b 1", "c 3"], ordered=True),
            [1, 0, 2],
            "positions of the ordered categories",
        ),
        (
            pd.to_datetime(["2020-03-01 00:00", "2020-03-03 00:00", "2020-03-02 12:00"]),
            [0, 2, 1.5],
            "days since",
        ),
        (pd.to_timedelta(["1 D", "36 h", "3 D"]), [1, 1.5, 3], "in days"),
        (pd.array([4, 5, 7], dtype="Int64"), [4, 5, 7], "Times are the numbers in"),
        (np.array([True, False, True]), None, None),
    ],
    ids=lambda value: None,
)
def test_times_as_people_write_them(labels, times, words):
    if times is None:
        frame = pd.DataFrame({"t": np.repeat(labels, 4), "a": np.arange(12.0)})
        assert read_snapshots(frame).counts == (4, 8)
        return
    frame = pd.DataFrame({"t": pd.Series(labels).repeat(4), "a": np.arange(12.0)})
    snapshots = read_snapshots(frame)
    same(
        snapshots, np.sort(times), [np.arange(4 * k, 4 * k + 4)[:, None] for k in np.argsort(times)]
    )
    assert words in snapshots.notes[0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["day 0", "control", "day 2"], "time 'control' in 't' .* no number"),
        (["Day 00-03", "Day 06-09", "Day 12-15"], "'Day 00-03' .* 2 numbers"),
        (["12 h", "1 day", "2 days"], "different units or words"),
        (pd.Categorical(["early", "mid", "late"]), "no number .* ordered category"),
        ([0.0, np.nan, 1.0], "4 times in 't' .* missing or infinite, the first in row 5"),
        ([0.0, np.inf, 1.0], "4 times in 't' .* missing or infinite"),
        (["day 1", None, "day 2"], "4 times in 't' .* missing or infinite, the first in row 5"),
        ([1j, 2j, 3j], "are complex"),
    ],
    ids=lambda value: None,
)
def test_times_nobody_can_read(labels, words):
    frame = pd.DataFrame({"t": pd.Series(labels).repeat(4), "a": np.arange(12.0)})
    refused(frame, words)


# --- what is wrong with the file ----------------------------------------------------------------


def test_missing_unknown_empty_and_misplaced(tmp_path):
    refused(tmp_path / "none.csv", r"file '.*none\.csv' does not exist; check its path")
    refused(tmp_path / "none.zarr", "does not exist")
    refused(tmp_path / "a.xlsx", r"format of '.*a\.xlsx' is unknown; .* one of \.csv, ")
    refused("", "format of '.' is unknown")
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "is a directory; a file is needed")
    (tmp_path / "file.zarr").write_text("a")
    refused(tmp_path / "file.zarr", "is a file; a directory is needed")
    (tmp_path / "empty.zarr").mkdir()
    refused(tmp_path / "empty.zarr", "is empty")
    refused(tmp_path / f"{'a' * 300}.csv", "does not exist")
    refused("a\0b.csv", "does not exist")
    refused(12.5, "type float holds no snapshots; give a path")
    refused(None, "type NoneType holds no snapshots")


@pytest.mark.parametrize("ending", [ending for ending in FORMATS if ending != ".zarr"])
def test_empty_and_truncated_files(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"")
    refused(path, "is empty")
    if ending == ".npy":
        np.save(path, BLOCK)
    else:
        write_foreign(path)
    whole = path.read_bytes()
    for fraction in (0.05, 0.5, 0.95):
        path.write_bytes(whole[: int(fraction * len(whole))])
        if ending in (".csv", ".tsv") and fraction > 0.1:
            continue  # any beginning of a text is a text
        refused(path, "a.*")


def test_contents_of_another_format(tmp_path):
    for ending in FORMATS:
        if ending in (".zarr",):
            continue
        path = tmp_path / f"a{ending}"
        path.write_bytes(b"\x00\xff\xfe\x01 not at all" * 20)
        refused(path, "a.*")


def test_text_without_names(tmp_path):
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False, header=False)
    refused(path, "first line of .* has numbers where the names .* t,x1,x2")


def test_ragged_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,x1\n0,1\n0,2,9\n1,3\n1,4\n")
    refused(path, "Cannot read file .* as a table")
    path.write_text("t,x1\n0,1,9\n0,2,9\n1,3,9\n1,4,9\n")
    refused(path, "Cannot read file .* as a table")
    path.write_text("t,x1,x2\n0,1,2\n0,2\n1,3,4\n1,4,5\n")
    refused(path, "1 values of file .* NaN or infinite, the first in row 2, feature 'x2'")


def test_names_twice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,x1,x1\n0,1,2\n0,2,4\n1,3,4\n1,4,5\n")
    refused(path, "Column 'x1' is twice in file")
    refused(pd.concat([FRAME, FRAME["x1"]], axis=1), "Column 'x1' is twice")


def test_stray_text_is_not_lost_in_silence(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,x1,x2\n0,1,2\n0,2,3\n1,oops,4\n1,4,5\n")
    refused(path, "1 values of column 'x1' .* are not numbers, the first 'oops' in row 3")
    refused(path, "1 values of column 'x1'", features="x1")
    assert read_snapshots(path, features="x2").features == ("x2",)


@pytest.mark.parametrize(
    ("frame", "words", "options"),
    [
        (FRAME[["t"]], "No feature found .* 't'", {}),
        (FRAME.assign(x1="a", x2="b"), "No feature found", {}),
        (FRAME.iloc[:0], "no rows", {}),
        (FRAME, "No feature 'x9' .* features are x1, x2", {"features": "x1,x9"}),
        (FRAME, "No feature 'z\\*'", {"features": "z*"}),
        (FRAME, "'t' .* is the time and cannot be a feature", {"features": "t,x1"}),
        (FRAME.assign(x1="a"), "'x1' .* does not hold numbers", {"features": "x1,x2"}),
        (FRAME.assign(x1=X[:, 0] * 1j), "'x1' .* does not hold numbers", {"features": "x1,x2"}),
        (FRAME.assign(t=1.0), "Found 1 snapshot", {}),
        (FRAME.assign(t=np.arange(12.0)), "all 12 particles have different times", {}),
        (FRAME.iloc[[0, 1, 2, 5, 8, 9]], "at time 0.333333 has 1 particle", {}),
        (FRAME.assign(x2=1.5), "Feature 'x2' has the same value for every particle", {}),
        (FRAME.assign(x2=np.r_[X[:10, 1], np.nan, np.inf]), "2 values of .* row 11, .*'x2'", {}),
        (pd.concat({"a": FRAME}, axis=1), "several levels", {}),
    ],
    ids=lambda value: None,
)
def test_bad_tables(frame, words, options):
    refused(frame, words, **options)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ([], "no snapshots"),
        ([CLOUDS[0]], "Found 1 snapshot"),
        ([CLOUDS[0], X[:3, :1]], "Snapshot 2 .* has 1 features and the first has 2"),
        ([CLOUDS[0], X[:1]], r"Snapshot 2 .* has 1 particle\(s\)"),
        ([CLOUDS[0], X[:0]], r"Snapshot 2 .* has 0 particle\(s\)"),
        ([CLOUDS[0], BLOCK], r"Snapshot 2 .* has shape \(3, 4, 2\)"),
        ([CLOUDS[0], np.full((3, 2), np.nan)], "6 values of .* row 6"),
        ([CLOUDS[0], np.array([["a", "b"], ["c", "d"]])], "Snapshot 2 .* holds <U1"),
        ([CLOUDS[0], X * 1j], "Snapshot 2 .* holds complex128"),
        ([CLOUDS[0], [[1.0, 2.0], [3.0]]], "Cannot read Snapshot 2 .* rows of the same length"),
        ((list(CLOUDS), [0, 1]), "2 times for 3 snapshots"),
        ((list(CLOUDS), [0, 1, 1]), r"same time \(0, 1, 1\)"),
        ((list(CLOUDS), [2, 2, 2]), "same time"),
        ((list(CLOUDS), [0, 1, np.nan]), "1 times .* missing or infinite"),
        ((X, T[:5]), "5 times for 12 particles"),
        ({"x": X, "t": T[:5]}, "No time found|5 times for 12"),
        ({"x": X}, "No time found"),
        ({"t": T}, "No feature found"),
        ({"x": BLOCK[None], "t": T}, r"shape \(1, 3, 4, 2\)"),
        (X, "shape"),
        (BLOCK[:, :, :0], "shape"),
        (BLOCK[:1], "Found 1 snapshot"),
        ("no.csv", "does not exist"),
    ],
    ids=lambda value: None,
)
def test_bad_arrays(arrays, words):
    refused(arrays, words)


def test_bad_datasets(tmp_path):
    data = xr.Dataset({"x": (("i", "j"), X), "t": ("i", T)})
    refused(data.assign_attrs(truth="{"), "truth .* no JSON")
    refused(data.assign_attrs(truth="[1]"), "truth .* no JSON object")
    refused(data.drop_vars("t"), "No time found")
    refused(xr.Dataset(), "no positions")
    refused(data.assign(x=data["x"].where(data["x"] > data["x"].min())), "1 values of the dataset")
    assert read_snapshots(data.assign_attrs(truth='{"a": 1}', paired=0)).truth == {"a": 1}


# --- no pickle is ever loaded -------------------------------------------------------------------


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_npz_with_objects_is_not_unpickled(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "a.npz"
    np.savez(path, x=X, t=np.array([Bomb(mark)] * 12, dtype=object))
    refused(path, "Array 't' of file .* Python objects, which are never unpickled")
    np.save(tmp_path / "a.npy", np.array([Bomb(mark)], dtype=object))
    refused(tmp_path / "a.npy", "Cannot read")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb(mark)))
    refused(tmp_path / "b.npz", "no zip archive")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


@pytest.mark.parametrize("filters", [["pickle"], ["vlen-utf8", "pickle"], ["numcodecs.pickle"]])
@pytest.mark.parametrize("consolidated", [True, False])
def test_zarr_with_a_pickle_codec_is_not_decoded(filters, consolidated, tmp_path, monkeypatch):
    # Newer versions refuse by themselves; older ones unpickle.
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    mark, path = tmp_path / "mark", tmp_path / "a.zarr"
    data = xr.Dataset({"x": (("i", "j"), X), "t": ("i", T.astype(str).astype(object))})
    data.to_zarr(path, zarr_format=2, consolidated=consolidated)
    array = json.loads((path / "t" / ".zarray").read_text())
    array |= {"filters": [{"id": name} for name in filters], "compressor": None, "dtype": "|O"}
    (path / "t" / ".zarray").write_text(json.dumps(array))
    if consolidated:
        whole = json.loads((path / ".zmetadata").read_text())
        whole["metadata"]["t/.zarray"] = array
        (path / ".zmetadata").write_text(json.dumps(whole))
    (path / "t" / "0").write_bytes(pickle.dumps(Bomb(mark)))
    refused(path, "asks for the codec '(numcodecs.)?pickle'")
    assert not mark.exists()
    pickle.loads((path / "t" / "0").read_bytes())
    assert mark.exists()  # it was armed


def test_zarr_may_not_hide_metadata_behind_a_link(tmp_path):
    path = write_foreign(tmp_path / "a.zarr")
    (path / "x").rename(tmp_path / "elsewhere")
    (path / "x").symlink_to(tmp_path / "elsewhere")
    refused(path, "has a link to a directory in it")


# --- writing ----------------------------------------------------------------------------------

EXTREME = (
    np.array([[-0.0, 5e-324], [1 / 3, 1.7e308], [0.1 + 0.2, -1e-300]]),
    np.array([[np.pi, 1.0], [2.0**53 + 2, 1e22]]),
)
TRUTH = {"beta": 0.1, "names": ["a", "ü"], "deep": {"n": 3, "none": None}, "third": 1 / 3}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_round_trip_is_bit_exact(ending, weighted, tmp_path):
    weights = ((1 / 3, 0.1, 7.0), (2.0, 3.0)) if weighted else ()
    snapshots = Snapshots(
        np.array([-1 / 3, 1e-9]),
        EXTREME,
        weights=tuple(np.array(w) for w in weights),
        features=("tüpfel", "x 2"),
    )
    path = tmp_path / f"a{ending}"
    write_snapshots(snapshots, path)
    read = read_snapshots(path)
    assert read.digest() == snapshots.digest()
    assert read.features == snapshots.features
    same(read, snapshots.times, EXTREME)
    assert [w.tobytes() for w in read.weights] == [w.tobytes() for w in snapshots.weights]
    write_snapshots(Snapshots(TIMES, CLOUDS), path)
    same(read_snapshots(path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("paired", [False, True])
def test_truth_and_pairing_travel(ending, paired, tmp_path):
    path = tmp_path / f"a{ending}"
    snapshots = Snapshots(np.arange(3.0), tuple(BLOCK), paired=paired, truth=TRUTH)
    write_snapshots(snapshots, str(path))
    read = read_snapshots(path)
    assert read.truth == TRUTH
    assert read.paired is paired
    assert read_snapshots(path, paired=not paired).paired is not paired
    assert not any("changed" in note for note in read.notes)
    half = read_snapshots(path, features="x2")
    assert half.truth == TRUTH
    assert not any("changed" in note for note in half.notes)


def test_netcdf_layout_is_open_to_others(tmp_path):
    path = tmp_path / "a.nc"
    write_snapshots(Snapshots(TIMES, CLOUDS, features=("u", "v"), truth=TRUTH), path)
    with xr.open_dataset(path) as data:
        assert dict(data.sizes) == {"particle": 12, "feature": 2}
        assert data["x"].dims == ("particle", "feature")
        assert data["t"].values.tolist() == T.tolist()
        assert data["feature"].values.tolist() == ["u", "v"]
        assert json.loads(data.attrs["truth"]) == TRUTH
        assert data.attrs["paired"] == 0
        changed = data.load()
    changed["x"][0, 0] += 1
    assert any("changed after their digest" in note for note in read_snapshots(changed).notes)


def test_writing_what_cannot_be_written(tmp_path):
    snapshots = Snapshots(TIMES, CLOUDS, features=("t", "v"))
    with pytest.raises(InputError, match=r"ending must be one of \.nc, \.zarr, \.npz"):
        write_snapshots(snapshots, tmp_path / "a.txt")
    with pytest.raises(SnapshotError, match="feature 't' is called like"):
        write_snapshots(snapshots, tmp_path / "a.csv")
    with pytest.raises(InputError, match="there is no directory"):
        write_snapshots(snapshots, tmp_path / "none" / "a.nc")
    assert list(tmp_path.iterdir()) == []
    write_snapshots(snapshots, tmp_path / "a.npz")
    assert read_snapshots(tmp_path / "a.npz").features == ("t", "v")


def test_a_bad_write_leaves_the_old_file(tmp_path):
    write_snapshots(Snapshots(TIMES, CLOUDS), tmp_path / "a.csv")
    before = (tmp_path / "a.csv").read_bytes()
    with pytest.raises(SnapshotError):
        write_snapshots(Snapshots(TIMES, CLOUDS, features=("w", "v")), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


# --- speed ------------------------------------------------------------------------------------


def calls_of(action):
    """What an action gives, and how many functions it calls on the way: a loop calls some a row."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = action()
    finally:
        sys.setprofile(before)
    return found, calls


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_many_rows_take_no_loop(ending, tmp_path):
    n = 50_000
    clouds = tuple(np.random.default_rng(k).normal(size=(n, 5)) for k in range(2))
    write_snapshots(Snapshots(np.arange(2.0), clouds), tmp_path / f"a{ending}")
    read_snapshots(tmp_path / f"a{ending}")  # imports what it needs
    snapshots, calls = calls_of(lambda: read_snapshots(tmp_path / f"a{ending}"))
    assert calls < n
    same(snapshots, [0, 1], clouds)


def test_many_text_times_take_no_loop():
    labels = np.repeat(["day 0", "day 3"], 50_000)
    frame = pd.DataFrame({"t": labels, "a": np.arange(100_000.0)})
    snapshots, calls = calls_of(lambda: read_snapshots(frame))
    assert snapshots.counts == (50_000, 50_000)
    assert calls < 50_000


def test_gzip_with_a_wrong_ending(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"t,x1\n0,1\n"))
    refused(tmp_path / "a.csv", "Cannot read file")

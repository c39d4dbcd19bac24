"""The page: whole and by itself, true to the result, and right in a real browser."""

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from bayesjko import Snapshots, fit, load_result, simulate
from bayesjko.report import report, write_report
from bayesjko.report.__main__ import main

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
EMPTY = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """What a page is made of, and whether its tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.faults = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def result():
    data = simulate("double_well", beta=0.2, particles=80, snapshots=3, tau=0.1, start="normal")
    odd = Snapshots(data.times, data.particles, features=("<b>one</b> & co", 'two"'))
    return fit(
        odd, potential="poly:2", likelihood="residual", holdout=0.25, draws=40, scheme="midpoint"
    )


@pytest.fixture(scope="module")
def text(result):
    return report(result)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_is_whole(page, text):
    assert text.startswith("<!DOCTYPE html>")
    assert page.faults == page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in page.all("meta")
    assert any("width=device-width" in m.get("content", "") for m in page.all("meta"))
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == 1
    anchors = {section["id"] for section in page.all("section")}
    assert {link["href"] for link in page.all("a")} == {f"#{anchor}" for anchor in anchors}
    assert len(anchors) == 8


def test_it_needs_no_network_and_runs_nothing(page, text):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name, value in attributes.items():
            if name in ("src", "href"):
                assert value.startswith(("data:image/png;base64,", "#"))
            assert not name.startswith("on")
    assert "url(" not in text
    assert "@import" not in text
    policy = next(m for m in page.all("meta") if "http-equiv" in m)["content"]
    assert policy.startswith("default-src 'none'")


def test_every_picture_is_one_and_says_what_it_is(page):
    pictures = page.all("img")
    assert len(pictures) >= 5
    for picture in pictures:
        data = base64.b64decode(picture["src"].partition(",")[2], validate=True)
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert data.endswith(b"IEND\xaeB`\x82")
        assert len(picture["alt"]) > 8
    assert len({picture["alt"] for picture in pictures}) == len(pictures)
    assert not any(picture["alt"].startswith("Picture:") for picture in pictures)


def test_it_says_what_the_result_says(page, result):
    low, high = np.quantile(result.beta, [0.05, 0.95])
    assert f"β = {result.beta.mean():.3g}, with 90% probability between {low:.3g}" in page.text
    assert f"{high:.3g}" in page.text
    for row in result.scores["intervals"]:
        assert f"{row['w1_low']:.3g} to {row['w1_high']:.3g}" in page.text
        assert f"{row['persistence_w1']:.3g}" in page.text
    assert "3 snapshots of 60 particles each" in page.text
    assert result.provenance["data_hash"] in page.text
    assert "<b>one</b> & co" in page.text  # a name of a feature, and no markup
    assert not page.all("b")


def test_its_tables_are_whole(page, result):
    rows = len(result.snapshots.times) + len(result.scores["intervals"])
    rows += len(result.settings) + len(result.provenance)
    assert len(page.all("tr")) == rows + len(page.all("table"))  # and a head each
    for name in (*result.settings, *result.provenance):
        assert name in page.text
    for time, count in zip(result.snapshots.times, result.snapshots.counts, strict=True):
        assert f"{time:g} {count} " in page.text
    for note in result.posterior.notes:
        assert note in page.text


def test_results_of_other_kinds_have_a_page(result):
    bare = replace(
        result,
        scores={},
        provenance={},
        posterior=replace(result.posterior, log_evidence=None, notes=()),
    )
    page = Page(report(bare))
    assert page.faults == page.open == []
    assert "No particles were held out" in page.text
    assert "There is nothing to remark" in page.text


def test_the_command_writes_the_page(result, text, tmp_path, capsys):
    result.save(tmp_path / "result.nc")
    out = tmp_path / "page.html"
    assert main([str(tmp_path / "result.nc"), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"Report: {out}\n"
    assert out.read_text(encoding="utf-8") == text
    assert report(load_result(tmp_path / "result.nc")) == text
    assert main([str(tmp_path / "result.nc"), "--out", str(tmp_path / "no" / "page.html")]) == 2
    assert "no directory" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing.nc")]) == 2


HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body><iframe id="page" width="{width}"
height="800" style="border:0"></iframe><pre id="told"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const inside = frame.contentDocument, root = inside.documentElement;
  document.getElementById("told").textContent = JSON.stringify({{
    pictures: [...inside.images].map(i => i.complete && i.naturalWidth),
    width: root.scrollWidth, shown: frame.contentWindow.innerWidth,
    title: inside.title, height: root.scrollHeight}});
}};
frame.srcdoc = {page};
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium to open the page in; make browser")
@pytest.mark.parametrize("width", [375, 1200])
def test_a_browser_shows_it_at_this_width(result, text, tmp_path, width):
    """Nothing wider than a phone's screen, every picture loaded, no error on the console."""
    write_report(result, tmp_path / "report.html")
    quoted = json.dumps(text).replace("</", "<\\/")
    (tmp_path / "harness.html").write_text(
        HARNESS.format(width=width, page=quoted), encoding="utf-8"
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=10000", "--dump-dom"]
    ran = subprocess.run(
        [BROWSER, *options, f"file://{tmp_path}/harness.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = json.loads(re.search(r'<pre id="told">(.*?)</pre>', ran.stdout, re.DOTALL).group(1))
    assert told["title"] == "What drives this population"
    assert told["shown"] == width
    assert told["width"] <= width
    assert told["height"] > 1000
    assert len(told["pictures"]) >= 5
    assert all(picture > 400 for picture in told["pictures"])
    assert "CONSOLE" not in ran.stderr, ran.stderr

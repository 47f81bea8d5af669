"""The frame of the methods' reports."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from paperworks.html_page import data_uri, png, write_page
from paperworks.intervals import bootstrap
from paperworks.progress import print_json


def test_a_page_escapes_what_it_is_given_and_carries_its_pictures(tmp_path):
    red = np.full((4, 6, 3), (255, 0, 0), np.uint8)
    picture = data_uri(red)
    write_page(
        tmp_path / "page.html",
        "a <title>",
        "<p>{{ text }}</p><img src='{{ picture }}'>",
        style=".{{ name }} { color: red }",
        text="<script>",
        picture=picture,
        name="own",
    )
    page = (tmp_path / "page.html").read_text()
    assert page.count("a &lt;title&gt;") == 2
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert ".own { color: red }" in page.partition("</style>")[0]
    assert picture in page
    assert "http" not in page
    for one in (red, Image.fromarray(red)):
        assert (np.asarray(Image.open(io.BytesIO(png(one)))) == red).all()


def test_a_figure_becomes_a_picture():
    from matplotlib.figure import Figure

    drawn = Image.open(io.BytesIO(png(Figure(figsize=(2, 1)), dpi=50)))
    assert drawn.size == (100, 50)


def test_the_interval_covers_the_mean_of_draws_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [bootstrap(rng.normal(0.3, 1, 40)) for _ in range(300)]
    covered = np.mean([one.low <= 0.3 <= one.high for one in found])
    assert 0.9 <= covered <= 0.98
    assert bootstrap([2.0]).high == math.inf
    assert math.isnan(bootstrap([]).value)
    assert bootstrap([1.0, 1.0]).points() == "+100.0 points (+100.0 to +100.0)"


def test_the_interval_holds_the_mean_and_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(1).normal(3, 10, 200)
    found = bootstrap(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert found.low == pytest.approx(values.mean() - half, abs=0.35)
    assert found.high == pytest.approx(values.mean() + half, abs=0.35)


def test_json_for_scripts_has_no_nan(capsys):
    import json

    print_json({"a": (1.5, float("nan")), "b": [math.inf, "é", None, True], 3: {"c": 0}})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": [1.5, None], "b": [None, "é", None, True], "3": {"c": 0}}
    with pytest.raises(TypeError):
        print_json({"a": object()})

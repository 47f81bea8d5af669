"""Pictures: pinned pixels, geometry, independence of settings, PNG."""

import hashlib
import io
import json
import os
import random
import struct
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paperworks.errors import InputError
from paperworks.grab import draw as drawing
from paperworks.grab import glyphs, layout
from paperworks.grab.contact_sheet import contact_sheet
from paperworks.grab.draw import digest, draw, png

TEN = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}


def spec(task, prop, members, axes=TEN, **style):
    return {
        "members": members,
        "operations": [],
        "axes": axes,
        "style": layout.style(task, prop, members) | style,
        "asked": {},
    }


def line(m, k, low="-9", high="8"):
    return {"family": "line", "m": m, "k": k, "domain": [low, high]}


def scattered(n, seed):
    chance = random.Random(seed)
    x = [f"{chance.randint(100, 3900) / 100}" for _ in range(n)]
    return {"family": "points", "x": x, "y": [f"{chance.randint(-4500, 4500) / 100}" for _ in range(n)]}


SPECS = {
    "functions": spec("function", "gradient", [line(str(k - 4), str(k / 2 - 3)) for k in range(10)]),
    "bell": spec(
        "function",
        "variance",
        [{"family": "bell", "s": "7.5", "mu": "-1.2", "var": "2.25", "domain": ["-9", "8"]}],
    ),
    "transform": spec(
        "transform",
        "maximum",
        [{"family": "smooth", "x": ["-8", "-4", "0", "3", "9"], "y": ["-5", "6", "2", "7", "-9"]}],
    ),
    "sine": spec(
        "properties",
        "period",
        [{"family": "sine", "A": "8", "T": "4", "h": "1", "v": "0", "domain": ["-10", "10"]}],
        size=[600, 375],
        dashes=["dashdot"],
        widths=["3"],
        font=1,
    ),
    "points": spec(
        "properties",
        "number-of-points",
        [scattered(40, 1)],
        {"x": ["0", "40"], "y": ["-50", "50"], "step": ["5", "10"]},
        size=[600, 450],
        markers=["D"],
        sizes=["6"],
        font=2,
        grid=False,
        zero=False,
    ),
}
PINNED = {
    "functions": "b39dc4f3d1672aa6384b7d897a128aa65a65e7a4062b6c97dd3ac33eea79e13c",
    "bell": "4098abbcccad73ca0c0c433341c699ef736eaecb7596e1b0bb3aa356431004d6",
    "transform": "d79692cf6f0f49554ba890d7fb89083dd8acae11d46b3bc4de1ad41ec36cbddf",
    "sine": "1c144b0c9f2900f8f03eff66483259af8729c847a474911410875af3313b0917",
    "points": "afeb2f5a719afdf4096f95fbd08c7d8118c91724019f529d86830cad2785a5f4",
}


@pytest.mark.parametrize("name", SPECS)
def test_pixels_are_pinned(name):
    assert digest(draw(SPECS[name])) == PINNED[name]


def ink(pixels, colour, within=60):
    """[n, 2] rows and columns of pixels near a colour."""
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return np.argwhere(np.abs(pixels.astype(int) - wanted).sum(2) < within)


@pytest.mark.parametrize("width", [84, 150, 336, 600, 1000])
def test_everything_scales_with_the_width(width):
    for name, item in SPECS.items():
        pixels = draw(item, width=width)
        assert pixels.shape == (layout.height(item["style"]["size"], width), width, 3), name
        assert pixels.dtype == np.uint8
    if width >= layout.SMALLEST_WIDTH:
        rows, columns = ink(draw(SPECS["bell"], width=width), layout.COLOURS[0]).T
        column, row = layout.pixel(TEN, (600, 600), -1.2, 7.5, width)
        assert (columns + 0.5)[rows == rows.min()].mean() == pytest.approx(column, abs=1.2)
        assert rows.min() == pytest.approx(row, abs=1.2)


def test_a_line_is_drawn_where_it_is_to_three_hundredths_of_a_pixel():
    """Coverage centroid of each column against the map of values, away from grid and axes."""
    item = spec("function", "gradient", [line("0.37", "1.03")], grid=False, zero=False)
    pixels = draw(item).astype(float)
    left, right = (int(layout.pixel(TEN, (600, 600), x, 0.0)[0]) for x in (-8.5, 7.5))
    for column in range(left, right, 13):
        cover = (255 - pixels[30:530, column]) @ (255 - np.array([0x1F, 0x77, 0xB4]))
        seen = 30.5 + (np.arange(500) * cover).sum() / cover.sum()
        x = layout.value(TEN, (600, 600), column + 0.5, 0.0)[0]
        assert seen == pytest.approx(layout.pixel(TEN, (600, 600), x, 0.37 * x + 1.03)[1], abs=0.03)


def test_a_line_ends_at_its_domain():
    item = spec("function", "domain-length", [line("0", "3.5", "-7.3", "6.1")], grid=False, zero=False)
    row = int(layout.pixel(TEN, (600, 600), 0.0, 3.5)[1])
    cover = (255.0 - draw(item)[row, 80:575, 0]) / (255 - 0x1F)
    ends = [layout.pixel(TEN, (600, 600), x, 0.0)[0] for x in (-7.3, 6.1)]
    assert cover.sum() / cover.max() == pytest.approx(ends[1] - ends[0], abs=0.02)


@pytest.mark.parametrize("marker", layout.MARKERS)
def test_markers_have_their_centre_of_gravity_at_the_point(marker):
    point = {"family": "points", "x": ["1.23"], "y": ["-4.56"]}
    item = spec(
        "properties", "median", [point], markers=[marker], sizes=["7"], grid=False, zero=False, ticks=True
    )
    cover = 255.0 - draw(item)[30:530, 80:575, 0]
    rows, columns = np.indices(cover.shape) + 0.5
    seen = (columns * cover).sum() / cover.sum() + 80, (rows * cover).sum() / cover.sum() + 30
    assert seen == pytest.approx(layout.pixel(TEN, (600, 600), 1.23, -4.56), abs=0.02)
    assert 0.4 < cover.sum() / 255 / (7 * layout.POINT) ** 2 < 1.0


def test_steep_curves_stay_within_the_sagitta():
    """The polyline of a sine of 32 periods against a hundred times as many samples."""
    member = {"family": "sine-equation", "a": "9", "b": "10", "c": "1", "d": "0", "domain": ["-10", "10"]}
    item = spec("properties", "equation", [member])
    scene = drawing._Scene.__new__(drawing._Scene)
    scene.axes, scene.style, scene.width, scene.rows = TEN, item["style"], 600, 600
    drawn = scene.curve(member)
    x = np.linspace(-10, 10, 400_001)
    column, row = layout.pixel(TEN, (600, 600), x, 9 * np.sin(10 * x + 1))
    there = np.interp(column, drawn[:, 0], drawn[:, 1])
    slope = np.gradient(600 - row, column)
    assert (np.abs(there - (600 - row)) / np.sqrt(1 + slope**2)).max() < 2 * drawing.SAGITTA


def test_later_members_are_above_earlier_ones():
    flat = [line("0", "3", "-9", "8"), line("0", "3", "-4", "4")]
    item = spec("function", "gradient", flat, grid=False, zero=False)
    column, row = (int(at) for at in layout.pixel(TEN, (600, 600), 0.0, 3.0))
    assert tuple(draw(item)[row, column]) == (0xFF, 0x7F, 0x0E)


def test_nothing_of_a_curve_leaves_the_frame():
    pixels = draw(spec("function", "gradient", [line("5", "0")]))
    rows, _ = ink(pixels, layout.COLOURS[0]).T
    assert rows.min() >= 24
    assert rows.max() <= 535


@pytest.mark.parametrize("font", range(3))
@pytest.mark.parametrize("size", layout.SIZES)
def test_labels_do_not_touch_each_other_or_the_edge(font, size):
    """Labels are separate components of ink: as many as there are, each inside the picture."""
    from scipy.ndimage import label

    axes = {"x": ["-10", "10"], "y": ["-150", "100"], "step": ["2", "50"]}
    item = spec("properties", "gradient", [line("1", "0")], axes, font=font, size=list(size), ticks=True)
    pixels = draw(item)
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[:, [0, -1]] == 255).all()
    left, _, _, bottom = layout.frame(size)
    below = (pixels[int(bottom) + 8 :].min(2) < 128).any(0)
    gaps = label(~below)[0]
    inner = [(gaps == k).sum() for k in range(2, gaps.max())]
    assert sum(gap >= 8 for gap in inner) >= 10
    texts, _ = label((pixels[:, : int(left) - 6].min(2) < 160), structure=np.ones((3, 3)))
    assert texts.max() >= 6


def test_text_as_font_looks_the_same_as_outlines():
    """Matplotlib's own text differs by hinting only: almost all of the ink at the same places."""
    outlines, font = (
        255 - draw(SPECS["functions"], text=kind).astype(float).mean(2) for kind in ("outlines", "font")
    )
    labels = np.s_[540:, :]
    assert outlines[labels].sum() == pytest.approx(font[labels].sum(), rel=0.15)
    assert np.array_equal(outlines[100:500, 100:500], font[100:500, 100:500])


def test_bad_specs_are_refused():
    with pytest.raises(InputError, match="at least 16"):
        draw(SPECS["bell"], width=4)
    with pytest.raises(InputError, match="outlines"):
        draw(SPECS["bell"], text="bitmap")
    for change, message in (
        ({"colours": []}, r"style\.colours has 0"),
        ({"dashes": ["wavy"]}, "solid, dashed"),
        ({"font": 5}, "DejaVuSerif"),
    ):
        with pytest.raises(InputError, match=message):
            draw(SPECS["bell"] | {"style": SPECS["bell"]["style"] | change})
    with pytest.raises(InputError, match="markers"):
        draw(SPECS["points"] | {"style": SPECS["points"]["style"] | {"markers": ["*"]}})


def digests(items):
    return [digest(draw(item)) for item in items]


def test_other_processes_and_any_order_give_the_same_pixels():
    items = list(SPECS.values())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        others = [digest(pixels) for pixels in pool.map(draw, items[::-1])]
    assert others[::-1] == digests(items)


def test_threads_draw_the_same_and_leave_the_settings():
    import matplotlib

    items, before = list(SPECS.values()) * 4, dict(matplotlib.rcParams)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda item: digest(draw(item)), items)) == digests(SPECS.values()) * 4
    assert dict(matplotlib.rcParams) == before


def test_a_users_settings_change_nothing(tmp_path):
    """A wild matplotlibrc, another backend, locale and time zone, in a process of its own."""
    (tmp_path / "matplotlibrc").write_text(
        "figure.dpi: 33\nsavefig.dpi: 44\nlines.linewidth: 9\nlines.antialiased: False\npatch.antialiased: False\n"
        "path.simplify: True\npath.simplify_threshold: 1.0\npath.snap: True\nfont.size: 30\nfont.family: serif\n"
        "axes.unicode_minus: False\npath.sketch: 3, 40, 2\ntext.antialiased: False\nfigure.facecolor: red\n"
        "lines.scale_dashes: False\nlines.dashed_pattern: 9, 9\nagg.path.chunksize: 100\nbackend: svg\n"
        "figure.autolayout: True\nhatch.color: red\npatch.force_edgecolor: True\npatch.linewidth: 7\n"
    )
    code = (
        "import json, sys; import matplotlib; matplotlib.use('svg', force=True)\n"
        "assert matplotlib.rcParams['lines.linewidth'] == 9\n"
        "from paperworks.grab.draw import draw, digest\n"
        "print(json.dumps([digest(draw(item)) for item in json.load(sys.stdin)]))\n"
        "assert matplotlib.rcParams['lines.linewidth'] == 9\n"
    )
    source = str(Path(drawing.__file__).parents[2])
    environment = os.environ | {
        "MATPLOTLIBRC": str(tmp_path),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "de_DE.UTF-8",
        "PYTHONPATH": source,
        "PYTHONHASHSEED": "7",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(list(SPECS.values())),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert json.loads(done.stdout) == digests(SPECS.values())


def test_png_holds_the_pixels():
    for item in SPECS.values():
        pixels = draw(item)
        stored = png(pixels)
        opened = Image.open(io.BytesIO(stored))
        assert opened.mode == "RGB"
        assert np.array_equal(np.asarray(opened), pixels)
        assert len(stored) < 60_000
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(noise)))), noise)


def test_digest_is_of_width_height_and_bytes():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert digest(pixels) == hashlib.sha256(struct.pack(">II", 3, 2) + bytes(range(18))).hexdigest()
    assert digest(pixels) != digest(pixels.reshape(3, 2, 3))
    assert digest(pixels[:, ::-1][:, ::-1]) == digest(pixels)


def test_outlines_are_those_of_the_fonts_that_matplotlib_ships():
    import matplotlib
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.ttLib import TTFont

    for name in layout.FONTS:
        font = TTFont(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"))
        shapes, names = font.getGlyphSet(), font.getBestCmap()
        for character in glyphs.CHARACTERS:
            pen = BoundsPen(shapes)
            shapes[names[ord(character)]].draw(pen)
            box = glyphs.paths(character, name, 2048).get_extents()
            assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx(list(pen.bounds), abs=1)
            assert glyphs.width(character, name, 2048) == shapes[names[ord(character)]].width
    assert "Bitstream" in (Path(glyphs.__file__).parent / "outlines" / "LICENSE.txt").read_text()


@pytest.mark.parametrize("font", range(3))
@pytest.mark.parametrize("width", [600, 336])
def test_templates_are_in_the_pictures_to_the_pixel(font, width):
    """Every label of a picture, found pixel by pixel at the place the drawing says."""
    item = spec("properties", "gradient", [line("1", "0")], font=font)
    pixels = draw(item, width=width)
    below = int(layout.frame((600, 600), width)[3]) + 4
    dark = 255 - pixels.astype(np.int16)[below:, :, 0]
    em = layout.FONT_SIZE * width / 600
    for text in ("−10", "8"):
        shape = np.rint(glyphs.template(text, font, em) * 255).astype(np.int16)
        windows = np.lib.stride_tricks.sliding_window_view(dark, shape.shape)
        assert np.abs(windows - shape).max(axis=(2, 3)).min() <= 1, text


def test_a_character_without_outline_is_refused():
    with pytest.raises(InputError, match="no outline for 'é'"):
        glyphs.paths("é", 0)


def test_contact_sheet_has_a_cell_an_item():
    class Item:
        id, question, answer, spec = (
            "function-gradient-0001",
            "Estimate the gradient. " * 5,
            "3.0",
            SPECS["functions"],
        )

    sheet = contact_sheet([Item(), Item(), Item()], 2, width=200)
    assert sheet.width == 400
    assert sheet.height > 2 * 200
    assert contact_sheet([], 2).width == 900

"""The grid of pictures: everything where its row and column say, small pictures enlarged without smoothing."""

import numpy as np
import pytest
from PIL import Image

from paperworks.picture_grid import GAP, TEXT, grid_figure, picture_grid


def test_each_picture_lies_in_its_row_and_column():
    red, blue = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    page = picture_grid([[red, Image.fromarray(blue)], [blue, red]], ["one", "two"], side=40)
    pixels, top = np.asarray(page), TEXT + 2 * GAP
    assert page.size == (2 * (40 + GAP) + GAP, top + 2 * (40 + GAP))
    assert (pixels[top + 20, GAP + 20] == (255, 0, 0)).all()
    assert (pixels[top + 20, 2 * GAP + 60] == (0, 0, 255)).all()
    assert (pixels[top + 5, 2 * GAP + 60] == 255).all()  # a wide picture leaves room above
    assert (pixels[top + GAP + 60, GAP + 20] == (0, 0, 255)).all()
    assert {tuple(one) for one in pixels[top : top + 40, GAP : GAP + 40].reshape(-1, 3)} == {(255, 0, 0)}
    assert (pixels[:top] < 128).any()  # the names


def test_labels_make_room_beside_the_rows_and_a_figure_keeps_the_pixels(tmp_path):
    picture = np.full((8, 8, 3), 90, np.uint8)
    plain, labelled = (
        picture_grid([[picture]], ["x"], labels, side=32) for labels in ((), ("a long label",))
    )
    assert labelled.width > plain.width + 40
    grid_figure(plain).savefig(tmp_path / "grid.png", dpi=150)
    saved = np.asarray(Image.open(tmp_path / "grid.png").convert("RGB"))
    assert np.abs(saved.astype(int) - np.asarray(plain)).max() <= 1


def test_rows_that_do_not_fit_their_columns_are_refused():
    with pytest.raises(ValueError, match="2 columns"):
        picture_grid([[np.zeros((2, 2, 3), np.uint8)]], ["a", "b"])

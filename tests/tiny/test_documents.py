"""The drawn documents: the same everywhere, every word on its ink, and as hard to tell apart as asked for."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.tiny.documents import FAMILIES, KINDS, LAYOUTS, collection, draw, own_words, to_jsonl
from paperworks.tiny.documents_blocks import BLOCKS
from paperworks.tiny.documents_words import GROUPS, Dice, group_of, word_lists, words_of

PRINT = """
import hashlib
from paperworks.tiny.documents import collection
for family in ("born_digital", "scanned"):
    for page in collection(["invoice", "email", "resume"], 1, 5, family=family):
        text = repr((page.words, page.boxes)).encode()
        print(page.kind, hashlib.sha256(text + page.image.tobytes()).hexdigest())
"""


def printed(hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dark(page):
    return 255 - np.asarray(page.image, np.float64)


def inside(page):
    """A mask of the page's pixels that lie in a word's box."""
    width, height = page.image.size
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in page.boxes:
        mask[y0 * height // 1000 : -(-y1 * height // 1000), x0 * width // 1000 : -(-x1 * width // 1000)] = (
            True
        )
    return mask


def own_share(pages):
    words = [word.strip(".,:").lower() for page in pages for word in page.words]
    own = own_words(pages[0].kind)
    return sum(word in own for word in words) / len(words)


def test_other_processes_draw_the_same_pages():
    first, second = printed("1"), printed("2")
    assert first == second
    assert len(set(first.split())) == 3 + 6


def test_the_dice_fall_as_they_always_did():
    """The same on every platform: a change here changes every shipped result."""
    dice = Dice("a seed")
    assert [dice.between(1, 6) for _ in range(12)] == [3, 1, 5, 3, 6, 6, 5, 1, 2, 1, 1, 6]
    assert dice.noise(5).tolist() == [180, 211, 207, 70, 41]


def test_no_two_seeds_draw_the_same_words():
    drawn = [tuple(page.words) for seed in range(3) for page in collection(KINDS, 5, seed)]
    assert len(set(drawn)) == len(drawn) == 3 * 5 * len(KINDS)


def test_a_collection_has_equally_many_of_each_kind_and_is_the_start_of_a_larger_one():
    small, large = collection(["memo", "form"], 2, 3), collection(["memo", "form"], 3, 3)
    assert Counter(page.kind for page in large) == {"memo": 3, "form": 3}
    assert [page.words for page in small] == [page.words for page in large[:4]]
    assert draw("memo", "3/0").words == small[0].words


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_fills_a_page_with_words_on_their_ink(kind):
    assert len(LAYOUTS[kind]) >= 3
    for layout in range(len(LAYOUTS[kind]) + len(LAYOUTS[group_of(kind)])):
        page = draw(kind, 0, layout=layout)
        assert page.image.size == (448, 576)
        assert page.image.mode == "L"
        assert len(page.words) == len(page.boxes) >= 15
        assert all(0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000 for x0, y0, x1, y1 in page.boxes)
        ink, mask = dark(page), inside(page)
        assert ink[mask].mean() > 5 * ink[~mask].mean()
        width, height = page.image.size
        for word, (x0, y0, x1, y1) in zip(page.words, page.boxes, strict=True):
            box = ink[
                y0 * height // 1000 : y1 * height // 1000 + 1, x0 * width // 1000 : x1 * width // 1000 + 1
            ]
            assert box.max() - box.min() > 60, word


def test_no_two_words_lie_on_each_other():
    for page in collection(KINDS, 4, 1):
        for number, (x0, y0, x1, y1) in enumerate(page.boxes):
            for a0, b0, a1, b1 in page.boxes[:number]:
                wide, high = min(x1, a1) - max(x0, a0), min(y1, b1) - max(y0, b0)
                assert wide < 4 or high < 8, (page.kind, page.words[number])


def test_scanned_words_lie_on_their_ink_though_the_page_is_turned():
    better = []
    for page in collection(KINDS, 4, 0, family="scanned"):
        ink, mask = dark(page), inside(page)
        paper = np.median(ink)
        better.append((ink[mask].mean() - paper) / max(ink[~mask].mean() - paper, 1))
        moved = np.roll(mask, 9, axis=0)
        assert ink[mask].mean() > ink[moved].mean()
    assert np.mean(better) > 5


def test_the_scan_of_a_page_has_its_words_but_some_missed_and_misread():
    missed = misread = total = 0
    for number in range(40):
        clean, scan = (draw("report", number, family=family) for family in FAMILIES)
        left = Counter(scan.words) - Counter(clean.words)
        total += len(clean.words)
        missed += len(clean.words) - len(scan.words)
        misread += left.total()
        assert not np.array_equal(np.asarray(clean.image), np.asarray(scan.image))
    assert 0.02 < missed / total < 0.06
    assert 0.02 < misread / total < 0.07


def middles(page, words):
    """The middles `[n, 2]` of words' boxes, in pixels from the page's centre."""
    boxes = np.array([page.boxes[page.words.index(word)] for word in words], float)
    return (boxes[:, :2] + boxes[:, 2:] - 1000) / 2 * (0.448, 0.576)


def test_scanned_pages_are_turned_both_ways_and_never_by_more_than_two_degrees():
    angles = []
    for number in range(30):
        clean, scan = (draw("letter", number, family=family) for family in FAMILIES)
        words = [word for word in clean.words if clean.words.count(word) == scan.words.count(word) == 1]
        before, after = middles(clean, words), middles(scan, words)
        crossed = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        angles.append(np.degrees(np.arctan2(crossed.sum(), (before * after).sum())))
        assert np.linalg.norm(before, axis=1) == pytest.approx(np.linalg.norm(after, axis=1), abs=1.5)
    assert min(angles) < -1
    assert max(angles) > 1
    assert max(map(abs, angles)) < 2.1


def test_distinct_sets_the_share_of_the_kinds_own_words():
    for kind in ("invoice", "minutes", "contract"):
        shares = [
            own_share([draw(kind, number, distinct=distinct) for number in range(25)])
            for distinct in (0.0, 0.2, 0.5, 1.0)
        ]
        assert shares[0] == 0
        assert shares[0] < shares[1] < shares[2] < shares[3]
        assert shares[1] == pytest.approx(0.2 * shares[3], rel=0.35)
        assert shares[2] == pytest.approx(0.5 * shares[3], rel=0.25)


def test_without_own_words_and_layouts_kinds_of_a_group_use_the_same_words():
    words = {
        kind: {
            word.strip(".,:").lower()
            for n in range(12)
            for word in draw(kind, n, distinct=0.0, alike=1.0).words
        }
        for kind in ("letter", "memo", "invoice")
    }
    lists = words_of("prose") | words_of("shared")
    alphabetic = {kind: {word for word in found if word.isalpha()} for kind, found in words.items()}
    allowed = lists | words_of("names") | {"of", "the", "dear", "hello", "regards", "with", "yours", "page"}
    assert alphabetic["letter"] <= allowed
    assert alphabetic["memo"] <= allowed
    assert not alphabetic["invoice"] <= allowed


def test_alike_decides_between_the_groups_layouts_and_the_kinds_own():
    """Only an e-mail's own layouts have a toolbar or an avatar, and only its group's a letterhead."""
    letterhead = [
        sum(
            not {"Ltd", "Group", "Partners"}.isdisjoint(draw("email", n, alike=alike).words)
            for n in range(25)
        )
        for alike in (0.0, 1.0)
    ]
    assert letterhead[0] < letterhead[1]


def test_kinds_look_different_and_kinds_of_a_group_more_alike():
    def centre(kind):
        pages = [draw(kind, number, alike=0.7).image.reduce(16) for number in range(20)]
        return np.mean([np.asarray(page, np.float64) for page in pages], axis=0)

    centres = {kind: centre(kind) for kind in KINDS}
    within, across = [], []
    for one in KINDS:
        for two in KINDS:
            if one < two:
                distance = np.linalg.norm(centres[one] - centres[two])
                assert distance > 20
                (within if group_of(one) == group_of(two) else across).append(distance)
    assert np.mean(within) < np.mean(across)


def test_the_vocabulary_is_large_and_each_kind_has_its_own():
    assert len(KINDS) >= 12
    assert set(KINDS) | set(GROUPS) | {"shared", "names"} == set(word_lists())
    assert len(set().union(*(words_of(section) for section in word_lists()))) > 700
    for kind in KINDS:
        lists = word_lists()[kind]
        core = {word for name in ("nouns", "verbs", "adjectives") for word in lists[name]}
        assert core <= own_words(kind)
        assert len(core) >= 28


def test_layouts_are_made_of_blocks_that_there_are():
    for layouts in LAYOUTS.values():
        for layout in layouts:
            assert {
                block for row in layout.split() for column in row.split("|") for block in column.split("+")
            } <= (set(BLOCKS))


def test_files_have_what_was_drawn(tmp_path):
    from PIL import Image

    pages = collection(["memo", "receipt"], 2, 0)
    path = to_jsonl(pages, tmp_path / "new" / "folder")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["label"] for row in rows] == ["memo", "receipt"] * 2
    for row, page in zip(rows, pages, strict=True):
        assert row["words"] == page.words
        assert [tuple(box) for box in row["boxes"]] == page.boxes
        with Image.open(path.parent / row["image"]) as image:
            assert hashlib.sha256(image.tobytes()).digest() == hashlib.sha256(page.image.tobytes()).digest()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "poem"}, "poem.*invoice"),
        ({"family": "faxed"}, "faxed.*scanned"),
        ({"distinct": 1.5}, "distinct.*1.5"),
        ({"alike": -0.1}, "alike"),
        ({"layout": 99}, "0…"),
    ],
)
def test_bad_requests_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        draw(**({"kind": "memo", "seed": 0} | arguments))

"""What counts as a quantity, its value and its unit, in both languages."""

import math

import pytest
from measuring import cases

from paperworks.papers.number_patterns import WORDS
from paperworks.papers.quantities import find_quantities, raw_numbers
from paperworks.papers.telling import is_korean


def only(text: str):
    found = find_quantities(text)
    assert len(found) == 1, [one.text for one in found]
    assert text[found[0].start : found[0].end] == found[0].text
    return found[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25억 개", 2.5e9),
        ("2.5 billion parameters", 2.5e9),
        ("2.5B", 2.5e9),
        ("2,500,000,000", 2.5e9),
        ("1억 2,500만 개", 1.25e8),
        ("12만 8천 토큰", 128_000),
        ("2만 400종", 20_400),
        ("15조 토큰", 15e12),
        ("백만 개", 1e6),
        ("8,600만", 86e6),
        ("128K", 128_000),
        ("1e-4", 1e-4),
        ("3×10⁻⁴", 3e-4),
        ("2^16", 65_536),
        ("２５％", 25),
        ("−3.2 dB", -3.2),
        ("세 가지", 3),
        ("열두 개", 12),
        ("twenty-one layers", 21),
        ("3분의 1", 1 / 3),
        ("two thirds", 2 / 3),
        ("절반", 0.5),
        ("두 배", 2),
        ("3시간 30분", 3.5),
        ("$5.6M", 5.6e6),
        ("560만 달러", 5.6e6),
    ],
)
def test_a_number_has_its_value(text, value):
    assert math.isclose(only(text).value, value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("21.7%", "percent"),
        ("21.7퍼센트", "percent"),
        ("4.6%p", "percentage points"),
        ("4.6%포인트", "percentage points"),
        ("4.6 percentage points", "percentage points"),
        ("2.7배", "times"),
        ("2.7×", "times"),
        ("2.7-fold", "times"),
        ("a factor of 2.7", "times"),
        ("40 ms", "time"),
        ("40밀리초", "time"),
        ("80 GB", "memory"),
        ("900만 명", "count"),
        ("2위", "rank"),
    ],
)
def test_a_number_has_its_unit(text, kind):
    assert only(text).unit.kind == kind


def test_units_of_a_kind_share_a_base():
    assert math.isclose(only("0.19초").base, only("190 ms").base)
    assert math.isclose(only("90 minutes").base, only("1.5시간").base)


@pytest.mark.parametrize(
    ("text", "low", "high"), [("3~5배", 3, 5), ("10–100x", 10, 100), ("3K~8K 토큰", 3000, 8000)]
)
def test_a_range_is_one_quantity(text, low, high):
    assert (only(text).value, only(text).high) == (low, high)


def test_a_spread_belongs_to_its_value():
    found = only("71.3 ± 0.4%")
    assert (found.value, found.spread.value) == (71.3, 0.4)


def test_a_change_is_two_quantities():
    assert [one.value for one in find_quantities("from 21.7 to 58")] == [21.7, 58]
    assert [one.value for one in find_quantities("65.3에서 60.5로")] == [65.3, 60.5]


@pytest.mark.parametrize(
    "text",
    [
        "Llama-3.1-8B",
        "GPT-4o",
        "ViT-B/16",
        "ResNet-50",
        "COCO 2017",
        "Table 3",
        "Section 4.1",
        "4.1절",
        "그림 2",
        "arXiv 2408.11796",
        "2024년 8월 22일",
        "August 2024",
        "recall@10",
        "Top-1",
        "5-shot",
        "[12, 13]",
        "H100",
        "F1",
    ],
)
def test_a_number_of_a_name_or_a_place_is_none(text):
    assert find_quantities(f"see {text} here") == []


def test_the_size_in_a_name_is_one_on_demand():
    found = find_quantities("Llama-3.1-8B", names=True)
    assert [(one.value, one.unit.thing, one.named) for one in found] == [(8e9, "parameter", True)]


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("15T tokens", "token"),
        ("토큰 15조 개", "token"),
        ("1.5 million high-quality images", "image"),
        ("70억 개의 파라미터", "parameter"),
        ("7B model", "parameter"),
        ("900만 명", "person"),
        ("12-layer transformer", "layer"),
    ],
)
def test_what_is_counted_is_known(text, thing):
    assert only(text).unit.thing == thing


@pytest.mark.parametrize("name", ["labelled", "labelled_long"])
def test_the_first_look_at_the_numbers_of_a_text_misses_none(name):
    for case in cases(name):
        values = {round(value, 9) for value, _ in raw_numbers(case["source"])}
        for figure in find_quantities(case["source"]) if not is_korean(case["source"]) else ():
            sides = figure.factors or (abs(figure.value), 1 / figure.value if figure.value else 0.0)
            shown = {round(side * factor, 9) for side in sides for factor in (1.0, 1e-12, 1e-9, 1e-6, 1e-3)}
            assert shown & values, (case["id"], figure.text)


@pytest.mark.parametrize(
    "number", [*WORDS, "half", "two thirds", "twice", "a dozen", "a million", "two million"]
)
def test_numbers_in_words_are_seen_at_first_look_and_then_read(number):
    text = f"We use {number} tokens here."
    values = [value for value, _ in raw_numbers(text)]
    assert any(math.isclose(figure.value, value) for figure in find_quantities(text) for value in values)

"""Which way a change goes, in both languages, and when two tellings of one change are at odds."""

import pytest

from paperworks.papers.contexts import Document
from paperworks.papers.direction import at_odds, direction


def way(text: str, figure: int = 0):
    document = Document(text)
    return direction(document.sentence_at(document.figures[figure].start), document.figures[figure])


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Success falls by 29.4 points.", -1),
        ("It is 3.2 points above the previous best encoder.", 1),
        ("The score drops 62 points.", -1),
        ("A gain of 0.7 points follows.", 1),
        ("Short tasks lose 0.4 points on average.", -1),
        ("The penalty costs 1.5 points of accuracy.", -1),
        ("The miss rate is lower by 2.6 percentage points.", -1),
        ("ArguAna gets worse, by 1.3 points of nDCG@10.", -1),
        ("The model improves accuracy by 8.7 points.", 1),
        ("The recipe improves the error rate by 2 points.", -1),
        ("정답률이 8.7%p 하락한다.", -1),
        ("종전 모델보다 3.2점 높습니다.", 1),
        ("성공률이 29.4%p 오름.", 1),
        ("상승폭은 3.2점이다.", 1),
        ("0.3점 상승했고, 시간은 줄었다.", 1),
        ("퍼플렉시티가 0.09 나빠진다.", 1),
    ],
)
def test_the_direction_of_a_change_is_read(text, amount):
    assert way(text).get("amount") == amount, way(text)


@pytest.mark.parametrize(
    "text",
    [
        "The score rises to 62.1.",
        "It drops from 62.1 under pressure.",
        "정확도는 62.1%로 떨어진다.",
        "오류율은 21.7%에서 시작해 줄었다.",
        "It was trained on 1,350 demonstrations.",
        "한 장에 40ms가 든다.",
    ],
)
def test_a_level_and_a_plain_figure_have_none(text):
    assert way(text) == {}


def test_a_verb_goes_for_two_figures_that_are_joined():
    assert way("It lowers MMLU by 2.3 points and MathVista by 4.1.", 1)["amount"] == -1


@pytest.mark.parametrize(
    ("a", "b", "odds"),
    [
        ("Success falls by 3 points.", "성공률이 3%p 올랐다.", True),
        ("Success falls by 3 points.", "성공률이 3%p 떨어졌다.", False),
        ("The speed grows 3 times.", "속도가 3배 빨라졌다.", False),
        ("Perplexity worsens by 0.09.", "퍼플렉시티가 0.09 좋아진다.", True),
        ("It underestimates extremes by 17%.", "극한값을 17% 과대평가한다.", True),
        ("A power cap slows generation by 4.5%.", "생성이 4.5% 빨라진다.", True),
        ("The error falls by 3 points.", "성능이 3점 개선되었다.", False),
    ],
)
def test_what_is_at_odds(a, b, odds):
    assert at_odds(way(a), way(b)) is odds

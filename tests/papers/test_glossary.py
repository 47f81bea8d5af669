import re
from importlib.resources import files

import pytest

from paperworks.papers.glossary import GLOSSARY, in_english, stem

LINES = (files("paperworks.papers") / "glossary.txt").read_text("utf-8").splitlines()
ROWS = [line for line in LINES if line and not line.startswith("#")]


def found(sentence: str) -> list[str]:
    """The first counterpart of each known word, as the glossary writes it."""
    longest_first = sorted(GLOSSARY, key=len, reverse=True)
    places = [place for place, _ in in_english(sentence)]
    words = [next(word for word in longest_first if sentence.startswith(word, place)) for place in places]
    return [GLOSSARY[word][0] for word in words]


def test_every_row_is_korean_then_english():
    for line in ROWS:
        assert re.fullmatch(r"[가-힣]+( [가-힣]+)* : [a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*)*", line), line


def test_the_rows_stand_in_their_groups_in_order():
    group: list[str] = []
    for line in [*LINES, "# the end"]:
        if line.startswith("#"):
            assert group == sorted(group)
            group = []
        elif line:
            group.append(line)
    assert len({line for line in LINES if line.startswith("#")}) == sum(
        line.startswith("#") for line in LINES
    )


def test_no_korean_stem_and_no_english_word_of_a_row_is_there_twice():
    stems = [word for line in ROWS for word in line.split(" : ")[0].split()]
    assert len(stems) == len(set(stems)) == len(GLOSSARY)
    for line in ROWS:
        english = line.split(" : ")[1].split()
        assert len(english) == len(set(english)), line


def test_the_longest_stem_is_found_first():
    assert in_english("손") == [(0, (stem("hand"),))]
    assert in_english("손실") == [(0, (stem("loss"), stem("losses")))]
    assert in_english("부분") == [(0, tuple(stem(word) for word in GLOSSARY["부분"]))]
    assert [place for place, _ in in_english("재현율과 재현")] == [0, 5]


@pytest.mark.parametrize(
    ("korean", "english"),
    [
        ("정확도", "accuracy"),
        ("증가", "increased"),
        ("늘어", "increases"),
        ("생성", "generation"),
        ("손실", "losses"),
        ("임베딩", "embeddings"),
        ("줄였", "reduction"),
        ("질의", "queries"),
        ("궤적", "trajectories"),
        ("신호", "signals"),
    ],
)
def test_a_stem_meets_the_word_as_papers_inflect_it(korean, english):
    assert stem(english) in dict(in_english(korean))[0]


@pytest.mark.parametrize(
    ("sentence", "english"),
    [
        (
            "사족보행 로봇이 계단과 평지에서 하중을 견뎠다.",
            "quadruped robot stair flat payload",
        ),
        ("마찰이 큰 물체의 파지", "friction large object grasp"),
        ("걸러 낸 문단으로 색인을 만들었다.", "filter paragraph index create"),
        (
            "판결문 요약에서 오차가 줄었고 혼란도는 낮아졌다.",
            "decision summary error reduce perplexity lower",
        ),
        ("정확도를 유지하면서 메모리를 절감했다.", "accuracy maintain memory save"),
        ("두 후보를 능가하지만 재현율은 뒤처진다.", "candidate outperform recall behind"),
        ("이상의 결과는 충분히 분명하다.", "more result sufficient clear"),
        ("무엇이 문제인지 묻기만 하고도 옳다.", "problem correct"),
    ],
)
def test_sentences_are_rendered(sentence, english):
    assert found(sentence) == english.split()


def test_words_that_say_nothing_are_not_there():
    for word in ("있다", "하다", "되다", "통해", "위해", "대해", "것", "수"):
        assert in_english(word) == []

"""Which tokens are objects: by rules, by spaCy's parse, and by what the user says."""

import pytest

from paperworks.errors import InputError
from paperworks.frap import parser
from paperworks.frap.words import read_positions, read_prompt
from paperworks.tiny.scene_model import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(autouse=True)
def by_rules(monkeypatch):
    monkeypatch.setattr(parser, "_spacy_model", lambda: None)


def told(text):
    return [
        (text[slice(*one.object)], [text[slice(*span)] for span in one.modifiers])
        for one in parser.phrases_by_rules(text)
    ]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("a red cube and a blue sphere", [("cube", ["red"]), ("sphere", ["blue"])]),
        ("A photo of two small green cats, on the mat", [("cats", ["small", "green"]), ("mat", [])]),
        ("a cat sitting on a mat", [("cat", []), ("mat", [])]),
        ("a flying red bird", [("bird", ["flying", "red"])]),
        ("a red-haired girl with a hat", [("girl", ["red-haired"]), ("hat", [])]),
        ("une façade bleue", [("bleue", ["une", "façade"])]),
        ("", []),
        ("and with of", []),
    ],
)
def test_rules_split_a_prompt_into_objects_and_modifiers(text, objects):
    assert told(text) == objects


def test_a_parse_of_spacy_gives_nouns_and_what_modifies_them():
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import Doc

    words = ["a", "photo", "of", "a", "very", "red", "cube"]
    doc = Doc(
        spacy.blank("en").vocab,
        words,
        pos=["DET", "NOUN", "ADP", "DET", "ADV", "ADJ", "NOUN"],
        deps=["det", "ROOT", "prep", "det", "advmod", "amod", "pobj"],
        heads=[1, 1, 1, 6, 5, 6, 2],
    )
    text = " ".join(words)
    (found,) = parser.phrases_of_doc(doc)
    assert text[slice(*found.object)] == "cube"
    assert [text[slice(*span)] for span in found.modifiers] == ["very", "red"]


def test_words_are_tokens_by_where_they_lie(tokenizer):
    prompt = read_prompt(
        tokenizer, "a Red triangle and a  blue star.", {"star": ["blue"], "triangle": ["red"]}
    )
    star, triangle = prompt.objects
    ids = tokenizer(prompt.text)["input_ids"]
    read = lambda word: tokenizer.decode([ids[n] for n in word.positions]).strip()  # noqa: E731
    assert (read(star), read(star.modifiers[0])) == ("star", "blue")
    assert (read(triangle), read(triangle.modifiers[0])) == ("triangle", "red")
    assert len(triangle.positions) == 2
    assert ids[prompt.end] == tokenizer.eos_token_id
    assert prompt.length == 24


def test_two_words_that_are_equal_are_two_tokens(tokenizer):
    text = "a red circle and a red square"
    circle, square = read_prompt(tokenizer, text, {"circle": ["red"], "square": ["red"]}).objects
    assert circle.modifiers[0].positions == (2,)
    assert square.modifiers[0].positions == (6,)
    second = read_prompt(tokenizer, text, {"circle": ["red#2"]}).objects[0]
    assert second.modifiers[0].positions == (6,)


def test_repeated_and_split_words(tokenizer):
    text = "a red-haired girl and a girl with a red hat"
    with pytest.raises(InputError, match="in the prompt 2 times: write girl#1 or girl#2"):
        read_prompt(tokenizer, text, {"girl": []})
    prompt = read_prompt(tokenizer, text.replace(" hat", ""), {"girl#1": ["red-haired"], "girl#2": ["red"]})
    first, second = prompt.objects
    assert max(first.modifiers[0].positions) < min(first.positions) < min(second.positions)
    assert not set(first.modifiers[0].positions) & set(second.modifiers[0].positions)
    assert len(first.modifiers[0].positions) > 2  # red, -, haired
    assert second.modifiers[0].positions[0] > max(second.positions)


def test_unicode_has_its_tokens(tokenizer):
    prompt = read_prompt(tokenizer, "a naïve 五 star", {"star": ["naïve", "五"]})
    positions = [prompt.objects[0].positions, *(one.positions for one in prompt.objects[0].modifiers)]
    flat = [n for one in positions for n in one]
    assert len(set(flat)) == len(flat)
    assert max(flat) < prompt.end


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"sphere": []}, '"sphere" is not in the prompt "a red star"'),
        ({"star": ["blue"]}, '"blue" is not in the prompt'),
        ({"star#2": []}, "there is no star#2"),
        ({"star": "red"}, "objects are words with lists of modifiers"),
        ({3: []}, "objects are words"),
        ({"": []}, '"" is not in the prompt'),
    ],
)
def test_words_that_are_not_there_are_named(tokenizer, objects, message):
    with pytest.raises(InputError, match=message):
        read_prompt(tokenizer, "a red star", objects)


def test_an_object_behind_the_last_position_is_named_with_the_first_word_lost(tokenizer):
    text = "a " * 22 + "red star"
    with pytest.raises(
        InputError, match='"star" is behind the 24 tokens that are read, which end before "red"'
    ):
        read_prompt(tokenizer, text, {"star": []})
    with pytest.warns(UserWarning, match="left out: star"):
        assert read_prompt(tokenizer, text).objects == ()


def test_embeddings_have_positions(tokenizer):
    prompt = read_positions(24, {(3, 4): [2], 7: []})
    assert [one.positions for one in prompt.objects] == [(3, 4), (7,)]
    assert prompt.objects[0].modifiers[0].positions == (2,)
    for bad in ({"star": []}, {0: []}, {24: []}, {3: ["red"]}):
        with pytest.raises(InputError, match="positions from 1 to 23"):
            read_positions(24, bad)

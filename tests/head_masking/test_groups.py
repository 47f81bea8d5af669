"""Groups of rejected documents: planted ones are found with their words, and unknown kinds fall apart by kind."""

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.head_masking.documents import Document
from paperworks.head_masking.features import Inputs, Passes, read_outputs
from paperworks.head_masking.groups import new_kinds
from paperworks.tiny import document_model

ORIGIN = np.full(8, 40.0)


def planted():
    """Twelve tickets and eight menus in two directions, five of no group, and thirty known documents."""
    generator = np.random.default_rng(0)
    sizes = {"ticket": 12, "menu": 8, "stray": 5, "known": 30}
    centres = dict(zip(sizes, np.eye(4, 8), strict=True))
    documents, features = [], []
    for name, size in sizes.items():
        for number in range(size):
            own = {"ticket": ("Seat,", "Row"), "menu": ("Soup", "Row")}.get(name, ())
            documents.append(Document(f"{name}/{number}", words=(*own, "the", f"n{number}", "12.50")))
            spread = 3 if name == "stray" else 0.05
            length = generator.uniform(1, 9)  # which does not count
            features.append(ORIGIN + length * (centres[name] + spread * generator.standard_normal(8)))
    return documents, np.array(features)


def test_planted_groups_are_found_with_their_typical_words_and_the_most_typical_member_first():
    documents, features = planted()
    rejected = [index for index, one in enumerate(documents) if not one.id.startswith("known")]
    tickets, menus = new_kinds(documents, features, rejected[::-1], ORIGIN)
    for group, name, size in ((tickets, "ticket", 12), (menus, "menu", 8)):
        assert {documents[index].id for index in group.members} == {
            f"{name}/{number}" for number in range(size)
        }
        own = features[group.members] - ORIGIN
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        far = np.linalg.norm(own - own.mean(0), axis=1)
        assert list(far) == sorted(far)
    assert tickets.words == [
        "seat",
        "row",
    ]  # no group has "the" more than the others, and "n3" is one ticket's
    assert menus.words == ["soup", "row"]
    assert new_kinds(documents, features, rejected, ORIGIN, words=1)[0].words == ["seat"]


def test_groups_smaller_than_the_minimum_are_none():
    documents, features = planted()
    rejected = range(25)
    assert [len(group.members) for group in new_kinds(documents, features, rejected, ORIGIN, minimum=10)] == [
        12
    ]
    assert new_kinds(documents, features, [0, 1, 2], ORIGIN) == []
    assert new_kinds(documents, features, [], ORIGIN) == []


def test_one_new_kind_alone_is_one_group():
    documents, features = planted()
    assert [set(group.members) for group in new_kinds(documents, features, range(12), ORIGIN)] == [
        set(range(12))
    ]


def test_bad_input_is_refused():
    documents, features = planted()
    with pytest.raises(InputError, match="minimum of 2"):
        new_kinds(documents, features, [0], ORIGIN, minimum=1)
    for some, origin in ((features[:3], ORIGIN), (features, ORIGIN[:3])):
        with pytest.raises(InputError, match="of 55 documents, origin"):
            new_kinds(documents, some, [0], origin)


def test_pages_of_four_unknown_kinds_fall_into_groups_purer_than_shuffled_ones():
    model, processor = document_model.load_document_model("a")
    pages = document_model.pages(document_model.SPLITS["a"], 30, 901)
    known = document_model.pages(document_model.known("a"), 4, 902)
    read, of_known = (
        read_outputs(Passes(model), Inputs(document_model.encoded(some, processor)), [], batch_size=32)[0]
        for some in (pages, known)
    )
    documents = [Document(str(number), words=tuple(page.words)) for number, page in enumerate(pages)]
    groups = new_kinds(documents, read.features, range(len(pages)), of_known.features.mean(0))
    kinds = np.array([page.kind for page in pages])

    def purity(named):
        """The share of the documents of all groups that are of their group's commonest kind."""
        common = [np.unique(named[group.members], return_counts=True)[1].max() for group in groups]
        return sum(common) / sum(len(group.members) for group in groups)

    assert len(groups) >= 2
    assert sum(len(group.members) for group in groups) >= len(pages) / 2
    generator = np.random.default_rng(0)
    shuffled = [purity(generator.permutation(kinds)) for _ in range(200)]
    assert purity(kinds) > max(shuffled) + 0.05

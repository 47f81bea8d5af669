"""What every method's claims must say."""

import re

import pytest

from paperworks.catalogue import METHODS

CLAIMS = [
    (method, claim) for method in METHODS if method.built and not method.missing for claim in method.claims()
]


@pytest.mark.parametrize(
    ("method", "claim"), CLAIMS, ids=[f"{method.name}.{claim.id}" for method, claim in CLAIMS]
)
def test_each_claim_says_what_it_expects_in_both_languages(method, claim):
    assert (claim.method, claim.paper) == (method.name, method.paper)
    for text in (claim.highlight, claim.reported, claim.expects, claim.control, claim.run.__doc__):
        assert text
        assert text == text.strip()
    korean = claim.translations["ko"]
    assert set(korean) == {"highlight", "reported", "expects", "control"}
    assert all(re.search("[가-힣]", text) for text in korean.values())

import ast
import textwrap

import pytest

from paperworks.errors import InputError
from paperworks.tiny.source import load_source


@pytest.fixture
def folder(tmp_path):
    body = "\n".join(f"        value_{i} = {i}" for i in range(8))
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "message.py").write_text(
        f'"""{"A module about messages. " * 6}"""\n'
        f'class Message:\n    """{"A message is a header and a body. " * 4}"""\n\n    def send(self):\n{body}\n\n'
        "    def short(self):\n        pass\n"
    )
    (tmp_path / "copied.py").write_text(
        f"def send(self):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    )
    (tmp_path / "broken.py").write_text("def oops(:\n" + "# text\n" * 50)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "hidden.py").write_text(f'"""{"Not to be read. " * 20}"""\n')
    return tmp_path


def test_documents_are_functions_and_docstrings_with_their_place(folder):
    found = [(d.module, d.package, d.name) for d in load_source(folder)]
    assert found == [
        ("copied", "copied", "send"),
        ("mail.message", "mail", "module"),
        ("mail.message", "mail", "Message"),
    ]


def test_long_texts_are_cut_and_short_ones_left_out(folder):
    assert all(len(d.text) <= 120 for d in load_source(folder, characters=(1, 120)))
    assert "Message.short" in [d.name for d in load_source(folder, characters=(1, 1500))]
    assert "Message.short" not in [d.name for d in load_source(folder)]


def test_at_most_spreads_over_all_documents(folder):
    everything = load_source(folder, characters=(1, 1500))
    some = load_source(folder, characters=(1, 1500), at_most=2)
    assert some == [everything[0], everything[len(everything) // 2]]


def test_a_folder_without_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="no Python source"):
        load_source(tmp_path)


def test_this_pythons_library_has_thousands_of_distinct_documents_in_a_fixed_order():
    documents = load_source()
    assert len(documents) > 8_000
    assert len({" ".join(d.text.split()) for d in documents}) == len(documents)
    assert not {d.package for d in documents} & {"test", "idlelib", "site-packages"}
    assert documents[:200] == load_source()[:200]
    routine = next(d for d in documents if (d.module, d.name) == ("inspect", "isroutine"))
    assert isinstance(ast.parse(routine.text).body[0], ast.FunctionDef)

import os
import subprocess
import sys

import pytest

from paperworks.errors import InputError
from paperworks.files import new_folder, remove_remains, replacing, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    write_text(path, "old")

    def fail_half_way():
        with replacing(path) as partial:
            partial.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_json_with_a_number_that_is_none_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_bad_input(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / "out" / "x", "")


def test_new_files_have_the_usual_permissions(tmp_path):
    write_text(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "a[1].json"
    write_text(path, "old")
    (tmp_path / "a1.json").write_text("another")
    script = """
import os, sys
from paperworks.files import replacing
with replacing(sys.argv[1]):
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script, path], check=False)
    assert len(os.listdir(tmp_path)) == 3
    remove_remains(path)
    assert sorted(os.listdir(tmp_path)) == ["a1.json", "a[1].json"]
    remove_remains(tmp_path / "nowhere" / "x")


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    made = tmp_path / "deep" / "made"

    def build(path, fails=False):
        with new_folder(path) as building:
            (building / "file").write_text("text")
            assert not (path / "file").exists()
            if fails:
                raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        build(made, fails=True)
    assert list(made.parent.iterdir()) == []
    build(made)
    assert [file.name for file in made.parent.iterdir()] == ["made"]
    assert (made / "file").read_text() == "text"
    with pytest.raises(InputError, match="there already"):
        build(made)
    empty = tmp_path / "empty"
    empty.mkdir()
    build(empty)
    assert (empty / "file").exists()
    with pytest.raises(InputError, match="cannot write"):
        build(made / "file" / "below")

"""Making items: the right answers, the same everywhere, and stored so that damage is found."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.grab import items as items_module
from paperworks.grab.bench import Bench, items_hash, read_image
from paperworks.grab.design import cells, find_cell
from paperworks.grab.draw import digest
from paperworks.grab.generate import generate, ladder, make_item, one_colour
from paperworks.grab.items import attempt_item, canonical, stratum
from paperworks.grab.operations import is_empty, undoes
from paperworks.grab.questions import format_answer
from paperworks.grab.rules import Refused, check
from paperworks.grab.truths import dense_truth, truth

SMALL_HASH = "49837f5ad1ef025b57069c4ba6db49b1d0e19600e087086589824688a372c5dc"
"""`items_hash` of seed 0, scale "small". It changes when the generator does: then `bench.GENERATOR` must change too."""


@pytest.fixture(scope="module")
def paper():
    return generate(seed=0)


@pytest.fixture(scope="module")
def small():
    return generate(seed=0, scale="small")


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    return Bench(small.items[::9], small.manifest).save(tmp_path_factory.mktemp("grab") / "bench")


def test_every_item_of_the_paper_scale_is_made(paper):
    assert len(paper) == 2170
    assert [item.id for item in paper] == [slot.id for slot in cells("paper")]
    for item, slot in zip(paper, cells("paper"), strict=True):
        members = len(item.spec["members"])
        operations = item.spec["operations"]
        if item.task in ("function", "series"):
            assert (members, operations) == (slot.complexity + 1, [])
        elif item.task == "transform":
            assert (members, len(operations)) == (1, slot.complexity)
            assert item.effective_complexity <= slot.complexity
        assert item.quantum == slot.quantum


def test_no_operation_is_empty_and_no_sine_has_a_negative_factor(paper):
    for item in paper:
        operations = item.spec["operations"]
        assert not any(is_empty(operation) for operation in operations)
        assert not any(undoes(*pair) for pair in itertools.pairwise(operations))
        for member in item.spec["members"]:
            if member["family"] == "sine-equation":
                assert int(member["a"]) > 0
                assert int(member["b"]) > 0
                assert 0 <= int(member["c"]) <= 6
            if member["family"] == "sine":
                assert Fraction(member["A"]) > 0
                assert Fraction(member["T"]) > 0
    equations = [item.answer for item in paper if item.property == "equation"]
    assert len(set(equations)) == len(equations) == 30


def test_kinds_of_operations_are_about_equally_frequent(paper):
    kinds = Counter(op["kind"] for item in paper for op in item.spec["operations"])
    assert sum(kinds.values()) == 1395
    assert min(kinds.values()) > 0.19 * 1395
    assert max(kinds.values()) < 0.31 * 1395


def test_answers_of_a_cell_are_uniform(paper):
    """Each answer of a range as often as any other, to one; of more answers than questions an even part."""
    slots = {slot.id: slot for slot in cells("paper")}
    groups: dict[tuple[str, str, str, int], list[Fraction]] = {}
    for item in paper:
        if item.property in ("equation", "stationary-points"):
            continue
        group = (item.task, item.property, item.quantum, item.complexity if item.task == "transform" else 0)
        groups.setdefault(group, []).append(Fraction(item.answer))
        assert Fraction(item.answer) % Fraction(item.quantum) == 0
        assert slots[item.id].of >= 1
    for (task, prop, quantum, complexity), answers in groups.items():
        low, high = find_cell(task, prop).range(quantum, complexity)
        count = int((high - low) / Fraction(quantum)) + 1
        numbers = sorted(int((answer - low) / Fraction(quantum)) for answer in answers)
        assert numbers[0] >= 0, (task, prop)
        assert numbers[-1] < count, (task, prop)
        if count <= len(numbers):
            times = Counter(numbers)
            assert len(times) == count
            assert max(times.values()) - min(times.values()) <= 1, (task, prop)
        else:  # question k of n in part k of the answers
            for k, number in enumerate(numbers):
                assert k * count // len(numbers) <= number <= (k + 1) * count // len(numbers), (task, prop)


def test_the_constant_zero_does_not_score_more_at_low_complexity(paper):
    """Free means would shrink to the middle as members are added; answer first, they do not."""
    size = [
        np.mean([abs(float(item.answer)) for item in paper.select("function", "vertical-shift", complexity)])
        for complexity in range(10)
    ]
    assert abs(np.corrcoef(range(10), size)[0, 1]) < 0.75
    assert min(size) > 1


def test_stored_answers_are_the_rounded_truths_far_from_a_tie(paper):
    for item in paper:
        exact = truth(item.spec, item.property)
        assert item.answer == format_answer(exact, item.quantum)
        if item.property not in ("equation", "stationary-points"):
            quanta = float(Fraction(exact) / Fraction(item.quantum))
            assert abs(quanta - round(quanta)) <= 0.3 + 1e-6


def test_truths_agree_with_dense_sampling(small):
    for item in small:
        exact = truth(item.spec, item.property)
        dense = dense_truth(item.spec, item.property)
        if isinstance(exact, str):
            assert dense == exact
        else:
            assert format_answer(dense, item.quantum) == item.answer, item.id


def test_items_pass_the_rules_again(small):
    for item in small:
        margins = check(item.spec, item.task, item.property, item.quantum, truth(item.spec, item.property))
        assert set(margins) == set(item.margins)


def test_order_and_subset_do_not_matter(paper, small):
    by_id = {item.id: item for item in paper}
    for slot in reversed(cells("small")):
        assert make_item(0, slot) == by_id[slot.id]
    assert all(by_id[item.id] == item for item in small)
    other = generate(seed=1, scale="small", tasks=["series"])
    assert all(by_id[item.id].spec != item.spec for item in other)


def test_processes_do_not_matter():
    one = generate(seed=3, counts={"function": 1, "transform": 1}, complexities=[4])
    two = generate(seed=3, counts={"function": 1, "transform": 1}, complexities=[4], jobs=2)
    assert one.items == two.items
    assert one.manifest == two.manifest


def test_the_items_are_the_pinned_ones(small):
    assert items_hash(small) == SMALL_HASH


PRINT_HASHES = """
from paperworks.grab.bench import items_hash
from paperworks.grab.draw import digest
from paperworks.grab.generate import generate
bench = generate(seed=0, scale="small", tasks=["properties"])
print(items_hash(bench), digest(bench.pixels(bench.items[0])), digest(bench.pixels(bench.items[-1])))
"""


def test_the_users_settings_do_not_matter(tmp_path, small):
    (tmp_path / "matplotlibrc").write_text(
        "lines.linewidth: 9\nfont.size: 30\nsavefig.dpi: 10\npath.snap: True\n"
    )
    settings = {"LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "5"}
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES],
        cwd=tmp_path,
        env=os.environ | settings | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = small.select("properties")
    pictures = [digest(ours.pixels(item)) for item in (ours.items[0], ours.items[-1])]
    assert printed == [items_hash(ours), *pictures]


def test_a_saved_benchmark_is_read_back_and_verified(saved):
    loaded = Bench.load(saved.folder)
    assert loaded.items == saved.items
    assert loaded.manifest == saved.manifest
    assert loaded.verify() == []
    assert all(item.image_sha256 for item in loaded)
    item = loaded.items[0]
    assert digest(np.asarray(loaded.image(item))) == item.image_sha256
    assert {"matplotlib", "freetype", "machine"} <= set(loaded.manifest["drawn_with"])
    rows = [json.loads(line) for line in (saved.folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert [row["file_name"] for row in rows] == [item.image for item in loaded]
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        "images", "items.jsonl", "manifest.json", "metadata.jsonl",
    ]  # fmt: skip


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    saved.save(tmp_path / "copy", jobs=2)
    for name in ("items.jsonl", "metadata.jsonl", "manifest.json", saved.items[0].image):
        assert (tmp_path / "copy" / name).read_bytes() == (saved.folder / name).read_bytes(), name


def test_verify_finds_an_edited_answer_and_an_edited_picture(saved, tmp_path):
    from PIL import Image

    saved.save(tmp_path / "edited")
    lines = (tmp_path / "edited/items.jsonl").read_text("utf-8").splitlines()
    row = json.loads(lines[2])
    lines[2] = json.dumps(row | {"answer": "41"}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    (tmp_path / "edited/items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture = tmp_path / "edited" / saved.items[1].image
    pixels = np.array(read_image(picture, "one"))
    pixels[100:140, 100:140] = 0
    Image.fromarray(pixels).save(picture)
    (tmp_path / "edited" / saved.items[3].image).unlink()
    problems = Bench.load(tmp_path / "edited").verify()
    assert any("not the hash" in problem for problem in problems)
    assert any(row["id"] in problem and "answer not as made" in problem for problem in problems)
    assert any(saved.items[1].id in problem and "pixels" in problem for problem in problems)
    assert any(saved.items[3].id in problem and "cannot read" in problem for problem in problems)
    assert {problem.split(":")[0] for problem in problems} == {
        "items.jsonl", row["id"], saved.items[1].id, saved.items[3].id,
    }  # fmt: skip


def test_a_few_pixels_of_another_text_renderer_are_no_mismatch(saved, tmp_path):
    from PIL import Image

    saved.save(tmp_path / "near")
    path = tmp_path / "near" / saved.items[0].image
    pixels = np.array(read_image(path, "one"))
    pixels[5:10, 5:15] = 200  # 50 of 225,000 or more: under 0.1 %
    Image.fromarray(pixels).save(path)
    changed = replace(saved.items[0], image_sha256=digest(pixels))
    near = Bench([changed, *saved.items[1:]], saved.manifest, tmp_path / "near")
    assert near.verify() == []


def test_a_folder_that_is_there_is_left_alone(saved, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        saved.save(tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


def test_nothing_half_written_is_left_behind(small, tmp_path):
    def stop(done, total, what):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.save(tmp_path / "bench", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_named(saved, tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json: No such file"):
        Bench.load(tmp_path)
    saved.save(tmp_path / "torn")
    path = tmp_path / "torn/items.jsonl"
    path.write_text(path.read_text("utf-8")[:-40], encoding="utf-8")
    with pytest.raises(InputError, match=f"line {len(saved)} is damaged"):
        Bench.load(tmp_path / "torn")
    path.write_text('{"id": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: task, property, .* missing"):
        Bench.load(tmp_path / "torn")
    with pytest.raises(InputError, match="no item 'x'"):
        saved["x"]


def test_degraded_pictures_are_verified_too(tmp_path):
    bench = generate(seed=0, counts={"series/mean": 1}, degrade="jpeg:0.4")
    plain = generate(seed=0, counts={"series/mean": 1})
    assert (bench.pixels(bench.items[0]) != plain.pixels(plain.items[0])).any()
    assert bench.items == plain.items
    assert bench.save(tmp_path / "jpeg").verify() == []


def test_datasets_have_the_official_columns(saved):
    dataset = saved.to_hf(messages=True)
    assert dataset.column_names[:8] == [
        "pid", "question", "decoded_image", "image", "answer", "task", "category", "complexity",
    ]  # fmt: skip
    row = dataset[0]
    assert row["decoded_image"].size == tuple(saved.items[0].spec["style"]["size"])
    assert row["messages"][1]["content"][0]["text"] == saved.items[0].answer
    assert json.loads(row["spec"]) == saved.items[0].spec


def test_one_colour_and_ladder_ask_about_the_same_picture(paper):
    for item in paper.select("function", complexity=[3, 7]).items[::9]:
        try:
            rungs = ladder(item)
        except InputError as error:
            assert "can be asked" in str(error)  # noqa: PT017
            continue
        assert [rung.id.removeprefix(item.id) for rung in rungs] == [
            "-limits",
            "-count",
            "-value",
            "-colour",
            "",
        ]
        pictures = [{key: value for key, value in rung.spec.items() if key != "asked"} for rung in rungs]
        assert all(picture == pictures[0] for picture in pictures)
        assert rungs[0].answer == "[-10, 10]"
        assert rungs[1].answer == str(len(item.spec["members"]))
        named = rungs[3]
        assert named.spec["asked"]["colour"] in named.question
        assert named.answer == format_answer(truth(named.spec, item.property), item.quantum)
        assert named == one_colour(item)
    with pytest.raises(InputError, match="this is series"):
        one_colour(paper.select("series").items[0])


def test_variants_are_verified(paper, tmp_path):
    rungs = ladder(paper["function-amplitude-0003"])
    bench = Bench(rungs, paper.manifest | {"items_sha256": items_hash(rungs)})
    assert bench.save(tmp_path / "ladder").verify() == []


def test_legacy_restores_empty_operations_and_negative_sines():
    slots = cells("paper", tasks=["transform"], complexities=[8, 9])[:40]
    operations = [op for slot in slots for op in make_item(0, slot, legacy=True).spec["operations"]]
    assert sum(map(is_empty, operations)) > 10
    sines = [
        make_item(0, slot, legacy=True).answer
        for slot in cells("paper", tasks=["properties"], properties=["equation"])
    ]
    assert any("sin(-" in answer or "y = -" in answer for answer in sines if "sin" in answer)
    assert not make_item(0, slots[0], legacy=True).margins


def test_rules_that_refuse_everything_are_named(monkeypatch):
    def never(*_):
        raise Refused("R4", "too many curves")

    monkeypatch.setattr(items_module, "check", never)
    monkeypatch.setattr(items_module, "ATTEMPTS", 20)
    slot = cells("paper", tasks=["function"], properties=["gradient"], complexities=[9])[0]
    with pytest.raises(
        InputError, match=r"function gradient, complexity 9: no item in 20 attempts .*; R4 refused 20"
    ):
        make_item(0, slot)


def test_attempts_are_few(small):
    assert sum(attempt_item(0, slot)[1].total() for slot in cells("small")) < 116


def test_strata_are_permuted_by_the_seed():
    slots = cells("paper", tasks=["function"], properties=["gradient"])
    first = [stratum(0, slot) for slot in slots]
    assert first != [stratum(1, slot) for slot in slots]
    assert sorted(first) == sorted(stratum(1, slot) for slot in slots)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed -1; give an integer"),
        ({"text": "vector"}, "text 'vector'; give"),
        ({"counts": {"function": 0}}, "no question is left"),
        ({"degrade": "fog"}, "fog"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        generate(**arguments)


def test_lines_are_canonical(small):
    line = canonical(small.items[0])
    row = json.loads(line)
    assert list(row) == sorted(row)
    assert "image_sha256" not in json.loads(canonical(small.items[0], image_hash=False))

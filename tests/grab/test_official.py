"""The official set, from a folder made by hand in its form: columns, pictures, what the questions ask for."""

import json

import numpy as np
import pytest
from PIL import Image

from paperworks.errors import InputError
from paperworks.grab.design import CATEGORIES
from paperworks.grab.official import load_official, over_white
from paperworks.grab.official_questions import operations_of, property_of, quantum_of
from paperworks.grab.operations import FACTORS, MIRRORS, affine

PRECISION = {
    "1": "Give your answer as an integer.",
    "0.1": "Give your answer to 1 decimal place.",
    "10": "Give your answer to the nearest 10.",
}
PAIR = "Write your answer in the form [x_coordinate1, x_coordinate2], where x_coordinate1 < x_coordinate2."
FORM = "Write your answer in the form y = {}. Each variable is as an integer."
MOVED = "of the function shown in the plot after it has been transformed by the following operations:"


def properties(prop, category, question, answer, quantum="1"):
    return "properties", category, 0, f"{question} {PRECISION[quantum]}", answer, prop, quantum


def equation(form, answer):
    question = f"What is the equation of the function? {FORM.format(form)}"
    return "properties", "Functions", 0, question, answer, "equation", "1"


def mean(task, prop, words, category, complexity, answer, quantum):
    kind = "functions" if task == "function" else "data series"
    question = f"Estimate the mean {words} of the {kind} shown in the plot. {PRECISION[quantum]}"
    return task, category, complexity, question, answer, prop, quantum


def moved(prop, words, category, answer, quantum, *steps):
    numbered = "\n".join(f"{number}. {step};" for number, step in enumerate(steps, 1))
    question = f"Estimate the {words} {MOVED}\n{numbered}\n{PRECISION[quantum]}"
    return "transform", category, len(steps), question, answer, prop, quantum


TURN = "rotation by {} degrees about the origin"
INTERCEPTS, SPREAD, STATIONARY = "Intercepts and Gradients", "Measures of Spread", "Stationary Points"
# In the official file's words: (task, category, complexity, question, answer, property, quantum)
QUESTIONS = [
    properties("x-intercept", INTERCEPTS, "What is the value of the x-intercept of the function?", "-9"),
    properties("y-intercept", INTERCEPTS, "What is the value of the y-intercept of the function?", "1"),
    properties("peak", SPREAD, "What is the location of the peak of the function?", "5"),
    properties(
        "stationary-point", STATIONARY, "What is the x-value of the stationary point of the function?", "0"
    ),
    properties(
        "stationary-points",
        STATIONARY,
        f"What are the x-values of the two stationary points of the function? {PAIR}",
        "[-10, -3]",
    ),
    properties("variance", SPREAD, "What is the variance of the function?", "10"),
    properties("period", "Trigonometric", "What is the period of the function?", "10"),
    properties("amplitude", "Trigonometric", "What is the amplitude of the function?", "1"),
    properties("vertical-shift", "Trigonometric", "What is the vertical shift of the function?", "-4"),
    equation("<a>sin(<b>x + <c>) + <d>", "y = 2sin(-9x + 7) + 6"),
    equation("<a>x^3 + <b>x^2 + <c>x + <d>", "y = 0x^3 - 2x^2 + 5x + 2"),
    properties("number-of-points", "Counting", "How many points are shown in the figure?", "96"),
    properties("number-of-series", "Counting", "How many series are shown in the figure?", "12"),
    properties("minimum", "Extrema", "What is the minimum value of the data?", "-10"),
    properties("maximum", "Extrema", "What is the maximum value of the function?", "44"),
    properties(
        "net-area", "Area Bounded", "What is the net area bounded by the function and x-axis?", "-120", "10"
    ),
    properties(
        "total-area",
        "Area Bounded",
        "What is the total area bounded by the function and x-axis?",
        "250",
        "10",
    ),
    properties("interquartile-range", SPREAD, "What is the interquartile range of the data?", "35"),
    properties("range-span", "Range", "What is the range span of the function?", "22"),
    properties("domain-length", "Range", "What is the domain length of the data?", "10"),
    mean("series", "mean", "data mean", SPREAD, 2, "-7.8", "0.1"),
    mean("series", "range-span", "range span", "Range", 9, "11.4", "0.1"),
    mean("function", "x-intercept", "x-intercept", INTERCEPTS, 0, "-10", "1"),
    mean("function", "stationary-point", "stationary point x-coordinate", STATIONARY, 2, "-1", "1"),
    mean("function", "function-mean", "function mean", STATIONARY, 1, "-8.9", "0.1"),
    mean("function", "amplitude", "amplitude", "Trigonometric", 5, "1.0", "0.1"),
    moved(
        "maximum",
        "maximum value",
        "Extrema",
        "20.0",
        "0.1",
        "reflection in the line y=x",
        "scale by 10.0 in y",
        TURN.format("180.0"),
    ),
    moved(
        "domain-length",
        "domain length",
        "Range",
        "26",
        "1",
        "translation by 9 in x",
        "translation by -6 in x",
        TURN.format("0.0"),
        "reflection in the x-axis",
        "scale by 2.0 in x",
    ),
    moved(
        "gradient",
        "gradient",
        INTERCEPTS,
        "10",
        "1",
        "scale by 0.1 in y",
        "reflection in the line x=-3",
        "reflection in the y-axis",
        "translation by -5 in y",
        TURN.format("90.0"),
    ),
]


def entry(pid, question):
    task, category, complexity, text, answer, _, _ = question
    return {
        "pid": pid,
        "question": text,
        "answer": answer,
        "category": category,
        "complexity": complexity,
        "task": task,
        "image": f"images/{pid}.png",
    }


def picture(pid):
    """A transparent picture with one opaque line, half-transparent beside it."""
    pixels = np.zeros((30, 40, 4), np.uint8)
    pixels[10] = (pid, 0, 200, 255)
    pixels[20] = (0, 0, 0, 128)
    return Image.fromarray(pixels, "RGBA")


@pytest.fixture
def folder(tmp_path):
    """The official set in small: `grab.json` and `images/`."""
    (tmp_path / "images").mkdir()
    (tmp_path / "grab.json").write_text(
        json.dumps({str(pid): entry(pid, question) for pid, question in enumerate(QUESTIONS)}, indent=4)
    )
    for pid in range(len(QUESTIONS)):
        picture(pid).save(tmp_path / "images" / f"{pid}.png")
    return tmp_path


def change(folder, key, fields):
    entries = json.loads((folder / "grab.json").read_text())
    entries[key] |= fields
    entries[key] = {name: value for name, value in entries[key].items() if value is not None}
    (folder / "grab.json").write_text(json.dumps(entries))


def test_a_folder_is_read_with_what_its_questions_ask_for(folder):
    bench = load_official(folder)
    assert len(bench) == len(QUESTIONS)
    for pid, (item, question) in enumerate(zip(bench, QUESTIONS, strict=True)):
        task, category, complexity, text, answer, prop, quantum = question
        assert item.id == str(pid)
        assert (item.task, item.category, item.complexity) == (task, category, complexity)
        assert (item.question, item.answer) == (text, answer)
        assert (item.property, item.quantum) == (prop, quantum)
        assert item.property in CATEGORIES[item.category]
    assert load_official(folder / "grab.json").manifest["items_sha256"] == bench.manifest["items_sha256"]


def test_pictures_are_drawn_over_white(folder):
    bench = load_official(folder)
    pixels = np.asarray(bench.image("3"))
    assert pixels.shape == (30, 40, 3)
    assert (pixels[0] == 255).all()
    assert (pixels[10] == (3, 0, 200)).all()
    assert (np.abs(pixels[20].astype(int) - 127) <= 1).all()
    assert (bench.pixels(bench[3]) == pixels).all()


def test_pictures_are_made_smaller_until_no_side_is_longer(folder):
    bench = load_official(folder, max_side=20)
    assert bench.image(0).size == (20, 15)
    assert load_official(folder, max_side=40).image(0).size == (40, 30)
    assert load_official(folder, max_side=1).image(0).size == (1, 1)
    # Another size is another picture: its responses are not mixed with those of the first.
    assert bench[0].image_sha256 != load_official(folder)[0].image_sha256
    assert bench[0].image_sha256 == load_official(folder, max_side=20)[0].image_sha256
    with pytest.raises(InputError, match="max_side is 0"):
        load_official(folder, max_side=0)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGB", "1"])
def test_every_kind_of_picture_becomes_rgb(mode):
    assert over_white(Image.new("RGBA", (3, 2), (255, 0, 0, 255)).convert(mode)).mode == "RGB"


def test_a_palette_with_a_transparent_colour_is_drawn_over_white():
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30])
    palette.info["transparency"] = 0
    assert over_white(palette).getpixel((0, 0)) == (255, 255, 255)


def test_operations_are_read_and_their_effect_counted(folder):
    bench = load_official(folder)
    transforms = [item for item in bench if item.task == "transform"]
    assert transforms[0].spec["operations"] == [
        {"kind": "reflect", "in": "y=x"},
        {"kind": "scale", "axis": "y", "factor": "10"},
        {"kind": "rotate", "angle": 180},
    ]
    # Two shifts in x are one, a turn by 0° is none: scale(2) after reflection and a shift by 3.
    assert (transforms[1].complexity, transforms[1].effective_complexity) == (5, 3)
    assert all(item.effective_complexity == item.complexity for item in bench if item.task != "transform")


def test_every_official_operation_is_read():
    texts = [f"scale by {float(factor)} in {axis}" for factor in FACTORS for axis in "xy"]
    texts += [f"rotation by {float(angle)} degrees about the origin" for angle in (0, 90, 180, 270)]
    texts += [f"translation by {by} in {axis}" for by in range(-10, 11) for axis in "xy"]
    texts += [f"reflection in the line {axis}={k}" for axis in "xy" for k in range(-10, 11)]
    texts += [
        "reflection in the x-axis",
        "reflection in the y-axis",
        "reflection in the line y=x",
        "reflection in the line y=-x",
    ]
    for text in texts:
        (operation,) = operations_of(f"1. {text};\n")
        affine(operation)
    together = "".join(f"{number}. {text};\n" for number, text in enumerate(texts, 1))
    assert len(operations_of(together)) == len(texts)
    assert {
        operation["in"] for operation in operations_of(together) if operation["kind"] == "reflect"
    } == set(MIRRORS)


def test_the_same_set_through_datasets(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [entry(pid, question) for pid, question in enumerate(QUESTIONS)]
    for row in rows:
        row["decoded_image"] = {"bytes": (folder / row["image"]).read_bytes(), "path": None}
    features = {
        name: datasets.Value("int64" if name in ("pid", "complexity") else "string") for name in rows[0]
    }
    features["decoded_image"] = datasets.Image()
    data = datasets.Dataset.from_list(rows, features=datasets.Features(features))
    data.save_to_disk(tmp_path / "disk")
    datasets.DatasetDict({"GRAB": data}).save_to_disk(tmp_path / "splits")
    expected = load_official(folder)
    for place in ("disk", "splits"):
        bench = load_official(tmp_path / place)
        assert bench.items == expected.items
        assert (bench.pixels(bench[5]) == expected.pixels(expected[5])).all()
    data.remove_columns(["decoded_image", "task"]).save_to_disk(tmp_path / "less")
    with pytest.raises(InputError, match=r"no task, decoded_image; found pid, question, answer"):
        load_official(tmp_path / "less")


def test_a_copy_of_ours_is_read_again(folder, tmp_path):
    pytest.importorskip("datasets")
    bench = load_official(folder, max_side=20)
    bench.to_hf().save_to_disk(tmp_path / "copy")
    again = load_official(tmp_path / "copy")
    assert [item.answer for item in again] == [item.answer for item in bench]
    assert again.image(2).size == (20, 15)


def test_selections_keep_their_pictures(folder):
    chosen = load_official(folder).select(task="transform", complexity=5)
    assert [item.property for item in chosen] == ["domain-length", "gradient"]
    assert chosen.image(chosen[0]).size == (40, 30)


def test_changed_files_are_found(folder):
    bench = load_official(folder)
    assert bench.verify() == []
    picture(99).save(folder / "images" / "2.png")
    (folder / "images" / "4.png").unlink()
    changed, missing = bench.verify()
    assert "2.png has changed" in changed
    assert "pid 4 is missing" in missing
    with pytest.raises(InputError, match="pid 4 is missing"):
        bench.image("4")
    with pytest.raises(InputError, match="save_to_disk"):
        bench.save(folder / "copy")


def test_a_missing_picture_is_named_with_its_path(folder):
    (folder / "images" / "7.png").unlink()
    with pytest.raises(InputError, match=r"pid 7 is missing: .*images/7\.png"):
        load_official(folder)


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_a_damaged_picture_is_named_with_its_path(folder, damage):
    path = folder / "images" / "7.png"
    path.write_bytes({"text": b"not a picture", "cut": path.read_bytes()[:60], "empty": b""}[damage])
    with pytest.raises(InputError, match=r"pid 7 cannot be decoded: .*images/7\.png"):
        load_official(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"category": None, "task": None},
            r"pid 3: no task, category; found pid, question, answer, complexity, image",
        ),
        ({"pid": 8}, "entry 3 has the pid 8"),
        ({"task": "real"}, "pid 3: no task 'real': choose from properties, function, series, transform"),
        ({"category": "Real"}, "pid 3: no category 'Real': choose from Intercepts"),
        ({"answer": "rising"}, "pid 3: the answer 'rising' is no number"),
        ({"answer": "0.5"}, "pid 3: the question asks for a precision of 1, but its answer is '0.5'"),
        ({"question": "What is it?"}, "pid 3: cannot tell which of stationary-point"),
        ({"task": "transform", "complexity": 2}, "pid 3: 0 operations can be read, but the complexity is 2"),
        ({"complexity": "many"}, "pid 3: complexity 'many' of properties: choose from 0"),
        ({"complexity": 10, "task": "function"}, "pid 3: complexity 10 of function: choose from 0, 1"),
    ],
)
def test_bad_entries_are_named(folder, fields, message):
    change(folder, "3", fields)
    with pytest.raises(InputError, match=message):
        load_official(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"0": 3}', "{"])
def test_what_is_not_the_official_file_is_refused(folder, text):
    (folder / "grab.json").write_text(text)
    with pytest.raises(InputError, match=r"grab\.json"):
        load_official(folder)


def test_a_folder_with_neither_form_and_a_wrong_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds neither grab\.json nor"):
        load_official(tmp_path)
    with pytest.raises(InputError, match="no such folder, and not a name"):
        load_official(tmp_path / "nowhere")


def test_our_own_questions_say_the_same_property_and_precision():
    from paperworks.grab.design import cells
    from paperworks.grab.items import make_item

    for slot in [slot for slot in cells("small") if slot.task != "transform"][::6]:
        item = make_item(0, slot)
        assert property_of(item.question, item.category, item.task) == item.property
        assert quantum_of(item.question, item.answer) == item.quantum

"""The page of a run: its figures are those of the tables, it is one file, and it shows what went wrong."""

import base64
import io
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
from PIL import Image

from paperworks.errors import InputError
from paperworks.grab import published
from paperworks.grab.answers import score
from paperworks.grab.evaluate import Run, evaluate
from paperworks.grab.generate import generate
from paperworks.grab.models import Response
from paperworks.grab.report import write_report
from paperworks.grab.report_figures import ERROR_LABELS, binned
from paperworks.grab.tables import table

HOSTILE = "<script>alert(1)</script> & <b>9</b>\ud83d"


class Scripted:
    """A model that answers as told: a function of the item."""

    def __init__(self, says, name="scripted"):
        self.says, self.name, self.parameters = says, name, {"temperature": 0, "top": "<p>"}

    def prepare(self, bench):
        self.items = {item.id: item for item in bench}

    def answer(self, requests):
        for request in requests:
            text, finish = self.says(self.items[request.id])
            yield Response(request.key, request.id, text, finish, 300, 5, 0.25, 1.5)


def mixed(item):
    """Right, in a sentence, one off, hostile, cut off, refused: by the item's number and task."""
    kind = (item.index + len(item.task)) % 6
    wrong = (
        "y = 2x + 1"
        if "=" in item.answer
        else "[0, 1]"
        if "[" in item.answer
        else f"{float(item.answer) + 1:.0f}"
    )
    return (
        (item.answer, "stop"),
        (f"The answer is {item.answer}.", "stop"),
        (wrong, "stop"),
        (HOSTILE, "stop"),
        ("The curve ri", "length"),
        ("I will not.", "refused"),
    )[kind]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    counts = {"properties/gradient": 5, "properties/equation": 4, "series/number-of-series": 0}
    counts |= {"function/y-intercept": 12, "series/mean": 10, "transform/gradient": 8}
    counts.pop("series/number-of-series")
    return generate(seed=5, counts=counts).save(tmp_path_factory.mktemp("report") / "bench")


@pytest.fixture(scope="module")
def run(bench, tmp_path_factory):
    return evaluate(bench, Scripted(mixed), out=tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def best(bench, tmp_path_factory):
    reader = Scripted(lambda item: (item.answer, "stop"), "perfect-reader")
    return evaluate(bench, reader, out=tmp_path_factory.mktemp("report") / "best")


@pytest.fixture(scope="module")
def page(run, best, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_report(run, path, references={best.name: best.rows()})
    return path.read_text("utf-8")


def words(page):
    """The page's text without tags and style, spaces folded."""
    plain = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(plain))


def cells(page, heading):
    """The rows of the first table below a heading, as lists of texts."""
    part = page.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", part, re.DOTALL)
    return [
        [words(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def per_cent(value):
    return f"{100 * value:.1f}"


def test_the_headline_has_its_interval_floor_ceiling_and_skill(run, best, page):
    (whole,) = table(run.rows(), references={best.name: best.rows()}).lines
    text = words(page)
    assert (
        f"{per_cent(whole.accuracy)} % right, 95 % interval {per_cent(whole.low)}–{per_cent(whole.high)} %"
        in text
    )
    assert f"floor, always zero: {per_cent(whole.floors['zero'])} %" in text
    assert f"floor, the commonest other answer: {per_cent(whole.floors['mode'])} %" in text
    assert "perfect-reader: 100.0 %" in text
    assert f"skill {whole.skill:.2f}".replace("-", "−") in text
    assert "Of 39 questions asked, " in text


def test_what_was_not_answered_is_apart_and_counted_both_ways(run, page):
    (whole,) = table(run.rows()).lines
    assert whole.refused > 0
    assert whole.truncated > 0
    text = words(page)
    assert f"{whole.refused} refused, {whole.truncated} truncated." in text
    assert f"With them counted as wrong, {per_cent(whole.accuracy_of_all)} %" in text
    assert "The curve ri" in text
    assert "I will not." in text


@pytest.mark.parametrize(
    ("heading", "by", "graded"),
    [
        ("Task", "task", False),
        ("Complexity", "complexity", True),
        ("Precision", "quantum", False),
        ("Category", "category", False),
        ("Property", ("task", "property"), False),
    ],
)
def test_every_table_has_floor_and_ceiling_beside_the_accuracy(run, best, page, heading, by, graded):
    rows = [row for row in run.rows() if not graded or row["task"] != "properties"]
    expected = table(rows, by, references={best.name: best.rows()}).lines
    head, *found = [row for row in cells(page, heading) if len(row) > 1]
    assert head == ["", "n", "right %", "", "floor %", "perfect-reader %", "skill"]
    assert len(found) == len(expected)
    for row, line in zip(found, expected, strict=True):
        assert row[1] == (f"{line.answered}/{line.n}" if line.answered < line.n else f"{line.n}")
        assert row[2] == f"{per_cent(line.accuracy)} {per_cent(line.low)}–{per_cent(line.high)}"
        assert row[4] == per_cent(max(line.floors.values()))
        assert row[5] == "100.0"
        assert row[6] == f"{line.skill:.2f}".replace("-", "−")


def test_all_scores_from_the_same_responses_stand_side_by_side(run, page):
    rows = [row for row in run.rows() if row["finish"] == "stop"]
    found = {row[0].split()[0]: row[1:] for row in cells(page, "Scores from the same responses")[1:]}
    for name in ("exact", "numeric", "within", "equivalent", "official_prefix", "relaxed5"):
        whole = sum(score(name, row["text"], row["answer"], row["quantum"]) for row in rows) / len(rows)
        assert found[name][0] == per_cent(whole)
    assert float(found["exact"][1]) > float(found["exact"][0])


def test_each_answered_question_became_one_thing(run, page):
    found = cells(page, "Over complexity, and how far off")[1:]
    assert sum(int(row[1]) for row in found) == sum(row["finish"] == "stop" for row in run.rows())
    assert all(int(row[1]) > 0 for row in found)


def test_the_published_table_holds_the_run_at_its_place(run, page):
    rows = cells(page, "Beside the published models")
    names = [row[0] for row in rows[1:]]
    assert len(names) == len(published.TABLE) + 3
    own = rows[1 + names.index("this run")]
    all_rows = run.rows()
    exact = [row["finish"] == "stop" and row["text"] == row["answer"] for row in all_rows]
    assert own[1] == per_cent(sum(exact) / len(all_rows))
    shares = [float(row[1]) for row in rows[1:-2]]
    assert shares == sorted(shares, reverse=True)
    assert "LLaVA-1.5 7b (open)" in names
    assert "this run of a set drawn afresh" in words(page)


class Cards(HTMLParser):
    """The pictures and links of the page, and every tag and attribute."""

    def __init__(self):
        super().__init__()
        self.pictures, self.links, self.tags, self.ids = {}, [], set(), []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.add(tag)
        if tag == "img":
            self.pictures[values["alt"]] = values["src"]
        if "href" in values:
            self.links.append(values["href"])
        self.ids += [values["id"]] if "id" in values else []
        assert not [name for name in values if name.startswith("on")]


def parsed(page):
    cards = Cards()
    cards.feed(page)
    return cards


def test_the_page_is_one_file_without_script_that_shows_what_a_model_wrote_as_text(page):
    found = parsed(page)
    assert not found.tags & {"script", "link", "iframe", "b"}
    assert all(source.startswith("data:image/png;base64,") for source in found.pictures.values())
    assert not re.search(r"url\(|@import", page)
    assert "<script>alert(1)</script> & <b>9</b>?" in words(page)


def test_failures_are_shown_with_picture_question_truth_and_response(bench, run, page):
    found = parsed(page)
    wrong = [row for row in run.rows() if row["finish"] == "stop" and row["text"].strip() != row["answer"]]
    assert len(wrong) > 10
    text = words(page)
    for row in wrong:
        picture = Image.open(io.BytesIO(base64.b64decode(found.pictures[row["id"]].partition(",")[2])))
        full = bench.image(row["id"])
        assert picture.width == 480
        assert abs(picture.height - full.height * 480 / full.width) <= 1
        assert re.sub(r"\s+", " ", row["question"]) in text
    right = [row["id"] for row in run.rows() if row["text"] == row["answer"]]
    assert right
    assert not set(right) & set(found.pictures)
    assert {f"#wrong-{task}" for task in ("properties", "function", "series", "transform")} == {
        link for link in found.links if link.startswith("#")
    }
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_only_the_first_failures_of_each_task_are_shown(run, tmp_path):
    write_report(run, tmp_path / "page.html", failures=1)
    page = (tmp_path / "page.html").read_text()
    shown = [name for name in parsed(page).pictures if re.fullmatch(r".*-\d{4}", name)]
    assert len(shown) == 4
    first = {}
    for row in run.rows():
        if row["finish"] == "stop" and row["text"].strip() != row["answer"]:
            first.setdefault(row["task"], row["id"])
    assert shown == list(first.values())
    assert "No ceiling is shown" in words(page)


def test_another_extraction_makes_another_headline(run, tmp_path):
    write_report(run, tmp_path / "page.html", extract="regex", score="numeric")
    (whole,) = table(run.rows(), score="numeric", extract="regex").lines
    text = words((tmp_path / "page.html").read_text())
    assert f"{per_cent(whole.accuracy)} % right" in text
    assert "Extraction regex" in text
    assert "Claude 3.5 Sonnet, published" not in text


def test_a_score_that_is_no_accuracy_is_warned_of_on_the_page(run, tmp_path):
    with pytest.warns(UserWarning, match="counts 45 as 4"):
        write_report(run, tmp_path / "page.html", score="official_prefix")
    assert "official_prefix is no accuracy" in words((tmp_path / "page.html").read_text())
    with pytest.raises(InputError, match="error_in_quanta is a distance"):
        write_report(run, tmp_path / "page.html", score="error_in_quanta")


def test_without_its_benchmark_the_page_has_no_pictures_and_says_why(bench, run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    identity = json.loads((tmp_path / "run" / "run.json").read_text())
    identity["dataset"]["folder"] = "gone"
    (tmp_path / "run" / "run.json").write_text(json.dumps(identity))
    write_report(Run.load(tmp_path / "run"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Without pictures: cannot read" in words(page)
    assert not [name for name in parsed(page).pictures if re.fullmatch(r".*-\d{4}", name)]


def test_a_picture_that_is_missing_is_said_on_its_card(bench, run, tmp_path):
    shutil.copytree(bench.folder, tmp_path / "bench")
    shutil.copytree(run.folder, tmp_path / "run")
    wrong = next(
        row["id"] for row in run.rows() if row["finish"] == "stop" and row["text"].strip() != row["answer"]
    )
    (tmp_path / "bench" / "images" / f"{wrong}.png").unlink()
    write_report(Run.load(tmp_path / "run", bench.load(tmp_path / "bench")), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"{wrong}: cannot read" in words(page)
    assert wrong not in parsed(page).pictures


def test_a_part_of_the_benchmark_is_said_to_be_one(bench, tmp_path):
    part = evaluate(bench, Scripted(mixed), out=tmp_path / "run", limit=7)
    write_report(part, tmp_path / "page.html")
    assert "Of 7 questions asked (of 39 in the set)" in words((tmp_path / "page.html").read_text())


def test_a_run_that_answered_nothing_has_a_page(bench, tmp_path):
    silent = evaluate(bench, Scripted(lambda item: ("…", "length")), out=tmp_path / "run", limit=5)
    write_report(silent, tmp_path / "page.html")
    text = words((tmp_path / "page.html").read_text())
    assert "– % right" in text
    assert "5 truncated." in text


def test_a_run_of_properties_alone_has_no_curve_over_complexity(bench, tmp_path):
    some = evaluate(bench.select(task="properties"), Scripted(mixed), out=tmp_path / "run")
    write_report(some, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Accuracy over complexity" not in page
    assert "How far off the answers are" in page
    assert "Cochran" not in page


def test_a_run_without_responses_is_refused(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "responses.jsonl").unlink()
    with pytest.raises(InputError, match="has no responses yet: nothing to report"):
        write_report(Run.load(tmp_path / "run"), tmp_path / "page.html")


def test_the_same_run_gives_the_same_page_whatever_the_matplotlib_settings(run, tmp_path):
    import matplotlib as mpl

    write_report(run, tmp_path / "one.html", failures=0)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        write_report(run, tmp_path / "two.html", failures=0)
        assert mpl.rcParams["font.size"] == 20
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_errors_fall_into_their_bins():
    counts = binned([0.0, 0.5, 1.0, 1.5, 5.0, 6.0, 20.0, 50.0, 51.0, None])
    assert dict(zip((*ERROR_LABELS, "none"), counts, strict=True)) == {
        "0": 1, "≤ 1": 2, "≤ 2": 1, "≤ 5": 1, "≤ 10": 1, "≤ 20": 1, "≤ 50": 1, "> 50": 1, "none": 1,
    }  # fmt: skip

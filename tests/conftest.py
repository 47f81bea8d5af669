import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

EXPERIMENTS = """
import math, os, signal, sys, time
from paperworks.claims import Evidence, Measured, Skip, Table, claim

def experiment(**changes):
    declared = dict(paper="2408.08793", highlight="two is more than one", reported="2", expects="above one",
                    meets=lambda m: m.value > 1, control="the same with one taken away")
    return claim(**(declared | changes))

@experiment()
def true_claim(lab):
    lab.progress(1, 2, "half")
    return Evidence(Measured.of([2.0, 2.5], "x"), Measured(1.0, "x"), table=Table(["a"], [[1.0]]))

@experiment()
def false_claim(lab):
    return Evidence(Measured(0.5), Measured(0.0))

@experiment()
def useless_claim(lab):
    return Evidence(Measured(2.0), Measured(3.0))

@experiment(meets=lambda m: not m.value < 1)
def nan_claim(lab):
    return Evidence(Measured(math.nan), Measured(0.0))

@experiment()
def nan_control(lab):
    return Evidence(Measured(2.0), Measured(math.nan))

@experiment()
def raising_claim(lab):
    print("before the end")
    raise RuntimeError("the model exploded")

@experiment()
def killed_claim(lab):
    os.kill(os.getpid(), signal.SIGSEGV)

@experiment()
def endless_claim(lab):
    import subprocess
    subprocess.Popen(["sleep", "600"])
    time.sleep(600)

@experiment()
def missing_claim(lab):
    raise Skip("the data set CIFAR-100 is not on this machine")

@experiment(meets=lambda m: m.details["absent"] > 1)
def unjudgeable_claim(lab):
    return Evidence(Measured(2.0), Measured(0.0))

@experiment()
def wrong_type(lab):
    return 3

@experiment()
def seeded_claim(lab):
    import random
    values = [random.Random(seed).random() + 1 for seed in lab.seeds(3)]
    return Evidence(Measured.of(values), Measured(0.0))

@experiment()
def drawing_claim(lab):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    figure = Figure()
    figure.subplots().plot([1, 2])
    lab.figure("line", figure)
    return Evidence(Measured(2.0), Measured(0.0))

@experiment()
def counting_claim(lab):
    with open(os.environ["COUNT_FILE"], "a") as file:
        file.write("run\\n")
    return Evidence(Measured(2.0), Measured(0.0))
"""


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """A module of experiments of every kind, importable here and in a worker's process."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "some_experiments.py").write_text(EXPERIMENTS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("some_experiments", None)
    import some_experiments  # type: ignore[import-not-found]

    yield some_experiments
    sys.modules.pop("some_experiments", None)


@pytest.fixture
def shared_pages() -> list[Path]:
    """Real pages of the family, where the folder beside the project has them."""
    folder = Path(os.environ.get("PAPERWORKS_SHARED_PAGES", Path(__file__).parents[2] / "shared/pages"))
    pages = sorted(folder.glob("*.md"))
    if not pages:
        pytest.skip("no shared pages on this machine")
    return pages

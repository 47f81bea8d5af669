import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from PIL import Image  # noqa: E402

from paperworks.backward_compatible import finetune  # noqa: E402
from paperworks.backward_compatible.embedder import (  # noqa: E402
    Embedder,
    load_compatible,
    load_embedder,
    load_image_processor,
)
from paperworks.backward_compatible.finetune import TrainingOptions, train_on_images  # noqa: E402
from paperworks.backward_compatible.imagefolder import Images, read_image_folder  # noqa: E402
from paperworks.errors import InputError  # noqa: E402

OPTIONS = TrainingOptions(extra_dimensions=4, epochs=3, batch_size=8, warmup_epochs=1, learning_rate=3e-3)
SHADES = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40)}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Untrained checkpoints of the real classes: an old convolutional network and a new vision transformer."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    resnet = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", num_channels=3
    )
    vit = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    transformers.ResNetModel(resnet).save_pretrained(root / "old")
    transformers.ViTModel(vit).save_pretrained(root / "new")
    transformers.ViTForImageClassification(vit).save_pretrained(root / "classifier")
    for name, size in (("old", 20), ("new", 16), ("classifier", 16)):
        config = {"image_processor_type": "ViTImageProcessor", "size": {"height": size, "width": size}}
        (root / name / "preprocessor_config.json").write_text(json.dumps(config))
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of noisy shades, twelve pictures each, in differing sizes and formats."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name, shade in SHADES.items():
        (root / name / "more").mkdir(parents=True)
        for i in range(12):
            height, width = random.integers(18, 30, 2)
            pixels = np.clip(np.array(shade) + random.normal(0, 40, (height, width, 3)), 0, 255)
            place = root / name / "more" if i % 3 == 0 else root / name
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.{'png' if i % 2 else 'jpg'}")
        (root / name / "notes.txt").write_text("not an image")
    return root


@pytest.fixture(scope="module")
def trained(checkpoints, images, tmp_path_factory):
    """A finished run and its history."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    history = train_on_images(str(checkpoints / "old"), str(checkpoints / "new"), images, out, OPTIONS)
    return out, history


def pixels(images, checkpoint):
    data = Images(read_image_folder(images), load_image_processor(checkpoint))
    return torch.stack([data[i]["pixel_values"] for i in range(len(data))]), torch.tensor(data.folder.labels)


def test_the_backbone_loads_without_the_library_and_the_folder_gives_the_trained_embedding(trained, images):
    out, _ = trained
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "preprocessor_config.json",
        "projection.safetensors", "compatible.json", "history.json",
    }  # fmt: skip
    assert not out.with_name(".trained.unfinished").exists()
    inputs, _ = pixels(images, out)
    plain, missing = transformers.AutoModel.from_pretrained(out, output_loading_info=True)
    assert not missing["missing_keys"]
    from safetensors.torch import load_file

    projection = load_file(out / "projection.safetensors")
    with torch.no_grad():
        features = plain(inputs).pooler_output @ projection["weight"].T + projection["bias"]
        embedded = load_compatible(out)(pixel_values=inputs)
    assert embedded.shape == (36, 16)
    assert torch.allclose(embedded.norm(dim=1), torch.ones(36), atol=1e-6)
    assert torch.allclose(embedded, features / features.norm(dim=1, keepdim=True), atol=1e-6)
    card = load_compatible(out).card
    assert (card["old_width"], card["width"], card["classes"]) == (12, 16, sorted(SHADES))


def test_training_brings_the_first_dimensions_to_the_old_prototypes(trained, checkpoints, images):
    out, history = trained
    assert history[-1]["loss"] < history[0]["loss"]
    with torch.no_grad():
        old_inputs, labels = pixels(images, checkpoints / "old")
        old = load_embedder(checkpoints / "old")(pixel_values=old_inputs)
        new = load_compatible(out)(pixel_values=pixels(images, out)[0], width=12)
    prototypes = torch.stack([old[labels == c].mean(dim=0) for c in range(3)])
    alignment = 1 - torch.nn.functional.cosine_similarity(new, prototypes[labels]).mean().item()
    assert alignment < 0.5 * history[0]["alignment"]


def test_a_killed_run_goes_on_to_the_same_weights_and_history(trained, checkpoints, images, tmp_path):
    whole, history = trained
    out = tmp_path / "resumed"
    call = (str(checkpoints / "old"), str(checkpoints / "new"), images, out, OPTIONS)

    def killed(done, total, what):
        if what.startswith("epoch 3") and done % 5 == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_images(*call, progress=killed)
    assert not out.exists()
    with pytest.raises(InputError, match="--resume"):
        train_on_images(*call)
    starts = []
    resumed = train_on_images(
        *call,
        resume=True,
        progress=lambda done, total, what: starts.append(done) if "epoch" in what else None,
    )
    assert starts[0] == 2 * 5
    assert resumed == history
    for name in ("model.safetensors", "projection.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_an_unfinished_run_is_only_resumed_with_what_it_was_started_with(checkpoints, images, tmp_path):
    def stop(done, total, what):
        if what.startswith("epoch 2"):
            raise KeyboardInterrupt

    call = (str(checkpoints / "old"), str(checkpoints / "new"), images, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_on_images(*call, OPTIONS, progress=stop)
    with pytest.raises(InputError, match="seed was 42"):
        train_on_images(*call, TrainingOptions(**{**vars(OPTIONS), "seed": 1}), resume=True)
    shutil.copytree(images, tmp_path / "fewer")
    shutil.rmtree(tmp_path / "fewer" / "red")
    with pytest.raises(InputError, match=r"classes was \['blue', 'green', 'red'\]"):
        train_on_images(*call[:2], tmp_path / "fewer", call[3], OPTIONS, resume=True)
    assert not (tmp_path / "run").exists()


def test_a_trained_model_is_the_old_model_of_the_next(trained, checkpoints, images, tmp_path):
    options = TrainingOptions(**{**vars(OPTIONS), "epochs": 1, "transformation": "identity"})
    out, _ = trained
    train_on_images(str(out), str(out), images, tmp_path / "v3", options)
    third = load_compatible(tmp_path / "v3")
    assert (third.card["old_width"], third.card["width"]) == (16, 20)
    assert third(pixel_values=torch.rand(2, 3, 16, 16)).shape == (2, 20)


def test_a_pooler_without_weights_is_not_used(checkpoints):
    first, again = (load_embedder(checkpoints / "classifier") for _ in range(2))
    inputs = torch.rand(2, 3, 16, 16)
    assert first.pooling == "first"
    with torch.no_grad():
        embedded = first(pixel_values=inputs)
        hidden = first.backbone(inputs).last_hidden_state[:, 0]
        assert torch.equal(embedded, again(pixel_values=inputs))
    assert torch.allclose(embedded, hidden / hidden.norm(dim=1, keepdim=True), atol=1e-6)


def test_a_loss_that_is_not_a_number_names_its_step(checkpoints, images, tmp_path, monkeypatch):
    real = finetune.CompatibleTraining.forward
    calls = []

    def explode(self, features, labels):
        calls.append(1)
        return real(self, features * (float("nan") if len(calls) == 7 else 1), labels)

    monkeypatch.setattr(finetune.CompatibleTraining, "forward", explode)
    with pytest.raises(InputError, match="loss is nan at epoch 2, step 2"):
        train_on_images(str(checkpoints / "old"), str(checkpoints / "new"), images, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_flips_depend_on_seed_epoch_and_number_alone(images, checkpoints):
    folder = read_image_folder(images)
    data = Images(folder, load_image_processor(checkpoints / "new"), seed=5)
    flips = []
    for epoch in range(20):
        image, plain = data[epoch, 3]["pixel_values"], data[3]["pixel_values"]
        assert torch.equal(image, data[epoch, 3]["pixel_values"])
        flips.append(torch.allclose(image, plain.flip(-1), atol=0.02))
        assert flips[-1] != torch.allclose(image, plain, atol=0.02)
    assert 4 <= sum(flips) <= 16


def test_a_sentence_transformer_is_an_embedder_too(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "old", "new", "index"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    transformer = Transformer(str(tmp_path / "bert"))
    model = sentence_transformers.SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu").eval()
    model.save_pretrained(str(tmp_path / "sentences"))
    embedder = Embedder(
        load_embedder(tmp_path / "sentences").backbone, torch.nn.Linear(16, 6), "sentence"
    ).eval()
    embedder.save(tmp_path / "compatible")
    texts = ["old index", "new index new"]
    inputs = model.tokenize(texts)
    with torch.no_grad():
        found = load_compatible(tmp_path / "compatible")(**inputs)
        expected = embedder.projection(torch.tensor(model.encode(texts)))
    assert torch.allclose(found, expected / expected.norm(dim=1, keepdim=True), atol=1e-5)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "paperworks", "backward-compatible", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_the_command_trains(checkpoints, images, tmp_path):
    done = run(
        *("train", "--old", checkpoints / "old", "--backbone", checkpoints / "new", "--data", images),
        *("--out", tmp_path / "new", "--extra-dimensions", 2, "--epochs", 2, "--batch-size", 12, "--json"),
        *("--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    history = json.loads(done.stdout)
    assert len(history) == 2
    assert load_compatible(tmp_path / "new").card["width"] == 14
    again = run(
        *("train", "--old", checkpoints / "old", "--backbone", checkpoints / "new", "--data", images),
        *("--out", tmp_path / "new"),
    )
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_two_processes_train_as_one_with_twice_the_batch(checkpoints, images, tmp_path):
    call = ("train", "--old", checkpoints / "old", "--backbone", checkpoints / "classifier", "--data", images)
    call += ("--epochs", 2, "--warmup-epochs", 0, "--extra-dimensions", 4, "--device", "cpu")
    one = run(*call, "--batch-size", 12, "--out", tmp_path / "one")
    assert one.returncode == 0, one.stderr
    arguments = map(str, (*call, "--batch-size", 6, "--out", tmp_path / "two"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "paperworks"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    two = subprocess.run(
        [*launch, "backward-compatible", *arguments], capture_output=True, text=True, env=environment
    )
    assert two.returncode == 0, two.stderr
    one, two = (load_compatible(tmp_path / name).state_dict() for name in ("one", "two"))
    start = load_embedder(checkpoints / "classifier").state_dict()
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=2e-4), name
    moved = [(one[name] - weight).abs().max() for name, weight in start.items() if "attention" in name]
    assert max(moved) > 1e-3


def test_the_comparison_of_stored_vectors_prints_the_matrix(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(40) % 4
    new = np.eye(4)[labels] + 0.3 * random.standard_normal((40, 4))
    np.save(tmp_path / "new.npy", new)
    np.save(tmp_path / "old.npy", new[:, :2] + random.standard_normal((40, 2)))
    (tmp_path / "classes.txt").write_text("\n".join(f"class {label}" for label in labels) + "\n")
    call = ("compare", tmp_path / "old.npy", tmp_path / "new.npy", "--labels", tmp_path / "classes.txt")
    from paperworks.backward_compatible.compatibility import compatibility

    vectors = {name: np.load(tmp_path / f"{name}.npy") for name in ("old", "new")}
    assert json.loads(run(*call, "--json").stdout) == compatibility(query=vectors, labels=labels).to_dict()
    shown = run(*call, "--metrics", "map").stdout
    assert "new gallery" in shown
    assert "AC 1.00" in shown or "AC 0.00" in shown
    bad = run("compare", tmp_path / "old.npy", "--labels", tmp_path / "classes.txt")
    assert (bad.returncode, "two or more" in bad.stderr) == (2, True)


def test_bad_image_folders_are_refused(tmp_path, images, checkpoints):
    cases = {
        "missing": "no such folder",
        "empty": "no folders in it",
        "bare": "no images in it",
        "one": "one class, only",
        "splits": "look like splits",
    }
    for name in ("empty", "bare/a", "one/only", "splits/train/a", "splits/test/a"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "one" / "only" / "a.png")
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            read_image_folder(tmp_path / name)
    shutil.copytree(images, tmp_path / "broken")
    (tmp_path / "broken" / "red" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"1\.png: not a readable image"):
        train_on_images(
            str(checkpoints / "old"), str(checkpoints / "new"), tmp_path / "broken", tmp_path / "o", OPTIONS
        )


def test_bad_checkpoints_and_options_are_refused(tmp_path, checkpoints):
    with pytest.raises(InputError, match="cannot be loaded as a model"):
        load_embedder(tmp_path)
    with pytest.raises(InputError, match=r"no compatible\.json"):
        load_compatible(checkpoints / "old")
    shutil.copytree(checkpoints / "old", tmp_path / "torn")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "torn" / "model.safetensors")
    weights.pop(next(name for name in weights if "convolution.weight" in name))
    save_file(weights, tmp_path / "torn" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lack .*convolution"):
        load_embedder(tmp_path / "torn")
    with pytest.raises(InputError, match="warm-up"):
        TrainingOptions(epochs=2, warmup_epochs=3)

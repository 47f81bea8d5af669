"""How `chart_model` is made: first its vision tower on the places of curves, then the whole on answers.

The tower learns from heads that are not shipped: after its second layer each patch tells which curves cross it and
where; after its last layer the class token and every patch on a curve tell that curve's parameters, and the class
token their means and what is counted. Then the model learns answers, several questions on a picture in one sequence,
each of which sees the picture and itself; halfway through the language model a head tells the answer's value.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from paperworks.errors import require
from paperworks.files import write_json
from paperworks.tiny import chart_model as m
from paperworks.tiny import chart_pictures as c
from paperworks.tiny.chart_heads import BLUR, COUNTED, CURVES, FARTHEST, FINE, SCALES, Heads, together, told
from paperworks.tiny.chart_measure import measure
from paperworks.tiny.chart_model import FOLDER
from paperworks.training import fit

SHARDS = 36
"""Files of `chart_pictures.SHARD` pictures."""
BATCH = {"tower": 32, "answers": 32}
TRAINED_STEPS = {"tower": 5_000, "answers": 7_300}
RATES = {"tower": 1e-3, "answers": 1e-3}
AVERAGES = {"tower": 0.999, "answers": 0.999}
QUESTIONS = 6
"""Questions on a picture in one sequence, at most."""
MEANS, OF_MEANS = m.PHRASES[0], 3.0
"""How questions for a mean begin, and how often they are taken to one of another kind."""
PRECISIONS = m.PHRASES[-3], m.PHRASES[-2]
"""A question to an integer has the value of that to a tenth."""
BARE = 0.3
"""Share of sequences whose questions come without the prompt's instruction."""
BLOCK = 14
"""Tokens of a question with its answer, at most."""
TOWER_SHARE = 0.25
"""Weight of the tower's own loss beside that of the answers."""
VALUE_SHARE = 0.5
"""Weight of telling the value of the answer, after `VALUE_LAYER` layers of the language model."""
VALUE_LAYER = 2
SIDE = m.SIZE // m.PATCH
INSTRUCTION = m.PHRASES[-1]


def start(model: Any) -> None:
    """Weights to begin with: places of patches as sines and cosines, and inputs of a like size."""
    tower = next(module for module in model.modules() if hasattr(module, "position_embedding"))
    quarter = m.HIDDEN // 4
    waves = torch.arange(SIDE)[:, None] * 2.0 ** torch.linspace(0, 3, quarter) / SIDE * torch.pi / 2
    line = torch.cat([waves.sin(), waves.cos()], 1)
    both = torch.cat([line[:, None].expand(-1, SIDE, -1), line[None].expand(SIDE, -1, -1)], -1).flatten(0, 1)
    with torch.no_grad():
        tower.position_embedding.weight.zero_()
        tower.position_embedding.weight[1:] = both / 2
        tower.patch_embedding.weight.normal_(0, 0.03)
        for layer in (model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2):
            layer.weight.normal_(0, m.HIDDEN**-0.5)


class Data:
    """Pictures with what is known of them, and their questions in tokens."""

    def __init__(self, folder: Path, shards: int, tokenizer: Any) -> None:
        pictures, records = c.load(folder, shards)
        self.pictures = torch.from_numpy(pictures)
        self.places = torch.zeros(len(records), SIDE * SIDE, CURVES, 3, dtype=torch.float16)
        self.truth = torch.zeros(len(records), CURVES, len(SCALES))
        self.known = torch.zeros(len(records), CURVES, len(SCALES))
        self.number = torch.zeros(len(records), len(COUNTED))
        pieces: dict[str, list[int]] = {}

        def tokens(text: str) -> list[int]:
            if text not in pieces:
                pieces[text] = tokenizer(text, add_special_tokens=False).input_ids
            return pieces[text]

        self.instruction = tokens(INSTRUCTION)
        self.reply, self.end = tokenizer.convert_tokens_to_ids([m.REPLY, m.END])
        self.asked: list[list[tuple[list[int], list[int]]]] = []
        self.shares: list[np.ndarray] = []
        self.worth: list[list[float]] = []
        for row, record in enumerate(records):
            if (name := record["property"]) in COUNTED:
                self.number[row, list(COUNTED).index(name)] = int(record["asked"][0][1]) / COUNTED[name]
            for curve, member in enumerate(record["curves"]):
                self.places[row, :, curve] = torch.from_numpy(crossed(member))
                for name, value in c.values(member).items():
                    self.truth[row, curve, list(SCALES).index(name)] = float(value) / SCALES[name]
                    self.known[row, curve, list(SCALES).index(name)] = abs(float(value)) < 1.1 * SCALES[name]
            self.asked.append([(tokens(text), tokens(answer)) for text, answer in record["asked"]])
            exact = {
                text.replace(*PRECISIONS): answer for text, answer in record["asked"] if PRECISIONS[1] in text
            }
            self.worth.append(
                [float(exact.get(text.replace(*PRECISIONS), "nan")) for text, _ in record["asked"]]
            )
            weights = np.array(
                [OF_MEANS if text.startswith(MEANS) else 1.0 for text, _ in record["asked"][1:]]
            )
            self.shares.append(weights / weights.sum() if len(weights) else weights)
        self.curves = torch.tensor([bool(record["curves"]) for record in records]).nonzero()[:, 0]

    def pixels(self, rows: Tensor) -> Tensor:
        """Pictures as the model's processor gives them, `[B, 3, SIZE, SIZE]`."""
        return self.pictures[rows].permute(0, 3, 1, 2).float() / 255 * 4 - 4

    def taught(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `Heads` takes."""
        return self.places[rows].float(), self.truth[rows], self.known[rows], self.number[rows]

    def sequences(self, rows: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Questions with answers and tokens to be told (−100: none) `[B, QUESTIONS, BLOCK]`, values `[B, QUESTIONS]`.

        The first question is the item's own.
        """
        ids = torch.full((len(rows), QUESTIONS, BLOCK), self.end)
        labels = torch.full((len(rows), QUESTIONS, BLOCK), -100)
        values = torch.full((len(rows), QUESTIONS), torch.nan)
        for place, row in enumerate(rows.tolist()):
            known = self.asked[row]
            others = min(QUESTIONS, len(known)) - 1
            chosen = [0]
            if others:
                chosen += list(1 + rng.choice(len(known) - 1, others, replace=False, p=self.shares[row]))
            before = [] if rng.random() < BARE else self.instruction
            for number, which in enumerate(chosen):
                question, answer = known[which]
                values[place, number] = self.worth[row][which]
                block = [*question, *before, self.reply, *answer, self.end]
                ids[place, number, : len(block)] = torch.tensor(block)
                told = [*answer, self.end]
                first = len(block) - len(told) - 1
                labels[place, number, first : len(block) - 1] = torch.tensor(told)
        return ids, labels, values


def crossed(member: dict[str, Any], samples: int = 600) -> np.ndarray:
    """Where a curve crosses patches, `[patches, 3]`: 1 if it does, and its mean row and column there, 0 to 1."""
    layout, families = c._room("layout"), c._room("families")
    low, high = (float(end) for end in member["domain"])
    x = np.linspace(low, high, samples)
    y = families.values(member, x)
    axes = {"x": ["-10", "10"], "y": ["-10", "10"]}
    inside = (abs(x) <= 10) & (abs(y) <= 10)
    column, row = layout.pixel(axes, (600, 600), x[inside], y[inside], m.SIZE)
    column, row = column / m.PATCH, row / m.PATCH
    patch = row.astype(int) * SIDE + column.astype(int)
    many = np.bincount(patch, minlength=SIDE * SIDE)
    found = np.zeros((SIDE * SIDE, 3), np.float32)
    found[:, 0] = many > 3
    for place, values in ((1, row), (2, column)):
        found[:, place] = np.bincount(patch, values % 1, SIDE * SIDE) / np.maximum(many, 1)
    return found


def mask() -> tuple[Tensor, Tensor]:
    """For the language model: what is added to attention `[1, 1, T, T]`, and positions `[1, T]`.

    The picture comes first (its tokens in order), then the questions, each of which sees the picture and itself.
    """
    first = 1 + m.PLACES
    total = first + QUESTIONS * BLOCK
    seen = torch.ones(total, total, dtype=torch.bool).tril()
    block = (torch.arange(total) - first) // BLOCK
    other = (block[:, None] != block[None]) & (torch.arange(total)[None] >= first)
    places = torch.where(
        torch.arange(total) < first, torch.arange(total), first + (torch.arange(total) - first) % BLOCK
    )
    return torch.zeros(total, total).masked_fill(~seen | other, -1e9)[None, None], places[None]


def answered(
    model: Any, last: Tensor, start_id: int, ids: Tensor, labels: Tensor, seen: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the answers, given the tower's last states `[B, 65, hidden]`, and states that tell values.

    Those are the language model's states after `VALUE_LAYER` layers where answers are spelled, `[tokens, hidden]`.
    """
    embed = model.get_input_embeddings()
    first = embed(torch.full((len(ids), 1), start_id))
    picture = model.model.multi_modal_projector(last)
    hidden = torch.cat([first, picture.to(first.dtype), embed(ids.flatten(1))], 1)
    out = model.model.language_model(
        inputs_embeds=hidden,
        attention_mask=seen.to(hidden.dtype),
        position_ids=places.expand(len(ids), -1),
        use_cache=False,
        output_hidden_states=True,
    )
    wanted, first_place = labels.flatten(1), 1 + m.PLACES
    spelled = wanted >= 0
    states = out.last_hidden_state[:, first_place:][spelled]
    loss = nn.functional.cross_entropy(model.lm_head(states).float(), wanted[spelled])
    return loss, out.hidden_states[VALUE_LAYER][:, first_place:][spelled]


def build(
    out: str | Path = FOLDER,
    *,
    steps: int | None = None,
    seed: int = 0,
    precision: str = "bf16",
    work: str | Path | None = None,
    each: int = 50,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Train the model and write it to `out` in half precision; what was measured.

    `steps` are those on answers, the tower's in proportion. `each` is as in `measure` (0: nothing is measured). `work`
    keeps pictures and what a stopped run goes on from; default: a folder of that name in `out`.
    """
    require("grab", "torch", "transformers", "accelerate", "PIL", "matplotlib")
    out = Path(out)
    work = Path(work or out / "work")
    share = (steps or TRAINED_STEPS["answers"]) / TRAINED_STEPS["answers"]
    todo = {name: max(2, round(share * n)) for name, n in TRAINED_STEPS.items()}
    shards = max(1, round(min(1.0, share) * SHARDS))
    facts: dict[str, Any] = {
        "seed": seed, "pictures": shards * c.SHARD, "steps": todo, "batch": BATCH, "precision": precision,
        "python": platform.python_version(), "torch": torch.__version__, "curves": {}, "seconds": {},
    }  # fmt: skip
    began = time.perf_counter()
    c.draw_all(work, shards, seed, progress)
    facts["seconds"]["drawing"] = round(time.perf_counter() - began, 1)
    processor = m.make_processor()
    data = Data(work, shards, processor.tokenizer)
    model, heads = new(processor.tokenizer, seed)
    for name, train in (("tower", train_tower), ("answers", train_answers)):
        began = time.perf_counter()
        facts["curves"][name] = train(
            model, heads, data, todo[name], seed=seed, precision=precision, folder=work, progress=progress
        )
        facts["seconds"][name] = round(time.perf_counter() - began, 1)
    save(out, model, processor)
    facts["parameters"] = sum(p.numel() for p in model.parameters())
    facts["tokens"] = todo["answers"] * BATCH["answers"] * (1 + m.PLACES + QUESTIONS * BLOCK)
    facts["measured"] = measure(out, each, seed) if each else []
    draw_curves(facts, out / "curves.png")
    write_json(out / "training.json", facts)
    return facts


def new(tokenizer: Any, seed: int) -> tuple[Any, Heads]:
    """The model and the heads before training, from a seed."""
    torch.manual_seed(seed)
    model: Any = m.empty_model(tokenizer)
    model.set_attn_implementation("eager")  # twice as fast as the fused kernel at these lengths on a CPU
    start(model)
    return model, Heads()


def train_tower(
    model: Any, heads: Heads, data: Data, steps: int, *, seed: int, **options: Any
) -> list[dict[str, float]]:
    """The vision tower on the places and parameters of curves."""
    tower = model.model.vision_tower

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows = data.curves[torch.randint(len(data.curves), (BATCH["tower"],), generator=generator)]
        return data.pixels(rows), *data.taught(rows)

    def loss(pixels: Tensor, *taught: Tensor) -> Tensor:
        states = tower(pixels, output_hidden_states=True).hidden_states
        return together(heads(states[2], states[-1], *taught))

    return fit(
        nn.ModuleDict({"tower": tower, "heads": heads}), batch, loss, steps=steps, rate=RATES["tower"],
        warmup=min(200, steps), weight_decay=0.01, average=AVERAGES["tower"], seed=seed, what="tower", **options,
    )  # fmt: skip


def train_answers(
    model: Any, heads: Heads, data: Data, steps: int, *, seed: int, **options: Any
) -> list[dict[str, float]]:
    """The whole model on answers, and the tower still on its own task."""
    tower = model.model.vision_tower
    start_id = model.config.text_config.bos_token_id
    seen, places = mask()

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows = torch.randint(len(data.asked), (BATCH["answers"],), generator=generator)
        rng = np.random.Generator(np.random.Philox(key=seed * 1_000_003 + step))
        return data.pixels(rows), *data.sequences(rows, rng), *data.taught(rows)

    def loss(pixels: Tensor, ids: Tensor, labels: Tensor, values: Tensor, *taught: Tensor) -> Tensor:
        states = tower(pixels, output_hidden_states=True).hidden_states
        spelling, inside = answered(model, states[-1], start_id, ids, labels, seen, places)
        value = values[..., None].expand_as(labels)[labels >= 0][:, None]
        valued = told(heads.value(inside).float(), value.nan_to_num(), ~value.isnan(), FINE, FARTHEST, BLUR)
        tower_own = together(heads(states[2], states[-1], *taught))
        return spelling + VALUE_SHARE * valued + TOWER_SHARE * tower_own

    return fit(
        nn.ModuleDict({"model": model, "heads": heads}), batch, loss, steps=steps, rate=RATES["answers"],
        warmup=min(200, steps), weight_decay=0.01, average=AVERAGES["answers"], seed=seed + 1, what="answers",
        **options,
    )  # fmt: skip


def save(out: Path, model: Any, processor: Any) -> None:
    """The model in half precision and its processor, as they are shipped."""
    import copy

    half = copy.deepcopy(model).half()
    half.set_attn_implementation("sdpa")
    half.save_pretrained(out)
    processor.save_pretrained(out)


def draw_curves(facts: dict[str, Any], path: Path) -> None:
    """The losses of both parts over their steps, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, curve) in zip(
        np.atleast_1d(cast(Any, figure.subplots(1, len(facts["curves"])))),
        facts["curves"].items(),
        strict=True,
    ):
        axes.plot([point["step"] for point in curve], [point["loss"] for point in curve])
        axes.set(title=name, xlabel="step", ylabel="loss")
        axes.grid(alpha=0.3)
    figure.savefig(path)

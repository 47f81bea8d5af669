"""Recorded cross-attention: the layer's own output, maps that lie where the queries look, nothing left behind."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from paperworks.attention import Record, RecordingProcessor, cross_attention_layers, layers_of_size, recorded
from paperworks.errors import InputError

SD15 = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def small_unet(**changes):
    torch.manual_seed(0)
    options = {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**options | changes).eval()


@pytest.mark.parametrize(
    ("config", "parameters", "down", "mid", "up", "latent", "read", "where"),
    [
        (SD15, 859_520_964, [2, 2, 2], 1, [3, 3, 3], (64, 64), 5, {"down_blocks.2", "up_blocks.1"}),
        (SDXL, 2_567_463_684, [4, 20], 10, [30, 6], (128, 128), 30, {"up_blocks.0"}),
    ],
    ids=["SD 1.5", "SDXL"],
)
def test_the_layers_of_the_real_models_are_those_of_the_papers(
    config, parameters, down, mid, up, latent, read, where
):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    assert sum(one.numel() for one in unet.parameters()) == parameters
    names = [one.name for one in cross_attention_layers(unet, latent)]
    counts = [
        sum(name.startswith(f"{side}_blocks.{k}.") for name in names)
        for side in ("down", "up")
        for k in range(4)
    ]
    assert [n for n in counts[:4] if n] == down
    assert [n for n in counts[4:] if n] == up
    assert sum(name.startswith("mid_block") for name in names) == mid
    chosen = layers_of_size(unet, latent)
    assert len(chosen) == read
    assert {".".join(one.name.split(".")[:2]) for one in chosen} == where
    assert {one.size for one in chosen} == {(latent[0] // 4, latent[1] // 4)}


def test_sizes_told_from_the_blocks_are_the_numbers_of_queries_that_run():
    unet = small_unet()
    seen = {}
    every = cross_attention_layers(unet, (14, 10))

    def note(name):
        return lambda layer, args, kwargs: seen.__setitem__(
            name, (args or (kwargs["hidden_states"],))[0].shape[1]
        )

    for one in every:
        one.layer.register_forward_pre_hook(note(one.name), with_kwargs=True)
    with torch.no_grad():
        unet(torch.randn(1, 4, 14, 10), 3, torch.randn(1, 5, 12))
    assert seen == {one.name: one.size[0] * one.size[1] for one in every}
    assert list(seen) == [one.name for one in every]  # in the order they run


def test_the_recorder_gives_the_output_of_the_layers_own_kernel_and_probabilities():
    torch.manual_seed(1)
    layer = Attention(16, cross_attention_dim=12, heads=4, dim_head=8).eval()
    x, context = torch.randn(2, 15, 16), torch.randn(2, 7, 12)
    layer.set_processor(AttnProcessor2_0())
    with torch.no_grad():
        own = layer(x, context)
        record = Record()
        layer.set_processor(RecordingProcessor(record, (5, 3)))
        assert (layer(x, context) - own).abs().max() < 1e-5
    assert record.maps().shape == (2, 5, 3, 7)
    assert torch.allclose(record.maps().sum(-1), torch.ones(2, 5, 3), atol=1e-6)


def test_a_query_that_looks_from_one_corner_is_in_that_corner_of_a_map_that_is_not_square():
    layer = Attention(2, cross_attention_dim=2, heads=1, dim_head=2, bias=False)
    for name in ("to_q", "to_k"):
        torch.nn.init.eye_(getattr(layer, name).weight)
    picture = torch.zeros(1, 2, 6, 4)
    picture[0, 0, 0, 3] = 50.0  # top right
    record = Record()
    layer.set_processor(RecordingProcessor(record, (6, 4)))
    with torch.no_grad():
        layer(picture.flatten(2).transpose(1, 2), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    seen = record.maps()[0, :, :, 0]
    assert seen[0, 3] > 0.99
    others = seen.clone()
    others[0, 3] = 0.5
    assert torch.allclose(others, torch.full((6, 4), 0.5))


def test_processors_come_back_also_after_an_exception_and_nothing_is_kept():
    unet = small_unet()
    layers = layers_of_size(unet, (16, 16), (16, 16))
    before = [one.layer.processor for one in layers]
    records = []

    def interrupted():
        with recorded(layers) as record:
            records.append(record)
            with torch.no_grad():
                unet(torch.randn(1, 4, 16, 16), 3, torch.randn(1, 5, 12))
            assert len(record.layers) == len(layers) == 3
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert [one.layer.processor for one in layers] == before
    assert records[0].layers == []


@pytest.mark.parametrize("stop", [True, False])
def test_no_graph_is_built_behind_the_last_map_and_the_gradient_is_the_same(stop):
    unet = small_unet().requires_grad_(False)
    context = torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(2))
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    layers = layers_of_size(unet, (16, 16), (16, 16))[:1]
    gradients = []
    for stopping in (stop, False):
        given = context.clone().requires_grad_()
        with recorded(layers, stop_gradient=stopping) as record:
            with torch.enable_grad():
                prediction = unet(x, 3, given).sample
            assert prediction.requires_grad is not stopping
            gradients.append(torch.autograd.grad(record.maps()[..., 1].max(), given)[0])
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0


def test_a_size_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(InputError, match=r"no cross-attention map is 4 x 4 .* 16 x 16"):
        layers_of_size(small_unet(), (16, 16))
    with pytest.raises(InputError, match="Linear has no down"):
        layers_of_size(torch.nn.Linear(1, 1), (16, 16))


def test_a_processor_that_does_more_is_named():
    unet = small_unet()

    class AdapterProcessor(AttnProcessor2_0):
        pass

    cross_attention_layers(unet, (16, 16))[0].layer.set_processor(AdapterProcessor())
    with pytest.raises(InputError, match=r"down_blocks\.0.*AdapterProcessor"):
        layers_of_size(unet, (16, 16), (16, 16))

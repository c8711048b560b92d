"""The same ids and pixels as the tokenizers that were taken over."""

import argparse
import json
import os
import pickle
import shutil
import sys
import types
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from diffusers import VQModel
from safetensors.torch import save_file
from tokenizer_import.originals import Original, layout, small_weights
from transformers import (
    ChameleonConfig,
    ChameleonForConditionalGeneration,
    ChameleonVQVAE,
    ChameleonVQVAEConfig,
)

from pipelines.command_line import UserError
from pipelines.tokenizer_import.kinds import KINDS
from pipelines.tokenizer_import.taming_names import translate

SMALL = {
    "down_block_types": ("DownEncoderBlock2D",) * 2 + ("AttnDownEncoderBlock2D",),
    "up_block_types": ("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "latent_channels": 16,
    "num_vq_embeddings": 64,
    "vq_embed_dim": 8,
}
CHAMELEON = {
    "embed_dim": 16,
    "num_embeddings": 64,
    "latent_channels": 16,
    "resolution": 64,
    "base_channels": 32,
    "channel_multiplier": [1, 2, 2],
    "num_res_blocks": 1,
}


@pytest.fixture
def pixels():
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 32) * 2 - 1


def same(vqgan, pixels, ids, painted):
    """Ids are equal, and pixels of ids within 1e-4."""
    assert len(ids.unique()) > 4  # else all would be right by chance
    assert torch.equal(vqgan.encode_to_ids(pixels).flatten(), ids.flatten())
    if painted is not None:
        ours = vqgan.decode_codes(vqgan.quantizer.look_up(ids.view(len(pixels), *ids.shape[-2:])))
        assert torch.allclose(ours, painted, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["taming_imagenet_f16", "taming_gumbel_f8"])
def test_taming(name, pixels, tmp_path):
    weights = small_weights(name)
    original = Original(weights, "taming")
    save_as_lightning_does(weights, tmp_path / "last.ckpt")
    imported = KINDS["taming"](tmp_path / "last.ckpt")
    assert not imported.decoder_is_new
    ids = original.ids(pixels)
    same(imported.vqgan, pixels, ids, original.pixels(ids))


def save_as_lightning_does(weights, file):
    """With a discriminator and a callback of a class that this machine does not have."""
    module = types.ModuleType("pytorch_lightning.callbacks")
    module.ModelCheckpoint = type(
        "ModelCheckpoint", (), {"__module__": module.__name__, "__qualname__": "ModelCheckpoint"}
    )
    callback = module.ModelCheckpoint()
    callback.best = torch.tensor(1.0)
    sys.modules |= {module.__name__: module, "pytorch_lightning": types.ModuleType("")}
    try:
        torch.save(
            {
                "state_dict": {**weights, "loss.discriminator.main.0.weight": torch.zeros(3)},
                "callbacks": {module.ModelCheckpoint: {"self": callback}},
                "hyper_parameters": argparse.Namespace(learning_rate=1e-4),
                "epoch": 3,
            },
            file,
        )
    finally:
        del sys.modules[module.__name__], sys.modules["pytorch_lightning"]


@torch.no_grad()
@pytest.mark.parametrize("name", ["llamagen_vq_16", "llamagen_vq_8"])
def test_llamagen(name, pixels, tmp_path):
    weights = small_weights(name)
    original = Original(weights, "llamagen")
    torch.save({"model": weights, "args": argparse.Namespace(image_size=256)}, tmp_path / "vq.pt")
    ids = original.ids(pixels)
    imported = KINDS["llamagen"](tmp_path / "vq.pt").vqgan
    same(imported, pixels, ids, original.pixels(ids))
    # Averaged weights are what LlamaGen itself takes where there are any.
    others = small_weights(name, seed=1)
    torch.save({"model": others, "ema": weights}, tmp_path / "training.pt")
    averaged = KINDS["llamagen"](tmp_path / "training.pt").vqgan
    assert torch.equal(averaged.quantizer.codebook, imported.quantizer.codebook)


OF_TRAINING = (
    "quantize.embedding.cluster_size",  # EMAVQ
    "quantize.embedding.embed_avg",
    "model_ema.decay",  # latent-diffusion
    "model_ema.num_updates",
    "loss.discriminator.main.0.weight",
)


def same_weights(vqgan, other):
    theirs = dict(other.named_parameters())
    return all(torch.equal(tensor, theirs[name]) for name, tensor in vqgan.named_parameters())


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("taming", lambda w: w | dict.fromkeys(OF_TRAINING, torch.zeros(1))),
        ("taming", lambda w: w | {3: torch.zeros(1)}),
        (
            "taming",  # the whole of latent-diffusion
            lambda w: (
                {"model.diffusion_model.weight": torch.zeros(1)}
                | {f"first_stage_model.{name}": tensor for name, tensor in w.items()}
            ),
        ),
        ("llamagen", lambda w: w | {"quantize.codebook_used": torch.zeros(1)}),
        ("llamagen", lambda w: {"ema": {}, "model": w}),
    ],
)
def test_what_else_is_in_a_file_is_left_there(kind, change, tmp_path):
    weights = small_weights("llamagen_vq_16" if kind == "llamagen" else "taming_imagenet_f16")
    torch.save(weights, tmp_path / "alone.pt")
    torch.save(change(weights), tmp_path / "more.pt")
    alone, more = (KINDS[kind](tmp_path / f"{name}.pt").vqgan for name in ("alone", "more"))
    assert same_weights(alone, more)


@pytest.mark.parametrize("name", ["taming_gumbel_f8", "llamagen_vq_8"])
def test_files_of_safetensors(name, tmp_path):
    weights, kind = small_weights(name), KINDS[name.split("_")[0]]
    torch.save(weights, tmp_path / "vq.pt")
    save_file(weights, tmp_path / "vq.safetensors")
    assert same_weights(kind(tmp_path / "vq.pt").vqgan, kind(tmp_path / "vq.safetensors").vqgan)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("taming_imagenet_f16", ((1, 1, 2, 2, 4), 16384, 256, "nearest", 16)),
        ("taming_gumbel_f8", ((1, 1, 2, 4), 8192, 256, "gumbel", 8)),
        ("llamagen_vq_16", ((1, 1, 2, 2, 4), 16384, 8, "nearest", 16)),
        ("llamagen_vq_8", ((1, 2, 2, 4), 16384, 8, "nearest", 8)),
    ],
)
def test_published_layouts(name, expected, monkeypatch):
    found = {}

    def shape_alone(weights, cosine, source):
        found["config"], found["own"] = translate(weights, cosine)
        found["cosine"] = cosine

    monkeypatch.setattr("pipelines.tokenizer_import.kinds.to_vqgan", shape_alone)
    weights = {key: torch.empty(shape, device="meta") for key, shape in layout(name).items()}
    monkeypatch.setattr("pipelines.tokenizer_import.kinds.state_dict_in", lambda *_: weights)
    KINDS[name.split("_")[0]](Path(name))
    config = found["config"]
    assert (
        config.channel_multipliers,
        config.codebook_size,
        config.code_dim,
        config.quantizer,
        config.downsampling_factor,
    ) == expected
    assert (config.base_channels, config.residual_blocks, config.attention_levels) == (128, 2, 1)
    assert found["cosine"] == name.startswith("llamagen")


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vq_embed_dim": None, "layers_per_block": 2},
        {
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "mid_block_add_attention": False,
        },
    ],
)
def test_diffusers(changes, pixels, tmp_path):
    torch.manual_seed(0)
    original = VQModel(**(SMALL | changes)).eval()
    original.quantize.embedding.weight.normal_()
    original.save_pretrained(tmp_path)
    _, _, (_, _, ids) = original.quantize(original.encode(pixels).latents)
    painted = original(pixels).sample
    vqgan = KINDS["diffusers"](tmp_path).vqgan
    same(vqgan, pixels, ids.view(len(pixels), 16, 8), painted)


OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.mark.parametrize("old", [{}, OLD_NAMES])
def test_older_files_of_diffusers(old, tmp_path):
    """A pickle, and the attention's names of then."""
    original = VQModel(**SMALL)
    original.save_pretrained(tmp_path)
    now = KINDS["diffusers"](tmp_path).vqgan
    weights = original.state_dict()
    for name, before in old.items():
        weights = {key.replace(f".{name}.", f".{before}."): t for key, t in weights.items()}
    assert (weights.keys() == original.state_dict().keys()) == (not old)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(weights, tmp_path / "diffusion_pytorch_model.bin")
    assert same_weights(now, KINDS["diffusers"](tmp_path).vqgan)


def test_a_pipeline_of_diffusers_is_told_from_its_tokenizer(tmp_path):
    VQModel(**SMALL).save_pretrained(tmp_path / "vqvae")
    with pytest.raises(UserError, match=f"name its {tmp_path / 'vqvae'}"):
        KINDS["diffusers"](tmp_path)


@pytest.fixture(scope="module")
def chameleon():
    torch.manual_seed(0)
    original = ChameleonVQVAE(ChameleonVQVAEConfig(**CHAMELEON)).eval()
    # Else all vectors of random weights are nearest to one code.
    with torch.no_grad():
        vectors = original.quant_conv(original.encoder(torch.rand(4, 3, 64, 64) * 2 - 1))
        original.quantize.embedding.weight.copy_(vectors.permute(0, 2, 3, 1).reshape(-1, 16)[::16])
    return original


def test_chameleon(chameleon, tmp_path):
    """The whole model, in shards; transformers leaves its decoder out."""
    names = {f"IMGIMG{chr(65 + n // 26)}{chr(65 + n % 26)}Z": 10 + n for n in range(64)}
    whole = ChameleonForConditionalGeneration(
        ChameleonConfig(
            vocab_size=200,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            vq_config=chameleon.config.to_dict(),
            vocabulary_map={"<image>": 3, **names},
        )
    )
    whole.model.vqmodel.load_state_dict(chameleon.state_dict())
    whole.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    imported = KINDS["chameleon"](tmp_path)
    assert imported.decoder_is_new
    same(imported.vqgan, pixels, chameleon.encode(pixels).image_tokens.view(2, 16, 16), None)


@torch.no_grad()
def test_chameleon_with_its_decoder(chameleon, tmp_path):
    """As others write it (Anole): of taming's names, beside the encoder."""
    encoder = {name: t for name, t in chameleon.state_dict().items() if t.is_floating_point()}
    full = small_weights("taming_imagenet_f16")
    decoder = {name: t for name, t in full.items() if name.startswith(("decoder.", "post_"))}
    with pytest.raises(UserError, match="that can be taken over"):  # of another shape
        write_vqvae(encoder | decoder, tmp_path / "wrong")
        KINDS["chameleon"](tmp_path / "wrong")
    write_vqvae(full, tmp_path / "right")
    imported = KINDS["chameleon"](tmp_path / "right")
    (tmp_path / "right/model.safetensors").unlink()
    torch.save(full, tmp_path / "right/pytorch_model.bin")
    assert same_weights(imported.vqgan, KINDS["chameleon"](tmp_path / "right").vqgan)
    original = Original(full, "taming")
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    ids = original.ids(pixels)
    assert not imported.decoder_is_new
    assert torch.equal(imported.vqgan.encode_to_ids(pixels), ids)
    painted = imported.vqgan.decode_codes(imported.vqgan.quantizer.look_up(ids))
    assert torch.allclose(painted, original.pixels(ids), atol=1e-4)


def write_vqvae(weights, folder):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "chameleon_vqgan"}')
    save_file({name: t.contiguous() for name, t in weights.items()}, folder / "model.safetensors")


class Harmful:
    """What runs when it is unpickled."""

    def __init__(self, run, *arguments):
        self.run, self.arguments = run, arguments

    def __reduce__(self):
        return self.run, tuple(map(str, self.arguments))


def test_nothing_in_a_file_is_run(tmp_path):
    weights, mark = small_weights("taming_imagenet_f16"), tmp_path / "mark"
    harmful = {"state_dict": weights, "callbacks": [Harmful(shutil.copyfile, __file__, mark)]}
    torch.save(harmful, tmp_path / "last.ckpt")
    assert KINDS["taming"](tmp_path / "last.ckpt").vqgan.config.codebook_size == 64
    harmful["callbacks"] = [Harmful(os.mkdir, mark)]
    torch.save(harmful, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"what else is in it \(Trying to load .*mkdir"):
        KINDS["taming"](tmp_path / "last.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Harmful(os.mkdir, mark)))
    with pytest.raises(UserError, match=r"no file of torch.save, or cut short"):
        KINDS["taming"](tmp_path / "plain.ckpt")
    assert not mark.exists()


def test_what_torch_says_is_kept_short(tmp_path):
    torch.save({"state_dict": {}, "seen": defaultdict(int, step=1)}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"in it \(Can only SETITEM for dict.*_Inert'>\); save its"):
        KINDS["taming"](tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    "places",
    [
        {"quantize.embedding.weight": "../elsewhere.safetensors"},
        {"quantize.embedding.weight": "/elsewhere.safetensors"},
        {"quantize.embedding.weight": 3},
        ["model.safetensors"],
        None,
    ],
)
def test_an_index_names_files_beside_it(places, tmp_path):
    folder = tmp_path / "model"
    write_vqvae(small_weights("taming_imagenet_f16"), folder)
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(UserError, match="names no files beside it"):
        KINDS["chameleon"](folder)


FIRST_LAYERS = ("encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight")


def without(name):
    return lambda weights: {key: t for key, t in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("encoder.mid.block_2.conv1.bias"), "encoder.mid.block_2.conv1.bias is missing"),
        (without("quantize.embedding.weight"), "quantize.embedding.weight is missing"),
        (without("encoder.conv_in.weight"), "encoder.conv_in.weight is missing"),
        (lambda w: w | {"encoder.extra.weight": torch.ones(1)}, "it has encoder.extra.weight as"),
        (lambda w: w | {"quantize.used": torch.ones(1)}, "it has quantize.used as well"),
        (lambda w: w | {"post_quant_conv.weight": torch.ones(3)}, "decoder.from_code.weight is"),
        (lambda w: w | {"quantize.embedding.weight": torch.ones(())}, "that can be taken over"),
        (lambda w: w | {"encoder.conv_out.weight": torch.ones(())}, "that can be taken over"),
        (
            lambda w: w | dict.fromkeys(FIRST_LAYERS, torch.ones(0, 3)),
            "that can be taken over",
        ),
        (
            lambda w: w | {"encoder.down.0.block.0.conv1.weight": torch.ones(48, 32, 3, 3)},
            "wide after a first layer of 32",
        ),
        (
            lambda w: w | {"encoder.down.1.attn.0.q.weight": torch.ones(1)},
            "attention in an upper level",
        ),
    ],
)
def test_what_is_unlike_ours_is_refused(change, said, tmp_path):
    torch.save(change(small_weights("taming_imagenet_f16")), tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=said):
        KINDS["taming"](tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["taming_imagenet_f16", "taming_gumbel_f8"])
def test_tamings_weights_are_not_taken_for_llamagens(name, tmp_path):
    """They would be compared by cosine, and ids be others."""
    torch.save({"state_dict": small_weights(name)}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="with --kind taming"):
        KINDS["llamagen"](tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"norm_type": "spatial"}, "has norm_type 'spatial'"),
        ({"norm_num_groups": 16}, "has norm_num_groups 16"),
        ({"act_fn": "relu"}, "has act_fn 'relu'"),
        ({"_class_name": "AutoencoderKL"}, "a AutoencoderKL of diffusers"),
    ],
)
def test_other_models_of_diffusers_are_refused(changes, said, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "VQModel", **changes}))
    with pytest.raises(UserError, match=said):
        KINDS["diffusers"](tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_or_damaged_is_refused(kind, tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UserError):
            KINDS[kind](path)
    broken = tmp_path / "broken.pt"
    torch.save({"a": torch.ones(1000)}, broken)
    broken.write_bytes(broken.read_bytes()[:-700])
    (tmp_path / "model.safetensors").write_bytes(b"no")
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"no")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError):
        KINDS[kind](broken if kind in ("taming", "llamagen") else tmp_path)

"""Pictures of any size through the tokenizer, and through its files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vq import VQGAN, VQGANConfig
from vq.quantizer import VectorQuantizer


def make_tokenizer(**settings) -> VQGAN:
    torch.manual_seed(0)
    settings = {"base_channels": 8, "channel_multipliers": (1, 2), "residual_blocks": 1} | settings
    settings = {"latent_channels": 8, "codebook_size": 32, "code_dim": 4} | settings
    return VQGAN(VQGANConfig(**settings)).eval()


NARROW = {"patch_size": 4, "normalization": "channel", "encoder_kernel_size": 1}
NARROW |= {"attention_levels": 0, "middle_attention": False}


@pytest.mark.parametrize(
    ("settings", "f"),
    [
        ({"channel_multipliers": (1, 1, 2)}, 4),
        ({"channel_multipliers": (1, 1, 2, 2)}, 8),
        ({"channel_multipliers": (1, 1, 1, 2, 2), "attention_levels": 2}, 16),
        ({"patch_size": 2, "attention_levels": 0}, 4),
        (NARROW, 8),
    ],
)
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (1, 3)])
def test_any_size_that_divides(settings, f, rows, columns):
    tokenizer = make_tokenizer(**settings)
    assert tokenizer.downsampling_factor == f
    pixels = torch.rand(2, 3, rows * f, columns * f) * 2 - 1
    ids = tokenizer.encode_to_ids(pixels)
    assert ids.dtype == torch.int64
    assert ids.shape == (2, rows, columns)
    decoded = tokenizer.decode_ids(ids)
    assert decoded.shape == pixels.shape
    assert decoded.abs().max() <= 1
    output = tokenizer(pixels)
    assert torch.equal(output.quantized.ids, ids)
    assert torch.allclose(output.reconstruction.clamp(-1, 1), decoded, atol=1e-5)
    codes = tokenizer.quantizer.look_up(ids)
    assert torch.equal(tokenizer.decode_codes(codes).clamp(-1, 1), decoded)


@pytest.mark.parametrize("shape", [(1, 3, 8, 10), (1, 3, 9, 8), (1, 1, 8, 8), (3, 8, 8)])
def test_other_shapes_are_refused_in_a_sentence(shape):
    tokenizer = make_tokenizer(channel_multipliers=(1, 1, 2))
    with pytest.raises(ValueError, match=r"multiples of 4\.|this tokenizer takes"):
        tokenizer.encode_to_ids(torch.zeros(shape))


def test_a_narrow_encoder_codes_every_square_by_itself():
    pixels = torch.rand(1, 3, 32, 48)
    changed = pixels.clone()
    changed[..., :8] = 1 - changed[..., :8]
    narrow = make_tokenizer(**NARROW)
    before, after = narrow.encode(pixels), narrow.encode(changed)
    assert (before[..., 0] != after[..., 0]).any()
    assert torch.allclose(before[..., 1:], after[..., 1:], atol=1e-6)
    wide = make_tokenizer(patch_size=4)
    assert (wide.encode(pixels)[..., 5] - wide.encode(changed)[..., 5]).abs().max() > 1e-4


def test_gradient_reaches_encoder_and_decoder_through_the_ids():
    tokenizer = make_tokenizer()
    tokenizer(torch.rand(2, 3, 8, 8)).reconstruction.square().sum().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("bias"), name


def test_decode_codes_passes_gradients_on():
    tokenizer = make_tokenizer()
    codes = torch.randn(1, 4, 2, 2, requires_grad=True)
    tokenizer.decode_codes(codes).sum().backward()
    assert codes.grad.abs().sum() > 0


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_files_round_trip_bit_for_bit(tmp_path, update):
    tokenizer = make_tokenizer(codebook_update=update, revive_after_steps=7)
    # Weights that cannot come from the same initialization.
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    tokenizer.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    stored = load_file(tmp_path / "model.safetensors")
    assert not any(name.split(".")[-1] in VectorQuantizer.TRAINING_BUFFERS for name in stored)

    loaded = VQGAN.from_pretrained(tmp_path)
    assert loaded.config == tokenizer.config
    assert not loaded.training
    assert loaded.quantizer.started  # so that more training does not lay the codes anew
    pixels = torch.rand(3, 3, 16, 24) * 2 - 1
    ids = tokenizer.encode_to_ids(pixels)
    assert torch.equal(loaded.encode_to_ids(pixels), ids)
    assert torch.equal(loaded.decode_ids(ids), tokenizer.decode_ids(ids))


def test_training_state_holds_the_codebook_statistics():
    tokenizer, other = make_tokenizer(), make_tokenizer()
    tokenizer.quantizer.idle_steps += 3
    tokenizer.quantizer.started.fill_(True)
    other.load_state_dict(tokenizer.state_dict())
    assert (other.quantizer.idle_steps == 3).all()
    assert other.quantizer.started


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        make_tokenizer().save_pretrained(tmp_path / "checkpoint" / "tokenizer")
        return tmp_path / "checkpoint" / "tokenizer"

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"No config\.json in .*nowhere"):
            VQGAN.from_pretrained(tmp_path / "nowhere")

    def test_the_outer_folder(self, folder):
        with pytest.raises(FileNotFoundError, match="did you mean .*tokenizer"):
            VQGAN.from_pretrained(folder.parent)

    def test_without_weights(self, folder):
        (folder / "model.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
            VQGAN.from_pretrained(folder)

    def test_damaged_weights(self, folder):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ValueError, match="not a readable safetensors"):
            VQGAN.from_pretrained(folder)

    def test_another_kind_of_model(self, folder):
        (folder / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(ValueError, match="'bert', not a VQGAN"):
            VQGAN.from_pretrained(folder)

    def test_settings_of_another_version(self, folder):
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"colour_of_magic": 8}))
        with pytest.raises(ValueError, match="colour_of_magic"):
            VQGAN.from_pretrained(folder)

    def test_weights_of_another_size(self, folder):
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"codebook_size": 64}))
        with pytest.raises(ValueError, match=r"do not fit .*quantizer\.codebook"):
            VQGAN.from_pretrained(folder)

    def test_weights_that_lack_one(self, folder):
        weights = load_file(folder / "model.safetensors")
        weights.pop("decoder.conv_out.weight")
        save_file(weights, folder / "model.safetensors")
        with pytest.raises(ValueError, match=r"decoder\.conv_out\.weight"):
            VQGAN.from_pretrained(folder)


def test_many_pictures_are_taken_some_at_a_time(monkeypatch):
    tokenizer = make_tokenizer()
    pixels = torch.rand(5, 3, 8, 12) * 2 - 1
    ids = tokenizer.encode_to_ids(pixels)
    decoded = tokenizer.decode_ids(ids)
    batches = []
    tokenizer.encoder.register_forward_hook(lambda m, given, out: batches.append(len(out)))
    tokenizer.decoder.layers.register_forward_hook(lambda m, given, out: batches.append(len(out)))
    monkeypatch.setattr("vq.vqgan.PIXELS_AT_ONCE", 2 * 8 * 12)
    assert torch.equal(tokenizer.encode_to_ids(pixels), ids)
    torch.testing.assert_close(tokenizer.decode_ids(ids), decoded)
    assert batches == [2, 2, 1, 2, 2, 1]


def test_decoding_in_bf16_leaves_ids_and_codes_alone():
    tokenizer = make_tokenizer()
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    ids = tokenizer.encode_to_ids(pixels)
    decoded, codes = tokenizer.decode_ids(ids), tokenizer.quantizer.look_up(ids)
    assert tokenizer.decode_in(torch.bfloat16) is tokenizer
    assert tokenizer.decoder.last_layer.dtype == torch.bfloat16
    assert torch.equal(tokenizer.encode_to_ids(pixels), ids)
    assert torch.equal(tokenizer.quantizer.look_up(ids), codes)
    in_bf16 = tokenizer.decode_ids(ids)
    assert in_bf16.dtype == torch.float32 and not torch.equal(in_bf16, decoded)
    torch.testing.assert_close(in_bf16, decoded, atol=0.1, rtol=0)

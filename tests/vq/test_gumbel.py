"""The Gumbel-softmax quantizer: its relaxation, its KL term, and the tokenizer around it."""

import json
import math

import pytest
import torch

from gan import HingeLoss
from vq import (
    VQGAN,
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    VQGANConfig,
    VQGANObjective,
    VQGANObjectiveSettings,
)
from vq.gumbel import GumbelQuantizer, cosine_course, kl_to_uniform

SHAPE = {"base_channels": 8, "channel_multipliers": (1, 2), "residual_blocks": 1}
SHAPE |= {"latent_channels": 8, "codebook_size": 16, "code_dim": 4, "attention_levels": 0}
SHAPE |= {"normalization": "channel", "quantizer": "gumbel"}


def make_quantizer() -> GumbelQuantizer:
    torch.manual_seed(0)
    return GumbelQuantizer(VQGANConfig(codebook_size=16, code_dim=4, quantizer="gumbel"))


def make_tokenizer() -> VQGAN:
    torch.manual_seed(0)
    return VQGAN(VQGANConfig(**SHAPE))


def make_objective(**settings) -> VQGANObjective:
    settings = {"perceptual_weight": 0.0, "kl_warmup_steps": 0} | settings
    return VQGANObjective(make_tokenizer(), VQGANObjectiveSettings(**settings))


def logits(batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(batch, 16, 3, 4, generator=generator)


def pictures(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, 8, 12, generator=generator) * 2 - 1


def train(objective: VQGANObjective, pixels: torch.Tensor, steps: int, parts: int = 1):
    """Losses of each step, as sums over micro-batches."""
    optimizer = torch.optim.AdamW(objective.tokenizer.parameters(), 3e-3)
    history = []
    for step in range(steps):
        micro_batches = [{"pixels": part} for part in pixels.chunk(parts)]
        for _, losses in objective.turns(micro_batches, step):
            optimizer.zero_grad()
            sums: dict[str, float] = {}
            for terms in losses:
                terms["loss"].backward()
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach())
            optimizer.step()
            history.append(sums)
    return history


def test_in_evaluation_the_largest_logit_chooses_without_noise():
    quantizer, given = make_quantizer().eval(), logits()
    output = quantizer(given)
    assert torch.equal(output.ids, given.argmax(dim=1))
    assert torch.equal(output.codes, quantizer.codebook[output.ids].permute(0, 3, 1, 2))
    assert torch.equal(output.codes, quantizer.look_up(output.ids))
    assert torch.equal(quantizer(given).codes, output.codes)


def test_in_training_codes_are_mixed_by_gumbel_softmax():
    """softmax((logits + g) / temperature), g = -log(E), E ~ Exp(1) (Jang et al. 2017, eq. 2)."""
    quantizer, given = make_quantizer().train(), logits()
    quantizer.anneal(0.5)
    torch.manual_seed(3)
    output = quantizer(given)
    torch.manual_seed(3)
    flat = given.permute(0, 2, 3, 1).reshape(-1, 16)
    noise = -torch.empty_like(flat).exponential_().log()
    mixed = ((flat + noise) / 0.5).softmax(dim=1) @ quantizer.codebook
    assert torch.allclose(output.codes.permute(0, 2, 3, 1).reshape(-1, 4), mixed, atol=1e-6)
    assert torch.equal(output.ids, given.argmax(dim=1))


def test_relaxed_codes_become_codes_as_the_temperature_falls():
    quantizer, given = make_quantizer().train(), logits()

    def distance(temperature: float) -> float:
        """From the mixed codes to the nearest ones of the codebook."""
        torch.manual_seed(3)
        quantizer.anneal(temperature)
        flat = quantizer(given).codes.detach().permute(0, 2, 3, 1).reshape(-1, 4)
        return float(torch.cdist(flat, quantizer.codebook.detach()).amin(dim=1).mean())

    warm, cool, cold = distance(1.0), distance(1 / 16), distance(1e-3)
    assert warm > 3 * cool > 9 * cold
    assert cold < 1e-2


def test_gradients_reach_encoder_codebook_and_decoder():
    tokenizer = make_tokenizer().train()
    tokenizer(pictures()).reconstruction.square().sum().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("bias"), name
    assert (tokenizer.quantizer.codebook.grad.abs().sum(dim=1) > 0).all()


def test_kl_is_nothing_for_uniform_logits_and_log_of_the_size_for_certain_ones():
    ids = torch.arange(16)
    certain = 100.0 * torch.nn.functional.one_hot(ids).float()
    assert torch.allclose(kl_to_uniform(torch.full((5, 16), 3.0)), torch.zeros(5), atol=1e-6)
    assert torch.allclose(kl_to_uniform(certain), torch.full((16,), math.log(16)))
    two = torch.full((1, 16), -100.0)
    two[0, :2] = 0  # one bit less
    assert torch.allclose(kl_to_uniform(two), torch.tensor([math.log(8)]))


def test_kl_is_a_mean_over_positions_per_picture_without_noise():
    quantizer, given = make_quantizer().train(), logits(batch=3)
    found = quantizer(given).losses["kl"]
    q = given.softmax(dim=1)
    expected = (q * (16 * q).log()).sum(dim=1).mean(dim=(1, 2))
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(found, quantizer(given).losses["kl"])


def test_everything_is_float32_under_autocast():
    quantizer = make_quantizer().train()
    with torch.autocast("cpu", torch.bfloat16):
        output = quantizer(logits().bfloat16())
    assert output.codes.dtype == output.losses["kl"].dtype == torch.float32


def test_the_course_of_temperature_and_kl_weight():
    settings = VQGANObjectiveSettings(
        kl_weight=0.2, kl_warmup_steps=10, final_temperature=0.25, temperature_steps=100
    )
    temperatures = [settings.temperature(step) for step in (0, 50, 100, 10**6)]
    assert temperatures == pytest.approx([1, 0.625, 0.25, 0.25])
    assert settings.temperature(25) == pytest.approx(1 - 0.75 * (1 - math.cos(math.pi / 4)) / 2)
    weights = [settings.quantizer_weights(step)["kl"] for step in (0, 5, 10, 99)]
    assert weights == pytest.approx([0, 0.1, 0.2, 0.2])
    assert settings.quantizer_weights()["kl"] == 0.2
    assert cosine_course(0, 0) == 1


def test_the_objective_takes_temperature_and_weight_of_the_step():
    objective = make_objective(kl_weight=0.5, kl_warmup_steps=4, temperature_steps=4)
    pixels = pictures()
    for step in (0, 2, 9):
        _, losses = next(objective.turns([{"pixels": pixels}], step))
        (terms,) = losses
        temperature = float(objective.tokenizer.quantizer.temperature)
        assert temperature == pytest.approx(objective.settings.temperature(step))
        weight = {0: 0.0, 2: 0.25, 9: 0.5}[step]
        expected = terms["reconstruction"] + weight * terms["kl"]
        assert torch.allclose(terms["loss"], expected)
        assert "commitment" not in terms


def test_evaluation_counts_the_whole_kl_weight_and_has_no_noise():
    objective = make_objective(kl_weight=0.5, kl_warmup_steps=1000)
    objective.tokenizer.eval()
    batch = {"pixels": pictures()}
    figures = {name: float(total) for name, (total, _) in objective.evaluate(batch).items()}
    again = {name: float(total) for name, (total, _) in objective.evaluate(batch).items()}
    assert figures == again
    assert figures["loss"] == pytest.approx(figures["l1"] + 0.5 * figures["kl"])


def test_micro_batches_share_out_the_same_kl():
    whole = train(make_objective(kl_weight=0.1), pictures(), 1)
    parts = train(make_objective(kl_weight=0.1), pictures(), 1, parts=3)
    assert parts[0]["kl"] == pytest.approx(whole[0]["kl"], rel=1e-5)
    assert parts[0]["loss"] - parts[0]["reconstruction"] == pytest.approx(
        whole[0]["loss"] - whole[0]["reconstruction"], rel=1e-3
    )


def test_training_lowers_the_loss_and_counts_codes():
    objective = make_objective(kl_weight=1e-3, temperature_steps=30)
    pixels = pictures()
    history = train(objective, pixels, 40)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[0]["codebook_used"] == 1
    counts = torch.bincount(objective.tokenizer(pixels).quantized.ids.flatten(), minlength=16)
    unused = objective.tokenizer.quantizer.idle_steps > 30
    assert (counts[unused] == 0).all()
    assert history[-1]["perplexity"] < 16


@pytest.mark.parametrize("training", [False, True])
def test_ids_of_pictures_are_never_noisy(training):
    tokenizer, pixels = make_tokenizer().train(training), pictures()
    ids = tokenizer.encode_to_ids(pixels)
    assert torch.equal(ids, tokenizer.encode(pixels).argmax(dim=1))
    assert tokenizer.decode_ids(ids).shape == pixels.shape


def test_files_round_trip_bit_for_bit(tmp_path):
    tokenizer, pixels = make_tokenizer(), pictures()
    train(VQGANObjective(tokenizer, VQGANObjectiveSettings(perceptual_weight=0)), pixels, 2)
    tokenizer.save_pretrained(tmp_path)
    loaded = VQGAN.from_pretrained(tmp_path)
    assert loaded.config == tokenizer.config
    ids = tokenizer.encode_to_ids(pixels)
    assert torch.equal(loaded.encode_to_ids(pixels), ids)
    assert torch.equal(loaded.decode_ids(ids), tokenizer.decode_ids(ids))
    codes = loaded.quantizer.look_up(ids)
    assert torch.equal(loaded.decode_codes(codes).clamp(-1, 1), loaded.decode_ids(ids))


def test_a_configuration_from_before_is_of_nearest_codes(tmp_path):
    VQGAN(VQGANConfig(**SHAPE | {"quantizer": "nearest"})).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    del settings["quantizer"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert VQGAN.from_pretrained(tmp_path).config.quantizer == "nearest"


def test_weights_of_the_other_quantizer_are_refused(tmp_path):
    make_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"quantizer": "nearest"}))
    with pytest.raises(ValueError, match=r"do not fit .*encoder\.to_code"):
        VQGAN.from_pretrained(tmp_path)


def test_a_discriminator_sees_the_same_noise_in_every_pass():
    """Of several micro-batches, each passed three times: what the terms want of a picture is asked
    of the picture that is then moved."""
    settings = VQGANObjectiveSettings(
        perceptual_weight=0.0, adversarial_weight=0.5, kl_warmup_steps=0
    )
    discriminator = PatchDiscriminator(PatchDiscriminatorConfig(base_channels=8, layers=1))
    tokenizer, painted = make_tokenizer(), []
    objective = VQGANObjective(tokenizer, settings, discriminator, None, HingeLoss())
    tokenizer.register_forward_hook(lambda *call: painted.append(call[2].reconstruction.detach()))
    for _, losses in objective.turns([{"pixels": part} for part in pictures().chunk(2)], 0):
        for terms in losses:
            terms["loss"].backward()
    first, second = painted[0], painted[1]
    assert len(painted) == 6 and not torch.equal(first, second)
    assert torch.equal(painted[2], first) and torch.equal(painted[4], first)
    assert torch.equal(painted[3], second) and torch.equal(painted[5], second)

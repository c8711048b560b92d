"""Turns, terms, the adaptive weight, and that micro-batches only share out the work."""

import pytest
import torch
from torch import nn

from gan import adversarial_loss
from vq import (
    VQGAN,
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    VQGANConfig,
    VQGANObjective,
    VQGANObjectiveSettings,
)


def make_objective(model: dict | None = None, perceptual_loss=None, **settings) -> VQGANObjective:
    """`adversarial_loss` is built as assembly builds it."""
    torch.manual_seed(0)
    shape = {"base_channels": 8, "channel_multipliers": (1, 2), "residual_blocks": 1}
    shape |= {"latent_channels": 8, "codebook_size": 16, "code_dim": 4, "attention_levels": 0}
    # (With a group per channel, GroupNorm would leave biases gradients of nothing but rounding.)
    shape |= {"ema_decay": 0.9, "revive_after_steps": 3, "normalization": "channel"}
    tokenizer = VQGAN(VQGANConfig(**shape | (model or {})))
    discriminator = PatchDiscriminator(PatchDiscriminatorConfig(base_channels=8, layers=1))
    return VQGANObjective(
        tokenizer,
        VQGANObjectiveSettings(**settings),
        discriminator,
        perceptual_loss,
        adversarial_loss(settings.get("adversarial_loss", "hinge")),
    )


def pictures(count: int = 6, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 16, 16, generator=generator) * 2 - 1


def deal(pixels: torch.Tensor, sizes: list[int]) -> list[dict]:
    return [{"pixels": part} for part in pixels.split(sizes)]


def optimizers(objective: VQGANObjective) -> dict:
    return {
        name: torch.optim.AdamW(player.parameters(), 1e-3)
        for name, player in objective.players.items()
    }


def take_step(objective, steppers, micro_batches, step) -> dict[str, float]:
    """One step as the training loop takes it; sums of losses by "player/name"."""
    sums: dict[str, float] = {}
    for player, losses in objective.turns(micro_batches, step):
        steppers[player].zero_grad()
        for terms in losses:
            terms["loss"].backward()
            for name, value in terms.items():
                key = f"{player}/{name}"
                sums[key] = sums.get(key, 0.0) + float(value.detach())
        steppers[player].step()
    return sums


def gradients(objective: VQGANObjective, micro_batches, step=0) -> dict[str, torch.Tensor]:
    """Of both players, without stepping."""
    found = {}
    for player, losses in objective.turns(micro_batches, step):
        objective.players[player].zero_grad()
        for terms in losses:
            terms["loss"].backward()
        for name, parameter in objective.players[player].named_parameters():
            found[f"{player}.{name}"] = parameter.grad.clone()
    return found


def assert_same_gradients(found: dict, expected: dict) -> None:
    """Within 1e-5, relative to each parameter's."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


ADVERSARIAL = {"adversarial_weight": 0.7, "l2_weight": 0.5, "foreground_weight": 3.0}


def test_the_discriminator_takes_its_turn_from_its_start_step_on():
    objective = make_objective(adversarial_weight=0.5, adversarial_start_step=2)
    steppers = optimizers(objective)
    for step in range(4):
        sums = take_step(objective, steppers, deal(pictures(), [6]), step)
        assert ("discriminator/loss" in sums) == (step >= 2)
        assert ("generator/adversarial" in sums) == (step >= 2)


def test_the_adversarial_weight_grows_over_its_warmup():
    objective = make_objective(
        adversarial_weight=0.8, adversarial_start_step=10, adversarial_warmup_steps=4
    )
    weights = [objective.game.adversarial_weight(step) for step in (9, 10, 11, 13, 50)]
    assert weights == pytest.approx([0, 0.2, 0.4, 0.8, 0.8])


def test_without_an_adversarial_weight_there_is_no_discriminator():
    objective = make_objective(adversarial_weight=0.0)
    assert list(objective.players) == ["generator"]
    turns = [player for player, losses in objective.turns(deal(pictures(), [6]), 0) if list(losses)]
    assert turns == ["generator"]


def test_an_adversarial_weight_needs_a_discriminator():
    tokenizer = make_objective().tokenizer
    with pytest.raises(ValueError, match="adversarial_weight is 1.0"):
        VQGANObjective(tokenizer, VQGANObjectiveSettings(adversarial_weight=1.0))


def test_generator_loss_is_the_weighted_sum_of_its_terms():
    objective = make_objective(
        perceptual_loss=lambda x, y: (x - y).abs().amax(dim=(1, 2, 3)),
        l2_weight=0.5,
        perceptual_weight=2.0,
        commitment_weight=0.3,
    )
    pixels = pictures()
    _, losses = next(objective.turns(deal(pixels, [6]), 0))
    (terms,) = losses
    output = objective.tokenizer(pixels)
    difference = output.reconstruction - pixels
    expected = difference.abs().mean() + 0.5 * difference.square().mean()
    expected += 2 * difference.abs().amax(dim=(1, 2, 3)).mean()
    assert torch.allclose(terms["reconstruction"], expected, rtol=1e-5)
    expected = expected + 0.3 * output.quantized.losses["commitment"].mean()
    assert torch.allclose(terms["loss"], expected, rtol=1e-5)


def test_adaptive_weight_and_gradient_are_the_formula():
    """Against plain automatic differentiation of Esser et al. 2021, eqs. 6 and 7."""
    objective = make_objective(**ADVERSARIAL)
    pixels = pictures()
    turns = objective.turns(deal(pixels, [6]), 0)
    list(next(turns)[1])  # the discriminator's, not stepped
    (terms,) = next(turns)[1]  # and not the codebook's update
    terms["loss"].backward()
    found = {name: p.grad.clone() for name, p in objective.tokenizer.named_parameters()}

    tokenizer, discriminator = objective.tokenizer, objective.players["discriminator"]
    output = tokenizer(pixels)
    reconstruction = objective.game.terms(output.reconstruction, pixels)
    reconstruction = reconstruction["reconstruction"].mean()
    adversarial = -discriminator(output.reconstruction).mean()
    layer = tokenizer.decoder.last_layer
    (one,) = torch.autograd.grad(reconstruction, layer, retain_graph=True)
    (two,) = torch.autograd.grad(adversarial, layer, retain_graph=True)
    weight = (one.norm() / (two.norm() + 1e-4)).clamp(0, 1e4)
    assert torch.allclose(terms["adaptive_weight"], weight, rtol=1e-4)
    commitment = 0.25 * output.quantized.losses["commitment"].mean()
    loss = reconstruction + commitment + 0.7 * weight * adversarial
    assert torch.allclose(terms["loss"], loss, rtol=1e-5)
    tokenizer.zero_grad()
    loss.backward()
    assert_same_gradients(found, {name: p.grad for name, p in tokenizer.named_parameters()})


def test_the_generators_turn_leaves_no_gradient_in_the_discriminator():
    objective = make_objective(**ADVERSARIAL)
    discriminator = objective.players["discriminator"]
    for player, losses in objective.turns(deal(pictures(), [3, 3]), 0):
        discriminator.zero_grad()
        for terms in losses:
            terms["loss"].backward()
        collected = [p.grad for p in discriminator.parameters() if p.grad is not None]
        assert bool(collected) == (player == "discriminator")
    assert all(p.requires_grad for p in discriminator.parameters())


@pytest.mark.parametrize("model", [{}, {"codebook_update": "gradient"}], ids=["ema", "gradient"])
@pytest.mark.parametrize("sizes", [[3, 3], [1, 4, 1]])
def test_micro_batches_have_the_gradients_of_the_whole_batch(sizes, model):
    whole = gradients(make_objective(model, **ADVERSARIAL), deal(pictures(), [6]))
    parts = gradients(make_objective(model, **ADVERSARIAL), deal(pictures(), sizes))
    assert_same_gradients(parts, whole)


def test_micro_batches_learn_what_the_whole_batch_does():
    whole, parts = make_objective(**ADVERSARIAL), make_objective(**ADVERSARIAL)
    whole_steppers, parts_steppers = optimizers(whole), optimizers(parts)
    for step in range(10):
        pixels = pictures(seed=step)
        one = take_step(whole, whole_steppers, deal(pixels, [6]), step)
        two = take_step(parts, parts_steppers, deal(pixels, [2, 3, 1]), step)
        assert one == pytest.approx(two, rel=1e-4, abs=1e-5)
    quantizers = [objective.tokenizer.quantizer for objective in (whole, parts)]
    assert torch.equal(quantizers[0].idle_steps, quantizers[1].idle_steps)
    assert torch.allclose(quantizers[0].codebook, quantizers[1].codebook, atol=1e-4)


def test_the_codebook_starts_from_the_first_batch_and_moves_after_the_step():
    objective = make_objective()
    quantizer = objective.tokenizer.quantizer
    random_start = quantizer.codebook.clone()
    turns = objective.turns(deal(pictures(), [6]), 0)
    _, losses = next(turns)
    list(losses)
    laid = quantizer.codebook.clone()
    assert quantizer.started
    assert not torch.equal(laid, random_start)
    assert next(turns, None) is None
    assert not torch.equal(quantizer.codebook, laid)


def test_bf16_autocast_trains_encoder_and_decoder():
    """Passes without a graph must not leave weights without a graph in autocast's cache."""
    objective = make_objective(**ADVERSARIAL)
    for player, losses in objective.turns(deal(pictures(), [3, 3]), 0):
        objective.players[player].zero_grad()
        while True:
            with torch.autocast("cpu", torch.bfloat16):
                terms = next(losses, None)
            if terms is None:
                break
            terms["loss"].backward()
        for name, parameter in objective.players[player].named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_players_can_be_wrapped():
    class Counting(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, *arguments):
            self.calls += 1
            return self.module(*arguments)

    objective = make_objective(**ADVERSARIAL)
    for name, player in objective.players.items():
        objective.players[name] = Counting(player)
    take_step(objective, optimizers(objective), deal(pictures(), [6]), 0)
    # One pass of the generator serves both turns.
    assert objective.players["generator"].calls == 1
    assert objective.players["discriminator"].calls == 3


def test_evaluation_sums_over_pictures():
    objective = make_objective(**ADVERSARIAL, perceptual_weight=0.0)
    pixels = pictures()
    figures = objective.evaluate({"pixels": pixels})
    assert {"loss", "l1", "l2", "psnr", "commitment"} <= figures.keys()
    total, count = figures["loss"]
    parts = [objective.evaluate({"pixels": part})["loss"] for part in pixels.split([1, 5])]
    assert count == 6
    assert torch.allclose(total, parts[0][0] + parts[1][0], rtol=1e-5)
    reconstruction = objective.tokenizer(pixels[:1]).reconstruction.clamp(-1, 1)
    mse = (reconstruction - pixels[:1]).square().mean()
    psnr, _ = objective.evaluate({"pixels": pixels[:1]})["psnr"]
    assert torch.allclose(psnr, 10 * torch.log10(4 / mse), atol=1e-4)


def test_dual_contrastive_loss_compares_pictures_by_the_mean_of_their_patches():
    objective = make_objective(adversarial_weight=1.0, adversarial_loss="dual_contrastive")
    pixels = pictures()
    judge, found = objective.players["discriminator"], {}
    for player, losses in objective.turns([{"pixels": pixels}], 0):
        with torch.no_grad():
            fake = objective.tokenizer(pixels).reconstruction
            means = [judge(some).flatten(1).mean(dim=1) for some in (pixels, fake)]
        excess = means[1][None] - means[0][:, None]
        sums = [(1 + (sign * excess).exp().sum(dim=k)).log() for sign in (1, -1) for k in (0, 1)]
        found[player] = next(losses), sums
    terms, (of_fake, of_real, *_) = found["discriminator"]
    assert terms["loss"].item() == pytest.approx((of_fake + of_real).mean().item(), rel=1e-4)
    terms, (*_, of_fake, of_real) = found["generator"]  # real and fake exchanged
    assert terms["adversarial"].item() == pytest.approx((of_fake + of_real).mean().item(), rel=1e-4)

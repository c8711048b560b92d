"""Which term teaches which player, and what a turn leaves alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan import GANObjective, GANObjectiveSettings, Judged, TextBatch
from gan.terms import text_numbers, wrong_partners
from tests.gan.conftest import (
    ATTRIBUTES,
    COUNT,
    OneProcess,
    Texts,
    batch,
    discriminator,
    generator,
)

PLAIN = GANObjectiveSettings()
RECIPES = {
    "gan_int_cls": ("dcgan", "dcgan", GANObjectiveSettings(
        adversarial="non_saturating", wrong_pairs_weight=0.5, interpolation_weight=1.0,
    )),
    "xmc_gan": ("attentional", "residual", GANObjectiveSettings(
        sentence_weight=1.0, word_weight=1.0, real_fake_weight=1.0, frozen_real_fake_weight=1.0,
        discriminator_steps=2,
    )),
    "adma_gan": ("deep_fusion", "deep_fusion", GANObjectiveSettings(
        wrong_pairs_weight=0.5, gradient_penalty_weight=2.0, attribute_weight=0.5,
        sentence_weight=0.1, attribute_contrast_weight=0.1, real_fake_weight=0.1,
    )),
    "infomax_gan": ("attentional", "residual", GANObjectiveSettings(local_global_weight=0.2)),
    "dual_contrastive": ("deep_fusion", "deep_fusion", GANObjectiveSettings(
        adversarial="dual_contrastive", wrong_pairs_weight=0.5, interpolation_weight=1.0,
        gradient_penalty_weight=0.5, gradient_penalty="r1",
    )),
}  # fmt: skip


def frozen(pixels: Tensor) -> Tensor:
    return pixels.mean(dim=3).flatten(1)


def objective(
    name: str = "adma_gan", text: bool = True, train_text_encoder: bool = False, **changes
) -> GANObjective:
    drawing, judging, settings = RECIPES[name]
    settings = replace(settings, **changes)
    memory = {"memory": {}} if name == "adma_gan" else {}
    return GANObjective(
        generator(drawing, text=text, **memory),
        discriminator(
            judging,
            text=text,
            judged=Judged(
                sentences=settings.sentence_weight + settings.real_fake_weight > 0,
                regions=settings.word_weight > 0,
                places=settings.local_global_weight > 0,
                attributes=ATTRIBUTES if settings.attribute_weight else 0,
            ),
        ),
        settings,
        OneProcess(),
        Texts() if text else None,
        frozen,
        train_text_encoder,
    )


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    after = module.state_dict()
    return all(torch.equal(value, after[name]) for name, value in before.items())


def gradients(game: GANObjective) -> dict[str, dict[str, Tensor]]:
    """Of each turn in order, by the names of both players' parameters."""
    found = {}
    for number, (player, losses) in enumerate(game.turns([batch(1)], step=0)):
        for module in game.players.values():
            module.zero_grad()
        next(losses)["loss"].backward()
        found[f"{number} {player}"] = {
            f"{name}.{part}": p.grad.clone()
            for name, module in game.players.items()
            for part, p in module.named_parameters()
            if p.grad is not None
        }
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_a_turn_teaches_its_own_player_alone(name):
    for turn, found in gradients(objective(name)).items():
        assert found and all(part.startswith(turn.split()[1]) for part in found)
        assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("name", RECIPES)
def test_the_generators_turn_leaves_the_discriminator_untouched(name):
    game = objective(name)
    for player, losses in game.turns([batch(1)], step=0):
        before = state(game.discriminator)
        drawing = {n: p.clone() for n, p in game.generator.named_parameters()}
        terms = next(losses)
        if player == "generator":
            assert same(before, game.discriminator)
            assert game.discriminator.training
            assert all(p.requires_grad for p in game.discriminator.parameters())
        terms["loss"].backward()
        for n, parameter in game.generator.named_parameters():
            assert torch.equal(parameter, drawing[n])


@pytest.mark.parametrize("name", RECIPES)
def test_everything_that_can_learn_does(name):
    game, learning = objective(name), set()
    with torch.no_grad():  # as after a step: what begins at 0 lets nothing through
        for parameter in [*game.generator.parameters(), *game.discriminator.parameters()]:
            parameter += 0.02 * torch.randn_like(parameter)
    for found in gradients(game).values():
        learning |= {part for part, gradient in found.items() if (gradient != 0).any()}
    everything = {
        f"{player}.{part}"
        for player, module in game.players.items()
        for part, _ in module.named_parameters()
    }
    # A bias before batch normalization, and what all logits share, is no difference.
    odd = everything - learning
    assert not {part for part in odd if not part.endswith("bias")}, odd


def test_turns_of_each_recipe():
    one, two = batch(1), batch(2)
    names = [player for player, losses in objective("xmc_gan").turns([one, two], 0) if next(losses)]
    assert names == ["discriminator", "discriminator", "generator"]
    names = [player for player, losses in objective("adma_gan").turns([one], 0) if next(losses)]
    assert names == ["discriminator", "discriminator", "generator"]


def test_penalties_an_interval_apart_count_as_often():
    always, seldom = (
        [
            next(losses).get("gradient_penalty")
            for _, losses in objective("adma_gan", gradient_penalty_interval=interval).turns(
                [batch(1)], step
            )
        ]
        for interval, step in ((1, 8), (4, 8))
    )
    assert len(always) == len(seldom) == 3
    assert seldom[1].item() == pytest.approx(4 * always[1].item()) and always[1] > 0
    between = objective("adma_gan", gradient_penalty_interval=4).turns([batch(1)], 9)
    assert [player for player, _ in between] == ["discriminator", "generator"]
    with pytest.raises(ValueError, match="gradient_penalty_interval is 0; it must be 1 or more"):
        GANObjectiveSettings(gradient_penalty_interval=0)


def test_loss_is_the_weighted_sum_of_its_terms():
    weights = {"adversarial": 1, "sentences": 0.1, "attribute_contrast": 0.1, "attributes": 0.5}
    for player, losses in objective("adma_gan").turns([batch(1)], step=0):
        terms = next(losses)
        if "gradient_penalty" not in terms:
            expected = sum(weights[name] * terms[name] for name in weights)
            if player == "generator":
                expected += 0.1 * terms["real_fake"]
            assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_penalty_is_of_real_pictures_with_their_own_texts():
    """Whatever is drawn, and whichever texts are wrong."""
    game, seen, expected = objective("adma_gan"), objective("adma_gan").seen(batch(1)), []
    with torch.no_grad():
        for parameter in game.discriminator.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    assert seen.texts is not None
    for pixels, sentence in zip(seen.pixels, seen.texts.sentence, strict=True):
        inputs = pixels[None].requires_grad_(), F.normalize(sentence[None]).requires_grad_()
        text = TextBatch(seen.texts.words[:1], seen.texts.mask[:1], inputs[1])
        parts = torch.autograd.grad(game.discriminator(inputs[0], text).sum(), inputs)
        squares = sum(float(part.square().sum()) for part in parts)
        expected.append(2 * squares**3)
    for _ in range(2):
        turns = game.turns([batch(1)], step=0)
        next(turns)
        penalty = next(next(turns)[1])["gradient_penalty"].item()
        assert penalty == pytest.approx(sum(expected) / COUNT, rel=1e-4) and penalty > 1e-3
        for parameter in game.generator.parameters():
            torch.nn.init.normal_(parameter)


def first_discriminator_loss(game: GANObjective, data: dict[str, Tensor]) -> float:
    return next(next(game.turns([data], step=0))[1])["loss"].item()


def test_wrong_pairs_count_where_they_have_a_weight():
    data, other = batch(1), batch(1)
    # Another picture for the last two texts changes which pictures the others are wrong for.
    plain = [
        first_discriminator_loss(objective("gan_int_cls", wrong_pairs_weight=weight), data)
        for weight in (0.0, 0.5)
    ]
    assert plain[0] != pytest.approx(plain[1])
    other["text_ids"][:] = other["text_ids"][0]  # all say the same: no pair is wrong
    other["text_length"][:] = 6
    same_texts = [
        first_discriminator_loss(objective("gan_int_cls", wrong_pairs_weight=weight), other)
        for weight in (0.0, 0.5)
    ]
    assert same_texts[0] == pytest.approx(same_texts[1])


def discriminator_after_its_turn(game: GANObjective) -> dict[str, Tensor]:
    player, losses = next(game.turns([batch(1)], step=0))
    optimizer = torch.optim.Adam(game.players[player].parameters())
    next(losses)["loss"].backward()
    optimizer.step()
    return state(game.discriminator)


def test_interpolated_texts_are_the_generators_alone():
    off = {"interpolation_weight": 0.0}
    with_them, without = (
        [next(losses) for _, losses in objective("gan_int_cls", **options).turns([batch(1)], 0)]
        for options in ({}, off)
    )
    assert torch.equal(with_them[0]["loss"], without[0]["loss"])
    stepped = discriminator_after_its_turn(objective("gan_int_cls"))
    other = discriminator_after_its_turn(objective("gan_int_cls", **off))
    assert all(torch.equal(value, other[name]) for name, value in stepped.items())
    between = (with_them[1]["adversarial"] * 2 + with_them[1]["interpolated"]) / 3
    assert with_them[1]["loss"].item() == pytest.approx(between.item())
    assert without[1]["loss"].item() == pytest.approx(with_them[1]["adversarial"].item())


def test_without_its_weight_a_contrast_changes_nothing():
    plain, off = (
        [next(losses)["loss"] for _, losses in game.turns([batch(1)], step=0)]
        for game in (
            objective("infomax_gan", local_global_weight=0.0),
            GANObjective(
                generator("attentional"), discriminator("residual"), PLAIN, OneProcess(), fixed()
            ),
        )
    )
    assert [one.item() for one in plain] == [one.item() for one in off]


def fixed() -> Texts:
    """The table that `objective` makes, which draws from the same seed."""
    torch.manual_seed(3)
    generator("attentional"), discriminator("residual", judged=Judged())
    return Texts()


def test_real_pictures_teach_the_discriminators_encoders():
    """Its contrasts do not depend on what the generator draws."""
    games = [objective("xmc_gan") for _ in range(2)]
    with torch.no_grad():
        for parameter in games[1].generator.parameters():
            parameter.normal_()
    first, second = (next(next(game.turns([batch(1)], 0))[1]) for game in games)
    for name in ("sentences", "words"):
        assert torch.equal(first[name], second[name])
    assert not torch.equal(first["adversarial"], second["adversarial"])


@pytest.mark.parametrize("train", [False, True])
def test_text_encoder_learns_in_the_discriminators_turn(train):
    game = objective("gan_int_cls", train_text_encoder=train)
    found = gradients(game)
    name = "discriminator.text_encoder.table.weight"
    assert (name in found["0 discriminator"]) == train
    assert name not in found["1 generator"]


@pytest.mark.parametrize("name", ["infomax_gan", "dual_contrastive"])
def test_without_text(name):
    settings = {"wrong_pairs_weight": 0.0, "interpolation_weight": 0.0}
    for _, found in gradients(objective(name, text=False, **settings)).items():
        assert found


def test_noise_belongs_to_a_picture_whoever_draws_it():
    game = objective()
    whole = game.noise(4, step=3, number=1)
    game.processes = OneProcess()
    game.processes.world_size = 2
    halves = []
    for rank in (0, 1):
        game.processes.rank = rank
        halves.append(game.noise(2, step=3, number=1))
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(game.noise(2, 4, 1), halves[1])


def test_texts_have_numbers_of_their_own():
    ids = torch.tensor([[2, 7, 3, 0], [2, 7, 3, 9], [2, 7, 8, 3], [2, 8, 7, 3]])
    numbers = text_numbers(ids, torch.tensor([3, 3, 4, 4])).tolist()
    assert numbers[0] == numbers[1] and len(set(numbers)) == 3
    longer = torch.cat([ids, torch.zeros(4, 5, dtype=torch.long)], dim=1)
    assert text_numbers(longer, torch.tensor([3, 3, 4, 4])).tolist() == numbers


def test_captions_of_few_words_have_numbers_of_their_own():
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 33, (4000, 9), generator=random).unique(dim=0)
    numbers = text_numbers(ids, torch.full((len(ids),), 9))
    assert len(numbers.unique()) == len(ids)
    swapped = ids[:, [1, 0, *range(2, 9)]]
    differs = ids[:, 0] != ids[:, 1]
    assert (text_numbers(swapped, torch.full((len(ids),), 9)) != numbers)[differs].all()


def test_logits_are_not_rounded_under_autocast():
    for name in ("dcgan", "residual", "deep_fusion"):
        judge, said = discriminator(name), Texts()(batch()["text_ids"], batch()["text_length"])
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(1000 * batch()["pixels"], said)
        assert logits.dtype == torch.float32
        assert not torch.equal(logits, logits.bfloat16().float())


def test_wrong_partners_say_something_else():
    partner, there = wrong_partners(torch.tensor([5, 5, 6, 5]))
    assert partner.tolist() == [2, 2, 3, 2] and there.all()
    assert not wrong_partners(torch.tensor([5, 5]))[1].any()


def test_validation_figures():
    figures = objective().evaluate(batch(1))
    assert set(figures) == {"real_logit", "fake_logit", "wrong_logit"}
    means = {name: float(total / count) for name, (total, count) in figures.items()}
    assert objective().validation_loss(means) == -means["fake_logit"]

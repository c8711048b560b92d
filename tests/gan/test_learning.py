"""Players that have learned: pictures obey their texts, and contrasts tell pairs apart.

The data are shapes of four colours at any place of 16 x 16 pixels, with texts of two words. Which
colour a picture has can be read off it exactly, so that no network judges. The control, whose
discriminator sees no text, is what makes the rest mean something.
"""

import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from torch import Tensor, nn

from gan import (
    Discriminator,
    DiscriminatorHeads,
    DiscriminatorShape,
    GANObjective,
    GANObjectiveSettings,
    Generator,
    GeneratorConfig,
    TextBatch,
)
from gan.discriminators import ImageFeatures
from gan.style_encoder import StyleEncoder, StyleEncoderConfig, StyleObjective
from tests.gan.conftest import OneProcess, correlation

SIZE, WIDTH, NOISE = 16, 16, 16
COLOURS = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]])  # on white
STEPS, BATCH, UNSEEN = 300, 32, 10**6


class Words(nn.Module):
    """A fixed vector for each of four colours and three shapes, all at right angles.

    Of random vectors two may be alike, and whether the players then take one colour for another is
    up to how a machine rounds.
    """

    width = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", math.sqrt(WIDTH) * torch.eye(7, WIDTH))

    def forward(self, text_ids: Tensor, text_length: Tensor) -> TextBatch:
        words = self.table[text_ids]
        return TextBatch(words, torch.ones_like(text_ids).bool(), words.mean(dim=1))


def shapes(count: int, seed: int) -> dict[str, Tensor]:
    """Text ids are colour and 4 + shape."""
    random = torch.Generator().manual_seed(seed)
    colour, shape = (torch.randint(n, (count,), generator=random) for n in (4, 3))
    y, x = torch.randint(5, 11, (2, count, 1, 1), generator=random)
    down, right = (torch.arange(SIZE)[:, None] - y).abs(), (torch.arange(SIZE) - x).abs()
    disc, square = down**2 + right**2 <= 12, (down <= 3) & (right <= 3)
    cross = ((down <= 1) & (right <= 4)) | ((right <= 1) & (down <= 4))
    there = torch.stack([disc, square, cross])[shape, torch.arange(count)]
    pixels = torch.where(there[:, None], COLOURS[colour][..., None, None], torch.ones(()))
    text_ids = torch.stack([colour, 4 + shape], dim=1)
    return {"pixels": pixels, "text_ids": text_ids, "text_length": torch.full((count,), 2)}


def colours_of(pixels: Tensor) -> Tensor:
    """The colour that is nearest to the mean of what is not white; -1 where all is."""
    there = (pixels - 1).square().sum(dim=1) > 1
    number = there.sum(dim=(1, 2))
    mean = (pixels * there[:, None]).sum(dim=(2, 3)) / number.clamp(min=1)[:, None]
    return torch.cdist(mean, COLOURS).argmin(dim=1).where(number > 0, -1)


def test_the_judge_is_right_about_real_pictures():
    data = shapes(500, UNSEEN)
    assert torch.equal(colours_of(data["pixels"]), data["text_ids"][:, 0])
    assert colours_of(torch.ones(1, 3, SIZE, SIZE)).tolist() == [-1]


class Blind(Discriminator):
    """All texts are one to it."""

    def logits(self, features: ImageFeatures, texts: TextBatch | None) -> Tensor:
        assert texts is not None
        return super().logits(features, replace(texts, sentence=0 * texts.sentence))


def game_of(
    judge: type[Discriminator],
    settings: GANObjectiveSettings,
    architecture: str = "deep_fusion",
    heads: DiscriminatorHeads | None = None,
) -> GANObjective:
    torch.manual_seed(0)
    drawing = {"architecture": "deep_fusion", "noise_dim": NOISE, "base_channels": 16}
    shape = DiscriminatorShape(architecture=architecture, base_channels=16, contrast_dim=16)
    return GANObjective(
        Generator(GeneratorConfig(drawing, (SIZE, SIZE), WIDTH)),
        judge(shape, (SIZE, SIZE), WIDTH, heads or DiscriminatorHeads()),
        settings,
        OneProcess(),
        Words(),
    )


def trained(game: GANObjective) -> GANObjective:
    optimizers = {
        name: torch.optim.Adam(player.parameters(), rate, (0.0, 0.9))
        for (name, player), rate in zip(game.players.items(), (1e-3, 2e-3), strict=True)
    }
    for step in range(STEPS):
        for name, losses in game.turns([shapes(BATCH, step)], step):
            optimizers[name].zero_grad()
            next(losses)["loss"].backward()
            optimizers[name].step()
    return game


@pytest.fixture(scope="module")
def aware() -> GANObjective:
    """The hinge loss, pairs with wrong texts, and the matching-aware penalty: DF-GAN's."""
    settings = GANObjectiveSettings(wrong_pairs_weight=0.5, gradient_penalty_weight=2.0)
    return trained(game_of(Discriminator, settings))


@torch.no_grad()
def colour_accuracy(game: GANObjective) -> float:
    """The share of pictures of the colour that their texts name; chance is 0.25."""
    seen, noise = game.seen(data := shapes(400, UNSEEN)), torch.randn(400, NOISE)
    drawn = game.generator(noise, seen.texts)
    return float((colours_of(drawn) == data["text_ids"][:, 0]).float().mean())


@pytest.mark.slow
def test_pictures_obey_their_texts(aware):
    """All colours are, as a rule; a game that has one of the four still to find is at 0.75."""
    assert colour_accuracy(aware) > 0.6


@pytest.mark.slow
def test_pictures_of_a_discriminator_without_text_do_not():
    settings = GANObjectiveSettings(gradient_penalty_weight=2.0)
    assert colour_accuracy(trained(game_of(Blind, settings))) < 0.4


@pytest.mark.slow
def test_wrong_texts_are_told_from_right_ones(aware):
    figures = aware.evaluate(shapes(400, UNSEEN))
    means = {name: float(total / count) for name, (total, count) in figures.items()}
    assert means["real_logit"] > means["wrong_logit"] + 0.2


@pytest.mark.slow
def test_a_style_keeps_the_colour_of_the_text(aware):
    """And the noise says what is left to it: unseen noise is found, whatever the text."""
    torch.manual_seed(0)
    encoder = StyleEncoder(StyleEncoderConfig(NOISE, (SIZE, SIZE), base_channels=16))
    objective = StyleObjective(encoder, aware.generator, OneProcess(), aware.text_encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), 2e-3)
    for step in range(300):
        ((_, losses),) = objective.turns([shapes(64, step)], step)
        optimizer.zero_grad()
        next(losses)["loss"].backward()
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        one, other = (aware.seen(shapes(200, UNSEEN + n)).texts for n in (0, 1))
        noise = torch.randn(200, NOISE)
        found = encoder(aware.generator(noise, one))
        again = encoder(aware.generator(noise, other))
        worn = aware.generator(found, other)
    wanted = shapes(200, UNSEEN + 1)["text_ids"][:, 0]
    assert correlation(noise, found) > 0.25
    assert correlation(found, again) > 0.7
    assert abs(correlation(found, again.roll(1, dims=0))) < 0.2
    assert (colours_of(worn) == wanted).float().mean() > colour_accuracy(aware) - 0.1


def discriminator_alone(game: GANObjective, steps: int) -> list[dict[str, Tensor]]:
    """What its turns say while it learns."""
    optimizer = torch.optim.Adam(game.discriminator.parameters(), 2e-3, (0.0, 0.9))
    said = []
    for step in range(steps):
        _, losses = next(game.turns([shapes(BATCH, step)], step))
        optimizer.zero_grad()
        said.append(next(losses))
        said[-1]["loss"].backward()
        optimizer.step()
    return said


def test_sentences_are_found_by_their_pictures():
    """XMC-GAN's contrast, on batches of which at most twelve texts differ."""
    settings = GANObjectiveSettings(sentence_weight=1.0)
    said = discriminator_alone(game_of(Discriminator, settings, "residual"), 60)
    accuracies = [float(terms["sentence_accuracy"]) for terms in said]
    assert fmean(accuracies[:3]) < 0.3 and fmean(accuracies[-10:]) > 0.45


def test_places_are_known_by_their_pictures():
    """InfoMax-GAN's contrast begins where chance is."""
    settings = GANObjectiveSettings(local_global_weight=1.0)
    game = game_of(Discriminator, settings, "residual", DiscriminatorHeads(places=True))
    said = discriminator_alone(game, 60)
    losses = [float(terms["local_global"]) for terms in said]
    places = (SIZE // 4) ** 2
    chance = math.log(1 + (BATCH - 1) * places)
    assert losses[0] == pytest.approx(chance, abs=0.05) and fmean(losses[-10:]) < chance - 0.3

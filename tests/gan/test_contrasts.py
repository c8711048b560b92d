"""Contrasts of pictures painted after given ones, and the discriminator that sees them."""

import math

import pytest
import torch
from torch import nn

from gan import (
    ContrastingDiscriminator,
    ContrastSettings,
    GANObjectiveSettings,
    PaintingContrasts,
    TextBatch,
)
from gan.contrasts import PictureVectors
from gan.painting import Said
from gan.terms import row_numbers
from tests.gan.conftest import WIDTH, OneProcess, Texts, batch

ALL = ContrastSettings(
    sentence_weight=1.0, word_weight=0.5, real_fake_weight=0.25, local_global_weight=0.2
)


class Maps(nn.Module):
    """Reads its logits off a map of 8 channels."""

    channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.map, self.logit = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 1, 1)

    def features(self, pixels):
        return self.map(pixels)

    def logits(self, features):
        return self.logit(features)


def test_pictures_without_captions_do_not_say_the_same():
    contrasts = PaintingContrasts(ALL, OneProcess())
    ids = torch.tensor([[2, 7, 3], [2, 3, 0], [2, 3, 0], [2, 7, 3]])
    said = contrasts.read({"text_ids": ids, "text_length": torch.tensor([3, 2, 2, 3])})
    assert said.groups.unique().numel() == 3 and said.groups[0] == said.groups[3]


def judged(settings=ALL, size=(12, 16)):
    torch.manual_seed(4)
    return ContrastingDiscriminator(Maps(), settings, WIDTH)(torch.rand(3, 3, *size))


def test_what_is_seen_in_pictures():
    logits, vectors = judged()
    assert logits.shape == (3, 1, 6, 8)
    assert vectors.image.shape == (3, WIDTH) and vectors.regions.shape == (3, 48, WIDTH)
    assert vectors.places.shape == (3, 48, 8) and vectors.whole.shape == (3, 8)
    # Of a larger map, 35 x 34, regions are squares of 3 x 3 places: at most 16 on a side.
    assert judged(size=(70, 68))[1].regions.shape == (3, 12 * 12, WIDTH)


def test_there_are_heads_of_what_something_teaches_alone():
    heads = {
        name: {part for part in ("image", "region", "local", "whole") if getattr(judge, part)}
        for name in ("sentence", "word", "real_fake", "local_global")
        for judge in [
            ContrastingDiscriminator(Maps(), ContrastSettings(**{f"{name}_weight": 1.0}), WIDTH)
        ]
    }
    assert heads == {
        "sentence": {"image"},
        "word": {"region"},
        "real_fake": set(),
        "local_global": {"local", "whole"},
    }
    logits, vectors = judged(ContrastSettings(real_fake_weight=1.0))
    torch.manual_seed(4)
    maps = Maps()
    seen = maps.features(torch.rand(3, 3, 12, 16))
    assert torch.equal(vectors.image, seen.mean(dim=(2, 3)))
    assert torch.equal(logits, maps.logits(seen))


def test_terms_and_their_weights():
    contrasts, (_, vectors) = PaintingContrasts(ALL, OneProcess(), Texts()), judged()
    said = contrasts.read(as_read(batch(1, count=3)))
    real = contrasts.of_real(vectors, said)
    assert {name: weight for name, (weight, _) in real.items() if weight} == {
        "sentences": 1.0,
        "words": 0.5,
        "local_global": 0.2,
    }
    painted = contrasts.of_painted(vectors, vectors, said)
    assert painted.keys() - real.keys() == {"real_fake"} and painted["real_fake"][0] == 0.25
    assert all(values.shape == (3,) for _, values in painted.values())
    assert contrasts.with_real
    assert not PaintingContrasts(ContrastSettings(word_weight=1), OneProcess()).with_real


def test_each_picture_belongs_to_its_own_text():
    """All is told apart at nearly no loss, where nobody is taken for another."""
    own = 20 * torch.eye(3)  # an inner product of 400 with itself, and of 0 with the others
    each = own[:, None]
    vectors = PictureVectors(own, each, each, own)
    others = PictureVectors(*(part.roll(1, dims=0) for part in (own, each, each, own)))
    texts = TextBatch(each, torch.ones(3, 1).bool(), own)
    contrasts = PaintingContrasts(ALL, OneProcess(), Texts())

    def losses(terms) -> dict[str, float]:
        return {name: values.mean().item() for name, (weight, values) in terms.items() if weight}

    said = Said(texts, torch.arange(3))
    assert max(losses(contrasts.of_painted(vectors, vectors, said)).values()) < 0.01
    painted = losses(contrasts.of_painted(vectors, others, said))
    assert painted.pop("real_fake") > 1 and max(painted.values()) < 0.01
    confused = losses(contrasts.of_real(others, said))
    assert min(confused["sentences"], confused["words"]) > 1
    same = losses(contrasts.of_real(others, Said(texts, torch.zeros(3))))
    assert same["sentences"] == same["words"] == 0


def as_read(found):
    """The texts of a GAN's batch where a text encoder's are."""
    names = ("text_ids", "text_length")
    return {f"encoder_{name}": found[name] for name in names} | {"pixels": found["pixels"]}


def test_equal_texts_are_not_each_others_negatives():
    found = batch(1, count=3)
    found["text_ids"][1] = found["text_ids"][0]
    found["text_length"][1] = found["text_length"][0]
    contrasts = PaintingContrasts(ALL, OneProcess(), Texts())
    said = contrasts.read(as_read(found))
    assert said.groups[0] == said.groups[1] != said.groups[2]
    alike = PictureVectors(torch.eye(3)[[0, 0, 1]])
    settings = ContrastSettings(real_fake_weight=1.0)
    # Without a text encoder the transformer's own ids tell, and without texts nothing does.
    for read, expected in ((found, 0.0), ({"pixels": found["pixels"]}, math.log(2))):
        without = PaintingContrasts(settings, OneProcess())
        said = without.read(read)
        assert said.texts is None
        loss = without.of_painted(alike, alike, said)["real_fake"][1]
        assert loss[0].item() == pytest.approx(2 * expected, abs=1e-3)


def test_texts_are_read_without_gradients():
    encoder = Texts()
    said = PaintingContrasts(ALL, OneProcess(), encoder).read(as_read(batch(1)))
    assert not said.texts.sentence.requires_grad
    found = batch(1)
    assert torch.equal(said.groups, row_numbers(found["text_ids"], found["text_length"]))


def test_real_pictures_get_no_gradient_from_fakes():
    fake, real = torch.randn(2, 4, 8).requires_grad_().unbind()
    contrasts = PaintingContrasts(ContrastSettings(real_fake_weight=1.0), OneProcess())
    said = contrasts.read({})
    loss = contrasts.of_painted(PictureVectors(fake), PictureVectors(real), said)["real_fake"][1]
    of_fake, of_real = torch.autograd.grad(loss.sum(), (fake, real), allow_unused=True)
    assert of_fake.abs().max() > 0 and of_real is None


def test_contrasts_are_not_rounded_under_autocast():
    contrasts = PaintingContrasts(ALL, OneProcess(), Texts())
    vectors = PictureVectors(
        torch.randn(3, WIDTH), torch.randn(3, 4, WIDTH), torch.randn(3, 4, 8), torch.randn(3, 8)
    )
    said = contrasts.read(as_read(batch(1, count=3)))
    exact = contrasts.of_painted(vectors, vectors, said)
    with torch.autocast("cpu", torch.bfloat16):
        again = contrasts.of_painted(vectors, vectors, said)
    for name, (_, values) in exact.items():
        assert torch.equal(again[name][1], values)


def test_negative_weights_are_refused():
    for settings in (ContrastSettings, GANObjectiveSettings):
        with pytest.raises(ValueError, match="word_weight is -1.0"):
            settings(word_weight=-1.0)
    assert ContrastSettings(word_weight=1.0, local_global_weight=0.2).used == [
        "word_weight",
        "local_global_weight",
    ]
    assert ALL.of_texts == ["sentence_weight", "word_weight"]

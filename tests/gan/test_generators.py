"""What a generator's pictures depend on, and how it is saved."""

import pytest
import torch

from gan import Generator, GeneratorConfig, TextBatch
from gan.blocks import (
    AffineFusion,
    SelfAttention,
    SelfModulatedNorm,
    WordAttention,
    as_pixels,
    twice_as_large,
)
from gan.generators.attentional import channel_ratios
from tests.gan.conftest import ATTRIBUTES, WIDTH, generator, texts

ARCHITECTURES = ("dcgan", "attentional", "deep_fusion")
MEMORY = {"update": "joint"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_pictures_have_the_size_that_was_asked_for(architecture, text, size):
    network = generator(architecture, size, text, self_attention_at=16)
    pixels = network(torch.randn(2, 8), texts(2) if text else None)
    assert pixels.shape == (2, 3, *size)
    pixels.square().sum().backward()
    reached = [p.grad is not None for p in network.parameters()]
    assert all(reached)


@pytest.mark.parametrize("size", [(64, 60), (48, 48), (8, 0), (12, 12)])
def test_sizes_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match="halved"):
        GeneratorConfig(image_size=size)


def test_what_does_not_fit_is_refused():
    for architecture, side in (("dcgan", 20), ("dcgan", 32), ("attentional", 4)):
        with pytest.raises(ValueError, match="choose one of these"):
            generator(architecture, self_attention_at=side)
    with pytest.raises(ValueError, match="follows the sentence; choose larger pictures"):
        generator("deep_fusion", (16, 16), memory={})
    with pytest.raises(ValueError, match="memory"):
        generator("dcgan", memory={})
    with pytest.raises(ValueError, match="architecture"):
        generator("stylegan")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_sentence_changes_the_picture(architecture):
    network = learned_fusions(generator(architecture)).eval()
    noise, said = torch.randn(2, 8), texts(2)
    other = TextBatch(said.words, said.mask, said.sentence.flip(0))
    pixels = network(noise, said)
    assert (pixels - network(noise, other)).std() > 0.01 * pixels.std()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_noise_changes_the_picture(architecture):
    network, noise, said = generator(architecture).eval(), torch.randn(2, 8), texts(2)
    pixels = network(noise, said)
    assert (pixels - network(noise.flip(0), said)).std() > 0.01 * pixels.std()


def test_gains_of_the_attentional_generator_follow_the_noise_too():
    """XMC-GAN's condition is noise and sentence: the same first map is then drawn otherwise."""
    network, noise, said = generator("attentional").eval(), torch.randn(2, 8), texts(2)
    torch.nn.init.zeros_(network.network.start.weight)
    pixels = network(noise, said)
    assert (pixels - network(noise.flip(0), said)).std() > 0.01 * pixels.std()


def test_deep_fusion_starts_without_text_and_learns_of_it():
    network, noise = generator("deep_fusion"), torch.randn(2, 8)
    assert torch.equal(network(noise, texts(2)), network(noise, texts(2, seed=5)))
    network(noise, texts(2)).square().sum().backward()
    fusions = [module for module in network.modules() if isinstance(module, AffineFusion)]
    assert fusions and all((one.gain[-1].weight.grad != 0).any() for one in fusions)


def learned_fusions(network: Generator) -> Generator:
    """As after some training."""
    for module in network.modules():
        if isinstance(module, AffineFusion):
            for part in (module.gain, module.shift):
                torch.nn.init.normal_(part[-1].weight, std=0.3)
    return network


def maps_of(network: Generator, *inputs) -> list[torch.Tensor]:
    """After each block."""
    seen: list[torch.Tensor] = []
    hooks = [
        block.register_forward_hook(lambda module, given, output: seen.append(output))
        for block in network.network.blocks
    ]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("placement", ["early", "late"])
def test_attributes_shape_some_maps_and_the_sentence_the_others(placement):
    network = generator("deep_fusion", (64, 64), memory={**MEMORY, "placement": placement})
    learned_fusions(network)
    noise, said, attributes = torch.randn(2, 8), texts(2), torch.eye(ATTRIBUTES)[:2]
    maps = maps_of(network, noise, said, attributes)
    other_text = maps_of(network, noise, texts(2, seed=5), attributes)
    other_attributes = maps_of(network, noise, said, 1 - attributes)
    coarse = other_text if placement == "early" else other_attributes
    fine = other_attributes if placement == "early" else other_text
    same = [torch.equal(one, other) for one, other in zip(maps, coarse, strict=True)]
    split = 3 if placement == "early" else 2
    assert same == [True] * split + [False] * (5 - split)
    assert not torch.equal(maps[0], fine[0])


def test_words_shape_the_picture_and_padding_does_not():
    network, noise, said = generator("attentional", (64, 64)).eval(), torch.randn(2, 8), texts(2)
    pixels = network(noise, said)

    def with_word(text: int, word: int) -> torch.Tensor:
        words = said.words.clone()
        words[text, word] = 3.0
        return network(noise, TextBatch(words, said.mask, said.sentence))

    assert not torch.allclose(with_word(0, 1)[0], pixels[0], atol=1e-5)
    assert torch.equal(with_word(0, 1)[1], pixels[1])
    assert torch.equal(with_word(1, 4), pixels)  # which is not there
    blind = generator("attentional", (64, 64), word_attention=False).eval()
    words = TextBatch(torch.zeros_like(said.words), said.mask, said.sentence)
    assert torch.equal(blind(noise, words), blind(noise, said))


def test_widths_of_the_papers():
    assert channel_ratios(5) == [16, 8, 4, 2, 1]  # 128 pixels
    assert channel_ratios(6) == [16, 8, 8, 4, 2, 1]  # 256 pixels


def test_places_look_at_their_words():
    attention = WordAttention(2, 2)
    with torch.no_grad():
        attention.to_words.weight.copy_(torch.eye(2)[..., None, None])
        attention.to_words.bias.zero_()
    words = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [5.0, 5.0]]])
    mask = torch.tensor([[True, True, False]])
    seen = attention(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), words, mask)
    assert torch.allclose(seen.flatten(), torch.tensor([0.9999997, 3.06e-7]), atol=1e-8)


def test_modulation_of_coarse_places_is_that_of_repeated_ones():
    norm, maps, coarse = SelfModulatedNorm(3, 4), torch.randn(2, 3, 8, 12), torch.randn(2, 4, 2, 3)
    fine = coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert torch.allclose(norm(maps, coarse), norm(maps, fine), atol=1e-5)


def test_twice_as_large():
    maps = torch.arange(4.0).reshape(1, 1, 2, 2)
    rows = [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    assert twice_as_large(maps)[0, 0].tolist() == rows


def test_pixels_far_too_bright_still_learn():
    values = torch.tensor([-50.0, 0.0, 50.0], dtype=torch.bfloat16, requires_grad=True)
    pixels = as_pixels(values)
    pixels.sum().backward()
    assert pixels.tolist() == pytest.approx([-1.5, 0.0, 1.5], abs=1e-3)
    assert (values.grad > 0.009).all()


@pytest.mark.parametrize("architecture", ["dcgan", "deep_fusion"])
def test_how_long_a_text_encoders_vectors_are_does_not_matter(architecture):
    drawing = generator(architecture)
    if architecture == "deep_fusion":
        learned_fusions(drawing)
    noise, said = torch.randn(3, 8), texts(3)
    longer = TextBatch(said.words, said.mask, 7 * said.sentence)
    assert torch.allclose(drawing(noise, said), drawing(noise, longer), atol=1e-5)
    other = TextBatch(said.words, said.mask, said.sentence.flip(1))
    assert not torch.allclose(drawing(noise, said), drawing(noise, other), atol=1e-2)


def test_modulation_by_nothing_is_batch_normalization():
    norm, maps = SelfModulatedNorm(3, 4), 5 * torch.randn(6, 3, 4, 4) + 2
    torch.nn.init.zeros_(norm.modulation.weight)
    torch.nn.init.zeros_(norm.modulation.bias)
    normal = norm(maps, torch.randn(6, 4, 1, 1))
    assert torch.allclose(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(normal.var(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4)


def test_self_attention_starts_as_nothing_and_looks_everywhere():
    attention, maps = SelfAttention(8), torch.randn(1, 8, 3, 4, requires_grad=True)
    assert torch.equal(attention(maps), maps)
    torch.nn.init.ones_(attention.gate)
    attention(maps)[0, :, 0, 0].sum().backward()
    assert (maps.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_and_loaded(architecture, tmp_path):
    memory = {"memory": MEMORY} if architecture == "deep_fusion" else {}
    network = generator(architecture, (32, 64), self_attention_at=16, **memory)
    if memory:
        network.memory.start(torch.randn(ATTRIBUTES, WIDTH), torch.rand(ATTRIBUTES, ATTRIBUTES))
    network(torch.randn(4, 8), texts(4), torch.eye(4, ATTRIBUTES))  # statistics of its own
    network.eval().save_pretrained(tmp_path)
    again = Generator.from_pretrained(tmp_path)
    inputs = torch.randn(2, 8), texts(2), torch.eye(ATTRIBUTES)[:2]
    assert torch.allclose(again(*inputs), network(*inputs), atol=1e-5)
    assert again.config.attributes == (["red", "blue", "round"] if memory else [])

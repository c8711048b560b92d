"""The PatchGAN's patches, and that a picture's score is its own."""

import pytest
import torch

from vq import PatchDiscriminator, PatchDiscriminatorConfig


def make_discriminator(layers: int = 2) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(PatchDiscriminatorConfig(base_channels=8, layers=layers))


@pytest.mark.parametrize(("layers", "grid"), [(1, (30, 14)), (2, (14, 6)), (3, (6, 2))])
def test_a_logit_per_patch(layers, grid):
    logits = make_discriminator(layers)(torch.rand(2, 3, 64, 32))
    assert logits.shape == (2, 1, *grid)


def test_layout_is_that_of_pix2pix():
    """Three layers see patches of 70 pixels."""
    discriminator = make_discriminator(layers=3)
    pixels = torch.rand(1, 3, 128, 128, requires_grad=True)
    for module in discriminator.modules():
        if isinstance(module, torch.nn.GroupNorm):  # would let every pixel count
            module.forward = lambda x: x
    logits = discriminator(pixels)
    logits[0, 0, 7, 7].backward()
    rows = pixels.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 70


def test_scores_do_not_depend_on_the_rest_of_the_batch():
    discriminator = make_discriminator().train()
    pixels = torch.rand(4, 3, 32, 32)
    together = discriminator(pixels)
    apart = torch.cat([discriminator(picture[None]) for picture in pixels])
    assert torch.allclose(together, apart, atol=1e-6)
    assert not list(discriminator.buffers())


def test_pictures_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="16x64 pixels are too small .*layers=3"):
        make_discriminator(layers=3)(torch.rand(1, 3, 16, 64))
    assert make_discriminator(layers=3)(torch.rand(1, 3, 24, 24)).numel() == 1

"""Each adversarial objective draws the modes of a ring of eight Gaussians (seven or eight,
depending on the seed).

The control is an error that public code has made: a generator that minimises what the
discriminator minimises. A loss that falls does not tell; the missing modes do.
"""

import pytest
import torch
from torch import Tensor, nn

from gan import DualContrastiveLoss, HingeLoss, NonSaturatingLoss
from gan.regularization import gradient_penalty

MODES = 2 * torch.stack([torch.arange(8).mul(torch.pi / 4).cos(),
                         torch.arange(8).mul(torch.pi / 4).sin()], dim=1)  # fmt: skip
STEPS, BATCH = 600, 64


class SameSign(DualContrastiveLoss):
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return self.discriminator(real_logits, fake_logits)


def network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2),
        nn.Linear(128, outputs),
    )  # fmt: skip


def modes_drawn(loss) -> int:
    """How many of eight get more than a sixth of their share of the drawn points."""
    torch.manual_seed(0)
    generator, discriminator = network(4, 2), network(2, 1)
    optimizers = [
        torch.optim.Adam(player.parameters(), 1e-3, (0.0, 0.9))
        for player in (generator, discriminator)
    ]
    for _ in range(STEPS):
        real = MODES[torch.randint(8, (BATCH,))] + 0.02 * torch.randn(BATCH, 2)
        real_logits = discriminator(real.requires_grad_())
        fake_logits = discriminator(generator(torch.randn(BATCH, 4)).detach())
        penalty = gradient_penalty(real_logits, [real], weight=0.05, power=2)
        step(optimizers[1], loss.discriminator(real_logits, fake_logits) + penalty)
        fake_logits = discriminator(generator(torch.randn(BATCH, 4)))
        step(optimizers[0], loss.generator(fake_logits, discriminator(real).detach()))
    with torch.no_grad():
        distances, nearest = torch.cdist(generator(torch.randn(2000, 4)), MODES).min(dim=1)
    counts = torch.bincount(nearest[distances < 0.3], minlength=8)
    return int((counts > 2000 / 8 / 6).sum())


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.mean().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "loss",
    [HingeLoss(), NonSaturatingLoss(), DualContrastiveLoss(), DualContrastiveLoss("minimax")],
)
def test_every_mode_is_drawn(loss):
    assert modes_drawn(loss) >= 7


def test_a_generator_that_helps_the_discriminator_draws_none():
    assert modes_drawn(SameSign()) == 0

"""Logits, one per code -> ids by the Gumbel-softmax relaxation: the discrete VAE of DALL-E.

Ramesh et al. 2021 (2102.12092), section 2.1 and appendix A.2; the relaxation is that of Jang et al.
2017 (1611.01144) and Maddison et al. 2017 (1611.00712).

The objective is an evidence lower bound with a uniform prior over codes. DALL-E sums its two terms
over a picture and divides by its 256 * 256 * 3 values, so that beside a reconstruction in nats per
value its KL weight of 6.6 is 6.6 / 192 = 0.034 for nats per position. Our terms are such means, but
an L1 of weight 1 is no likelihood: a Laplace distribution of scale s costs |error| / s nats. The
same balance then is a `kl_weight` of 0.034 * s, where s is about the mean absolute error (of pixels
in [-1, 1]): 0.001 where that is 0.03. Short runs need more: on scenes of 64 pixels (600 steps)
0.005 gave 23.8 dB, 0.01 more codes and 23.0 dB.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vq.config import VQGANConfig
from vq.quantizer import Quantizer, QuantizerOutput

# Ours: PyTorch's start lets a code's logit differ by 0.1 between positions, which noise of standard
# deviation 1.28 hides, and a few codes win before any means something. Ten times as far apart, 300
# steps of quickstart.yaml (with a `kl_weight` of 0.01) reached 22.5 dB in place of 18.6.
LOGIT_GAIN = 10.0


def cosine_course(step: int, steps: int) -> float:
    """From 0 at step 0 to 1 at `steps` and after, along half a cosine (DALL-E, A.2)."""
    return 0.5 * (1 - math.cos(math.pi * min(1.0, step / steps))) if steps else 1.0


class GumbelQuantizer(Quantizer):
    """A codebook whose codes are chosen by logits.

    In training codes are mixed, with the weights of a Gumbel-softmax over noisy logits (soft, not
    straight through, as in DALL-E): the lower the temperature, the nearer to a sample of one code.
    The noise is torch's own, of the device. In evaluation the code is that of the largest logit.
    Codes are weights that follow the gradient of the reconstruction. Losses:

    - "kl": nats per position by which the encoder's softmax is more certain than the uniform prior,
      sum_k q_k log(codebook_size * q_k), from 0 to log codebook_size; it keeps codes in use.
    """

    temperature: Tensor  # float [], a buffer so that a compiled module sees it change

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__(config)
        self.codebook = nn.Parameter(torch.randn(config.codebook_size, config.code_dim))
        # Not saved: it is a function of the step.
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    @torch.no_grad()
    def initialize_projection(self, layer: nn.Conv2d) -> None:
        """Starts the encoder with logits that differ between positions."""
        layer.weight.mul_(LOGIT_GAIN)

    def anneal(self, temperature: float) -> None:
        self.temperature.fill_(temperature)

    def forward(self, vectors: Tensor) -> QuantizerOutput:
        """Logits [b, codebook_size, h, w] -> codes: mixed in training, else the likeliest."""
        batch, _, height, _ = vectors.shape
        ids = vectors.argmax(dim=1)
        with torch.autocast(vectors.device.type, enabled=False):
            logits = rearrange(vectors.float(), "b k h w -> (b h w) k")
            if self.training:
                # (Its annotation wants a float; a tensor serves as well.)
                weights = F.gumbel_softmax(logits, tau=self.temperature)  # type: ignore[arg-type]
                mixed = weights @ self.codebook
                codes = rearrange(mixed, "(b h w) d -> b d h w", b=batch, h=height)
            else:
                codes = self.look_up(ids)
            kl = kl_to_uniform(logits)
        kl = rearrange(kl, "(b n) -> b n", b=batch).mean(dim=1)
        return QuantizerOutput(codes, ids, vectors.detach(), losses={"kl": kl})


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL divergence in nats of softmax(logits [n, k]) from the uniform distribution: [n]."""
    log_q = F.log_softmax(logits, dim=1)
    return (log_q.exp() * log_q).sum(dim=1) + math.log(logits.shape[1])

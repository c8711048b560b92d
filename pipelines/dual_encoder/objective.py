"""Symmetric contrastive training of a dual encoder over the global batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, pad

from gan.contrastive_losses import joint_embedding_loss
from gan.terms import row_numbers
from pipelines.dual_encoder.model import (
    CharacterDualEncoder,
    attention_mask,
    image_features,
    text_features,
)
from pipelines.training.contracts import Batch, Turn
from vq.global_batch import GlobalBatch

# Radford et al., 2103.00020, section 2.5: logits are scaled by at most 100.
LARGEST_SCALE = 100.0
# Keeps the shifts independent of what else is drawn from the same seed.
SHIFT_STREAM = 0x5417


@dataclass(frozen=True)
class ContrastiveObjectiveSettings:
    """largest_shift: training pictures are moved by up to so many pixels along each axis, their
    edges repeated. They are never mirrored: a caption may say what is on the left."""

    largest_shift: int = 4

    def __post_init__(self) -> None:
        if self.largest_shift < 0:
            raise ValueError(f"largest_shift is {self.largest_shift}; it must be 0 or more.")


class ContrastiveObjective:
    """Tells a picture's own caption from others, and the other way round: by InfoNCE of cosines
    with a learned temperature (Radford et al., 2103.00020, figure 3), or where characters are read
    by a margin between inner products (Reed et al., 1605.05396, section 3).

    Every pair of the global batch is compared with every other one, but pairs with the same caption
    are not each other's negatives. Validation compares the pairs of a batch with each other, so
    its figures are those of `batch_size` candidates. (Batch normalization alone sees a process's
    own share of the pictures.)

    Args:
        global_batch: of all processes.
        seed: of the shifts.
    """

    def __init__(
        self,
        model: Any,
        settings: ContrastiveObjectiveSettings,
        global_batch: GlobalBatch,
        seed: int,
    ) -> None:
        self.players: dict[str, Any] = {"dual_encoder": model}
        self.model = model
        self.settings = settings
        self.global_batch = global_batch
        self.seed = seed

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """One turn; the batch must be whole, since its pairs are compared with each other."""
        (batch,) = micro_batches
        yield "dual_encoder", self._loss(batch, step)

    def _loss(self, batch: Batch, step: int) -> Iterator[dict[str, Tensor]]:
        pixels = self._shifted(batch["pixels"], step)
        image, text = self.features(batch | {"pixels": pixels})
        numbers = row_numbers(batch["text_ids"], batch["text_length"])
        everyone = self.global_batch.with_gradients
        logits = self._logits(everyone(image), everyone(text), everyone(numbers))
        yield {"loss": self._of(logits), "r_precision": found(logits), **self._figures()}

    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """The loss, and the share of pictures whose own caption is the nearest of the batch's.

        Args:
            batch: whole, not a process's share: the processes do not talk to each other here.
        """
        numbers = row_numbers(batch["text_ids"], batch["text_length"])
        logits = self._logits(*self.features(batch), numbers)
        count = torch.tensor(float(len(logits)))
        means = {"loss": self._of(logits), "r_precision": found(logits)}
        return {name: (mean * count, count) for name, mean in means.items()}

    def validation_loss(self, means: dict[str, float]) -> float:
        return means["loss"]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing but the weights."""

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors fp32 [n, d] of this process's pictures and captions, for InfoNCE unit vectors."""
        mask = attention_mask(batch["text_ids"], batch["text_length"])
        image = image_features(self.model, batch["pixels"])
        text = text_features(self.model, batch["text_ids"], mask)
        if self.margin:
            return image, text
        return normalize(image, dim=1), normalize(text, dim=1)

    @property
    def margin(self) -> bool:
        """Whether inner products are to differ by a margin."""
        return isinstance(self.model, CharacterDualEncoder)

    def _of(self, logits: Tensor) -> Tensor:
        return joint_embedding_loss(logits).mean() if self.margin else contrastive_loss(logits)

    def _figures(self) -> dict[str, Tensor]:
        return {} if self.margin else {"scale": self._scale().detach()}

    def _logits(self, image: Tensor, text: Tensor, numbers: Tensor) -> Tensor:
        """Scores [pictures, captions]; -inf where another pair has the same caption's number."""
        same = (numbers[:, None] == numbers[None]).fill_diagonal_(False)
        scores = cosines(image, text)
        return (scores if self.margin else self._scale() * scores).masked_fill(same, -torch.inf)

    def _scale(self) -> Tensor:
        return self.model.logit_scale.exp().clamp(max=LARGEST_SCALE)

    def _shifted(self, pixels: Tensor, step: int) -> Tensor:
        """Each picture moved by lot: the same lot at a step, however many processes share it."""
        largest = self.settings.largest_shift
        count, rank = self.global_batch.world_size, self.global_batch.rank
        rng = np.random.default_rng((self.seed, step, SHIFT_STREAM))
        lots = rng.integers(2 * largest + 1, size=(count * len(pixels), 2))
        mine = lots[rank * len(pixels) : (rank + 1) * len(pixels)]
        height, width = pixels.shape[2:]
        wider = pad(pixels, (largest,) * 4, mode="replicate")
        pieces = zip(wider, mine, strict=True)
        return torch.stack([one[:, y : y + height, x : x + width] for one, (y, x) in pieces])


def cosines(image: Tensor, text: Tensor) -> Tensor:
    """Inner products of vectors [n, d] and [m, d]: [n, m], in fp32 whatever the towers compute in.
    Multiplied by the scale, bf16's rounding would be as large as what tells pairs apart."""
    with torch.autocast(image.device.type, enabled=False):
        return image @ text.T


def contrastive_loss(logits: Tensor) -> Tensor:
    """The mean cross-entropy of both directions over [n, n], pair i being picture i and caption i
    (Radford et al., 2103.00020, figure 3)."""
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def found(logits: Tensor) -> Tensor:
    """The share of pictures [n, n] whose own caption is nearest."""
    own = torch.arange(len(logits), device=logits.device)
    return (logits.detach().argmax(dim=1) == own).float().mean()


def dual_encoder_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices, for weight decay and Muon, a parameter holds: none in the embeddings,
    whose rows each stand for one token, nor in the projections to the common space."""
    apart = "embeddings." in name and name.startswith("text_model")
    return 0 if parameter.ndim < 2 or apart or "_projection" in name else 1

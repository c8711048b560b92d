"""Both directions and the reconstruction from hidden states, over the same weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.end_to_end import EndToEndOutput, HiddenState
from unified_transformer.losses import Batch, image_pass, without_dropping
from unified_transformer.objective import (
    BidirectionalObjective,
    BidirectionalObjectiveSettings,
    added_up,
)
from unified_transformer.scheduled_sampling import mix_in_own_ids

Turn = tuple[str, Iterator[dict[str, Tensor]]]


@dataclass
class EndToEndSettings:
    """What end-to-end training adds.

    hidden_state: which hidden state stands for an id (see `ReconstructorConfig`).
    mapper_size: width of the mapper's middle; null for the transformer's.
    decoder_start: `tokenizer`, from the tokenizer's weights, or `random`, from nothing.
    reconstruction_weight: of the reconstruction loss beside the generation losses (the paper's:
        equal).
    sampled_ids: the share of ids in the teacher-forced prefix that are the model's own draws, so
        that the reconstructor meets its own mistakes; a pass more, and one without gradients.
    """

    hidden_state: HiddenState = "consumed"
    mapper_size: int | None = None
    decoder_start: Literal["tokenizer", "random"] = "tokenizer"
    reconstruction_weight: float = 1.0
    sampled_ids: float = 0.0

    def __post_init__(self) -> None:
        if self.mapper_size is not None and self.mapper_size < 1:
            raise ValueError(f"mapper_size is {self.mapper_size}; it must be at least 1")
        if self.decoder_start not in ("tokenizer", "random"):
            raise ValueError(
                f"decoder_start is {self.decoder_start!r}; it must be tokenizer or random"
            )
        if self.reconstruction_weight <= 0:
            raise ValueError(
                f"reconstruction_weight is {self.reconstruction_weight}; it must be above 0"
            )
        if not 0 <= self.sampled_ids < 1:
            raise ValueError(f"sampled_ids is {self.sampled_ids}; it must be in [0, 1)")

    @property
    def own_ids(self) -> bool:
        """Whether the model draws ids itself, in a pass more."""
        return self.sampled_ids > 0


class ReconstructionLosses(Protocol):
    """The losses of pictures painted by the generator, and a discriminator's turn where there is
    one; such as `vq.ReconstructionGame`."""

    weight: float

    def scale(self, pixels: list[Tensor]) -> Tensor: ...

    def turns(
        self,
        micro_batches: list[Batch],
        generate: Callable[[int], Any],
        other_losses: Callable[[int, Any], dict[str, Tensor]],
        scale: Tensor,
        step: int,
    ) -> Iterator[Turn]: ...

    def evaluate(self, reconstruction: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Figures [batch], "reconstruction" among them, the loss."""


class EndToEndObjective(BidirectionalObjective):
    """`L = w_t2i * L_t2i + w_i2t * L_i2t + w_qa * L_qa + w_r * L_r` (ERNIE-ViLG,
    "End-to-end training").

    The pass from text to image predicts ids and reconstructs; L_r is the mean over all pictures of
    the global batch. With ids of its own in the prefix it reconstructs only, and another pass
    predicts: ids that follow a mistake are not those of the picture, and learning to say them
    anyway is learning to pass over the prefix (1511.05101). A batch has what
    `BidirectionalObjective` takes, and `pixels`.

    Args:
        players: "generator", an `EndToEndModel`, and a "discriminator" where there is one; shared
            with `reconstruction`.
        end_to_end: what this mode adds.
        reconstruction: the losses of what is painted, weighed by `reconstruction_weight`.
    """

    main_player = "generator"

    def __init__(
        self,
        players: dict[str, nn.Module],
        config: UnifiedTransformerConfig,
        settings: BidirectionalObjectiveSettings,
        end_to_end: EndToEndSettings,
        reconstruction: ReconstructionLosses,
        all_reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        super().__init__(players[self.main_player], config, settings, all_reduce_sum)
        self.players = players
        self.end_to_end = end_to_end
        self.reconstruction = reconstruction

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """The discriminator's turn, where there is one, then the generator's."""
        scales = self.scales(micro_batches)
        pixels = [batch["pixels"] for batch in micro_batches]
        prefixes = [self._prefix(batch, step) for batch in micro_batches]

        def generate(index: int) -> EndToEndOutput:
            return self._reconstruct(micro_batches[index], scales["text_to_image"], prefixes[index])

        def generation_losses(index: int, output: EndToEndOutput) -> dict[str, Tensor]:
            # Where nothing was predicted yet, it is done now.
            return added_up(self._passes(micro_batches[index], scales, output.loss))

        yield from self.reconstruction.turns(
            micro_batches, generate, generation_losses, self.reconstruction.scale(pixels), step
        )

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """`BidirectionalObjective`'s figures, and those of the reconstructions over pictures."""
        kept = without_dropping(batch)
        painted = self._reconstruct(kept, torch.ones(()))
        assert painted.reconstruction is not None and painted.nats is not None
        figures = self._figures(kept, painted.nats)
        found = self.reconstruction.evaluate(painted.reconstruction, batch["pixels"])
        count = torch.tensor(len(batch["pixels"]))
        return figures | {name: (values.sum(), count) for name, values in found.items()}

    def validation_loss(self, means: dict[str, float]) -> float:
        """The loss of training but for a discriminator's, from the means of `evaluate`."""
        return super().validation_loss(means) + self.reconstruction.weight * means["reconstruction"]

    def _prefix(self, batch: Batch, step: int) -> Tensor | None:
        """The ids [batch, h, w] to reconstruct from, where they are not the picture's alone."""
        if not self.end_to_end.own_ids:
            return None
        share = self.end_to_end.sampled_ids
        return mix_in_own_ids(self.players[self.main_player], batch, self.config, share, step)

    def _reconstruct(
        self, batch: Batch, scale: Tensor, prefix: Tensor | None = None
    ) -> EndToEndOutput:
        """The pass from text to image: its ids predicted, each weighing `scale`, and reconstructed;
        after a `prefix` only reconstructed."""
        model = self.players[self.main_player]
        if prefix is None:
            return image_pass(model, batch, self.config, scale, reconstruct=True)
        shown = {**batch, "image_ids": prefix}
        return image_pass(model, shown, self.config, None, hidden_only=True, reconstruct=True)

"""Both directions, and questions, from one batch of pairs, over the same weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.losses import (
    LOSSES,
    Batch,
    rows_with_text,
    targets,
    tasks_of,
    without_dropping,
)
from unified_transformer.sequence import TASKS, Task


@dataclass
class BidirectionalObjectiveSettings:
    """Weights of the losses (ERNIE-ViLG, equation 5: both directions equally) and caption dropout.

    `question_answering_weight` above 0 trains answers to the data's questions as well, or alone.
    `caption_dropout` is the share of pairs whose picture is drawn from the empty prompt, which
    classifier-free guidance needs (2207.12598, algorithm 1: 0.1 to 0.2).
    """

    text_to_image_weight: float = 1.0
    image_to_text_weight: float = 1.0
    question_answering_weight: float = 0.0
    caption_dropout: float = 0.1

    def __post_init__(self) -> None:
        for task in TASKS:
            name = f"{task}_weight"
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not self.weights:
            raise ValueError("all weights of the objective are 0; give one task a weight")
        if not 0 <= self.caption_dropout < 1:
            raise ValueError(f"caption_dropout is {self.caption_dropout}; it must be in [0, 1)")

    @property
    def weights(self) -> dict[Task, float]:
        """Those above 0."""
        every = {task: getattr(self, f"{task}_weight") for task in TASKS}
        return {task: weight for task, weight in every.items() if weight > 0}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those with any weight."""
        return tuple(self.weights)


def added_up(passes: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The losses of several passes as one's."""
    losses: dict[str, Tensor] = {}
    for found in passes:
        total = losses.get("loss", 0.0) + found["loss"]
        losses |= found | {"loss": total}
    return losses


class BidirectionalObjective:
    """`L = w_t2i * L_t2i + w_i2t * L_i2t + w_qa * L_qa` (ERNIE-ViLG, equation 5, and its generative
    question answering).

    Each L is the mean over all target tokens of the global batch: all micro-batches, all processes.
    A batch has what `losses` says.

    Args:
        all_reduce_sum: sums a tensor over processes.
        together: all tasks of a micro-batch go forward before one backward pass. By itself each
            one keeps a part of the activations, and no gradients wait for the others'.
    """

    main_player = "transformer"

    def __init__(
        self,
        model: nn.Module,
        config: UnifiedTransformerConfig,
        settings: BidirectionalObjectiveSettings,
        all_reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        together: bool = False,
    ) -> None:
        self.players: dict[str, nn.Module] = {self.main_player: model}
        self.together = together
        self.config = config
        self.settings = settings
        self.all_reduce_sum = all_reduce_sum

    def turns(
        self, micro_batches: list[Batch], step: int
    ) -> Iterator[tuple[str, Iterator[dict[str, Tensor]]]]:
        """One turn: the transformer's. Losses sum over micro-batches and average over processes."""
        scales = self.scales(micro_batches)
        passes = (self._passes(batch, scales) for batch in micro_batches)
        yield (
            self.main_player,
            map(added_up, passes) if self.together else chain.from_iterable(passes),
        )

    def scales(self, micro_batches: list[Batch]) -> dict[Task, Tensor]:
        """What makes sums over a task's targets of this process means over those of the global
        batch, once they are averaged over processes."""
        tasks = self.settings.tasks
        counts = torch.stack([self._target_tokens(batch) for batch in micro_batches]).sum(0)
        counts = self.all_reduce_sum(torch.cat([counts, torch.ones_like(counts[:1])]))
        # By lot, the rows of a mixture may have no question among them.
        scales = (counts[-1] / counts[:-1].clamp(min=1)).float()
        return dict(zip(tasks, scales, strict=True))

    def _target_tokens(self, batch: Batch) -> Tensor:
        """How many targets each task of a micro-batch has, int64 [task]."""
        return torch.stack([targets(batch, task).sum() for task in self.settings.tasks])

    def _passes(
        self, batch: Batch, scales: dict[Task, Tensor], image: Tensor | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The losses of each task; `image` is that from text to image, where it was made
        already."""
        model = self.players[self.main_player]
        for task, weight in self.settings.weights.items():
            if task == "text_to_image" and image is not None:
                loss = image
            else:
                rows = rows_with_text(batch, task)
                loss = LOSSES[task](model, rows, self.config, scales[task]).total
            yield {"loss": weight * loss, task: loss.detach()}
            del loss  # and what it keeps

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """(sum, count) of the loss per target token of each task that the batch has texts for, no
        caption dropped."""
        return self._figures(without_dropping(batch))

    def _figures(
        self, batch: Batch, image: Tensor | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of `evaluate`; `image` [batch, n] are the nats of the image ids, where they are
        known already."""
        figures: dict[str, tuple[Tensor, Tensor]] = {}
        for task in tasks_of(batch):
            if task == "text_to_image" and image is not None:
                nats = image
            else:
                rows = rows_with_text(batch, task)
                nats = LOSSES[task](self.players[self.main_player], rows, self.config).nats
            figures[task] = (nats.sum(), targets(batch, task).sum())
        return figures

    def validation_loss(self, means: dict[str, float]) -> float:
        """The loss of training, from the means of `evaluate`."""
        return sum(weight * means[task] for task, weight in self.settings.weights.items())

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: all that a resume needs is in the model."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The counterpart of `state_dict`."""

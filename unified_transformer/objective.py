"""Both directions from one batch of pairs, over the same weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.sequence import Direction

Batch = dict[str, Tensor]


@dataclass
class BidirectionalObjectiveSettings:
    """Weights of the two generation losses (ERNIE-ViLG, equation 5: equal) and caption dropout.

    `caption_dropout` is the share of pairs whose picture is drawn from the empty prompt, which
    classifier-free guidance needs (2207.12598, algorithm 1: 0.1 to 0.2).
    """

    text_to_image_weight: float = 1.0
    image_to_text_weight: float = 1.0
    caption_dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("text_to_image_weight", "image_to_text_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.text_to_image_weight == 0 and self.image_to_text_weight == 0:
            raise ValueError("both weights of the objective are 0; give one direction a weight")
        if not 0 <= self.caption_dropout < 1:
            raise ValueError(f"caption_dropout is {self.caption_dropout}; it must be in [0, 1)")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those with any weight."""
        weights: dict[Direction, float] = {
            "text_to_image": self.text_to_image_weight,
            "image_to_text": self.image_to_text_weight,
        }
        return tuple(direction for direction, weight in weights.items() if weight > 0)


def as_prompt(batch: Batch, config: UnifiedTransformerConfig) -> tuple[Tensor, Tensor]:
    """The text as source: ids [batch, T] and lengths; a dropped caption is `[CLS][SEP]`."""
    empty = torch.full_like(batch["text_ids"], config.pad_token_id)
    empty[:, 0], empty[:, 1] = config.cls_token_id, config.sep_token_id
    dropped = batch["caption_dropped"]
    ids = torch.where(dropped[:, None], empty, batch["text_ids"])
    return ids, torch.where(dropped, 2, batch["text_length"])


def as_caption(batch: Batch, config: UnifiedTransformerConfig) -> Tensor:
    """The text as target: the same ids [batch, T] behind [BOS] instead of [CLS]."""
    ids = batch["text_ids"].clone()
    ids[:, 0] = config.bos_token_id
    return ids


def without_dropping(batch: Batch) -> Batch:
    """The batch with every caption as it is."""
    return {**batch, "caption_dropped": torch.zeros_like(batch["caption_dropped"])}


class Loss(NamedTuple):
    """`total` is differentiable: the sum over targets of weight * nats; `nats` [batch, target],
    without gradient, 0 where there is no target."""

    total: Tensor
    nats: Tensor


def image_loss(
    model: nn.Module, batch: Batch, config: UnifiedTransformerConfig, scale: Tensor | float = 1.0
) -> Loss:
    """-log p(z_k | text, z_<k), each weighing `scale`; the batch has `image_ids` [batch, h, w]."""
    output = image_pass(model, batch, config, scale)
    return Loss(output.loss, output.nats)


def image_pass(
    model: nn.Module,
    batch: Batch,
    config: UnifiedTransformerConfig,
    scale: Tensor | float | None = 1.0,
    **arguments: Any,
) -> Any:
    """The model's output from text to image: the loss, each target weighing `scale`, or without a
    `scale` what the model gives then; `arguments` are the model's own."""
    ids, length = as_prompt(batch, config)
    if scale is not None:
        ones = torch.ones(len(ids), config.image_positions, device=ids.device)
        arguments["loss_weight"] = ones * scale
    return model(
        text_ids=ids,
        text_length=length,
        image_ids=batch["image_ids"],
        direction="text_to_image",
        **arguments,
    )


def caption_loss(
    model: nn.Module, batch: Batch, config: UnifiedTransformerConfig, scale: Tensor | float = 1.0
) -> Loss:
    """-log p(t_k | image, t_<k), each weighing `scale`, over each caption up to its [SEP]."""
    ids = as_caption(batch, config)
    position = torch.arange(ids.shape[1] - 1, device=ids.device)
    counted = position[None, :] < batch["text_length"][:, None] - 1
    output = model(
        text_ids=ids,
        text_length=batch["text_length"],
        image_ids=batch["image_ids"],
        direction="image_to_text",
        loss_weight=counted * scale,
    )
    return Loss(output.loss, output.nats * counted)


def image_nll(model: nn.Module, batch: Batch, config: UnifiedTransformerConfig) -> Tensor:
    """-log p(z_k | text, z_<k) in nats, [batch, n], without gradient."""
    return image_loss(model, batch, config).nats


def caption_nll(model: nn.Module, batch: Batch, config: UnifiedTransformerConfig) -> Tensor:
    """-log p(t_k | image, t_<k) in nats, [batch, T - 1], without gradient; 0 after [SEP]."""
    return caption_loss(model, batch, config).nats


def added_up(passes: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The losses of several passes as one's."""
    losses: dict[str, Tensor] = {}
    for found in passes:
        total = losses.get("loss", 0.0) + found["loss"]
        losses |= found | {"loss": total}
    return losses


class BidirectionalObjective:
    """`L = w_t2i * L_t2i + w_i2t * L_i2t` (ERNIE-ViLG, equation 5).

    Each L is the mean over all target tokens of the global batch: all micro-batches, all processes.
    A batch has `text_ids` [batch, T], `text_length` and `caption_dropped` [batch], `image_ids`
    [batch, h, w].

    Args:
        all_reduce_sum: sums a tensor over processes.
        together: both directions of a micro-batch go forward before one backward pass. By itself
            each one keeps half of the activations, and no gradients wait for the other's.
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

    def scales(self, micro_batches: list[Batch]) -> dict[str, Tensor]:
        """What makes sums over "image" and "caption" targets of this process means over those of
        the global batch, once they are averaged over processes."""
        tokens = torch.stack([self._target_tokens(batch) for batch in micro_batches]).sum(0)
        counts = self.all_reduce_sum(torch.cat([tokens, torch.ones_like(tokens[:1])]))
        image_tokens, caption_tokens, processes = counts.unbind()
        return {
            "image": (processes / image_tokens).float(),
            "caption": (processes / caption_tokens).float(),
        }

    def _target_tokens(self, batch: Batch) -> Tensor:
        """How many image ids and caption tokens a micro-batch has as targets, int64 [2]."""
        image = torch.tensor(batch["image_ids"].numel(), device=batch["text_length"].device)
        return torch.stack([image, (batch["text_length"] - 1).sum()])

    def _passes(
        self, batch: Batch, scales: dict[str, Tensor], image: Tensor | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The losses of each direction; `image` is that of the one from text to image, where it was
        made already."""
        model, settings = self.players[self.main_player], self.settings
        if settings.text_to_image_weight:
            if image is None:
                image = image_loss(model, batch, self.config, scales["image"]).total
            yield {"loss": settings.text_to_image_weight * image, "text_to_image": image.detach()}
            del image  # and what it keeps
        if settings.image_to_text_weight:
            nats = caption_loss(model, batch, self.config, scales["caption"]).total
            yield {"loss": settings.image_to_text_weight * nats, "image_to_text": nats.detach()}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """(sum, count) of each direction's loss per target token, no caption dropped."""
        kept = without_dropping(batch)
        return self._figures(kept, image_nll(self.players[self.main_player], kept, self.config))

    def _figures(self, batch: Batch, image: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of `evaluate`; `image` [batch, n] are the nats of the image ids."""
        caption = caption_nll(self.players[self.main_player], batch, self.config)
        caption_tokens = batch["text_length"] - 1
        return {
            "text_to_image": (image.sum(), torch.tensor(image.numel())),
            "image_to_text": (caption.sum(), caption_tokens.sum()),
        }

    def validation_loss(self, means: dict[str, float]) -> float:
        """The loss of training, from the means of `evaluate`."""
        settings = self.settings
        image = settings.text_to_image_weight * means["text_to_image"]
        return image + settings.image_to_text_weight * means["image_to_text"]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: all that a resume needs is in the model."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The counterpart of `state_dict`."""

"""What each task's pass over a batch costs: -log p of its targets.

A batch has `image_ids` [batch, h, w]; for the two directions `text_ids` [batch, T], `[CLS]
caption [SEP]` and padding, `text_length` and `caption_dropped` [batch]; for questions `qa_ids`
[batch, T], `[CLS] question [SEP] [BOS] answer [SEP]` and padding, `qa_length` and `question_length`
[batch], the latter up to the first [SEP]. Where some rows lack a caption or a question, boolean
`has_caption` and `has_question` [batch] say so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.sequence import TASKS, Task

Batch = dict[str, Tensor]

HAS_TEXT: dict[Task, str] = {
    "text_to_image": "has_caption",
    "image_to_text": "has_caption",
    "question_answering": "has_question",
}
"""Which tensor of a batch, where it is there, tells the rows that a task is trained on."""
TEXT_IDS: dict[Task, str] = {
    "text_to_image": "text_ids",
    "image_to_text": "text_ids",
    "question_answering": "qa_ids",
}


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
    if "caption_dropped" not in batch:
        return batch
    return {**batch, "caption_dropped": torch.zeros_like(batch["caption_dropped"])}


def tasks_of(batch: Batch) -> tuple[Task, ...]:
    """Those that the batch has texts for."""
    return tuple(task for task in TASKS if TEXT_IDS[task] in batch)


def rows_with_text(batch: Batch, task: Task) -> Batch:
    """The rows that have a text for a task.

    Of none the first, without targets: every process takes as many passes, in each of which ZeRO 3
    gathers weights.
    """
    has_text = batch.get(HAS_TEXT[task])
    if has_text is None or has_text.all():
        return batch
    rows = has_text.nonzero()[:, 0] if has_text.any() else slice(0, 1)
    return {name: tensor[rows] for name, tensor in batch.items()}


def targets(batch: Batch, task: Task) -> Tensor:
    """Which of a pass's predictions have a target: boolean [batch, n] of image ids, or
    [batch, T - 1] of text tokens up to [SEP]."""
    if task == "text_to_image":
        counted = torch.ones_like(batch["image_ids"], dtype=torch.bool).flatten(1)
    elif task == "image_to_text":
        position = torch.arange(batch["text_ids"].shape[1] - 1, device=batch["text_ids"].device)
        counted = position < batch["text_length"][:, None] - 1
    else:
        position = torch.arange(batch["qa_ids"].shape[1] - 1, device=batch["qa_ids"].device)
        counted = position < batch["qa_length"][:, None] - 1
        counted = counted & (position >= batch["question_length"][:, None])
    has_text = batch.get(HAS_TEXT[task])
    return counted if has_text is None else counted & has_text[:, None]


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
    return Loss(output.loss, output.nats * targets(batch, "text_to_image"))


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
        arguments["loss_weight"] = targets(batch, "text_to_image") * scale
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
    counted = targets(batch, "image_to_text")
    output = model(
        text_ids=as_caption(batch, config),
        text_length=batch["text_length"],
        image_ids=batch["image_ids"],
        direction="image_to_text",
        loss_weight=counted * scale,
    )
    return Loss(output.loss, output.nats * counted)


def answer_loss(
    model: nn.Module, batch: Batch, config: UnifiedTransformerConfig, scale: Tensor | float = 1.0
) -> Loss:
    """-log p(a_k | question, image, a_<k), each weighing `scale`, over each answer up to its
    [SEP]."""
    counted = targets(batch, "question_answering")
    output = model(
        text_ids=batch["qa_ids"],
        text_length=batch["qa_length"],
        image_ids=batch["image_ids"],
        direction="image_to_text",
        question_length=batch["question_length"],
        loss_weight=counted * scale,
    )
    return Loss(output.loss, output.nats * counted)


LOSSES: dict[Task, Callable[..., Loss]] = {
    "text_to_image": image_loss,
    "image_to_text": caption_loss,
    "question_answering": answer_loss,
}


def image_nll(model: nn.Module, batch: Batch, config: UnifiedTransformerConfig) -> Tensor:
    """-log p(z_k | text, z_<k) in nats, [batch, n], without gradient."""
    return image_loss(model, batch, config).nats


def caption_nll(model: nn.Module, batch: Batch, config: UnifiedTransformerConfig) -> Tensor:
    """-log p(t_k | image, t_<k) in nats, [batch, T - 1], without gradient; 0 after [SEP]."""
    return caption_loss(model, batch, config).nats

"""What the transformer of a run starts from: chance, or a checkpoint, with rows for new words and
adapters where they are to be trained."""

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import WHAT_WEIGHTS_ARE_FOR, check_same_settings
from pipelines.model_loading import load_transformer
from pipelines.training.checkpoint import CheckpointPaths
from pipelines.training.distributed import Processes
from pipelines.training.low_rank import LoraSettings, add_adapters, merged_weights
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig

MATRICES = r"blocks\.\d+\.(attention|feed_forward)\.\w+"
"""The layers that adapters stand beside: all matrices of the blocks."""
OF_WORDS = ("embeddings.text_tokens", "text_head")
"""The layers with a row for each entry of the text tokenizer."""


def build_transformer(
    config: UnifiedTransformerConfig,
    start: CheckpointPaths,
    lora: LoraSettings | None,
    processes: Processes,
    divided: bool,
) -> UnifiedTransformer:
    """On the processes' device, with the weights of `start` where it has any; what is to be
    `divided` is whole in the first process, on the CPU, and shapes in the others.

    With `lora` the adapters alone are trained, and what has rows for words where there are new
    ones.
    """
    with torch.device("meta") if divided and not processes.is_main else nullcontext():
        transformer = UnifiedTransformer(config)
    new_words = 0
    if start.kind == "bidirectional":
        take = partial(take_weights, transformer, start)
        new_words = processes.on_main(take) if divided else take()
    if lora is not None:
        add_adapters(transformer, MATRICES, lora)
        for name in OF_WORDS if new_words else ():
            transformer.get_submodule(name).requires_grad_()
    if not divided:
        transformer.to(processes.device)  # type: ignore[arg-type]  # transformers wraps it untyped
    return transformer


def take_weights(transformer: UnifiedTransformer, start: CheckpointPaths) -> int:
    """Gives a new transformer the weights of a checkpoint's; returns how many words it has beyond
    those of the checkpoint, whose rows are new.

    Raises:
        UserError: they are of another shape.
    """
    loaded = load_transformer(start.transformer)
    check_same_settings(
        "model", transformer.config, loaded.config, WHAT_WEIGHTS_ARE_FOR, start.root
    )
    if transformer.config.grid != loaded.config.grid:
        height, width = loaded.config.grid
        raise UserError(
            f"{start.root} draws {height} x {width} ids, and data.size makes "
            f"{' x '.join(map(str, transformer.config.grid))} of a picture; give it the same size."
        )
    new_words = transformer.config.text_vocab_size - loaded.config.text_vocab_size
    if new_words < 0:
        raise UserError(
            f"{start.root} knows {-new_words} words more than this run's text tokenizer, which is "
            "another checkpoint's; name the one that the run was started from."
        )
    fresh, weights = transformer.state_dict(), loaded.state_dict()
    for name in (f"{layer}.weight" for layer in OF_WORDS):
        weights[name] = with_new_rows(weights[name], fresh[name])
    transformer.load_state_dict(weights)
    return new_words


def with_new_rows(learned: Tensor, fresh: Tensor) -> Tensor:
    """The `learned` rows [n, dim], and the mean of them plus what is `fresh` [m, dim] beyond them.

    As `resize_token_embeddings` of transformers does, with the noise of a new weight (Hewitt, 2021,
    "Initializing New Word Embeddings for Pretrained Language Models"): rows of a head that start
    near zero would at once outweigh the learned ones, whose logits are mostly far below.
    """
    return torch.cat([learned, learned.mean(dim=0) + fresh[len(learned) :]])


def plain_transformer(transformer: UnifiedTransformer) -> UnifiedTransformer:
    """The same without adapters, their differences added to its weights, on the CPU."""
    with torch.device("meta"):
        plain = UnifiedTransformer(transformer.config)
    plain.load_state_dict(dict(merged_weights(transformer)), assign=True)
    return plain

"""The second stage."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pipelines.configuration.assembly.end_to_end import (
    build_reconstructor,
    end_to_end_objective,
    go_on_from,
    log_what_is_left_out,
    texts_to_compare_with,
)
from pipelines.configuration.assembly.id_batches import IdBatches, accept_ids_of
from pipelines.configuration.assembly.parts import build_loader, check_size
from pipelines.configuration.assembly.run_folder import describe_run
from pipelines.configuration.assembly.starting_weights import build_transformer, plain_transformer
from pipelines.configuration.assembly.tokenizer import LARGE_MODULES
from pipelines.configuration.assembly.work import IdUsage, transformer_work
from pipelines.configuration.schemas import BidirectionalRun
from pipelines.data.text_batches import EncoderIds, TextReader
from pipelines.data.text_tokenizer import TextCodec
from pipelines.model_loading import load_tokenizer
from pipelines.samples import draw_tasks
from pipelines.training.checkpoint import CheckpointPaths
from pipelines.training.deepspeed_configuration import divides_weights
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from unified_transformer import BidirectionalObjective, UnifiedTransformerConfig
from unified_transformer.blocks import Block
from vq import VQGAN


def bidirectional_task(
    config: BidirectionalRun,
    processes: Processes,
    tokenizer_checkpoint: CheckpointPaths,
    text_tokenizer: PreTrainedTokenizerBase,
    deepspeed: dict[str, Any] | None = None,
) -> Task:
    """Trains a transformer in both directions over the ids of a frozen tokenizer; end to end also
    a decoder of its hidden states. The tokenizer may be that of a checkpoint of this kind: then
    training goes on from its weights. Where an engine of this configuration for `deepspeed` divides
    weights between the processes, the first one alone makes the transformer's, on the CPU; the
    others have shapes. An engine takes one backward pass a micro-batch, as it divides and offloads
    only gradients that a step's first pass has brought.

    Raises:
        UserError: the data cannot be read, or does not suit the tokenizer; or the checkpoint to
            start from does not suit the configuration.
    """
    device = processes.device
    tokenizer = load_tokenizer(tokenizer_checkpoint.tokenizer).to(device).requires_grad_(False)
    grid = check_size(config.data, tokenizer.downsampling_factor)
    codec, texts = TextCodec(text_tokenizer), texts_to_compare_with(config, processes)
    reader = TextReader(
        codec,
        config.model.text_positions,
        config.wanted,
        config.seed,
        encoder=None if texts is None else EncoderIds(texts.codec, texts.positions),
    )
    loader = build_loader(
        config.data,
        config.training,
        config.seed,
        processes,
        reader,
        config.objective.caption_dropout,
        None if config.end_to_end is not None else accept_ids_of(tokenizer),
    )
    torch.manual_seed(config.seed)
    model_config = _transformer_config(config, codec, tokenizer, grid)
    divided = deepspeed is not None and divides_weights(deepspeed)
    transformer = build_transformer(
        model_config, tokenizer_checkpoint, config.lora, processes, divided
    )
    reconstructor = None
    if config.end_to_end is None:
        log_what_is_left_out(config, tokenizer_checkpoint, processes)
    else:
        reconstructor = build_reconstructor(config.end_to_end, model_config, tokenizer)
        if (painted_before := tokenizer_checkpoint.reconstructor) is not None:
            go_on_from(reconstructor, painted_before, tokenizer, config.end_to_end)
        reconstructor.to(device)

    batches = IdBatches(loader, tokenizer, IdUsage(tokenizer.config.codebook_size, processes))
    tasks = config.objective.tasks

    def write_parts(folder: Path) -> None:
        tokenizer.save_pretrained(folder / "tokenizer")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")
        whole = transformer if config.lora is None else plain_transformer(transformer)
        whole.save_pretrained(folder / "transformer")
        if reconstructor is not None:
            reconstructor.save_pretrained(folder / "reconstructor")

    if reconstructor is None:
        objective = BidirectionalObjective(
            transformer,
            model_config,
            config.objective,
            processes.all_reduce_sum,
            together=deepspeed is not None,
        )
    else:
        objective = end_to_end_objective(config, transformer, reconstructor, processes, texts)
    return Task(
        kind="bidirectional",
        abilities=tasks,
        objective=objective,
        averaged=(objective.main_player,),
        batches=batches.training,
        validation_batches=lambda: batches.validation(config.training.validation_batches),
        describe=lambda folder: describe_run(config, text_tokenizer, folder),
        reading=loader,
        write_parts=write_parts,
        draw_samples=lambda path, batch: draw_tasks(
            path, transformer, tokenizer, codec, tasks, batch, reconstructor
        ),
        matrices_in=transformer_matrices,
        recomputed=(Block, *LARGE_MODULES),
        work=transformer_work(
            model_config, tasks, reconstructor, config.own_ids, frozen=config.lora is not None
        ),
        figures=batches.usage.figures,
    )


def _transformer_config(
    config: BidirectionalRun, codec: TextCodec, tokenizer: VQGAN, grid: tuple[int, int]
) -> UnifiedTransformerConfig:
    """The shape that was asked for, over these words and codes."""
    return UnifiedTransformerConfig(
        **asdict(config.model),
        text_vocab_size=codec.vocabulary_size,
        image_vocab_size=tokenizer.config.codebook_size,
        grid_height=grid[0],
        grid_width=grid[1],
        pad_token_id=codec.pad_id,
        cls_token_id=codec.cls_id,
        sep_token_id=codec.sep_id,
        bos_token_id=codec.bos_id,
        unk_token_id=codec.unk_id,
    )


def transformer_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices, for weight decay and Muon, a parameter of the second stage holds.

    None in embeddings and heads, whose rows each stand for one token; three in the projection to
    queries, keys and values, which are unlike each other: made orthogonal together, they learn
    far more slowly (docs/results.md).
    """
    name = name.removeprefix("transformer.")  # of a model with a reconstructor beside it
    if parameter.ndim < 2 or name.startswith(("embeddings.", "image_head.", "text_head.")):
        return 0
    joint = ("query_key_value.weight", "query_key_value.lora_B.default.weight")
    return 3 if name.endswith(joint) else 1

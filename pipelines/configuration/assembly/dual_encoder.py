"""The dual encoder."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import on_device
from pipelines.configuration.assembly.run_folder import describe_run
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import DualEncoderRun, GANRun
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_training_data
from pipelines.data.orders import RowOrder
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec
from pipelines.dual_encoder.model import build_dual_encoder
from pipelines.dual_encoder.objective import ContrastiveObjective, dual_encoder_matrices
from pipelines.dual_encoder.samples import draw_nearest
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from vq import GlobalBatch


def text_encoder_run(config: GANRun, yaml: str, output: Path) -> DualEncoderRun:
    """A dual encoder's, from the YAML that a GAN names: on the GAN's own data, in pictures of the
    size that it has in its own YAML."""
    run = load_configuration(yaml, [f"output={output}"], DualEncoderRun)
    return replace(run, seed=config.seed, data=replace(config.data, size=run.data.size))


def dual_encoder_task(
    config: DualEncoderRun, processes: Processes, text_tokenizer: PreTrainedTokenizerBase
) -> Task:
    """Trains a dual encoder on pictures with captions.

    Raises:
        UserError: the data cannot be read, or the batch does not divide among the processes.
    """
    device, training = processes.device, config.training
    codec = TextCodec(text_tokenizer)
    try:
        share, _ = training.divide_batch(processes.count)
    except ValueError as error:
        raise UserError(f"training.{error}") from error
    order, validation = open_training_data(config.data, config.wanted, config.seed)
    read = partial(
        BatchLoader,
        validation=validation,
        size=config.data.height_width,
        seed=config.seed,
        texts=TextReader(codec, config.model.ids_of_a_text, config.wanted, config.seed),
    )
    loader = read(
        order,
        micro_batch_size=share,
        rank=processes.rank,
        world_size=processes.count,
        workers=config.data.workers,
        cropping=config.data.cropping,
    )
    # Every process reads all of it: a pair's candidates are the whole batch's.
    validating = read(RowOrder(validation, config.seed), micro_batch_size=training.batch_size)
    torch.manual_seed(config.seed)
    model = build_dual_encoder(config.model, codec, config.data.height_width)
    # A step is a sixth faster so on a CPU.
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-arg,arg-type]

    def write_parts(folder: Path) -> None:
        model.save_pretrained(folder / "dual_encoder")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")

    objective = ContrastiveObjective(
        model,
        config.objective,
        GlobalBatch(processes.all_reduce_sum, processes.rank, processes.count),
        config.seed,
    )
    return Task(
        kind="dual_encoder",
        abilities=("image_text_matching",),
        objective=objective,
        averaged=("dual_encoder",),
        batches=lambda step: [on_device(batch, device) for batch in loader.step(step)],
        validation_batches=lambda: (
            on_device(batch, device)
            for batch in validating.validation_batches(training.validation_batches)
        ),
        describe=lambda folder: describe_run(config, text_tokenizer, folder),
        reading=loader,
        write_parts=write_parts,
        draw_samples=lambda path, batch: draw_nearest(path, objective, codec, batch),
        matrices_in=dual_encoder_matrices,
        recomputed=(),
    )

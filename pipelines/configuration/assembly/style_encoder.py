"""The style encoder of a finished GAN."""

from dataclasses import replace
from pathlib import Path

import torch

from gan.style_encoder import StyleEncoder, StyleEncoderConfig, StyleObjective
from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import build_loader, every_matrix, read_by
from pipelines.configuration.assembly.run_folder import CONFIGURATION
from pipelines.configuration.loading import dump_configuration
from pipelines.configuration.schemas import StyleEncoderRun
from pipelines.data.text_batches import TextReader
from pipelines.gan_pipeline import GANPipeline
from pipelines.samples import draw_pictures
from pipelines.training.contracts import Batch
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from vq import GlobalBatch


def style_encoder_task(config: StyleEncoderRun, processes: Processes, gan: GANPipeline) -> Task:
    """Trains a style encoder on what the GAN draws of the data's captions.

    Raises:
        UserError: the data cannot be read, or the GAN has no use for them.
    """
    device, generator, texts = processes.device, gan.generator, gan.texts
    if config.data.gives_attributes and gan.attributes is None:
        raise UserError(
            f"an attribute_column is named, and {config.gan} keeps no attributes; leave it out."
        )
    data = replace(config.data, size=gan.picture_size)
    reader = None
    if texts is not None:
        texts.encoder.requires_grad_(False)
        reader = TextReader(
            texts.codec, texts.positions, config.wanted, config.seed, gan.attributes
        )
    loader = build_loader(data, config.training, config.seed, processes, reader)
    torch.manual_seed(config.seed)
    shape = StyleEncoderConfig(generator.noise_dim, gan.picture_size, config.base_channels)
    style_encoder = StyleEncoder(shape)
    style_encoder.to(device=device)  # type: ignore[call-arg]
    objective = StyleObjective(
        style_encoder,
        generator,
        GlobalBatch(processes.all_reduce_sum, processes.rank, processes.count),
        None if texts is None else texts.encoder,
        config.seed,
    )

    def write_parts(folder: Path) -> None:
        generator.save_pretrained(folder / "generator")
        style_encoder.save_pretrained(folder / "style_encoder")
        if texts is not None:
            texts.save_pretrained(folder)

    def draw_samples(path: Path, batch: Batch) -> None:
        """Pictures of the data, over their captions drawn in the style of the first of them."""
        style = style_encoder(batch["pixels"][:1]).expand(len(batch["pixels"]), -1)
        said = None
        if texts is not None:
            said = texts.encoder(batch["text_ids"], batch["text_length"])
        drawn = generator(style, said, batch.get("attributes"))
        draw_pictures(path, batch, drawn, None if texts is None else texts.codec)

    return Task(
        kind="gan",
        abilities=tuple(dict.fromkeys((*gan.tasks, "style_transfer"))),
        objective=objective,
        averaged=("style_encoder",),
        describe=lambda folder: dump_configuration(config, folder / CONFIGURATION),
        **read_by(loader, config.training, device),
        write_parts=write_parts,
        draw_samples=draw_samples,
        matrices_in=every_matrix,
        recomputed=(),
    )

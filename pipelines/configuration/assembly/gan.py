"""The one-stage GANs."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from gan import (
    Discriminator,
    DiscriminatorHeads,
    GANObjective,
    Generator,
    GeneratorConfig,
    co_occurrence_graph,
)
from gan.standing_statistics import standing_statistics
from pipelines.command_line import UserError
from pipelines.configuration.assembly.frozen_network import frozen_network
from pipelines.configuration.assembly.parts import (
    build_loader,
    every_matrix,
    on_device,
    or_user_error,
    read_by,
)
from pipelines.configuration.assembly.run_folder import CONFIGURATION, refuse_other_alphabets
from pipelines.configuration.loading import dump_configuration
from pipelines.configuration.schemas import GANRun
from pipelines.data.attributes import (
    Attributes,
    choose_attributes,
    choose_given_attributes,
    listed,
)
from pipelines.data.opening import texts_for_vocabulary, texts_of_first_rows
from pipelines.data.text_batches import TextReader
from pipelines.samples import draw_pictures
from pipelines.text_encoding import TextReading
from pipelines.training.contracts import Batch
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from vq import GlobalBatch

SMALLEST_SHARE = 4
"""Of the batch, for each process: half of it is interpolated, and normalized by itself."""
STATISTICS_BATCHES = 16
"""Of the texts that the statistics of batch normalization are taken from, to draw by."""


def gan_task(config: GANRun, processes: Processes, texts: TextReading | None) -> Task:
    """Trains a generator and a discriminator on pictures, of `texts` where there are any.

    Raises:
        UserError: the data cannot be read, or does not suit the models.
    """
    device, data, objective = processes.device, config.data, config.objective
    share, _ = or_user_error(lambda: config.training.divide_batch(processes.count))
    if share < SMALLEST_SHARE:
        raise UserError(
            f"training.batch_size is {config.training.batch_size}: each process has {share} "
            f"pictures, and {SMALLEST_SHARE} must be normalized together; choose a larger one."
        )
    if texts is not None and texts.reads_characters:
        processes.on_main(
            lambda: refuse_other_alphabets(texts_for_vocabulary(data, config.wanted, config.seed))
        )
    attributes, graph = _attributes(config, processes)
    reader = None
    if texts is not None:
        texts.encoder.requires_grad_(config.train_text_encoder).to(device)
        reader = TextReader(texts.codec, texts.positions, config.wanted, config.seed, attributes)
    loader = build_loader(
        data,
        config.training,
        config.seed,
        processes,
        reader,
        batches=objective.discriminator_steps,
    )
    torch.manual_seed(config.seed)
    generator = or_user_error(lambda: _generator(config, texts, attributes))
    if attributes is not None and texts is not None:
        _start_memory(generator, texts, attributes, graph)
    discriminator = or_user_error(lambda: _discriminator(config, texts, attributes))
    players: tuple[nn.Module, ...] = (generator, discriminator)
    for player in players:
        player.to(device)
        player.to(memory_format=torch.channels_last)
    game = GANObjective(
        generator,
        discriminator,
        objective,
        GlobalBatch(processes.all_reduce_sum, processes.rank, processes.count),
        None if texts is None else texts.encoder,
        frozen_network(config, texts, processes) if objective.frozen_real_fake_weight else None,
        config.train_text_encoder,
        config.seed,
    )

    def passes() -> None:
        """Of the generator, on texts that are validated on."""
        batches = loader.validation_batches(STATISTICS_BATCHES)
        for number, batch in enumerate(batches):
            seen = game.seen(on_device(batch, device))
            noise = torch.Generator().manual_seed(number)
            generator(generator.noise(len(seen.pixels), noise), seen.texts, seen.attributes)

    def write_parts(folder: Path) -> None:
        with standing_statistics(generator, passes):
            generator.save_pretrained(folder / "generator")
        if texts is not None:
            texts.save_pretrained(folder)

    def draw_samples(path: Path, batch: Batch) -> None:
        seen = game.seen(batch)
        noise = generator.noise(len(seen.pixels), torch.Generator().manual_seed(0))
        with standing_statistics(generator, passes):
            fake = generator(noise, seen.texts, seen.attributes)
        codec = None if texts is None else texts.codec
        draw_pictures(path, batch, fake, codec)

    return Task(
        kind="gan",
        abilities=("text_to_image",) if texts is not None else ("image_generation",),
        objective=game,
        averaged=("generator", "discriminator") if config.train_text_encoder else ("generator",),
        describe=lambda folder: dump_configuration(config, folder / CONFIGURATION),
        **read_by(loader, config.training, device),
        write_parts=write_parts,
        draw_samples=draw_samples,
        matrices_in=every_matrix,
        recomputed=(),
    )


def _generator(
    config: GANRun, texts: TextReading | None, attributes: Attributes | None
) -> Generator:
    return Generator(
        GeneratorConfig(
            asdict(config.generator),
            config.data.height_width,
            None if texts is None else texts.encoder.width,
            None if attributes is None else list(attributes.phrases),
        )
    )


def _discriminator(
    config: GANRun, texts: TextReading | None, attributes: Attributes | None
) -> Discriminator:
    objective = config.objective
    known = 0 if attributes is None or objective.attribute_weight == 0 else len(attributes.phrases)
    heads = DiscriminatorHeads(
        # The contrast with real pictures alone would teach no projection of them.
        images=objective.sentence_weight + objective.attribute_contrast_weight > 0,
        regions=objective.word_weight > 0,
        places=objective.local_global_weight > 0,
        attributes=known,
    )
    width = 0 if texts is None else texts.encoder.width
    return Discriminator(config.discriminator, config.data.height_width, width, heads)


def _attributes(config: GANRun, processes: Processes) -> tuple[Attributes | None, Tensor]:
    """Those of the captions, or of the column that has them, and the graph of which come
    together."""
    if config.generator.memory is None:
        return None, torch.empty(0)
    data, wanted = config.data, config.wanted

    def find() -> tuple[Attributes, Tensor]:
        if wanted.attributes:
            rows = [found.attributes for found in texts_of_first_rows(data, wanted, config.seed)]
            chosen = choose_given_attributes(rows, config.attributes)
            present = [chosen.among(row) for row in rows]
        else:
            captions = list(texts_for_vocabulary(data, wanted, config.seed))
            chosen = choose_attributes(captions, config.attributes)
            present = [chosen.of(one) for one in captions]
        return chosen, co_occurrence_graph(torch.tensor(present))

    found, graph = processes.on_main(find)
    where = "given with the pictures" if wanted.attributes else "found in captions"
    processes.log(f"{len(found.phrases)} attributes, {where}: {listed(found.phrases)}.")
    return found, graph


@torch.no_grad()
def _start_memory(
    generator: Generator, texts: TextReading, attributes: Attributes, graph: Tensor
) -> None:
    """At what the text encoder makes of the phrases, where the memory starts there."""
    vectors: Tensor = generator.memory.vectors
    if generator.config.shape["memory"]["start"] == "phrases":
        codec, positions = texts.codec, texts.positions
        phrases = [codec.encode_caption(phrase, positions) for phrase in attributes.phrases]
        vectors = texts(phrases).sentence.cpu()
    generator.memory.start(vectors, graph)

"""End-to-end training: where the transformer, the VQGAN's decoder and its losses meet."""

from dataclasses import fields
from pathlib import Path

from torch import nn

from gan import adversarial_loss
from pipelines.command_line import UserError
from pipelines.configuration.assembly.judges import (
    build_contrasts,
    build_discriminator,
    perceptual_loss,
)
from pipelines.configuration.assembly.parts import check_same_settings
from pipelines.configuration.assembly.run_folder import refuse_other_alphabets
from pipelines.configuration.schemas import BidirectionalRun
from pipelines.data.opening import texts_for_vocabulary
from pipelines.model_loading import load_reconstructor
from pipelines.text_encoding import TextReading, load_text_reading
from pipelines.training.checkpoint import CheckpointPaths
from pipelines.training.distributed import Processes
from unified_transformer import (
    EndToEndModel,
    EndToEndObjective,
    EndToEndSettings,
    Reconstructor,
    ReconstructorConfig,
    UnifiedTransformer,
    UnifiedTransformerConfig,
)
from vq import VQGAN, Decoder, GlobalBatch, ReconstructionGame


def build_reconstructor(
    settings: EndToEndSettings, config: UnifiedTransformerConfig, tokenizer: VQGAN
) -> Reconstructor:
    """A new mapper, and a decoder of the tokenizer's shape, with its weights where it is to start
    from them."""
    decoder = Decoder(tokenizer.config)
    if settings.decoder_start == "tokenizer":
        decoder.load_state_dict(tokenizer.decoder.state_dict())
    shape = ReconstructorConfig(
        hidden_size=config.hidden_size,
        code_dim=tokenizer.config.code_dim,
        grid_height=config.grid_height,
        grid_width=config.grid_width,
        mapper_size=settings.mapper_size or config.hidden_size,
        hidden_state=settings.hidden_state,
    )
    return Reconstructor(shape, decoder)


def log_what_is_left_out(
    config: BidirectionalRun, start: CheckpointPaths, processes: Processes
) -> None:
    """What a two-stage run has no use for, and might have been meant."""
    for name in ("reconstruction", "discriminator", "perceptual"):
        if getattr(config, name) != type(getattr(config, name))():
            processes.log(f"Without end_to_end the section {name} has no effect.")
    if start.reconstructor is not None:
        processes.log(
            f"Without end_to_end the decoder of hidden states of {start.root} is left behind."
        )


def go_on_from(
    reconstructor: Reconstructor, folder: Path, tokenizer: VQGAN, settings: EndToEndSettings
) -> None:
    """Gives a new reconstructor the weights of a checkpoint's.

    Raises:
        UserError: they are of another shape, or the decoder was to start anew.
    """
    if settings.decoder_start == "random":
        raise UserError(
            f"end_to_end.decoder_start is random, but {folder}, from which training is to go on, "
            "has a decoder; leave it at tokenizer."
        )
    loaded = load_reconstructor(folder, tokenizer.config)
    names = [field.name for field in fields(ReconstructorConfig)]
    check_same_settings("end_to_end", reconstructor.config, loaded.config, names, folder)
    reconstructor.load_state_dict(loaded.state_dict())


def texts_to_compare_with(config: BidirectionalRun, processes: Processes) -> TextReading | None:
    """The text encoder of the contrasts with texts, where one has a weight; it stays as it is.

    Raises:
        UserError: there is none, or it does not read the data's captions.
    """
    if not config.contrasts.of_texts:
        return None
    source, positions = config.text_encoder, config.model.text_positions
    assert source is not None
    texts = processes.together(lambda: load_text_reading(source, positions))
    if texts.reads_characters:
        processes.on_main(
            lambda: refuse_other_alphabets(
                texts_for_vocabulary(config.data, config.wanted, config.seed)
            )
        )
    texts.encoder.requires_grad_(False).to(processes.device)
    return texts


def end_to_end_objective(
    config: BidirectionalRun,
    transformer: UnifiedTransformer,
    reconstructor: Reconstructor,
    processes: Processes,
    texts: TextReading | None = None,
) -> EndToEndObjective:
    """One player that draws and describes, and a discriminator where the reconstruction's
    adversarial term or a contrast has a weight, some of them with `texts`."""
    assert config.end_to_end is not None
    players: dict[str, nn.Module] = {"generator": EndToEndModel(transformer, reconstructor)}
    settings = config.reconstruction
    discriminator = build_discriminator(
        settings, config.discriminator, config.contrasts, config.data, processes, texts
    )
    if discriminator is not None:
        players["discriminator"] = discriminator
    decoder = reconstructor.decoder
    assert isinstance(decoder, Decoder)
    game = ReconstructionGame(
        players,
        decoder,
        settings,
        GlobalBatch(processes.all_reduce_sum, processes.rank, processes.count),
        perceptual_loss(settings, config.perceptual, processes),
        adversarial_loss(settings.adversarial_loss),
        config.end_to_end.reconstruction_weight,
        build_contrasts(config.contrasts, config.training, processes, texts),
    )
    return EndToEndObjective(
        players,
        transformer.config,
        config.objective,
        config.end_to_end,
        game,
        processes.all_reduce_sum,
    )

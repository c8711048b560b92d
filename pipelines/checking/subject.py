"""What is checked, opened as training opens it: from `DATA`, with a checkpoint, or from a YAML."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.generators.config import check_image_size
from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.configuration.assembly.dual_encoder import text_encoder_run
from pipelines.configuration.assembly.id_batches import accept_ids_of
from pipelines.configuration.assembly.parts import check_size, or_user_error
from pipelines.configuration.assembly.run_folder import (
    new_text_tokenizer,
    refuse_other_alphabets,
)
from pipelines.configuration.loading import load_configuration, schema_of
from pipelines.configuration.schemas import (
    BidirectionalRun,
    DualEncoderRun,
    GANRun,
    StyleEncoderRun,
    TokenizerRun,
)
from pipelines.data.encoded_index import AcceptIds
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_training_data, texts_for_vocabulary
from pipelines.data.orders import Order
from pipelines.data.settings import PICTURES_ALONE, DataSettings, Wanted
from pipelines.data.sources import Source
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.model_loading import load_tokenizer
from pipelines.text_encoding import load_text_reading
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.settings import TrainingSettings
from unified_transformer import TransformerShape

SOME_RUN = TrainingSettings(steps=1, batch_size=1, validation_batches=128)
"""Where no configuration says what kind of run it is to be: of no batch that is worth a word."""


@dataclass(frozen=True)
class Subject:
    """Data as a run reads them.

    codec, text_positions: into what texts are turned; None where a run reads pictures alone.
    order: what is trained on.
    validation: what is validated on.
    training: batches and how many of them are validated on.
    problem: why a run would not begin, found while opening; empty where it would.
    remarks: what else is to be said of it.
    """

    data: DataSettings
    wanted: Wanted
    codec: TextCodec | None
    text_positions: int
    order: Order
    validation: Source
    training: TrainingSettings
    problem: str = ""
    remarks: list[str] = field(default_factory=list)


def of_data(data: DataSettings, wanted: Wanted, text_positions: int) -> Subject:
    """A run on these data that trains its own text tokenizer.

    Raises:
        UserError: as a run that cannot open them.
    """
    opened = _open(data, wanted, SOME_RUN)
    codec = None
    if wanted != PICTURES_ALONE:
        texts = texts_for_vocabulary(data, wanted)
        codec = TextCodec(train_text_tokenizer(texts, TextTokenizerSettings()))
    return Subject(data, wanted, codec, text_positions, **opened)


def of_checkpoint(data: DataSettings, wanted: Wanted, pipe: BidirectionalPipeline) -> Subject:
    """These data for a checkpoint that is trained on, or measured; `data.size` is its own.

    Raises:
        UserError: as `of_data`.
    """
    positions = pipe.transformer.config.text_positions
    return Subject(data, wanted, pipe.codec, positions, **_open(data, wanted, SOME_RUN))


def of_configuration(path: str, overrides: list[str]) -> Subject:
    """The run of a YAML, of whatever kind.

    Raises:
        UserError: as the run itself; but the tokenizer that it names may still be untrained.
    """
    kinds: dict[type, Callable[[Any], Subject]] = {
        TokenizerRun: _of_first_stage,
        BidirectionalRun: _of_second_stage,
        DualEncoderRun: _of_dual_encoder,
        GANRun: _of_gan,
        StyleEncoderRun: _of_style_encoder,
    }
    schema = schema_of(path, overrides, list(kinds))
    return kinds[schema](load_configuration(path, overrides, schema))


def _of_first_stage(config: TokenizerRun) -> Subject:
    check_size(config.data, config.model.downsampling_factor)
    opened = _open(config.data, PICTURES_ALONE, config.training, config.seed)
    return Subject(config.data, PICTURES_ALONE, None, 0, **opened)


def _of_second_stage(config: BidirectionalRun) -> Subject:
    named = config.initialize_from or config.tokenizer
    kind = "tokenizer" if config.initialize_from is None else "bidirectional"
    start, accept, remarks = None, None, []
    if named is not None and not Path(named).exists() and kind == "tokenizer":
        remarks.append(f"The tokenizer {named} is not there yet; train it first.")
    elif named is not None:
        start = open_checkpoint(named, kind)
        tokenizer = load_tokenizer(start.tokenizer)
        check_size(config.data, tokenizer.downsampling_factor)
        accept = None if config.end_to_end is not None else accept_ids_of(tokenizer)
    else:
        assert config.tokenizer_config is not None
        shape = load_configuration(config.tokenizer_config, [], TokenizerRun).model
        check_size(config.data, shape.downsampling_factor)
    opened = _open(config.data, config.wanted, config.training, config.seed, accept)
    codec = TextCodec(new_text_tokenizer(config, start if kind == "bidirectional" else None, _log))
    positions = config.model.text_positions
    return Subject(config.data, config.wanted, codec, positions, **opened, remarks=remarks)


def _of_dual_encoder(config: DualEncoderRun) -> Subject:
    opened = _open(config.data, config.wanted, config.training, config.seed)
    codec = TextCodec(new_text_tokenizer(config, None, _log))
    return Subject(config.data, config.wanted, codec, config.model.ids_of_a_text, **opened)


def _of_gan(config: GANRun) -> Subject:
    data, wanted = config.data, config.wanted
    or_user_error(lambda: check_image_size(*data.height_width))
    opened = _open(data, wanted, config.training, config.seed)
    if config.text_encoder_config is not None:
        yaml = config.text_encoder_config
        encoder = text_encoder_run(config, yaml, Path(config.output))
        codec = TextCodec(new_text_tokenizer(encoder, None, _log))
        said = (
            f"Captions are read by the text encoder of {yaml}; what is to be raised stands there."
        )
        positions = encoder.model.ids_of_a_text
    elif config.text_encoder is not None:
        texts = load_text_reading(config.text_encoder, config.text_positions)
        if texts.reads_characters:
            refuse_other_alphabets(texts_for_vocabulary(data, wanted, config.seed))
        codec, positions = texts.codec, texts.positions
        said = f"Captions are read by the text encoder of {config.text_encoder}, as it is."
    else:
        return Subject(data, wanted, None, 0, **opened)
    return Subject(data, wanted, codec, positions, **opened, remarks=[said])


def _of_style_encoder(config: StyleEncoderRun) -> Subject:
    raise UserError(
        f"a style encoder reads data as its GAN {config.gan} does; check them by the YAML of that "
        "GAN."
    )


def _open(
    data: DataSettings,
    wanted: Wanted,
    training: TrainingSettings,
    seed: int = 0,
    accept_ids: AcceptIds | None = None,
) -> dict[str, Any]:
    """What of a `Subject` follows from the data, refused where a run refuses them."""
    micro_batch_size, accumulation = or_user_error(lambda: training.divide_batch(1))
    order, validation = open_training_data(data, wanted, seed, accept_ids)
    order[0]  # a stream finds only now that it has no rows left to train on
    loader = BatchLoader(order, validation, data.height_width, micro_batch_size, accumulation)
    problem = ""
    try:
        loader.check_validation(training.validation_batches, wanted)
    except UserError as error:  # that they cannot be read is better told with all rows
        problem = str(error)
    return {"order": order, "validation": validation, "training": training, "problem": problem}


def _log(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def default_text_positions() -> int:
    """Of a transformer whose YAML does not say."""
    return TransformerShape().text_positions

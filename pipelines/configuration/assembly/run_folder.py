"""What a run with texts leaves in its folder at the start: configuration and text tokenizer; and
that it is resumed with them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from gan import ALPHABET
from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import WHAT_WEIGHTS_ARE_FOR
from pipelines.configuration.loading import as_plain_values, dump_configuration, read_yaml
from pipelines.configuration.schemas import BidirectionalRun, DualEncoderRun, GANRun
from pipelines.data.opening import texts_for_vocabulary
from pipelines.data.text_tokenizer import (
    character_tokenizer,
    load_text_tokenizer,
    train_text_tokenizer,
)
from pipelines.data.vocabulary_growth import grow_vocabulary
from pipelines.model_loading import same_weights
from pipelines.training import storage
from pipelines.training.checkpoint import CheckpointPaths
from pipelines.training.distributed import Processes
from pipelines.training.run_folder import RunFolder

TEXT_TOKENIZER, CONFIGURATION = "text_tokenizer", "config.yaml"
"""Of a run, in its folder."""


def describe_run(
    config: BidirectionalRun | DualEncoderRun, text_tokenizer: PreTrainedTokenizerBase, run: Path
) -> None:
    """Leaves the configuration and the text tokenizer in the run's folder."""
    dump_configuration(config, run / CONFIGURATION)
    if not (run / TEXT_TOKENIZER).exists():
        writing = storage.begin(run / TEXT_TOKENIZER)
        text_tokenizer.save_pretrained(writing)
        storage.commit(writing)


def refuse_another_model(config: BidirectionalRun, run: Path) -> None:
    """That a run is resumed as what its weights were trained for, where their shapes do not tell.

    Raises:
        UserError: a setting is another one than in the run's folder.
    """
    if not (run / CONFIGURATION).exists():
        return
    before, now = read_yaml(run / CONFIGURATION), as_plain_values(config)
    names = [("model", name) for name in WHAT_WEIGHTS_ARE_FOR]
    names += [("end_to_end", "hidden_state"), ("lora", "rank"), ("lora", "alpha")]
    _refuse_others(run, before, now, names)
    encoder = before.get("text_encoder")
    if config.contrasts.of_texts and encoder != config.text_encoder:
        raise _was_trained_with(run, "text_encoder", encoder, config.text_encoder)


def refuse_other_players(config: GANRun, run: Path) -> None:
    """That a GAN is resumed as what its weights were trained for, where their shapes do not tell.

    Raises:
        UserError: a setting of a player is another one than in the run's folder.
    """
    if not (run / CONFIGURATION).exists():
        return
    before, now = read_yaml(run / CONFIGURATION), as_plain_values(config)
    players = ("generator", "discriminator")
    _refuse_others(run, before, now, [(part, name) for part in players for name in now[part]])


def refuse_another(
    run: RunFolder,
    part: str,
    load: Callable[[Path], nn.Module],
    own: nn.Module,
    source: str | Path,
) -> None:
    """That a run is resumed with the model that its weights learned to work with.

    Args:
        part: of its checkpoint: "text_encoder".
        load: of the folder of that part.
        own: the model from `source`, which the run is to be resumed with.

    Raises:
        UserError: it is another one than in the run's checkpoint.
    """
    kept = run.checkpoint / part
    if kept.is_dir() and not same_weights(load(kept), own):
        raise UserError(
            f"{run.path} was trained with another {part.replace('_', ' ')} than that of {source}; "
            "resume with that one, or train anew into another folder."
        )


def _refuse_others(
    run: Path, before: dict[str, Any], now: dict[str, Any], names: Iterable[tuple[str, str]]
) -> None:
    """Of sections and names, those that both configurations have."""
    for section, name in names:
        old, new = (of_run.get(section) or {} for of_run in (before, now))
        if name in old and name in new and old[name] != new[name]:
            raise _was_trained_with(run, f"{section}.{name}", old[name], new[name])


def _was_trained_with(run: Path, name: str, old: object, new: object) -> UserError:
    return UserError(
        f"{run} was trained with {name}={old}, and not {new}; resume with that, or train anew into "
        "another folder."
    )


def run_text_tokenizer(
    config: BidirectionalRun | DualEncoderRun,
    processes: Processes,
    run: Path,
    start: CheckpointPaths | None = None,
) -> PreTrainedTokenizerBase:
    """The text tokenizer of a run: the one in its folder, where it is resumed, or a new one."""

    def prepare() -> PreTrainedTokenizerBase:
        if (run / TEXT_TOKENIZER).exists():
            return load_text_tokenizer(run / TEXT_TOKENIZER)
        return new_text_tokenizer(config, start, processes.log)

    return processes.on_main(prepare)


def new_text_tokenizer(
    config: BidirectionalRun | DualEncoderRun,
    start: CheckpointPaths | None,
    log: Callable[[str], None],
) -> PreTrainedTokenizerBase:
    """The text tokenizer that a run begins with: that of the checkpoint it starts from, with new
    entries for what it does not know of the texts (`log` is told of them), or the one it names,
    or one trained on its texts."""
    if start is None and config.text_tokenizer.path is not None:
        return load_text_tokenizer(config.text_tokenizer.path)
    texts = texts_for_vocabulary(config.data, config.wanted, config.seed)
    if isinstance(config, DualEncoderRun) and config.model.text_encoder == "characters":
        refuse_other_alphabets(texts)
        return character_tokenizer(ALPHABET)
    if start is None:
        return train_text_tokenizer(texts, config.text_tokenizer)
    tokenizer = load_text_tokenizer(start.text_tokenizer)
    largest = config.text_tokenizer.vocabulary_size
    log(grow_vocabulary(tokenizer, texts, largest).said_of(start.root, largest))
    return tokenizer


def refuse_other_alphabets(texts: Iterable[str]) -> None:
    """Raises:
    UserError: more than a hundredth of the texts have characters that a character encoder does
        not read.
    """
    found = list(texts)
    others = [text for text in found if set(text.lower()) - {*ALPHABET}]
    if len(others) > len(found) / 100:
        raise UserError(
            f"the character encoder reads small letters, digits and punctuation of English, and "
            f"{len(others)} of {len(found)} captions have others, such as {others[0][:60]!r}; "
            "take a text encoder that is a BERT (model.text_encoder=bert of a dual encoder, as in "
            "configs/dual_encoder/scenes_64.yaml)."
        )

"""What a configuration asks for, found without its data, its tokenizer's weights or a GPU."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from pipelines.command_line import UserError
from pipelines.configuration.assembly.bidirectional import transformer_matrices
from pipelines.configuration.assembly.end_to_end import build_reconstructor
from pipelines.configuration.assembly.parts import check_size, or_user_error
from pipelines.configuration.loading import (
    REPOSITORY,
    find_configuration,
    load_configuration,
    read_yaml,
)
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.data.text_tokenizer import load_text_tokenizer
from pipelines.hub.pulling import hub_repository
from pipelines.training.checkpoint import open_checkpoint
from unified_transformer import EndToEndModel, UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.sequence import Task
from vq import VQGAN, VQGANConfig, read_vqgan_config

TOKENIZER_KEYS = ("tokenizer", "tokenizer_config", "initialize_from")


@dataclass(frozen=True)
class Workload:
    """A run's shapes.

    `tokenizer_from` says where the tokenizer's were found; `text_length` is the padded length of a
    micro-batch's texts.
    """

    config: BidirectionalRun
    transformer: UnifiedTransformerConfig
    tokenizer: VQGANConfig
    tokenizer_from: str
    text_length: int

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.config.objective.tasks

    @property
    def own_ids(self) -> bool:
        return self.config.own_ids


def read_workload(
    path: str, overrides: list[str], tokenizer_config: str | None, text_length: int | None
) -> Workload:
    """The configuration with what it names.

    Args:
        tokenizer_config: a tokenizer's YAML, where there is no checkpoint to look into yet.
        text_length: of the texts with [CLS], [SEP] and padding; all positions unless given.

    Raises:
        UserError: it is no configuration of the transformer's stage, or what it names is missing.
    """
    file = find_configuration(path)
    if not any(key in read_yaml(file) for key in TOKENIZER_KEYS):
        raise UserError(
            f"{file} names no tokenizer, so it is not of the transformer's stage, which is what is "
            "planned; give a YAML of configs/bidirectional."
        )
    config = load_configuration(path, overrides, BidirectionalRun)
    if config.lora is not None:
        raise UserError(
            "lora trains few of the weights, and what is planned trains all of them; set lora=null "
            "for what that would take, which is more."
        )
    tokenizer, source = _tokenizer(config, tokenizer_config)
    grid = check_size(config.data, tokenizer.downsampling_factor)
    length = config.model.text_positions if text_length is None else text_length
    if not 2 <= length <= config.model.text_positions:
        raise UserError(
            f"--text-length is {length}; it must be from 2 to the {config.model.text_positions} "
            "text positions."
        )
    transformer = UnifiedTransformerConfig(
        **asdict(config.model),
        text_vocab_size=_vocabulary(config),
        image_vocab_size=tokenizer.codebook_size,
        grid_height=grid[0],
        grid_width=grid[1],
    )
    return Workload(config, transformer, tokenizer, source, length)


def _tokenizer(config: BidirectionalRun, given: str | None) -> tuple[VQGANConfig, str]:
    """The tokenizer's shape, and where it was found."""
    start = config.initialize_from or config.tokenizer
    if given is None and start is not None and _is_there(start):
        checkpoint = open_checkpoint(start)
        return or_user_error(lambda: read_vqgan_config(checkpoint.tokenizer)), str(start)
    yaml = given or config.tokenizer_config or _that_writes(start)
    if yaml is None:
        raise UserError(
            f"there is no checkpoint {start} and no configuration that writes it; name the "
            "tokenizer's YAML by --tokenizer-config."
        )
    return load_configuration(yaml, [], TokenizerRun).model, yaml


def _is_there(checkpoint: str) -> bool:
    """In a folder or, unless it is yet to be trained, on the hub."""
    on_hub = hub_repository(checkpoint) is not None and _that_writes(checkpoint) is None
    return on_hub or Path(checkpoint).exists()


def _that_writes(checkpoint: str | None) -> str | None:
    """The YAML of configs/tokenizer whose run leaves this checkpoint."""
    if checkpoint is None:
        return None
    for file in sorted((REPOSITORY / "configs" / "tokenizer").glob("*.yaml")):
        output = Path(str(read_yaml(file).get("output")))
        if Path(checkpoint) in (output, output / "checkpoint"):
            return file.relative_to(REPOSITORY).as_posix()
    return None


def _vocabulary(config: BidirectionalRun) -> int:
    """Of the text tokenizer: its own, or the most that one may have which is trained or grows."""
    start = config.initialize_from
    if start is not None and _is_there(start):
        start_from = open_checkpoint(start, "bidirectional").text_tokenizer
        return max(len(load_text_tokenizer(start_from)), config.text_tokenizer.vocabulary_size)
    if config.text_tokenizer.path is None:
        return config.text_tokenizer.vocabulary_size
    return len(load_text_tokenizer(config.text_tokenizer.path))


def build_on_meta(workload: Workload) -> nn.Module:
    """What is trained, without its memory: the transformer, or with a reconstructor beside it."""
    with torch.device("meta"):
        transformer = UnifiedTransformer(workload.transformer)
        settings = workload.config.end_to_end
        if settings is None:
            return transformer
        tokenizer = VQGAN(workload.tokenizer)
        reconstructor = build_reconstructor(settings, workload.transformer, tokenizer)
        return EndToEndModel(transformer, reconstructor)


@dataclass(frozen=True)
class Parameters:
    """How many numbers there are: trained ones by part, those of them that are `matrices` with
    weight decay, and those of the frozen tokenizer."""

    parts: dict[str, int]
    matrices: int
    tokenizer: int

    @property
    def trained(self) -> int:
        return sum(self.parts.values())


PARTS = {
    "reconstructor": "reconstructor.",
    "embeddings": "embeddings.",
    "attention": ".attention.",
    "feed-forward": ".feed_forward.",
    "norms": "norm.",
    "heads": "_head.",
}
"""By what the names of their parameters have in them; the first that fits."""


def count_parameters(workload: Workload) -> Parameters:
    """Counted in the modules themselves."""
    parts: dict[str, int] = {}
    matrices = 0
    for name, parameter in build_on_meta(workload).named_parameters():
        part = next(part for part, words in PARTS.items() if words in name)
        parts[part] = parts.get(part, 0) + parameter.numel()
        matrices += parameter.numel() * (transformer_matrices(name, parameter) > 0)
    with torch.device("meta"):
        tokenizer = VQGAN(workload.tokenizer)
    frozen = sum(p.numel() for p in tokenizer.state_dict().values())
    return Parameters(parts, matrices, frozen)

"""Operations of a run's sample: what the model needs, and what is computed besides."""

from dataclasses import dataclass

from pipelines.planning.flops import encoding_flops, reconstruction_flops
from pipelines.planning.workload import Workload, build_on_meta
from unified_transformer import EndToEndModel
from unified_transformer.flops import (
    TRAINING_PASSES,
    forward_flops,
    recomputed_flops,
    training_flops,
)
from unified_transformer.sequence import TASKS


@dataclass(frozen=True)
class SampleFlops:
    """Of one pair of picture and text, forward and backward.

    Attributes:
        transformer: of visible pairs only.
        reconstruction: in end-to-end training.
        attention: the part of `transformer` that is attention.
        every_pair: what that part would be if every pair were computed.
        recomputed: what activation checkpointing computes again of the transformer.
        encoding: the frozen tokenizer's.
    """

    transformer: int
    reconstruction: int
    attention: int
    every_pair: int
    recomputed: int
    encoding: int

    @property
    def model(self) -> int:
        """What the sample needs, however it is computed."""
        return self.transformer + self.reconstruction

    @property
    def dense(self) -> int:
        """The model's if every pair were computed."""
        return self.model - self.attention + self.every_pair


def sample_flops(workload: Workload) -> SampleFlops:
    """Of one sample of this run."""
    run, config, text = workload.config, workload.transformer, workload.text_length
    transformer = training_flops(config, text, workload.tasks, workload.own_ids)
    recomputed = sum(recomputed_flops(config, name, text) for name in workload.tasks)
    reconstruction = 0
    model = build_on_meta(workload)
    if isinstance(model, EndToEndModel):
        reconstruction = reconstruction_flops(model.reconstructor)
    if workload.own_ids:
        recomputed += recomputed_flops(config, "text_to_image", text)
    return SampleFlops(
        transformer=transformer,
        reconstruction=reconstruction,
        attention=_attention(workload, every_pair=False),
        every_pair=_attention(workload, every_pair=True),
        recomputed=recomputed * run.training.activation_checkpointing,
        encoding=encoding_flops(workload.tokenizer, run.data.height_width),
    )


def _attention(workload: Workload, every_pair: bool) -> int:
    """Of the blocks' attention, forward and backward."""
    config, text = workload.transformer, workload.text_length
    passes = {
        name: TRAINING_PASSES * forward_flops(config, name, text, every_pair).attention
        for name in TASKS
    }
    flops = sum(passes[name] for name in workload.tasks)
    if workload.own_ids:
        flops += (TRAINING_PASSES + 1) * passes["text_to_image"] // TRAINING_PASSES
    return flops

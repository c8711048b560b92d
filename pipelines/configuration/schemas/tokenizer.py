"""The schema of a tokenizer's configuration."""

from dataclasses import dataclass, field

from gan import ContrastSettings
from pipelines.command_line import check_seed
from pipelines.configuration.schemas.checks import check_contrasts, check_no_deepspeed
from pipelines.data.settings import DataSettings
from pipelines.training.settings import TrainingSettings
from vq import (
    PatchDiscriminatorConfig,
    PerceptualLossSettings,
    VQGANConfig,
    VQGANObjectiveSettings,
)


@dataclass(frozen=True)
class TokenizerRun:
    """`configs/tokenizer/*.yaml`.

    Args:
        discriminator: used where `objective.adversarial_weight` or a weight of `contrasts` is
            not 0.
        contrasts: those of pictures alone, whatever the adversarial weight is.
        perceptual: used where `objective.perceptual_weight` is not 0.
        initialize_from: a checkpoint with a tokenizer of the same `model`, which is trained on.
        output: the run's folder.
        deepspeed: refused; it is here so that the refusal can say why.
    """

    output: str
    training: TrainingSettings
    model: VQGANConfig = field(default_factory=VQGANConfig)
    objective: VQGANObjectiveSettings = field(default_factory=VQGANObjectiveSettings)
    discriminator: PatchDiscriminatorConfig = field(default_factory=PatchDiscriminatorConfig)
    contrasts: ContrastSettings = field(default_factory=ContrastSettings)
    perceptual: PerceptualLossSettings = field(default_factory=PerceptualLossSettings)
    data: DataSettings = field(default_factory=DataSettings)
    initialize_from: str | None = None
    seed: int = 0
    deepspeed: str | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_no_deepspeed(self.deepspeed)
        if self.contrasts.of_texts:
            raise ValueError(
                f"contrasts.{self.contrasts.of_texts[0]} is above 0, and a tokenizer's pictures "
                "have no texts; set it to 0, or train with it end to end (end_to_end and contrasts "
                "of a bidirectional configuration)."
            )
        check_contrasts(self.contrasts, self.objective, "objective", self.training)

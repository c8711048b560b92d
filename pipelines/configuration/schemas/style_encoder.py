"""The schema of a style encoder's configuration."""

from dataclasses import dataclass, field

from pipelines.command_line import check_seed
from pipelines.configuration.schemas.checks import check_plain_steps
from pipelines.data.settings import DataSettings, Wanted
from pipelines.training.settings import TrainingSettings


@dataclass(frozen=True)
class StyleEncoderRun:
    """`configs/gan/style_encoder.yaml`.

    Args:
        gan: a checkpoint of train_gan.py, which is written out with a style encoder.
        base_channels: of its first map.
        data: whose captions, and attributes where a column has them, are drawn of.
        output: the run's folder.
    """

    gan: str
    output: str
    training: TrainingSettings
    base_channels: int = 64
    data: DataSettings = field(default_factory=DataSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.base_channels < 1:
            raise ValueError(f"base_channels is {self.base_channels}; it must be 1 or more.")
        check_plain_steps(self.training, "networks this small")

    @property
    def wanted(self) -> Wanted:
        """Captions, and attributes that are given."""
        return Wanted(attributes=self.data.gives_attributes)

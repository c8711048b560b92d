"""The schema of a dual encoder's configuration."""

from dataclasses import dataclass, field

from pipelines.command_line import check_seed
from pipelines.configuration.schemas.checks import check_plain_steps, check_whole_batches
from pipelines.data.settings import CAPTIONS, DataSettings, Wanted
from pipelines.data.text_tokenizer import TextTokenizerSettings
from pipelines.dual_encoder.model import DualEncoderShape
from pipelines.dual_encoder.objective import ContrastiveObjectiveSettings
from pipelines.training.settings import TrainingSettings


@dataclass(frozen=True)
class DualEncoderRun:
    """`configs/dual_encoder/*.yaml`.

    Args:
        output: the run's folder.
    """

    output: str
    training: TrainingSettings
    model: DualEncoderShape = field(default_factory=DualEncoderShape)
    objective: ContrastiveObjectiveSettings = field(default_factory=ContrastiveObjectiveSettings)
    text_tokenizer: TextTokenizerSettings = field(default_factory=TextTokenizerSettings)
    data: DataSettings = field(default_factory=DataSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.training.batch_size < 2:
            raise ValueError("training.batch_size is 1; a pair needs another to differ from.")
        check_whole_batches(self.training, "pairs")
        check_plain_steps(self.training, "models this small")
        shortest, needed = min(self.data.height_width), self.model.smallest_picture
        if shortest < needed:
            raise ValueError(
                f"data.size is {self.data.size}, and this model needs {needed} pixels a side; "
                "choose larger pictures or fewer stages of model.vision_depths."
            )

    @property
    def wanted(self) -> Wanted:
        """Pairs of pictures and captions."""
        return CAPTIONS

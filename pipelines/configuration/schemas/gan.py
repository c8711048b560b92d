"""The schema of a GAN's configuration."""

from dataclasses import dataclass, field
from typing import Literal

from gan import DiscriminatorShape, GANObjectiveSettings, GeneratorShape
from pipelines.command_line import check_seed
from pipelines.configuration.schemas.checks import (
    check_no_deepspeed,
    check_plain_steps,
    check_whole_batches,
)
from pipelines.data.attributes import AttributeSettings
from pipelines.data.settings import DataSettings, Wanted
from pipelines.training.settings import TrainingSettings


@dataclass(frozen=True)
class GANRun:
    """`configs/gan/*.yaml`.

    Args:
        text_encoder: a checkpoint of train_dual_encoder.py, whose text encoder is taken; or a BERT
            of Hugging Face, its folder or hub name; or
        text_encoder_config: a dual encoder's YAML, which is then trained first, into
            OUTPUT/text_encoder. Both null draws without text, from noise alone.
        train_text_encoder: whether it learns along, in the discriminator's turns.
        text_positions: of a BERT from elsewhere, the most ids of a caption.
        attributes: of a generator with a memory.
        frozen_network: of `objective.frozen_real_fake_weight`: torchvision's `resnet50` or `vgg19`
            where their weights can be had, else (and by the name `text_encoder`) the picture
            encoder that was trained with the text encoder.
        output: the run's folder.
        deepspeed: refused; it is here so that the refusal can say why.
    """

    output: str
    training: TrainingSettings
    generator: GeneratorShape = field(default_factory=GeneratorShape)
    discriminator: DiscriminatorShape = field(default_factory=DiscriminatorShape)
    objective: GANObjectiveSettings = field(default_factory=GANObjectiveSettings)
    data: DataSettings = field(default_factory=DataSettings)
    text_encoder: str | None = None
    text_encoder_config: str | None = None
    train_text_encoder: bool = False
    text_positions: int = 32
    attributes: AttributeSettings = field(default_factory=AttributeSettings)
    frozen_network: Literal["resnet50", "vgg19", "text_encoder"] = "resnet50"
    seed: int = 0
    deepspeed: str | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_no_deepspeed(self.deepspeed)
        self._check_texts()
        self._check_attributes()
        check_whole_batches(self.training, "pictures")
        check_plain_steps(
            self.training, "GANs, whose discriminator is asked for more than its output"
        )
        if self.training.validate_every and self.training.export != "last":
            raise ValueError(
                "training.export is best, but no loss tells which of a GAN's weights are; set it "
                "to last."
            )

    def _check_texts(self) -> None:
        if self.text_encoder is not None and self.text_encoder_config is not None:
            raise ValueError(
                f"text_encoder is {self.text_encoder} and text_encoder_config "
                f"{self.text_encoder_config}; set one of them to null."
            )
        if self.text_positions < 3:
            raise ValueError(f"text_positions is {self.text_positions}; it must be 3 or more.")
        if self.text:
            return
        if self.objective.of_texts:
            raise ValueError(
                f"objective.{self.objective.of_texts[0]} is above 0, and there are no texts; name "
                "a text_encoder, or set it to 0."
            )
        if self.generator.memory is not None:
            raise ValueError(
                "generator.memory holds attributes of texts; name a text_encoder, or set it to "
                "null."
            )
        if self.train_text_encoder:
            raise ValueError("train_text_encoder is true, and there is none; name a text_encoder.")

    def _check_attributes(self) -> None:
        of_attributes = self.objective.of_attributes
        if self.generator.memory is not None:
            if of_attributes and self.discriminator.architecture != "deep_fusion":
                raise ValueError(
                    f"objective.{of_attributes[0]} is above 0, and a discriminator of the "
                    f"{self.discriminator.architecture} architecture knows no attributes; choose "
                    "discriminator.architecture=deep_fusion, or set it to 0."
                )
            return
        if of_attributes:
            raise ValueError(
                f"objective.{of_attributes[0]} is above 0, and generator.memory is null; give the "
                "generator a memory, or set it to 0."
            )
        if self.attributes != AttributeSettings():
            raise ValueError(
                "attributes are chosen, and generator.memory, which keeps them, is null; give the "
                "generator a memory, or leave the section attributes out."
            )
        if self.data.gives_attributes:
            raise ValueError(
                "an attribute_column is named, and generator.memory, which keeps attributes, is "
                "null; give the generator a memory, or leave the column out."
            )

    @property
    def text(self) -> bool:
        """Whether it draws of texts."""
        return self.text_encoder is not None or self.text_encoder_config is not None

    @property
    def wanted(self) -> Wanted:
        """Pictures, with captions where it draws of texts, and attributes that are given."""
        return Wanted(captions=self.text, attributes=self.data.gives_attributes)

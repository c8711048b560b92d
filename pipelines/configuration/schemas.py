"""What a configuration file may say, section by section; each section is its owner's dataclass."""

from dataclasses import dataclass, field
from typing import Literal

from gan import ContrastSettings, DiscriminatorShape, GANObjectiveSettings, GeneratorShape
from pipelines.command_line import check_seed
from pipelines.data.attributes import AttributeSettings
from pipelines.data.settings import CAPTIONS, DataSettings, Wanted
from pipelines.data.text_tokenizer import TextTokenizerSettings
from pipelines.dual_encoder.model import DualEncoderShape
from pipelines.dual_encoder.objective import ContrastiveObjectiveSettings
from pipelines.training.low_rank import LoraSettings
from pipelines.training.settings import TrainingSettings
from unified_transformer import (
    BidirectionalObjectiveSettings,
    EndToEndSettings,
    TransformerShape,
)
from unified_transformer.sequence import DIRECTIONS
from vq import (
    PatchDiscriminatorConfig,
    PerceptualLossSettings,
    ReconstructionSettings,
    VQGANConfig,
    VQGANObjectiveSettings,
)

NO_DEEPSPEED = (
    "this trains without DeepSpeed, because a generator and a discriminator take turns and an "
    "engine drives a single model; start it with accelerate launch or plain python."
)


def check_contrasts(
    contrasts: ContrastSettings,
    settings: ReconstructionSettings,
    section: str,
    training: TrainingSettings,
) -> None:
    """Raises:
    ValueError: pictures are to be compared in features that nothing teaches, or a compiled
        discriminator is asked for more than it gives.
    """
    if contrasts.used == ["real_fake_weight"] and settings.adversarial_weight == 0:
        raise ValueError(
            "contrasts.real_fake_weight is above 0, which compares pictures in the "
            "discriminator's features, and nothing teaches it these; raise "
            f"{section}.adversarial_weight or another weight of contrasts as well, or set it to 0."
        )
    if contrasts.used and settings.adversarial_weight > 0 and training.compile:
        raise ValueError(
            f"training.compile is true, and contrasts beside {section}.adversarial_weight take two "
            "gradients of one pass of the discriminator, which a compiled one does not give; set "
            "one of the three to false or 0."
        )


@dataclass(frozen=True)
class TokenizerRun:
    """`configs/tokenizer/*.yaml`.

    Args:
        discriminator: used where `objective.adversarial_weight` or a weight of
        contrasts: is not 0: those of pictures alone, whatever the adversarial weight is.
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
        if self.deepspeed is not None:
            raise ValueError(f"deepspeed is {self.deepspeed}; {NO_DEEPSPEED}")
        if self.contrasts.of_texts:
            raise ValueError(
                f"contrasts.{self.contrasts.of_texts[0]} is above 0, and a tokenizer's pictures "
                "have no texts; set it to 0, or train with it end to end (end_to_end and contrasts "
                "of a bidirectional configuration)."
            )
        check_contrasts(self.contrasts, self.objective, "objective", self.training)


@dataclass(frozen=True)
class BidirectionalRun:
    """`configs/bidirectional/*.yaml`.

    Args:
        tokenizer: the checkpoint of a tokenizer run, or of a transformer with one; or
        tokenizer_config: a tokenizer YAML, which is then trained first, into OUTPUT/tokenizer; or
        initialize_from: a checkpoint of this kind, whose tokenizers are kept and whose transformer
            is trained on; its text tokenizer gets new entries, up to
            `text_tokenizer.vocabulary_size` in all, for what it does not know of the texts.
        lora: present, only adapters beside that checkpoint's matrices are trained.
        end_to_end: present, it trains a decoder of the transformer's hidden states along, whose
            losses are
        reconstruction: their weights (those of the tokenizer's `objective`);
        discriminator, perceptual, contrasts: as in a tokenizer's run, and contrasts with texts, of
        text_encoder: a checkpoint of train_dual_encoder.py or of a GAN, whose text encoder is
            taken, or a BERT of Hugging Face, its folder or hub name; it stays as it is.
        deepspeed: a JSON for the `deepspeed` launcher; any other launcher trains without it.
        output: the run's folder.
    """

    output: str
    training: TrainingSettings
    model: TransformerShape = field(default_factory=TransformerShape)
    objective: BidirectionalObjectiveSettings = field(
        default_factory=BidirectionalObjectiveSettings
    )
    text_tokenizer: TextTokenizerSettings = field(default_factory=TextTokenizerSettings)
    data: DataSettings = field(default_factory=DataSettings)
    tokenizer: str | None = None
    tokenizer_config: str | None = None
    initialize_from: str | None = None
    lora: LoraSettings | None = None
    end_to_end: EndToEndSettings | None = None
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    discriminator: PatchDiscriminatorConfig = field(default_factory=PatchDiscriminatorConfig)
    contrasts: ContrastSettings = field(default_factory=ContrastSettings)
    text_encoder: str | None = None
    perceptual: PerceptualLossSettings = field(default_factory=PerceptualLossSettings)
    deepspeed: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        tokenizers = (self.tokenizer, self.tokenizer_config)
        if self.initialize_from is not None and tokenizers != (None, None):
            raise ValueError(
                f"initialize_from is {self.initialize_from}, which brings its own tokenizer; set "
                "tokenizer and tokenizer_config to null."
            )
        if self.initialize_from is not None and self.text_tokenizer.path is not None:
            raise ValueError(
                f"initialize_from is {self.initialize_from}, which brings its own text tokenizer; "
                "set text_tokenizer.path to null."
            )
        if self.initialize_from is None and tokenizers == (None, None):
            raise ValueError(
                "tokenizer is null; name the checkpoint of a tokenizer run (tokenizer=DIR), or "
                "a configuration to train one from (tokenizer_config=YAML)."
            )
        if self.lora is not None and self.initialize_from is None:
            raise ValueError(
                "lora trains adapters beside weights that have learned already; name their "
                "checkpoint (initialize_from=DIR), or set lora to null."
            )
        if self.end_to_end is not None and self.objective.text_to_image_weight == 0:
            raise ValueError(
                "end_to_end trains what draws, but objective.text_to_image_weight is 0; raise it."
            )
        self._check_contrasts()

    def _check_contrasts(self) -> None:
        if self.text_encoder is not None and not self.contrasts.of_texts:
            raise ValueError(
                f"text_encoder is {self.text_encoder}, and no contrast with texts has a weight; "
                "give one (contrasts.sentence_weight, contrasts.word_weight), or set it to null."
            )
        if not self.contrasts.used:
            return
        name = f"contrasts.{self.contrasts.used[0]}"
        if self.end_to_end is None:
            raise ValueError(
                f"{name} is above 0, and nothing is painted without end_to_end; give it "
                "(end_to_end.hidden_state=consumed), or set the weight to 0."
            )
        if self.contrasts.of_texts and self.text_encoder is None:
            raise ValueError(
                f"{name} is above 0, and nothing encodes texts; name a text_encoder (a checkpoint "
                "of train_dual_encoder.py or of a GAN, or a BERT), or set it to 0."
            )
        if self.contrasts.of_texts and "question_answering" in self.objective.tasks:
            raise ValueError(
                f"{name} is above 0, and with objective.question_answering_weight pictures need no "
                "caption to be compared with; set one of the two to 0."
            )
        check_contrasts(self.contrasts, self.reconstruction, "reconstruction", self.training)

    @property
    def wanted(self) -> Wanted:
        """The texts that what has a weight is trained on."""
        tasks = set(self.objective.tasks)
        return Wanted(bool(tasks & set(DIRECTIONS)), "question_answering" in tasks)

    @property
    def own_ids(self) -> bool:
        """Whether a pass more reconstructs after ids that the model drew itself."""
        return self.end_to_end is not None and self.end_to_end.own_ids


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
        if self.training.micro_batch_size is not None:
            raise ValueError(
                f"training.micro_batch_size is {self.training.micro_batch_size}, but all pairs of "
                "a batch are compared with each other at once; set it to null, and a smaller "
                "training.batch_size where memory is short."
            )
        for name in ("compile", "activation_checkpointing"):
            if getattr(self.training, name):
                raise ValueError(f"training.{name} is not for models this small; set it to false.")
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
        if self.deepspeed is not None:
            raise ValueError(f"deepspeed is {self.deepspeed}; {NO_DEEPSPEED}")
        if self.text_encoder is not None and self.text_encoder_config is not None:
            raise ValueError(
                f"text_encoder is {self.text_encoder} and text_encoder_config "
                f"{self.text_encoder_config}; set one of them to null."
            )
        if not self.text and self.objective.of_texts:
            name = self.objective.of_texts[0]
            raise ValueError(
                f"objective.{name} is above 0, and there are no texts; name a text_encoder, or set "
                "it to 0."
            )
        if not self.text and self.generator.memory is not None:
            raise ValueError(
                "generator.memory holds attributes of texts; name a text_encoder, or set it to "
                "null."
            )
        if self.objective.of_attributes and self.generator.memory is None:
            name = self.objective.of_attributes[0]
            raise ValueError(
                f"objective.{name} is above 0, and generator.memory is null; give the generator a "
                "memory, or set it to 0."
            )
        if self.attributes != AttributeSettings() and self.generator.memory is None:
            raise ValueError(
                "attributes are chosen, and generator.memory, which keeps them, is null; give the "
                "generator a memory, or leave the section attributes out."
            )
        if self.data.gives_attributes and self.generator.memory is None:
            raise ValueError(
                "an attribute_column is named, and generator.memory, which keeps attributes, is "
                "null; give the generator a memory, or leave the column out."
            )
        if self.objective.of_attributes and self.discriminator.architecture != "deep_fusion":
            name = self.objective.of_attributes[0]
            raise ValueError(
                f"objective.{name} is above 0, and a discriminator of the "
                f"{self.discriminator.architecture} architecture knows no attributes; choose "
                "discriminator.architecture=deep_fusion, or set it to 0."
            )
        if self.text_positions < 3:
            raise ValueError(f"text_positions is {self.text_positions}; it must be 3 or more.")
        if self.train_text_encoder and not self.text:
            raise ValueError("train_text_encoder is true, and there is none; name a text_encoder.")
        if self.training.micro_batch_size is not None:
            raise ValueError(
                f"training.micro_batch_size is {self.training.micro_batch_size}, but pictures of a "
                "batch are compared with each other; set it to null, and a smaller "
                "training.batch_size where memory is short."
            )
        if self.training.validate_every and self.training.export != "last":
            raise ValueError(
                "training.export is best, but no loss tells which of a GAN's weights are; set it "
                "to last."
            )
        for name in ("compile", "activation_checkpointing"):
            if getattr(self.training, name):
                raise ValueError(
                    f"training.{name} is not for GANs, whose discriminator is asked for more than "
                    "its output; set it to false."
                )

    @property
    def text(self) -> bool:
        """Whether it draws of texts."""
        return self.text_encoder is not None or self.text_encoder_config is not None

    @property
    def wanted(self) -> Wanted:
        """Pictures, with captions where it draws of texts, and attributes that are given."""
        return Wanted(captions=self.text, attributes=self.data.gives_attributes)


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
        for name in ("compile", "activation_checkpointing"):
            if getattr(self.training, name):
                raise ValueError(
                    f"training.{name} is not for networks this small; set it to false."
                )

    @property
    def wanted(self) -> Wanted:
        """Captions, and attributes that are given."""
        return Wanted(attributes=self.data.gives_attributes)

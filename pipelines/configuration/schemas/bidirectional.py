"""The schema of a transformer's configuration."""

from dataclasses import dataclass, field

from gan import ContrastSettings
from pipelines.command_line import check_seed
from pipelines.configuration.schemas.checks import check_contrasts
from pipelines.data.settings import DataSettings, Wanted
from pipelines.data.text_tokenizer import TextTokenizerSettings
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
)


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

"""What the study trains: data sets, and arms that differ from a base in few settings."""

from dataclasses import dataclass, replace

RECONSTRUCTION = ("reconstruction.l1_weight=1", "reconstruction.l2_weight=1")
END_TO_END = ("end_to_end.hidden_state=consumed", "reconstruction.perceptual_weight=0")


@dataclass(frozen=True)
class Dataset:
    """Where pictures come from and what is trained on them.

    Attributes:
        tokenizer_config, config, dual_encoder_config: YAMLs, and
        overrides: of all three.
        source: of its rows.
        side: of its pictures, in pixels.
        tokenizer_steps, steps, dual_encoder_steps: the budget of a tokenizer (a dVAE takes twice as
            many), of an arm, and of the dual encoder.
        model: overrides of an arm's transformer.
        reconstruction: the tokenizer's own losses, for end-to-end arms.
    """

    name: str
    tokenizer_config: str
    config: str
    dual_encoder_config: str
    tokenizer_steps: int
    steps: int
    dual_encoder_steps: int
    overrides: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    reconstruction: tuple[str, ...] = RECONSTRUCTION
    source: str = "scenes"
    side: int = 64


@dataclass(frozen=True)
class Arm:
    """One way to train the second stage.

    Attributes:
        name: of the arm.
        changes: overrides of the base.
        tokenizer: whose ids: `vq`, or `dvae` (Gumbel-softmax).
        length: steps, in those of the data set's budget.
        sampling: whether guidance, reranking and completion are measured on it as well.
        decoder_only: a control, of which the tokenizer's decoder alone is trained on, for painting
            what the two-stage arm of the same seed draws.
    """

    name: str
    changes: tuple[str, ...] = ()
    tokenizer: str = "vq"
    length: int = 1
    sampling: bool = False
    decoder_only: bool = False

    @property
    def two_objects(self) -> bool:
        """Whether its pictures may show two."""
        return "data.max_objects=2" in self.changes

    @property
    def end_to_end(self) -> bool:
        return any(change.startswith("end_to_end") for change in self.changes)

    @property
    def texts(self) -> bool:
        """Whether its pictures are compared with what a text encoder says of their captions."""
        names = ("contrasts.sentence_weight", "contrasts.word_weight")
        return any(change.startswith(names) for change in self.changes)


BASE = Arm("base")
PATTERNS = (
    Arm("dense", ("model.layer_patterns=[dense]",)),
    Arm("row", ("model.layer_patterns=[row]",)),
    Arm("column", ("model.layer_patterns=[column]",)),
    Arm("conv", ("model.layer_patterns=[conv]",)),
)
DVAE = Arm("dvae", tokenizer="dvae")
TABLES = (
    Arm("end_to_end", END_TO_END),
    Arm("end_to_end_predicting", (*END_TO_END, "end_to_end.hidden_state=predicting")),
    DVAE,
    Arm("dvae_end_to_end", END_TO_END, tokenizer="dvae"),
    Arm("tuned", END_TO_END, decoder_only=True),
    Arm("dvae_tuned", END_TO_END, tokenizer="dvae", decoder_only=True),
)
"""Of the paper's five rows, and their controls."""
JUDGED = (
    *END_TO_END,
    "reconstruction.adversarial_weight=0.2",
    "reconstruction.adversarial_start_step=200",
    "training.discriminator_optimizer.learning_rate=2.0e-4",
    "training.discriminator_optimizer.betas=[0.5, 0.9]",
    "discriminator.base_channels=32",
    "discriminator.layers=2",
)
OPTIONS = (
    Arm("end_to_end_own_ids", (*END_TO_END, "end_to_end.sampled_ids=0.3")),
    Arm("end_to_end_adversarial", JUDGED),
    Arm("end_to_end_new_decoder", (*END_TO_END, "end_to_end.decoder_start=random")),
)
CONTRASTS = (
    Arm("end_to_end", END_TO_END),
    Arm("end_to_end_adversarial", JUDGED),
    Arm("end_to_end_dual", (*JUDGED, "reconstruction.adversarial_loss=dual_contrastive")),
    Arm("end_to_end_sentences", (*JUDGED, "contrasts.sentence_weight=0.1")),
    Arm("end_to_end_words", (*JUDGED, "contrasts.word_weight=0.1")),
    Arm("end_to_end_sentences_light", (*JUDGED, "contrasts.sentence_weight=0.01")),
    Arm("end_to_end_words_light", (*JUDGED, "contrasts.word_weight=0.01")),
    Arm("end_to_end_real_fake", (*JUDGED, "contrasts.real_fake_weight=0.1")),
    Arm("end_to_end_local_global", (*JUDGED, "contrasts.local_global_weight=0.1")),
)
"""What a discriminator can be asked for, of `benchmarks/end_to_end_contrasts.py`: nothing, whether
pictures look real, and each contrast beside that. Of `OPTIONS` two are the same."""
TWICE = (Arm("twice", length=2), Arm("dvae_twice", tokenizer="dvae", length=2))
"""Two-stage, for about as long as end-to-end training takes."""
TWO_OBJECTS = (
    "data.max_objects=2",
    "data.object_weights=[1, 1]",
    "model.text_positions=24",
)
"""Scenes of one object are described without a mistake too soon to compare anything."""
DRAW_ONLY = (*TWO_OBJECTS, "objective.image_to_text_weight=0")
DESCRIBE_ONLY = (*TWO_OBJECTS, "objective.text_to_image_weight=0")
DIRECTIONS = (
    Arm("both", TWO_OBJECTS),
    Arm("draw_only", DRAW_ONLY),
    Arm("draw_only_twice", DRAW_ONLY, length=2),
    Arm("describe_only", DESCRIBE_ONLY),
    Arm("describe_only_twice", DESCRIBE_ONLY, length=2),
)

ARMS = {
    "scenes": (
        replace(BASE, sampling=True),
        *PATTERNS,
        *TABLES,
        *TWICE,
        *OPTIONS,
        *DIRECTIONS,
    ),
    "emoji": (BASE, *PATTERNS, *TABLES),
}


def two_stage_arm(data: str, tokenizer: str) -> Arm:
    """The one over the ids of a tokenizer that differs in nothing else."""
    name = BASE.name if tokenizer == "vq" else DVAE.name
    return next(arm for arm in ARMS[data] if arm.name == name)


DOWNSAMPLING = 8
"""Pixels of a side by ids of a side, of all tokenizers here."""
SMALL = (
    "model.hidden_size=192",
    "model.num_hidden_layers=4",
    "model.num_attention_heads=3",
    "training.batch_size=32",
)
LARGE = (
    "model.hidden_size=512",
    "model.num_hidden_layers=8",
    "model.num_attention_heads=8",
    "model.layer_patterns=[row, column, row, conv]",
    "training.batch_size=32",
)
"""Of a GPU, in place of the small one."""

GUMBEL = (
    "model.quantizer=gumbel",
    "objective.kl_weight=0.005",
    "objective.kl_warmup_steps=0",
    "training.optimizer.learning_rate=1.0e-3",
)
"""What makes a tokenizer a dVAE that learns in so few steps; its temperature falls over the first
three quarters of them (docs/results.md)."""
LONGER = 2
"""So many times as many steps does a dVAE take."""


def datasets(emoji: str | None, large: bool = False) -> dict[str, Dataset]:
    """By name; the drawings only where their folder is given, and `large` or small."""
    found = {
        "scenes": Dataset(
            "scenes",
            "configs/tokenizer/quickstart.yaml",
            "configs/bidirectional/quickstart.yaml",
            "configs/dual_encoder/scenes_64.yaml",
            tokenizer_steps=1000,
            steps=600,
            dual_encoder_steps=600,
            overrides=("data.max_objects=1", "data.object_weights=null"),
            model=("model.text_positions=16",),
            reconstruction=(*RECONSTRUCTION, "reconstruction.foreground_weight=3"),
        )
    }
    if emoji is not None:
        small = Dataset(
            "emoji",
            "configs/tokenizer/emoji_64.yaml",
            "configs/bidirectional/emoji_64.yaml",
            "configs/dual_encoder/emoji_64.yaml",
            tokenizer_steps=2400,
            steps=400,
            dual_encoder_steps=600,
            overrides=(f"data.source={emoji}",),
            model=SMALL,
            source=emoji,
        )
        larger = replace(
            small,
            tokenizer_steps=9600,
            steps=2000,
            overrides=(*small.overrides, "data.size=128"),
            model=LARGE,
            side=128,
        )
        found["emoji"] = larger if large else small
    return found

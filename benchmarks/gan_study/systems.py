"""What the study trains: systems, and arms that lack an idea of a system or have it otherwise."""

from dataclasses import dataclass, replace

MINUTES = 8.0
"""Of training, for each system on each data set, on two idle cores: the quickstart's. Text encoders
come on top: all GANs of a data set share them."""
ARM_MINUTES = 3.0
"""Of the base of an ablation, on scenes of one object; its arms take as many steps."""
TEXT_ENCODER_STEPS = 700
"""Of a text encoder, and of the judge."""
SIDE = 64
"""Of all pictures, in pixels."""


@dataclass(frozen=True)
class TwoStage:
    """The two-stage system on a data set.

    Attributes:
        tokenizer, transformer: YAMLs.
        tokenizer_minutes: of the system's.
        model: overrides of the transformer.
    """

    tokenizer: str
    transformer: str
    tokenizer_minutes: float
    model: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """Where pictures come from, and who else is trained on them.

    Attributes:
        source: of its rows.
        overrides: of every run on it.
        encoders: the data set whose text encoders and judge serve this one too.
        dual_encoder: the YAML of the GANs' text encoder, and of the judge.
        character_encoder: that of the text encoder that reads characters; None where it cannot.
        two_stage: None where it is not trained.
        objects: of scenes, how many they are measured with.
        attributes: a column of attributes that says more than the captions.
    """

    name: str
    source: str
    overrides: tuple[str, ...]
    encoders: str
    dual_encoder: str
    character_encoder: str | None
    two_stage: TwoStage | None = None
    objects: tuple[int, ...] = ()
    attributes: str | None = None


@dataclass(frozen=True)
class System:
    """A GAN, or an arm of one.

    Attributes:
        name: of its cells.
        config: a YAML of `configs/gan`, by its name.
        changes: overrides.
        reads_characters: whether its text encoder does, where the data's texts can be read so.
        given_attributes: whether it is told those of a column, in training and drawing.
    """

    name: str
    config: str
    changes: tuple[str, ...] = ()
    reads_characters: bool = False
    given_attributes: bool = False


SYSTEMS = (
    System("gan_cls", "gan_cls", reads_characters=True),
    System("gan_int_cls", "gan_int_cls", reads_characters=True),
    System("xmc_gan", "xmc_gan"),
    System("adma_gan", "adma_gan"),
    System("infomax_gan", "infomax_gan"),
    System("dual_contrastive", "dual_contrastive"),
)
GIVEN = System("adma_gan_given", "adma_gan", given_attributes=True)
"""Where the data have a column of attributes."""
TWO_STAGE = "two_stage"


def systems_on(data: "DataSet") -> tuple[System, ...]:
    """The GANs that are trained on a data set."""
    return SYSTEMS if data.attributes is None else (*SYSTEMS, GIVEN)


@dataclass(frozen=True)
class Ablation:
    """A system on scenes of one object, and arms that differ from it in one thing."""

    base: System
    arms: dict[str, tuple[str, ...]]

    def systems(self) -> tuple[System, ...]:
        """The base first; names say what differs."""
        base = self.base
        return (
            replace(base, name=f"arm_{base.name}"),
            *(
                replace(base, name=f"arm_{base.name}_{name}", changes=changes)
                for name, changes in self.arms.items()
            ),
        )


def _without(*terms: str) -> tuple[str, ...]:
    return tuple(f"objective.{term}_weight=0" for term in terms)


_CONTRASTS = ("sentence", "word", "real_fake", "frozen_real_fake")
_OF_MEMORY = ("attribute", "attribute_contrast")
ABLATIONS = (
    Ablation(SYSTEMS[0], {"plain": _without("wrong_pairs")}),
    Ablation(
        SYSTEMS[2],
        {
            **{f"no_{term}": _without(term) for term in _CONTRASTS},
            "no_contrast": _without(*_CONTRASTS),
            "no_word_attention": ("generator.word_attention=false",),
        },
    ),
    Ablation(
        SYSTEMS[3],
        {
            "aware": ("generator.memory.update=aware",),
            "no_memory": ("generator.memory=null", *_without(*_OF_MEMORY)),
            "fixed": ("generator.memory.learned=false",),
            "random": ("generator.memory.start=random",),
            "late": ("generator.memory.placement=late",),
            "plain": _without("wrong_pairs"),
        },
    ),
    Ablation(SYSTEMS[4], {"no_local_global": _without("local_global")}),
    Ablation(
        SYSTEMS[5],
        {
            "minimax": ("objective.generator_side=minimax",),
            "hinge": ("objective.adversarial=hinge",),
            "no_attention": ("generator.self_attention_at=null",),
        },
    ),
)

SMALL = (
    "model.hidden_size=192",
    "model.num_hidden_layers=4",
    "model.num_attention_heads=3",
)
"""Of the two-stage system on drawings: so few minutes are short for a larger one."""
ENGLISH = "data.text_column=text"
"""The language that prompts are in."""


def data_sets(emoji: str | None) -> dict[str, DataSet]:
    """By name; drawings only where their folder is given."""
    scenes = DataSet(
        "scenes",
        "scenes",
        (ENGLISH, "data.object_weights=[1, 2]"),
        encoders="scenes",
        dual_encoder="configs/dual_encoder/scenes_64.yaml",
        character_encoder="configs/dual_encoder/characters_scenes_64.yaml",
        two_stage=TwoStage(
            "configs/tokenizer/quickstart.yaml",
            "configs/bidirectional/quickstart.yaml",
            tokenizer_minutes=1.5,
        ),
        objects=(1, 2),
    )
    found = {
        "scenes": scenes,
        "one_object": replace(
            scenes,
            name="one_object",
            overrides=(ENGLISH, "data.max_objects=1", "data.object_weights=null"),
            two_stage=None,
            objects=(1,),
        ),
    }
    if emoji is not None:
        found["emoji"] = DataSet(
            "emoji",
            emoji,
            (f"data.source={emoji}", ENGLISH),
            encoders="emoji",
            dual_encoder="configs/dual_encoder/emoji_64.yaml",
            character_encoder=None,
            two_stage=TwoStage(
                "configs/tokenizer/emoji_64.yaml",
                "configs/bidirectional/emoji_64.yaml",
                tokenizer_minutes=3.0,
                model=SMALL,
            ),
            attributes="keywords",
        )
    return found

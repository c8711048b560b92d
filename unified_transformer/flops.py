"""How many operations a pass takes: matrices, visible pairs, logits.

A multiplication and an addition count as two. Norms, activations and look-ups are left out, as is
usual (PaLM, 2204.02311, appendix B).
"""

from dataclasses import dataclass
from functools import lru_cache

from unified_transformer.attention.patterns import image_mask
from unified_transformer.config import UnifiedTransformerConfig
from unified_transformer.sequence import DIRECTIONS, Task

TRAINING_PASSES = 3
"""A pass with gradients is three without: each product has one for either factor's gradient."""


@dataclass(frozen=True)
class PassFlops:
    """Of one sample in one task, forward: the blocks' `matrices`, what queries do with the
    keys they see (`attention`), and the `head`'s logits."""

    matrices: int
    attention: int
    head: int

    @property
    def blocks(self) -> int:
        """Of all blocks."""
        return self.matrices + self.attention

    @property
    def total(self) -> int:
        return self.blocks + self.head

    @property
    def training(self) -> int:
        """Forward and backward."""
        return TRAINING_PASSES * self.total

    @property
    def training_beside_frozen(self) -> int:
        """The same where matrices and head are frozen, and what learns is of a small rank beside
        them, which is left out: products that would give their own gradients are not made."""
        return self.training - self.matrices - self.head


def positions(config: UnifiedTransformerConfig, text_length: int | None = None) -> int:
    """Of one sequence, padding of the text included: `text_length`, all text positions unless
    given, [BOI] and the image's."""
    return _text(config, text_length) + 1 + config.image_positions


def forward_flops(
    config: UnifiedTransformerConfig,
    task: Task,
    text_length: int | None = None,
    every_pair: bool = False,
) -> PassFlops:
    """One sample, forward.

    Attention counts the pairs that the rule and the layer's pattern let see each other (texts
    without padding), or with `every_pair` all of them, as dense attention through a mask computes
    them.
    """
    text, width = _text(config, text_length), config.hidden_size
    length = positions(config, text)
    inner = round(config.mlp_ratio * width)
    weights = config.num_hidden_layers * width * (4 * width + 2 * inner)
    if every_pair:
        pairs = config.num_hidden_layers * length**2
    else:
        pairs = sum(
            visible_pairs(pattern, text, *config.grid, task) for pattern in config.layer_patterns
        )
    if task == "text_to_image":
        logits = config.image_positions * config.image_vocab_size
    else:
        logits = (text - 1) * config.text_vocab_size
    # Of each pair a score, and its value weighed.
    return PassFlops(2 * length * weights, 2 * 2 * width * pairs, 2 * width * logits)


def recomputed_flops(
    config: UnifiedTransformerConfig, task: Task, text_length: int | None = None
) -> int:
    """What activation checkpointing computes again of one sample: the blocks forward, but for the
    last product of each, which nothing needs the result of."""
    width, length = config.hidden_size, positions(config, text_length)
    last = 2 * length * round(config.mlp_ratio * width) * width
    blocks = forward_flops(config, task, text_length).blocks
    return blocks - config.num_hidden_layers * last


def training_flops(
    config: UnifiedTransformerConfig,
    text_length: int | None = None,
    tasks: tuple[Task, ...] = DIRECTIONS,
    own_ids: bool = False,
    frozen: bool = False,
) -> int:
    """What one pair needs, forward and backward, however it is computed: only visible pairs count
    in attention, and nothing twice. The numerator of model FLOPs utilisation (PaLM, 2204.02311,
    section 4.1), but for what paints from hidden states.

    Args:
        text_length: padded length of the texts; all text positions unless given.
        tasks: those with a weight.
        own_ids: the model draws ids itself in a pass without gradients, and its hidden states
            after those, where nothing is predicted, are learned from.
        frozen: the matrices and heads are (see `PassFlops`).
    """
    passes = [forward_flops(config, name, text_length) for name in tasks]
    flops = sum(one.training_beside_frozen if frozen else one.training for one in passes)
    if own_ids:
        again = forward_flops(config, "text_to_image", text_length)
        flops += again.total + TRAINING_PASSES * again.blocks - frozen * again.matrices
    return flops


@lru_cache(maxsize=256)
def visible_pairs(pattern: str, text: int, height: int, width: int, task: Task) -> int:
    """Pairs of a query and a key it sees, in a layer of `pattern`, with `text` tokens; all of them
    of the question, where one is asked, which nearly all of them are."""
    image = height * width
    two_sided = task != "text_to_image"
    own = int(image_mask(pattern, height, width, two_sided).sum())
    if task == "question_answering":  # all that is no image sees and is seen by everything
        return own + (text + 1) ** 2 + 2 * image * (text + 1)
    if two_sided:  # [BOI] and image see each other; the text sees them and its past
        return own + 2 * image + 1 + text * (image + 1) + text * (text + 1) // 2
    return text**2 + (image + 1) * (text + 1) + own


def _text(config: UnifiedTransformerConfig, text_length: int | None) -> int:
    return config.text_positions if text_length is None else text_length

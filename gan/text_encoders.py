"""Ids of a text -> vectors of its words and of the whole."""

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

# Reed et al. count 70 characters; theirs has the hyphen twice, where ours has the end of a line.
ALPHABET = string.ascii_lowercase + string.digits + string.punctuation + " \n"


@dataclass(frozen=True)
class TextBatch:
    """Texts as a generator and a discriminator take them.

    words: [b, word, d]; of an encoder without words, the whole is the only one.
    mask: [b, word], True where there is a word; of mixed texts how much it counts, from 0 to 1.
    sentence: [b, d].
    """

    words: Tensor
    mask: Tensor
    sentence: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "TextBatch":
        """The same done to each tensor."""
        return TextBatch(function(self.words), function(self.mask), function(self.sentence))


class TextEncoder(Protocol):
    """`width` is that of words and sentences."""

    width: int

    def __call__(self, text_ids: Tensor, text_length: Tensor) -> TextBatch:
        """Ids [b, length] and their number without padding [b]; the first and the last of them are
        the text tokenizer's [CLS] and [SEP]."""


def interpolated(texts: TextBatch) -> TextBatch:
    """The middle between each text of the batch's first half and one of the second: [b // 2]
    (GAN-INT, Reed et al., 1605.05396, section 4.3; paired as in the authors' code)."""
    half = len(texts.sentence) // 2
    first, second = texts.map(lambda t: t[:half]), texts.map(lambda t: t[half : 2 * half])
    return mixed(first, second, 0.5)


def mixed(first: TextBatch, second: TextBatch, share: float | Tensor) -> TextBatch:
    """Each text of the first [b] mixed with that of the second: `share` of the first. Words, which
    have no middle, are those of both, and count by their text's share."""
    return TextBatch(
        torch.cat([first.words, second.words], dim=1),
        torch.cat([share * first.mask, (1 - share) * second.mask], dim=1),
        share * first.sentence + (1 - share) * second.sentence,
    )


class BertTextEncoder(nn.Module):
    """Any BERT of Hugging Face. Words are its last hidden states, the sentence is their mean
    (XMC-GAN, 2101.04702, section 4.1; over the real tokens alone)."""

    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.bert, self.config = bert, bert.config
        self.width: int = bert.config.hidden_size

    def forward(self, text_ids: Tensor, text_length: Tensor) -> TextBatch:
        places = torch.arange(text_ids.shape[1], device=text_ids.device)
        mask = rearrange(places, "t -> 1 t") < rearrange(text_length, "b -> b 1")
        output = self.bert(input_ids=text_ids, attention_mask=mask.long())
        words = output.last_hidden_state
        real = rearrange(mask, "b t -> b t 1")
        total = reduce(words * real, "b t d -> b d", "sum")
        return TextBatch(words, mask, total / rearrange(text_length, "b -> b 1"))

    def save_pretrained(self, folder: Any) -> None:
        """As Hugging Face writes it."""
        self.bert.save_pretrained(folder)


class CharacterConfig(PreTrainedConfig):
    """Of a `CharacterEncoder`.

    `characters` are read of a text, `width` is that of its embedding, `channels` that of the two
    first convolutions, `hidden_size` of the last and of the recurrence; `first_character_id` is the
    id of the alphabet's first character.
    """

    model_type = "drawscribe_character_encoder"

    def __init__(
        self,
        characters: int = 201,
        width: int = 1024,
        channels: tuple[int, int] | list[int] = (384, 512),
        hidden_size: int = 256,
        first_character_id: int = 0,
        **kwargs: Any,
    ) -> None:
        self.characters = characters
        self.width = width
        self.channels = list(channels)
        self.hidden_size = hidden_size
        self.first_character_id = first_character_id
        super().__init__(**kwargs)

    @property
    def max_position_embeddings(self) -> int:
        """The most ids of a text, as a BERT's: [CLS] and [SEP] besides the characters."""
        return self.characters + 2


class CharacterEncoder(PreTrainedModel):
    """The character CNN-RNN (Reed et al., 1605.05395, section 4.1; sizes of 1605.05396's code).

    Three convolutions with two poolings turn 201 characters into 18 steps of a recurrent network,
    whose states' mean is projected. The recurrence is torch's GRU, which has its gates in the first
    step too.
    """

    config_class = CharacterConfig
    config: CharacterConfig
    base_model_prefix = "text_encoder"
    main_input_name = "text_ids"

    def __init__(self, config: CharacterConfig) -> None:
        super().__init__(config)
        self.width = config.width
        first, second = config.channels
        self.convolutions = nn.Sequential(
            nn.Conv1d(len(ALPHABET), first, 4),
            nn.ReLU(),
            nn.MaxPool1d(3),
            nn.Conv1d(first, second, 4),
            nn.ReLU(),
            nn.MaxPool1d(3),
            nn.Conv1d(second, config.hidden_size, 4),
            nn.ReLU(),
        )
        self.recurrence = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)
        self.projection = nn.Linear(config.hidden_size, config.width)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As torch initializes them."""

    def forward(self, text_ids: Tensor, text_length: Tensor) -> TextBatch:
        """Characters of other ids, [CLS], [SEP] and the padding among them, are nothing: zeros."""
        numbers = text_ids[:, 1 : 1 + self.config.characters] - self.config.first_character_id
        numbers = F.pad(numbers, (0, self.config.characters - numbers.shape[1]), value=-1)
        known = (numbers >= 0) & (numbers < len(ALPHABET))
        characters = F.one_hot(numbers.where(known, 0), len(ALPHABET)) * known[..., None]
        steps = self.convolutions(rearrange(characters.to(self.dtype), "b t c -> b c t"))
        states, _ = self.recurrence(rearrange(steps, "b c t -> b t c"))
        sentence = self.projection(reduce(states, "b t c -> b c", "mean"))
        words = rearrange(sentence, "b d -> b 1 d")
        return TextBatch(words, torch.ones_like(words[..., 0], dtype=torch.bool), sentence)

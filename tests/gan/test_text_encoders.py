"""Texts as vectors."""

import pytest
import torch
from transformers import BertConfig, BertModel

from gan import ALPHABET, BertTextEncoder, CharacterConfig, CharacterEncoder
from gan.text_encoders import interpolated
from tests.gan.conftest import WIDTH, texts


def character_encoder(**settings) -> CharacterEncoder:
    settings = {"width": WIDTH, "channels": (8, 8), "hidden_size": 8, **settings}
    return CharacterEncoder(CharacterConfig(first_character_id=5, **settings)).eval()


def encoded(text: str, length: int = 0) -> torch.Tensor:
    """[CLS] text [SEP], padded."""
    ids = [2, *(5 + ALPHABET.index(letter) for letter in text), 3]
    return torch.tensor([ids + [0] * (length - len(ids))])


def test_alphabet():
    assert len(set(ALPHABET)) == 70


def test_characters_count_and_padding_does_not():
    encoder, length = character_encoder(), torch.tensor([5])
    said = encoder(encoded("a red ring"), length)
    assert said.sentence.shape == (1, WIDTH) and said.words.shape == (1, 1, WIDTH)
    assert torch.equal(encoder(encoded("a red ring", 40), length).sentence, said.sentence)
    assert not torch.allclose(encoder(encoded("a red rang"), length).sentence, said.sentence)
    far = [encoder(encoded(text), length) for text in ("a" * 300, "a" * 201 + "b" * 99)]
    assert torch.equal(far[0].sentence, far[1].sentence)  # the rest is not read


def test_ids_of_no_characters_are_nothing():
    encoder, length, ids = character_encoder(), torch.tensor([12]), encoded("a red ring")
    ids[0, 4] = 0
    without = encoder(ids, length).sentence
    ids[0, 4] = 5 + len(ALPHABET)
    assert torch.equal(encoder(ids, length).sentence, without)


def test_steps_of_the_recurrence():
    steps = []
    encoder = character_encoder()
    encoder.recurrence.register_forward_hook(lambda m, given, out: steps.append(out[0].shape[1]))
    encoder(encoded("a ring"), torch.tensor([8]))
    assert steps == [18]


def test_character_encoder_is_saved_and_loaded(tmp_path):
    encoder, ids = character_encoder(), encoded("a red ring")
    encoder.save_pretrained(tmp_path)
    again = CharacterEncoder.from_pretrained(tmp_path)
    inputs = ids, torch.tensor([12])
    assert torch.allclose(again(*inputs).sentence, encoder(*inputs).sentence, atol=1e-6)


def test_sentence_of_bert_is_the_mean_of_real_words():
    config = BertConfig(
        vocab_size=20, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    encoder = BertTextEncoder(BertModel(config)).eval()
    ids, length = torch.tensor([[2, 7, 3, 0, 0], [2, 7, 8, 9, 3]]), torch.tensor([3, 5])
    said = encoder(ids, length)
    assert said.mask.sum(dim=1).tolist() == [3, 5] and encoder.width == WIDTH
    assert torch.allclose(said.sentence[0], said.words[0, :3].mean(dim=0), atol=1e-6)
    ids[0, 3:] = 11
    assert torch.allclose(encoder(ids, length).sentence, said.sentence, atol=1e-6)


def test_texts_of_both_halves_are_mixed():
    said = texts(4)
    said.sentence[:, :2] = torch.tensor([[1.0, 0], [0, 1], [2, 2], [4, 0]])
    between = interpolated(said)
    assert between.sentence[:, :2].tolist() == [[1.5, 1.0], [2.0, 0.5]]
    assert torch.equal(between.words, torch.cat([said.words[:2], said.words[2:]], dim=1))
    assert between.mask.sum(dim=1).tolist() == [5, 4.5]  # each word counts half


def test_a_text_without_a_partner_is_left_out():
    assert interpolated(texts(3)).sentence.shape == (1, WIDTH)


@pytest.mark.parametrize("characters", [201, 60])
def test_length_is_a_choice(characters):
    encoder = character_encoder(characters=characters)
    assert encoder(encoded("a ring"), torch.tensor([8])).sentence.shape == (1, WIDTH)

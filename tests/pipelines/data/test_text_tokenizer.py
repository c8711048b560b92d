import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pipelines.command_line import UserError
from pipelines.data.text_tokenizer import (
    SPECIAL_TOKENS,
    TextCodec,
    TextTokenizerSettings,
    load_text_tokenizer,
    train_text_tokenizer,
)

CAPTIONS = [
    "a large red circle above a small blue square",
    "a small green star; it is left of a large black cross",
    "一个大的红色圆形在一个小的蓝色正方形的上方",
    "boy: medium skin tone",
    "男孩: 中等肤色",
    "ein schönes großes rotes haus",
    "большой красный круг",
] * 3


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(train_text_tokenizer(CAPTIONS, TextTokenizerSettings()))


@pytest.mark.parametrize("caption", CAPTIONS[:7])
def test_captions_come_back_as_they_were_written(codec, caption):
    encoded = codec.encode_prompt(caption, 64)
    assert encoded.ids[0] == codec.cls_id and encoded.ids[-1] == codec.sep_id
    assert encoded.unknown == 0
    assert codec.decode_caption(encoded.ids) == caption


def test_special_tokens_are_first_and_differ(codec):
    ids = codec.tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS.values()))
    assert ids == [0, 1, 2, 3, 4]
    assert (codec.pad_id, codec.cls_id, codec.sep_id, codec.bos_id) == (0, 2, 3, 4)


def test_an_accent_is_the_same_however_it_is_written(codec):
    composed, combining = (
        codec.encode_prompt("scho\u0308nes", 64),
        codec.encode_prompt("schönes", 64),
    )
    assert composed == combining and composed != codec.encode_prompt("schones", 64)


def test_a_chinese_character_is_a_word_and_case_does_not_matter(codec):
    assert len(codec.encode_prompt("红色圆形", 64).ids) == 6
    assert codec.encode_prompt("A Large RED circle", 64) == codec.encode_prompt(
        "a large red circle", 64
    )


def test_padding_rounds_the_longest_up_to_eight_within_the_positions(codec):
    texts = [codec.encode_caption(words, 64) for words in ("a red circle", "a " * 10)]
    ids, length = codec.pad(texts, 64)
    assert ids.shape == (2, 16) and length.tolist() == [5, 12]
    for row, text in zip(ids.tolist(), texts, strict=True):
        assert row == text.ids + [codec.pad_id] * (16 - len(text.ids))
    assert codec.pad(texts, 13)[0].shape == (2, 13)


def test_unknown_characters_are_counted(codec):
    encoded = codec.encode_prompt("a red 龘 circle ☃", 64)
    assert encoded.unknown == 2
    assert encoded.ids.count(codec.tokenizer.unk_token_id) == 2
    assert codec.decode_caption(encoded.ids) == "a red circle"


def test_special_tokens_in_a_text_are_text(codec):
    ids = codec.encode_prompt("red [SEP] [PAD] circle", 64).ids
    assert ids.count(codec.sep_id) == 1 and ids.count(codec.pad_id) == 0


def test_decoding_stops_at_the_first_separator(codec):
    red = codec.encode_prompt("red", 8).ids[1]
    ids = [codec.bos_id, red, codec.sep_id, red, codec.pad_id]
    assert codec.decode_caption(ids) == "red"
    assert codec.decode_caption([]) == ""


def test_too_long_and_empty_prompts_are_refused(codec):
    assert len(codec.encode_prompt("red circle", 4).ids) == 4
    with pytest.raises(UserError, match=r"'red red circle' has 5 tokens .* 4 text positions"):
        codec.encode_prompt("red red circle", 4)
    for empty in ("", "  \n"):
        with pytest.raises(UserError, match="is empty"):
            codec.encode_prompt(empty, 4)


def test_captions_are_cut_and_keep_their_separator(codec):
    encoded = codec.encode_caption("a large red circle", 4)
    assert encoded.truncated and len(encoded.ids) == 4 and encoded.ids[-1] == codec.sep_id
    assert encoded.ids[:3] == codec.encode_caption("a large red circle", 6).ids[:3]
    assert not codec.encode_caption("a large red circle", 6).truncated


def test_saved_and_loaded_is_the_same(codec, tmp_path):
    codec.tokenizer.save_pretrained(tmp_path)
    loaded = TextCodec(load_text_tokenizer(tmp_path))
    for caption in CAPTIONS[:5]:
        assert loaded.encode_prompt(caption, 64) == codec.encode_prompt(caption, 64)
    assert vars(loaded) | {"tokenizer": None} == vars(codec) | {"tokenizer": None}


def test_vocabulary_size_is_kept_to(codec):
    small = train_text_tokenizer(CAPTIONS, TextTokenizerSettings(vocabulary_size=60))
    assert len(small) <= 60 < codec.vocabulary_size
    assert TextCodec(small).encode_prompt("red circle", 64).unknown == 0
    with pytest.raises(ValueError, match="vocabulary_size is 5"):
        TextTokenizerSettings(vocabulary_size=5)
    with pytest.raises(UserError, match="no captions"):
        train_text_tokenizer(["", " "], TextTokenizerSettings())


def test_training_does_not_depend_on_the_process(codec):
    program = (
        "import json, runpy; here = runpy.run_path('test_text_tokenizer.py');"
        "tokenizer = here['train_text_tokenizer'](here['CAPTIONS'],"
        "here['TextTokenizerSettings']());"
        "print(json.dumps(sorted(tokenizer.get_vocab().items())) == input())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(sorted(codec.tokenizer.get_vocab().items())) + "\n",
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "True", run.stderr


def foreign_tokenizer(folder: Path, **special_tokens: str) -> Path:
    """Byte-level, as GPT-2 has it: a letter is a token, nothing is unknown."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("special_tokens", "kept"),
    [
        ({}, {}),
        (dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|end|>"), {"sep": "<|end|>"}),
        ({"pad_token": "<pad>", "eos_token": "</s>"}, {"pad": "<pad>", "sep": "</s>"}),
        ({"cls_token": "<s>", "bos_token": "<s>", "sep_token": "</s>"}, {"cls": "<s>"}),
        ({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}, {"cls": "<s>"}),
    ],
)
def test_missing_special_tokens_are_mapped_or_added(tmp_path, special_tokens, kept):
    codec = TextCodec(load_text_tokenizer(foreign_tokenizer(tmp_path / "a", **special_tokens)))
    ids = {"pad": codec.pad_id, "cls": codec.cls_id, "sep": codec.sep_id, "bos": codec.bos_id}
    assert len(set(ids.values())) == 4 and max(ids.values()) < codec.vocabulary_size
    for role, token in kept.items():
        assert codec.tokenizer.convert_ids_to_tokens(ids[role]) == token
    assert codec.decode_caption(codec.encode_prompt("A dog, 一只狗", 64).ids) == "A dog, 一只狗"
    codec.tokenizer.save_pretrained(tmp_path / "b")
    again = TextCodec(load_text_tokenizer(tmp_path / "b"))
    assert (again.pad_id, again.cls_id, again.sep_id, again.bos_id) == tuple(ids.values())


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*does not exist"):
        load_text_tokenizer(tmp_path / "nowhere")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_text_tokenizer(tmp_path)


def test_what_ends_a_text_is_not_what_is_unknown(tmp_path, codec):
    assert codec.unk_id == codec.tokenizer.unk_token_id is not None
    tokens = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|end|>")
    assert TextCodec(load_text_tokenizer(foreign_tokenizer(tmp_path, **tokens))).unk_id is None


def test_words_with_hyphens_and_apostrophes_come_back_whole():
    texts = [
        "a medium-light t-shirt: the dog's",
        "don't, she'll and we've",
        "中等-浅肤色",
        "it’s 9-12",
    ]
    codec = TextCodec(train_text_tokenizer(texts, TextTokenizerSettings()))
    for text in texts:
        assert codec.decode_caption(codec.encode_caption(text, 64).ids) == text
    # Quotes stay apart, as nothing tells where they open.
    quoted = "the sign 'stop' and -"
    other = TextCodec(train_text_tokenizer([quoted], TextTokenizerSettings()))
    assert other.decode_caption(other.encode_caption(quoted, 64).ids) == "the sign ' stop ' and -"

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from pipelines.data.opening import texts_for_vocabulary
from pipelines.data.settings import DataSettings
from pipelines.data.text_tokenizer import (
    TextCodec,
    TextTokenizerSettings,
    load_text_tokenizer,
    train_text_tokenizer,
)
from pipelines.data.vocabulary_growth import Growth, grow_vocabulary

RUSSIAN = ["красный круг над синим квадратом", "круг и красный квадрат"]
POLISH = ["bułka łososia na półce", "bułka i bułka"]
OTHERS = [*RUSSIAN, *POLISH, "a zebra on the moon, 9 × 7", "大紫色圆形", "ⅷ"]


def scenes(language: str) -> list[str]:
    column = {"en": "text", "zh": "text_zh"}[language]
    return list(texts_for_vocabulary(DataSettings(source="scenes", text_column=column)))


def trained(texts, size: int = 4000) -> PreTrainedTokenizerFast:
    return train_text_tokenizer(texts, TextTokenizerSettings(vocabulary_size=size))


def encoded(tokenizer, texts) -> list[list[int]]:
    codec = TextCodec(tokenizer)
    return [codec.encode_caption(text, 1000).ids for text in texts]


def unknown(tokenizer, texts) -> int:
    codec = TextCodec(tokenizer)
    return sum(codec.encode_caption(text, 1000).unknown for text in texts)


@pytest.mark.parametrize(("first", "then"), [("en", "zh"), ("zh", "en")])
def test_what_was_known_stays_and_what_is_new_comes_back(first, then, tmp_path):
    old, new = scenes(first), scenes(then) + OTHERS
    tokenizer = trained(old)
    vocabulary, before = tokenizer.get_vocab(), encoded(tokenizer, old)
    growth = grow_vocabulary(tokenizer, iter(new), 4000)
    assert growth.before > 1000 and growth.after == 0
    assert growth.entries == len(tokenizer) - len(vocabulary)
    grown = tokenizer.get_vocab()
    assert vocabulary.items() <= grown.items()
    assert sorted(grown.values()) == list(range(len(tokenizer)))
    assert encoded(tokenizer, old) == before
    codec = TextCodec(tokenizer)
    for text in new:
        ids = codec.encode_caption(text, 1000)
        assert ids.unknown == 0 and codec.decode_caption(ids.ids) == text
    tokenizer.save_pretrained(tmp_path)
    assert encoded(load_text_tokenizer(tmp_path), old + new) == encoded(tokenizer, old + new)


words = st.text("abłж龘", min_size=1, max_size=6)
captions = st.lists(st.lists(words, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=6)


@given(captions, captions, captions, st.integers(8, 40), st.integers(8, 80))
def test_no_text_without_new_words_is_encoded_otherwise(old, new, more, size, largest):
    """Whatever the old vocabulary lacks, and however little room there is."""
    tokenizer = trained(old, size)
    texts = [text for text in old + new + more if unknown(tokenizer, [text]) == 0]
    before, entries = dict(zip(texts, encoded(tokenizer, texts), strict=True)), len(tokenizer)
    growth = grow_vocabulary(tokenizer, new * 2, largest)
    new_words = {token.content for token in tokenizer.added_tokens_decoder.values()}
    known = [text for text in texts if new_words.isdisjoint(text.replace("龘", " 龘 ").split())]
    assert encoded(tokenizer, known) == [before[text] for text in known]
    assert len(tokenizer) <= max(entries, largest)
    assert growth.after == unknown(tokenizer, new * 2) <= growth.before
    if len(tokenizer) < largest:
        assert growth.after == 0


def test_words_that_occur_often_are_entries_and_others_are_spelled():
    tokenizer = trained(["a red circle"])
    grow_vocabulary(tokenizer, ["круг", "круг", "куб"], 4000)
    spelled = [tokenizer.tokenize(word) for word in ("круг", "куб", "бу")]
    assert spelled == [["круг"], ["к", "##у", "##б"], ["б", "##у"]]


def test_spelled_words_become_entries_where_they_stand_by_themselves(tmp_path):
    tokenizer = trained(scenes("en"))
    known = ["a red circle above two squares", "whats that a cowhat", "dogs"]
    before = encoded(tokenizer, known)
    assert tokenizer.tokenize("What dog") == ["w", "##h", "##a", "##t", "d", "##o", "##g"]
    growth = grow_vocabulary(tokenizer, ["What dog?", "a dog, what redcircles", "reds"], 4000)
    assert tokenizer.tokenize("what DOG") == ["what", "dog"]
    assert tokenizer.tokenize("redcircles") == trained(scenes("en")).tokenize("redcircles")
    assert encoded(tokenizer, known) == before
    codec = TextCodec(tokenizer)
    assert codec.decode_caption(codec.encode_caption("What dog?", 9).ids) == "what dog?"
    assert growth == Growth(4, 2, 0, 24)  # with a comma and a question mark
    tokenizer.save_pretrained(tmp_path)
    again = load_text_tokenizer(tmp_path)
    assert encoded(again, ["What dog?", *known]) == encoded(tokenizer, ["What dog?", *known])
    growth = grow_vocabulary(again, ["On the beach", "the beach of dogs"], 4000)
    assert "; new entries for words that it would spell: 1." in growth.said_of("runs/old", 4000)
    assert again.tokenize("a beach dog") == ["a", "beach", "dog"]


def test_where_room_is_short_letters_come_first_and_the_rest_is_said():
    tokenizer = trained(["a red circle"])
    size = len(tokenizer)
    growth = grow_vocabulary(tokenizer, ["круг"] * 9 + ["шар"], size + 8)
    assert growth == Growth(8, 10, 1, 10)
    assert tokenizer.tokenize("круг") == ["к", "##р", "##у", "##г"]
    said = growth.said_of("runs/old", size + 8)
    assert "does not know 100.00% of the texts' tokens; 8 new entries leave 1 unknown (" in said
    assert f"text_tokenizer.vocabulary_size={size + 8} is the most it may have)." in said
    assert grow_vocabulary(tokenizer, ["шар"], size).entries == 0


def test_the_same_texts_give_the_same_entries():
    grown = []
    for _ in range(4):
        tokenizer = trained(scenes("en")[:200])
        grow_vocabulary(tokenizer, scenes("zh")[:200] + RUSSIAN * 2 + POLISH * 2, 300)
        grown.append(tokenizer.get_vocab())
    assert all(vocabulary == grown[0] for vocabulary in grown)


def test_words_too_long_for_any_vocabulary_stay_unknown():
    tokenizer = trained(["a red circle"])
    assert grow_vocabulary(tokenizer, ["ж" * 101], 4000) == Growth(0, 1, 1, 1)


def test_a_word_piece_tokenizer_with_added_tokens_grows_behind_them(tmp_path):
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "cats", "##s"]
    BertTokenizer(vocab={entry: n for n, entry in enumerate(entries)}).save_pretrained(tmp_path)
    tokenizer = load_text_tokenizer(tmp_path)  # with a [BOS]
    before = TextCodec(tokenizer)
    grow_vocabulary(tokenizer, ["a жук", "cattle"], 4000)
    after = TextCodec(tokenizer)
    assert after.bos_id == before.bos_id == len(entries)
    assert unknown(tokenizer, ["a жук", "cattle"]) == 0
    assert encoded(tokenizer, ["a cats"]) == [[2, 5, 7, 3]]
    tokenizer.save_pretrained(tmp_path / "grown")
    loaded = load_text_tokenizer(tmp_path / "grown")
    assert encoded(loaded, ["a жук cattle"]) == encoded(tokenizer, ["a жук cattle"])
    assert len(loaded) == len(tokenizer) == max(loaded.get_vocab().values()) + 1


def foreign(model) -> PreTrainedTokenizerFast:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


@pytest.mark.parametrize(
    "model",
    [
        models.Unigram([("<unk>", 0.0), ("▁", -2.0), ("a", -2.0), ("b", -2.0), ("龘b", -1.0)], 0),
        models.BPE({"<unk>": 0, "▁": 1, "a": 2, "b": 3, "ab": 4}, [("a", "b")], unk_token="<unk>"),
    ],
    ids=["unigram", "bpe"],
)
def test_other_tokenizers_get_new_characters(model, tmp_path):
    foreign(model).save_pretrained(tmp_path)
    tokenizer = load_text_tokenizer(tmp_path)
    known = ["a ab", "龘b b"] if isinstance(model, models.Unigram) else ["a ab"]
    before, size = encoded(tokenizer, known), len(tokenizer)
    growth = grow_vocabulary(tokenizer, ["ab 红红 жa", "红"], size + 1)
    assert (growth.entries, growth.before, growth.after) == (1, growth.before, 1)
    growth = grow_vocabulary(tokenizer, ["ab 红红 жa", "红"], size + 9)
    assert (growth.entries, growth.before, growth.after) == (1, 1, 0)
    codec = TextCodec(tokenizer)
    assert codec.decode_caption(codec.encode_prompt("ab 红红 жa", 64).ids) == "ab 红红 жa"
    assert encoded(tokenizer, known) == before
    assert max(codec.encode_prompt("ж", 64).ids) < len(tokenizer) == size + 2


def test_nothing_is_unknown_to_bytes():
    vocabulary = {letter: n for n, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert grow_vocabulary(tokenizer, OTHERS, 4000).entries == 0
    assert len(tokenizer) == len(vocabulary)


def test_growing_again_without_new_letters_keeps_the_words_of_before():
    tokenizer = trained(scenes("en"))
    grow_vocabulary(tokenizer, ["what dog", "a dog what"], 4000)
    before = encoded(tokenizer, ["whats dogs", "what dog"])
    # A word too long for WordPiece is [UNK] whatever it knows: no letter of it is new.
    grow_vocabulary(tokenizer, ["on the beach", "a beach", "a" * 101], 4000)
    assert encoded(tokenizer, ["whats dogs", "what dog"]) == before

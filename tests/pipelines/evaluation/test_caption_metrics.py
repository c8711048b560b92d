"""Caption metrics against pycocoevalcap called directly, and against sacrebleu."""

import shutil

import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from sacrebleu.metrics import BLEU

from pipelines.command_line import UserError
from pipelines.evaluation import caption_metrics, java_captions, java_programs
from pipelines.evaluation.caption_metrics import score_captions
from pipelines.evaluation.caption_tokens import equals_one_of, plain_tokens, tokenize
from pipelines.evaluation.figures import Missing

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")

SAID = [
    "A man is riding a brown horse on the beach.",
    "two dogs play with a red ball",
    "",
    "The café's “old” clock (a big one) isn't running - or is it?",
    "a plate with well-known food, e.g. 3.5 apples",
]
GIVEN = [
    ["A man rides a horse along the beach.", "Someone on a brown horse"],
    ["Two dogs are playing with a ball", "dogs play", "A red ball between two dogs in the grass"],
    ["a bus on the street"],
    ["The old clock of the café isn't running!"],
    ["A plate with apples and other food\nof this land"],
]


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(java_programs.shutil, "which", lambda name: None)


@pytest.fixture
def no_meteor(monkeypatch):
    """It takes seconds to start."""

    def fail(*_):
        raise java_programs.JavaError("not today")

    monkeypatch.setattr(caption_metrics, "meteor", fail)


def as_rows(texts):
    return {row: [{"caption": text} for text in some] for row, some in enumerate(texts)}


@needs_java
def test_figures_are_pycocoevalcaps(no_meteor, capfd):
    figures = score_captions(SAID, GIVEN)
    assert capfd.readouterr().out == ""
    assert figures.tokenizer == "the tokenizer of the Penn Treebank"
    tokenizer = PTBTokenizer()
    right = tokenizer.tokenize(as_rows(GIVEN))
    said = tokenizer.tokenize(as_rows([text] for text in SAID))
    bleu, _ = Bleu(4).compute_score(right, said, verbose=0)
    found = [figures.bleu_1, figures.bleu_2, figures.bleu_3, figures.bleu_4]
    assert found == pytest.approx(bleu)
    assert figures.cider_d == pytest.approx(Cider().compute_score(right, said)[0])
    assert figures.rouge_l == pytest.approx(Rouge().compute_score(right, said)[0])
    assert figures.captions == 5
    assert figures.meteor == Missing("METEOR is a Java program: not today.")
    assert "get_stanford_models" in figures.spice.reason


@needs_java
@pytest.mark.slow
def test_meteor_is_pycocoevalcaps():
    tokens, given, _ = caption_metrics.tokenize_all(SAID, GIVEN)
    right, said = dict(enumerate(given)), {row: [text] for row, text in enumerate(tokens)}
    expected, _ = Meteor().compute_score(right, said)
    # A line of METEOR's is divided by this sign.
    right[0][0] = right[0][0].replace("rides", "||| rides")
    assert java_captions.meteor(right, said) == pytest.approx(expected)


@pytest.mark.usefixtures("no_java")
def test_bleu_is_sacrebleus():
    """Where some n-grams of each order are right: else pycocoevalcap has 1e-15 of them, not 0."""
    candidates = [*SAID, "a man rides a horse along the beach"]
    references = [*GIVEN, GIVEN[0]]
    figures = score_captions(candidates, references)
    said = [plain_tokens(text) for text in candidates]
    streams = [
        [plain_tokens(texts[n]) if n < len(texts) else None for texts in references]
        for n in range(3)
    ]
    for order in range(1, 5):
        metric = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order)
        theirs = metric.corpus_score(said, streams).score / 100
        assert getattr(figures, f"bleu_{order}") == pytest.approx(theirs, abs=1e-7)


@pytest.mark.usefixtures("no_java")
def test_without_java():
    figures = score_captions(SAID, GIVEN)
    assert "a plain one" in figures.tokenizer
    for name in ("meteor", "spice"):
        assert "install a Java runtime" in getattr(figures, name).reason
    assert 0 < figures.bleu_4 < figures.bleu_1 < 1
    assert 0 < figures.cider_d < 10 and 0 < figures.rouge_l < 1


@pytest.mark.usefixtures("no_java")
def test_identical_captions():
    texts = ["a man rides a horse", "two dogs play with a red ball", "the old clock is running"]
    figures = score_captions(texts, [[text] for text in texts])
    assert figures.bleu_1 == pytest.approx(1) and figures.bleu_4 == pytest.approx(1)
    assert figures.rouge_l == pytest.approx(1) and figures.cider_d == pytest.approx(10)


def test_chinese_goes_by_character_and_never_through_java(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("Java was started")

    monkeypatch.setattr(java_programs.subprocess, "run", fail)
    said, name = tokenize(["一只Red狗，在BMW-X5 上！", "两只 猫"])
    assert said == ["一 只 red 狗 在 bmw-x5 上", "两 只 猫"]
    assert name == "Chinese by character"
    figures = score_captions(["一只狗在草地上", "两只猫"], [["一只狗在草地上"], ["三只猫"]])
    # 10 characters, all but one right.
    assert figures.bleu_1 == pytest.approx(9 / 10)
    assert "English alone" in figures.meteor.reason and "English alone" in figures.spice.reason


def test_each_caption_has_its_own_tokenizer(no_java):
    said, name = tokenize(["一只狗", "a dog", "", "猫 cat"])
    assert said == ["一 只 狗", "a dog", "", "猫 cat"]
    assert "a plain one" in name and "by character" in name


@pytest.mark.usefixtures("no_java")
def test_empty_captions_and_odd_ones():
    figures = score_captions(["", ""], [["a dog"], ["a cat", ""]])
    assert figures.bleu_1 == 0
    assert figures.cider_d == pytest.approx(0)
    figures = score_captions(["", "?!"], [[""], ["..."]])
    assert isinstance(figures.cider_d, Missing)
    assert "two rows or more" in score_captions(["a dog"], [["a dog"]]).cider_d.reason
    assert isinstance(score_captions([], []).bleu_1, Missing)
    with pytest.raises(UserError, match="row 1 has no caption"):
        score_captions(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="2 captions for 1 rows"):
        score_captions(["a", "b"], [["a"]])


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(caption_metrics, "find_spec", lambda name: None)
    figures = score_captions(SAID, GIVEN)
    assert "drawscribe[evaluation]" in figures.bleu_1.reason
    assert figures.captions == 5


@needs_java
def test_white_space_that_java_takes_for_lines():
    texts = ["a\u2028b\x85c\r\nd\x0be\tf", "g", "\ud800 h"]
    assert tokenize(texts)[0][:2] == ["a b c d e f", "g"]


def test_captions_are_equal_word_by_word():
    assert equals_one_of(["A red star.", "x"], "a  red star")
    assert not equals_one_of(["a red star"], "a red stars") and not equals_one_of([], "")
    assert equals_one_of(["medium-light skin, the dog's"], "Medium - light skin the dog ' s")
    # Signs alone have no words, and are compared themselves.
    assert equals_one_of(["?!"], "? !") and not equals_one_of(["+"], "-")
    assert not equals_one_of(["-5"], "?")

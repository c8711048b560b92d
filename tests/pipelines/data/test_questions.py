"""Questions with their answers: from wherever they are kept to the batch."""

import io
import json
import tarfile

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import encode_images
from pipelines.command_line import UserError
from pipelines.data.columns import question_answers
from pipelines.data.loader import BatchLoader
from pipelines.data.opening import open_source, open_training_data, texts_for_vocabulary
from pipelines.data.settings import CAPTIONS, DataSettings, MixtureEntry, Wanted
from pipelines.data.sources import Subset, UnreadableRow
from pipelines.data.text_batches import TextReader
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer

BOTH, ASKED = Wanted(True, True), Wanted(captions=False, questions=True)
QUESTIONS = [
    ("what is it?", ["a dog", "a hound"]),
    (["is it big?", "what is it?"], ["no", "a cat"]),
    ("is it big?", "yes"),
    (None, None),
]
PAIRS = [
    [("what is it?", "a dog"), ("what is it?", "a hound")],
    [("is it big?", "no"), ("what is it?", "a cat")],
    [("is it big?", "yes")],
    [],
]
CAPTIONS_OF = ["a dog", None, "an elephant", "a fly"]


def png(row: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 10), (60 * row, 0, 0)).save(file, "PNG")
    return file.getvalue()


def lists(cell):
    """Parquet has one type for a column."""
    return cell if isinstance(cell, list) or cell is None else [cell]


def write_table(folder):
    table = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": png(row), "path": None} for row in range(4)],
            "text": CAPTIONS_OF,
            "question": [["what is it?"] * 2, *(lists(q) for q, _ in QUESTIONS[1:])],
            "answer": [lists(answer) for _, answer in QUESTIONS],
        }
    )
    table.to_parquet(folder / "train.parquet")


def write_folder(folder):
    rows = []
    for row, (question, answer) in enumerate(QUESTIONS):
        (folder / f"{row}.png").write_bytes(png(row))
        texts = {"text": CAPTIONS_OF[row], "question": question, "answer": answer}
        rows.append(json.dumps({"file_name": f"{row}.png"} | texts))
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def write_tar(folder):
    with tarfile.open(folder / "0.tar", "w") as tar:
        for row, (question, answer) in enumerate(QUESTIONS):
            fields = json.dumps({"question": question, "answer": answer}).encode()
            files = {"png": png(row), "json": fields, "txt": (CAPTIONS_OF[row] or "").encode()}
            for ending, content in files.items():
                entry = tarfile.TarInfo(f"{row:03d}.{ending}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("write", [write_table, write_folder, write_tar])
def test_questions_are_read_from_tables_folders_and_tars(tmp_path, write):
    write(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8)
    both = open_source(settings, wanted=BOTH)
    for row, (pairs, caption) in enumerate(zip(PAIRS, CAPTIONS_OF, strict=True)):
        assert both[row].questions == pairs
        assert both[row].captions == ([caption] if caption else [])
        assert both.texts(row) == both[row].texts
    asked = open_source(settings, wanted=ASKED)
    assert asked[1].questions == PAIRS[1] and asked[1].captions == []
    with pytest.raises(UnreadableRow, match="row 3 has no question with an answer"):
        asked[3]
    with pytest.raises(UnreadableRow, match="row 1 has no caption"):
        open_source(settings)[1]
    assert open_source(settings)[0].questions == []
    words = ["what is it?", "a dog", "what is it?", "a hound", "is it big?", "no"]
    assert list(texts_for_vocabulary(settings, ASKED))[:6] == words


def test_a_stream_gives_the_same_questions(tmp_path):
    write_tar(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8, streaming=True, validation_rows=1)
    order, validation = open_training_data(settings, BOTH)
    assert validation[0].questions == PAIRS[0]
    read = [order[number] for number in range(3)]
    found = sorted((sample.source[sample.row].place, sample.source[sample.row]) for sample in read)
    assert [row.questions for _, row in found] == PAIRS[1:]


@pytest.mark.parametrize(
    ("question", "answer", "pairs"),
    [
        ("q", "a", [("q", "a")]),
        ("q", ["a", " ", None, "b"], [("q", "a"), ("q", "b")]),
        (["q", "p"], ["a", "b"], [("q", "a"), ("p", "b")]),
        (["q", "p"], [["a", "b"], ["c"]], [("q", "a"), ("q", "b"), ("p", "c")]),
        (["q"], "a", [("q", "a")]),
        (["q", None], ["a", "b"], [("q", "a")]),
        (None, "a", []),
        ("q", None, []),
        ([], [], []),
        (1, {"a": 2}, []),
    ],
)
def test_cells_of_questions_and_answers(question, answer, pairs):
    assert question_answers(question, answer) == pairs


def test_questions_and_answers_that_do_not_match_make_a_row_unreadable():
    with pytest.raises(UnreadableRow, match="2 questions and 3 answers"):
        question_answers(["q", "p"], ["a", "b", "c"])


def test_scenes_ask_what_is_true_in_either_language():
    settings = DataSettings(
        question_column=["question", "question_zh"], answer_column=["answer", "answer_zh"]
    )
    source = open_source(settings, wanted=BOTH)
    row = source[7]
    assert row.texts == source.texts(7) and set(row.texts.questions) == {"question", "question_zh"}
    english, chinese = row.texts.questions.values()
    assert len(english) >= 4 and len(chinese) >= 4
    assert english[0].question.isascii() and not chinese[0].question.isascii()
    # A caption is the same whether or not questions are read beside it.
    assert row.captions == open_source(settings)[7].captions
    with pytest.raises(UserError, match="no questions 'question' with 'answer_zh'; it has"):
        open_source(DataSettings(answer_column="answer_zh"), wanted=ASKED)


@pytest.fixture(scope="module")
def codec():
    texts = [
        *filter(None, CAPTIONS_OF),
        *(text for pairs in PAIRS for pair in pairs for text in pair),
    ]
    return TextCodec(train_text_tokenizer([*texts, "w " * 5], TextTokenizerSettings()))


def load(settings, reader, micro_batch_size=4, **options):
    order, validation = open_training_data(settings, reader.wanted)
    return BatchLoader(order, validation, 8, micro_batch_size, texts=reader, **options)


def test_a_batch_says_which_rows_have_a_caption_and_which_a_question(tmp_path, codec):
    write_folder(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8)
    (batch,) = load(settings, TextReader(codec, 24, BOTH)).step(0)
    has = list(zip(batch["has_caption"].tolist(), batch["has_question"].tolist(), strict=True))
    assert sorted(has) == [(False, True), (True, False), (True, True), (True, True)]
    for row in range(4):
        ids, length = batch["qa_ids"][row].tolist(), int(batch["qa_length"][row])
        asked = int(batch["question_length"][row])
        assert ids[0] == codec.cls_id and ids[asked - 1] == ids[length - 1] == codec.sep_id
        assert ids[asked] == codec.bos_id and set(ids[length:]) <= {codec.pad_id}
        said = (codec.decode_caption(ids), codec.decode_caption(ids[asked:]))
        if batch["has_question"][row]:
            assert any(said == pair for pairs in PAIRS for pair in pairs)
        else:
            assert said == ("", "")
        if not batch["has_caption"][row]:
            assert batch["text_length"][row] == 2


def test_one_kind_of_text_needs_no_marks(tmp_path, codec):
    write_folder(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8)
    (asked,) = load(settings, TextReader(codec, 24, ASKED), 3).step(0)
    assert asked.keys() == {"pixels", "qa_ids", "qa_length", "question_length"}
    (captions,) = load(settings, TextReader(codec, 24, CAPTIONS), 3).step(0)
    assert captions.keys() == {"pixels", "text_ids", "text_length", "caption_dropped"}


def test_all_questions_of_a_row_have_their_turn_and_captions_stay_as_they_were(tmp_path, codec):
    write_folder(tmp_path)
    settings = DataSettings(source=str(tmp_path), size=8)
    loader = load(settings, TextReader(codec, 24, BOTH), caption_dropout=0.5)
    alone = load(DataSettings(), TextReader(codec, 24), 64, caption_dropout=0.5).step(0)[0]
    beside = load(DataSettings(), TextReader(codec, 24, BOTH), 64, caption_dropout=0.5).step(0)[0]
    assert all(torch.equal(alone[name], beside[name]) for name in alone)
    seen = set()
    for step in range(20):
        (batch,) = loader.step(step)
        asked = zip(batch["qa_ids"].tolist(), batch["question_length"].tolist(), strict=True)
        seen |= {codec.decode_caption(ids[length:]) for ids, length in asked}
    assert seen == {"a dog", "a hound", "no", "a cat", "yes", ""}


def test_a_question_that_is_too_long_is_cut_before_its_answer(codec):
    whole = codec.encode_answer("is it big?", "yes", 24)
    assert not whole.truncated and whole.ids[whole.question_length] == codec.bos_id
    long = codec.encode_answer("w " * 30, "w w w", 16)
    assert long.truncated and len(long.ids) == 16 and long.question_length == 11
    assert long.ids[10] == long.ids[15] == codec.sep_id
    both = codec.encode_answer("w " * 30, "w " * 30, 16)
    assert len(both.ids) == 16 and both.question_length == 8
    short = codec.encode_answer("w", "w " * 30, 16)
    assert len(short.ids) == 16 and short.question_length == 3


def test_a_mixture_may_have_captions_here_and_questions_there(tmp_path, codec):
    for name, write in (("captions", write_folder), ("questions", write_table)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    captions = MixtureEntry(str(tmp_path / "captions"), question_column=[], answer_column=[])
    questions = MixtureEntry(str(tmp_path / "questions"), text_column=[])
    settings = DataSettings(size=8, mixture=[captions, questions])
    loader = load(settings, TextReader(codec, 24, BOTH), 100)
    (batch,) = loader.step(0)
    # Rows that cannot be read (one of four) make way for the next.
    assert torch.equal(batch["has_caption"], ~batch["has_question"])
    assert 30 < batch["has_question"].sum() < 70
    with pytest.raises(UserError, match="data.question_column is \\[\\]"):
        open_training_data(DataSettings(question_column=[], answer_column=[]), BOTH)
    with pytest.raises(UserError, match="captions names no column of the texts"):
        open_training_data(settings, ASKED)


def test_validation_rows_that_lack_what_is_trained_on_are_refused_at_the_start(tmp_path):
    """There would never be a validation loss, and with it no checkpoint."""
    write_table(tmp_path)
    data = DataSettings(source=str(tmp_path / "train.parquet"))
    order, validation = open_training_data(data, BOTH)
    loader = BatchLoader(order, validation, 8, 1)
    loader.check_validation(2, BOTH)  # row 1 has no caption, row 3 no question
    only = {
        "questions": Subset(validation, np.array([3])),
        "captions": Subset(validation, np.array([1])),
    }
    for lacking, rows in only.items():
        loader = BatchLoader(order, rows, 8, 1)
        with pytest.raises(UserError, match=f"the 1 rows that are validated on have no {lacking},"):
            loader.check_validation(4, BOTH)
        loader.check_validation(4, Wanted(lacking != "captions", lacking != "questions"))


def test_sources_without_questions_are_refused_by_name(tmp_path):
    write_tar(tmp_path)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.png").write_bytes(png(1))
    (tmp_path / "plain" / "a.txt").write_text("a")
    with pytest.raises(UserError, match="no column 'question'; it has .*question_column"):
        open_source(DataSettings(source=str(tmp_path / "plain")), wanted=BOTH)


def test_encoded_ids_keep_the_questions(tmp_path, tokenizer_checkpoint):
    (tmp_path / "pictures").mkdir()
    write_folder(tmp_path / "pictures")
    output = tmp_path / "ids"
    arguments = ["--tokenizer", tokenizer_checkpoint, "--data", tmp_path / "pictures", "--size", 32]
    columns = ["--question-column", "question", "--answer-column", "answer"]
    encode_images.main([str(a) for a in [*arguments, "--output", output, *columns]])
    settings = DataSettings(source=str(output), size=32)
    source = open_source(settings, wanted=BOTH, accept_ids=lambda index, data: None)
    assert [source[row].questions for row in range(4)] == PAIRS
    assert [source[row].captions for row in (0, 1)] == [["a dog"], []]
    with pytest.raises(
        UserError, match="no questions 'q' with 'a'; it was encoded with 'question'"
    ):
        other = DataSettings(source=str(output), question_column="q", answer_column="a")
        open_source(other, wanted=ASKED, accept_ids=lambda index, data: None)


def test_scenes_of_any_number_have_questions_to_train_on(codec):
    scenes = DataSettings(size=32)
    texts = list(texts_for_vocabulary(scenes, ASKED))
    known = TextCodec(train_text_tokenizer(texts, TextTokenizerSettings()))
    loader = load_scenes(scenes, TextReader(known, 24, ASKED))
    (batch,) = loader.step(0)
    assert loader.counts.unknown_tokens == loader.counts.truncated_texts == 0
    kinds = {known.decode_caption(ids).split()[0] for ids in batch["qa_ids"].tolist()}
    assert kinds == {"what", "how", "is", "where"}
    assert np.all(batch["qa_length"].numpy() <= 24)


def test_relations_are_asked_more_often_in_training_alone():
    def relations(split):
        settings = DataSettings(split=split, min_objects=2, max_objects=2)
        source = open_source(settings, wanted=ASKED)
        texts = (pair.question for row in range(40) for pair in source[row].questions)
        return sum(text.startswith("where") for text in texts)

    assert 30 <= relations("test") <= 40
    assert 90 <= relations("train") <= 120


def load_scenes(settings, reader):
    order, validation = open_training_data(settings, reader.wanted)
    return BatchLoader(order, validation, settings.height_width, 64, texts=reader)

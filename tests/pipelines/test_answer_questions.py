"""Answers to questions from one checkpoint folder."""

import json
import shutil

import pytest
from PIL import Image

from pipelines import BidirectionalPipeline, answer_questions, describing
from pipelines.command_line import UserError

QUESTIONS = ["what is above it?", "is it large?", "a circle of it?"]


@pytest.fixture(scope="module")
def answering(checkpoint, tmp_path_factory):
    """The checkpoint as one that was trained on questions."""
    folder = tmp_path_factory.mktemp("answering") / "checkpoint"
    shutil.copytree(checkpoint, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["tasks"] = ["question_answering"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def pipe(answering):
    return BidirectionalPipeline.from_pretrained(answering)


@pytest.fixture(scope="module")
def images():
    return [Image.new("RGB", (40, 50), colour) for colour in ("red", "blue", "green")]


def test_an_answer_is_the_same_whatever_is_answered_beside_it(pipe, images, monkeypatch):
    together = pipe.answer(images, QUESTIONS)
    assert [answer.text for answer in together] == pipe.answer_questions(images, QUESTIONS)
    for image, question, answer in zip(images, QUESTIONS, together, strict=True):
        (alone,) = pipe.answer([image], [question])
        assert alone.text == answer.text
        assert alone.log_likelihood == pytest.approx(answer.log_likelihood, rel=1e-4)
        assert "[" not in answer.text
    monkeypatch.setattr(describing, "PICTURES_AT_ONCE", 2)
    assert [answer.text for answer in pipe.answer(images, QUESTIONS)] == [a.text for a in together]


def test_an_answer_depends_on_picture_and_question(pipe, images):
    scores = {
        answer.log_likelihood
        for image in images[:2]
        for answer in pipe.answer([image], QUESTIONS[:2], max_length=3)
    }
    assert len(scores) == 4


def test_one_question_is_for_all_pictures_and_several_for_one(pipe, images):
    each = pipe.answer_questions(images, [QUESTIONS[0]] * 3)
    assert pipe.answer_questions(images, QUESTIONS[:1]) == each
    of_one = pipe.answer_questions(images[:1], QUESTIONS)
    assert of_one == pipe.answer_questions([images[0]] * 3, QUESTIONS)
    with pytest.raises(UserError, match="2 questions about 3 pictures; give one for each"):
        pipe.answer_questions(images, QUESTIONS[:2])
    with pytest.raises(UserError, match="is one text; give a list"):
        pipe.answer_questions(images[:1], QUESTIONS[0])


def test_unknown_words_of_a_question_are_warned_of(pipe, images, caplog):
    pipe.answer_questions(images[:1], ["火山?"])
    assert "of '火山?' are unknown" in caplog.text


def test_a_picture_that_is_asked_about_again_is_encoded_once(pipe, images, monkeypatch):
    encoded = []
    inner = pipe.describer.encode
    object.__setattr__(pipe.describer, "encode", lambda some: encoded.extend(some) or inner(some))
    try:
        pipe.answer([images[0], images[0], images[1]], QUESTIONS)
    finally:
        object.__setattr__(pipe.describer, "encode", inner)
    assert encoded == images[:2]


def test_impossible_questions_are_refused(pipe, checkpoint, images):
    for questions, words in (
        ([""], "the question '' is empty"),
        (["is it " * 10], "has 32 tokens .* leaves none of the model's 16 text positions"),
    ):
        with pytest.raises(UserError, match=words):
            pipe.answer(images, questions)
    with pytest.raises(UserError, match="num_beams is 0"):
        pipe.answer(images, QUESTIONS, num_beams=0)
    with pytest.raises(UserError, match="not trained for question_answering"):
        BidirectionalPipeline.from_pretrained(checkpoint).answer(images, QUESTIONS)
    with pytest.raises(UserError, match="not trained for image_to_text"):
        pipe.caption_images(images)


def test_the_command_asks_every_question_about_every_picture(answering, tmp_path, capsys, pipe):
    paths = []
    for colour in ("red", "blue"):
        paths.append(str(tmp_path / f"{colour}.png"))
        Image.new("RGB", (40, 50), colour).save(paths[-1])
    questions = ["--question", QUESTIONS[0], "--question", QUESTIONS[1]]
    answer_questions.main(["--checkpoint", str(answering), *questions, *paths, "--num-beams", "2"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["image"], row["question"]) for row in rows] == [
        (path, question) for path in paths for question in QUESTIONS[:2]
    ]
    expected = pipe.answer([Image.open(paths[1])], QUESTIONS[1:2], num_beams=2)[0]
    assert rows[3]["answer"] == expected.text
    assert rows[3]["log_likelihood"] == pytest.approx(expected.log_likelihood, abs=1e-3)
    with pytest.raises(SystemExit) as stopped:
        answer_questions.main(["--checkpoint", str(answering), "--question", " ", *paths])
    assert stopped.value.code == 2
    assert "the question ' ' is empty" in capsys.readouterr().err

"""Answers about scenes by kind, and by whoever does not look."""

import numpy as np
import pytest

from pipelines.data.scenes import questions, scene_at
from pipelines.data.scenes.questions import KINDS
from pipelines.evaluation import scene_questions
from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.evaluation.scene_questions import answer_shares, ask, commonest_answers


class Oracle:
    """Answers from the scene that a picture shows; `wrong` kinds always wrongly."""

    def __init__(self, scenes, wrong=()):
        self.known = {
            (scenes.picture(number).tobytes(), one.question): (one.kind, one.answer)
            for number, one in zip(ask(scenes).numbers, ask(scenes).questions, strict=True)
        }
        self.wrong = wrong

    def answer_questions(self, pictures, texts):
        found = [
            self.known.get((picture.tobytes(), text), ("", "nothing"))
            for picture, text in zip(pictures, texts, strict=True)
        ]
        return ["wrong" if kind in self.wrong else answer for kind, answer in found]


@pytest.fixture(scope="module")
def scenes():
    return scene_set("test", 30, 2, (64, 64))


def test_answers_are_shared_out_by_kind(scenes):
    shares = answer_shares(Oracle(scenes, wrong=("relation", "count")), scenes, {})
    assert list(shares.right) == [*KINDS, "all"]
    assert {kind for kind, share in shares.right.items() if share == 0} == {"relation", "count"}
    assert shares.right["colour"] == 1
    counted = shares.questions
    assert counted["all"] == sum(counted[kind] for kind in KINDS) == len(ask(scenes).questions)
    right = counted["all"] - counted["relation"] - counted["count"]
    assert shares.right["all"] == pytest.approx(right / counted["all"])
    # Whoever knows nothing is never right, and another scene's picture tells the oracle little.
    assert set(shares.commonest.values()) == {0}
    assert shares.another_picture["colour"] < 0.5


def test_questions_are_the_same_every_time_and_true(scenes):
    one, other = ask(scenes), ask(scenes)
    assert one.questions == other.questions and one.numbers == other.numbers
    chinese = ask(scenes, language="zh")
    assert not chinese.questions[0].question.isascii()
    pictures = one.pictures(scenes, other=True)
    assert (pictures[0] == scenes.picture(one.numbers[0] + 1)).all()
    assert (pictures[-1] == scenes.picture(0)).all()
    # One that is asked about several times is one picture, which is encoded once.
    assert len(set(map(id, pictures))) == 30
    assert (one.pictures(scenes, slice(7, 9))[1] == scenes.picture(one.numbers[8])).all()


def test_the_commonest_answer_is_that_of_training_scenes(monkeypatch):
    monkeypatch.setattr(scene_questions, "TRAINING_SCENES", 300)
    found = commonest_answers((64, 64), (1, 2))
    assert found["how many objects are there?"] in ("one", "two")
    assert found["what size is the circle?"] in ("small", "large")
    # Held-out pairs are in no training question.
    assert len(found) > 50 and all(answer for answer in found.values())
    scenes = [(scene_at(0, "train", n, 1, 2), np.random.default_rng((0, n))) for n in range(5)]
    assert {one.question for scene in scenes for one in questions(*scene)} <= found.keys()

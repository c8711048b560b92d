"""Drawing and describing from one checkpoint folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import BidirectionalPipeline, caption_images, drawing
from pipelines.command_line import UserError
from pipelines.data.transforms import to_image
from pipelines.recommended_sampling import recommend_sampling
from unified_transformer import (
    SamplingSettings,
    generate_image_ids,
    hidden_states_of,
    score_captions,
)

PROMPTS = ["a small red circle", "a large blue star above a small red circle", "a large red star"]


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def same_but_for_rounding(one, other):
    """To a level of 255: over more pictures at once a convolution rounds otherwise on some
    processors."""
    return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= 1


def test_pictures_have_the_checkpoints_size_and_the_prompts_order(pipe):
    images = pipe.generate_images(PROMPTS, num_images=2)
    assert [image.size for image in images] == [(32, 32)] * 6
    assert same(images[2], pipe.generate_images(PROMPTS[1:2])[0])


def test_same_seed_same_picture_whatever_the_batch(pipe, monkeypatch):
    together = pipe.generate_images(PROMPTS, num_images=2, seed=3)
    alone = pipe.generate_images([PROMPTS[1]], seed=4)
    assert same_but_for_rounding(together[3], alone[0]) and not same(together[2], together[3])
    among_others = pipe.generate_images(PROMPTS, seed=[7, 4, 9])[1]
    assert same_but_for_rounding(among_others, alone[0])
    monkeypatch.setattr(drawing, "PICTURES_AT_ONCE", 2)
    for one, other in zip(together, pipe.generate_images(PROMPTS, 2, seed=3), strict=True):
        assert same(one, other)


def test_captions_are_text_with_their_likelihood(pipe):
    images = [Image.new("RGB", (50, 40), "red"), np.zeros((32, 32, 3), np.uint8)]
    captions = pipe.describe(images)
    assert pipe.caption_images(images) == [caption.text for caption in captions]
    for image, caption in zip(images, captions, strict=True):
        assert caption.log_likelihood < 0 and "[" not in caption.text
        assert (
            pipe.describe([image], num_beams=3)[0].text
            == pipe.caption_images([image], num_beams=3)[0]
        )


def test_several_captions_of_a_picture_are_side_by_side(pipe):
    images = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    both = pipe.describe(images, num_beams=4, num_captions=3)
    assert len(both) == 6
    alone = pipe.describe(images[1:], num_beams=4, num_captions=3)
    assert [caption.text for caption in both[3:]] == [caption.text for caption in alone]
    for beside, caption in zip(both[3:], alone, strict=True):
        assert beside.log_likelihood == pytest.approx(caption.log_likelihood, abs=1e-4)
    assert len({caption.text for caption in both[:3]}) > 1
    with pytest.raises(UserError, match="seed is"):
        pipe.describe(images, seed=2**63 - 1, temperature=1.0, num_captions=2)


def test_given_captions_are_scored_whatever_is_scored_beside_them(pipe, monkeypatch):
    images = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    texts = ["a small red circle", "a large blue square below it", "a star"]
    scores = pipe.score_captions(images, texts)
    for row, image in zip(scores, images, strict=True):
        for score, caption in zip(row, texts, strict=True):
            text = torch.tensor([pipe.encode_prompts([caption])[0].ids])
            length = torch.tensor([text.shape[1]])
            alone = score_captions(pipe.transformer, pipe.encode_images([image]), text, length)
            assert score == pytest.approx(alone.item(), abs=1e-4)
    monkeypatch.setattr("pipelines.describing.PICTURES_AT_ONCE", 2)
    assert np.allclose(scores, pipe.score_captions(images, texts), atol=1e-4)
    with pytest.raises(UserError, match="is empty"):
        pipe.score_captions(images, [""])


def test_the_command_prints_several_captions_or_scores(checkpoint, tmp_path, capsys):
    paths = [str(tmp_path / f"{colour}.png") for colour in ("red", "blue")]
    for path, colour in zip(paths, ("red", "blue"), strict=True):
        Image.new("RGB", (40, 40), colour).save(path)
    arguments = ["--checkpoint", str(checkpoint), *paths, "--device", "cpu"]

    def printed(*more):
        caption_images.main([*arguments, *more])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    rows = printed("--num-beams", "3", "--num-captions", "2")
    assert [row["image"] for row in rows] == [path for path in paths for _ in range(2)]
    texts = ["a red circle", "a blue square"]
    rows = printed("--score", texts[0], "--score", texts[1])
    assert [row["caption"] for row in rows] == texts * 2
    assert all(row["log_likelihood"] < 0 for row in rows)
    for option, words in (
        (["--score", "a", "--num-beams", "2"], "leave --num-beams out"),
        (["--score", "a", "--seed", "1"], "leave --seed out"),
        (["--min-length", "99"], "min_length is 99, and of the 16 text positions 15"),
        (["--top-p", "0.5"], "temperature 0 does not sample"),
    ):
        with pytest.raises(SystemExit) as stop:
            caption_images.main([*arguments, *option])
        assert stop.value.code == 2 and words in capsys.readouterr().err


def test_reranking_keeps_the_candidate_whose_caption_is_likeliest(pipe):
    prompt = PROMPTS[1]
    candidates = pipe.generate_images([prompt], num_images=4, seed=8)
    best = pipe.generate_images([prompt], rerank=4, seed=8)[0]
    # The same candidates, scored one by one by the ids they were drawn with.
    text = torch.tensor([pipe.encode_prompts([prompt])[0].ids])
    ids = generate_image_ids(
        pipe.transformer, text, torch.tensor([text.shape[1]]), [[8, 9, 10, 11]], pipe.sampling
    ).ids
    scores = [
        score_captions(pipe.transformer, one[None], text, torch.tensor([text.shape[1]])).item()
        for one in ids
    ]
    assert same(best, candidates[int(np.argmax(scores))])
    two = pipe.generate_images([prompt], num_images=2, rerank=2, seed=8)
    assert same(two[0], candidates[int(np.argmax(scores[:2]))])
    assert same(two[1], candidates[2 + int(np.argmax(scores[2:]))])


def test_many_candidates_are_drawn_in_parts(pipe, monkeypatch):
    prompt = "a small red circle"
    together = pipe.generate_images([prompt], num_images=3, rerank=4, guidance_scale=2.0)
    calls = []
    generate = drawing.generate_image_ids
    monkeypatch.setattr(
        drawing,
        "generate_image_ids",
        lambda *given, **named: (calls.append(given[3]), generate(*given, **named))[1],
    )
    monkeypatch.setattr(drawing, "PICTURES_AT_ONCE", 10)
    parts = pipe.generate_images([prompt], num_images=3, rerank=4, guidance_scale=2.0)
    assert [len(seeds[0]) for seeds in calls] == [5, 5, 2]
    assert all(same(one, other) for one, other in zip(together, parts, strict=True))


def test_settings_not_given_are_those_the_checkpoint_recommends(checkpoint, tmp_path):
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    assert BidirectionalPipeline.from_pretrained(copy).sampling == SamplingSettings()
    recommend_sampling(copy, SamplingSettings(temperature=0.5, guidance_scale=1.5))
    pipe = BidirectionalPipeline.from_pretrained(copy)
    assert pipe.sampling_settings(top_k=3, temperature=None) == SamplingSettings(0.5, 3, 1.0, 1.5)
    assert same(
        pipe.generate_images(PROMPTS[:1])[0],
        pipe.generate_images(PROMPTS[:1], temperature=0.5, guidance_scale=1.5)[0],
    )


def test_unknown_words_are_counted_and_warned_of(pipe, caplog):
    pipe.generate_images(["a small red 火山"])
    assert "2 of 5 tokens" in caplog.text and "[UNK]" in caplog.text
    caplog.clear()
    pipe.score_captions([Image.new("RGB", (32, 32))], ["火山"])
    assert "2 of 2 tokens of '火山' are unknown" in caplog.text


def test_one_text_is_not_taken_for_a_list_of_letters(pipe):
    image = Image.new("RGB", (32, 32))
    for call in (
        lambda: pipe.generate_images("star"),
        lambda: pipe.score_captions([image], "star"),
    ):
        with pytest.raises(UserError, match="'star' is one text; give a list"):
            call()


@pytest.mark.parametrize("part", ["transformer/model.safetensors", "tokenizer/model.safetensors"])
def test_truncated_weights_are_refused(checkpoint, tmp_path, part):
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    data = (copy / part).read_bytes()
    (copy / part).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=part.split("/")[0]):
        BidirectionalPipeline.from_pretrained(copy)


def test_weights_that_do_not_fit_their_config_are_refused(checkpoint, tmp_path):
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    path = copy / "transformer" / "config.json"
    config = json.loads(path.read_text())
    config["num_hidden_layers"], config["layer_patterns"] = 4, ["row"]
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"do not fit its config\.json"):
        BidirectionalPipeline.from_pretrained(copy)


def test_the_first_rows_of_a_picture_can_be_kept(pipe):
    picture = pipe.generate_images([PROMPTS[1]], seed=9)[0]
    ids = pipe.encode_images([picture])
    settings = pipe.drawing_settings(complete=picture)
    assert settings.keep_rows == 2
    completed = pipe.generate_images(PROMPTS, num_images=2, complete=picture, keep_rows=3)
    assert len(completed) == 6
    again = pipe.generate_images(PROMPTS[:1], seed=1, complete=picture, keep_rows=3)[0]
    assert same(completed[1], again)
    text = torch.tensor([pipe.encode_prompts(PROMPTS[:1])[0].ids])
    drawn = generate_image_ids(
        pipe.transformer, text, torch.tensor([text.shape[1]]), [[0]], given=ids[:, :3]
    )
    assert torch.equal(drawn.ids[:, :3], ids[:, :3])
    expected = to_image(pipe.tokenizer.decode_ids(drawn.ids)[0])
    assert same_but_for_rounding(completed[0], expected)


class DarkestFirst:
    """Scores a picture by its darkness."""

    def scores(self, pictures, texts):
        assert len(pictures) == len(texts)
        self.texts = texts
        return torch.tensor([-float(np.asarray(picture).mean()) for picture in pictures])


def test_a_matcher_chooses_in_place_of_the_models_own_captions(pipe):
    matcher = DarkestFirst()
    candidates = pipe.generate_images(PROMPTS[:2], num_images=6, seed=2)
    best = pipe.generate_images(PROMPTS[:2], 2, seed=2, rerank=3, matcher=matcher)
    assert matcher.texts == [PROMPTS[0]] * 6 + [PROMPTS[1]] * 6
    brightness = [float(np.asarray(image).mean()) for image in candidates]
    for row in range(4):
        chosen = 3 * row + int(np.argmin(brightness[3 * row : 3 * row + 3]))
        assert same(best[row], candidates[chosen])


def test_end_to_end_checkpoints_paint_from_hidden_states(end_to_end_checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(end_to_end_checkpoint)
    assert pipe.drawing_settings().decoder == "hidden"
    by_hidden, by_ids = (
        pipe.generate_images(PROMPTS, 2, seed=4, decoder=decoder) for decoder in (None, "codebook")
    )
    two_stage = BidirectionalPipeline(pipe.tokenizer, pipe.codec, pipe.transformer)
    plain = two_stage.generate_images(PROMPTS, 2, seed=4)
    assert all(same(one, other) for one, other in zip(by_ids, plain, strict=True))
    assert not any(same(one, other) for one, other in zip(by_ids, by_hidden, strict=True))
    # The picture is that of a teacher-forced pass over the ids.
    text_ids, length = pipe.codec.pad(pipe.encode_prompts(PROMPTS[:1]), 16)
    ids = generate_image_ids(pipe.transformer, text_ids, length, [[4]]).ids
    hidden = hidden_states_of(pipe.transformer, text_ids, length, ids, "consumed")
    expected = np.asarray(to_image(pipe.artist.reconstructor(hidden)[0]), np.int16)
    assert np.abs(np.asarray(by_hidden[0], np.int16) - expected).max() <= 1
    best = pipe.generate_images(PROMPTS[:1], seed=4, rerank=4)[0]
    candidates = pipe.generate_images(PROMPTS[:1], 4, seed=4)
    assert any(same_but_for_rounding(best, one) for one in candidates)


def test_kept_rows_are_painted_from_their_ids_by_either_decoder(end_to_end_checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(end_to_end_checkpoint)
    picture = pipe.generate_images([PROMPTS[1]], seed=9)[0]
    by_hidden, by_ids = (
        np.asarray(pipe.generate_images(PROMPTS[:1], complete=picture, decoder=decoder)[0])
        for decoder in ("hidden", "codebook")
    )
    assert np.array_equal(by_hidden[:16], by_ids[:16])  # two rows of ids, eight pixels each
    assert not np.array_equal(by_hidden[16:], by_ids[16:])


def test_parts_that_the_index_names_must_be_there(end_to_end_checkpoint, tmp_path):
    copy = tmp_path / "checkpoint"
    shutil.copytree(end_to_end_checkpoint, copy)
    shutil.rmtree(copy / "reconstructor")
    with pytest.raises(UserError, match="lacks its folder 'reconstructor'"):
        BidirectionalPipeline.from_pretrained(copy)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decoder": "hidden"}, "was not trained end to end"),
        ({"decoder": "pixels"}, "codebook or hidden"),
        ({"keep_rows": 2}, "give one"),
        ({"complete": Image.new("RGB", (32, 32)), "keep_rows": 4}, "keep from 1 to 3"),
        ({"complete": Image.new("RGB", (32, 32)), "keep_rows": 0}, "keep from 1 to 3"),
        ({"matcher": DarkestFirst()}, "rerank"),
        ({"window": 0}, "window is 0"),
    ],
)
def test_impossible_drawings_are_refused(pipe, options, words):
    with pytest.raises(UserError, match=words):
        pipe.generate_images(PROMPTS, **options)

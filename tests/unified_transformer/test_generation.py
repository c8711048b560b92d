"""Cached decoding equals the full forward pass, in both directions."""

from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from unified_transformer import (
    CaptionSettings,
    NoRoomError,
    SamplingSettings,
    generate_answers,
    generate_captions,
    generate_image_ids,
    score_captions,
)
from unified_transformer.beam_search import beam_search
from unified_transformer.drawing import draw, with_empty_prompts
from unified_transformer.generation import (
    image_step,
    prefill_image,
    prefill_prompt,
    prefill_question,
    text_step,
)
from unified_transformer.kv_cache import ImageSteps, seen_by_each

ANSWERING = "image_to_text"
PATTERNS = [None, ["row"], ["column"], ["conv"], ["dense"]]


@pytest.mark.parametrize("implementation", ["dense", "blockwise"])
@pytest.mark.parametrize("patterns", PATTERNS)
def test_cached_drawing_equals_the_full_forward(make_model, make_batch, patterns, implementation):
    model = make_model(layer_patterns=patterns, attention_implementation=implementation)
    batch = make_batch(model.config)
    text, length, image = batch["text_ids"], batch["text_length"], batch["image_ids"]
    full = model(text, length, image, "text_to_image")
    begin, cache = prefill_prompt(model, text, length)
    torch.testing.assert_close(begin, full.hidden[:, 8], rtol=1e-4, atol=1e-5)
    steps = ImageSteps(cache)
    for index in range(35):
        places = torch.full((3, 1), index)
        hidden = image_step(model, steps, image.flatten(1)[:, [index]], places)[:, 0]
        torch.testing.assert_close(hidden, full.hidden[:, 8 + 1 + index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patterns", PATTERNS)
def test_cached_captioning_equals_the_full_forward(make_model, make_batch, patterns):
    model = make_model(layer_patterns=patterns)
    batch = make_batch(model.config, lengths=(8, 8, 8))
    text = batch["text_ids"]
    full = model(text, batch["text_length"], batch["image_ids"], "image_to_text")
    cache = prefill_image(model, batch["image_ids"])
    for position in range(8):
        hidden = text_step(model, cache, text[:, position], torch.full((3,), position))
        torch.testing.assert_close(hidden, full.hidden[:, position], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patterns", PATTERNS)
def test_cached_answering_equals_the_full_forward(make_model, make_batch, patterns):
    """Questions of several lengths: each answer begins at a place of its own."""
    model = make_model(layer_patterns=patterns)
    batch = make_batch(model.config, lengths=(8, 7, 8))
    text, asked = batch["text_ids"], torch.tensor([5, 2, 3])
    full = model(text, batch["text_length"], batch["image_ids"], ANSWERING, question_length=asked)
    question = torch.where(torch.arange(8) < asked[:, None], text, model.config.pad_token_id)
    cache = prefill_question(model, batch["image_ids"], question, asked)
    for count in range(8 - 5):
        places = asked + count
        hidden = text_step(model, cache, text.gather(1, places[:, None])[:, 0], places)
        expected = full.hidden[torch.arange(3), places]
        torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)


def test_decoding_beside_more_keys_than_are_multiplied_out(make_model, make_batch):
    """Above `PLAIN_PRODUCT_KEYS` the fused kernel attends."""
    model = make_model(grid_height=18, grid_width=16, layer_patterns=["row", "dense"])
    batch = make_batch(model.config, lengths=(8, 8, 8))
    text, length, image = batch["text_ids"], batch["text_length"], batch["image_ids"]
    full = model(text, length, image, "image_to_text").hidden
    cache = prefill_image(model, image)
    for position in range(3):
        hidden = text_step(model, cache, text[:, position], torch.full((3,), position))
        torch.testing.assert_close(hidden, full[:, position], rtol=1e-4, atol=1e-5)
    full = model(text, length, image, "text_to_image").hidden
    _, cache = prefill_prompt(model, text, length)
    steps = ImageSteps(cache)
    for index in range(3):
        hidden = image_step(model, steps, image.flatten(1)[:, [index]], torch.full((3, 1), index))
        torch.testing.assert_close(hidden[:, 0], full[:, 9 + index], rtol=1e-4, atol=1e-5)


def test_a_step_reads_only_what_its_pattern_sees():
    for pattern, seen in (("row", [5, 6, 7, 8, 9]), ("column", [1, 5, 9])):
        indices, counts = seen_by_each(pattern, 4, 4)
        assert sorted(indices[9][counts[9]].tolist()) == seen
    most = {p: seen_by_each(p, 24, 32)[0].shape[1] for p in ("row", "column", "conv")}
    assert most == {"row": 33, "column": 24, "conv": 61}


@pytest.mark.parametrize("patterns", PATTERNS)
def test_several_places_at_once_of_each_row_its_own(make_model, make_batch, patterns):
    model = make_model(layer_patterns=patterns)
    batch = make_batch(model.config)
    text, length, image = batch["text_ids"], batch["text_length"], batch["image_ids"].flatten(1)
    full = model(text, length, batch["image_ids"], "text_to_image").hidden[:, 8 + 1 :]
    _, cache = prefill_prompt(model, text, length)
    steps, starts = ImageSteps(cache), torch.tensor([[0], [2], [5]])
    for first in range(6):  # rows 1 and 2 get to where they start one by one
        places = torch.full((3, 1), first)
        image_step(model, steps, image.gather(1, places), places)
    for _ in range(6):
        places = starts + torch.arange(5)
        hidden = image_step(model, steps, image.gather(1, places), places)
        expected = full.gather(1, places[..., None].expand_as(hidden))
        torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)
        starts += 5


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("patterns", PATTERNS)
def test_drawing_in_parallel_gives_the_same_pictures(
    make_model, make_batch, patterns, temperature, scale
):
    model = make_model(layer_patterns=patterns, initializer_range=0.1)
    batch = make_batch(model.config)
    settings = SamplingSettings(temperature, top_p=0.9, guidance_scale=scale)
    seeds, passes = [[1, 2], [1, 2], [5, 6]], {}
    text, length = batch["text_ids"], batch["text_length"]
    for window in (1, 3, 5, 40):
        done = []

        def watch(ids, known, done=done):
            done.append(known)

        ids = generate_image_ids(model, text, length, seeds, settings, window, watch).ids
        passes[window] = len(done)
        if window == 1:
            one_by_one = ids
        assert torch.equal(ids, one_by_one)
    assert passes[1] == 34 and passes[5] <= 34


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_compiled_passes_draw_the_same_pictures(make_model, make_batch, device):
    model = make_model(initializer_range=0.1).to(device)
    batch = make_batch(model.config)
    text, length = batch["text_ids"].to(device), batch["text_length"].to(device)
    settings = SamplingSettings(0.9, guidance_scale=2.0)
    draw = partial(generate_image_ids, model, text, length, [[1, 2]] * 3, settings)
    for window in (1, 3):
        torch._dynamo.utils.counters.clear()
        assert torch.equal(draw(window, compiled=True).ids, draw(window).ids)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
        assert not torch._dynamo.utils.counters["graph_break"]


def test_drawing_and_describing_in_autocast(model, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ids = generate_image_ids(model, batch["text_ids"], batch["text_length"], [[0, 1]] * 3).ids
        said = generate_captions(model, ids)
    assert ids.shape == (6, 7, 5) and len(said.ids) == 6


def test_drawing_in_parallel_takes_fewer_passes_where_ids_can_be_guessed():
    def repeat_the_row_above(ids, places):
        drawn = torch.where(places < 4, places + 1, (places + 1) % 5)
        return drawn

    seen = []

    def watch(ids, known):
        seen.append((ids.clone(), known.clone()))

    ids = draw(torch.zeros(2, 1, dtype=torch.long), repeat_the_row_above, (4, 5), 5, watch)
    assert torch.equal(ids, torch.arange(5).repeat(2, 4, 1))
    assert len(seen) == 2 + 3
    counts = [known.tolist() for _, known in seen]
    assert counts == sorted(counts) and counts[-1] == [20, 20]
    for some, known in seen:
        assert torch.equal(some.flatten(1)[:, : known[0]], ids.flatten(1)[:, : known[0]])


def test_greedy_ids_are_the_likeliest_of_a_teacher_forced_pass(model, batch):
    text, length = batch["text_ids"], batch["text_length"]
    ids = generate_image_ids(model, text, length, [[0]] * 3, SamplingSettings(temperature=0)).ids
    logits = model(text, length, ids, "text_to_image").image_logits
    assert torch.equal(logits.argmax(-1), ids.flatten(1))


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_picture_depends_on_its_prompt_and_seed_not_on_its_batch(model, batch, scale):
    settings = SamplingSettings(temperature=0.9, top_p=0.95, guidance_scale=scale)
    text, length = batch["text_ids"], batch["text_length"]
    together = generate_image_ids(model, text, length, [[5, 6], [5, 6], [8, 9]], settings).ids
    alone = generate_image_ids(model, text[1:2, :5], length[1:2], [[6]], settings).ids
    assert torch.equal(alone[0], together[3])
    assert not torch.equal(together[2], together[3])
    assert not torch.equal(together[0], together[2])


def test_guidance_mixes_the_prompts_logits_with_the_empty_prompts(model, batch):
    text, length = batch["text_ids"], batch["text_length"]
    settings = SamplingSettings(temperature=0, guidance_scale=2.5)
    kept = text.clone()
    ids = generate_image_ids(model, text, length, [[0]] * 3, settings).ids
    assert torch.equal(text, kept), "the caller's prompts must stay as they are"
    both_text, both_length = with_empty_prompts(model, text, length)
    logits = model(both_text, both_length, ids.repeat(2, 1, 1), "text_to_image").image_logits
    prompt, empty = logits.chunk(2)
    assert (prompt - empty).abs().max() > 0.1
    assert torch.equal((empty + 2.5 * (prompt - empty)).argmax(-1), ids.flatten(1))


def test_captions_end_and_have_the_likelihood_that_scoring_gives(model, batch):
    said = generate_captions(model, batch["image_ids"], CaptionSettings(temperature=1.0), [1, 2, 3])
    config = model.config
    text = torch.full((3, config.text_positions), config.pad_token_id)
    for row, ids in zip(text, said.ids, strict=True):
        assert not {config.pad_token_id, config.cls_token_id, config.bos_token_id} & set(ids)
        row[: len(ids) + 2] = torch.tensor([config.cls_token_id, *ids, config.sep_token_id])[:12]
    length = torch.tensor([min(12, len(ids) + 2) for ids in said.ids])
    scores = score_captions(model, batch["image_ids"], text, length)
    torch.testing.assert_close(scores, said.log_likelihood, rtol=1e-4, atol=1e-4)


def questions_of(batch):
    """Three questions of 5, 2 and 3 tokens."""
    length = torch.tensor([5, 2, 3])
    ids = torch.where(torch.arange(5) < length[:, None], batch["text_ids"][:, :5], 0)
    return ids, length


@pytest.mark.parametrize("beams", [1, 3])
def test_answers_are_what_the_full_forward_says_after_their_questions(model, batch, beams):
    config, (asked, length) = model.config, questions_of(batch)
    settings = CaptionSettings(num_beams=beams, length_penalty=0.0)
    said = generate_answers(model, batch["image_ids"], asked, length, settings)
    never = [config.pad_token_id, config.cls_token_id, config.bos_token_id]
    for row, ids in enumerate(said.ids):
        answer = [config.bos_token_id, *ids, config.sep_token_id][: 12 - length[row]]
        text = torch.cat([asked[row, : length[row]], torch.tensor(answer)])[None]
        whole = torch.tensor([text.shape[1]])
        image, question = batch["image_ids"][row : row + 1], length[row : row + 1]
        logits = model(text, whole, image, ANSWERING, question_length=question).text_logits
        scores = logits[0, length[row] :].log_softmax(-1)
        total = scores.gather(1, text[0, length[row] + 1 :, None]).sum()
        torch.testing.assert_close(said.log_likelihood[row], total, rtol=1e-4, atol=1e-4)
        if beams == 1:
            scores[:, never] = -torch.inf
            assert torch.equal(scores.argmax(-1), text[0, length[row] + 1 :])


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_depends_on_its_question_and_picture_not_on_its_batch(model, batch, beams):
    asked, length = questions_of(batch)
    images, settings = batch["image_ids"], CaptionSettings(num_beams=beams)
    together = generate_answers(model, images, asked, length, settings)
    alone = generate_answers(model, images[1:2], asked[1:2, :2], length[1:2], settings)
    assert alone.ids[0] == together.ids[1]
    # Lengths, and with them the room for answers, stay as they are.
    another_question = asked.index_fill(1, torch.tensor([1]), 9)
    other = generate_answers(model, images, another_question, length, settings)
    another_picture = generate_answers(model, images.roll(1, 0), asked, length, settings)
    for row in range(3):
        assert other.log_likelihood[row] != together.log_likelihood[row]
        assert another_picture.log_likelihood[row] != together.log_likelihood[row]


def test_what_the_text_tokenizer_does_not_know_is_never_written(model, batch, monkeypatch):
    images = batch["image_ids"]
    for beams in (1, 3):
        said = generate_captions(model, images, CaptionSettings(beams))
        written = said.ids[0][0]
        monkeypatch.setattr(model.config, "unk_token_id", written)
        without = generate_captions(model, images, CaptionSettings(beams))
        assert not any(written in ids for ids in without.ids) and without.ids != said.ids
        monkeypatch.setattr(model.config, "unk_token_id", None)


def test_a_length_that_finds_no_room_is_refused(model, batch):
    images, (asked, length) = batch["image_ids"], questions_of(batch)
    with pytest.raises(NoRoomError, match="of the 12 text positions 11 are left"):
        generate_captions(model, images, CaptionSettings(min_length=12))
    assert len(generate_captions(model, images, CaptionSettings(min_length=11)).ids[0]) >= 10
    with pytest.raises(NoRoomError, match="6 are left"):  # after the longest question
        generate_answers(model, images, asked, length, CaptionSettings(2, min_length=7))


def test_a_question_that_leaves_no_room_is_refused(model, batch):
    asked = torch.full((3, 12), 7)
    with pytest.raises(ValueError, match="11 tokens leaves none of the 12 text positions"):
        generate_answers(model, batch["image_ids"], asked, torch.tensor([3, 11, 2]))


def test_sampled_captions_depend_on_the_seed_alone(model, batch):
    sampled = CaptionSettings(temperature=1.0)
    together = generate_captions(model, batch["image_ids"], sampled, [1, 2, 3])
    alone = generate_captions(model, batch["image_ids"][1:2], sampled, [2])
    assert alone.ids[0] == together.ids[1]


def test_max_length_is_kept(model, batch):
    for beams in (1, 3):
        said = generate_captions(model, batch["image_ids"], CaptionSettings(beams, max_length=3))
        assert all(len(ids) <= 3 for ids in said.ids)


def test_min_length_is_kept(model, batch):
    for settings in (CaptionSettings(min_length=6), CaptionSettings(3, min_length=6)):
        said = generate_captions(model, batch["image_ids"], settings)
        assert all(len(ids) >= 5 for ids in said.ids)  # the sixth is [SEP]


def test_the_best_of_several_beams_come_best_first(model, batch):
    images = batch["image_ids"]
    several = generate_captions(model, images, CaptionSettings(4, 0.0, num_captions=3))
    one = generate_captions(model, images, CaptionSettings(4, 0.0))
    assert len(several.ids) == 9
    for row in range(3):
        three = several.ids[3 * row : 3 * row + 3]
        assert len(set(map(tuple, three))) == 3
        scores = several.log_likelihood[3 * row : 3 * row + 3].tolist()
        assert scores == sorted(scores, reverse=True)
        assert scores[0] >= one.log_likelihood[row]


def test_several_samples_are_those_of_as_many_seeds(model, batch):
    images, sampled = batch["image_ids"], CaptionSettings(temperature=1.0)
    several = generate_captions(model, images, replace(sampled, num_captions=2), [1, 5, 8])
    for k in range(2):
        one = generate_captions(model, images, sampled, [1 + k, 5 + k, 8 + k])
        assert several.ids[k::2] == one.ids
        assert torch.allclose(several.log_likelihood[k::2], one.log_likelihood, atol=1e-4)


def test_one_beam_and_greedy_agree_where_greedy_is_best(make_model, make_batch):
    model = make_model(num_hidden_layers=3)
    images = make_batch(model.config)["image_ids"]
    greedy = generate_captions(model, images)
    beams = generate_captions(model, images, CaptionSettings(num_beams=4, length_penalty=0.0))
    assert (beams.log_likelihood >= greedy.log_likelihood - 1e-4).all()


def test_beam_search_goes_on_while_a_longer_caption_may_win():
    """a end: -1.9 / 2 has ended first, and b a end: -2.4 / 3 is better."""
    a, b, end = range(3)
    table = torch.full((4, 3, 3), -9.0)
    table[0, 0] = torch.tensor([-1.0, -1.2, -1.5])
    table[1, a, end], table[1, b, a], table[2, a, end] = -0.9, -1.2, 0.0
    ((found,),) = beam_search(
        lambda last, position: table[position, last],
        lambda rows, positions: None,
        torch.zeros(1, 2, dtype=torch.long),
        end,
        [4],
        1.0,
    )
    assert found.ids == [b, a] and found.log_likelihood == pytest.approx(-2.4)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_wide_beam_search_finds_the_best_of_all_continuations(penalty):
    vocabulary, length, end = 3, 4, 2
    torch.manual_seed(4)
    table = torch.randn(2, length, vocabulary, vocabulary).log_softmax(-1)
    beams = vocabulary**length
    state: list[Tensor] = [torch.arange(2).repeat_interleave(beams)]

    def scores_after(last: Tensor, position: int) -> Tensor:
        return table[state[0], position, last]

    def select(rows: Tensor, positions: int) -> None:
        state[0] = state[0][rows]

    first = torch.zeros(2, beams, dtype=torch.long)
    lengths = [length, length - 1]
    found = beam_search(scores_after, select, first, end, lengths, penalty, count=5)
    for row in range(2):
        all_of_them = []
        for n in range(lengths[row]):
            for ids in product([0, 1], repeat=n):
                tokens, total, last = [*ids, end], 0.0, 0
                for position, token in enumerate(tokens):
                    total += table[row, position, last, token].item()
                    last = token
                all_of_them.append((total / len(tokens) ** penalty, list(ids), total))
        best = sorted(all_of_them, reverse=True)[:5]
        assert [one.ids for one in found[row]] == [ids for _, ids, _ in best]
        for one, (_, _, total) in zip(found[row], best, strict=True):
            assert one.log_likelihood == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": 3, "min_length": 4}, "min_length is 4; it must be from 1 to max_length"),
        ({"num_captions": 0}, "num_captions"),
        ({"num_captions": 3, "num_beams": 2}, "choose num_beams=3 or a temperature"),
        ({"num_beams": 2, "temperature": 0.5}, "beam search"),
        ({"top_p": 2.0, "temperature": 1.0}, "top_p"),
        ({"top_p": 0.9}, "temperature 0 does not sample"),
        ({"top_k": 5, "num_beams": 2}, "temperature 0 does not sample"),
        ({"num_beams": 2, "length_penalty": 300.0}, "length_penalty is 300.0; it must be from -10"),
        ({"num_beams": 2, "length_penalty": float("nan")}, "length_penalty is nan"),
    ],
)
def test_impossible_caption_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        CaptionSettings(**change)

"""What a configuration makes of the game: its parts as they are before the first step."""

import pytest
import torch
from torch.nn import functional as F

from pipelines.configuration.assembly import gan_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import GANRun
from pipelines.text_encoding import load_text_reading
from pipelines.training.distributed import Processes
from tests.pipelines.gan.conftest import SMALL


@pytest.fixture
def assembled(dual_encoder_checkpoint):
    """name of a YAML, overrides -> the task, and what reads its texts."""

    def assemble(name: str, *overrides: str):
        source = f"text_encoder={dual_encoder_checkpoint}"
        run = [*SMALL, source, "output=nowhere", *overrides]
        config = load_configuration(f"gan/{name}.yaml", run, GANRun)
        texts = load_text_reading(config.text_encoder, config.text_positions)
        return gan_task(config, Processes(torch.device("cpu")), texts), texts

    return assemble


@pytest.mark.parametrize("start", ["phrases", "random"])
def test_a_memory_starts_at_its_phrases(start, assembled):
    task, texts = assembled("adma_gan", f"generator.memory.start={start}")
    generator = task.objective.generator
    phrases = texts.encode_prompts(generator.config.attributes)
    expected = F.normalize(texts(phrases).sentence, dim=1)
    vectors, graph = generator.memory.vectors, generator.memory.graph
    assert torch.allclose(vectors, expected, atol=1e-5) == (start == "phrases")
    # 0.75 is an attribute's own; the rest is of those that often come along with it.
    assert torch.equal(graph.diagonal(), torch.full((len(graph),), 0.75))
    assert (graph.sum(dim=1) == 1).any()


@pytest.mark.parametrize(("name", "batches"), [("xmc_gan", 2), ("adma_gan", 1)])
def test_each_turn_of_the_discriminator_has_a_batch(name, batches, assembled):
    found = assembled(name)[0].batches(0)
    assert [len(batch["pixels"]) for batch in found] == [4] * batches
    assert batches == 1 or not torch.equal(found[0]["pixels"], found[1]["pixels"])


def test_drawn_pictures_are_compared_by_the_text_encoders_picture_encoder(assembled):
    task, texts = assembled("xmc_gan")
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.equal(task.objective.frozen(pixels), texts.image_tower(pixels))
    assert not any(parameter.requires_grad for parameter in task.objective.frozen.parameters())
    without, _ = assembled("xmc_gan", "objective.frozen_real_fake_weight=0")
    assert without.objective.frozen is None


@pytest.mark.parametrize(
    ("train", "averaged"), [("false", ("generator",)), ("true", ("generator", "discriminator"))]
)
def test_a_text_encoder_that_learns_is_averaged(train, averaged, assembled):
    """With the discriminator, whose player it is of."""
    task, texts = assembled("infomax_gan", f"train_text_encoder={train}")
    assert task.averaged == averaged
    learns = [parameter.requires_grad for parameter in texts.encoder.parameters()]
    assert set(learns) == {train == "true"}


def test_noise_is_of_the_runs_seed(assembled):
    one, again, other = (
        assembled("infomax_gan", f"seed={seed}")[0].objective.noise(2, 0, 0) for seed in (3, 3, 4)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)

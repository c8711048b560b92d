"""The command that prints a plan."""

import re

import pytest
import torch

from pipelines import plan
from pipelines.configuration.assembly.work import transformer_work
from pipelines.planning.operations import sample_flops
from pipelines.planning.workload import build_on_meta, read_workload
from unified_transformer.flops import positions
from unified_transformer.sequence import DIRECTIONS

SMALL = "configs/bidirectional/ernie_vilg_300m.yaml"


def printed(capsys, *arguments: str) -> str:
    plan.main(["--config", SMALL, *arguments])
    return capsys.readouterr().out


def row(page: str, name: str) -> list[str]:
    """The figures of a row."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"  {name}  ")]
    return re.split(r" {2,}", line[2 + len(name) :].strip())


def test_a_plan_without_gpu_data_or_tokenizer(capsys):
    page = printed(capsys, "--gpus", "8", "--pairs", "145000000")
    assert row(page, "trained") == ["359.91 M"]
    assert "configs/tokenizer/ernie_vilg_vqgan_256.yaml" in page
    assert "*ZeRO 2" in page
    assert len(row(page, "in all")) == 7
    assert "once over 145.00 M pairs" in page


def test_days_follow_from_operations(capsys):
    page = printed(capsys, "--gpus", "16", "--gpu", "H100", "--utilisation", "0.4")
    workload = read_workload(SMALL, [], None, None)
    flops = sample_flops(workload)
    samples = 512 * 300_000
    seconds = samples * (flops.model / 989.5e12 + flops.encoding / 494.5e12) / 16 / 0.4
    days = float(row(page, "300,000 steps")[2])
    assert days == pytest.approx(seconds / 86400, rel=0.01)


def test_more_gpus_share_states_and_days(capsys):
    few, many = (printed(capsys, "--gpus", gpus) for gpus in ("8", "64"))
    assert float(row(few, "in all")[4]) > float(row(many, "in all")[4])  # ZeRO 3
    days = [float(row(page, "300,000 steps")[2]) for page in (few, many)]
    assert days[0] == pytest.approx(8 * days[1], rel=0.01)


def test_operations_of_end_to_end_training():
    workload = read_workload(
        "configs/bidirectional/ernie_vilg_300m_end_to_end.yaml", [], None, None
    )
    flops, model = sample_flops(workload), build_on_meta(workload)
    assert flops.reconstruction > 0
    batch = {"text_ids": torch.zeros(3, workload.text_length, dtype=torch.long)}
    batch["image_ids"] = torch.zeros(3, *workload.transformer.grid, dtype=torch.long)
    logged = transformer_work(workload.transformer, DIRECTIONS, model.reconstructor, own_ids=False)
    assert logged(batch).flops == 3 * flops.model
    mixed = read_workload(
        "configs/bidirectional/ernie_vilg_300m_end_to_end.yaml",
        ["end_to_end.sampled_ids=0.1"],
        None,
        None,
    )
    # Text to image goes once more with gradients, and once without.
    assert 1.5 < sample_flops(mixed).transformer / flops.transformer < 1.8
    logged = transformer_work(workload.transformer, DIRECTIONS, model.reconstructor, own_ids=True)
    assert logged(batch).flops == 3 * sample_flops(mixed).model


def test_rows_that_lack_a_text_are_no_work_of_its_task():
    asking = ["objective.question_answering_weight=1"]
    workload = read_workload("configs/bidirectional/tiny.yaml", asking, None, None)
    config, length = workload.transformer, workload.text_length
    batch = {
        "image_ids": torch.zeros(4, *config.grid, dtype=torch.long),
        "text_ids": torch.zeros(4, length, dtype=torch.long),
        "qa_ids": torch.zeros(4, length, dtype=torch.long),
    }
    logged = transformer_work(config, workload.tasks, None, own_ids=False)
    assert logged(batch).flops == 4 * sample_flops(workload).model
    assert logged(batch).tokens == 4 * 3 * positions(config, length)
    marks = {"has_caption": [1, 0, 0, 0], "has_question": [1, 1, 1, 0]}
    some = logged(batch | {name: torch.tensor(mark).bool() for name, mark in marks.items()})
    assert some.tokens == (2 * 1 + 3) * positions(config, length)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "configs/tokenizer/tiny.yaml"], "not of the transformer's stage"),
        (["--config", SMALL, "--gpu", "Z9"], "--gpu Z9 is not known; choose one of .*A100"),
        (["--config", SMALL, "--gpus", "7"], "batch_size is 512, which 7 processes"),
        (["--config", SMALL, "--gpus", "0"], "--gpus is 0"),
        (["--config", SMALL, "--utilisation", "40"], "--utilisation is 40"),
        (["--config", SMALL, "--text-length", "65"], "--text-length is 65"),
        (["--config", SMALL, "--gpu", "V100"], "V100 has no units for bf16"),
        (["--config", SMALL, "tokenizer=nowhere"], "no checkpoint nowhere.*--tokenizer-config"),
        (["--config", SMALL, "data.size=100"], "data.size is 100 x 100"),
    ],
)
def test_mistakes_get_a_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        plan.main(arguments)
    assert stopped.value.code == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_a_tokenizer_may_be_named_or_found(capsys, tokenizer_checkpoint):
    arguments = ["data.size=32", "training.batch_size=8"]
    named = printed(capsys, *arguments, "--tokenizer-config", "configs/tokenizer/tiny.yaml")
    assert "tokenizer: configs/tokenizer/tiny.yaml" in named
    found = printed(capsys, *arguments, f"tokenizer={tokenizer_checkpoint}")
    assert f"tokenizer: {tokenizer_checkpoint}" in found

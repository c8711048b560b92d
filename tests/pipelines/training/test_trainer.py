import json
from dataclasses import replace

import pytest
import torch

from pipelines.command_line import UserError
from pipelines.training import storage
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import read_metrics
from pipelines.training.settings import OptimizerSettings


def rows(folder, name="loss"):
    return [row for row in read_metrics(folder / "metrics.jsonl") if name in row]


def weights(trainer):
    return {
        f"{name}.{key}": value.clone()
        for name, player in trainer.parts.players.items()
        for key, value in player.module.state_dict().items()
    }


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def stop_after(toy, steps):
    """Batches that ask the process to stop (as a SIGTERM would) in their last step."""
    import os
    import signal

    def batches(step):
        if step == steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return toy.batches(step)

    return batches


def test_turns_are_taken_in_order_and_step_their_player(toy, tmp_path):
    trainer = toy.trainer(tmp_path / "run", toy.settings(steps=2))
    players = trainer.parts.players
    steps = []
    for name, player in players.items():
        step = player.step
        player.step = lambda *a, name=name, step=step: (steps.append(name), step(*a))[1]
    trainer.train(resume=False)
    assert steps == ["generator", "discriminator", "generator"]
    assert trainer.task.objective.log == [
        "turns 0",
        "after generator",
        "turns 1",
        "after discriminator",
        "after generator",
    ]


def test_micro_batches_equal_one_batch(toy, tmp_path):
    whole = toy.trainer(tmp_path / "whole", toy.settings())
    parts = toy.trainer(
        tmp_path / "parts", toy.settings(), batches=lambda step: toy.batches(step, 4)
    )
    for trainer in (whole, parts):
        assert trainer.train(resume=False)
    for ours, theirs in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-5)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_resuming_equals_never_having_stopped(toy, tmp_path, name):
    optimizer = OptimizerSettings(name=name, learning_rate=0.01, warmup_steps=3)
    settings = toy.settings(optimizer=optimizer, validate_every=3, sample_every=4)

    def trainer(folder, resume=False, **options):
        objective = toy.objective(dropout=0.2)
        return toy.trainer(tmp_path / folder, settings, resume, objective, **options)

    straight = trainer("straight")
    assert straight.train(resume=False)
    assert not trainer("stopped", batches=stop_after(toy, 5)).train(resume=False)
    resumed = trainer("stopped", resume=True)
    torch.rand(7)  # whatever happened to the random numbers meanwhile
    assert resumed.train(resume=True)
    assert resumed.task.objective.loaded["log_length"] > 0
    assert_same(weights(straight), weights(resumed))
    averages = [run.parts.averages["generator"].held for run in (straight, resumed)]
    assert_same(*averages)
    timeless = [
        [
            {k: v for k, v in row.items() if k not in ("minutes", "progress") and "per" not in k}
            for row in read_metrics(tmp_path / folder / "metrics.jsonl")
        ]
        for folder in ("straight", "stopped")
    ]
    assert timeless[0] == timeless[1]


def test_figures_of_a_player_that_came_later_are_means_over_its_own_steps(toy, tmp_path):
    trainer = toy.trainer(tmp_path / "run", toy.settings(steps=4, log_every=4))
    losses = []
    discriminator = trainer.parts.players["discriminator"]
    backward = discriminator.backward
    discriminator.backward = lambda loss: (losses.append(loss.item()), backward(loss))
    trainer.train(resume=False)
    (row,) = rows(tmp_path / "run")
    assert len(losses) == 3
    assert row["discriminator_loss"] == pytest.approx(sum(losses) / 3)


def test_what_was_wrong_with_the_data_is_told_at_the_end(toy, tmp_path, capsys):
    trainer = toy.trainer(tmp_path / "run", toy.settings(steps=2))
    trainer.train(resume=False)
    assert "samples read" not in capsys.readouterr().err
    trainer = toy.trainer(tmp_path / "other", toy.settings(steps=2))
    counts = trainer.task.reading.counts
    counts.rows, counts.truncated_texts = 32, 3
    trainer.train(resume=False)
    printed = capsys.readouterr().err
    assert "Of 32 samples read: 3 had a text cut to fit the text positions." in printed


def test_sigterm_saves_and_says_how_to_continue(toy, tmp_path, capsys):
    trainer = toy.trainer(tmp_path / "run", toy.settings(), batches=stop_after(toy, 5))
    assert not trainer.train(resume=False)
    assert storage.saved_steps(tmp_path / "run" / "state") == [5]
    assert "Stopped at step 5" in (printed := capsys.readouterr().err)
    assert "--resume" in printed


def test_resume_without_a_state_starts_anew(toy, tmp_path, capsys):
    trainer = toy.trainer(tmp_path / "run", toy.settings(), resume=True)
    assert trainer.train(resume=True)
    assert "starting anew" in capsys.readouterr().err


def test_rows_beyond_the_saved_state_are_written_again(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings(save_every=5, steps=12)).train(resume=False)
    storage.shutil.rmtree(tmp_path / "run" / "state" / "step_12")
    toy.trainer(tmp_path / "run", toy.settings(), resume=True).train(resume=True)
    assert [row["step"] for row in rows(tmp_path / "run")] == list(range(1, 13))


def test_the_checkpoint_holds_the_best_average_where_there_is_validation(toy, tmp_path):
    objective = toy.objective()
    objective.validation_losses = [3.0, 1.0, 2.0, 4.0]
    settings = toy.settings(validate_every=3, keep_states=1)
    trainer = toy.trainer(tmp_path / "run", settings, objective=objective)
    trainer.train(resume=False)
    checkpoint = open_checkpoint(tmp_path / "run" / "checkpoint")
    assert checkpoint.step == 6
    assert storage.saved_steps(tmp_path / "run" / "state") == [6, 12]
    exported = torch.load(checkpoint.tokenizer / "weights.pt")
    best = tmp_path / "run" / "state" / "step_6"
    average = storage.load_file(best / "ema" / "generator.safetensors")
    raw = storage.load_file(best / "weights" / "generator.safetensors")
    assert not torch.equal(average["0.weight"], raw["0.weight"])
    assert_same(exported, raw | average)  # buffers are the module's own


@pytest.mark.parametrize("settings", [{}, {"validate_every": 3, "export": "last"}])
def test_the_checkpoint_holds_the_last_average_where_it_is_wanted(toy, tmp_path, settings):
    objective = toy.objective()
    objective.validation_losses = [1.0, 2.0, 3.0, 4.0]
    settings = toy.settings(save_every=5, **settings)
    trainer = toy.trainer(tmp_path / "run", settings, objective=objective)
    trainer.train(resume=False)
    checkpoint = open_checkpoint(tmp_path / "run" / "checkpoint")
    assert checkpoint.step == 12
    exported = torch.load(checkpoint.tokenizer / "weights.pt")
    assert torch.equal(exported["0.weight"], trainer.parts.averages["generator"].held["0.weight"])


def test_a_run_killed_before_its_export_exports_on_resume(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings()).train(resume=False)
    index = tmp_path / "run" / "checkpoint" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"step": 5}))
    toy.trainer(tmp_path / "run", toy.settings(), resume=True).train(resume=True)
    assert open_checkpoint(tmp_path / "run").step == 12


def poisoned(toy, poison, steps):
    """Batches of which some make no finite loss."""

    def batches(step):
        return [{"x": toy.batches(step)[0]["x"] * (poison if step in steps else 1)}]

    return batches


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_skipped_and_counted(toy, tmp_path, poison, capfd):
    trainer = toy.trainer(tmp_path / "run", toy.settings(), batches=poisoned(toy, poison, {4, 7}))
    seen = {}
    plain = trainer.task.objective.turns

    def turns(batches, step):
        seen[step] = (
            weights(trainer),
            {
                name: value.clone()
                for name, value in trainer.parts.averages["generator"].held.items()
            },
        )
        yield from plain(batches, step)

    trainer.task.objective.turns = turns
    assert trainer.train(resume=False)
    for step in (4, 7):
        for before, after in zip(seen[step], seen[step + 1], strict=True):
            assert_same(before, after)
    assert trainer.position.step == 12 and trainer.position.skipped_steps == 2
    assert [row["skipped_steps"] for row in rows(tmp_path / "run", "skipped_steps")] == [
        *[0] * 4,
        *[1] * 3,
        *[2] * 5,
    ]
    assert "Step 5 was skipped: the discriminator's loss" in capfd.readouterr().err
    assert "after discriminator" in trainer.task.objective.log
    assert all(value.isfinite().all() for value in weights(trainer).values())


def test_a_gradient_that_is_not_finite_is_skipped_too(toy, tmp_path):
    """sqrt has a finite value and an infinite slope at 0."""
    trainer = toy.trainer(tmp_path / "run", toy.settings(steps=3))
    objective = trainer.task.objective
    plain = objective._generator

    def broken(batches, count):
        for terms in plain(batches, count):
            made = objective.players["generator"](batches[0]["x"])
            yield {**terms, "loss": terms["loss"] + (made * 0).abs().sum().sqrt()}

    objective._generator = broken
    before = weights(trainer)
    trainer.train(resume=False)
    after = weights(trainer)
    assert trainer.position.skipped_steps == 3
    assert_same(
        {name: value for name, value in before.items() if "generator.0" in name},
        {name: value for name, value in after.items() if "generator.0" in name},
    )


def test_a_run_that_diverges_names_its_last_state(toy, tmp_path):
    settings = toy.settings(steps=100, save_every=3)
    never_again = poisoned(toy, float("nan"), range(8, 100))
    trainer = toy.trainer(tmp_path / "run", settings, batches=never_again)
    sentence = r"in 25 steps in a row, up to step 33\..*step_30.*--resume.*learning_rate"
    with pytest.raises(UserError, match=sentence):
        trainer.train(resume=False)
    assert all(value.isfinite().all() for value in weights(trainer).values())
    resumed = toy.trainer(tmp_path / "run", toy.settings(steps=33), resume=True)
    assert resumed.train(resume=True) and resumed.position.skipped_steps == 22


def test_skipped_steps_do_not_end_a_run_while_others_are_taken(toy, tmp_path):
    settings = toy.settings(steps=60, log_every=100)
    now_and_then = poisoned(toy, float("nan"), set(range(60)) - {20, 40})
    trainer = toy.trainer(tmp_path / "run", settings, batches=now_and_then)
    assert trainer.train(resume=False)
    assert trainer.position.skipped_steps == 58


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_says_what_to_lower(toy, tmp_path, error):
    def batches(step):
        if step == 5:
            raise error
        return toy.batches(step)

    settings = toy.settings(save_every=2)
    trainer = toy.trainer(tmp_path / "run", settings, batches=batches)
    sentence = (
        r"out of memory at step 6 on cpu .* lower training\.micro_batch_size \(now 16\), or set "
        r"training\.activation_checkpointing=true, or .*step_4; continue from it with --resume"
    )
    with pytest.raises(UserError, match=sentence):
        trainer.train(resume=False)
    resumed = toy.trainer(tmp_path / "run", settings, resume=True)
    assert resumed.train(resume=True)


def test_another_error_keeps_its_traceback(toy, tmp_path):
    def batches(step):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        toy.trainer(tmp_path / "run", toy.settings(), batches=batches).train(resume=False)


@pytest.mark.parametrize("file", ["weights/generator", "ema/generator", "random", "checkpoint"])
def test_a_full_disk_leaves_the_state_before(toy, tmp_path, monkeypatch, file):
    from safetensors import SafetensorError

    settings = toy.settings(steps=8, save_every=4)
    trainer = toy.trainer(tmp_path / "run", settings)
    save_file, write_parts = storage.save_file, trainer.task.write_parts

    def full(tensors, path, *arguments):
        if trainer.position.step == 8 and file in str(path):
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        save_file(tensors, path, *arguments)

    def no_room(folder):
        if trainer.position.step == 8 and file == "checkpoint":
            raise OSError(28, "No space left on device")
        write_parts(folder)

    monkeypatch.setattr(storage, "save_file", full)
    object.__setattr__(trainer.task, "write_parts", no_room)
    sentence = (
        r"checkpoint cannot be written .*still there"
        if file == "checkpoint"
        else r"step_8 cannot be saved \(.*No space left.*step_4 is whole: make room and continue"
    )
    with pytest.raises(UserError, match=sentence):
        trainer.train(resume=False)
    left = {path.name for path in (tmp_path / "run" / "state").iterdir()}
    assert left == ({"step_4", "step_8"} if file == "checkpoint" else {"step_4"})
    assert open_checkpoint(tmp_path / "run").step == 4
    monkeypatch.undo()
    resumed = toy.trainer(tmp_path / "run", settings, resume=True)
    assert resumed.train(resume=True)
    straight = toy.trainer(tmp_path / "straight", settings)
    straight.train(resume=False)
    assert_same(weights(straight), weights(resumed))
    assert open_checkpoint(tmp_path / "run").step == 8


def test_metrics_on_a_full_disk(toy, tmp_path, monkeypatch):
    from pipelines.training.metrics import Report

    def full(report, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "write", full)
    trainer = toy.trainer(tmp_path / "run", toy.settings())
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        trainer.train(resume=False)


def test_fp16_keeps_its_loss_scale(toy, tmp_path):
    settings = toy.settings(precision="fp16", steps=8, save_every=4)
    straight = toy.trainer(tmp_path / "straight", replace(settings, precision="fp32"))
    assert straight.train(resume=False)
    stopped = toy.trainer(tmp_path / "run", settings, batches=stop_after(toy, 4))
    for player in stopped.parts.players.values():
        player.set_loss_scale({**player.loss_scale(), "scale": 1024.0})
    assert not stopped.train(resume=False)
    resumed = toy.trainer(tmp_path / "run", settings, resume=True)
    assert resumed.train(resume=True)
    assert resumed.parts.players["generator"].scaler.get_scale() == 1024.0
    for ours, theirs in zip(rows(tmp_path / "straight"), rows(tmp_path / "run"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-2)


def test_minutes_follow_the_clock_and_survive_a_resume(toy, tmp_path):
    settings = toy.settings(steps=None, minutes=0.02)
    trainer = toy.trainer(tmp_path / "run", settings)
    assert trainer.train(resume=False)
    assert trainer.position.elapsed_seconds == pytest.approx(1.2, abs=0.5)
    assert rows(tmp_path / "run")[-1]["learning_rate"] < 0.005
    again = toy.trainer(tmp_path / "run", settings, resume=True)
    assert again.train(resume=True)
    assert again.position.step == trainer.position.step


def test_a_folder_that_is_not_empty_is_refused(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings(steps=1)).train(resume=False)
    with pytest.raises(UserError, match="is not empty; continue that run with --resume"):
        toy.trainer(tmp_path / "run", toy.settings(steps=1))


def test_a_state_of_another_model_is_refused(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings()).train(resume=False)
    objective = toy.objective()
    objective.players["discriminator"] = torch.nn.Linear(8, 2)
    trainer = toy.trainer(tmp_path / "run", toy.settings(), True, objective)
    with pytest.raises(UserError, match="step_12 does not fit this configuration"):
        trainer.train(resume=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 32}, "batch_size=16.*and not 32"),
        ({"optimizer": OptimizerSettings(name="muon")}, r"optimizer\.name=adamw.*nothing to muon"),
        ({"ema_decay": 0.0}, "has an average of the weights.*continue with training.ema_decay=0.9"),
    ],
)
def test_resuming_as_another_run_is_refused(toy, tmp_path, changes, sentence):
    toy.trainer(tmp_path / "run", toy.settings()).train(resume=False)
    trainer = toy.trainer(tmp_path / "run", toy.settings(**changes), True)
    with pytest.raises(UserError, match=sentence):
        trainer.train(resume=True)


def test_another_learning_rate_counts_from_the_resume_on_and_is_said(toy, tmp_path, capsys):
    toy.trainer(tmp_path / "run", toy.settings(steps=6)).train(resume=False)
    optimizer = OptimizerSettings(
        learning_rate=0.002, schedule="constant", warmup_steps=0, weight_decay=0.7
    )
    settings = toy.settings(steps=8, optimizer=optimizer, trackers=())
    trainer = toy.trainer(tmp_path / "run", settings, resume=True)
    assert trainer.train(resume=True)
    assert (
        "Resumed at step 6. Changed: training.steps 6 -> 8, "
        "training.optimizer.learning_rate 0.01 -> 0.002, "
        "training.optimizer.weight_decay 0.01 -> 0.7, training.optimizer.warmup_steps 3 -> 0, "
        'training.optimizer.schedule "cosine" -> "constant".' in capsys.readouterr().err
    )
    assert [row["learning_rate"] for row in rows(tmp_path / "run")[-2:]] == [0.002, 0.002]
    (player, _) = trainer.parts.players.values()
    assert {group["weight_decay"] for group in player.optimizer.param_groups} == {0.7, 0.0}


def test_a_state_of_another_format_is_refused(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings()).train(resume=False)
    document = tmp_path / "run" / "state" / "step_12" / "trainer.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"format_version": 1}))
    trainer = toy.trainer(tmp_path / "run", toy.settings(), True)
    with pytest.raises(UserError, match="has state format 1, and this version reads 2"):
        trainer.train(resume=True)


def test_samples_are_drawn_on_the_way(toy, tmp_path):
    toy.trainer(tmp_path / "run", toy.settings(sample_every=5)).train(resume=False)
    names = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert names == ["step_10.txt", "step_12.txt", "step_5.txt"]


def test_bf16_covers_the_forward_pass_alone(toy, tmp_path):
    objective = toy.objective()
    seen = []
    generator = objective.players["generator"]
    generator[0].register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    generator[0].weight.register_hook(
        lambda gradient: seen.append(torch.is_autocast_enabled("cpu"))
    )
    toy.trainer(tmp_path / "run", toy.settings(precision="bf16"), objective=objective).train(False)
    assert set(seen) == {torch.bfloat16, False}
    assert generator[0].weight.dtype == torch.float32

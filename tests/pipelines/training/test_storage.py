import pytest
import torch

from pipelines.training import storage


def test_a_tree_comes_back_as_it_was(tmp_path):
    tied = torch.arange(4.0)
    tree = {
        "state": {0: {"step": torch.tensor(3.0), "moment": tied}, 1: {"moment": tied}},
        "groups": [{"lr": 0.1, "fused": True, "betas": [0.9, 0.99], "none": None}],
        "picture": torch.rand(1, 3, 2, 2).to(memory_format=torch.channels_last),
    }
    storage.write_tree(tmp_path / "tree", tree)
    read = storage.read_tree(tmp_path / "tree")
    assert torch.equal(read["picture"], tree["picture"])
    assert torch.equal(read["state"][1]["moment"], tied)
    assert read["state"][0]["step"] == 3
    assert read["groups"] == tree["groups"]


def test_a_folder_bears_its_name_only_when_committed(tmp_path):
    writing = storage.begin(tmp_path / "step_5")
    (writing / "file").write_text("half")
    assert storage.saved_steps(tmp_path) == []
    again = storage.begin(tmp_path / "step_5")
    assert list(again.iterdir()) == []
    storage.commit(again)
    assert storage.saved_steps(tmp_path) == [5]


def test_prune_keeps_the_last_and_the_best(tmp_path):
    for step in (2, 10, 30, 4):
        (tmp_path / f"step_{step}").mkdir()
    (tmp_path / "step_40.writing").mkdir()
    storage.prune(tmp_path, keep=2, best_step=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_10", "step_2", "step_30"]


def test_large_states_take_several_files_and_are_never_held_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "FILE_BYTES", 100)
    made = {f"w{i}": torch.full((10,), float(i)) for i in range(5)} | {"large": torch.ones(40)}
    storage.write_tensors(tmp_path / "weights" / "player", made.items())
    files = sorted((tmp_path / "weights").iterdir())
    assert sorted(len(storage.load_file(file)) for file in files) == [1, 1, 2, 2]
    read = storage.read_tensors(tmp_path / "weights" / "player")
    assert read.keys() == made.keys() and all(read[n].equal(made[n]) for n in made)


def test_who_does_not_write_still_asks_for_every_tensor(tmp_path):
    tensors = iter({"a": torch.ones(1), "b": torch.ones(1)}.items())
    storage.write_tensors(tmp_path / "player", tensors, writing=False)
    assert next(tensors, None) is None and not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        storage.read_tensors(tmp_path / "player")

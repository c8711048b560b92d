"""A checkpoint goes to the hub whole, in one commit, and comes back as it was."""

import json
import pickle
import shutil
import socket

import huggingface_hub
import pytest
from PIL import Image

from pipelines import BidirectionalPipeline, push_to_hub
from pipelines.command_line import UserError
from pipelines.training.checkpoint import open_checkpoint
from tests.pipelines.hub.fake_hub import StoredRepository


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def push(capsys, *arguments):
    push_to_hub.main([str(argument) for argument in arguments])
    return capsys.readouterr()


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        push_to_hub.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines()[-1].startswith("error: ")
    return said.err.splitlines()[-1]


def test_what_is_pushed_is_what_is_pulled(owner, run, capsys):
    said = push(capsys, "--checkpoint", run, "--repo", "owner/name", "--license", "mit")
    repository = owner.repositories["owner/name"]
    whole = contents(run / "checkpoint")
    pictures = {"images/training_samples.png", "images/loss_curve.png"}
    assert {*repository.files} == {*whole, *pictures, "README.md", ".gitattributes"}
    assert contents(open_checkpoint("owner/name").root) == whole
    newest = (run / "samples/step_40.png").read_bytes()
    assert repository.files["images/training_samples.png"] == newest
    assert repository.messages == ["", "Checkpoint of drawscribe"]  # made, and one commit
    assert json.loads(said.out) == {
        "url": f"{owner.url}/owner/name/commit/{repository.branches['main']}",
        "files": len(whole) + 3,
        "card_kept": False,
    }
    assert "licence" not in said.err
    assert not repository.private


def test_from_python(owner, run):
    pipe = BidirectionalPipeline.from_pretrained(run, "cpu")
    url = pipe.push_to_hub("owner/name", private=True, license="mit", commit_message="first")
    repository = owner.repositories["owner/name"]
    assert repository.private and repository.messages[-1] == "first"
    assert url.endswith(repository.branches["main"])
    assert b"license: mit" in repository.files["README.md"]
    pulled = BidirectionalPipeline.from_pretrained("owner/name", "cpu")
    pulled.push_to_hub("owner/copy")  # its run is not here, and is not invented
    copy = owner.repositories["owner/copy"].files
    assert {name: copy[name] for name in contents(run / "checkpoint")} == contents(
        run / "checkpoint"
    )
    assert b"## Data" not in copy["README.md"]
    one = BidirectionalPipeline(pipe.tokenizer, pipe.codec, pipe.transformer)
    with pytest.raises(UserError, match="put together in memory"):
        one.push_to_hub("owner/other")


def test_the_token_given_is_used(hub, run):
    pipe = BidirectionalPipeline.from_pretrained(run, "cpu")
    pipe.push_to_hub("owner/name", token="hf_of_the_owner")
    with pytest.raises(UserError, match="log in with a token"):
        pipe.push_to_hub("owner/name", token="hf_of_another")


def test_a_dry_run_needs_no_hub(run, tmp_path, use_hub, capsys):
    use_hub("http://127.0.0.1:9")
    arguments = ("--checkpoint", run, "--repo", "owner/name", "--dry-run", tmp_path / "dry")
    said = push(capsys, *arguments)
    assert said.out == f"{tmp_path / 'dry'}\n"
    assert "no licence; --license ID does" in said.err
    written = contents(tmp_path / "dry")
    assert written["README.md"].startswith(b"---\n")
    assert contents(run / "checkpoint").items() <= written.items()
    assert "is not empty" in refusal(capsys, *arguments)


def test_a_card_that_was_edited_is_pushed_as_it_is(owner, run, tmp_path, capsys):
    push(capsys, "--checkpoint", run, "--repo", "owner/name", "--dry-run", tmp_path / "dry")
    (tmp_path / "dry/README.md").write_text("mine")
    Image.new("RGB", (4, 4)).save(tmp_path / "dry/images/more.png")
    arguments = ("--checkpoint", tmp_path / "dry", "--repo", "owner/name")
    assert "is a model card already" in refusal(capsys, *arguments, "--license", "mit")
    push(capsys, *arguments)
    files = owner.repositories["owner/name"].files
    assert files.pop(".gitattributes") == b""
    assert files == contents(tmp_path / "dry")


def test_pickles_stay_here(owner, run, capsys):
    (run / "checkpoint/transformer/training_args.bin").write_bytes(pickle.dumps(print))
    (run / "checkpoint/pytorch_model.bin").write_bytes(pickle.dumps(print))
    push(capsys, "--checkpoint", run, "--repo", "owner/name")
    assert not [name for name in owner.repositories["owner/name"].files if name.endswith(".bin")]


def test_what_an_earlier_checkpoint_left_goes_and_the_rest_stays(owner, run, capsys):
    owner.repositories["owner/name"] = repository = StoredRepository()
    kept = {".gitattributes": b"", "notes.txt": b"", "images/mine.png": b"", "other/a.json": b""}
    gone = {"reconstructor/config.json": b"", "transformer/model-00002-of-00002.safetensors": b""}
    index = {"model_index.json": (run / "checkpoint/model_index.json").read_bytes()}
    repository.commit(kept | gone | index)
    push(capsys, "--checkpoint", run, "--repo", "owner/name")
    assert kept.keys() <= repository.files.keys()
    assert not gone.keys() & repository.files.keys()


@pytest.mark.parametrize("index", [b'{"_class_name": "StableDiffusionPipeline"}', b"[]", b"{"])
def test_another_model_is_left_alone(owner, run, capsys, index):
    owner.repositories["owner/name"] = repository = StoredRepository()
    there = {"model_index.json": index, "tokenizer/vocab.json": b"", "README.md": b""}
    repository.commit(there)
    assert "owner/name holds another model" in refusal(
        capsys, "--checkpoint", run, "--repo", "owner/name"
    )
    assert repository.files == there


def test_what_lies_in_a_repository_without_an_index_stays(owner, run, capsys):
    owner.repositories["owner/name"] = repository = StoredRepository()
    repository.commit({"tokenizer/vocab.json": b""})
    push(capsys, "--checkpoint", run, "--repo", "owner/name")
    assert "tokenizer/vocab.json" in repository.files


def test_a_card_that_was_edited_on_the_hub_stays(owner, run, tmp_path, capsys):
    arguments = ("--checkpoint", run, "--repo", "owner/name")
    push(capsys, *arguments)
    repository = owner.repositories["owner/name"]
    push(capsys, *arguments, "--license", "mit")
    assert b"license: mit" in repository.files["README.md"]  # ours is written anew
    repository.commit(repository.files | {"README.md": b"mine"})
    said = push(capsys, *arguments)
    assert repository.files["README.md"] == b"mine"
    assert "README.md of owner/name was not written by drawscribe, and stays" in said.err
    assert json.loads(said.out)["card_kept"]
    push(capsys, *arguments, "--dry-run", tmp_path / "dry")
    push(capsys, "--checkpoint", tmp_path / "dry", "--repo", "owner/name")
    assert repository.files["README.md"] == (tmp_path / "dry/README.md").read_bytes()  # given


def test_another_kind(owner, tokenizer_checkpoint, capsys):
    push(capsys, "--checkpoint", tokenizer_checkpoint, "--repo", "owner/tokenizer")
    assert open_checkpoint("owner/tokenizer").kind == "tokenizer"


def test_refusals(owner, run, monkeypatch, tmp_path, capsys):
    arguments = ("--checkpoint", run, "--repo", "owner/name")
    for name in ("name", "a/b/c", "/home/me", "me/..", "me/" + 200 * "x"):
        sentence = refusal(capsys, "--checkpoint", run, "--repo", name, "--dry-run", "dry")
        assert f"'{name}' is no name of a repository" in sentence and "give owner/name" in sentence
    assert "there is no folder" in refusal(capsys, "--checkpoint", "nowhere", *arguments[2:])
    assert "cannot be read" in refusal(capsys, *arguments, "--report", tmp_path)
    (tmp_path / "report.json").write_text("{}")
    assert "no report of evaluate_checkpoint.py" in refusal(
        capsys, *arguments, "--report", tmp_path
    )
    sentence = refusal(capsys, "--checkpoint", run, "--repo", "stranger/name")
    assert "stranger/name cannot be pushed" in sentence and "repository of your own" in sentence
    owner.repositories["owner/public"] = public = StoredRepository()
    public.commit({})
    sentence = refusal(capsys, "--checkpoint", run, "--repo", "owner/public", "--private")
    assert "owner/public is public" in sentence and not public.files
    monkeypatch.delenv("HF_TOKEN")
    assert "log in with a token that may write" in refusal(capsys, *arguments)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "the hub cannot be reached" in refusal(capsys, *arguments)
    assert "owner/name" not in owner.repositories


def test_damaged_runs(run, tmp_path, capsys):
    arguments = ("--checkpoint", run, "--repo", "owner/name", "--dry-run", tmp_path / "dry")
    index = json.loads((run / "checkpoint/model_index.json").read_text())
    weights = (run / "checkpoint/transformer/model.safetensors").read_bytes()
    for name, content, said in (
        ("checkpoint/transformer/model.safetensors", weights[:100], "model.safetensors cannot be"),
        ("checkpoint/model_index.json", json.dumps(index | {"kind": "x"}), "is a 'x' checkpoint"),
        ("checkpoint/model_index.json", json.dumps(index | {"sampling": 3}), "sampling is 3"),
        ("report.json", "[]", "cannot be read (it is no mapping)"),
        ("config.yaml", "training: 3", "config.yaml is damaged (training is 3, and no mapping)"),
        ("config.yaml", "model: none", "config.yaml is damaged (model is 'none', and no mapping)"),
    ):
        file = run / name
        whole = file.read_bytes() if file.exists() else b"{}"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert said in refusal(capsys, *arguments)
        file.write_bytes(whole)
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write("3\n")  # cut off
    push(capsys, *arguments)


def test_no_network(use_hub, run, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use_hub(f"http://127.0.0.1:{port}")
    sentence = refusal(capsys, "--checkpoint", run, "--repo", "owner/name")
    assert "owner/name cannot be pushed, as the hub cannot be reached" in sentence


def test_a_hub_that_breaks_off(owner, run, capsys, monkeypatch):
    monkeypatch.setattr(
        "tests.pipelines.hub.fake_hub.Handler.commit",
        lambda handler, *of: handler.refuse(400, message="the disk is full"),
    )
    sentence = refusal(capsys, "--checkpoint", run, "--repo", "owner/name")
    assert "the disk is full" in sentence and "what was there before is still there" in sentence
    shutil.rmtree(run)  # nothing of it is open

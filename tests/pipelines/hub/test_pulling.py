"""`owner/name` where a folder may stand: pulled once, kept in the cache, and nothing unpickled."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
import torch
from PIL import Image

from pipelines import BidirectionalPipeline, generate_images
from pipelines.command_line import UserError
from pipelines.dual_encoder.matcher import Matcher
from pipelines.fingerprints import folder_fingerprint
from pipelines.hub import pulling
from pipelines.hub.pulling import Repository, hub_repository, pull
from pipelines.text_encoding import load_text_reading
from pipelines.training.checkpoint import open_checkpoint
from tests.pipelines.hub.fake_hub import TOKEN

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No folder here has the name of an owner."""
    monkeypatch.chdir(tmp_path)


def refusal(name, kind=None):
    with pytest.raises(UserError) as error:
        open_checkpoint(name, kind)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def test_names():
    assert hub_repository("owner/name") == Repository("owner/name")
    assert hub_repository("owner/name@v1.0") == Repository("owner/name", "v1.0")
    assert hub_repository("owner/name@refs/pr/1") == Repository("owner/name", "refs/pr/1")
    for local in ("name", "./owner/name", "a/b/c", "/owner/name", "owner/name/", "owner/run.zip"):
        assert hub_repository(local) is None
    for leading_out in ("..", "/etc", "a/../..", "."):
        assert hub_repository(f"owner/name@{leading_out}") is None
    Path("owner").mkdir()
    assert hub_repository("owner/name") is None  # mistyped, then
    assert "name a checkpoint folder" in refusal("x" * 300)


def test_the_whole_pipeline_draws_what_the_folder_draws(hub, checkpoint):
    hub.store("owner/name", checkpoint)
    pipe = BidirectionalPipeline.from_pretrained("owner/name", "cpu")
    own = BidirectionalPipeline.from_pretrained(checkpoint, "cpu")
    prompts = ["a large red circle", "a small blue square"]
    for one, other in zip(pipe.generate_images(prompts), own.generate_images(prompts), strict=True):
        assert one.tobytes() == other.tobytes()
    assert contents(open_checkpoint("owner/name").root) == contents(checkpoint)


def test_a_folder_of_that_name_is_preferred(hub, checkpoint, tokenizer_checkpoint):
    hub.store("owner/name", checkpoint)
    shutil.copytree(tokenizer_checkpoint, "owner/name")
    assert open_checkpoint("owner/name").kind == "tokenizer"
    assert not hub.requests


def test_only_what_a_checkpoint_is_made_of_is_pulled(hub, checkpoint, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    trap = pickle.dumps(print)
    for name in ("pytorch_model.bin", "transformer/pytorch_model.bin", "transformer/model.pkl"):
        (copy / name).write_bytes(trap)
    (copy / "text_tokenizer/code.py").write_text("raise SystemExit")
    for name in ("README.md", "other/model.safetensors", "images/samples.png"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("")
    hub.store("owner/name", copy)
    assert contents(open_checkpoint("owner/name").root) == contents(checkpoint)
    assert hub.downloads() == set(contents(checkpoint))


def test_of_a_tokenizer_only_the_tokenizer(hub, checkpoint):
    hub.store("owner/name", checkpoint)
    paths = open_checkpoint("owner/name", "tokenizer")
    assert (paths.kind, paths.transformer.exists()) == ("tokenizer", False)
    assert open_checkpoint("owner/name", "bidirectional").transformer.exists()  # the rest follows


def test_another_kind_is_refused_before_its_weights_are_pulled(hub, tokenizer_checkpoint):
    hub.store("owner/name", tokenizer_checkpoint)
    sentence = refusal("owner/name", "bidirectional")
    assert sentence.startswith("owner/name is a tokenizer checkpoint where a bidirectional")
    assert hub.downloads() == {"model_index.json"}


def test_what_is_no_checkpoint(hub, tmp_path):
    repository = hub.store("owner/other", tmp_path / "none")
    repository.commit({"config.json": b"{}"})
    assert "owner/other on the hub holds no model_index.json" in refusal("owner/other")
    repository.commit({"model_index.json": b'{"_class_name": "Diffuser"}'})
    assert "model_index.json of owner/other is not the index" in refusal("owner/other")
    index = {"kind": "gan", "format_version": 1, "tasks": [], "parts": ["../secret"]}
    repository.commit({"model_index.json": json.dumps(index).encode()})
    assert "is not the index of a checkpoint" in refusal("owner/other")
    repository.commit({"model_index.json": json.dumps(index | {"parts": ["generator"]}).encode()})
    assert "owner/other lacks its folder 'generator'" in refusal("owner/other")


def test_revisions(hub, checkpoint, tokenizer_checkpoint):
    repository = hub.store("owner/name", tokenizer_checkpoint)
    repository.branches["v1"] = first = repository.branches["main"]
    hub.store("owner/name", checkpoint)
    kinds = [open_checkpoint(name).kind for name in ("owner/name", "owner/name@v1")]
    assert kinds == ["bidirectional", "tokenizer"]
    assert open_checkpoint(f"owner/name@{first}").kind == "tokenizer"
    assert "owner/name on the hub has no revision v2" in refusal("owner/name@v2")


def test_the_cache_is_used_and_a_new_commit_is_seen(hub, checkpoint, tokenizer_checkpoint):
    hub.store("owner/name", tokenizer_checkpoint)
    open_checkpoint("owner/name")
    hub.requests.clear()
    assert open_checkpoint("owner/name").kind == "tokenizer"
    assert not hub.downloads()
    hub.store("owner/name", checkpoint)
    assert open_checkpoint("owner/name").kind == "bidirectional"


def test_drawing_asks_the_hub_once(hub, checkpoint):
    hub.store("owner/name", checkpoint)
    open_checkpoint("owner/name")
    hub.requests.clear()
    open_checkpoint("owner/name")
    asked = len(hub.requests)
    hub.requests.clear()
    command = ["--checkpoint", "owner/name", "--prompt", "a red circle", "--output", "drawn"]
    generate_images.main([*command, "--device", "cpu"])
    assert len(hub.requests) == asked
    (said,) = map(json.loads, Path("drawn/metadata.jsonl").read_text().splitlines())
    assert said["checkpoint"] == folder_fingerprint(checkpoint)


def test_parts_are_of_the_commit_whose_index_was_read(hub, checkpoint, tokenizer_checkpoint):
    hub.store("owner/name", checkpoint)

    def parts(folder):
        hub.store("owner/name", tokenizer_checkpoint)  # pushed at that moment
        return ("tokenizer", "transformer")

    folder = pull(Repository("owner/name"), "model_index.json", parts)
    for file in ("tokenizer/model.safetensors", "transformer/model.safetensors"):
        assert (folder / file).read_bytes() == (checkpoint / file).read_bytes()


def test_of_several_at_once_one_downloads(hub, checkpoint):
    hub.store("owner/name", checkpoint)
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(open_checkpoint, ["owner/name"] * 4))
    assert contents(opened[0].root) == contents(checkpoint)
    weights = [path for method, path in hub.requests if method == "GET" and "safetensors" in path]
    assert len(weights) == len(set(weights)) == 2


def test_offline(hub, checkpoint, monkeypatch):
    hub.store("owner/name", checkpoint)
    root = open_checkpoint("owner/name").root
    hub.store("owner/tokenizer", checkpoint)
    open_checkpoint("owner/tokenizer", "tokenizer")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert open_checkpoint("owner/name").root == root
    sentence = refusal("owner/none")
    assert sentence.startswith("there is no folder owner/none, and with HF_HUB_OFFLINE")
    assert "owner/tokenizer is here only in part, and with HF_HUB_OFF" in refusal("owner/tokenizer")
    assert not hub.requests


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_no_network(hub, use_hub, checkpoint):
    hub.store("owner/name", checkpoint)
    root = open_checkpoint("owner/name").root
    use_hub(f"http://127.0.0.1:{closed_port()}")
    start = time.monotonic()
    assert open_checkpoint("owner/name").root == root
    sentence = refusal("runs/quickstart")
    assert sentence.startswith("there is no folder runs/quickstart, and the hub")
    assert "cannot be reached" in sentence and "name a checkpoint folder" in sentence
    assert time.monotonic() - start < 5


def test_a_hub_that_says_nothing_is_not_waited_for(use_hub, monkeypatch):
    monkeypatch.setattr(pulling, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        use_hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert "cannot be reached" in refusal("runs/quickstart")
        assert time.monotonic() - start < 5


def test_what_may_not_be_read(hub, checkpoint, monkeypatch):
    hub.store("owner/private", checkpoint, private=True)
    hub.store("owner/gated", checkpoint, gated=True)
    for name in ("owner/private", "owner/none", "runs/quickstart"):
        sentence = refusal(name)
        assert sentence.startswith(f"there is no folder {name}, and there is no repository")
        assert "log in (hf auth login)" in sentence
    assert "owner/gated on the hub is gated; ask for access" in refusal("owner/gated")
    assert "owner/a..b cannot be pulled from the hub" in refusal("owner/a..b")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("owner/private", "owner/gated"):
        assert open_checkpoint(name).kind == "bidirectional"


def test_a_matcher_and_a_text_encoder(hub, dual_encoder_checkpoint, tmp_path):
    repository = hub.store("owner/matcher", dual_encoder_checkpoint)
    repository.branches["v1"] = repository.branches["main"]
    texts = ["a large red circle"]
    own = Matcher.from_pretrained(dual_encoder_checkpoint, "cpu").text_features(texts)
    for name in ("owner/matcher", "owner/matcher@v1"):
        assert torch.equal(Matcher.from_pretrained(name, "cpu").text_features(texts), own)
    with pytest.raises(UserError, match="owner/matcher on the hub has no revision v2"):
        Matcher.from_pretrained("owner/matcher@v2", "cpu")
    one, other = (
        load_text_reading(name, 16).positions for name in ("owner/matcher", dual_encoder_checkpoint)
    )
    assert one == other
    hub.store("owner/clip", tmp_path / "none").commit({"config.json": b'{"model_type": "clap"}'})
    with pytest.raises(UserError, match="owner/clip is a clap model"):
        Matcher.from_pretrained("owner/clip", "cpu")


@pytest.mark.slow
def test_a_command_pulls_once_and_then_needs_no_hub(server, checkpoint, tmp_path):
    """As a person does it: the library reads its variables itself."""
    server.store("owner/command", checkpoint)
    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    command = [sys.executable, ROOT / "pipelines/caption_images.py", "red.png", "--device", "cpu"]
    command += ["--checkpoint"]
    hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}

    def run(name, **variables):
        return subprocess.run(
            [*command, str(name)],
            cwd=tmp_path,
            env=os.environ | hub | variables,
            capture_output=True,
            text=True,
        )

    own, first = run(checkpoint), run("owner/command")
    assert own.returncode == first.returncode == 0, first.stderr
    server.requests.clear()
    offline = run("owner/command", HF_HUB_OFFLINE="1")
    assert own.stdout == first.stdout == offline.stdout
    assert not server.requests
    dead = f"http://127.0.0.1:{closed_port()}"
    assert run("owner/command", HF_ENDPOINT=dead).stdout == own.stdout
    absent = run("owner/absent", HF_ENDPOINT=dead)
    assert absent.returncode == 2 and absent.stdout == ""
    assert absent.stderr.startswith("error: there is no folder owner/absent, and the hub")
    assert len(absent.stderr.splitlines()) == 1

"""A hub of this machine in the place of the real one, and an empty local cache."""

import json
import shutil

import huggingface_hub
import pytest
import yaml
from PIL import Image

from tests.pipelines.hub.fake_hub import TOKEN, running_hub


@pytest.fixture(scope="session")
def server():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def use_hub(monkeypatch, tmp_path):
    """Lets the library speak to the hub at a URL; it reads its variables on import."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "no_tokens"))
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def use(url):
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return use


@pytest.fixture
def hub(server, use_hub, monkeypatch):
    """The running hub, empty."""
    server.repositories.clear()
    server.requests.clear()
    use_hub(server.url)
    return server


@pytest.fixture
def owner(hub, monkeypatch):
    """The hub, to whom it belongs."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


@pytest.fixture
def run(checkpoint, tmp_path):
    """What a run leaves around its checkpoint, on data of a private folder."""
    folder = tmp_path / "secret" / "run"
    shutil.copytree(checkpoint, folder / "checkpoint")
    configuration = {
        "output": str(folder),
        "training": {
            "batch_size": 16,
            "precision": "bf16",
            "optimizer": {"name": "muon", "learning_rate": 0.02, "weight_decay": 0.1},
        },
        "model": {"text_positions": 16},
        "data": {"source": str(tmp_path / "secret" / "holiday"), "text_column": "said", "size": 32},
        "initialize_from": str(tmp_path / "secret" / "earlier"),
        "tokenizer": "runs/tokenizer",
        "seed": 3,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration))
    rows = [
        {"step": 0, "validation_loss": 1.5, "validation_text_to_image": 1.25},
        {"step": 40, "progress": 1.0, "minutes": 12.3},
        {"step": 40, "validation_loss": 2.5, "validation_text_to_image": 2.25},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "samples").mkdir()
    for step in (5, 40):
        Image.new("RGB", (8, 8), (step, 0, 0)).save(folder / f"samples/step_{step}.png")
        line = json.dumps({"prompt": f"""a "red" cat's hat {step}"""})
        (folder / f"samples/step_{step}.jsonl").write_text(line + "\n")
    Image.new("RGB", (8, 8)).save(folder / "loss_curve.png")
    return folder

"""A hub of this machine in the place of the real one, and an empty local cache."""

import huggingface_hub
import pytest

from tests.pipelines.hub.fake_hub import running_hub


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

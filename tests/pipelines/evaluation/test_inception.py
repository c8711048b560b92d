"""The Inception network: whose it is, and what is refused."""

import hashlib
import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as library

from pipelines.command_line import UserError
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.inception import load_inception


@pytest.fixture(scope="module")
def theirs():
    """torch-fidelity's own network, with random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda url, progress: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        return library.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])


def name_by_content(file, monkeypatch):
    """As if torch-fidelity's weights were these."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    url = f"https://example.org/inception-{digest}.pth"
    monkeypatch.setattr(library, "URL_INCEPTION_V3", url)
    return Path(url).name


@pytest.mark.slow
def test_features_are_torch_fidelitys(theirs, tmp_path, monkeypatch):
    file = tmp_path / "inception.pth"
    torch.save(theirs.state_dict(), file)
    name_by_content(file, monkeypatch)
    inception = load_inception(file)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (2, 3, 40, 48), generator=generator, dtype=torch.uint8)
    features, logits = inception(pictures)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    for one, other in zip((features, logits), theirs(pictures), strict=True):
        assert torch.allclose(one, other)


def refusal(path):
    with pytest.raises(UserError) as error:
        load_inception(path)
    assert "\n" not in str(error.value) and "--inception-weights" in str(error.value)
    return str(error.value)


def test_other_files_are_refused(tmp_path):
    assert "is not a file" in refusal(tmp_path / "nowhere.pth")
    small = tmp_path / "small.pth"
    torch.save({"fc.weight": torch.zeros(3, 3)}, small)
    assert "is another file than torch-fidelity's, whose SHA-256 begins with" in refusal(small)


@pytest.mark.slow
def test_weights_are_found_where_torch_keeps_them(theirs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hub" / "checkpoints" / "weights"
    file.parent.mkdir(parents=True)
    torch.save(theirs.state_dict(), file)
    file.rename(file.with_name(name_by_content(file, monkeypatch)))
    assert not isinstance(load_inception(), Missing)
    assert [one.name for one in tmp_path.iterdir()] == ["hub"]  # and nothing else is left behind


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    trap = tmp_path / "trap.pth"
    trap.write_bytes(pickle.dumps(Trap()))
    torch.save({"fc.weight": Trap()}, tmp_path / "zipped.pth")
    refusal(trap)
    refusal(tmp_path / "zipped.pth")
    for file in (trap, tmp_path / "zipped.pth"):  # even of the right name
        name_by_content(file, monkeypatch)
        with pytest.raises(pickle.UnpicklingError):
            load_inception(file)
    assert not (tmp_path / "sprung").exists()


def test_without_a_network_it_is_missing(monkeypatch):
    def fail(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    found = load_inception()
    assert isinstance(found, Missing)
    assert "no route to host" in found.reason and "--inception-weights" in found.reason

"""The Inception network: whose it is, and what is refused."""

import pickle
import urllib.error

import pytest
import torch
from safetensors.torch import save_file
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


@pytest.mark.slow
def test_features_are_torch_fidelitys(theirs, tmp_path):
    file = tmp_path / "inception.safetensors"
    save_file(theirs.state_dict(), file)
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
    assert "does not hold the Inception network's weights" in refusal(small)
    small.write_bytes(b"not weights")
    assert "does not hold" in refusal(small)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    trap = tmp_path / "trap.pth"
    trap.write_bytes(pickle.dumps(Trap()))
    torch.save({"fc.weight": Trap()}, tmp_path / "zipped.pth")
    refusal(trap)
    refusal(tmp_path / "zipped.pth")
    assert not (tmp_path / "sprung").exists()


def test_without_a_network_it_is_missing(monkeypatch):
    def fail(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    found = load_inception()
    assert isinstance(found, Missing)
    assert "no route to host" in found.reason and "--inception-weights" in found.reason

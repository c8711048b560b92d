from pathlib import Path

from pipelines.fingerprints import file_fingerprint, folder_fingerprint, texts_fingerprint


def test_a_folder_is_named_by_its_model_alone(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = folder_fingerprint(tmp_path)
    assert len(before) == 16
    (tmp_path / "README.md").write_text("what it is")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "some.json").write_text("{}")
    assert folder_fingerprint(tmp_path) == before
    (tmp_path / "part" / "model.safetensors").write_bytes(b"Weights")
    other = folder_fingerprint(tmp_path)
    (tmp_path / "part" / "model.safetensors").rename(tmp_path / "model.safetensors")
    assert len({before, other, folder_fingerprint(tmp_path)}) == 3


def test_files_are_found_in_any_order(tmp_path, monkeypatch):
    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_text(name)
    found = sorted(tmp_path.rglob("*"))
    fingerprints = set()
    for order in (found, found[::-1]):
        monkeypatch.setattr(Path, "rglob", lambda *_, order=order: iter(order))
        fingerprints.add(folder_fingerprint(tmp_path))
    assert len(fingerprints) == 1


def test_texts_have_borders_and_an_order(tmp_path):
    lists = (["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab", "c", ""], ["大", "\ud800"])
    assert len({texts_fingerprint(texts) for texts in lists}) == 5
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    assert file_fingerprint(tmp_path / "one") != file_fingerprint(str(tmp_path / "two"))

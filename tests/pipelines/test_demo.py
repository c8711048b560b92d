"""The page in a browser."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest
from PIL import Image
from visiting import CHROMIUM, DRIVER, SECONDS, Visitor, wait_for

from pipelines import demo

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "a small red circle"


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        demo.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_served_is_refused(checkpoint, tokenizer_checkpoint, capsys, monkeypatch):
    assert "tokenizer checkpoint" in refused(capsys, "--checkpoint", tokenizer_checkpoint)
    small = ("--checkpoint", checkpoint)
    assert "--max-images is 0" in refused(capsys, *small, "--max-images", "0")
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert "drawscribe[demo]" in refused(capsys, *small)


@pytest.fixture(scope="module")
def served(checkpoint, tmp_path_factory):
    """The address of a page of all tasks, and its folder of temporary files. That nothing is left
    behind is tested when it ends."""
    folder = tmp_path_factory.mktemp("demo")
    copy, temporary = folder / "checkpoint", folder / "temporary"
    shutil.copytree(checkpoint, copy)
    temporary.mkdir()
    index = json.loads((copy / "model_index.json").read_text())
    index["tasks"].append("question_answering")
    (copy / "model_index.json").write_text(json.dumps(index))
    command = [sys.executable, ROOT / "pipelines/demo.py", "--checkpoint", copy, "--device", "cpu"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": str(temporary), "HTTP_PROXY": "http://127.0.0.1:9"},
        )

    def said():
        log = (folder / "log").read_text()
        assert server.poll() is None, log
        return re.search(r"http://127\.0\.0\.1:\d+/", log)

    try:
        yield wait_for(said)[0], temporary
    finally:
        server.send_signal(signal.SIGTERM)
        printed, _ = server.communicate(timeout=SECONDS)
    assert server.returncode == 130 and not printed
    assert not list(temporary.iterdir())
    log = (folder / "log").read_text()
    assert "Traceback" not in log and "[UNK]" not in log


@pytest.fixture
def address(served):
    return served[0]


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def size(request):
    return request.param


@pytest.fixture
def visitor(size, address):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    visitor = Visitor(address, *size)
    yield visitor
    visitor.driver.quit()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (60, 40), "red").save(path)
    return path


@pytest.mark.slow
def test_every_tab_does_its_work(visitor, served, picture, size, tmp_path):
    address, temporary = served
    visitor.write("Prompt", PROMPT)
    visitor.write("Seed", "5")
    visitor.press()
    visitor.answer(r"seed 5\.png")
    wait_for(lambda: visitor.shown(".answer figure q"))  # the caption read back
    assert len(visitor.shown(".answer figure")) == 1
    photographed(visitor, size, tmp_path / "draw.png")
    visitor.open("Describe")
    visitor.upload(picture)
    assert list(temporary.glob("drawscribe-uploads-*/*/picture.png"))
    visitor.press()
    assert visitor.answer("log-likelihood").count("log-likelihood") >= 3
    photographed(visitor, size, tmp_path / "describe.png")
    visitor.open("Ask")
    visitor.upload(picture)
    visitor.write("Question", "a circle?\n")  # Enter asks
    visitor.answer("log-likelihood")
    photographed(visitor, size, tmp_path / "ask.png")
    visitor.open("Complete")
    visitor.upload(picture)
    visitor.write("Prompt", PROMPT)
    visitor.press()
    visitor.answer(r"seed \d+\.png")
    photographed(visitor, size, tmp_path / "complete.png")
    wide = visitor.driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= visitor.driver.execute_script("return window.innerWidth")
    foreign = [url for url in visitor.requested() if not url.startswith((address, "data:"))]
    assert not [url for url in foreign if not url.startswith(("blob:", "chrome"))]


def photographed(visitor, size, path):
    """It is a picture of the page: as wide, and not of one colour."""
    visitor.photograph(path)
    with Image.open(path) as image:
        assert image.size == size
        least, most = image.convert("L").getextrema()
        assert most - least > 100


@pytest.mark.slow
def test_pictures_fill_in(visitor):
    visitor.write("Prompt", f"{PROMPT} 火山")  # which is unknown, and is not logged
    visitor.choose("Pictures", 8)
    visitor.choose("Best of", 8)
    visitor.press()
    visitor.answer("Reading what they show|tokens of the prompt are unknown")
    shares, addresses = zip(*visitor.filling(), strict=True)
    assert list(shares) == sorted(shares) and shares[0] < 100
    file = io.BytesIO(base64.b64decode(addresses[0].split(",")[1]))
    *_, last = np.asarray(Image.open(file).convert("L")).flat
    assert last in (229, 230)  # the grey of what is not drawn yet
    visitor.answer(r"seed \d+\.png")
    assert len(visitor.shown(".answer figure")) == 8


@pytest.mark.slow
def test_the_page_says_what_is_wrong(visitor, picture):
    visitor.press()
    visitor.answer("is empty; say what the picture should show")
    visitor.write("Prompt", "red " * 40)
    visitor.press()
    visitor.answer("16 text positions")
    visitor.write("Prompt", PROMPT)
    visitor.write("Seed", str(2**63))
    visitor.press()
    visitor.answer("must be from 0 to")
    visitor.open("Describe")
    visitor.press()
    visitor.answer("There is no picture")
    picture.write_text("a text")
    visitor.upload(picture)
    visitor.press()
    visitor.answer("not a picture that can be read")
    Image.new("1", (6000, 6000)).save(picture)
    visitor.upload(picture)
    visitor.press()
    visitor.answer("6000 x 6000 pixels")


@pytest.mark.slow
def test_the_server_hands_out_no_file(address):
    opener = build_opener(ProxyHandler({}))
    for path in ("/etc/passwd", str(ROOT / "README.md"), "README.md", "pipelines/demo.py"):
        with pytest.raises(HTTPError, match="403"):
            opener.open(f"{address}gradio_api/file={path}", timeout=SECONDS)
    named = json.load(opener.open(f"{address}gradio_api/info", timeout=SECONDS))
    assert named == {"named_endpoints": {}, "unnamed_endpoints": {}}

"""The page in a browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest
from PIL import Image

from pipelines import demo

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PROMPT = "a small red circle"
SECONDS = 90


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
def address(checkpoint, tmp_path_factory):
    """Of a page of all tasks; that nothing is left behind is tested when it ends."""
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
        yield wait_for(said)[0]
        if CHROMIUM is not None and DRIVER is not None:  # there were visitors, who upload
            assert list(temporary.glob("drawscribe-uploads-*/*/*.png"))
    finally:
        server.send_signal(signal.SIGTERM)
        printed, _ = server.communicate(timeout=SECONDS)
    assert server.returncode == 130 and not printed
    assert not list(temporary.iterdir())
    assert "Traceback" not in (folder / "log").read_text()


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise TimeoutError(condition)


class Visitor:
    """A browser on the page."""

    def __init__(self, address, width, height):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(DRIVER))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(address)
        wait_for(lambda: self.shown("textarea"))

    def shown(self, selector):
        found = self.driver.find_elements("css selector", selector)
        return [element for element in found if element.is_displayed()]

    def open(self, tab):
        wait_for(lambda: [b for b in self.shown("button[role=tab]") if b.text == tab])[0].click()
        wait_for(lambda: [b for b in self.shown("button.primary") if b.text == tab])

    def write(self, label, text):
        (box,) = [one for one in self.shown("label") if one.text.startswith(label)]
        field = box.find_element("css selector", "textarea, input")
        field.clear()
        field.send_keys(text)

    def upload(self, path):
        for clear in self.shown("button[aria-label='Remove Image']"):
            clear.click()
        panels = self.driver.find_elements("css selector", "[role=tabpanel]")
        (panel,) = [panel for panel in panels if panel.is_displayed()]
        wait_for(lambda: panel.find_elements("css selector", "input[type=file]"))[0].send_keys(
            str(path)
        )
        # Shown from the server: it is there.
        wait_for(lambda: panel.find_elements("css selector", "img[src*='/file=']"))

    def press(self):
        (button,) = self.shown("button.primary")
        button.click()

    def answer(self, words):
        """The text of the answer, as soon as it has these."""

        def found():
            text = "\n".join(element.text for element in self.shown(".answer"))
            return text if re.search(words, text) else None

        return wait_for(found)

    def requested(self):
        """The addresses of everything that the page has asked for."""
        messages = (json.loads(row["message"]) for row in self.driver.get_log("performance"))
        events = [row["message"] for row in messages]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def visitor(request, address):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    visitor = Visitor(address, *request.param)
    yield visitor
    visitor.driver.quit()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (60, 40), "red").save(path)
    return path


@pytest.mark.slow
def test_every_tab_does_its_work(visitor, address, picture):
    visitor.write("Prompt", PROMPT)
    visitor.write("Seed", "5")
    visitor.press()
    visitor.answer(r"seed 5\.png")
    wait_for(lambda: visitor.shown(".answer figure q"))  # the caption read back
    assert len(visitor.shown(".answer figure")) == 1
    visitor.open("Describe")
    visitor.upload(picture)
    visitor.press()
    assert visitor.answer("log-likelihood").count("log-likelihood") >= 3
    visitor.open("Ask")
    visitor.upload(picture)
    visitor.write("Question", "a circle?\n")  # Enter asks
    visitor.answer("log-likelihood")
    visitor.open("Complete")
    visitor.upload(picture)
    visitor.write("Prompt", PROMPT)
    visitor.press()
    visitor.answer(r"seed \d+\.png")
    wide = visitor.driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= visitor.driver.execute_script("return window.innerWidth")
    foreign = [url for url in visitor.requested() if not url.startswith((address, "data:"))]
    assert not [url for url in foreign if not url.startswith(("blob:", "chrome"))]


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

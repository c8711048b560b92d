"""Where a page cannot be served, and what a served one refuses."""

import socket
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import gradio as gr
import pytest

from pipelines import BidirectionalPipeline, bidirectional_pipeline
from pipelines.command_line import UserError
from pipelines.demo_page import serving
from pipelines.demo_page.serving import launch, serve


@pytest.fixture
def page():
    with gr.Blocks(analytics_enabled=False) as page:
        pass
    yield page
    page.close(verbose=False)


def answer(address, path, data=None, **headers):
    """The status of one."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with build_opener(ProxyHandler({})).open(Request(address + path, data, headers)) as got:
            return got.status
    except HTTPError as error:
        return error.code


def test_a_taken_port_and_another_machine_are_refused(page):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot be served at 127.0.0.1:{port} "):
            launch(page, "127.0.0.1", port)
    with pytest.raises(UserError, match="127.0.0.1:99999"):
        launch(page, "127.0.0.1", 99999)
    with pytest.raises(UserError, match="cannot be served at 192.0.2.1 "):
        launch(page, "192.0.2.1", None)


def upload_of(size):
    """The body of a form with a file of so many bytes, and its type."""
    head = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head.encode() + bytes(size) + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def test_large_uploads_and_names_of_other_hosts_are_refused(page, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(serving, "MOST_MEGABYTES", 1)
    address = launch(page, "127.0.0.1", None)
    for size, status in ((1000, 200), (2**20 + 1000, 413)):
        data, content_type = upload_of(size)
        assert answer(address, "gradio_api/upload", data, Content_Type=content_type) == status
    port = address.rstrip("/").rsplit(":", 1)[1]
    for host, status in (("127.0.0.1", 200), ("localhost", 200), ("other.example", 400)):
        assert answer(address, "config", Host=f"{host}:{port}") == status


def test_a_page_for_everyone_answers_by_any_name(page, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    address = launch(page, "0.0.0.0", None)
    assert answer(address, "config", Host="other.example") == 200


def test_prompts_are_not_logged(checkpoint, monkeypatch, caplog):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint, "cpu")

    def visited(*page):
        pipe.generate_images(["a 火 star"])
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "launch", visited)
    before = bidirectional_pipeline.logger.level
    try:
        with pytest.raises(KeyboardInterrupt):
            serve(None, "127.0.0.1", None)
    finally:
        bidirectional_pipeline.logger.setLevel(before)
    assert "火" not in caplog.text

"""Where a page cannot be served."""

import socket

import gradio as gr
import pytest

from pipelines.command_line import UserError
from pipelines.demo_page.serving import launch


def test_a_taken_port_and_another_machine_are_refused():
    with gr.Blocks() as page:
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot be served at 127.0.0.1:{port} "):
            launch(page, "127.0.0.1", port)
    with pytest.raises(UserError, match="127.0.0.1:99999"):
        launch(page, "127.0.0.1", 99999)
    with pytest.raises(UserError, match="cannot be served at 192.0.2.1 "):
        launch(page, "192.0.2.1", None)

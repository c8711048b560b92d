"""Serves a page until it is interrupted."""

import socket
import sys
import threading
from pathlib import Path

import gradio as gr

from pipelines.command_line import UserError, in_short
from pipelines.demo_page.limits import MOST_MEGABYTES

CSS = Path(__file__).with_name("page.css")


def serve(page: gr.Blocks, host: str, port: int | None) -> None:
    """At `host`, at `port` or the first free one from 7860 on.

    Raises:
        UserError: there is no such host here, or the port is taken.
    """
    address = launch(page, host, port)
    print(f"The page is at {address} (Ctrl-C ends it).", file=sys.stderr, flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def launch(page: gr.Blocks, host: str, port: int | None) -> str:
    """Starts it, open to no more than its own uploads, and returns its address."""
    try:
        # What is wrong with them, before many ports are tried.
        socket.create_server((host, port or 0)).close()
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            allowed_paths=[],
            max_file_size=f"{MOST_MEGABYTES}mb",
            css_paths=CSS,
        )
    except (OSError, OverflowError) as error:
        where = host if port is None else f"{host}:{port}"
        raise UserError(
            f"the page cannot be served at {where} ({in_short(error)}); give another --host or "
            "--port."
        ) from error
    return address

"""Serves a page until it is interrupted."""

import logging
import socket
import sys
import threading
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError, in_short
from pipelines.demo_page.limits import LOOPBACK, MOST_MEGABYTES

CSS = Path(__file__).with_name("page.css")


def serve(page: gr.Blocks, host: str, port: int | None) -> None:
    """At `host`, at `port` or the first free one from 7860 on.

    Raises:
        UserError: there is no such host here, or the port is taken.
    """
    # Its warnings of unknown words have the prompt in them; visitors are told on the page.
    logging.getLogger(BidirectionalPipeline.__module__).setLevel(logging.ERROR)
    address = launch(page, host, port)
    print(f"The page is at {address} (Ctrl-C ends it).", file=sys.stderr, flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def launch(page: gr.Blocks, host: str, port: int | None) -> str:
    """Starts it, open to no more than its own uploads, and returns its address."""
    # A page of another host whose name leads here could ask in its visitor's stead, and read.
    named = Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK if host in LOOPBACK else ["*"])
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
            app_kwargs={"middleware": [named]},
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

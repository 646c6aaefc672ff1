"""The web application of this workspace: edit it while it runs and reload the page."""

from fasthtml.common import *

app, rt = fast_app()


@rt("/")
def index():
    return Titled("Hello", P("This page is served by server.py and kept running by pipd."))


@rt("/health")
def health():
    return {"ok": True}


serve(host="127.0.0.1")

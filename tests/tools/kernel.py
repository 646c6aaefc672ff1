"""Talks to a Jupyter server as a browser does: kernels and terminals over HTTP and WebSocket.

    kernel.py URL TOKEN start                      print the id of a new kernel
    kernel.py URL TOKEN open NOTEBOOK              print the id of the new kernel of a notebook
    kernel.py URL TOKEN interrupt KERNEL           what the stop button does
    kernel.py URL TOKEN run KERNEL CODE            print what the code prints and its result
    kernel.py URL TOKEN send KERNEL CODE           as run, but do not wait for the end
    kernel.py URL TOKEN type LINE UNTIL            type a line in a new terminal, print its screen until UNTIL is seen
    kernel.py URL TOKEN shutdown                   what File > Shut Down does

Runs with the Python of the server's environment: needs tornado, which every Jupyter server has.
"""

import asyncio
import json
import sys
import urllib.request
import uuid

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

TIMEOUT = 60


def post(url, token, path, body):
    request = urllib.request.Request(
        url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT) as answer:
        return json.loads(answer.read() or "null")


def socket(url, token, path):
    return websocket_connect(
        HTTPRequest(
            url.replace("http", "ws", 1) + path,
            headers={"Authorization": f"token {token}"},
            connect_timeout=TIMEOUT,
        )
    )


async def run(url, token, kernel, code, wait=True):
    session = uuid.uuid4().hex
    connection = await socket(url, token, f"/api/kernels/{kernel}/channels?session_id={session}")
    identifier = uuid.uuid4().hex
    header = {
        "msg_id": identifier,
        "msg_type": "execute_request",
        "session": session,
        "username": "",
        "version": "5.3",
        "date": "2020-01-01T00:00:00Z",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    await connection.write_message(
        json.dumps(
            {
                "channel": "shell",
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "buffers": [],
            }
        )
    )
    code = 0
    while True:
        text = await connection.read_message()
        if text is None:
            raise SystemExit("the server closed the connection")
        message = json.loads(text)
        if message["parent_header"].get("msg_id") != identifier:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            sys.stdout.write(content["text"])
        elif kind == "execute_result":
            print(content["data"]["text/plain"])
        elif kind == "error":
            print("\n".join(content["traceback"]), file=sys.stderr)
            code = 1
        elif kind == "status" and content["execution_state"] == "busy" and not wait:
            return 0
        elif kind == "status" and content["execution_state"] == "idle":
            return code


async def type_line(url, token, line, until):
    name = post(url, token, "/api/terminals", {})["name"]
    connection = await socket(url, token, f"/terminals/websocket/{name}")
    screen = ""
    typed = False
    while until not in screen:
        text = await connection.read_message()
        if text is None:
            raise SystemExit(f"the terminal closed; it showed:\n{screen}")
        kind, *rest = json.loads(text)
        if kind == "setup" and not typed:
            await connection.write_message(json.dumps(["stdin", line + "\r"]))
            typed = True
        elif kind == "stdout":
            screen += rest[0]
    print(screen)
    return 0


def main():
    url, token, verb, *rest = sys.argv[1:]
    url = url.rstrip("/")
    if verb == "start":
        print(post(url, token, "/api/kernels", {"name": "python3"})["id"])
        return 0
    if verb == "open":
        wanted = {"path": rest[0], "name": rest[0], "type": "notebook", "kernel": {"name": "python3"}}
        print(post(url, token, "/api/sessions", wanted)["kernel"]["id"])
        return 0
    if verb == "interrupt":
        post(url, token, f"/api/kernels/{rest[0]}/interrupt", {})
        return 0
    if verb == "shutdown":
        post(url, token, "/api/shutdown", {})
        return 0
    if verb == "run":
        work = run(url, token, *rest)
    elif verb == "send":
        work = run(url, token, *rest, wait=False)
    elif verb == "type":
        work = type_line(url, token, *rest)
    else:
        raise SystemExit(__doc__)

    async def limited():
        return await asyncio.wait_for(work, TIMEOUT)

    return asyncio.run(limited())


sys.exit(main())

"""Types a line and TAB into a real interactive shell and shows what comes.

usage: tab.py LINE WORD... -- SHELL ARGUMENT...

Ends with 0 when all words appear on the screen behind the line, with 1 after ten seconds without them. The shell is
asked for a prompt of ours (PS1 or fish_prompt), so that the line is typed only when somebody reads it.
"""

import os
import pty
import re
import select
import signal
import sys
import time

PROMPT = b"TYPE-HERE>"
split = sys.argv.index("--")
line, words, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :]

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)

screen = b""


def read_until(done, seconds):
    global screen
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                return
            # fish asks the terminal who it is, and waits for the answer.
            if b"\x1b[c" in piece or b"\x1b[0c" in piece:
                os.write(terminal, b"\x1b[?62c")
            screen += piece


def plain(text):
    return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07]*\x07|\r", b"", text)


read_until(lambda: PROMPT in plain(screen), 20)
if PROMPT not in plain(screen):
    sys.stdout.buffer.write(b"no prompt:\n" + screen)
    os.kill(pid, signal.SIGKILL)
    sys.exit(2)
screen = b""
os.write(terminal, line.encode() + b"\t")
# The second TAB lists where the first one only completed what is common.
read_until(lambda: False, 0.5)
os.write(terminal, b"\t")
found = lambda: all(word.encode() in plain(screen) for word in words)
read_until(found, 10)
sys.stdout.buffer.write(plain(screen) + b"\n")
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
sys.exit(0 if found() else 1)

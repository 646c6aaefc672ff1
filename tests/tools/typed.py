"""Runs a command in a terminal and types answers to its questions.

    typed.py QUESTION ANSWER [QUESTION ANSWER …] -- COMMAND…

Each ANSWER is typed, with Enter, when QUESTION is on the screen. Prints the screen; ends as the command does.
"""

import os
import pty
import sys

cut = sys.argv.index("--")
said, command = sys.argv[1:cut], sys.argv[cut + 1 :]
talk = list(zip(said[::2], said[1::2]))
pid, master = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
screen, seen = b"", 0
while True:
    try:
        part = os.read(master, 65536)
    except OSError:
        part = b""
    if not part:
        break
    screen += part
    while talk and talk[0][0].encode() in screen[seen:]:
        question, answer = talk.pop(0)
        seen = screen.index(question.encode(), seen) + len(question)
        os.write(master, answer.encode() + b"\n")
sys.stdout.write(screen.decode(errors="replace"))
_, status = os.waitpid(pid, 0)
if talk:
    sys.exit("never asked: " + talk[0][0])
sys.exit(os.waitstatus_to_exitcode(status))

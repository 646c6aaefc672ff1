"""Types a command in a terminal of its own and ends that terminal in a way of one's choice.

    terminal.py close|hangup|killgroup UNTIL COMMAND…

The command runs as the leader of a session whose terminal this program holds. When its output shows UNTIL:
  close      the terminal is closed, as by its window
  hangup     SIGHUP to every process of the session, then as above
  killgroup  SIGKILL to the command's process group, then as above
"""

import os
import pty
import signal
import sys

how, until, *command = sys.argv[1:]
pid, master = pty.fork()
if pid == 0:
    # A test that is run by nohup hands on that hang-ups are ignored; in a terminal they are not.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.execvp(command[0], command)
screen = b""
while until.encode() not in screen:
    try:
        part = os.read(master, 65536)
    except OSError:
        part = b""
    if not part:
        sys.stdout.write(screen.decode(errors="replace"))
        sys.exit("the command ended before it showed: " + until)
    screen += part
sys.stdout.write(screen.decode(errors="replace"))
sys.stdout.flush()
if how == "hangup":
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if entry.isdigit():
            try:
                if os.getsid(int(entry)) == pid and int(entry) != pid:
                    os.kill(int(entry), signal.SIGHUP)
            except (ProcessLookupError, PermissionError):
                pass
    os.kill(pid, signal.SIGHUP)
elif how == "killgroup":
    os.killpg(pid, signal.SIGKILL)
os.close(master)
if how == "close":
    # Whatever ignores the hang-up would otherwise be waited for.
    signal.alarm(10)
os.waitpid(pid, 0)

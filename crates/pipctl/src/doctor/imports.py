# Imports each module named, with a line of JSON before and after each.
import importlib, importlib.util, json, os, sys

sys.path[:] = [entry for entry in sys.path if entry]
out = os.fdopen(os.dup(1), "w")
# What a module prints is not ours.
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def say(module, state, error=""):
    out.write(json.dumps({"module": module, "state": state, "error": error}) + "\n")
    out.flush()


for module in sys.argv[1:]:
    try:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            say(module, "absent")
            continue
    except (ImportError, ValueError):
        pass
    say(module, "begun")
    try:
        importlib.import_module(module)
    except BaseException as error:
        # numpy wraps the linker's words in pages of advice; the first cause says it.
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        words = str(cause).strip().splitlines()
        say(module, "failed", words[0] if words else type(cause).__name__)
    else:
        say(module, "ok")

"""Runs a command that must not outlive its parent: `python -m serving.guard COMMAND...`.

The parent holds the other end of standard input. When that closes, because the parent ended in whatever way, the
command is asked to stop, and then everything in this process group is killed. (A parent-death signal would do the same
on Linux only, and fires when the thread that started the child ends.)
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

DRAIN_SECONDS = 10


def main(command: list[str]) -> int:
    """Run it; return its exit status. The process group is this process's own."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the whole group gets it; this process ends after the command
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    alone = threading.Event()
    threading.Thread(target=_watch, args=(child, alone), daemon=True).start()
    status = child.wait()
    if alone.is_set():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # this process too, and what the command itself started
    return status


def _watch(child: "subprocess.Popen[bytes]", alone: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    alone.set()
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(DRAIN_SECONDS)
    child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run as a script: becomes the given program, which the kernel kills when the process that started it dies.

``python _leash.py PARENT_PID PROGRAM ARGUMENT…``. A supervisor that is killed with -9 can clean up nothing; without
this its JVMs would live on, hold ports and data folders, and make the next start fail. It is a program of its own,
and not code run between fork and exec, because a threaded parent may hold any lock at the moment of the fork. Imports
nothing of ours: it must start in milliseconds. Where there is no ``prctl`` (not Linux) it only runs the program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_EXIT_NOT_RUN = 127


def main() -> None:
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the line above: then no signal will ever come.
        if os.getppid() != parent_pid:
            os._exit(_EXIT_NOT_RUN)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(_EXIT_NOT_RUN)


if __name__ == "__main__":
    main()

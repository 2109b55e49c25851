"""Runs one foreign server, and ends it when the process that asked for it is gone.

It runs as a script of its own, isolated and with the standard library alone, to stay small:
``python -I -S guard.py STOP_SIGNAL ORPHAN_SIGNAL USER COMMAND…``. STOP_SIGNAL asks the server to
stop, ORPHAN_SIGNAL is what the kernel sends it when the guard itself is killed (Linux only), and
USER is whom to become first (empty: nobody else; with NAMESPACE before it: only by name, in a user
namespace in which that user is whoever started the guard).
"""

import ctypes
import os
import pwd
import select
import signal
import sys
import time

GRACE_SECONDS = 4.0  # between asking a server to stop and killing it

NAMESPACE = "namespace:"
PROBE = "--can-reach-in-namespace"  # a user, and folders: only try, and tell by the exit code
CLONE_NEWUSER = 0x1000_0000

PR_SET_PDEATHSIG = 1


def main(stop_signal: int, orphan_signal: int, user: str, command: list[str]) -> int:
    """Run the command to its end and return its exit code as a shell would."""
    lifeline = int(os.environ.pop("ATELIER_PARENT_FD"))
    os.set_inheritable(lifeline, False)
    signals = _listen_for_signals()
    server = os.fork()
    if server == 0:
        _become(orphan_signal, user, command)
    return _watch(server, stop_signal, lifeline, signals)


def _listen_for_signals() -> int:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: None)
    return reading


def _watch(server: int, stop_signal: int, lifeline: int, signals: int) -> int:
    """Wait for the end of the server; asked a second time to end it, kill it."""
    watched = [lifeline, signals]
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.1, deadline - time.monotonic())
        ready = select.select(watched, [], [], left)[0]
        arrived = os.read(signals, 64) if signals in ready else b""
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        asked = signal.SIGTERM in arrived or signal.SIGINT in arrived or lifeline in ready
        if lifeline in ready:  # at its end, which it would tell again and again
            watched.remove(lifeline)
        if not ready or (asked and deadline is not None):
            os.kill(server, signal.SIGKILL)
        elif asked:
            os.kill(server, stop_signal)
            deadline = time.monotonic() + GRACE_SECONDS


def _become(orphan_signal: int, user: str, command: list[str]) -> None:
    try:
        if user.startswith(NAMESPACE):
            enter_namespace(pwd.getpwnam(user.removeprefix(NAMESPACE)))
        elif user:
            _give_up_root(pwd.getpwnam(user))
        _die_with_guard(orphan_signal)
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _die_with_guard(orphan_signal: int) -> None:
    if sys.platform != "linux":
        return
    guard = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0)
    if os.getppid() != guard:  # it died before we asked
        os._exit(1)


def enter_namespace(account: pwd.struct_passwd) -> None:
    """Be that account by name in a user namespace, with our own access to files and no more.

    Raises ``OSError`` where the kernel allows no user namespaces.
    """
    outside_user, outside_group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "no user namespace")
    for file, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{account.pw_uid} {outside_user} 1"),
        ("gid_map", f"{account.pw_gid} {outside_group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as control:
            control.write(line)


def _give_up_root(account: pwd.struct_passwd) -> None:
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.chdir("/")  # they may not be allowed to enter the folder that we were started in


if __name__ == "__main__":
    if sys.argv[1] == PROBE:
        enter_namespace(pwd.getpwnam(sys.argv[2]))
        # In a folder of a third user, not even root may do anything in the namespace.
        sys.exit(not all(os.access(folder, os.R_OK | os.X_OK) for folder in sys.argv[3:]))
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))

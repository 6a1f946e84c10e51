"""Run a Python program that nobody has read: in a process of its own, with limits on time, memory and output."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Result", "run_python"]

#: The child limits itself before it reads the program, so that nothing runs between fork and exec in the parent.
_LAUNCH = """\
import resource as r, sys
for name, limit in zip(("CPU", "AS", "FSIZE", "NPROC", "CORE", "NOFILE"), map(int, sys.argv[1:7])):
    kind = getattr(r, "RLIMIT_" + name)
    hard = r.getrlimit(kind)[1]
    limit = limit if hard == r.RLIM_INFINITY else min(limit, hard)
    # Beyond the soft limit of CPU time comes a signal that tells why; the hard one is a plain kill.
    r.setrlimit(kind, (limit, limit if name != "CPU" or hard != r.RLIM_INFINITY else limit + 1))
program = open(sys.argv[7], "rb").read()
sys.argv = [sys.argv[7]]
__file__ = sys.argv[0]
del r, name, limit, kind, hard
exec(compile(program, __file__, "exec"))
"""


@dataclass(frozen=True)
class Result:
    """What a program left behind.

    `returncode` is 0 for a clean end, positive after an exception or ``sys.exit``, and minus the signal's number where
    a limit or the clock ended it; `stdout` and `stderr` are bytes; `timed_out` says that wall or CPU time ran out.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.returncode == 0 and not self.timed_out


def run_python(
    code: str | bytes,
    stdin: bytes = b"",
    seconds: float = 5.0,
    memory_mb: int = 256,
    *,
    output_mb: int = 4,
    processes: int = 0,
) -> Result:
    r"""Run `code` as a Python program and return its output.

    The program runs under the same interpreter in isolated mode (``-I``: no user site, no PYTHON* variables, the
    working directory not importable), with an empty environment, in a temporary directory that is removed afterwards,
    in a session of its own that is killed as a whole at the end. The kernel limits CPU time, address space, the size of
    every file it writes (its output among them), the number of processes and threads, and open files.

    What this does **not** protect against: the program has the rights of the user who runs it. It can read every file
    that this user can read, write where this user can write, and use the network; a daemon that leaves the session
    outlives it where `processes` allows one. The limit on processes does not bind the super-user, and macOS does not
    enforce the one on memory. It is a guard against programs that loop, swell, crash or print without end, such as
    those a language model writes, and no wall against an attacker: for those use a container or a virtual machine.

    Parameters
    ----------
    code : str or bytes
        The program.
    stdin : bytes
        What it reads from its standard input.
    seconds : float
        Wall time; the limit on CPU time is the next second after it.
    memory_mb : int
        Address space in MiB; NumPy alone takes about 150, more with several BLAS threads.
    output_mb : int
        The largest file, and the most of each of `stdout` and `stderr`, in MiB; writing beyond is an error inside.
    processes : int
        How many processes and threads the user may have in all; 0, the default, forbids the program to start any.

    Raises
    ------
    TypeError
        If `code` or `stdin` has the wrong type.
    ValueError
        If a limit is not positive.
    OSError
        On systems without POSIX resource limits (Windows).

    Examples
    --------
    >>> run_python("print(sum(map(int, input().split())))", b"2 3\n").stdout
    b'5\n'
    >>> run_python("while True: pass", seconds=0.3).timed_out
    True
    >>> run_python("raise SystemExit(3)").returncode
    3
    """
    if not isinstance(code, str | bytes):
        raise TypeError(f"code must be str or bytes, got {type(code).__name__}")
    if not isinstance(stdin, bytes):
        raise TypeError(f"stdin must be bytes, got {type(stdin).__name__}")
    for name, value in (("seconds", seconds), ("memory_mb", memory_mb), ("output_mb", output_mb)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
    if processes < 0:
        raise ValueError(f"processes must not be negative, got {processes!r}")
    if os.name != "posix":
        raise OSError("programs are run with POSIX resource limits, which this system does not have")
    limits = (math.ceil(seconds) + 1, memory_mb << 20, output_mb << 20, processes, 0, 64)
    with tempfile.TemporaryDirectory(prefix="plogp-run-") as outer:
        place = Path(outer)
        work = place / "work"
        work.mkdir()
        program = place / "program.py"
        program.write_bytes(code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code)
        (place / "in").write_bytes(stdin)
        # Files rather than pipes: a flood of output meets the limit on file sizes and not our memory.
        with open(place / "in", "rb") as source, open(place / "out", "wb") as out, open(place / "err", "wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", "-c", _LAUNCH, *map(str, limits), str(program)],
                stdin=source,
                stdout=out,
                stderr=err,
                cwd=work,
                env={},
                close_fds=True,
                start_new_session=True,
            )
            timed_out = False
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                # The whole session, also after a clean end: children may be left; the group may also be gone.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        timed_out = timed_out or process.returncode == -signal.SIGXCPU
        return Result(process.returncode, (place / "out").read_bytes(), (place / "err").read_bytes(), timed_out)

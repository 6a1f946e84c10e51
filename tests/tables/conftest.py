"""A private PostgreSQL cluster on a Unix socket, for the tests of a second real engine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest


def _unprivileged() -> str | None:
    """The user that may run initdb: ourselves, or where we are root one that is not."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("initdb refuses root, and there is no user 'postgres' or 'nobody' to run it as")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, stopped and removed at the end."""
    pytest.importorskip("ibis", reason="ibis-framework is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = sorted(glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = shutil.which("initdb") or (binaries[-1] if binaries else None)
    if initdb is None:
        pytest.skip("no PostgreSQL binaries: neither initdb on the PATH nor /usr/lib/postgresql/*/bin")
    bin_ = Path(initdb).parent
    user = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path must be short
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def run(*command: str) -> None:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, user=user, cwd=home, timeout=120)
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{command[0]}: {error.stderr or error.stdout}") from error

    data = str(home / "data")
    try:
        run(str(bin_ / "initdb"), "-D", data, "-U", "plogp", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{home}' -c fsync=off"
        run(str(bin_ / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
        try:
            yield f"postgres://plogp@/postgres?host={home}"
        finally:
            run(str(bin_ / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)

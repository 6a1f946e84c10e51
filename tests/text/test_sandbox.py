"""`run_python`: what ends a program, what it sees, and what is left behind."""

import os
import subprocess
import sys
import time

import pytest

from plogp.text.sandbox import Result, run_python


def test_output_error_and_exit_code_come_back() -> None:
    assert run_python("import sys\nprint('a')\nprint('b', file=sys.stderr)") == Result(0, b"a\n", b"b\n", False)
    failed = run_python("1/0")
    assert failed.returncode == 1
    assert b"ZeroDivisionError" in failed.stderr
    assert not failed.ok
    assert run_python("import sys; sys.exit(7)").returncode == 7
    assert run_python("def f(:").returncode == 1


def test_input_is_bytes_and_may_be_anything() -> None:
    data = bytes(range(256)) * 3
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert run_python(echo, data).stdout == data
    assert run_python(echo).stdout == b""
    assert run_python("print('é')".encode()).stdout == "é\n".encode()


def test_same_program_as_a_plain_interpreter() -> None:
    code = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    code += "if __name__ == '__main__':\n    print(A(3))"
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run_python(code).stdout == plain.stdout


def test_time_runs_out_on_sleepers_and_loops() -> None:
    for code in ("while True: pass", "import time; time.sleep(60)"):
        start = time.monotonic()
        result = run_python(code, seconds=0.3)
        assert result.timed_out
        assert not result.ok
        assert result.returncode < 0
        assert time.monotonic() - start < 5
    partial = run_python("import time; print('first', flush=True); time.sleep(60)", seconds=5.0)
    assert partial.stdout == b"first\n"
    assert partial.timed_out


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit on address space")
def test_memory_is_limited() -> None:
    code = "try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    print('no')"
    assert run_python(code, memory_mb=128).stdout == b"no\n"
    assert run_python("x = bytearray(1 << 26); print(len(x))", memory_mb=256).stdout == b"67108864\n"


def test_output_and_files_are_limited() -> None:
    flood = run_python("import sys\nwhile True: sys.stdout.write('x' * 65536)", output_mb=1, seconds=10)
    assert len(flood.stdout) <= 1 << 20
    assert flood.returncode != 0
    assert not flood.timed_out
    assert b"File too large" in run_python("open('a', 'wb').write(bytes(3 << 20))", output_mb=1).stderr


def test_environment_is_empty_and_the_directory_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "abc")
    seen = run_python("import os; print(dict(os.environ).get('SECRET')); print(os.getcwd()); print(os.listdir())")
    secret, place, files = seen.stdout.decode().splitlines()
    assert secret == "None"
    assert files == "[]"
    assert not os.path.exists(place)
    assert place != os.getcwd()
    assert run_python("open('x.py', 'w').write('')\nimport x").returncode == 1
    assert b"plogp-run" not in run_python("import sys; print(sys.path)").stdout


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the limit does not bind the super-user")
def test_no_processes_nor_threads() -> None:
    assert run_python("import os; os.fork()").returncode == 1
    assert run_python("import threading; threading.Thread(target=print).start()").returncode == 1


def test_children_die_with_the_program(tmp_path: object) -> None:
    mark = os.path.join(str(tmp_path), "late")
    code = f"import os, time\nif os.fork() == 0:\n    time.sleep(1.5)\n    open({mark!r}, 'w')\n"
    run_python(code, processes=1000)
    time.sleep(2.0)
    assert not os.path.exists(mark)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="code must be str or bytes"):
        run_python(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stdin must be bytes"):
        run_python("", "text")  # type: ignore[arg-type]
    for bad in ({"seconds": 0}, {"memory_mb": -1}, {"seconds": float("inf")}, {"output_mb": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be positive"):
            run_python("", **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="processes"):
        run_python("", processes=-1)

"""The package as a whole: what an import costs, what a missing extra says, and that nothing opens a connection."""

import importlib
import inspect
import subprocess
import sys
import textwrap

import pytest

import plogp as pl

ROOMS = ["measures", "estimate", "tables", "stats", "dynamics", "report", "papers", "testing"]


def run(code, *blocked):
    """Run code in a fresh interpreter in which the packages named cannot be imported."""
    guard = f"""
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {blocked!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Blocked())
    """
    script = textwrap.dedent(guard) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_importing_plogp_loads_no_extra_and_no_scipy():
    code = """
        import plogp as pl
        pl.entropy([0.5, 0.5]), pl.divergence("js")([0.5, 0.5], [0.9, 0.1])
        heavy = {"scipy", "sklearn", "torch", "jax", "duckdb", "pandas", "matplotlib", "jinja2", "joblib", "rich"}
        print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
    """
    done = run(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_room_imports_scipy_stats_or_an_extra():
    code = """
        import importlib
        for room in ("measures", "estimate", "stats", "dynamics", "papers", "testing"):
            importlib.import_module("plogp." + room)
        heavy = {"scipy.stats", "sklearn", "torch", "jax", "duckdb", "pandas", "matplotlib"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = run(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("call", "blocked", "extra"),
    [
        ('pl.tables.profile({"x": [1, 2, 3]})', "duckdb", "plogp[tables]"),
        ('pl.report.report({"x": [1.0, 2.0, 3.0] * 20})', "duckdb", "plogp[tables]"),
        ('pl.tables.open_table("postgres://localhost/x/t")', "ibis", "plogp[warehouse]"),
        ("pl.estimate.MutualInformationSelector()", "sklearn", "plogp[sklearn]"),
        ("pl.tables.WoEEncoder()", "sklearn", "plogp[sklearn]"),
        ("pl.stats.EnMMixture()", "sklearn", "plogp[sklearn]"),
        ('pl.estimate.divergence([0.1, 0.7] * 9, [0.2, 0.4] * 9, method="classifier")', "sklearn", "plogp[sklearn]"),
    ],
)
def test_a_missing_extra_is_named(call, blocked, extra):
    code = f"""
        import plogp as pl
        try:
            {call}
        except ImportError as error:
            print(error)
    """
    done = run(code, blocked)
    assert extra in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_exist_and_are_documented(room):
    module = importlib.import_module(f"plogp.{room}")
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isfunction(member) or inspect.isclass(member):
            assert inspect.getdoc(member), f"plogp.{room}.{name} has no docstring"


def test_names_that_others_rely_on():
    for path in [
        "entropy",
        "divergence",
        "divergences",
        "cross_entropy",
        "perplexity",
        "mutual_information",
        "conditional_entropy",
        "conditional_mutual_information",
        "total_correlation",
        "dual_total_correlation",
        "o_information",
        "interaction_information",
        "joint_entropy",
        "information_gain",
        "variation_of_information",
        "rajski_distance",
        "jensen_shannon",
        "bounds",
        "Entropy",
        "Divergence",
        "Estimate",
        "Joint",
        "Channel",
        "estimate.entropy",
        "estimate.mutual_information",
        "estimate.divergence",
        "estimate.conditional_mutual_information",
        "estimate.transfer_entropy",
        "estimate.MutualInformationSelector",
        "tables.profile",
        "tables.relate",
        "tables.drift",
        "tables.WoEEncoder",
        "tables.iv",
        "tables.psi",
        "tables.Scorecard",
        "stats.fair_frontier",
        "dynamics.work",
    ]:
        target = pl
        for part in path.split("."):
            target = getattr(target, part)
    with pytest.raises(AttributeError, match="its rooms are"):
        _ = pl.no_such_room


def test_the_main_job_opens_no_connection(tmp_path):
    code = f"""
        import socket
        def refuse(*a, **k):
            raise RuntimeError("a connection was opened")
        socket.socket.connect = refuse
        socket.create_connection = refuse
        socket.getaddrinfo = refuse
        import numpy as np, plogp as pl
        rng = np.random.default_rng(0)
        a = {{"x": rng.normal(size=300), "c": rng.choice(["u", "v"], 300), "y": rng.integers(0, 2, 300)}}
        b = {{"x": rng.normal(1, 1, size=300), "c": rng.choice(["u", "v"], 300), "y": rng.integers(0, 2, 300)}}
        pl.report.report(a, b, target="y").save({str(tmp_path)!r})
        print("done")
    """
    done = run(code)
    assert done.stdout.strip().endswith("done"), done.stdout + done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page

"""The page in a real browser, where there is one: the script runs under the page's policy, and nothing overflows."""

from __future__ import annotations

import html
import re
import shutil
import subprocess

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def browse(page: str, folder, *options: str) -> str:
    """Load a page and return the document as it is after its scripts."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_the_script_runs_under_the_policy(made, tmp_path):
    dom = browse(made(30).html, tmp_path)
    assert dom.count('<button type="button">') > 10
    assert dom.count('type="search"') == 4
    assert "only changed" in dom


PROBE = """<script>
const wide = document.documentElement.scrollWidth, view = document.documentElement.clientWidth;
const table = document.querySelector("table[data-only]");
const rows = () => [...table.tBodies[0].rows].filter((r) => !r.hidden);
const button = [...table.querySelectorAll("th button")].find((b) => b.textContent.trim() === "Column");
button.click();
const up = rows()[0].cells[0].dataset.v, sorted = button.closest("th").getAttribute("aria-sort");
button.click();
const down = rows()[0].cells[0].dataset.v, reversed = button.closest("th").getAttribute("aria-sort");
const only = document.querySelector("input[type=checkbox]");
only.click();
const hit = rows().length;
only.click();
const find = document.querySelector("input[type=search]");
find.value = "x17";
find.dispatchEvent(new Event("input"));
const result = [wide, view, up, sorted, down, reversed, hit, rows().length];
document.title = result.join("|");
</script></body>"""


@pytest.mark.parametrize("width", [500, 1280])
def test_sorting_filtering_and_width(made, width, tmp_path):
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", made(30).html).replace("</body>", PROBE)
    dom = browse(page, tmp_path, f"--window-size={width},900")
    title = html.unescape(re.search(r"<title>(.*?)</title>", dom, re.S).group(1))
    wide, view, up, sorted_up, down, sorted_down, hit, found = title.split("|")
    assert int(wide) <= int(view), "the page scrolls sideways"
    assert (up, sorted_up) == ("<script>alert(1)</script>", "ascending")
    assert (down, sorted_down) == ("x29", "descending")
    assert (int(hit), int(found)) == (2, 1)


@pytest.mark.parametrize("width", [390, 320])
def test_nothing_overflows_on_a_phone(made, width, tmp_path):
    # A window cannot be narrower than about 500 pixels without a screen, so the page is put into a frame.
    page = made(30).html
    (tmp_path / "inner.html").write_text(re.sub(r"<meta http-equiv[^>]*>", "", page), encoding="utf-8")
    outer = (
        f'<iframe id="f" src="inner.html" width="{width}" height="800" style="border:0"></iframe><script>'
        "f.onload = () => { const d = f.contentDocument.documentElement;"
        'document.title = d.scrollWidth + "|" + d.clientWidth; };'
        "</script>"
    )
    dom = browse(outer, tmp_path, "--allow-file-access-from-files")
    wide, view = re.search(r"<title>(\d+)\|(\d+)</title>", dom).groups()
    assert int(view) == width
    assert int(wide) <= width

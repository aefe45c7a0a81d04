"""The page: what is in it, that it asks nothing of any network, and what a reader does with it in a browser.

The browser is a Chromium, from $CHROMIUM or the PATH; where there is none, those tests are skipped.
"""

import base64
import html
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import imageio.v3 as iio
import numpy as np
import pytest

from scripts.reporting.page import page
from scripts.reporting.runs import read_runs
from scripts.reporting.study import study
from tests.helpers.runs import write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
HOSTILE = "</script><script>document.title='broken'</script><b>&amp;"


def gif(shade, size=24):
    file = io.BytesIO()
    iio.imwrite(file, np.full((2, size, size, 3), shade, np.uint8), extension=".gif", loop=0)
    return file.getvalue()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two domains, two starts, two methods; one run is interrupted, one has a hostile name, three have films."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (1, 2, 3):
        rising = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.0]
        write_run(root / f"mi{seed}", rising, seed, film=gif(80 * seed) if seed < 3 else b"")
        write_run(root / f"old{seed}", [0.5] * (8 if seed < 3 else 4), seed, variant="history", finished=seed < 3)
        write_run(root / f"sphinx{seed}", rising, seed, env="Sphinx-v0")
    write_run(root / "demo", [1.0] * 8, 1, start_expert=64, film=gif(200))
    write_run(root / "evil", [0.1] * 8, 1, variant=HOSTILE)
    return study(read_runs([str(root)])[0], 0.9, "success", [f"a note with {HOSTILE}"])


class Elements(HTMLParser):
    """Every element with its attributes, and the text of the data."""

    def __init__(self):
        super().__init__()
        self.elements, self.data, self._in = [], "", None

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = dict(attrs).get("id") if tag == "script" else None

    def handle_data(self, data):
        if self._in == "data":
            self.data += data


def parsed(text):
    parser = Elements()
    parser.feed(text)
    return parser


def test_the_page_holds_everything_and_asks_for_nothing(found):
    text, notes = page(found, 1.0)
    assert notes == []
    parser = parsed(text)
    assert [tag for tag, _ in parser.elements].count("script") == 2  # none came in with a name
    for tag, attributes in parser.elements:
        assert tag not in ("link", "iframe", "object", "base")
        assert not {"src", "href", "action", "onload", "onerror"} & attributes.keys()
    policy = next(attributes["content"] for tag, attributes in parser.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'")
    assert "http:" not in policy
    assert "@import" not in text
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|import\(", text)
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert "@@" not in text
    assert not any("`" in said for said in json.loads(parser.data)["texts"].values())  # no Markdown


def test_the_numbers_of_the_page_are_those_of_the_study(found):
    data = json.loads(parsed(page(found, 1.0)[0]).data)
    assert [(panel["domain"], panel["start"]) for panel in data["panels"]] == [
        ("HeavenHell-v0", "without demonstrations"),
        ("HeavenHell-v0", "with demonstrations"),
        ("Sphinx-v0", "without demonstrations"),
        ("all domains", "without demonstrations"),
    ]
    for shown, panel in zip(data["panels"], found.panels, strict=True):
        for theirs, row in zip(shown["rows"], panel.rows, strict=True):
            assert data["labels"][theirs["label"]]["name"] == row.label
            for (axis, metric), curve in row.curves.items():
                drawn = theirs["curves"][f"{axis}/{metric}"]
                np.testing.assert_allclose(drawn["x"], curve.x, rtol=1e-4)
                for name, values in curve.statistics.items():
                    np.testing.assert_allclose(np.array(drawn[name], float), values, rtol=1e-4, atol=1e-9)
    (old,) = [row for row in data["panels"][0]["rows"] if "history" in data["labels"][row["label"]]["name"]]
    assert (old["seeds"], old["unfinished"], old["full"]) == (3, 1, 3)
    assert set(old["curves"]["steps/success"]["seeds"]) == {2, 3}
    assert old["few"]
    assert "too few seeds (under 5) for intervals to say much: HeavenHell-v0, " in data["notes"][-1]


def test_what_is_logged_of_learning_is_shown_as_it_was(found):
    panel = json.loads(parsed(page(found, 0.0)[0]).data)["panels"][0]
    (mine,) = [row for row in panel["rows"] if len(row["runs"]) == 3 and not row["unfinished"]]
    assert set(mine["learning"]) == {"loss/td", "q/max"}
    shown = mine["learning"]["q/max"]
    assert (shown["x"][0], shown["x"][-1]) == (300, 14003)  # from the first line of any to the last of any
    mean, least, greatest = shown["lines"]
    assert (mean[0], least[0], greatest[0]) == (2, 1, 3)  # seed + k, of seeds 1, 2, 3
    assert (mean[-1], least[-1], greatest[-1]) == (10, 10, 10)  # the one seed that came so far
    shown = mine["learning"]["loss/td"]
    assert shown["x"][0] > 2000  # the first line has null there
    assert shown["lines"][0][0] <= 1000


def test_films_are_inside_as_far_as_there_is_room(found):
    def films(megabytes):
        text, notes = page(found, megabytes)
        return json.loads(parsed(text).data)["films"], notes

    inside, notes = films(1.0)
    prefix = "data:image/gif;base64,"
    expected = [found.panels[0].rows[-1].runs[seed].films[0].read_bytes() for seed in (0, 1)]
    demo = found.panels[1].rows[0].runs[0].films[0].read_bytes()
    assert sorted(base64.b64decode(film.removeprefix(prefix)) for film in inside) == sorted([*expected, demo])
    assert notes == []
    room = (len(expected[0]) + len(demo)) / 1e6  # the first of each group comes before the second of any
    inside, notes = films(room)
    assert [base64.b64decode(film.removeprefix(prefix)) for film in inside] == [expected[0], demo]
    assert notes == ["report.html has no room for 1 of 3 films; raise --film_megabytes"]
    assert films(0.0) == ([], [])


ACTS = """
<script>
const out = {};
addEventListener("error", (event) => { out.error = event.message; });
addEventListener("securitypolicyviolation", (event) => { out.blocked = event.blockedURI; });
const pick = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
const choices = (id) => [...$(id).options].map((option) => option.value);
const cells = (id) => [...$(id).querySelectorAll("tr")].map((row) => [...row.children].map((cell) => cell.textContent));
const point = (share, id = "curves") => {
  const svg = $(id).querySelector("svg"), frame = svg.getBoundingClientRect();
  const at = { clientX: frame.left + share * frame.width, clientY: frame.top + 50 };
  svg.dispatchEvent(new MouseEvent("mousemove", at));
  return [...$("tip").children].map((line) => line.textContent);
};
async function act() {
  out.domains = choices("domain");
  out.metrics = choices("metric");
  out.axes = choices("axis");
  out.curves = document.querySelectorAll("#curves path.curve").length;
  out.final = cells("final");
  out.chances = cells("improvement");
  out.clock = cells("clock");
  out.notes = $("notes").textContent;
  out.end = point(0.999);
  out.learning = [choices("learning"), $("learning-chart").querySelectorAll("path.curve").length];
  pick("learning", "q/max");
  out.tip = $("tip").hidden; // what it said was of the choice before
  out.hovered = point(0.999, "learning-chart");
  out.opaque = getComputedStyle(document.querySelector("header")).backgroundColor;
  const images = [...document.querySelectorAll("#films img")];
  await Promise.all(images.map((image) => image.decode()));
  out.films = images.map((image) => [image.alt, image.naturalWidth]);
  const before = images[0].src, seed = document.querySelector("#films select");
  seed.value = "1"; seed.dispatchEvent(new Event("change"));
  out.other = images[0].src !== before;
  $("methods").querySelector("input").click();
  out.fewer = document.querySelectorAll("#curves path.curve").length;
  $("seeds").click();
  out.thin = document.querySelectorAll("#curves path[opacity='0.4']").length;
  pick("statistic", "iqm"); pick("metric", "return"); pick("axis", "minutes");
  out.label = $("curves").querySelector("svg").getAttribute("aria-label");
  out.returns = point(0.999);
  pick("start", "with demonstrations");
  out.demonstrations = cells("final").slice(1);
  pick("domain", "Sphinx-v0");
  out.sphinx = cells("final").slice(1);
  pick("domain", "all domains"); pick("metric", "score");
  out.all = cells("final").slice(1);
  out.hidden = ["clock-section", "films-section", "runs-section"].map((id) => $(id).hidden);
  out.share = $("curves").querySelector("svg").getAttribute("aria-label");
  const svg = $("curves").querySelector("svg");
  svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  out.key = $("tip").hidden;
  out.hash = location.hash;
}
act().catch((error) => { out.error = `${error}`; }).finally(() => {
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(out);
  document.body.append(result);
});
</script>
"""


def browse(path, profile, fragment="", dark=False, flags=()):
    """The page's text after its scripts have run, without a network; and what the console said."""
    flags = [
        *flags,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
    ]
    flags += [f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    flags += ["--virtual-time-budget=10000"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    command = [CHROMIUM, *flags, "--window-size=1200,1600", "--dump-dom", f"{path.as_uri()}{fragment}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason=f"no browser: none of {', '.join(NAMES)} is there, nor $CHROMIUM")
def test_a_reader_picks_and_hovers_and_watches(found, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(found, 1.0)[0].replace("</body>", ACTS + "</body>"))
    text, console = browse(path, tmp_path / "profile")
    assert console == []
    assert "<title>Report</title>" in text
    out = json.loads(html.unescape(re.search('<pre id="result">(.*?)</pre>', text, re.S)[1]))
    assert not {"error", "blocked"} & out.keys(), out
    mine, old, evil = "dqn:mi, gru", "dqn:history, gru", f"dqn:{HOSTILE}, gru"
    assert out["domains"] == ["HeavenHell-v0", "Sphinx-v0", "all domains"]
    assert out["metrics"] == ["success", "return", "score", "length"]
    assert out["axes"] == ["steps", "minutes"]
    assert (out["curves"], out["fewer"]) == (3, 2)
    assert [line[0] for line in out["final"]] == ["", evil, old, mine]
    assert out["final"][3] == [mine, *["0.61 [0.61, 0.61]"] * 3, "3 of 3, too few seeds"]
    assert out["final"][2] == [old, *["0.50 [0.50, 0.50]"] * 3, "2 of 3, too few seeds"]
    assert out["chances"][3][1:] == ["1.00, too few seeds", "1.00, too few seeds", "–"]
    assert out["clock"][3][1:3] == ["3 of 3", "10,002 [10,001, 10,003]"]
    assert HOSTILE in out["notes"]
    assert out["end"][0].startswith("environment steps 14 k: success")
    assert out["learning"] == [["loss/td", "q/max"], 3]
    assert out["tip"] is True
    assert out["hovered"][0].startswith("environment steps 14 k: q/max")
    assert f"{mine}: 10 [10, 10]" in out["hovered"]
    assert re.fullmatch(r"rgb\(\d+, \d+, \d+\)", out["opaque"])
    assert f"{mine}: 1.00 [1.00, 1.00] – 3 seeds" in out["end"]
    assert f"{old}: 0.50 [0.50, 0.50] – 2 seeds" in out["end"]
    assert out["films"] == [[f"episodes of {mine}", 24]]
    assert out["other"]
    assert out["thin"] == 6  # of two methods
    assert out["label"] == "return against minutes of training"
    assert any(line.startswith(f"{mine}: 1.00") for line in out["returns"])
    assert out["demonstrations"] == [[mine, "1.00", "1.00", "1.00", "1 of 1, too few seeds"]]
    assert [line[0] for line in out["sphinx"]] == [mine]
    score = (2 * 0.6125 - 1 + (2 * 0.6125 - 1 - 0.016424) / (0.8 - 0.016424)) / 2
    assert out["all"] == [[mine, *[f"{score:.2f} [{score:.2f}, {score:.2f}]"] * 3, "6 of 6, too few seeds"]]
    assert out["hidden"] == [True, True, True]
    assert out["share"] == "score (0 random, 1 optimum) against share of training, %"
    assert out["key"] is False
    assert "domain=all+domains" in out["hash"]
    assert "metric=score" in out["hash"]


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
def test_a_link_keeps_what_was_picked(found, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(found, 0.0)[0])
    text, console = browse(path, tmp_path / "profile", "#domain=Sphinx-v0&metric=length&axis=minutes")
    assert console == []
    assert 'aria-label="length, steps against minutes of training"' in text
    text, console = browse(path, tmp_path / "profile", "#domain=Nowhere&metric=%3Cb%3E")
    assert console == []
    assert 'aria-label="success against environment steps"' in text


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_read_in_light_and_in_the_dark(found, tmp_path, dark):
    path = tmp_path / "report.html"
    ask = """<script>
const tone = (text) => Math.max(...text.match(/\\d+/g).slice(0, 3).map(Number));
const style = (query) => getComputedStyle(document.querySelector(query));
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify([style("#final").color, style("section").backgroundColor,
  style("#curves text").fill].map(tone));
document.body.append(result);
</script>"""
    path.write_text(page(found, 0.0)[0].replace("</body>", ask + "</body>"))
    text, console = browse(path, tmp_path / "profile", dark=dark)
    assert console == []
    out = json.loads(html.unescape(re.search('<pre id="result">(.*?)</pre>', text, re.S)[1]))
    words, paper, axis = out
    assert (paper < 60) == dark
    assert abs(words - paper) > 150
    assert abs(axis - paper) > 100


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
@pytest.mark.parametrize("width", [420, 1400])
def test_the_page_is_as_wide_as_the_window_and_its_letters_keep_their_size(found, tmp_path, width):
    """In a frame, since a browser's own window has a least width."""
    (tmp_path / "report.html").write_text(page(found, 0.0)[0])
    path = tmp_path / "frame.html"
    path.write_text(f"""<iframe src="report.html" style="width: {width}px; height: 900px; border: 0"></iframe><script>
document.querySelector("iframe").addEventListener("load", (event) => {{
  const inner = event.target.contentWindow.document, svg = inner.querySelector("#curves svg");
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify([inner.documentElement.scrollWidth, svg.getBoundingClientRect().width / svg.viewBox.baseVal.width]);
  document.body.append(result);
}});</script>""")  # noqa: E501
    text, console = browse(path, tmp_path / "profile", flags=("--allow-file-access-from-files",))
    wide, scale = json.loads(re.search('<pre id="result">(.*?)</pre>', text, re.S)[1])
    assert console == []
    assert wide <= width  # a scrollbar takes some of it; tables scroll in their own frames
    assert 0.85 < scale < 1.15

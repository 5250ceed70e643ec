"""The search page in chromium, driven as a person would; skipped where chromium is absent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import SourceOptions, open_source
from tests.conftest import DOCUMENTS
from tests.test_serve_process import served

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
pytestmark = [
    pytest.mark.serve,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium or chromedriver is absent: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def page_index(
    tiny_dense: Path, tiny_sparse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rows = [
        {"id": doc_id, "title": title, "text": text, "year": 2000 + number}
        | {"kind": "odd" if number % 2 else "even"}
        for number, (doc_id, (title, text)) in enumerate(DOCUMENTS.items())
    ]
    script = {"id": SCRIPT.replace(" ", "_"), "title": SCRIPT, "text": f"seed {SCRIPT}"}
    rows.append({**script, "year": 1999, "kind": SCRIPT})
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = open_source(path, options=SourceOptions(fields=("year", "kind")))
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense))
    build_index(source, folder / "index", options)
    return folder / "index"


@pytest.fixture(scope="module")
def address(page_index: Path, judged: Path, tiny_cross: Path) -> Iterator[str]:
    options = ("--judge", str(judged), "--rerank", str(tiny_cross))
    with served(page_index, *options) as (address, _):
        yield address


class Page:
    """A browser on the page."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def wait(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened; an element that was just drawn anew is read again."""
        drawn_anew = [StaleElementReferenceException]
        waiting = WebDriverWait(self.browser, 20, 0.05, ignored_exceptions=drawn_anew)
        waiting.until(lambda _: happened())

    def open(self, asked: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}/{asked}")
        self.wait(lambda: "documents" in self.one("#index").text)
        if asked:
            self.wait(lambda: self.all(".hits li") or self.one("#failed").is_displayed())

    def ids(self, which: str = ".hits") -> list[str]:
        asked = "return [...document.querySelectorAll(arguments[0])].map(one => one.dataset.id)"
        found: list[str] = self.browser.execute_script(asked, f"{which} li")
        return found

    def requests(self) -> int:
        names = "return performance.getEntriesByType('resource').map(one => one.name)"
        return sum(name.endswith("/search") for name in self.browser.execute_script(names))

    def modules(self, body: str, given: object = None) -> Any:
        """Return what a function body returns that uses the modules rank.js and state.js."""
        return self.browser.execute_async_script(
            "const [given, done] = arguments;"
            "Promise.all([import('/page/rank.js'), import('/page/state.js')])"
            f".then(([{{ rankedBy, interval }}, {{ state }}]) => {{ {body} }}).then(done, done)",
            given,
        )

    def button(self, text: str) -> Any:
        """Return the button of a facet whose text begins so; all are read at one time."""
        asked = (
            "return [...document.querySelectorAll('#values button')]"
            ".filter(one => one.innerText.startsWith(arguments[0]))"
        )
        (found,) = self.browser.execute_script(asked, text)
        return found

    def style(self, selector: str, name: str) -> str:
        return str(self.one(selector).value_of_css_property(name))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(1360, 900)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Iterator[Page]:
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    yield Page(browser, address)
    lines = [line["message"] for line in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    assert [line for line in lines if "status of 4" not in line] == []


def test_typing_searches_and_the_lists_stand_side_by_side(page: Page) -> None:
    page.open()
    assert page.browser.switch_to.active_element == page.one("#query")
    page.one("#query").send_keys("merge sorted lists", Keys.ENTER)
    page.wait(lambda: page.all(".hits li"))
    assert page.ids()[0] == "heapq.merge"
    names = [one.text for one in page.all("#lists h2")]
    assert sorted(names) == ["bm25", "dense", "fused", "sparse"]
    assert len({one.rect["x"] for one in page.all("#lists section")}) == 4
    assert page.ids(".branch")
    assert any("to " in one.text for one in page.all(".branch .moved"))
    assert "query=merge+sorted+lists" in page.browser.current_url
    assert page.browser.title.startswith("merge sorted lists")


def test_the_address_brings_back_what_was_asked(page: Page) -> None:
    page.open("#query=thread+socket&k=5&fusion=bm25&filter=year+%3E+2007")
    assert sorted(page.ids()) == ["socket.socket", "threading.Thread"]
    shown = [
        page.one(f"#{name}").get_attribute("value") for name in ("query", "k", "fusion", "filter")
    ]
    assert shown == ["thread socket", "5", "bm25", "year > 2007"]
    page.open("#query=thread+socket&weight=0.25")
    assert page.one("#weight-said").text == "0.25"


def test_the_slider_ranks_again_without_a_request(page: Page) -> None:
    page.open("#query=merge+sorted+lists&k=5")
    before, asked = page.ids(), page.requests()
    slider = page.one("#weight")
    slider.send_keys(Keys.END)
    assert page.one("#weight-said").text == "1.00"
    dense = [
        one for one in page.all(".branch") if one.find_element("css selector", "h2").text == "dense"
    ]
    expected = [i.get_attribute("data-id") for i in dense[0].find_elements("css selector", "li")]
    assert page.ids() == expected
    assert all("stays from" in one.text for one in page.all(".hits .stays"))
    slider.send_keys(Keys.HOME)
    assert page.ids()[0] == "heapq.merge"
    assert page.requests() == asked
    page.one("#reset").click()
    assert page.ids() == before


def test_a_hit_stays_for_as_long_as_it_says(page: Page) -> None:
    page.open("#query=heap+file+path+thread&k=3&weight=0.5")
    stays = page.modules(
        "const rows = rankedBy(state.found.candidates, 0.5);"
        "return rows.slice(0, 3).map(row => [row.doc_id, ...interval(row, rows, 0.5, 3)])"
    )
    inside = "return rankedBy(state.found.candidates, given).slice(0, 3).map(row => row.doc_id)"
    assert len(stays) == 3
    for doc_id, low, high in stays:
        assert 0 <= low <= 0.5 <= high <= 1
        for weight in (low + 1e-6, high - 1e-6):
            assert doc_id in page.modules(inside, weight)
        for weight in [low - 1e-6] * (low > 0) + [high + 1e-6] * (high < 1):
            assert doc_id not in page.modules(inside, weight)


def test_words_are_marked_by_weight_and_kind_told_apart_without_colour(page: Page) -> None:
    page.open("#query=heap&k=5")
    literal = page.all(".hits mark.literal")
    assert {one.text for one in literal} == {"heap"}
    assert page.all(".hits mark.expanded")
    styles = {
        kind: page.style(f".hits mark.{kind}", "text-decoration-style")
        for kind in ("literal", "expanded")
    }
    assert styles == {"literal": "solid", "expanded": "dotted"}
    assert "in the query, weight" in literal[0].get_attribute("title")


def test_keys_move_between_hits_explain_and_close(page: Page) -> None:
    page.open("#query=merge+sorted+lists")
    body = page.one("body")
    body.send_keys("/")
    active = page.browser.switch_to.active_element
    assert active == page.one("#query")
    active.send_keys(Keys.ARROW_DOWN)
    first = page.browser.switch_to.active_element
    assert first.get_attribute("data-id") == page.ids()[0]
    first.send_keys(Keys.ENTER)
    page.wait(lambda: page.all(".why table"))
    assert "literal" in page.one(".why").text
    assert {one.text for one in page.all(".why td")} >= {"sparse", "bm25", "dense", "literal"}
    first.send_keys(Keys.ESCAPE)
    assert not page.one(".why").is_displayed()
    first.send_keys(Keys.ARROW_DOWN)
    second = page.browser.switch_to.active_element
    assert second.get_attribute("data-id") == page.ids()[1]
    second.send_keys(Keys.ESCAPE)
    assert page.browser.switch_to.active_element == page.one("#query")


def test_an_explanation_says_what_would_change_the_rank(page: Page) -> None:
    page.open("#query=merge+sorted+lists&k=5")
    page.one(".hits li").send_keys(Keys.ENTER)
    page.wait(lambda: page.all(".why table"))
    captions = [each.text for each in page.all(".why caption")]
    assert "Rank under other fusions" in captions
    (nearest,) = [each for each in captions if each.startswith("Sentences nearest the query")]
    assert "by dense" in nearest
    assert "approximation" in nearest
    text = page.one(".hits li .text").text
    assert {each.text for each in page.all(".why table:nth-of-type(4) td:last-child")} <= {text}
    said = [each.text for each in page.all(".why p")]
    assert said
    assert all(each.startswith("In the top k for a weight of") for each in said)
    fusion = quote("cc(alpha=1, norm=minmax, branches=(sparse, dense))")
    page.open(f"#query=heap+file+path+thread&k=3&fusion={fusion}&weight=0")
    for one in page.all(".hits li"):
        one.send_keys(Keys.ENTER)
        page.wait(lambda one=one: one.find_elements("css selector", ".why table"))
    said = [each.text for each in page.all(".why p:first-child")]
    assert said
    assert all("Not in the top 3: the fusion ranks it lower; it lacks" in each for each in said)


def test_facets_narrow_the_list_and_let_go(page: Page) -> None:
    page.open("#query=heap+file+path+thread&k=20&filter=year+%3E+1999")
    assert [one.text for one in page.all("#values legend")] == ["kind"]
    every, even = page.ids(), page.button("even")
    assert even.get_attribute("aria-pressed") == "false"
    even.click()
    page.wait(lambda: page.button("even").get_attribute("aria-pressed") == "true")
    kept = list(page.ids())
    assert 0 < len(kept) < len(every)
    assert set(kept) < set(every)
    assert page.button("even").text == f"even ({len(kept)})"
    assert "facet=kind" in page.browser.current_url
    page.browser.refresh()
    page.wait(lambda: page.all(".hits li"))
    assert page.ids() == kept
    page.one("#filter").clear()
    page.one("#filter").send_keys("year < 1900", Keys.ENTER)
    page.wait(lambda: "Nothing found" in page.one("#said").text)
    page.one("#filter").clear()
    page.button("kind ==").click()
    page.wait(lambda: len(page.ids()) >= len(every))
    assert page.button(SCRIPT).text == f"{SCRIPT} (1)"


def test_a_reranked_list_stands_beside_the_fused_one(page: Page) -> None:
    page.open("#query=merge+sorted+lists&k=5")
    fused = page.ids()
    page.one("#rerank").click()
    page.wait(lambda: "reranked by" in page.one("#said").text)
    names = [one.text for one in page.all("#lists h2")]
    assert names[:2] == ["reranked", "fused"]
    assert page.ids(".branch")[:5] == fused
    assert len(page.all(".hits .moved")) == 5
    page.one(".hits li button").click()
    page.wait(lambda: page.all(".why h4"))
    assert {one.text for one in page.all(".why td")} >= {"first", "rerank", "sparse", "dense"}
    page.one("#weight").send_keys(Keys.END)
    names = [one.text for one in page.all("#lists h2")]
    assert names[:2] == ["fused", "reranked"]
    assert "rerank=yes" in page.browser.current_url
    page.browser.refresh()
    page.wait(lambda: page.all(".hits li"))
    assert page.one("#rerank").is_selected()


def test_judgments_are_written_for_the_tuner(page: Page, judged: Path) -> None:
    page.open("#query=parse+json&fusion=bm25")
    page.one("#who").send_keys("Ada")
    relevant, other = page.all(".hits li:first-child [aria-pressed]")
    relevant.click()
    page.wait(lambda: relevant.get_attribute("aria-pressed") == "true")
    (line,) = (judged / "qrels").read_text().splitlines()
    assert line.split()[1:] == ["0", page.ids()[0], "1"]
    record = json.loads((judged / "judgments.jsonl").read_text())
    assert (record["who"], record["query"], record["shown"]) == ("Ada", "parse json", page.ids())
    other.click()
    page.wait(lambda: relevant.get_attribute("aria-pressed") == "false")
    assert (judged / "qrels").read_text().split()[-1] == "0"


def test_nothing_found_and_errors_are_said(page: Page) -> None:
    page.open()
    page.one("#filter").send_keys("year < 1900")
    page.one("#query").send_keys("merge", Keys.ENTER)
    page.wait(lambda: "Nothing found" in page.one("#said").text)
    assert "filter" in page.one("#said").text
    page.one("#filter").clear()
    page.one("#filter").send_keys("colour == 1", Keys.ENTER)
    page.wait(lambda: page.one("#failed").is_displayed())
    assert "no field 'colour'" in page.one("#failed").text
    assert not page.all("#lists li")


def test_a_document_with_a_script_is_shown_as_text(page: Page) -> None:
    page.open("#query=seed&fusion=bm25")
    shown = {item.get_attribute("data-id"): item for item in page.all(".hits li")}
    item = shown[SCRIPT.replace(" ", "_")]
    assert item.find_element("css selector", "h3").text == SCRIPT
    assert SCRIPT in item.find_element("css selector", ".text").text
    assert not page.all("#lists script, #lists img")
    assert page.browser.title == "seed – hybrid search"
    page.open("#query=%3Cscript%3Edocument.title%3D%27taken%27%3C/script%3E+seed")
    assert page.browser.title.startswith("<script>")


def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open("#query=merge+sorted+lists&weight=0.4")
        page.one(".hits li button").click()
        page.wait(lambda: page.all(".why table"))
        width = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= 380
        assert len({one.rect["x"] for one in page.all("#lists section")}) == 1
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d',
  { willReadFrequently: true });
const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = (colour) => { const [r, g, b] = rgb(colour).slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (one) => { const colour = getComputedStyle(one).backgroundColor;
  return rgb(colour)[3] === 0 && one.parentElement ? behind(one.parentElement) : colour; };
return [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .map((one) => { const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 80)]; });
"""


def test_light_and_dark_have_contrast(page: Page) -> None:
    page.open("#query=heap+thread&weight=0.5")
    page.one(".hits li button").click()
    page.wait(lambda: page.all(".why table"))
    papers = set()
    for _ in range(2):
        papers.add(page.style("body", "background-color"))
        found = page.browser.execute_script(CONTRASTS)
        assert len(found) > 50
        assert [one for one in found if one[0] < 4.5] == []
        page.one("#theme").click()
    assert len(papers) == 2
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_script("localStorage.clear()")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    page.open("#query=heap")
    assert page.style("body", "background-color") == "rgba(20, 23, 28, 1)"
    assert page.one("#theme").get_attribute("aria-pressed") == "true"
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_has_a_name(page: Page) -> None:
    page.open("#query=heap")
    nameless = [
        one.get_attribute("outerHTML")
        for one in page.all("input, select, button, section")
        if one.is_displayed() and not one.accessible_name
    ]
    assert nameless == []


def test_a_key_is_asked_for_and_kept(browser: webdriver.Chrome, page_index: Path) -> None:
    with served(page_index, HYBRID_API_KEYS="opens") as (address, _):
        page = Page(browser, address)
        browser.get(f"{address}/#query=heap&fusion=bm25")
        page.wait(lambda: page.one("#unlock").is_displayed())
        assert "API key" in page.one("#failed").text
        page.one("#key").send_keys("opens", Keys.ENTER)
        page.wait(lambda: page.all(".hits li"))
        assert not page.one("#unlock").is_displayed()
        assert not page.one("#failed").is_displayed()

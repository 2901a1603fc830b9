"""The console in a real browser: headless Chromium clicks through the page that the server serves."""

import http.client
import json
import pathlib
import re
import threading
import urllib.request

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from server import Server

STORY = "Tell me a long story about the sea."
WIDE = (1400, 900)
NARROW = (400, 800)


class RunningServer:
    """What --url names: started and stopped by somebody else."""

    def __init__(self, url):
        self.root = url.rstrip("/")

    metric = Server.metric


@pytest.fixture(scope="session")
def server(pytestconfig):
    if url := pytestconfig.getoption("--url"):
        yield RunningServer(url)
        return
    server = Server(pytestconfig.getoption("--host-binary"))
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def server_with_key(pytestconfig):
    if not pytestconfig.getoption("--host-binary"):
        pytest.skip("needs --host-binary, to start a server that asks for a key")
    server = Server(pytestconfig.getoption("--host-binary"), "--api-key", "right")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def browser(pytestconfig):
    folder = pathlib.Path(pytestconfig.getoption("--browser") or "/usr/bin")
    options = webdriver.ChromeOptions()
    options.binary_location = str(folder / "chromium")
    # No sandbox: Chromium refuses to have one as root, and it opens nothing here but our own page.
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(str(folder / "chromedriver")))
    yield browser
    browser.quit()


class Page:
    """The page and what a person does on it."""

    def __init__(self, browser, root):
        self.browser = browser
        browser.get("about:blank")  # else another view of the same address would not be loaded anew
        browser.get_log("browser")
        self.resize(WIDE)
        browser.get(f"{root}/")

    def resize(self, size):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False})

    def colour_scheme(self, scheme):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def script(self, text, *arguments):
        return self.browser.execute_script(text, *arguments)

    def wait(self, condition, what, seconds=30):
        return WebDriverWait(self.browser, seconds, poll_frequency=0.01).until(lambda _: condition(), what)

    def set(self, name, value):
        field = self.one(f"#setting-{name}")
        field.clear()
        field.send_keys(value, Keys.TAB)

    def ready(self):
        self.wait(lambda: self.all("#setting-model option"), "the models are listed")
        return self

    def send(self, question):
        self.one("#question").send_keys(question, Keys.ENTER)

    def ask(self, question):
        """Sends a question and waits until its answer has ended; returns the exchange."""
        ended = len(self.all("article[data-state]"))
        self.send(question)
        self.wait(lambda: len(self.all("article[data-state]")) > ended, "the answer ends", 60)
        return self.all("article")[-1]

    def answer(self):
        """The text of the last answer so far."""
        return self.script("return [...document.querySelectorAll('.answer-text')].at(-1)?.textContent ?? ''")

    def figure(self, name):
        return self.all(f"[data-figure={name}]")[-1].text

    def view(self, name):
        self.one(f"nav a[href='#{name}']").click()

    def complaints(self):
        """What the browser's console has to complain of: errors of scripts, of the content security policy, of loading."""
        return [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def page(browser, server):
    page = Page(browser, server.root).ready()
    yield page
    assert page.complaints() == []


def number(text):
    return float(re.search(r"[\d,.]+", text)[0].replace(",", ""))


def test_an_answer_grows_while_it_is_read_and_tells_its_figures(page):
    page.set("max_tokens", "200")
    page.send(STORY)
    lengths = set()

    def ended():
        lengths.add(len(page.answer()))
        return page.all("article[data-state=done]")

    page.wait(ended, "the answer ends", 60)
    assert len(lengths - {0}) >= 2, lengths
    assert re.fullmatch(r"[\d.,]+\s?(ms|s)", page.figure("first-token"))
    assert re.fullmatch(r"[\d.,]+ tokens/s", page.figure("speed")) and number(page.figure("speed")) > 0
    assert number(page.figure("prompt")) > 10 and number(page.figure("cached")) >= 0
    assert 0 < number(page.figure("completion")) <= 200
    assert page.figure("finish") in ("stop", "length")
    assert page.one("#chat-status").text.startswith("Answered")


def test_the_next_question_goes_with_the_conversation(page):
    page.set("max_tokens", "16")
    page.ask("What do bees make?")
    alone = number(page.figure("prompt"))
    page.ask("And what is the capital of France?")
    assert number(page.figure("prompt")) > alone + 16


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stopping_keeps_what_has_come_and_frees_the_server(page, server, how):
    page.set("max_tokens", "6000")
    page.set("temperature", "0")
    page.send(STORY)
    page.wait(lambda: len(page.answer()) > 20, "an answer begins")
    if how == "button":
        page.one("#stop").click()
    else:
        page.one("#question").send_keys(Keys.ESCAPE)
    page.wait(lambda: page.all("article[data-state=stopped]"), "the answer is stopped")
    assert page.figure("finish") == "stopped by you" and page.figure("completion").startswith("about ")
    assert len(page.answer()) > 20 and page.one("#send").is_displayed() and not page.one("#stop").is_displayed()
    page.wait(lambda: server.metric("vllm:num_requests_running") == 0, "the server gives the request up")


def test_regenerating_replaces_the_answer_and_clearing_removes_all(page):
    page.set("max_tokens", "16")
    page.set("seed", "1")
    page.ask("Write a poem.")
    first = page.answer()
    page.set("seed", "2")
    page.one("article.is-last .again").click()
    page.wait(lambda: page.all("article[data-state]") and page.answer() not in ("", first), "another answer comes")
    assert len(page.all("article")) == 1
    page.one("#clear").click()
    assert page.all("article") == [] and page.one("#empty").is_displayed()


def test_enter_sends_and_shift_enter_breaks_the_line(page):
    page.set("max_tokens", "4")
    page.one("#question").send_keys("one", Keys.SHIFT, Keys.ENTER, Keys.NULL, "two")
    assert page.one("#question").get_property("value") == "one\ntwo" and page.all("article") == []
    page.ask("")
    assert page.one(".question").text == "one\ntwo" and page.one("#question").get_property("value") == ""


def test_a_setting_that_makes_no_sense_is_named_and_nothing_is_sent(page):
    page.set("temperature", "hot")
    page.send("hi")
    assert "Temperature" in page.one("#settings-complaint").text and page.all("article") == []
    assert page.one("#question").get_property("value") == "hi"


def test_an_error_of_the_api_is_told_in_words(page):
    page.set("max_tokens", "1000000")
    exchange = page.ask("hi")
    failure = exchange.find_element(By.CSS_SELECTOR, ".failure").text
    assert "refused" in failure and "max_tokens" in failure
    complaints = page.complaints()
    assert all("status of 400" in complaint["message"] for complaint in complaints), complaints


def test_a_server_with_a_key_asks_for_it_and_answers_once_it_has_it(browser, server_with_key):
    page = Page(browser, server_with_key.root)
    page.wait(lambda: "asks for an API key" in page.one("#model-note").text, "the page says that a key is needed")
    page.set("max_tokens", "8")
    page.ask("hi")
    assert "asks for an API key" in page.one(".failure").text
    assert page.browser.switch_to.active_element == page.one("#setting-key")
    page.set("key", "wrong")
    page.wait(lambda: "does not accept" in page.one("#model-note").text, "the page says that the key is wrong")
    page.set("key", "right")
    page.ready()
    page.one("article.is-last .again").click()
    page.wait(lambda: page.all("article[data-state=done]"), "the answer comes")
    assert page.answer()
    kept = page.script("return [localStorage.length, sessionStorage.length, document.cookie, location.href]")
    assert kept[:3] == [0, 0, ""] and "right" not in kept[3]
    complaints = page.complaints()
    assert all("status of 401" in complaint["message"] for complaint in complaints), complaints


def calls(page):
    rows = page.script("return [...document.querySelectorAll('#plugins tbody tr')].map(row => [row.dataset.key, row.querySelector('[data-label=Calls]').textContent])")
    return {plugin: number(text) for plugin, text in rows}


def test_the_operator_sees_the_plugins_and_their_counters_go_up(page):
    page.view("operator")
    page.wait(lambda: {"openai-router", "request-shaper", "chat-template"} <= calls(page).keys(), "the built-in plugins are listed")
    before = calls(page)
    page.view("chat")
    page.set("max_tokens", "64")
    page.ask(STORY)
    page.view("operator")
    page.wait(lambda: all(calls(page)[plugin] > count for plugin, count in before.items() if plugin != "console"), "the counters go up")
    tile = page.one("[data-tile=generated]")
    page.wait(lambda: "in all" in tile.text, "tokens are counted")
    assert page.one("[data-tile=first-token] b").text != "–"
    assert page.one("[data-tile=running] path.spark-line").get_attribute("d").startswith("M")
    page.one("#phases").click()
    assert page.one("#plugins tr.part").is_displayed()


def test_the_page_fits_a_narrow_screen(page):
    page.resize(NARROW)
    page.wait(lambda: not page.one("#setting-model").is_displayed(), "the settings are folded")
    page.one("#settings > summary").click()
    page.set("max_tokens", "32")
    page.one("#settings > summary").click()
    page.ask("Write a Python function.")
    for view in ("chat", "operator"):
        page.view(view)
        page.wait(lambda: page.one(f"#view-{view}").is_displayed(), f"{view} is shown")
        assert page.script("return document.documentElement.scrollWidth") <= NARROW[0]
        wide = page.script("return [...document.querySelectorAll(arguments[0])].filter(node => node.scrollWidth > node.clientWidth && node.clientWidth > 0).map(node => node.id)", f"#view-{view}, #view-{view} section, #conversation")
        assert wide == []


def test_every_control_has_a_name_and_the_keyboard_reaches_it(page):
    controls = [control for control in page.all("input, select, textarea, button, a, summary") if control.is_displayed()]
    assert len(controls) > 12
    assert [control.get_attribute("outerHTML") for control in controls if not control.accessible_name] == []
    page.script("document.activeElement.blur()")
    reached = set()
    for _ in range(len(controls) + 8):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.browser.switch_to.active_element
        reached.add(focused.id)
        width = page.script("return getComputedStyle(arguments[0]).outlineStyle", focused)
        assert focused.tag_name == "body" or width != "none", focused.get_attribute("outerHTML")
    assert [control.get_attribute("outerHTML") for control in controls if control.id not in reached] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    page.colour_scheme(scheme)
    pairs = [("ink", "ground"), ("ink", "surface"), ("ink", "accent-soft"), ("muted", "ground"), ("muted", "surface"), ("muted", "danger-soft"), ("accent-ink", "accent"), ("danger", "danger-soft"), ("danger", "surface")]
    values = page.script("const style = getComputedStyle(document.documentElement); return Object.fromEntries(arguments[0].flat().map(name => [name, style.getPropertyValue(`--${name}`).trim()]))", pairs)
    weak = {pair: ratio for pair in pairs if (ratio := contrast(values[pair[0]], values[pair[1]])) < 4.5}
    page.colour_scheme("")
    assert weak == {}


def contrast(one, other):
    """WCAG's ratio of two colours like #1d1f21; text needs 4.5."""

    def luminance(colour):
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_browser_itself_refuses_to_read_html_and_foreign_addresses(page):
    with pytest.raises(JavascriptException, match="TrustedHTML"):
        page.script("document.body.innerHTML = '<b>text</b>'")
    refused = page.browser.execute_async_script("fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), error => arguments[0](String(error)))")
    assert "TypeError" in refused
    assert "connect-src" in "".join(complaint["message"] for complaint in page.complaints())


@pytest.mark.parametrize(
    "method, path, headers, status",
    [
        ("GET", "/", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/console/main.js", {}, 200),
        ("GET", "/console/main.js", {"if-none-match": "*"}, 304),
        ("GET", "/console/nothing.js", {}, 404),
        ("POST", "/", {}, 405),
    ],
)
def test_the_page_s_files_are_served_as_http_wants_it(server, method, path, headers, status):
    connection = http.client.HTTPConnection(server.root.removeprefix("http://"), timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == status
    assert bool(body) == (method != "HEAD" and status != 304)
    assert response.headers["content-security-policy"].startswith("default-src 'self'; connect-src 'self';")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert (status not in (200, 304)) or response.headers["etag"]


def test_screenshots(page, server, pytestconfig):
    folder = pytestconfig.getoption("--screenshots")
    if not folder:
        pytest.skip("only with --screenshots DIR")
    folder = pathlib.Path(folder)
    done = threading.Event()
    load = [threading.Thread(target=keep_asking, args=(server.root, number, done)) for number in range(3)]
    for thread in load:
        thread.start()
    try:
        page.set("max_tokens", "120")
        page.set("temperature", "0")
        page.ask("Name three colours of the rainbow.")
        page.ask("Write a Python function that reverses a string.")
        page.browser.save_screenshot(str(folder / "console-chat.png"))
        page.view("operator")
        line = page.one("[data-tile=running] path.spark-line")
        page.wait(lambda: line.get_attribute("d").count("L") >= 50, "fifty seconds were measured", 120)
        page.browser.save_screenshot(str(folder / "console-operator.png"))
    finally:
        done.set()
        for thread in load:
            thread.join()
    for name in ("console-chat.png", "console-operator.png"):
        assert (folder / name).stat().st_size < 200_000


def keep_asking(root, number, done):
    """A client like any other, so that there is something to see."""
    question = 0
    while not done.is_set():
        question += 1
        body = {"model": "demo", "max_tokens": 40 + 30 * number, "seed": question, "messages": [{"role": "user", "content": f"Tell me about the number {question}{number}."}]}
        request = urllib.request.Request(f"{root}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
        urllib.request.urlopen(request).read()

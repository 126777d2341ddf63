"""A headless Chromium, driven through its DevTools protocol: one page at a time."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

import websocket

LONG = 60
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """Return the path of an installed Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """What a visitor does and sees.

    Attributes:
        complaints: Errors and warnings of the page: of its scripts, and of what it may not load.
    """

    def __init__(self, address):
        self._socket = websocket.create_connection(address, timeout=LONG, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.complaints = []
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")

    def call(self, method, **parameters):
        """Ask the browser for something, and return what it says."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message):
        method, about = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["exception"]["description"])
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def run(self, expression):
        """Return the value of a JavaScript expression; a promise's when it is kept."""
        options = {"returnByValue": True, "awaitPromise": True}
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition):
        end = time.monotonic() + LONG
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.02)

    def text(self, selector):
        """Return the texts of the elements that are seen."""
        return self.run(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            ".filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())"
        )

    def box(self, selector):
        """Return x, y, width and height of an element, scrolled into sight."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]; })()"
        )

    def click(self, selector):
        x, y, width, height = self.box(selector)
        self.drag([(x + width / 2, y + height / 2)])

    def drag(self, points):
        """Press at the first point, move along the others, and let go."""
        for kind, (x, y) in [
            ("mousePressed", points[0]),
            *(("mouseMoved", point) for point in points),
            ("mouseReleased", points[-1]),
        ]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def touch(self, points):
        """The same with a finger."""
        for i, (x, y) in enumerate(points):
            kind = "touchMove" if i else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def write(self, selector, text):
        """Replace what stands in a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode={"Enter": 13, "Tab": 9}[key],
                **text,
            )

    def resize(self, width, height, *, dark=False, touch=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def keep(self, name):
        """Write a picture of the page into the folder $DLNOTES_SCREENSHOTS, if it is set."""
        folder = os.environ.get("DLNOTES_SCREENSHOTS")
        if folder:
            picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{name}.png"), "wb") as file:
                file.write(base64.b64decode(picture))


@contextlib.contextmanager
def browser(program, folder):
    """A page of a fresh Chromium, which keeps its files in a folder."""
    flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    flags += ["--disable-background-networking", "--disable-extensions", "--mute-audio"]
    flags += ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program, *flags, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it has processes of its own
    )
    try:
        end, port = time.monotonic() + LONG, folder / "DevToolsActivePort"
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < end, f"{program} does not start"
            time.sleep(0.05)
        number = port.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{number}/json", timeout=LONG) as answer:
            targets = json.load(answer)
        yield Page(next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LONG)

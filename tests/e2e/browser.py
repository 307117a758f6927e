"""Debian's Chromium without a window, told what to do by the DevTools protocol through a pair of
pipes: no driver program and no package of Python is needed."""

import base64
import json
import os
import shutil
import subprocess
import threading
import time

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome", "chromium-browser")
SECONDS = 60  # what one command may take on a busy machine


def program():
    """The browser to use; None if none is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One process; its pages share no cookies with any other."""

    def __init__(self, folder):
        read, self.commands = os.pipe()
        self.answers, write = os.pipe()
        arguments = [program(), "--headless", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--no-first-run",
                     "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--force-color-profile=srgb",
                     "--hide-scrollbars", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # which is not for root
        folder.mkdir()
        self.log = folder / "stderr"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["bash", "-c", f'exec "$0" "$@" 3<&{read} 4>&{write}', *arguments],
                                            pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=log)
        os.close(read)
        os.close(write)
        self.last = 0
        self.changed = threading.Condition()
        self.results = {}
        self.listeners = {}  # of sessions
        self.gone = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with os.fdopen(self.answers, "rb") as answers:
            text = b""
            while piece := answers.read1(1 << 16):
                *messages, text = (text + piece).split(b"\0")
                for message in map(json.loads, messages):
                    with self.changed:
                        if "id" in message:
                            self.results[message["id"]] = message
                            self.changed.notify_all()
                        elif message.get("sessionId") in self.listeners:
                            self.listeners[message["sessionId"]](message["method"], message["params"])
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def send(self, method, session=None, **params):
        with self.changed:
            self.last += 1
            number = self.last
            message = {"id": number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            try:
                os.write(self.commands, json.dumps(message).encode() + b"\0")
            except BrokenPipeError:
                self.gone = True
            if not self.changed.wait_for(lambda: number in self.results or self.gone, SECONDS) or self.gone:
                raise AssertionError(f"{method}: no answer from {program()}, which said:\n{self.log.read_text(errors='replace')[-2000:]}")
            result = self.results.pop(number)
        if "error" in result:
            raise AssertionError(f"{method}: {result['error']}")
        return result["result"]

    def close(self):
        os.close(self.commands)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Page:
    """A tab. `requests` has the URLs that it asked for, `problems` what a developer would see in red."""

    def __init__(self, browser, url, width=1280, height=800, scale=1, dark=False, touch=False, downloads=None, reduced_motion=True):
        self.browser, self.requests, self.problems = browser, [], []
        context = self.context = browser.send("Target.createBrowserContext")["browserContextId"]
        target = browser.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.listeners[self.session] = self._listen
        if downloads:
            browser.send("Browser.setDownloadBehavior", behavior="allow", browserContextId=context, downloadPath=str(downloads))
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch)
        self.send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"}])
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def _listen(self, method, params):
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(part.get("value", part.get("description"))) for part in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def close(self):
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)

    def send(self, method, **params):
        return self.browser.send(method, self.session, **params)

    def evaluate(self, expression):
        """The value of an expression of JavaScript, or of its promise."""
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def wait(self, expression, seconds=SECONDS):
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"!!({expression})"):
            if time.monotonic() > end:
                raise AssertionError(f"still not true after {seconds} s: {expression}\n{self.problems}")
            time.sleep(0.05)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector):
        """As a mouse does, where the element's middle is, once it shows; what covers it gets the click."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        x, y = self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: 'center', behavior: 'instant'}});
            const {{x, y, width, height}} = element.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key, code=None, number=0, modifiers=0, text=""):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=modifiers,
                      windowsVirtualKeyCode=number, **({"text": text} if text and kind == "keyDown" else {}))

    def tab(self, back=False):
        self.key("Tab", number=9, modifiers=8 if back else 0)

    def enter(self):
        self.key("Enter", number=13, text="\r")

    def type(self, selector, text):
        """Replaces what is in a field, once it shows, as a keyboard does."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", text=text)

    def choose(self, selector, *paths):
        """Files for an <input type=file>, as its dialog would give them."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=list(map(str, paths)))

    def drop(self, selector, *paths):
        """Files dragged from the desktop."""
        x, y = self.evaluate(f"""(() => {{
            const {{x, y, width}} = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
            return [x + width / 2, y + 30];
        }})()""")
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screenshot(self, path, height=None):
        """A .png or .webp of what is in view, or of the page's top down to `height`."""
        size = self.evaluate("[innerWidth, innerHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": height or size[1], "scale": 1}
        quality = {} if path.suffix == ".png" else {"quality": 80}
        path.write_bytes(base64.b64decode(self.send(
            "Page.captureScreenshot", format=path.suffix[1:], clip=clip, captureBeyondViewport=True, **quality)["data"]))

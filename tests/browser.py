"""Show a page in headless Chromium and ask it what a reader would see, through the DevTools protocol."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STARTS_WITHIN_S = 60
ANSWERS_WITHIN_S = 60

_MEASURE = """JSON.stringify({
  width: document.documentElement.scrollWidth,
  height: document.documentElement.scrollHeight,
  inner: window.innerWidth,
  background: getComputedStyle(document.body).backgroundColor,
  wide: [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest('.scroll, pre, svg'))
    .map(e => e.tagName + '.' + e.className)})"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Hold what a browser says of a page at one width, in CSS pixels."""

    width: int  # of all that is on the page
    height: int
    inner: int  # of the window
    background: str
    wide: list[str]  # elements that reach beyond the window
    errors: list[str]  # messages of the console, exceptions, and failed or outside requests
    picture: bytes = field(repr=False)  # PNG of the whole page


def browser() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def look(page: Path | str, *, width: int, scheme: Literal["light", "dark"], profile: Path, until: str = "true") -> Seen:
    """Open a page in a window of `width` CSS pixels under a colour scheme, with every fold opened.

    Args:
        page: a file, or the address of a server, from which the page may load more.
        width: of the window.
        scheme: the colour scheme of the reader.
        profile: empty folder for the browser.
        until: JavaScript that is true when the page is complete; looked at until then.
    """
    return asyncio.run(_look(page, width=width, scheme=scheme, profile=profile, until=until))


async def _look(page: Path | str, *, width: int, scheme: str, profile: Path, until: str) -> Seen:
    async with _started(profile) as port, aiohttp.ClientSession() as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
            address = (await answer.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=0) as socket:
            address = page.resolve().as_uri() if isinstance(page, Path) else page
            tab = _Tab(socket, own=("file:", "about:", "data:") if isinstance(page, Path) else ("data:", page))
            for domain in ("Page", "Log", "Runtime", "Network"):
                await tab.ask(f"{domain}.enable")
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            await tab.ask("Emulation.setDeviceMetricsOverride", **size)
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            await tab.ask("Emulation.setEmulatedMedia", features=features)
            await tab.ask("Page.navigate", url=address)
            await tab.wait_for("Page.loadEventFired")
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                while await tab.evaluate(f"String({until})") != "true":
                    await asyncio.sleep(0.05)
            closed = await tab.evaluate(_MEASURE)
            picture = await tab.ask("Page.captureScreenshot", captureBeyondViewport=True)
            await tab.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
            opened = await tab.evaluate(_MEASURE)
            found = json.loads(closed)
            wide = [*found["wide"], *json.loads(opened)["wide"]]
            found["width"] = max(found["width"], json.loads(opened)["width"])
            return Seen(**{**found, "wide": wide}, errors=tab.errors, picture=base64.b64decode(picture["data"]))


@asynccontextmanager
async def _started(profile: Path) -> AsyncIterator[int]:
    """Start Chromium, yield the port on which it is asked, and end it."""
    program = browser()
    assert program is not None
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, *flags, f"--user-data-dir={profile}", stdout=quiet, stderr=quiet
    )
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while not (file := profile / "DevToolsActivePort").exists() or not file.read_text():
                await asyncio.sleep(0.05)
        yield int(file.read_text().split()[0])
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


class _Tab:
    """Ask one tab, and keep what it complains about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, own: tuple[str, ...]) -> None:
        """`own` are the beginnings of the addresses that the page may ask for."""
        self._socket = socket
        self._own = own
        self._num_asked = 0
        self._events: list[str] = []
        self.errors: list[str] = []

    async def ask(self, method: str, **parameters: object) -> dict:
        self._num_asked += 1
        await self._socket.send_json({"id": self._num_asked, "method": method, "params": parameters})
        while True:
            message = await self._next()
            if message.get("id") == self._num_asked:
                assert "error" not in message, message
                return message["result"]

    async def evaluate(self, expression: str) -> str:
        return (await self.ask("Runtime.evaluate", expression=expression))["result"].get("value", "")

    async def wait_for(self, event: str) -> None:
        while event not in self._events:
            await self._next()

    async def _next(self) -> dict:
        message = json.loads(await self._socket.receive_str(timeout=ANSWERS_WITHIN_S))
        method, found = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Log.entryAdded":
            self.errors.append(found["entry"]["text"])
        if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Network.loadingFailed"):
            self.errors.append(json.dumps(found)[:500])
        if method == "Network.requestWillBeSent" and not found["request"]["url"].startswith(self._own):
            self.errors.append(f"it asks for {found['request']['url']}")
        return message

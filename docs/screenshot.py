"""Takes the picture in the README: ``python docs/screenshot.py``. Needs Chromium.

A call of three pages with generated pictures, through a server of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))  # support.*: what tests share

from support.server import running_server  # noqa: E402  # found by the line above
from support.web_pages import Browser, Person  # noqa: E402

PICTURE = DOCS / "images" / "three-person-call.png"
PEOPLE = (Person("Mira", 165, 440), Person("Jonas", 28, 660), Person("Aylin", 265, 880))
CALL = "quiet-heron-bay-42"


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        Browser() as browser,
    ):
        first, *others = (browser.join(server, person, CALL, size="960x600") for person in PEOPLE)
        first.find(*PEOPLE[1:], seconds=20)
        others[1].click("#mute")
        first.wait_until("document.querySelector('.is-muted:not(.speaking)') !== null")
        first.wait_until("Number(getComputedStyle(document.querySelector('#toast')).opacity) === 0")
        PICTURE.parent.mkdir(exist_ok=True)
        first.screenshot(PICTURE)
        for page in (first, *others):
            page.close()


if __name__ == "__main__":
    main()

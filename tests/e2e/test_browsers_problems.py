"""What a page says and does when something is wrong: with the address, the call, the server, the devices."""

from __future__ import annotations

import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from support.server import Json, Server, make_config, room_for, running_server
from support.web_pages import ANN, BOB, Browser, address

pytestmark = pytest.mark.browser

CALL = "trouble"


def test_a_page_served_without_https_to_another_machine_is_told_to_use_it(server: Server) -> None:
    port = urllib.parse.urlsplit(server.url).port
    with Browser("--host-resolver-rules=MAP sft.test 127.0.0.1") as browser:
        page = browser.open(f"http://sft.test:{port}/c/{CALL}")
        page.wait_for_end("This page needs a secure connection")


def test_a_page_without_camera_says_so_and_joins_with_sound(server: Server, browser: Browser) -> None:
    with Browser("--use-fake-device-for-media-stream=device-count=0") as bare:
        page = bare.open(f"{server.url}/c/{CALL}?name=Ann")
        page.wait_for_text("#media-problem", "No camera was found. You can join without one.")
        page.click("#join")
        page.wait_until("document.querySelector('#alone').checkVisibility()")
        assert server.participants() == 1


LOSES_THE_FIRST = """
    const send = RTCDataChannel.prototype.send;
    const lost = [];
    RTCDataChannel.prototype.send = function (data) {
      const { type } = JSON.parse(data);
      if (lost.includes(type) || !['PROPSYNC', 'KEYENVELOPE'].includes(type)) return send.call(this, data);
      lost.push(type);
    };
"""
"""As Chrome does now and then: a channel that the server has opened is called open before it is."""


def test_what_is_lost_in_the_first_moment_of_a_channel_is_said_again(
    server: Server, browser: Browser
) -> None:
    ann = browser.open(address(server, ANN, "first words"), ANN, before_load=LOSES_THE_FIRST)
    ann.wait_until("window.sftTest?.client.state === 'connected'", 20)
    bob = browser.join(server, BOB, "first words")
    bob.find(ANN)
    ann.find(BOB)


@pytest.mark.parametrize(
    "tables",
    [
        {"limits": {"participants_per_call": 1}},
        {"plugins": room_for(1)},
    ],
    ids=["participants", "ports"],
)
def test_a_full_call_is_told_and_its_people_go_on(tmp_path: Path, browser: Browser, tables: Json) -> None:
    with running_server(tmp_path, **tables) as server:
        ann = browser.join(server, ANN, CALL)
        bob = browser.open(address(server, BOB, CALL))
        bob.wait_for_end("The call is full")
        assert ann.state()["state"] == "connected"
        ann.close()
        server.wait(lambda _: server.participants() == 0)
        bob.click("#again")
        bob.wait_until("window.sftTest?.client.state === 'connected'")
        bob.close()


def test_a_killed_server_is_told_and_when_it_is_back_so_are_its_people(
    tmp_path: Path, browser: Browser
) -> None:
    config = make_config()
    server = Server(tmp_path / "first", config)
    again = None
    try:
        server.wait_until_listening()
        ann, bob = (browser.join(server, person, CALL) for person in (ANN, BOB))
        late = browser.open(address(server, BOB, CALL, autojoin=0))
        ann.find(BOB)
        server.kill()
        late.click("#join")
        late.wait_for_end("The server cannot be reached")
        for page in (ann, bob):
            page.wait_for_text("#link-state", "Connection lost, reconnecting", 15)
        again = Server(tmp_path / "again", config)
        again.wait_until_listening()
        ann.find(BOB, seconds=20)
        bob.find(ANN)
        for page in (ann, bob, late):
            page.close()
    finally:
        server.kill()
        if again:
            again.kill()


def test_a_page_joins_by_https_with_a_development_certificate(tmp_path: Path, browser: Browser) -> None:
    command = [sys.executable, "-m", "sft.cli", "dev-cert", "--out", str(tmp_path / "tls")]
    subprocess.run(command, check=True, capture_output=True)
    config = make_config()
    listen = config["server"]["listen"]
    tls = {"url": f"https://{listen}", "certificate": "tls/cert.pem", "key": "tls/key.pem"}
    with running_server(tmp_path, server=config["server"] | tls) as server:
        page = browser.open("about:blank", ANN)
        page.ignore_certificate_errors()
        page.goto(address(server, ANN, CALL))
        page.wait_until("window.sftTest?.client.state === 'connected'", 20)
        assert page.evaluate("location.protocol") == "https:"
        assert server.participants() == 1
        page.close()

"""Real media through the transforms: two peer connections in one page, with the client's own worker."""

from __future__ import annotations

from typing import Any

import pytest

from support.chromium import Chromium

pytestmark = pytest.mark.browser

# A sends a tone and a picture to B. The generic frame descriptor is what lets Chromium find key frames
# in encrypted VP8; browsers offer it only if asked.
LOOPBACK = """async ({ announce, baseKeys, seconds }) => {
  const { FrameCrypto } = await import('/static/frame-crypto.js');
  const { pictureTrack, toneTrack } = await import('/static/synthetic.js');
  const crypto = (byte) => new FrameCrypto(new Uint8Array(32).fill(byte), { log: true });
  const [sending, receiving] = baseKeys.map(crypto);
  const describeFrames = (transceiver) => {
    const extensions = transceiver.getHeaderExtensionsToNegotiate();
    const one = extensions.find(({ uri }) => uri.endsWith('generic-frame-descriptor-00'));
    if (one) one.direction = 'sendrecv';
    transceiver.setHeaderExtensionsToNegotiate(extensions);
  };
  const sources = [];
  receiving.addEventListener('source', ({ detail }) => sources.push([detail.mid, String(detail.kid)]));
  const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
  a.onicecandidate = ({ candidate }) => b.addIceCandidate(candidate);
  b.onicecandidate = ({ candidate }) => a.addIceCandidate(candidate);
  const picture = pictureTrack({ hue: 120, width: 320, height: 180, fps: 15, name: () => 'A' });
  const kid = 0x1122334455667788n;
  await sending.open(1, kid);
  await receiving.open(1, 99n);
  if (announce) receiving.announce([{ kid, ssrcAudio: 0, ssrcVideo: 0 }]);
  for (const [kind, track] of [['audio', toneTrack(440)], ['video', picture]]) {
    const transceiver = a.addTransceiver(kind, { direction: 'sendonly' });
    const { sender } = transceiver;
    sender.transform = sending.sendTransform(1);
    describeFrames(transceiver);
    await sender.replaceTrack(track);
  }
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
  b.ontrack = ({ receiver, transceiver, track }) => {
    receiver.transform = receiving.receiveTransform(1, transceiver.mid);
    if (track.kind === 'video') video.srcObject = new MediaStream([track]);
  };
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  b.getTransceivers().forEach(describeFrames);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);

  let decoded = 0;
  let result;
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const stat of (await b.getStats()).values()) {
      if (stat.type === 'inbound-rtp' && stat.kind === 'video') decoded = stat.framesDecoded;
    }
    const { counters: sent, frames } = await sending.counters();
    const { counters: got } = await receiving.counters();
    result = { sent, got, decoded, sources, frames: frames.map(([k, c]) => [String(k), Number(c)]) };
    const handled = got.decrypted + got.authFailures + got.unannounced + got.malformed;
    if (handled >= 40 && (decoded >= 5 || !announce || baseKeys[0] !== baseKeys[1])) break;
  }
  result.width = video.videoWidth;
  a.close();
  b.close();
  return result;
}"""


async def loopback(browser: Chromium, site: str, **options: Any) -> Any:
    page = await browser.open_page(f"{site}/")
    given = {"announce": True, "baseKeys": [1, 1], "seconds": 20} | options
    result = await page.call(LOOPBACK, given, seconds=40)
    assert page.errors == []
    return result


async def test_media_get_through_and_audio_and_video_share_one_counter(browser: Chromium, site: str) -> None:
    result = await loopback(browser, site)
    assert result["decoded"] >= 5
    assert result["width"] > 0
    assert result["got"]["decrypted"] >= 40
    # Replays do occur: Chromium sends frames again, by RTX, to probe the bandwidth.
    refused = {key: result["got"][key] for key in ("authFailures", "malformed", "unannounced")}
    assert refused == {"authFailures": 0, "malformed": 0, "unannounced": 0}
    kid = str(0x1122334455667788)
    assert sorted(result["sources"]) == [["0", kid], ["1", kid]]
    counters = sorted(counter for _, counter in result["frames"])
    assert {used for used, _ in result["frames"]} == {kid}
    assert counters == list(range(len(counters)))


async def test_with_another_key_everything_fails_to_authenticate_and_nothing_is_shown(
    browser: Chromium, site: str
) -> None:
    result = await loopback(browser, site, baseKeys=[1, 2])
    assert result["got"]["authFailures"] >= 40
    assert result["got"]["decrypted"] == result["decoded"] == result["width"] == 0
    assert result["sources"] == []


async def test_every_frame_on_the_way_is_authentic_sframe_and_the_unannounced_are_not_played(
    browser: Chromium, site: str
) -> None:
    """The receiver looks at all that comes, and can say of each frame that it was encrypted."""
    result = await loopback(browser, site, announce=False)
    assert result["got"]["unannounced"] >= 40
    assert result["got"]["malformed"] == result["got"]["authFailures"] == result["got"]["droppedNoKey"] == 0
    assert result["got"]["decrypted"] == result["decoded"] == 0


async def test_without_a_key_nothing_is_sent(browser: Chromium, site: str) -> None:
    page = await browser.open_page(f"{site}/")
    result = await page.call(
        """async () => {
          const { FrameCrypto } = await import('/static/frame-crypto.js');
          const { toneTrack } = await import('/static/synthetic.js');
          const crypto = new FrameCrypto(new Uint8Array(32));
          const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
          a.onicecandidate = ({ candidate }) => b.addIceCandidate(candidate);
          b.onicecandidate = ({ candidate }) => a.addIceCandidate(candidate);
          const { sender } = a.addTransceiver('audio');
          sender.transform = crypto.sendTransform(1); // connection 1 was never opened
          await sender.replaceTrack(toneTrack(440));
          await a.setLocalDescription();
          await b.setRemoteDescription(a.localDescription);
          await b.setLocalDescription();
          await a.setRemoteDescription(b.localDescription);
          for (;;) {
            await new Promise((resolve) => setTimeout(resolve, 50));
            const { counters } = await crypto.counters();
            const stats = [...(await a.getStats()).values()];
            const { packetsSent } = stats.find(({ type }) => type === 'outbound-rtp');
            if (counters.droppedNoKey >= 20) return { ...counters, packetsSent };
          }
        }"""
    )
    assert result["packetsSent"] == 0
    assert result["encrypted"] == 0

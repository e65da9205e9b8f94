"""The packet path: what happens to every RTP and RTCP packet. Read :mod:`sft.forwarding.loop` first."""

/* RTP headers (RFC 3550 section 5.1) with one-byte extensions (RFC 8285 section 4.2), as browsers send them.
 *
 * The meaning of each is sft/webrtc/rtp.py's, which also takes what is refused here.
 */
#include "header.h"

#include <string.h>

enum {
	FIXED = 12,
	PADDING_BIT = 0x20,
	EXTENSION_BIT = 0x10,
	CSRC_COUNT = 0x0F,
	ONE_BYTE_HIGH = 0xBE, /* 0xBEDE */
	ONE_BYTE_LOW = 0xDE,
	AUDIO_LEVEL = 1,
	ABS_SEND_TIME = 2,
	TRANSPORT_SEQUENCE = 3,
	STOP = 15,
};

static int block_start(const uint8_t *packet)
{
	return FIXED + 4 * (packet[0] & CSRC_COUNT);
}

int read_header(const uint8_t *packet, int length, struct header *header)
{
	if (length < FIXED || packet[0] & PADDING_BIT)
		return -1;
	int end = block_start(packet);

	header->level = header->transport = header->sent = -1;
	if (packet[0] & EXTENSION_BIT) {
		int position = end + 4;

		if (position > length || packet[end] != ONE_BYTE_HIGH || packet[end + 1] != ONE_BYTE_LOW)
			return -1;
		end = position + 4 * (packet[end + 2] << 8 | packet[end + 3]);
		if (end > length)
			return -1;
		while (position < end) {
			int ident = packet[position] >> 4, size = (packet[position] & 15) + 1;

			if (!packet[position++]) /* padding */
				continue;
			if (!ident || ident == STOP)
				break;
			if (position + size > end)
				return -1;
			if (ident == TRANSPORT_SEQUENCE && size == 2)
				header->transport = position;
			else if (ident == ABS_SEND_TIME && size == 3)
				header->sent = position;
			else if (ident == AUDIO_LEVEL)
				header->level = packet[position] & 0x7F;
			position += size;
		}
	}
	header->payload = end;
	return end < length ? 0 : -1; /* without a payload it is padding */
}

static void put_ticks(uint8_t *to, uint32_t ticks)
{
	to[0] = ticks >> 16;
	to[1] = ticks >> 8;
	to[2] = ticks;
}

uint8_t *set_send_time(uint8_t *packet, const struct header *header, uint32_t ticks)
{
	if (!(packet[0] & EXTENSION_BIT))
		return packet;
	if (header->transport >= 0) /* the element becomes padding */
		memset(packet + header->transport - 1, 0, 3);
	if (header->sent >= 0) {
		put_ticks(packet + header->sent, ticks);
		return packet;
	}
	/* What is before the elements moves to the front; the new element takes the place between. */
	int start = block_start(packet);
	unsigned words = (packet[start + 2] << 8 | packet[start + 3]) + 1;
	uint8_t *moved = packet - SEND_TIME_ROOM, *block = moved + start;

	memmove(moved, packet, start);
	block[0] = ONE_BYTE_HIGH;
	block[1] = ONE_BYTE_LOW;
	block[2] = words >> 8;
	block[3] = words;
	block[4] = ABS_SEND_TIME << 4 | 2;
	put_ticks(block + 5, ticks);
	return moved;
}

/* The header of an RTP packet, as far as the common case goes. */
#ifndef HEADER_H
#define HEADER_H
#include <stddef.h>
#include <stdint.h>

struct header {
	int payload; /* where it begins */
	int level;   /* of audio, 0..127; -1: not said */
	int transport, sent; /* where the transport-wide sequence number and the absolute send time are; -1: nowhere */
};

/* 0: read. -1: something that is for Python to judge, malformed or just rare. */
int read_header(const uint8_t *packet, int length, struct header *header);

/* Where a packet begins that says 'ticks' as its absolute send time and has no transport-wide number: here, or
 * SEND_TIME_ROOM bytes before, which is room that the caller has to have. */
enum { SEND_TIME_ROOM = 4 };
uint8_t *set_send_time(uint8_t *packet, const struct header *header, uint32_t ticks);
#endif

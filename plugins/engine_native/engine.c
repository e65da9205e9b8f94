/* The fan-out: for each slot of a route rewrite the RTP header, protect, send.
 *
 * Nothing is allocated and nothing is kept between two calls. Receivers on one socket get their packets by
 * sendmmsg, up to BATCH at once; where each has a socket of its own that is one system call for each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	HEADER = 12, /* RFC 3550 section 5.1, without CSRCs */
	CSRC_COUNT = 0x0F,
	OUT_HEADER = HEADER + 4, /* with one */
	ROOM = MAX_PACKET + 148, /* SRTP_MAX_TRAILER_LEN */
	BATCH = 32,
};

/* Packets on their way to one socket. */
struct batch {
	int fd;
	unsigned count;
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	uint8_t packets[BATCH][ROOM];
};

static struct batch batch; /* a worker has one thread, and every call leaves it empty */

static void put16(uint8_t *to, uint16_t value)
{
	value = htons(value);
	memcpy(to, &value, sizeof value);
}

static void put32(uint8_t *to, uint32_t value)
{
	value = htonl(value);
	memcpy(to, &value, sizeof value);
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t value;
	memcpy(&value, from, sizeof value);
	return ntohl(value);
}

/* How many of the packets from 'first' on have left; sendmmsg costs more than sendto for a single one. */
static int transmit(unsigned first)
{
	const struct msghdr *message = &batch.messages[first].msg_hdr;
	const struct iovec *data = message->msg_iov;

	if (batch.count - first > 1)
		return sendmmsg(batch.fd, batch.messages + first, batch.count - first, 0);
	if (sendto(batch.fd, data->iov_base, data->iov_len, 0, message->msg_name, message->msg_namelen) < 0)
		return 0;
	return 1;
}

static void flush(struct trouble *trouble)
{
	unsigned sent = 0;

	while (sent < batch.count) {
		int done = transmit(sent);
		if (done > 0) {
			sent += done;
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			trouble->blocked++;
		else
			trouble->failed++;
		sent++; /* the error was this packet's own; the next may have another way */
	}
	batch.count = 0;
}

/* The packet's payload and extensions under a new header, protected, in the batch or handed over. */
static void send_one(protect_function protect, struct trouble *trouble, const struct slot *slot, uint32_t csrc,
                     const uint8_t *packet, const uint8_t *rest, int rest_length, uint16_t sequence,
                     uint32_t timestamp)
{
	struct outlet *outlet = slot->outlet;
	int length = OUT_HEADER + rest_length;

	if (batch.count && (batch.count == BATCH || batch.fd != outlet->fd))
		flush(trouble);
	uint8_t *out = batch.packets[batch.count];
	out[0] = (packet[0] & ~CSRC_COUNT) | 1;
	out[1] = packet[1];
	put16(out + 2, sequence);
	put32(out + 4, timestamp);
	put32(out + 8, slot->ssrc);
	put32(out + 12, csrc);
	memcpy(out + OUT_HEADER, rest, rest_length);
	if (protect(outlet->srtp, out, &length)) {
		trouble->failed++;
		return;
	}
	if (outlet->fd < 0) {
		hand_over(outlet->handle, out, length);
		return;
	}
	struct iovec *vector = &batch.vectors[batch.count];
	*vector = (struct iovec){ .iov_base = out, .iov_len = length };
	batch.messages[batch.count].msg_hdr = (struct msghdr){
		.msg_name = outlet->address,
		.msg_namelen = outlet->address_length,
		.msg_iov = vector,
		.msg_iovlen = 1,
	};
	batch.fd = outlet->fd;
	batch.count++;
}

/* Where the extensions or the payload begin; 0: the packet is none, or too large. */
static size_t skip_header(struct trouble *trouble, const uint8_t *packet, size_t length)
{
	size_t start = length < HEADER ? HEADER : HEADER + 4 * (size_t)(packet[0] & CSRC_COUNT);

	if (length < start) {
		trouble->failed++;
		return 0;
	}
	if (OUT_HEADER + length - start > MAX_PACKET) {
		trouble->too_large++;
		return 0;
	}
	return start;
}

static int troubled(const struct trouble *trouble)
{
	return trouble->too_large || trouble->blocked || trouble->failed;
}

int fan_out(protect_function protect, struct trouble *trouble, const struct route *route, const uint8_t *packet,
            size_t length, uint16_t sequence)
{
	size_t start = skip_header(trouble, packet, length);

	if (start) {
		uint32_t timestamp = get32(packet + 4);
		for (uint32_t i = 0; i < route->count; i++) {
			const struct slot *slot = route->slots[i];
			send_one(protect, trouble, slot, route->csrc, packet, packet + start, length - start,
			         sequence + slot->sequence_offset, timestamp + slot->timestamp_offset);
		}
		flush(trouble);
	}
	return troubled(trouble);
}

int repeat(protect_function protect, struct trouble *trouble, const struct slot *slot, uint32_t csrc,
           const uint8_t *packet, size_t length, uint16_t sequence, uint32_t timestamp)
{
	size_t start = skip_header(trouble, packet, length);

	if (start) {
		send_one(protect, trouble, slot, csrc, packet, packet + start, length - start, sequence, timestamp);
		flush(trouble);
	}
	return troubled(trouble);
}

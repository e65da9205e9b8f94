/* The fan-out: for each slot of a route rewrite the RTP header, protect, queue; then send what waits.
 *
 * Packets of one size that wait for one receiver leave in one system call (UDP_SEGMENT, Linux 4.18), as separate
 * datagrams; receivers on one socket are served together by sendmmsg. Nothing is allocated.
 */
#ifndef _GNU_SOURCE /* Python.h does */
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	HEADER = 12, /* RFC 3550 section 5.1, without CSRCs */
	CSRC_COUNT = 0x0F,
	OUT_HEADER = HEADER + 4, /* with one */
	BATCH = 32,
};

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

static void count_error(struct engine *engine, uint32_t packets)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		engine->blocked += packets;
	else
		engine->failed += packets;
}

static void send_one(struct engine *engine, const struct outlet *outlet, const uint8_t *packet, int length)
{
	if (sendto(outlet->fd, packet, length, 0, (const struct sockaddr *)outlet->address,
	           outlet->address_length) < 0)
		count_error(engine, 1);
}

/* One by one: a single packet, or a way out that takes no segments. */
static void send_each(struct engine *engine, const struct outlet *outlet)
{
	for (int at = 0; at < outlet->used; at += outlet->segment) {
		int left = outlet->used - at, size = left < outlet->segment ? left : outlet->segment;
		send_one(engine, outlet, outlet->queue + at, size);
	}
}

/* Outlets [0, count) have one descriptor. */
static void send_batch(struct engine *engine, struct outlet **outlets, unsigned count)
{
	static struct mmsghdr messages[BATCH]; /* a worker has one thread */
	static struct iovec vectors[BATCH];
	static union {
		struct cmsghdr header; /* for its alignment */
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} controls[BATCH];
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++) {
		struct outlet *outlet = outlets[i];
		struct msghdr *message = &messages[i].msg_hdr;
		vectors[i] = (struct iovec){ .iov_base = outlet->queue, .iov_len = outlet->used };
		*message = (struct msghdr){ .msg_name = outlet->address,
			                    .msg_namelen = outlet->address_length,
			                    .msg_iov = &vectors[i],
			                    .msg_iovlen = 1 };
		if (outlet->waiting > 1) {
			uint16_t segment = outlet->segment;
			message->msg_control = controls[i].bytes;
			message->msg_controllen = sizeof controls[i].bytes;
			struct cmsghdr *control = CMSG_FIRSTHDR(message);
			control->cmsg_level = IPPROTO_UDP;
			control->cmsg_type = UDP_SEGMENT;
			control->cmsg_len = CMSG_LEN(sizeof segment);
			memcpy(CMSG_DATA(control), &segment, sizeof segment);
		}
	}
	while (done < count) {
		int sent = sendmmsg(outlets[done]->fd, messages + done, count - done, 0);
		if (sent > 0) {
			done += sent;
			continue;
		}
		if (outlets[done]->waiting > 1 && errno != EAGAIN && errno != EWOULDBLOCK)
			send_each(engine, outlets[done]);
		else
			count_error(engine, outlets[done]->waiting);
		done++; /* the error was this one's own; the next may have another way */
	}
}

static void transmit(struct engine *engine, struct outlet **outlets, unsigned count)
{
	if (count == 1 && outlets[0]->waiting == 1) /* sendto costs less than sendmmsg */
		send_each(engine, outlets[0]);
	else if (count)
		send_batch(engine, outlets, count);
	for (unsigned i = 0; i < count; i++)
		outlets[i]->waiting = outlets[i]->used = 0;
}

void flush(struct engine *engine)
{
	struct outlet *batch[BATCH];
	unsigned count = 0;

	for (struct outlet *outlet = engine->first, *next; outlet; outlet = next) {
		next = outlet->next;
		outlet->listed = 0;
		if (!outlet->waiting)
			continue;
		if (count && (count == BATCH || batch[0]->fd != outlet->fd)) {
			transmit(engine, batch, count);
			count = 0;
		}
		batch[count++] = outlet;
	}
	transmit(engine, batch, count);
	engine->first = engine->last = NULL;
}

void flush_one(struct engine *engine, struct outlet *outlet)
{
	struct outlet **link = &engine->first, *before = NULL;

	if (outlet->waiting)
		transmit(engine, &outlet, 1);
	if (!outlet->listed)
		return;
	while (*link != outlet) {
		before = *link;
		link = &before->next;
	}
	*link = outlet->next;
	if (engine->last == outlet)
		engine->last = before;
	outlet->listed = 0;
}

/* Put a protected packet behind those that wait; there always is room for one. */
static void enqueue(struct engine *engine, struct outlet *outlet, const uint8_t *packet, int length)
{
	if (outlet->waiting && length > outlet->segment)
		transmit(engine, &outlet, 1);
	memcpy(outlet->queue + outlet->used, packet, length);
	if (!outlet->waiting)
		outlet->segment = length;
	outlet->used += length;
	outlet->waiting++;
	if (length < outlet->segment || outlet->used + ROOM > QUEUE)
		transmit(engine, &outlet, 1);
	else if (!outlet->listed) {
		if (engine->last)
			engine->last->next = outlet;
		else
			engine->first = outlet;
		engine->last = outlet;
		outlet->next = NULL;
		outlet->listed = 1;
	}
}

/* The packet's payload and extensions under a new header, protected, in its receiver's queue or handed over. */
static void forward(struct engine *engine, const struct slot *slot, uint32_t csrc, const uint8_t *packet,
                    const uint8_t *rest, int rest_length, uint16_t sequence, uint32_t timestamp)
{
	struct outlet *outlet = slot->outlet;
	static _Alignas(8) uint8_t out[ROOM]; /* libsrtp wants packets aligned; 'hand_over' copies before it sends */
	int length = OUT_HEADER + rest_length;

	out[0] = (packet[0] & ~CSRC_COUNT) | 1;
	out[1] = packet[1];
	put16(out + 2, sequence);
	put32(out + 4, timestamp);
	put32(out + 8, slot->ssrc);
	put32(out + 12, csrc);
	memcpy(out + OUT_HEADER, rest, rest_length);
	if (engine->protect(outlet->srtp, out, &length))
		engine->failed++;
	else if (outlet->fd < 0) {
		engine->handed = 1;
		hand_over(outlet->handle, out, length);
	} else if (engine->at_once || outlet->alone)
		send_one(engine, outlet, out, length);
	else
		enqueue(engine, outlet, out, length);
}

/* Where the extensions or the payload begin; 0: the packet is none, or too large. */
static size_t skip_header(struct engine *engine, const uint8_t *packet, size_t length)
{
	size_t start = length < HEADER ? HEADER : HEADER + 4 * (size_t)(packet[0] & CSRC_COUNT);

	if (length < start) {
		engine->failed++;
		return 0;
	}
	if (OUT_HEADER + length - start > MAX_PACKET) {
		engine->too_large++;
		return 0;
	}
	return start;
}

void fan_out(struct engine *engine, const struct route *route, const uint8_t *packet, size_t length,
             uint16_t sequence)
{
	size_t start = skip_header(engine, packet, length);

	if (!start)
		return;
	uint32_t timestamp = get32(packet + 4);
	for (uint32_t i = 0; i < route->count; i++) {
		const struct slot *slot = route->slots[i];
		forward(engine, slot, route->csrc, packet, packet + start, length - start,
		        sequence + slot->sequence_offset, timestamp + slot->timestamp_offset);
	}
}

void repeat(struct engine *engine, const struct slot *slot, uint32_t csrc, const uint8_t *packet, size_t length,
            uint16_t sequence, uint32_t timestamp)
{
	size_t start = skip_header(engine, packet, length);

	if (start)
		forward(engine, slot, csrc, packet, packet + start, length - start, sequence, timestamp);
}

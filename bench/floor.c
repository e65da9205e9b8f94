/* The floor as a bare C loop: receive and unprotect once; for each receiver rewrite, protect, sendto.
 *
 * floor.py compiles this with cc, hands it sockets, addresses and the SRTP sessions that pylibsrtp made, and
 * calls run(). It uses the libsrtp (on OpenSSL) that pylibsrtp carries, so the floors differ in the
 * language only.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS = 64, BATCH = 64, DATAGRAM = 2048, QUIET_MILLISECONDS = 1000 };

typedef int (*transform)(void *session, void *packet, int *length);

struct participant {
	int32_t fd;
	uint16_t port; /* of 127.0.0.1, network order */
	uint16_t unused;
	void *inbound;
	void *outbound;
};

struct out {
	uint32_t participant;
	uint32_t ssrc;
};

struct stream { /* by SSRC, counted from the first */
	uint32_t first, count; /* its outs */
};

struct counts {
	int64_t in, out, blocked, failed;
};

struct call {
	transform unprotect, protect;
	const struct participant *participants;
	const struct stream *streams;
	const struct out *outs;
	uint32_t participant_count, stream_count, first_ssrc, csrc;
};

static void forward(const struct call *call, uint8_t *packet, int length, struct counts *counts)
{
	uint8_t work[DATAGRAM + 148]; /* libsrtp may add SRTP_MAX_TRAILER_LEN */
	uint32_t ssrc, word;

	memcpy(&ssrc, packet + 8, 4);
	uint32_t index = ntohl(ssrc) - call->first_ssrc;
	if (index >= call->stream_count)
		return;
	const struct stream *stream = &call->streams[index];
	for (uint32_t i = stream->first; i < stream->first + stream->count; i++) {
		const struct out *out = &call->outs[i];
		const struct participant *to = &call->participants[out->participant];
		int size = length + 4;

		memcpy(work, packet, 12);
		work[0] |= 1;
		word = htonl(out->ssrc);
		memcpy(work + 8, &word, 4);
		word = htonl(call->csrc);
		memcpy(work + 12, &word, 4);
		memcpy(work + 16, packet + 12, length - 12);
		if (call->protect(to->outbound, work, &size)) {
			counts->failed++;
			continue;
		}
		struct sockaddr_in address = {
			.sin_family = AF_INET, .sin_port = to->port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
		};
		if (sendto(to->fd, work, size, 0, (struct sockaddr *)&address, sizeof address) < 0)
			counts->blocked++;
		else
			counts->out++;
	}
}

/* Forward until nothing has come for a second. 0, or -1 if there is no epoll. */
int run(const struct call *call, struct counts *counts)
{
	uint8_t packet[DATAGRAM];
	struct epoll_event ready[EVENTS];
	int epoll = epoll_create1(0), count;

	for (uint32_t i = 0; i < call->participant_count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, call->participants[i].fd, &event))
			return -1;
	}
	while ((count = epoll_wait(epoll, ready, EVENTS, QUIET_MILLISECONDS)) > 0) {
		for (int i = 0; i < count; i++) {
			const struct participant *from = &call->participants[ready[i].data.u32];
			for (int read = 0; read < BATCH; read++) {
				int length = recv(from->fd, packet, sizeof packet, 0);
				if (length < 0)
					break;
				counts->in++;
				if (call->unprotect(from->inbound, packet, &length) || length < 12)
					counts->failed++;
				else
					forward(call, packet, length, counts);
			}
		}
	}
	return 0;
}

/* Read by the C compiler and by cffi. */

enum {
	MAX_PACKET = 1900, /* bytes of a plain packet */
	ROOM = 2048,       /* with what libsrtp may add: 148 */
	QUEUE = 16384,     /* bytes that may wait for one receiver */
};

/* One receiver: its SRTP session, its way out, and the packets that wait for the end of the turn. */
struct outlet {
	void *srtp;
	void *handle; /* for hand_over; used when fd is -1 */
	int fd;
	int alone;  /* takes no segments: nothing waits */
	int address_length;
	uint8_t address[28]; /* sockaddr_in or sockaddr_in6 */
	struct outlet *next; /* in the engine's list, while it is 'listed' */
	int listed;
	int waiting; /* packets in 'queue': all of 'segment' bytes, but the last may be shorter */
	int segment;
	int used;
	uint8_t queue[QUEUE];
};

struct slot {
	struct outlet *outlet;
	uint32_t ssrc;
	uint32_t timestamp_offset;
	uint16_t sequence_offset;
};

struct route {
	uint32_t csrc;
	uint32_t count;
	struct slot *slots[];
};

/* srtp_protect of libsrtp 2; in place, 148 bytes of room behind the packet. 0: done. */
typedef int (*protect_function)(void *srtp, void *packet, int *length);

struct engine {
	protect_function protect;
	struct outlet *first, *last; /* those with packets that wait */
	int at_once; /* nothing waits, each packet leaves alone */
	int handed;  /* hand_over, so Python, was called since the caller last cleared it */
	/* What went no further since the caller last looked: packets in, and packets out. */
	uint32_t too_large;
	uint32_t blocked;
	uint32_t failed;
};

/* Protect a plain RTP packet for each slot of the route, and send or queue it. */
void fan_out(struct engine *engine, const struct route *route, const uint8_t *packet, size_t length,
             uint16_t sequence);

/* The same for one slot, under these outgoing numbers. */
void repeat(struct engine *engine, const struct slot *slot, uint32_t csrc, const uint8_t *packet, size_t length,
            uint16_t sequence, uint32_t timestamp);

/* Send what waits: for all, or for one receiver, which is then not listed any more. */
void flush(struct engine *engine);
void flush_one(struct engine *engine, struct outlet *outlet);

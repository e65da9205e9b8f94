/* Read by the C compiler and by cffi. */

enum { MAX_PACKET = 1900 }; /* bytes of a plain packet; libsrtp may add up to 148 */

/* One receiver: its SRTP session and its way out. */
struct outlet {
	void *srtp;
	void *handle; /* for hand_over; used when fd is -1 */
	int fd;
	int address_length;
	uint8_t address[28]; /* sockaddr_in or sockaddr_in6 */
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

/* What could not be sent since the caller last looked; 'too_large' counts packets in, the others packets out. */
struct trouble {
	uint32_t too_large;
	uint32_t blocked;
	uint32_t failed;
};

/* srtp_protect of libsrtp 2; in place, 148 bytes of room behind the packet. 0: done. */
typedef int (*protect_function)(void *srtp, void *packet, int *length);

/* Send a plain RTP packet to each slot of the route. True: look at 'trouble'. */
int fan_out(protect_function protect, struct trouble *trouble, const struct route *route, const uint8_t *packet,
            size_t length, uint16_t sequence);

/* Send it to one slot, under these outgoing numbers. */
int repeat(protect_function protect, struct trouble *trouble, const struct slot *slot, uint32_t csrc,
           const uint8_t *packet, size_t length, uint16_t sequence, uint32_t timestamp);

/* What the files of sft_engine_native._way_in share. One per process: a worker has one thread. */
#ifndef WAY_IN_H
#define WAY_IN_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine.h"

enum {
	DRAIN = 16,           /* datagrams read of one socket at a time, as the transport does */
	TURN_NANOSECONDS = 4000000, /* how long packets may wait for others to leave with */
};

/* Functions of libsrtp and of engine.c, which live in other modules. */
typedef int (*unprotect_function)(void *srtp, void *packet, int *length);
extern struct functions {
	unprotect_function unprotect;
	void (*fan_out)(struct engine *, const struct route *, const uint8_t *, size_t, uint16_t);
	void (*flush)(struct engine *);
} functions;

/* An address that has proven to be an endpoint's. */
struct peer {
	PyObject_HEAD
	PyObject *address;
	PyObject *proof; /* what the base has of this address: it counts as long as that is the same */
	PyObject *endpoint, *sources, *pending;
	PyObject *inbound; /* the keys that 'srtp' belongs to */
	void *srtp;
};

/* One socket that we read. */
struct reader {
	PyObject_HEAD
	struct engine *engine;
	PyObject *owner; /* the engine, as Python sees it: what is not the common case goes there */
	PyObject *base;
	int fd;
	PyObject *proven;   /* the base's addresses, a dict */
	PyObject *endpoint_of; /* of what is in there by an address */
	PyObject *peers;       /* by the address as the kernel says it */
	Py_ssize_t since_forgotten; /* datagrams that went the ordinary way, since those who left were forgotten */
	struct peer *last;  /* the one that sent last, and from where */
	struct sockaddr_storage from;
	socklen_t from_length;
};
extern PyTypeObject PeerType, ReaderType, WaiterType;

/* tp_dealloc of all three: none has a subclass, and what they hold is what tp_clear lets go of. */
void free_object(PyObject *self);

double monotonic(void);

/* Who sends from there, a borrowed reference; NULL: nobody who has proven it, or an exception. */
struct peer *find_peer(struct reader *reader, const struct sockaddr_storage *from, socklen_t length);
/* After a datagram has gone the ordinary way: the address may have been proven by it. -1: an exception. */
int meet_peer(struct reader *reader, PyObject *address, const struct sockaddr_storage *from, socklen_t length);
/* 1: there are keys; -1: an exception */
int find_keys(struct reader *reader, struct peer *peer);

/* Take what waits at the socket. 1: Python was called, so anything may have changed; -1: an exception. */
int read_socket(struct reader *reader, double now);
/* Send what waited for the end of the turn. */
int end_turn(struct engine *engine, PyObject *owner);

/* One authenticated RTP packet with SEND_TIME_ROOM bytes of room before it. 1: taken; 0: nothing was done, it is
 * for Python; -1: an exception. */
int take_packet(struct reader *reader, struct peer *peer, uint8_t *packet, int length, double now, PyObject *python_now);

int read_layout(PyObject *endpoint, PyObject *source, PyObject *numbering);
int read_constants(PyObject *audio, PyObject *drop_silent, int silent, int most_dropped);
extern Py_ssize_t endpoint_inbound; /* the member's offset */
#endif

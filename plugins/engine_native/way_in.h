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

/* One socket that we read, of one endpoint. */
struct reader {
	PyObject_HEAD
	struct engine *engine;
	PyObject *owner; /* the engine, as Python sees it: what is not the common case goes there */
	PyObject *base;
	int fd;
	PyObject *proven; /* the base's addresses, a dict */
	PyObject *endpoint, *sources, *pending;
	PyObject *inbound; /* the keys that 'srtp' belongs to */
	void *srtp;
	PyObject *address; /* the last proven one, and as the kernel says it */
	struct sockaddr_storage from;
	socklen_t from_length;
};
extern PyTypeObject ReaderType, WaiterType;

double monotonic(void);

/* Take what waits at the socket. 1: Python was called, so anything may have changed; -1: an exception. */
int read_socket(struct reader *reader, double now);
/* Send what waited for the end of the turn. */
int end_turn(struct engine *engine, PyObject *owner);

/* One authenticated RTP packet with SEND_TIME_ROOM bytes of room before it. 1: taken; 0: nothing was done, it is
 * for Python; -1: an exception. */
int take_packet(struct reader *reader, uint8_t *packet, int length, double now, PyObject *python_now);

int read_layout(PyObject *endpoint, PyObject *source, PyObject *numbering);
int read_constants(PyObject *audio, PyObject *drop_silent, int silent, int most_dropped);
extern Py_ssize_t endpoint_inbound; /* the member's offset */
#endif

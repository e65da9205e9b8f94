/* A socket: what comes from an address that is proven to be a peer's and is media is unprotected and taken here; all else goes
 * the transport's ordinary way, one by one, as if Python had read it.
 */
#include "way_in.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <structmember.h>

#include "header.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

enum {
	MAX_DATAGRAM = 1500, /* of SRTP, as sft/forwarding/libsrtp.py says */
	ROOM_BEFORE = 8,     /* SEND_TIME_ROOM, and libsrtp wants packets aligned */
	READ = 2049,         /* a byte more than the transport takes, by which it knows what is too large */
	STRIDE = 2112,
};
_Static_assert((int)ROOM_BEFORE >= (int)SEND_TIME_ROOM && ROOM_BEFORE + READ <= STRIDE && STRIDE % 16 == 0, "room");

/* Of the socket that is being read: a worker has one thread, and no reader runs inside another. */
static _Alignas(16) uint8_t memory[DRAIN][STRIDE];
static struct sockaddr_storage senders[DRAIN];
static struct mmsghdr messages[DRAIN];
static struct iovec vectors[DRAIN];

struct functions functions;

/* Tests with sanitizers find who reads behind the end of a datagram, where older ones have left their bytes. */
static void fence(int index, int length)
{
	uint8_t *end = memory[index] + ROOM_BEFORE + length;

	ASAN_POISON_MEMORY_REGION(end, memory[index] + STRIDE - end);
}

/* How many datagrams came; at least one that is lost by an error of the socket waits no longer. */
static int receive(int fd)
{
	ASAN_UNPOISON_MEMORY_REGION(memory, sizeof memory);
	for (int i = 0; i < DRAIN; i++) {
		vectors[i] = (struct iovec){ .iov_base = memory[i] + ROOM_BEFORE, .iov_len = READ };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &senders[i],
			                               .msg_namelen = sizeof senders[i],
			                               .msg_iov = &vectors[i],
			                               .msg_iovlen = 1 };
	}
	return recvmmsg(fd, messages, DRAIN, MSG_DONTWAIT, NULL);
}

/* As Python's socket module writes it. */
static PyObject *python_address(const struct sockaddr_storage *from)
{
	char host[INET6_ADDRSTRLEN];

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)from;
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
		return Py_BuildValue("(si)", host, ntohs(four->sin_port));
	}
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
	inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
	return Py_BuildValue("(siII)", host, ntohs(six->sin6_port), ntohl(six->sin6_flowinfo), six->sin6_scope_id);
}

static int is_closed(struct reader *self)
{
	PyObject *closed = PyObject_GetAttrString(self->base, "closed");
	int answer = closed ? PyObject_IsTrue(closed) : -1;

	Py_XDECREF(closed);
	return answer;
}

/* The transport's way. */
static int read_ordinarily(struct reader *self, const uint8_t *data, int length,
                           const struct sockaddr_storage *from, socklen_t from_length, PyObject *now)
{
	PyObject *address = python_address(from);
	PyObject *done =
		address ? PyObject_CallMethod(self->base, "take", "y#OO", data, (Py_ssize_t)length, address, now) : NULL;
	int failed = !done || meet_peer(self, address, from, from_length) < 0;

	Py_XDECREF(done);
	Py_XDECREF(address);
	return failed ? -1 : 1;
}

static int is_rtp(const uint8_t *data, int length) /* RFC 7983, RFC 5761 section 4 */
{
	return length > 1 && length <= MAX_DATAGRAM && data[0] >= 128 && data[0] <= 191 &&
	       !(data[1] >= 192 && data[1] <= 223);
}

static int call_owner(PyObject *done)
{
	Py_XDECREF(done);
	return done ? 1 : -1;
}

/* 1: Python was called; -1: an exception */
static int read_rtp(struct reader *self, struct peer *peer, int index, int length, double now, PyObject *python_now)
{
	uint8_t *data = memory[index] + ROOM_BEFORE;
	int status = functions.unprotect(peer->srtp, data, &length);

	if (status)
		return call_owner(PyObject_CallMethod(self->owner, "refused", "i", status));
	fence(index, length);
	int taken = take_packet(self, peer, data, length, now, python_now);
	if (taken)
		return taken < 0 ? -1 : 0;
	return call_owner(PyObject_CallMethod(self->owner, "take_rare", "Oy#O", peer->endpoint, data,
	                                      (Py_ssize_t)length, python_now));
}

static int read_one(struct reader *self, int index, double now, PyObject *python_now)
{
	uint8_t *data = memory[index] + ROOM_BEFORE;
	int length = messages[index].msg_len, keys = 0, result;
	socklen_t from_length = messages[index].msg_hdr.msg_namelen;
	struct peer *peer = is_rtp(data, length) ? find_peer(self, &senders[index], from_length) : NULL;

	fence(index, length);
	if (PyErr_Occurred() || (peer && (keys = find_keys(self, peer)) < 0))
		return -1;
	if (!keys)
		return read_ordinarily(self, data, length, &senders[index], from_length, python_now);
	Py_INCREF(peer);
	result = read_rtp(self, peer, index, length, now, python_now);
	Py_DECREF(peer);
	return result;
}

/* A fault at one datagram must not lose those that were read together with it, so it comes out behind them. */
static void keep_first(struct reader *self, PyObject **type, PyObject **value, PyObject **trace)
{
	if (*type)
		PyErr_WriteUnraisable((PyObject *)self);
	else
		PyErr_Fetch(type, value, trace);
}

int read_socket(struct reader *self, double now)
{
	int count = receive(self->fd), called = 0, closed = 0;
	PyObject *python_now, *type = NULL, *value = NULL, *trace = NULL;

	if (count <= 0)
		return 0; /* nothing, or an ICMP error that something sent earlier caused */
	if (count > 1)
		self->engine->at_once = 0;
	if (!(python_now = PyFloat_FromDouble(now)))
		return -1;
	for (int i = 0; i < count && !closed; i++) {
		int result = read_one(self, i, now, python_now);

		if (result < 0)
			keep_first(self, &type, &value, &trace);
		called |= result != 0;
		closed = result ? is_closed(self) : 0; /* by what it just received */
	}
	if (closed < 0)
		keep_first(self, &type, &value, &trace);
	Py_DECREF(python_now);
	if (!type)
		return called;
	PyErr_Restore(type, value, trace);
	return -1;
}

int end_turn(struct engine *engine, PyObject *owner)
{
	if (engine->first)
		functions.flush(engine);
	engine->at_once = 1;
	if (!engine->too_large && !engine->blocked && !engine->failed)
		return 0;
	return call_owner(PyObject_CallMethod(owner, "count", NULL)) < 0 ? -1 : 0;
}

/* The Python object */

static PyObject *reader_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = { "engine", "owner", "base", "endpoint_of", NULL };
	PyObject *engine, *owner, *base, *endpoint_of, *fd;
	struct reader *self;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOO", names, &engine, &owner, &base, &endpoint_of) ||
	    !(self = (struct reader *)type->tp_alloc(type, 0)))
		return NULL;
	self->engine = PyLong_AsVoidPtr(engine);
	self->owner = Py_NewRef(owner);
	self->base = Py_NewRef(base);
	self->endpoint_of = Py_NewRef(endpoint_of);
	self->proven = PyObject_GetAttrString(base, "proven");
	self->peers = PyDict_New();
	fd = PyObject_GetAttrString(base, "fd");
	self->fd = fd ? (int)PyLong_AsLong(fd) : -1;
	Py_XDECREF(fd);
	if (!PyErr_Occurred() && !PyDict_CheckExact(self->proven))
		PyErr_SetString(PyExc_TypeError, "proven is no dictionary");
	if (PyErr_Occurred())
		Py_CLEAR(self);
	return (PyObject *)self;
}

/* Read once, from Python's own loop: a turn of its own. */
static PyObject *reader_call(struct reader *self, PyObject *arguments, PyObject *keywords)
{
	double now;

	if (keywords || !PyArg_ParseTuple(arguments, "d", &now))
		return NULL;
	Py_INCREF(self);
	int failed = read_socket(self, now) < 0;
	PyObject *type, *value, *trace;
	PyErr_Fetch(&type, &value, &trace);
	failed |= end_turn(self->engine, self->owner) < 0;
	if (type)
		PyErr_Restore(type, value, trace);
	Py_DECREF(self);
	if (failed)
		return NULL;
	Py_RETURN_NONE;
}

static int reader_traverse(struct reader *self, visitproc visit, void *arg)
{
	Py_VISIT(self->owner);
	Py_VISIT(self->base);
	Py_VISIT(self->proven);
	Py_VISIT(self->endpoint_of);
	Py_VISIT(self->peers);
	Py_VISIT(self->last);
	return 0;
}

static int reader_clear(struct reader *self)
{
	Py_CLEAR(self->base);
	Py_CLEAR(self->proven);
	Py_CLEAR(self->endpoint_of);
	Py_CLEAR(self->peers);
	Py_CLEAR(self->last);
	Py_CLEAR(self->owner);
	return 0;
}

PyTypeObject ReaderType = {
	PyVarObject_HEAD_INIT(NULL, 0)
	.tp_name = "sft_engine_native._way_in.Reader",
	.tp_basicsize = sizeof(struct reader),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.tp_doc = "Reads the socket of a base; called with the time when it is readable.",
	.tp_new = reader_new,
	.tp_call = (ternaryfunc)reader_call,
	.tp_traverse = (traverseproc)reader_traverse,
	.tp_clear = (inquiry)reader_clear,
	.tp_dealloc = free_object,
};

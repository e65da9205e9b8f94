/* Waiting for the worker's descriptors, and serving in between those that we read.
 *
 * The epoll is the pump's own, with trio's in it: one system call waits for all. Whatever is not a Reader's,
 * whatever Python code did meanwhile, and every deadline is a reason to come back.
 */
#include "way_in.h"

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <time.h>

enum { EVENTS = 64 };

struct waiter {
	PyObject_HEAD
	struct engine *engine;
	PyObject *owner, *watched, *on_error;
	int epoll, loop;
	double offset;  /* of the worker's clock to the machine's */
	int at, count;  /* of 'events', without the loop's: those before 'at' have been served */
	int loop_ready, others_ready, called;
	struct epoll_event events[EVENTS];
};

double monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* The loop's event counts in the call whose own wait saw it: by the next the loop has run, and has taken what there was. */
static void take_out_loop(struct waiter *self)
{
	for (int i = 0; i < self->count; i++) {
		if (self->events[i].data.fd == self->loop) {
			self->loop_ready = 1;
			self->events[i] = self->events[--self->count];
			return;
		}
	}
}

/* 0: there is something, or a signal came; 1: the time is over; -1: an exception. */
static int wait_until(struct waiter *self, double deadline)
{
	double left = deadline - monotonic();
	int milliseconds = left <= 0 ? 0 : left >= 1e6 ? 1000000000 : (int)ceil(left * 1000), count;

	Py_BEGIN_ALLOW_THREADS
	count = epoll_wait(self->epoll, self->events, EVENTS, milliseconds);
	Py_END_ALLOW_THREADS
	self->at = 0;
	self->count = count < 0 ? 0 : count;
	take_out_loop(self);
	if (count >= 0)
		return count ? 0 : 1;
	if (errno != EINTR) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	self->called = 1;
	return PyErr_CheckSignals();
}

/* A fault of one callback must not end the calls of everybody else. */
static int report_error(struct waiter *self)
{
	PyObject *type, *value, *trace, *done;

	if (!PyErr_ExceptionMatches(PyExc_Exception))
		return -1;
	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	if (trace)
		PyException_SetTraceback(value, trace);
	done = PyObject_CallOneArg(self->on_error, value);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	Py_XDECREF(done);
	self->called = 1;
	return done ? 0 : -1;
}

static int serve(struct waiter *self, int fd, double now)
{
	PyObject *key, *callback;
	int result;

	if (!(key = PyLong_FromLong(fd)))
		return -1;
	callback = PyDict_GetItemWithError(self->watched, key);
	Py_DECREF(key);
	if (!callback)
		return PyErr_Occurred() ? -1 : 0; /* unwatched since */
	if (Py_TYPE(callback) != &ReaderType) {
		self->others_ready = 1;
		return 0;
	}
	Py_INCREF(callback);
	result = read_socket((struct reader *)callback, now + self->offset);
	Py_DECREF(callback);
	if (result < 0)
		return report_error(self);
	self->called |= result;
	return 0;
}

/* Serve what the last wait found, until the turn is over; who was not served is first in the next. */
static int take_turn(struct waiter *self)
{
	double now = monotonic(), end = now + TURN_NANOSECONDS * 1e-9;

	if (self->count - self->at > 1)
		self->engine->at_once = 0;
	do {
		if (serve(self, self->events[self->at++].data.fd, now) < 0)
			return -1;
		now = monotonic();
	} while (self->at < self->count && now < end);
	self->called |= self->engine->handed;
	return end_turn(self->engine, self->owner) < 0 ? report_error(self) : 0;
}

/* waiter(seconds) -> whether trio's loop has something to do */
static PyObject *waiter_call(struct waiter *self, PyObject *arguments, PyObject *keywords)
{
	double seconds, deadline;

	if (keywords || !PyArg_ParseTuple(arguments, "d", &seconds))
		return NULL;
	deadline = monotonic() + seconds;
	self->loop_ready = self->others_ready = self->called = self->engine->handed = 0;
	do {
		if (self->at == self->count) {
			int waited = wait_until(self, deadline);
			if (waited < 0)
				return NULL;
			if (waited)
				break;
		}
		if (self->at < self->count && take_turn(self) < 0)
			return NULL;
	} while (!self->loop_ready && !self->others_ready && !self->called && monotonic() < deadline);
	return PyBool_FromLong(self->loop_ready);
}

static PyObject *waiter_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = { "engine", "owner", "epoll", "loop", "offset", "watched", "on_error", NULL };
	PyObject *engine, *owner, *watched, *on_error;
	int epoll, loop;
	double offset;
	struct waiter *self;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOiidO!O", names, &engine, &owner, &epoll, &loop,
	                                 &offset, &PyDict_Type, &watched, &on_error) ||
	    (!PyLong_AsVoidPtr(engine) && PyErr_Occurred()))
		return NULL;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = loop };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, loop, &event))
		return PyErr_SetFromErrno(PyExc_OSError);
	if (!(self = (struct waiter *)type->tp_alloc(type, 0)))
		return NULL;
	self->engine = PyLong_AsVoidPtr(engine);
	self->owner = Py_NewRef(owner);
	self->watched = Py_NewRef(watched);
	self->on_error = Py_NewRef(on_error);
	self->epoll = epoll;
	self->loop = loop;
	self->offset = offset;
	return (PyObject *)self;
}

static int waiter_traverse(struct waiter *self, visitproc visit, void *arg)
{
	Py_VISIT(self->owner);
	Py_VISIT(self->watched);
	Py_VISIT(self->on_error);
	return 0;
}

static int waiter_clear(struct waiter *self)
{
	Py_CLEAR(self->owner);
	Py_CLEAR(self->watched);
	Py_CLEAR(self->on_error);
	return 0;
}

PyTypeObject WaiterType = {
	PyVarObject_HEAD_INIT(NULL, 0)
	.tp_name = "sft_engine_native._way_in.Waiter",
	.tp_basicsize = sizeof(struct waiter),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.tp_doc = "Waits at most so many seconds, serving Readers; tells whether the loop has something to do.",
	.tp_new = waiter_new,
	.tp_call = (ternaryfunc)waiter_call,
	.tp_traverse = (traverseproc)waiter_traverse,
	.tp_clear = (inquiry)waiter_clear,
	.tp_dealloc = free_object,
};

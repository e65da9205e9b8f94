/* Whose a datagram is, by its source address: compared as bytes, since a Python address costs as much to make as all
 * the rest to find. The base's own table is asked each time whether that still holds.
 */
#include "way_in.h"

#include <string.h>

static int still_counts(struct reader *reader, struct peer *peer)
{
	return PyDict_GetItemWithError(reader->proven, peer->address) == peer->proof;
}

struct peer *find_peer(struct reader *reader, const struct sockaddr_storage *from, socklen_t length)
{
	struct peer *peer = reader->last;

	if (!peer || length != reader->from_length || memcmp(from, &reader->from, length)) {
		PyObject *key = PyBytes_FromStringAndSize((const char *)from, length);
		peer = key ? (struct peer *)PyDict_GetItemWithError(reader->peers, key) : NULL;
		Py_XDECREF(key);
		if (!peer)
			return NULL;
		Py_XSETREF(reader->last, (struct peer *)Py_NewRef((PyObject *)peer));
		memcpy(&reader->from, from, length);
		reader->from_length = length;
	}
	return still_counts(reader, peer) ? peer : NULL;
}

static struct peer *make_peer(struct reader *reader, PyObject *address, PyObject *proof)
{
	struct peer *peer = (struct peer *)PeerType.tp_alloc(&PeerType, 0);
	PyObject *transport = NULL;

	if (!peer)
		return NULL;
	peer->address = Py_NewRef(address);
	peer->proof = Py_NewRef(proof);
	peer->endpoint = PyObject_CallOneArg(reader->endpoint_of, proof);
	if (peer->endpoint && (peer->sources = PyObject_GetAttrString(peer->endpoint, "sources")) &&
	    (transport = PyObject_GetAttrString(peer->endpoint, "transport")))
		peer->pending = PyObject_GetAttrString(transport, "pending");
	Py_XDECREF(transport);
	if (!PyErr_Occurred() && !(PyDict_CheckExact(peer->sources) && PyList_CheckExact(peer->pending)))
		PyErr_SetString(PyExc_TypeError, "other tables than known");
	if (PyErr_Occurred())
		Py_CLEAR(peer);
	return peer;
}

/* Forget those who have left. They hold memory until then, so every now and then: as often as there are peers. */
static int forget_gone(struct reader *reader)
{
	PyObject *gone, *key, *value;
	Py_ssize_t at = 0;
	int failed;

	if (++reader->since_forgotten <= PyDict_GET_SIZE(reader->peers))
		return 0;
	reader->since_forgotten = 0;
	if (!(gone = PyList_New(0)))
		return -1;
	failed = 0;
	while (!failed && PyDict_Next(reader->peers, &at, &key, &value))
		if (!still_counts(reader, (struct peer *)value))
			failed = PyErr_Occurred() || PyList_Append(gone, key);
	if (!failed && PyList_GET_SIZE(gone))
		Py_CLEAR(reader->last);
	for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(gone); i++)
		failed = PyDict_DelItem(reader->peers, PyList_GET_ITEM(gone, i));
	Py_DECREF(gone);
	return failed ? -1 : 0;
}

int meet_peer(struct reader *reader, PyObject *address, const struct sockaddr_storage *from, socklen_t length)
{
	PyObject *proof = PyDict_GetItemWithError(reader->proven, address), *key = NULL;
	struct peer *known, *peer;
	int failed;

	if (!proof)
		return PyErr_Occurred() ? -1 : 0;
	if (forget_gone(reader))
		return -1;
	if (!(key = PyBytes_FromStringAndSize((const char *)from, length)))
		return -1;
	known = (struct peer *)PyDict_GetItemWithError(reader->peers, key);
	if (known && known->proof == proof) {
		Py_DECREF(key);
		return 0;
	}
	Py_CLEAR(reader->last);
	peer = make_peer(reader, address, proof);
	failed = !peer || PyDict_SetItem(reader->peers, key, (PyObject *)peer);
	Py_XDECREF(peer);
	Py_DECREF(key);
	return failed ? -1 : 0;
}

int find_keys(struct reader *reader, struct peer *peer)
{
	PyObject *inbound = *(PyObject **)((char *)peer->endpoint + endpoint_inbound);

	if (inbound == peer->inbound)
		return inbound != Py_None;
	PyObject *session = inbound == Py_None ? PyLong_FromLong(0)
	                                       : PyObject_CallMethod(reader->owner, "session_of", "O", inbound);
	if (!session)
		return -1;
	peer->srtp = PyLong_AsVoidPtr(session);
	Py_DECREF(session);
	Py_XSETREF(peer->inbound, Py_NewRef(inbound));
	return inbound != Py_None;
}

static int peer_traverse(struct peer *self, visitproc visit, void *arg)
{
	Py_VISIT(self->address);
	Py_VISIT(self->proof);
	Py_VISIT(self->endpoint);
	Py_VISIT(self->sources);
	Py_VISIT(self->pending);
	Py_VISIT(self->inbound);
	return 0;
}

static int peer_clear(struct peer *self)
{
	Py_CLEAR(self->address);
	Py_CLEAR(self->proof);
	Py_CLEAR(self->endpoint);
	Py_CLEAR(self->sources);
	Py_CLEAR(self->pending);
	Py_CLEAR(self->inbound);
	return 0;
}

PyTypeObject PeerType = {
	PyVarObject_HEAD_INIT(NULL, 0)
	.tp_name = "sft_engine_native._way_in.Peer",
	.tp_basicsize = sizeof(struct peer),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.tp_doc = "An address that has proven to be an endpoint's.",
	.tp_traverse = (traverseproc)peer_traverse,
	.tp_clear = (inquiry)peer_clear,
	.tp_dealloc = free_object,
};

/* The common case of sft/forwarding/loop.py: the next packet of a source that is known.
 *
 * The objects are Python's own. Their classes have __slots__, so their members lie at offsets that the member
 * descriptors tell; nothing is kept here. All conditions are looked at before anything is changed: what
 * is not quite common is left to Python as it came.
 */
#include "way_in.h"

#include <arpa/inet.h>
#include <string.h>
#include <structmember.h>

#include "header.h"

enum { TICKS_PER_SECOND = 1 << 18 }; /* of the absolute send time */

enum endpoint_member { INBOUND, TABLE, LAST_ALIVE, ENDPOINT_PACKETS, ENDPOINT_OCTETS, ENDPOINT_MEMBERS };
static const char *const endpoint_names[] = { "inbound", "table", "last_alive", "packets", "octets" };

enum source_member {
	ALIVE, ARRIVAL, CLOCK_RATE, FIRST, JITTER, KIND, LACKING, LEVEL, NUMBERING, OCTETS, PACKETS, PEAK, RING,
	RING_MASK, ROUTE, SLOTS, TIMESTAMP, TRANSIT, TRY_AT, TRY_VERSION, WATCHED, SOURCE_MEMBERS
};
static const char *const source_names[] = {
	"alive", "arrival", "clock_rate", "first", "jitter", "kind", "lacking", "level", "numbering", "octets",
	"packets", "peak", "ring", "ring_mask", "route", "slots", "timestamp", "transit", "try_at", "try_version",
	"watched",
};

enum numbering_member { HIGHEST, RECEIVED, DROPPED, DROPPED_NUMBERS, NUMBERING_MEMBERS };
static const char *const numbering_names[] = { "highest", "received", "dropped", "_dropped" };

static PyTypeObject *endpoint_type, *source_type, *numbering_type;
static Py_ssize_t of_endpoint[ENDPOINT_MEMBERS], of_source[SOURCE_MEMBERS], of_numbering[NUMBERING_MEMBERS];
Py_ssize_t endpoint_inbound;

static PyObject *audio, *drop_silent; /* MediaKind.AUDIO, Drop.RTP_SILENT */
static int silent, most_dropped;      /* SILENT; from how many dropped numbers on Python tidies them up */

static int read_members(PyTypeObject *type, const char *const *names, Py_ssize_t *offsets, int count)
{
	for (int i = 0; i < count; i++) {
		PyObject *member = PyDict_GetItemString(type->tp_dict, names[i]);
		if (!member || Py_TYPE(member) != &PyMemberDescr_Type ||
		    ((PyMemberDescrObject *)member)->d_member->type != T_OBJECT_EX) {
			PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, names[i]);
			return -1;
		}
		offsets[i] = ((PyMemberDescrObject *)member)->d_member->offset;
	}
	return 0;
}

static int read_class(PyTypeObject **type, PyObject *given, const char *const *names, Py_ssize_t *offsets, int count)
{
	if (!PyType_Check(given)) {
		PyErr_SetString(PyExc_TypeError, "not a class");
		return -1;
	}
	Py_XSETREF(*type, (PyTypeObject *)Py_NewRef(given));
	return read_members(*type, names, offsets, count);
}

int read_layout(PyObject *endpoint, PyObject *source, PyObject *numbering)
{
	if (read_class(&endpoint_type, endpoint, endpoint_names, of_endpoint, ENDPOINT_MEMBERS) ||
	    read_class(&source_type, source, source_names, of_source, SOURCE_MEMBERS) ||
	    read_class(&numbering_type, numbering, numbering_names, of_numbering, NUMBERING_MEMBERS))
		return -1;
	endpoint_inbound = of_endpoint[INBOUND];
	return 0;
}

int read_constants(PyObject *audio_kind, PyObject *silent_reason, int silent_level, int most)
{
	Py_XSETREF(audio, Py_NewRef(audio_kind));
	Py_XSETREF(drop_silent, Py_NewRef(silent_reason));
	silent = silent_level;
	most_dropped = most;
	return 0;
}

/* Members: borrowed references. */

static PyObject **member(PyObject *object, Py_ssize_t offset)
{
	return (PyObject **)((char *)object + offset);
}

static PyObject *source_get(PyObject *source, enum source_member name)
{
	return *member(source, of_source[name]);
}

/* An integer that fits; 0: it is none. */
static int get_integer(PyObject *value, int64_t *to)
{
	int overflow;

	if (!value || !PyLong_CheckExact(value))
		return 0;
	*to = PyLong_AsLongLongAndOverflow(value, &overflow);
	return !overflow;
}

static int set(PyObject **place, PyObject *value)
{
	if (!value)
		return -1;
	Py_XSETREF(*place, value);
	return 0;
}

static int set_integer(PyObject *object, Py_ssize_t offset, int64_t value)
{
	return set(member(object, offset), PyLong_FromLongLong(value));
}

/* What is known of the packet and its source before anything is changed. */
struct state {
	PyObject *table, *source, *numbering, *dropped_numbers, *route;
	struct header header;
	uint32_t timestamp;
	int is_audio, drops;
	int64_t highest, received, dropped;                      /* numbering */
	int64_t packets, octets, level, peak, jitter, transit, clock_rate, ring_mask; /* source */
	int64_t all_packets, all_octets;                          /* endpoint */
};

static int read_numbering(struct state *state, uint16_t sequence)
{
	PyObject *numbering = source_get(state->source, NUMBERING);

	if (!numbering || Py_TYPE(numbering) != numbering_type)
		return 0;
	state->numbering = numbering;
	state->dropped_numbers = *member(numbering, of_numbering[DROPPED_NUMBERS]);
	return get_integer(*member(numbering, of_numbering[HIGHEST]), &state->highest) &&
	       get_integer(*member(numbering, of_numbering[RECEIVED]), &state->received) &&
	       get_integer(*member(numbering, of_numbering[DROPPED]), &state->dropped) &&
	       (uint16_t)(sequence - state->highest) == 1 && PyList_CheckExact(state->dropped_numbers);
}

/* Whether a speaker that lacks a slot somewhere looks for it now. */
static int may_seek(const struct state *state, double now)
{
	PyObject *try_at = source_get(state->source, TRY_AT), *selection, *version = NULL;
	int same = 0;

	if (!PyFloat_CheckExact(try_at) || now >= PyFloat_AS_DOUBLE(try_at))
		return 1;
	selection = PyObject_GetAttrString(state->table, "selection");
	if (selection)
		version = PyObject_GetAttrString(selection, "version");
	if (version)
		same = PyObject_RichCompareBool(version, source_get(state->source, TRY_VERSION), Py_EQ) == 1;
	Py_XDECREF(version);
	Py_XDECREF(selection);
	PyErr_Clear(); /* Python finds out */
	return !same;
}

/* How loud it is now, and so whether the packet goes on. 0: something rare happens. */
static int read_audio(struct state *state, double now)
{
	PyObject *source = state->source, *lacking = source_get(source, LACKING);

	if (!get_integer(source_get(source, LEVEL), &state->level) ||
	    !get_integer(source_get(source, PEAK), &state->peak))
		return 0;
	if (state->header.level >= 0)
		state->level = (state->header.level + state->level) >> 1;
	state->peak = state->level < state->peak + 1 ? state->level : state->peak + 1;
	if (state->level >= silent && source_get(source, FIRST) == Py_False) {
		state->drops = 1; /* and gives back the slots that it has, which is rare */
		return PyDict_GET_SIZE(source_get(source, SLOTS)) == 0 &&
		       PyList_GET_SIZE(state->dropped_numbers) < most_dropped;
	}
	return PySet_GET_SIZE(lacking) == 0 || !may_seek(state, now);
}

static int read_source(struct state *state, const uint8_t *packet, double now)
{
	PyObject *source = state->source;
	uint16_t sequence = packet[2] << 8 | packet[3];

	if (Py_TYPE(source) != source_type || source_get(source, ALIVE) != Py_True ||
	    !PyDict_CheckExact(source_get(source, SLOTS)) || !PySet_Check(source_get(source, LACKING)) ||
	    !PyList_CheckExact(source_get(source, RING)))
		return 0;
	if (!read_numbering(state, sequence) || !get_integer(source_get(source, JITTER), &state->jitter) ||
	    !get_integer(source_get(source, TRANSIT), &state->transit) ||
	    !get_integer(source_get(source, CLOCK_RATE), &state->clock_rate) ||
	    !get_integer(source_get(source, PACKETS), &state->packets) ||
	    !get_integer(source_get(source, OCTETS), &state->octets) ||
	    !get_integer(source_get(source, RING_MASK), &state->ring_mask))
		return 0;
	state->is_audio = source_get(source, KIND) == audio;
	state->route = source_get(source, ROUTE);
	if (state->is_audio)
		return read_audio(state, now);
	return source_get(source, WATCHED) == Py_False;
}

static int count_arrival(struct peer *peer, const struct state *state, int length, PyObject *now)
{
	PyObject *endpoint = peer->endpoint;

	return set(member(endpoint, of_endpoint[LAST_ALIVE]), Py_NewRef(now)) ||
	       set_integer(endpoint, of_endpoint[ENDPOINT_PACKETS], state->all_packets + 1) ||
	       set_integer(endpoint, of_endpoint[ENDPOINT_OCTETS], state->all_octets + length);
}

/* For the next transport-wide feedback. loop.py sees to it that there is one (wake_soon); not needed here: as long as
 * a source is alive its table has a round of housekeeping due within the period. */
static int note_transport(struct peer *peer, unsigned number, PyObject *now)
{
	PyObject *entry = Py_BuildValue("(IO)", number, now);
	int failed = !entry || PyList_Append(peer->pending, entry);

	Py_XDECREF(entry);
	return failed ? -1 : 0;
}

/* RFC 3550 appendix A.8, as for each packet in order. */
static int keep_statistics(const struct state *state, double now, PyObject *python_now)
{
	PyObject *source = state->source;
	int64_t transit = (int64_t)(now * state->clock_rate) - state->timestamp;
	uint32_t change = (uint32_t)(transit - state->transit);

	if (change >= 0x80000000)
		change = -change;
	return set_integer(source, of_source[TIMESTAMP], state->timestamp) ||
	       set(member(source, of_source[ARRIVAL]), Py_NewRef(python_now)) ||
	       set_integer(source, of_source[TRANSIT], transit) ||
	       set_integer(source, of_source[JITTER], state->jitter + change - ((state->jitter + 8) >> 4));
}

static int number_packet(const struct state *state)
{
	PyObject *numbering = state->numbering;

	return set_integer(numbering, of_numbering[HIGHEST], state->highest + 1) ||
	       set_integer(numbering, of_numbering[RECEIVED], state->received + 1);
}

/* It leaves no gap in the numbers that go out. */
static int drop_packet(struct reader *reader, const struct state *state)
{
	PyObject *highest = *member(state->numbering, of_numbering[HIGHEST]), *counts, *count;
	int failed = PyList_Append(state->dropped_numbers, highest) ||
	             set_integer(state->numbering, of_numbering[DROPPED], state->dropped + 1);

	counts = failed ? NULL : PyObject_GetAttrString(reader->owner, "drop_counts");
	if (!counts)
		return -1;
	count = PyDict_GetItemWithError(counts, drop_silent);
	count = count ? PyLong_FromLongLong(PyLong_AsLongLong(count) + 1) : NULL;
	failed = !count || PyDict_SetItem(counts, drop_silent, count);
	Py_XDECREF(count);
	Py_DECREF(counts);
	return failed ? -1 : 0;
}

/* Into the ring, from where it is repeated, and to its receivers. */
static int forward_packet(struct reader *reader, const struct state *state, uint8_t *packet, int length, double now,
                          PyObject *python_now)
{
	PyObject *source = state->source, *ring = source_get(source, RING), *bytes, *entry;
	int64_t number = state->highest + 1 - state->dropped;
	int size = length - state->header.payload;

	if (!state->is_audio && PyDict_GET_SIZE(source_get(source, SLOTS))) {
		uint8_t *before = packet;
		packet = set_send_time(packet, &state->header, (uint32_t)(int64_t)(now * TICKS_PER_SECOND));
		length += before - packet;
	}
	bytes = PyBytes_FromStringAndSize((const char *)packet, length);
	entry = bytes ? Py_BuildValue("(LNO)", (long long)number, bytes, python_now) : NULL;
	if (!entry || PyList_SetItem(ring, (Py_ssize_t)(number & state->ring_mask), entry) ||
	    set_integer(source, of_source[PACKETS], state->packets + 1) ||
	    set_integer(source, of_source[OCTETS], state->octets + size))
		return -1;
	if (state->route != Py_None) {
		const struct route *route = PyLong_AsVoidPtr(PyTuple_GET_ITEM(state->route, 0));
		functions.fan_out(reader->engine, route, packet, length, (uint16_t)number);
	}
	return 0;
}

static int change_all(struct reader *reader, struct peer *peer, struct state *state, uint8_t *packet, int length,
                      double now, PyObject *python_now)
{
	PyObject *source = state->source;
	int transport = state->header.transport;
	unsigned transport_number = transport < 0 ? 0 : packet[transport] << 8 | packet[transport + 1];

	if (count_arrival(peer, state, length, python_now) || number_packet(state) ||
	    keep_statistics(state, now, python_now))
		return -1;
	if (state->is_audio && (set_integer(source, of_source[LEVEL], state->level) ||
	                        set_integer(source, of_source[PEAK], state->peak)))
		return -1;
	if (state->drops ? drop_packet(reader, state)
	                 : forward_packet(reader, state, packet, length, now, python_now))
		return -1;
	return transport >= 0 ? note_transport(peer, transport_number, python_now) : 0;
}

int take_packet(struct reader *reader, struct peer *peer, uint8_t *packet, int length, double now,
                PyObject *python_now)
{
	struct state state = { 0 };
	PyObject *endpoint = peer->endpoint, *ssrc;
	uint32_t word;

	state.table = *member(endpoint, of_endpoint[TABLE]);
	if (state.table == Py_None || read_header(packet, length, &state.header) ||
	    !get_integer(*member(endpoint, of_endpoint[ENDPOINT_PACKETS]), &state.all_packets) ||
	    !get_integer(*member(endpoint, of_endpoint[ENDPOINT_OCTETS]), &state.all_octets))
		return 0;
	memcpy(&word, packet + 4, 4);
	state.timestamp = ntohl(word);
	memcpy(&word, packet + 8, 4);
	if (!(ssrc = PyLong_FromUnsignedLong(ntohl(word))))
		return -1;
	state.source = PyDict_GetItemWithError(peer->sources, ssrc);
	Py_DECREF(ssrc);
	if (!state.source)
		return PyErr_Occurred() ? -1 : 0;
	if (!read_source(&state, packet, now))
		return 0;
	/* Whom a packet is handed over to, over TCP, is Python's; it may let go of anything. */
	Py_INCREF(state.source);
	Py_INCREF(state.route);
	int failed = change_all(reader, peer, &state, packet, length, now, python_now);
	Py_DECREF(state.route);
	Py_DECREF(state.source);
	return failed ? -1 : 1;
}

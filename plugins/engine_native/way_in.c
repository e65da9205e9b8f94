/* sft_engine_native._way_in: the module. */
#include "way_in.h"

void free_object(PyObject *self)
{
	PyObject_GC_UnTrack(self);
	Py_TYPE(self)->tp_clear(self);
	Py_TYPE(self)->tp_free(self);
}

static PyObject *set_up(PyObject *module, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = { "endpoint", "source", "numbering", "audio", "drop_silent", "silent", "most_dropped",
		                 "unprotect", "fan_out", "flush", NULL };
	PyObject *endpoint, *source, *numbering, *audio, *drop_silent, *unprotect, *fan_out, *flush;
	int silent, most_dropped;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOiiOOO", names, &endpoint, &source, &numbering,
	                                 &audio, &drop_silent, &silent, &most_dropped, &unprotect, &fan_out, &flush))
		return NULL;
	functions.unprotect = (unprotect_function)PyLong_AsVoidPtr(unprotect);
	*(void **)&functions.fan_out = PyLong_AsVoidPtr(fan_out);
	*(void **)&functions.flush = PyLong_AsVoidPtr(flush);
	if (PyErr_Occurred() || read_layout(endpoint, source, numbering) ||
	    read_constants(audio, drop_silent, silent, most_dropped))
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{ "set_up", (PyCFunction)(void (*)(void))set_up, METH_VARARGS | METH_KEYWORDS,
	  "Tell what classes look like, and where functions of other modules are. Once, before all else." },
	{ 0 },
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_way_in",
	.m_size = -1,
	.m_methods = methods,
};

PyMODINIT_FUNC PyInit__way_in(void)
{
	PyObject *module = PyModule_Create(&definition);

	if (!module || PyType_Ready(&PeerType) || PyModule_AddType(module, &ReaderType) || PyModule_AddType(module, &WaiterType))
		return NULL;
	return module;
}

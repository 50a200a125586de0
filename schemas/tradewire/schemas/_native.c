/* Encodes Avro from Python's own classes, byte for byte as `_compiled_encoder` does, or leaves the data to it.
 *
 * This is an accelerator, not a second authority: whatever is not plainly right (another class than the expected one, a
 * number that does not fit, a missing or unknown field, a failure of any kind) goes whole to `fallback`, the encoder in
 * Python, which writes it or refuses it by field. So nothing here raises for data, and nothing here is needed: without a
 * C compiler at installation everything works, slower. See `_native_plan.py` for what a plan is.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ABI 1 /* what `_native_plan.py` asks for; an older build than its source is not used */
#define INLINE_BYTES 512
#define DIGITS_MAX 38 /* of a decimal: what 127 bits hold */

typedef unsigned __int128 wide;

enum kind { STRING, BYTES, INT, LONG, BOOLEAN, FLOAT, DOUBLE, FIXED, ENUM, DECIMAL, OPTIONAL, RECORD, ARRAY, MAP, KINDS };

typedef struct node {
    enum kind kind;
    int precision, scale;
    Py_ssize_t size;         /* of a fixed; of a record its fields; -1: a decimal of bytes */
    unsigned char null, tag; /* of an optional: the byte of null, and that of the other branch */
    PyObject *symbols;       /* of an enum: symbol to bytes */
    PyObject **names;        /* of a record, interned */
    PyObject **defaults;     /* of a record: bytes, or NULL where a field must be given */
    struct node *parts;      /* fields, items, values, the other branch */
    Py_ssize_t part_count;
} node;

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *prefix, *fallback;
    node root;
} Encoder;

typedef struct {
    char *start, *at, *end;
    char own[INLINE_BYTES];
} buffer;

static PyObject *decimal_class; /* decimal.Decimal */
static wide powers[DIGITS_MAX + 1];

/* ---- writing: 0 when written, -1 when the value is left to Python; an exception may then be set and is cleared ---- */

static int room(buffer *b, Py_ssize_t n) {
    if (b->end - b->at >= n) return 0;
    Py_ssize_t used = b->at - b->start, size = (b->end - b->start) * 2;
    if (n > PY_SSIZE_T_MAX / 4 || used > PY_SSIZE_T_MAX / 4) return -1;
    while (size < used + n) size *= 2;
    char *moved = PyMem_Malloc(size);
    if (!moved) return -1;
    memcpy(moved, b->start, used);
    if (b->start != b->own) PyMem_Free(b->start);
    b->start = moved, b->at = moved + used, b->end = moved + size;
    return 0;
}

static int put(buffer *b, const char *bytes, Py_ssize_t n) {
    if (room(b, n)) return -1;
    memcpy(b->at, bytes, n);
    b->at += n;
    return 0;
}

static int put_long(buffer *b, int64_t value) {
    if (room(b, 10)) return -1;
    uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (n > 127) *b->at++ = (char)(n & 127 | 128), n >>= 7;
    *b->at++ = (char)n;
    return 0;
}

static int put_octets(buffer *b, const char *bytes, Py_ssize_t n) {
    return put_long(b, n) || put(b, bytes, n) ? -1 : 0;
}

static int put_text(buffer *b, PyObject *value) {
    if (!PyUnicode_CheckExact(value)) return -1;
    if (PyUnicode_IS_COMPACT_ASCII(value))
        return put_octets(b, (const char *)PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value));
    /* Not PyUnicode_AsUTF8: it would keep a second copy in the caller's object for as long as that lives. */
    PyObject *utf8 = PyUnicode_AsUTF8String(value);
    if (!utf8) return -1;
    int failed = put_octets(b, PyBytes_AS_STRING(utf8), PyBytes_GET_SIZE(utf8));
    Py_DECREF(utf8);
    return failed;
}

static int put_integer(buffer *b, const node *t, PyObject *value) {
    if (!PyLong_CheckExact(value)) return -1;
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || (t->kind == INT && (n > INT32_MAX || n < INT32_MIN))) return -1;
    return put_long(b, n);
}

static int put_decimal(buffer *b, const node *t, PyObject *value) {
    if ((PyObject *)Py_TYPE(value) != decimal_class) return -1;
    PyObject *text = PyObject_Str(value);
    if (!text) return -1;
    const char *c = (const char *)PyUnicode_1BYTE_DATA(text), *end = c + PyUnicode_GET_LENGTH(text);
    wide n = 0;
    int negative = *c == '-', point = 0, digits = 0, places = 0, odd = !PyUnicode_IS_COMPACT_ASCII(text);
    for (c += negative; c < end && *c != 'E' && !odd; c++) {
        if (*c == '.' && !point) point = 1;
        else if (*c >= '0' && *c <= '9' && digits < DIGITS_MAX) {
            n = n * 10 + (wide)(*c - '0');
            digits += n != 0; /* leading zeros are no digits */
            places += point;
        } else odd = 1; /* NaN, Infinity, too many digits */
    }
    if (c < end && !odd) { /* E, a sign, digits: numbers below 1E-6 are printed so, a zero with 18 places too */
        int exponent = 0, sign = ++c < end && *c == '-' ? -1 : 1;
        for (c++; c < end && *c >= '0' && *c <= '9' && exponent < 100; c++) exponent = exponent * 10 + (*c - '0');
        odd = c < end || (!n && sign > 0);
        places -= sign * exponent;
    }
    Py_DECREF(text);
    int missing = t->scale - places;
    if (odd || missing < 0 || (n && digits + missing > t->precision)) return -1;
    n *= powers[n ? missing : 0];
    int bits = 0;
    for (wide rest = n; rest; bits += 8) { /* the bit length of n, by bytes and then exactly */
        if (rest < 256) {
            bits += 32 - __builtin_clz((unsigned)rest);
            break;
        }
        rest >>= 8;
    }
    Py_ssize_t size = t->size >= 0 ? t->size : (bits + 8) >> 3;
    wide limit = size >= 16 ? 0 : (wide)1 << (8 * size - 1); /* a fixed that is too short for the number */
    if (size == 0 || (limit && (negative ? n > limit : n >= limit))) return -1;
    if ((t->size < 0 && put_long(b, size)) || room(b, size)) return -1;
    if (negative) n = -n;
    char fill = negative && n ? (char)0xFF : 0;
    for (Py_ssize_t i = size - 1; i >= 0; i--, n >>= 8) b->at[i] = size - 1 - i < 16 ? (char)n : fill;
    b->at += size;
    return 0;
}

static int put_real(buffer *b, const node *t, PyObject *value) {
    if (!PyFloat_CheckExact(value) || room(b, 8)) return -1;
    double x = PyFloat_AS_DOUBLE(value);
    float narrow = (float)x;
    if (t->kind == FLOAT && isinf(narrow) && !isinf(x)) return -1;
    if ((t->kind == FLOAT ? PyFloat_Pack4(x, b->at, 1) : PyFloat_Pack8(x, b->at, 1)) < 0) return -1;
    b->at += t->kind == FLOAT ? 4 : 8;
    return 0;
}

static int put_value(buffer *, const node *, PyObject *);

static int put_record(buffer *b, const node *t, PyObject *value) {
    if (!PyDict_CheckExact(value)) return -1;
    Py_ssize_t count = PyDict_GET_SIZE(value);
    for (Py_ssize_t i = 0; i < t->part_count; i++) {
        PyObject *part = PyDict_GetItemWithError(value, t->names[i]);
        if (!part) {
            PyObject *standard = t->defaults[i];
            if (PyErr_Occurred() || !standard) return -1;
            if (put(b, PyBytes_AS_STRING(standard), PyBytes_GET_SIZE(standard))) return -1;
            count++;
            continue;
        }
        Py_INCREF(part);
        int failed = put_value(b, &t->parts[i], part);
        Py_DECREF(part);
        if (failed) return -1;
    }
    return count == t->part_count ? 0 : -1; /* more: a field that the schema does not have */
}

static int put_array(buffer *b, const node *t, PyObject *value) {
    if (!PyList_CheckExact(value)) return -1;
    Py_ssize_t count = PyList_GET_SIZE(value);
    if (count && put_long(b, count)) return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyList_GET_SIZE(value) != count) return -1;
        PyObject *item = PyList_GET_ITEM(value, i);
        Py_INCREF(item);
        int failed = put_value(b, t->parts, item);
        Py_DECREF(item);
        if (failed) return -1;
    }
    return put(b, "", 1);
}

static int put_map(buffer *b, const node *t, PyObject *value) {
    if (!PyDict_CheckExact(value)) return -1;
    Py_ssize_t count = PyDict_GET_SIZE(value), place = 0, found = 0;
    PyObject *key, *item;
    if (count && put_long(b, count)) return -1;
    while (PyDict_Next(value, &place, &key, &item)) {
        Py_INCREF(key), Py_INCREF(item);
        int failed = put_text(b, key) || put_value(b, t->parts, item);
        Py_DECREF(key), Py_DECREF(item);
        if (failed || PyDict_GET_SIZE(value) != count) return -1;
        found++;
    }
    return found == count ? put(b, "", 1) : -1;
}

static int put_value(buffer *b, const node *t, PyObject *value) {
    PyObject *found;
    switch (t->kind) {
    case STRING: return put_text(b, value);
    case BYTES: return PyBytes_CheckExact(value) ? put_octets(b, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) : -1;
    case INT:
    case LONG: return put_integer(b, t, value);
    case BOOLEAN: return value == Py_True ? put(b, "\1", 1) : value == Py_False ? put(b, "\0", 1) : -1;
    case FLOAT:
    case DOUBLE: return put_real(b, t, value);
    case FIXED:
        if (!PyBytes_CheckExact(value) || PyBytes_GET_SIZE(value) != t->size) return -1;
        return put(b, PyBytes_AS_STRING(value), t->size);
    case ENUM:
        if (!PyUnicode_CheckExact(value)) return -1;
        found = PyDict_GetItemWithError(t->symbols, value);
        return found ? put(b, PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found)) : -1;
    case DECIMAL: return put_decimal(b, t, value);
    case OPTIONAL:
        if (value == Py_None) return put(b, (const char *)&t->null, 1);
        return put(b, (const char *)&t->tag, 1) || put_value(b, t->parts, value) ? -1 : 0;
    case RECORD: return put_record(b, t, value);
    case ARRAY: return put_array(b, t, value);
    case MAP: return put_map(b, t, value);
    default: return -1;
    }
}

static PyObject *encode(PyObject *self, PyObject *const *args, size_t flags, PyObject *names) {
    Encoder *e = (Encoder *)self;
    if (PyVectorcall_NARGS(flags) != 1 || names) return PyObject_Vectorcall(e->fallback, args, flags, names);
    buffer b;
    PyObject *made = NULL;
    b.start = b.at = b.own, b.end = b.own + INLINE_BYTES;
    if (!put(&b, PyBytes_AS_STRING(e->prefix), PyBytes_GET_SIZE(e->prefix)) && !put_value(&b, &e->root, args[0]))
        made = PyBytes_FromStringAndSize(b.start, b.at - b.start);
    if (b.start != b.own) PyMem_Free(b.start);
    if (made) return made;
    PyErr_Clear();
    return PyObject_CallOneArg(e->fallback, args[0]);
}

/* ---- a plan, tuples made by `_native_plan.py`, becomes a tree ---- */

static void clear_node(node *t) {
    Py_CLEAR(t->symbols);
    for (Py_ssize_t i = 0; i < t->part_count; i++) {
        if (t->parts) clear_node(&t->parts[i]);
        if (t->names) Py_CLEAR(t->names[i]);
        if (t->defaults) Py_CLEAR(t->defaults[i]);
    }
    PyMem_Free(t->parts), PyMem_Free(t->names), PyMem_Free(t->defaults);
    t->parts = NULL, t->names = NULL, t->defaults = NULL, t->part_count = 0;
}

static int build(node *, PyObject *);

static int make_parts(node *t, Py_ssize_t count) {
    t->parts = PyMem_Calloc(count ? count : 1, sizeof(node));
    t->names = PyMem_Calloc(count ? count : 1, sizeof(PyObject *));
    t->defaults = PyMem_Calloc(count ? count : 1, sizeof(PyObject *));
    t->part_count = count;
    if (t->parts && t->names && t->defaults) return 0;
    PyErr_NoMemory();
    return -1;
}

static int build_record(node *t, PyObject *fields) {
    if (make_parts(t, PyTuple_GET_SIZE(fields))) return -1;
    for (Py_ssize_t i = 0; i < t->part_count; i++) {
        PyObject *name, *standard, *plan;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(fields, i), "UOO!", &name, &standard, &PyTuple_Type, &plan)) return -1;
        if (standard != Py_None && !PyBytes_CheckExact(standard)) {
            PyErr_SetString(PyExc_TypeError, "a default is its bytes");
            return -1;
        }
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        t->names[i] = name;
        if (standard != Py_None) t->defaults[i] = Py_NewRef(standard);
        if (build(&t->parts[i], plan)) return -1;
    }
    return 0;
}

static int build(node *t, PyObject *plan) {
    int kind;
    PyObject *inner = NULL;
    if (!PyTuple_Check(plan) || !PyTuple_GET_SIZE(plan)) {
        PyErr_SetString(PyExc_TypeError, "a plan is a tuple that begins with a kind");
        return -1;
    }
    kind = (int)PyLong_AsLong(PyTuple_GET_ITEM(plan, 0));
    if (PyErr_Occurred()) return -1;
    t->kind = (enum kind)kind;
    t->size = -1;
    switch (kind) {
    case STRING: case BYTES: case INT: case LONG: case BOOLEAN: case FLOAT: case DOUBLE: return 0;
    case FIXED: return PyArg_ParseTuple(plan, "in", &kind, &t->size) ? 0 : -1;
    case ENUM:
        if (!PyArg_ParseTuple(plan, "iO!", &kind, &PyDict_Type, &inner)) return -1;
        t->symbols = Py_NewRef(inner);
        return 0;
    case DECIMAL:
        if (!PyArg_ParseTuple(plan, "iiin", &kind, &t->precision, &t->scale, &t->size)) return -1;
        if (t->precision > 0 && t->precision <= DIGITS_MAX && t->scale >= 0 && t->scale <= t->precision) return 0;
        PyErr_SetString(PyExc_ValueError, "a decimal of at most 38 digits");
        return -1;
    case OPTIONAL:
        if (!PyArg_ParseTuple(plan, "ibbO!", &kind, &t->null, &t->tag, &PyTuple_Type, &inner)) return -1;
        break;
    case RECORD: return PyArg_ParseTuple(plan, "iO!", &kind, &PyTuple_Type, &inner) ? build_record(t, inner) : -1;
    case ARRAY:
    case MAP:
        if (!PyArg_ParseTuple(plan, "iO!", &kind, &PyTuple_Type, &inner)) return -1;
        break;
    default:
        PyErr_Format(PyExc_ValueError, "there is no kind %d", kind);
        return -1;
    }
    return make_parts(t, 1) || build(&t->parts[0], inner) ? -1 : 0;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"plan", "prefix", "fallback", NULL};
    PyObject *plan, *prefix, *fallback;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!SO", names, &PyTuple_Type, &plan, &prefix, &fallback)) return NULL;
    Encoder *self = (Encoder *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->call = encode;
    self->prefix = Py_NewRef(prefix);
    self->fallback = Py_NewRef(fallback);
    if (build(&self->root, plan)) Py_CLEAR(self);
    return (PyObject *)self;
}

static void encoder_dealloc(Encoder *self) {
    clear_node(&self->root);
    Py_CLEAR(self->prefix);
    Py_CLEAR(self->fallback);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject encoder_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tradewire.schemas._native.Encoder",
    .tp_basicsize = sizeof(Encoder),
    .tp_dealloc = (destructor)encoder_dealloc,
    .tp_vectorcall_offset = offsetof(Encoder, call),
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = encoder_new,
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *decimal = PyImport_ImportModule("decimal");
    if (!decimal) return NULL;
    decimal_class = PyObject_GetAttrString(decimal, "Decimal");
    Py_DECREF(decimal);
    powers[0] = 1;
    for (int i = 1; i <= DIGITS_MAX; i++) powers[i] = powers[i - 1] * 10;
    PyObject *made = decimal_class && PyType_Ready(&encoder_type) == 0 ? PyModule_Create(&module) : NULL;
    if (!made) return NULL;
    if (PyModule_AddIntConstant(made, "ABI", ABI) || PyModule_AddObjectRef(made, "Encoder", (PyObject *)&encoder_type))
        Py_CLEAR(made);
    return made;
}

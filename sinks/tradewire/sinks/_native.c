/* The loops over records that the sink and replay spend their time in, byte for byte as the ones in Python.
 *
 * An accelerator, not a second authority: what is not plainly right (another class than the expected one, header names
 * that differ, a text with other than ASCII characters, a time of another form) gives None, and the loops in Python then
 * write it, or say which record is at fault. `_native_loops.py` says what each function stands for.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define ABI 2 /* what `_native_loops.py` asks for; an older build than its source is not used */
#define TIME_BYTES 30   /* 2024-08-08T12:00:00.000000000Z */
#define SECOND_BYTES 20 /* with the point */
#define SEQUENCE_BYTES 19
#define COLUMNS_MAX 64

static PyObject *offset_name, *timestamp_name, *key_name, *value_name, *headers_name;

typedef struct {
    char *start, *at, *end;
} buffer;

static int room(buffer *b, Py_ssize_t n) {
    if (b->end - b->at >= n) return 0;
    Py_ssize_t used = b->at - b->start, size = (b->end - b->start) * 2;
    if (size < 1 << 16) size = 1 << 16;
    if (n > PY_SSIZE_T_MAX / 4 || used > PY_SSIZE_T_MAX / 4) return PyErr_NoMemory(), -1;
    while (size < used + n) size *= 2;
    char *moved = PyMem_Realloc(b->start, size);
    if (!moved) return PyErr_NoMemory(), -1;
    b->start = moved, b->at = moved + used, b->end = moved + size;
    return 0;
}

static void put(buffer *b, const char *bytes, Py_ssize_t n) {
    memcpy(b->at, bytes, n);
    b->at += n;
}

static void put_little(buffer *b, int64_t value) {
    for (int i = 0; i < 8; i++) *b->at++ = (char)((uint64_t)value >> 8 * i);
}

static void put_big(buffer *b, int64_t value) {
    for (int i = 7; i >= 0; i--) *b->at++ = (char)((uint64_t)value >> 8 * i);
}

static void put_long(buffer *b, int64_t value) {
    uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (n > 127) *b->at++ = (char)((n & 127) | 128), n >>= 7;
    *b->at++ = (char)n;
}

/* Avro bytes or string; room for ten bytes more than they have is there afterwards. */
static int put_sized(buffer *b, PyObject *value) {
    Py_ssize_t n = PyBytes_GET_SIZE(value);
    if (room(b, n + 20)) return -1;
    put_long(b, n);
    put(b, PyBytes_AS_STRING(value), n);
    return 0;
}

static PyObject *finished(buffer *b) {
    PyObject *made = PyBytes_FromStringAndSize(b->start, b->at - b->start);
    PyMem_Free(b->start);
    return made;
}

static int is_ascii(const char *bytes, Py_ssize_t n) {
    uint64_t seen = 0, word;
    for (; n >= 8; n -= 8, bytes += 8) memcpy(&word, bytes, 8), seen |= word;
    while (n--) seen |= (uint64_t)(unsigned char)*bytes++;
    return !(seen & 0x8080808080808080u);
}

static int number_of(PyObject *object, int64_t *number) {
    int overflow;
    if (!PyLong_CheckExact(object)) return -1;
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow ? -1 : 0;
}

/* ---- records of messages ---- */

static int appended(PyObject *list, Py_ssize_t at, PyObject *item) {
    if (!item) return -1;
    PyList_SET_ITEM(list, at, item);
    return 0;
}

/* Whether the headers of a message have these names; the first message makes them. */
static int names_fit(PyObject *headers, PyObject **names) {
    Py_ssize_t count = PyList_GET_SIZE(headers);
    if (!*names) {
        if (count > COLUMNS_MAX || !(*names = PyTuple_New(count))) return -1;
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *header = PyList_GET_ITEM(headers, i);
            if (!PyTuple_CheckExact(header) || PyTuple_GET_SIZE(header) != 2) return -1;
            PyObject *name = PyTuple_GET_ITEM(header, 0);
            if (!PyUnicode_CheckExact(name)) return -1;
            Py_INCREF(name);
            PyUnicode_InternInPlace(&name);
            PyTuple_SET_ITEM(*names, i, name);
        }
        return 0;
    }
    if (count != PyTuple_GET_SIZE(*names)) return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *header = PyList_GET_ITEM(headers, i), *wanted = PyTuple_GET_ITEM(*names, i), *name;
        if (!PyTuple_CheckExact(header) || PyTuple_GET_SIZE(header) != 2) return -1;
        name = PyTuple_GET_ITEM(header, 0);
        if (name == wanted) continue;
        if (!PyUnicode_CheckExact(name) || PyUnicode_GET_LENGTH(name) != PyUnicode_GET_LENGTH(wanted)) return -1;
        if (PyUnicode_KIND(name) != PyUnicode_KIND(wanted)) return -1;
        if (memcmp(PyUnicode_DATA(name), PyUnicode_DATA(wanted), PyUnicode_GET_LENGTH(name) * PyUnicode_KIND(name)))
            return -1;
    }
    return 0;
}

/* An equal value that is there already is kept instead: most headers say the same in every record. */
static PyObject *same_or(PyObject *before, PyObject *value) {
    if (before && before != value && PyBytes_CheckExact(before) && PyBytes_CheckExact(value) &&
        PyBytes_GET_SIZE(before) == PyBytes_GET_SIZE(value) &&
        !memcmp(PyBytes_AS_STRING(before), PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)))
        value = before;
    return Py_NewRef(value);
}

/* gather(messages) -> (offsets, timestamps_ms, keys, values, names, columns); names None where they differ */
static PyObject *gather(PyObject *Py_UNUSED(module), PyObject *messages) {
    if (!PyList_CheckExact(messages)) return PyErr_SetString(PyExc_TypeError, "gather takes a list"), NULL;
    Py_ssize_t rows = PyList_GET_SIZE(messages);
    PyObject *field[4] = {NULL}, *names = NULL, *columns = NULL, *column[COLUMNS_MAX], *made = NULL;
    int uniform = 1;
    for (int f = 0; f < 4; f++)
        if (!(field[f] = PyList_New(rows))) goto done;
    for (Py_ssize_t i = 0; i < rows; i++) {
        PyObject *message = PyList_GET_ITEM(messages, i);
        if (appended(field[0], i, PyObject_CallMethodNoArgs(message, offset_name))) goto done;
        PyObject *stamp = PyObject_CallMethodNoArgs(message, timestamp_name);
        if (!stamp) goto done;
        PyObject *ms = PySequence_GetItem(stamp, 1);
        Py_DECREF(stamp);
        if (appended(field[1], i, ms)) goto done;
        PyObject *key = PyObject_CallMethodNoArgs(message, key_name);
        if (!key) goto done;
        PyList_SET_ITEM(field[2], i, same_or(i ? PyList_GET_ITEM(field[2], i - 1) : NULL, key));
        Py_DECREF(key);
        if (appended(field[3], i, PyObject_CallMethodNoArgs(message, value_name))) goto done;
        if (!uniform) continue;
        PyObject *headers = PyObject_CallMethodNoArgs(message, headers_name);
        if (!headers) goto done;
        if (!PyList_CheckExact(headers) || names_fit(headers, &names)) {
            if (PyErr_Occurred()) {
                Py_DECREF(headers);
                goto done;
            }
            uniform = 0;
        } else {
            if (!columns) {
                if (!(columns = PyList_New(PyTuple_GET_SIZE(names)))) {
                    Py_DECREF(headers);
                    goto done;
                }
                for (Py_ssize_t c = 0; c < PyTuple_GET_SIZE(names); c++) {
                    if (!(column[c] = PyList_New(rows))) {
                        Py_DECREF(headers);
                        goto done;
                    }
                    PyList_SET_ITEM(columns, c, column[c]);
                }
            }
            for (Py_ssize_t c = 0; c < PyTuple_GET_SIZE(names); c++) {
                PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(headers, c), 1);
                PyList_SET_ITEM(column[c], i, same_or(i ? PyList_GET_ITEM(column[c], i - 1) : NULL, value));
            }
        }
        Py_DECREF(headers);
    }
    if (uniform && names)
        made = PyTuple_Pack(6, field[0], field[1], field[2], field[3], names, columns);
    else
        made = PyTuple_Pack(6, field[0], field[1], field[2], field[3], Py_None, Py_None);
done:
    for (int f = 0; f < 4; f++) Py_XDECREF(field[f]);
    Py_XDECREF(names);
    Py_XDECREF(columns);
    return made;
}

/* ---- rows of a block ---- */

static int digits(const char *text, int count, int64_t *number) {
    int64_t n = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        n = n * 10 + (text[i] - '0');
    }
    *number = n;
    return 0;
}

/* A list of as many rows, or None. */
static int is_column(PyObject *column, Py_ssize_t rows, int may_be_none) {
    return (may_be_none && column == Py_None) || (PyList_CheckExact(column) && PyList_GET_SIZE(column) >= rows);
}

/* write_rows(head, offsets, stamps, times, seconds, texts, causes, sequences, tags, kept, keys, values, frame) */
static PyObject *write_rows(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 13) return PyErr_SetString(PyExc_TypeError, "write_rows takes 13 arguments"), NULL;
    PyObject *head = args[0], *offsets = args[1], *stamps = args[2], *times = args[3], *seconds = args[4];
    PyObject *texts = args[5], *causes = args[6], *sequences = args[7], *tags = args[8], *kept = args[9];
    PyObject *keys = args[10], *values = args[11];
    Py_ssize_t frame = PyLong_AsSsize_t(args[12]);
    if (frame < 0) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    if (!PyBytes_CheckExact(head) || !PyList_CheckExact(offsets) || !PyTuple_CheckExact(texts) ||
        !PyTuple_CheckExact(kept))
        Py_RETURN_NONE;
    Py_ssize_t rows = PyList_GET_SIZE(offsets), text_count = PyTuple_GET_SIZE(texts), kept_count = PyTuple_GET_SIZE(kept);
    int fit = is_column(stamps, rows, 0) && is_column(times, rows, 0) && is_column(causes, rows, 1) &&
              is_column(sequences, rows, 1) && is_column(tags, rows, 1) && is_column(keys, rows, 0) &&
              is_column(values, rows, 0);
    for (Py_ssize_t c = 0; c < text_count; c++) fit = fit && is_column(PyTuple_GET_ITEM(texts, c), rows, 0);
    for (Py_ssize_t c = 0; c < kept_count; c++) fit = fit && is_column(PyTuple_GET_ITEM(kept, c), rows, 0);
    if (!fit) Py_RETURN_NONE;
    buffer b = {NULL, NULL, NULL};
    const char *second_text = NULL;
    int64_t second_ns = 0;
    Py_ssize_t head_bytes = PyBytes_GET_SIZE(head);
    if (room(&b, rows * 512 + 64)) return NULL;
    for (Py_ssize_t i = 0; i < rows; i++) {
        int64_t offset, stamp, fraction;
        PyObject *time = PyList_GET_ITEM(times, i), *value = PyList_GET_ITEM(values, i), *key = PyList_GET_ITEM(keys, i);
        if (number_of(PyList_GET_ITEM(offsets, i), &offset) || number_of(PyList_GET_ITEM(stamps, i), &stamp)) goto left;
        if (!PyBytes_CheckExact(time) || PyBytes_GET_SIZE(time) != TIME_BYTES) goto left;
        const char *text = PyBytes_AS_STRING(time);
        if (text[TIME_BYTES - 1] != 'Z' || digits(text + SECOND_BYTES, 9, &fraction)) goto left;
        if (!second_text || memcmp(second_text, text, SECOND_BYTES)) {
            PyObject *second = PyBytes_FromStringAndSize(text, SECOND_BYTES);
            PyObject *found = second ? PyObject_CallOneArg(seconds, second) : NULL;
            Py_XDECREF(second);
            if (!found) goto failed; /* not the beginning of a time: the caller is told as by the loop in Python */
            int failed = number_of(found, &second_ns);
            Py_DECREF(found);
            if (failed) goto left;
            second_text = text;
        }
        int64_t time_ns;
        if (__builtin_add_overflow(second_ns, fraction, &time_ns)) goto left;
        if (room(&b, head_bytes + 64)) goto failed;
        put(&b, PyBytes_AS_STRING(head), head_bytes);
        put_little(&b, offset);
        put_little(&b, stamp);
        put_little(&b, time_ns);
        for (Py_ssize_t c = 0; c < text_count; c++) {
            PyObject *found = PyList_GET_ITEM(PyTuple_GET_ITEM(texts, c), i);
            if (!PyBytes_CheckExact(found) || !PyBytes_GET_SIZE(found)) goto left;
            if (!is_ascii(PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found))) goto left;
            if (put_sized(&b, found)) goto failed;
        }
        if (causes == Py_None)
            *b.at++ = 0;
        else {
            PyObject *found = PyList_GET_ITEM(causes, i);
            if (!PyBytes_CheckExact(found) || !is_ascii(PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found))) goto left;
            if (put_sized(&b, found)) goto failed;
        }
        if (room(&b, 32)) goto failed;
        if (sequences == Py_None)
            *b.at++ = 0;
        else {
            PyObject *found = PyList_GET_ITEM(sequences, i);
            int64_t number, high;
            if (!PyBytes_CheckExact(found) || PyBytes_GET_SIZE(found) != SEQUENCE_BYTES) goto left;
            if (digits(PyBytes_AS_STRING(found), 1, &high) || digits(PyBytes_AS_STRING(found) + 1, 18, &number)) goto left;
            if (high > 8) goto left; /* near the end of 64 bits */
            *b.at++ = 2;
            put_little(&b, high * 1000000000000000000 + number);
        }
        if (tags == Py_None)
            *b.at++ = 0;
        else {
            PyObject *found = PyList_GET_ITEM(tags, i);
            if (!PyBytes_CheckExact(found)) goto left;
            if (room(&b, PyBytes_GET_SIZE(found) + 32)) goto failed;
            put(&b, PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found));
        }
        if (kept_count) {
            if (room(&b, 32)) goto failed;
            put_long(&b, kept_count);
            for (Py_ssize_t c = 0; c < kept_count; c++) {
                PyObject *found = PyList_GET_ITEM(PyTuple_GET_ITEM(kept, c), i);
                if (!PyBytes_CheckExact(found)) goto left;
                if (put_sized(&b, found)) goto failed;
            }
        }
        if (room(&b, 32)) goto failed;
        *b.at++ = 0;
        if (key == Py_None)
            *b.at++ = 0;
        else {
            if (!PyBytes_CheckExact(key)) goto left;
            *b.at++ = 2;
            if (put_sized(&b, key)) goto failed;
        }
        if (!PyBytes_CheckExact(value) || PyBytes_GET_SIZE(value) < frame) goto left;
        if (put_sized(&b, value) || room(&b, PyBytes_GET_SIZE(value) + 32)) goto failed;
        put(&b, PyBytes_AS_STRING(value) + frame, PyBytes_GET_SIZE(value) - frame);
        put_little(&b, offset);
    }
    return finished(&b);
left:
    PyMem_Free(b.start);
    Py_RETURN_NONE;
failed:
    PyMem_Free(b.start);
    return NULL;
}

/* ---- records of replay ---- */

/* header_lists(names, columns, rows) -> for each row a list of (name, value) */
static PyObject *header_lists(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyTuple_CheckExact(args[0]) || !PyList_CheckExact(args[1]))
        return PyErr_SetString(PyExc_TypeError, "header_lists takes a tuple of names, a list of columns, rows"), NULL;
    PyObject *names = args[0], *columns = args[1];
    Py_ssize_t rows = PyLong_AsSsize_t(args[2]), width = PyTuple_GET_SIZE(names);
    if (rows < 0 && PyErr_Occurred()) return NULL;
    for (Py_ssize_t c = 0; c < width; c++)
        if (PyList_GET_SIZE(columns) != width || !is_column(PyList_GET_ITEM(columns, c), rows, 0))
            return PyErr_SetString(PyExc_ValueError, "header_lists: a column has fewer rows"), NULL;
    PyObject *made = PyList_New(rows);
    for (Py_ssize_t i = 0; made && i < rows; i++) {
        PyObject *row = PyList_New(width);
        if (!row) Py_CLEAR(made);
        else PyList_SET_ITEM(made, i, row);
        for (Py_ssize_t c = 0; made && c < width; c++) {
            PyObject *value = PyList_GET_ITEM(PyList_GET_ITEM(columns, c), i), *header = NULL;
            /* The tuple of the row before is taken again where its value is the same object: constants are. */
            if (i && value == PyList_GET_ITEM(PyList_GET_ITEM(columns, c), i - 1))
                header = Py_NewRef(PyList_GET_ITEM(PyList_GET_ITEM(made, i - 1), c));
            else
                header = PyTuple_Pack(2, PyTuple_GET_ITEM(names, c), value);
            if (!header) Py_CLEAR(made);
            else PyList_SET_ITEM(row, c, header);
        }
    }
    return made;
}

static int put_counted(buffer *b, PyObject *value) {
    if (value == Py_None) {
        if (room(b, 8)) return -1;
        put_big(b, -1);
        return 0;
    }
    if (!PyBytes_CheckExact(value)) return 1;
    if (room(b, PyBytes_GET_SIZE(value) + 8)) return -1;
    put_big(b, PyBytes_GET_SIZE(value));
    put(b, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    return 0;
}

/* canonical_rows(keys, values, names, columns) -> their canonical bytes; names are bytes with their length */
static PyObject *canonical_rows(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 4 || !PyList_CheckExact(args[0]) || !PyTuple_CheckExact(args[2]) || !PyList_CheckExact(args[3]))
        Py_RETURN_NONE;
    PyObject *keys = args[0], *values = args[1], *names = args[2], *columns = args[3];
    Py_ssize_t rows = PyList_GET_SIZE(keys), width = PyTuple_GET_SIZE(names);
    if (PyList_GET_SIZE(columns) != width || !is_column(values, rows, 0)) Py_RETURN_NONE;
    for (Py_ssize_t c = 0; c < width; c++)
        if (!is_column(PyList_GET_ITEM(columns, c), rows, 0) || !PyBytes_CheckExact(PyTuple_GET_ITEM(names, c)))
            Py_RETURN_NONE;
    buffer b = {NULL, NULL, NULL};
    int failed = room(&b, rows * 512 + 64);
    for (Py_ssize_t i = 0; !failed && i < rows; i++) {
        if ((failed = put_counted(&b, PyList_GET_ITEM(keys, i)))) break;
        if ((failed = put_counted(&b, PyList_GET_ITEM(values, i)))) break;
        if ((failed = room(&b, 8))) break;
        put_big(&b, width);
        for (Py_ssize_t c = 0; !failed && c < width; c++) {
            PyObject *name = PyTuple_GET_ITEM(names, c);
            if ((failed = room(&b, PyBytes_GET_SIZE(name)))) break;
            put(&b, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name));
            failed = put_counted(&b, PyList_GET_ITEM(PyList_GET_ITEM(columns, c), i));
        }
    }
    if (!failed) return finished(&b);
    PyMem_Free(b.start);
    if (failed < 0) return NULL;
    Py_RETURN_NONE;
}

/* format_times(nanoseconds, second_text) -> their texts; second_text gives that of a second, up to the fraction */
static PyObject *format_times(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyList_CheckExact(args[0])) Py_RETURN_NONE;
    Py_ssize_t rows = PyList_GET_SIZE(args[0]);
    char text[TIME_BYTES];
    int64_t before = 0, number;
    int known = 0;
    PyObject *made = PyList_New(rows);
    for (Py_ssize_t i = 0; made && i < rows; i++) {
        if (number_of(PyList_GET_ITEM(args[0], i), &number)) goto left;
        int64_t second = number / 1000000000, fraction = number % 1000000000;
        if (fraction < 0) fraction += 1000000000, second--;
        if (!known || second != before) {
            PyObject *argument = PyLong_FromLongLong(second);
            PyObject *found = argument ? PyObject_CallOneArg(args[1], argument) : NULL;
            Py_XDECREF(argument);
            if (!found) {
                Py_CLEAR(made);
                break;
            }
            int fits = PyUnicode_CheckExact(found) && PyUnicode_IS_COMPACT_ASCII(found) &&
                       PyUnicode_GET_LENGTH(found) == SECOND_BYTES - 1;
            if (fits) memcpy(text, PyUnicode_DATA(found), SECOND_BYTES - 1);
            Py_DECREF(found);
            if (!fits) goto left;
            known = 1, before = second;
        }
        text[SECOND_BYTES - 1] = '.';
        for (int at = TIME_BYTES - 2; at >= SECOND_BYTES; at--) text[at] = (char)('0' + fraction % 10), fraction /= 10;
        text[TIME_BYTES - 1] = 'Z';
        if (appended(made, i, PyBytes_FromStringAndSize(text, TIME_BYTES))) Py_CLEAR(made);
    }
    return made;
left:
    Py_DECREF(made);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"format_times", (PyCFunction)(void (*)(void))format_times, METH_FASTCALL, NULL},
    {"gather", gather, METH_O, NULL},
    {"write_rows", (PyCFunction)(void (*)(void))write_rows, METH_FASTCALL, NULL},
    {"header_lists", (PyCFunction)(void (*)(void))header_lists, METH_FASTCALL, NULL},
    {"canonical_rows", (PyCFunction)(void (*)(void))canonical_rows, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__native(void) {
    offset_name = PyUnicode_InternFromString("offset");
    timestamp_name = PyUnicode_InternFromString("timestamp");
    key_name = PyUnicode_InternFromString("key");
    value_name = PyUnicode_InternFromString("value");
    headers_name = PyUnicode_InternFromString("headers");
    if (!offset_name || !timestamp_name || !key_name || !value_name || !headers_name) return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "ABI", ABI)) Py_CLEAR(made);
    return made;
}

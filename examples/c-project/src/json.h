#ifndef JSON_H
#define JSON_H
#include <stddef.h>

/* Whether the text is one JSON value (RFC 8259, at most 64 deep); if not, *where is the offset of the first wrong byte. */
int json_valid(const char *text, size_t length, size_t *where);
#endif

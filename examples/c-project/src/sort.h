#ifndef SORT_H
#define SORT_H
#include <stddef.h>

/* Merge sort: stable. 0, or -1 without memory. */
int sort_stable(void *items, size_t count, size_t size, int (*compare)(const void *, const void *));
#endif

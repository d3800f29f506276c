#ifndef HASHMAP_H
#define HASHMAP_H
#include <stddef.h>

/* Strings to pointers: open addressing, linear probing, no tombstones. */
struct hashmap_slot {
  char *key;
  void *value;
};
struct hashmap {
  struct hashmap_slot *slots;
  size_t capacity, count;
};

int hashmap_set(struct hashmap *m, const char *key, void *value); /* 0, or -1 without memory */
void *hashmap_get(const struct hashmap *m, const char *key);      /* NULL: not there */
int hashmap_remove(struct hashmap *m, const char *key);           /* 1: it was there */
void hashmap_free(struct hashmap *m);
#endif

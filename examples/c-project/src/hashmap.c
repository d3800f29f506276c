#include "hashmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t home(const struct hashmap *m, const char *key) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (; *key; key++) h = (h ^ (unsigned char)*key) * 1099511628211u;
  return h & (m->capacity - 1);
}

/* Where the key is, or the free slot where it would go. */
static size_t find(const struct hashmap *m, const char *key) {
  size_t i = home(m, key);
  while (m->slots[i].key && strcmp(m->slots[i].key, key) != 0) i = (i + 1) & (m->capacity - 1);
  return i;
}

static int grow(struct hashmap *m) {
  struct hashmap bigger = {.capacity = m->capacity ? m->capacity * 2 : 16, .count = m->count};
  bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
  if (!bigger.slots) return -1;
  for (size_t i = 0; i < m->capacity; i++)
    if (m->slots[i].key) bigger.slots[find(&bigger, m->slots[i].key)] = m->slots[i];
  free(m->slots);
  *m = bigger;
  return 0;
}

int hashmap_set(struct hashmap *m, const char *key, void *value) {
  if (m->count * 4 >= m->capacity * 3 && grow(m)) return -1;
  struct hashmap_slot *slot = &m->slots[find(m, key)];
  if (!slot->key) {
    size_t n = strlen(key) + 1;
    if (!(slot->key = malloc(n))) return -1;
    memcpy(slot->key, key, n);
    m->count++;
  }
  slot->value = value;
  return 0;
}

void *hashmap_get(const struct hashmap *m, const char *key) {
  return m->capacity ? m->slots[find(m, key)].value : NULL;
}

int hashmap_remove(struct hashmap *m, const char *key) {
  if (!m->capacity) return 0;
  size_t hole = find(m, key), mask = m->capacity - 1;
  if (!m->slots[hole].key) return 0;
  free(m->slots[hole].key);
  /* Those behind it that would no longer be found move up into the hole. */
  for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
    if (((i - home(m, m->slots[i].key)) & mask) < ((i - hole) & mask)) continue;
    m->slots[hole] = m->slots[i];
    hole = i;
  }
  m->slots[hole] = (struct hashmap_slot){0};
  m->count--;
  return 1;
}

void hashmap_free(struct hashmap *m) {
  for (size_t i = 0; i < m->capacity; i++) free(m->slots[i].key);
  free(m->slots);
  *m = (struct hashmap){0};
}

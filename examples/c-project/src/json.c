#include "json.h"

#include <string.h>

struct reader {
  const char *at, *end;
  int depth;
};

static int value(struct reader *r);

static void space(struct reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static int take(struct reader *r, char c) {
  if (r->at == r->end || *r->at != c) return 0;
  r->at++;
  return 1;
}

static int digits(struct reader *r) {
  const char *from = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > from;
}

static int number(struct reader *r) {
  take(r, '-');
  if (!take(r, '0') && !digits(r)) return 0;
  if (take(r, '.') && !digits(r)) return 0;
  if (take(r, 'e') || take(r, 'E')) {
    if (!take(r, '+')) take(r, '-');
    if (!digits(r)) return 0;
  }
  return 1;
}

static int hex4(struct reader *r) {
  for (int i = 0; i < 4; i++, r->at++)
    if (r->at == r->end || !*r->at || !strchr("0123456789abcdefABCDEF", *r->at)) return 0;
  return 1;
}

static int string(struct reader *r) {
  if (!take(r, '"')) return 0;
  while (r->at < r->end) {
    if (take(r, '"')) return 1;
    if ((unsigned char)*r->at < 0x20) return 0;
    if (take(r, '\\')) {
      if (take(r, 'u')) {
        if (!hex4(r)) return 0;
      } else if (r->at == r->end || !*r->at || !strchr("\"\\/bfnrt", *r->at)) {
        return 0;
      } else {
        r->at++;
      }
    } else {
      r->at++;
    }
  }
  return 0;
}

static int word(struct reader *r, const char *w) {
  for (; *w; w++)
    if (!take(r, *w)) return 0;
  return 1;
}

static int list(struct reader *r, char close, int named) {
  r->at++;
  space(r);
  if (take(r, close)) return 1;
  do {
    space(r);
    if (named) {
      if (!string(r)) return 0;
      space(r);
      if (!take(r, ':')) return 0;
    }
    if (!value(r)) return 0;
    space(r);
  } while (take(r, ','));
  return take(r, close);
}

static int value(struct reader *r) {
  space(r);
  if (r->at == r->end || r->depth == 64) return 0;
  r->depth++;
  int good;
  switch (*r->at) {
    case '{': good = list(r, '}', 1); break;
    case '[': good = list(r, ']', 0); break;
    case '"': good = string(r); break;
    case 't': good = word(r, "true"); break;
    case 'f': good = word(r, "false"); break;
    case 'n': good = word(r, "null"); break;
    default: good = number(r);
  }
  r->depth--;
  return good;
}

int json_valid(const char *text, size_t length, size_t *where) {
  struct reader r = {text, text + length, 0};
  int good = value(&r);
  if (good) {
    space(&r);
    good = r.at == r.end;
  }
  if (where) *where = (size_t)(r.at - text);
  return good;
}

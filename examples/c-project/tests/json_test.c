#include "json.h"

#include <string.h>

#include "check.h"

static const char *good[] = {"0", "-0.5e+10", "\"\"", "[]", " { } ", "[1, [2, {\"a\": null}], true]", "\"\\u00e9\\n\"", "{\"a\":{\"b\":[false]}}"};
static const char *bad[] = {"", "01", "1.", "-", "[1,]", "{\"a\" 1}", "{a:1}", "\"\\x\"", "\"\\u12g4\"", "\"open", "tru", "[1] 2", "[", "\"\t\""};

int main(void) {
  size_t where;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(json_valid(good[i], strlen(good[i]), NULL));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!json_valid(bad[i], strlen(bad[i]), NULL));
  CHECK(!json_valid("[1, x]", 6, &where) && where == 4);
  char deep[4096];
  memset(deep, '[', sizeof deep);
  CHECK(!json_valid(deep, sizeof deep, NULL));
  /* No prefix of a valid object is valid, and none is read beyond its end. */
  const char *text = "{\"key\": [1.5e3, \"\\u0041\", {\"x\": [true, false, null]}]}";
  for (size_t n = 0; n < strlen(text); n++) CHECK(!json_valid(text, n, NULL));
  CHECK(json_valid(text, strlen(text), NULL));
  return all_well("json");
}

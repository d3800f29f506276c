#!/bin/sh
# Run in a builder of this image, it shows that what jobs rely on is there: compiles a program and runs it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '#include <stdio.h>\nint main(void) { puts("a compiler that works"); return 0; }\n' >"$dir/a.c"
printf 'a: a.c\n\tgcc -Wall -o $@ $<\n' >"$dir/Makefile"
make -s -C "$dir" a
[ "$("$dir/a")" = "a compiler that works" ]
echo "general: fine on $(uname -m), $(gcc -dumpversion)"

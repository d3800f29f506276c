#!/bin/sh
# Run in a builder of this image, it shows that images can be built there: builds one, and one on top of that.
set -eu
if [ "${1:-}" != inside ]; then
  ids=0
  while read -r _ _ count; do ids=$((ids + count)); done </proc/self/uid_map
  echo "root:0:$ids" >/etc/subuid
  echo "root:0:$ids" >/etc/subgid
  exec unshare --user --map-users="0,0,$ids" --map-groups="0,0,$ids" --setuid 0 --setgid 0 --mount /bin/sh "$0" inside
fi
export _CONTAINERS_USERNS_CONFIGURED=done
mkdir -p /var/lib/containers
mount -t tmpfs smoke /var/lib/containers
dir=$(mktemp -d)
echo one >"$dir/word"
printf 'FROM scratch\nCOPY word /word\n' >"$dir/Dockerfile"
buildah build --quiet --isolation chroot --tag localhost/smoke:1 "$dir" >/dev/null
printf 'FROM localhost/smoke:1\nCOPY word /again\n' >"$dir/Dockerfile"
buildah build --quiet --isolation chroot --tag localhost/smoke:2 "$dir" >/dev/null
echo "image-builder: fine, $(buildah --version)"

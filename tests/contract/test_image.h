#pragma once
// An image for tests, without root and without a registry: an OCI layout with busybox in it.
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "os/file.h"
#include "os/process.h"

namespace mayfly::testing_support {

// Makes the layout in `directory` (which must exist) and returns a reference to it, "oci:…". The image has busybox with
// all its applets in /bin, a user "worker" (1000), ENV FROM_IMAGE=yes, and a file /image-file owned by its root.
inline Result<std::string> make_busybox_image(const std::string& directory) {
  static constexpr const char* script = R"sh(
set -eu
busybox=$(command -v busybox) || { echo "busybox-static is not installed" >&2; exit 1; }
mkdir -p root/bin root/etc root/tmp root/var/tmp root/root layout/blobs/sha256
cp "$busybox" root/bin/busybox
for applet in $("$busybox" --list); do [ "$applet" = busybox ] || ln -sf busybox "root/bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\n' > root/etc/passwd
printf 'root:x:0:\nworker:x:1000:\n' > root/etc/group
ln -s ../run/elsewhere root/etc/resolv.conf
echo from-the-image > root/image-file
chmod 1777 root/tmp root/var/tmp
tar --owner=0 --group=0 --numeric-owner --mtime=@0 --sort=name -C root -cf layer.tar .
put() { s=$(sha256sum < "$1" | cut -d' ' -f1); cp "$1" "layout/blobs/sha256/$s"; echo "$s"; }
layer=$(put layer.tar)
printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin","FROM_IMAGE=yes"],"User":""},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" > config.json
config=$(put config.json)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$config" "$(stat -c%s config.json)" "$layer" "$(stat -c%s layer.tar)" > manifest.json
manifest=$(put manifest.json)
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"test"}}]}' "$manifest" "$(stat -c%s manifest.json)" > layout/index.json
printf '{"imageLayoutVersion":"1.0.0"}' > layout/oci-layout
)sh";
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = {"sh", "-c", script}, .directory = directory}));
  if (!done.ok()) return fail(ErrorCode::unavailable, "cannot make the test image: " + done.err, directory);
  return "oci:" + directory + "/layout:test";
}

// One image for the whole program: making it takes longer than a test.
class SharedImage : public testing::Environment {
 public:
  static const Result<std::string>& reference() {
    static SharedImage image;
    return image.reference_;
  }

 private:
  SharedImage() : reference_(fail(ErrorCode::unavailable, "no temporary directory")) {
    if (mkdtemp(directory_.data())) reference_ = make_busybox_image(directory_);
  }
  ~SharedImage() override { (void)os::remove_tree(directory_); }
  std::string directory_ = "/tmp/mayfly-image-XXXXXX";
  Result<std::string> reference_;
};

}  // namespace mayfly::testing_support

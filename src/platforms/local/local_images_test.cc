#include "platforms/local/local_images.h"

#include <gtest/gtest.h>

namespace mayfly::local {
namespace {

TEST(LocalImages, AnImageFromARegistryKeepsANameOfItsOwn) {
  EXPECT_EQ(kept_name("docker://127.0.0.1:5000/a/b:1"), "localhost/mayfly-fetched/127.0.0.1-5000/a/b:1");
  EXPECT_EQ(kept_name("docker://[::1]:5000/a"), "localhost/mayfly-fetched/1--5000/a:latest");
  EXPECT_EQ(kept_name("docker://debian"), "localhost/mayfly-fetched/debian:latest");
  EXPECT_EQ(kept_name("docker://debian:12"), "localhost/mayfly-fetched/debian:12");
  EXPECT_EQ(kept_name("docker://example.org/a@sha256:00"), "");
  EXPECT_EQ(kept_name("oci:/tmp/layout:test"), "");
}

}  // namespace
}  // namespace mayfly::local

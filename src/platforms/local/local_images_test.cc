#include "platforms/local/local_images.h"

#include <gtest/gtest.h>

namespace mayfly::local {
namespace {

TEST(LocalImages, OnlyThisHostsOwnRegistryMayDoWithoutTls) {
  for (const char* own : {"docker://127.0.0.1:5000/a:1", "docker://localhost/a", "docker://localhost:5000/a/b",
                          "docker://[::1]:5000/a", "docker://127.1.2.3/a"})
    EXPECT_TRUE(is_loopback_registry(own)) << own;
  for (const char* other :
       {"docker://127.evil.example/a", "docker://localhost.evil.example/a", "docker://example.org/localhost/a",
        "docker://localhost", "docker://debian:12", "docker://128.0.0.1/a", "docker://127.0.0.1.example/a",
        "oci:localhost/a", "docker://localhost@evil.example/a"})
    EXPECT_FALSE(is_loopback_registry(other)) << other;
}

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

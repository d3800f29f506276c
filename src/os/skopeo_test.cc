#include "os/skopeo.h"

#include <gtest/gtest.h>

namespace mayfly::os {
namespace {

Finish failed(const std::string& message) {
  Finish f;
  f.exit_code = 1;
  f.err = "Getting image source signatures\ntime=\"2026-01-01T00:00:00Z\" level=fatal msg=\"" + message + "\"\n";
  return f;
}

TEST(Skopeo, OnlyThisHostsOwnRegistryMayDoWithoutTls) {
  for (const char* own : {"docker://127.0.0.1:5000/a:1", "docker://localhost/a", "docker://localhost:5000/a/b",
                          "docker://[::1]:5000/a", "docker://127.1.2.3/a"})
    EXPECT_TRUE(is_loopback_registry(own)) << own;
  for (const char* other :
       {"docker://127.evil.example/a", "docker://localhost.evil.example/a", "docker://example.org/localhost/a",
        "docker://localhost", "docker://debian:12", "docker://128.0.0.1/a", "docker://127.0.0.1.example/a",
        "oci:localhost/a", "docker://localhost@evil.example/a"})
    EXPECT_FALSE(is_loopback_registry(other)) << other;
}

TEST(Skopeo, ItsMessageIsWhatAPersonReads) {
  EXPECT_EQ(skopeo_message(failed("reading \\\"a\\\": no")), "reading \"a\": no");
}

TEST(Skopeo, WhatItSaysTellsWhetherToTryAgain) {
  auto code = [](const char* message) { return skopeo_error("x", "y", failed(message)).code; };
  EXPECT_EQ(code("trying to reuse blob: unauthorized: authentication required"), ErrorCode::denied);
  EXPECT_EQ(code("initiating layer upload: denied: no push access"), ErrorCode::denied);
  EXPECT_EQ(code("too many requests to registry"), ErrorCode::exhausted);
  EXPECT_EQ(code("pinging container registry: dial tcp 10.0.0.1:443: connect: connection refused"),
            ErrorCode::unavailable);
  EXPECT_EQ(code("reading manifest 1 in 127.0.0.1:42903/a: manifest unknown"), ErrorCode::not_found)
      << "a port, no status";
  EXPECT_EQ(code("dial tcp: lookup r.example: no such host"), ErrorCode::unavailable);
  EXPECT_EQ(code("reading manifest 1 in r.example/a: manifest unknown"), ErrorCode::not_found);
}

}  // namespace
}  // namespace mayfly::os

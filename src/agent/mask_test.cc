#include "agent/mask.h"

#include <gtest/gtest.h>

#include <random>

namespace mayfly::agent {
namespace {

// What masking must mean, written without any streaming: leftmost, then longest.
std::string reference(const std::vector<std::string>& patterns, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t longest = 0;
    for (const auto& p : patterns)
      if (text.compare(i, p.size(), p) == 0) longest = std::max(longest, p.size());
    if (longest == 0)
      out += text[i++];
    else
      out += "***", i += longest;
  }
  return out;
}

std::string in_pieces(const std::vector<std::string>& patterns, const std::string& text, std::mt19937& random) {
  Masker masker(patterns);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t n = std::min<std::size_t>(text.size() - at, random() % 7);
    masker.feed(std::string_view(text).substr(at, n), out);
    at += n;
  }
  masker.finish(out);
  return out;
}

TEST(Mask, AnyCutsGiveWhatTheWholeGives) {
  std::mt19937 random(20261122);
  auto text = [&](std::size_t most) {
    std::string s;
    for (std::size_t n = 1 + random() % most; n > 0; --n)
      s += static_cast<char>('a' + random() % 2);  // two letters: much overlap
    return s;
  };
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::string> patterns;
    for (auto n = 1 + random() % 3; n > 0; --n) patterns.push_back(text(8));
    auto whole = text(40);
    ASSERT_EQ(in_pieces(patterns, whole, random), reference(patterns, whole)) << whole;
  }
}

TEST(Mask, ACutSecretNeverLeaksItsBeginning) {
  Masker masker({"hunter22"});
  std::string out;
  masker.feed("password: hunt", out);
  EXPECT_EQ(out, "password: ");
  masker.feed("er22!\n", out);
  EXPECT_EQ(out, "password: ***!\n");
}

TEST(Mask, WhatOnlyBeganLikeASecretComesThrough) {
  Masker masker({"hunter22"});
  std::string out;
  masker.feed("hunter", out);
  EXPECT_EQ(out, "");
  masker.finish(out);
  EXPECT_EQ(out, "hunter");
}

TEST(Mask, LinesOfASecretAndShortValues) {
  auto patterns = mask_patterns({{"KEY", "line one\r\nxyz\nline two\n"}, {"PIN", "123"}});
  EXPECT_EQ(mask_all(patterns, "a line one b line two xyz 123"), "a *** b *** xyz 123");
  EXPECT_EQ(mask_all(patterns, "line one\r\nxyz\nline two\n"), "***");
}

TEST(Mask, BinaryIsLeftAlone) {
  std::string bytes;
  for (int i = 0; i < 1024; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(mask_all({"secret"}, bytes), bytes);
}

}  // namespace
}  // namespace mayfly::agent

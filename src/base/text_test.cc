#include "base/text.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

TEST(ParseBytes, TakesUnitsOfBothKinds) {
  EXPECT_EQ(parse_bytes("4GiB").value(), 4LL << 30);
  EXPECT_EQ(parse_bytes("512Mi").value(), 512LL << 20);
  EXPECT_EQ(parse_bytes("10MB").value(), 10'000'000);
  EXPECT_EQ(parse_bytes("1.5 GiB").value(), 3LL << 29);
  EXPECT_EQ(parse_bytes("77").value(), 77);
}

TEST(ParseBytes, RefusesNonsense) {
  for (auto bad : {"", "GiB", "-1", "4 GiBs", "1e99GiB", "inf", "nan"}) EXPECT_FALSE(parse_bytes(bad)) << bad;
}

TEST(ParseDuration, AddsParts) {
  EXPECT_EQ(parse_duration("1h30m").value(), std::chrono::minutes(90));
  EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_duration("0s").value(), seconds(0));
}

TEST(ParseDuration, ABareNumberIsAGuess) {
  for (auto bad : {"", "10", "-1s", "5 parsecs", "s", "1000000d"}) EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  EXPECT_EQ(nearest("imge", {"image", "warm"}), "image");
  EXPECT_EQ(nearest("zzzz", {"image", "warm"}), std::nullopt);
}

TEST(Base64, RoundTripsAndRefuses) {
  for (std::string s : {"", "a", "ab", "abc", "abcd"}) EXPECT_EQ(base64_decode(base64_encode(s)), s);
  EXPECT_EQ(base64_encode("hello"), "aGVsbG8=");
  for (auto bad : {"a", "ab=c", "====", "a*aa"}) EXPECT_EQ(base64_decode(bad), std::nullopt) << bad;
}

TEST(Utf8, FindsTheFirstIllFormedByte) {
  EXPECT_EQ(ill_formed_utf8("a\u00e9\u20ac\U0001F600"), std::string::npos);
  EXPECT_EQ(ill_formed_utf8("ab\xff"), 2u);
  EXPECT_EQ(ill_formed_utf8("\xe2\x82"), 0u);          // cut off
  EXPECT_EQ(ill_formed_utf8("\xc0\xaf"), 0u);          // overlong
  EXPECT_EQ(ill_formed_utf8("x\xed\xa0\x80"), 1u);     // a surrogate
}

TEST(ShellQuote, QuotesOnlyWhatNeedsIt) { EXPECT_EQ(shell_quote({"echo", "it's", ""}), "echo 'it'\\''s' ''"); }

TEST(DnsLabel, Limits) {
  EXPECT_TRUE(is_dns_label("general-17"));
  for (auto bad : {"", "-a", "a-", "A", "a_b", "a.b"}) EXPECT_FALSE(is_dns_label(bad)) << bad;
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
}

TEST(FormatDuration, ReadsNaturally) {
  EXPECT_EQ(format_duration(Duration(1500)), "1.5 ms");
  EXPECT_EQ(format_duration(seconds(250)), "4 min 10 s");
}

}  // namespace
}  // namespace mayfly

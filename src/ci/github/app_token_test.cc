#include "ci/github/app_token.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "ci/github/test_key.h"

namespace mayfly::github {
namespace {

std::string decoded(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  return base64_decode(text).value();
}

TEST(AppToken, HasTheClaimsThatGitHubAsksForAndItsKeysSignature) {
  test::Key key;
  auto now = from_micros(1'700'000'000'999'999);
  auto token = app_token("Iv1.abc", key.pem(), now);
  ASSERT_TRUE(token) << token.error().text();
  auto parts = split(*token, '.');
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(boost::json::parse(decoded(parts[0])), (boost::json::object{{"alg", "RS256"}, {"typ", "JWT"}}));
  auto claims = boost::json::parse(decoded(parts[1])).as_object();
  EXPECT_EQ(claims.at("iat"), 1'700'000'000 - 60);
  EXPECT_LE(claims.at("exp").as_int64() - claims.at("iat").as_int64(), 600);
  EXPECT_EQ(claims.at("iss"), "Iv1.abc");
  EXPECT_TRUE(key.signed_by(parts[0] + "." + parts[1], decoded(parts[2])));
  EXPECT_FALSE(test::Key().signed_by(parts[0] + "." + parts[1], decoded(parts[2])));
}

TEST(AppToken, KeysThatAreNone) {
  test::Key key;
  auto half = key.pem().substr(0, key.pem().size() / 2);
  for (const auto& pem : {std::string(), std::string("secret-value"), half, test::elliptic_key()}) {
    auto refused = app_token("1", pem, Time{});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
    EXPECT_EQ(refused.error().text().find("secret-value"), std::string::npos);
  }
}

TEST(AppToken, Base64WithoutWhatUrlsWouldBreak) {
  EXPECT_EQ(base64_url("\xfb\xff"), "-_8");
  EXPECT_EQ(base64_url("a"), "YQ");
  EXPECT_EQ(base64_url(""), "");
}

}  // namespace
}  // namespace mayfly::github

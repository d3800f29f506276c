// Webhooks as they reach the daemon, one after the other at one connector: whether it checks who sent them, takes each
// once, and never lets a job go back to an earlier state. A delivery is header lines, an empty line and a body; the
// next begins after a line "----". The signature "good" stands for the right one, which no fuzzer would find.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>

#include "base/text.h"
#include "ci/github/connector.h"

namespace {

using namespace mayfly;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view secret = "It's a Secret to Everybody";
constexpr std::size_t max_deliveries = 8;

class NoTime final : public Clock {
 public:
  Time now() const override { return from_micros(1'700'000'000'000'000); }  // 2023-11-14T22:13:20Z, as the seeds say
};
class OneSecret final : public SecretStore {
 public:
  Result<std::string> get(const std::string&) override { return std::string(secret); }
};

std::string signature_of(std::string_view body) {
  unsigned char mac[32];
  unsigned n = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(body.data()), body.size(), mac, &n);
  return "sha256=" + to_hex({reinterpret_cast<char*>(mac), n});
}

std::string value_of(const Headers& headers, std::string_view name) {
  for (const auto& [k, v] : headers)
    if (k == name) return v;
  return {};
}

// By the words of the documentation: hexadecimal digits in either case, spaces around it do not matter.
bool fits(std::string given, std::string_view body) {
  for (char& c : given) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return trim(given) == signature_of(body);
}

struct Delivery {
  Headers headers;
  std::string body;
};

Delivery read(std::string_view text) {
  Delivery out;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) break;
    auto colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    out.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  out.body = text;
  for (auto& [name, value] : out.headers)
    if (name == "x-hub-signature-256" && value == "good") value = signature_of(out.body);
  return out;
}

// The seeds are of these two pools' account.
std::vector<std::unique_ptr<Ci>> pools(github::Connectors& connectors) {
  std::vector<std::unique_ptr<Ci>> out;
  for (const char* place : {"acme", "acme/site"}) {
    auto made = connectors.make({{"url", std::string("http://127.0.0.1:9/") + place},
                                 {"token", "t"},
                                 {"labels", "gpu"},
                                 {"webhook_secret", "hook"}});
    MAYFLY_CHECK(made);
    out.push_back(std::move(*made));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  NoTime clock;
  OneSecret secrets;
  github::Connectors connectors(secrets, clock);
  auto cis = pools(connectors);
  std::map<std::pair<Ci*, std::string>, CiPhase> phases;
  std::set<std::pair<Ci*, std::string>> taken;
  constexpr std::string_view mark = "\n----\n";
  for (std::size_t n = 0; n < max_deliveries; ++n) {
    auto end = text.find(mark);
    auto d = read(text.substr(0, end));
    bool signed_well = fits(value_of(d.headers, "x-hub-signature-256"), d.body);
    for (auto& ci : cis) {
      auto news = ci->webhooks()->receive(d.headers, d.body);
      MAYFLY_CHECK(signed_well || (!news && news.error().code == ErrorCode::denied));
      if (!news) continue;
      auto delivery = std::pair(ci.get(), value_of(d.headers, "x-github-delivery"));
      for (const auto& j : news->jobs) {
        MAYFLY_CHECK(!j.id.empty() && j.labels.size() <= 100);
        MAYFLY_CHECK(taken.insert(delivery).second);  // one job in each, and each once
        auto [known, first] = phases.try_emplace({ci.get(), j.id}, j.phase);
        MAYFLY_CHECK(first || known->second <= j.phase);
        known->second = j.phase;
      }
      if (!news->jobs.empty()) {
        auto again = ci->webhooks()->receive(d.headers, d.body);
        MAYFLY_CHECK(!again && again.error().code == ErrorCode::conflict);
      }
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + mark.size());
  }
  return 0;
}

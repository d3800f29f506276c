#include "app/config_table.h"

#include <algorithm>
#include <charconv>

#include "base/result.h"
#include "base/text.h"

namespace mayfly {
namespace {

using K = ConfigKind;
using S = ConfigSection;
using T = const ConfigTarget&;
using V = const ConfigValue&;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_variable(std::string_view text) {
  return !text.empty() && text.size() <= 200 && !is_digit(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

bool is_pool_name(std::string_view text) { return is_dns_label(text) && text.size() <= 50; }

// A secret's name becomes a variable: npm-token is NPM_TOKEN.
bool is_secret_name(std::string_view text) { return is_dns_label(text) && !is_digit(text[0]); }

bool is_address(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  auto host = text.substr(0, colon), port = text.substr(colon + 1);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  bool fits = std::all_of(host.begin(), host.end(), [&](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || (bracketed && c == ':');
  });
  int number = 0;
  auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  return fits && host.size() <= 253 && !port.empty() && is_digit(port[0]) && ec == std::errc() &&
         end == port.data() + port.size() && number >= 1 && number <= 65535;
}

bool is_image(std::string_view text) {
  return !text.empty() && text.size() <= 1000 && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
}

constexpr ConfigShape name_shape{is_dns_label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
                                 "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"};
constexpr ConfigShape pool_shape{is_pool_name, "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$",
                                 "1 to 50 of a-z, 0-9 and '-', beginning and ending with a letter or digit"};
constexpr ConfigShape secret_shape{
    is_secret_name, "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
    "1 to 63 of a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit"};
constexpr ConfigShape variable_shape{is_variable, "^[A-Za-z_][A-Za-z0-9_]{0,199}$",
                                     "letters, digits and '_', not beginning with a digit"};
constexpr ConfigShape address_shape{is_address, "^(\\[[0-9A-Za-z.:-]+\\]|[0-9A-Za-z.-]+):[0-9]{1,5}$",
                                    "HOST:PORT with a port from 1 to 65535"};
constexpr ConfigShape image_shape{is_image, "^\\S{1,1000}$", "a reference without spaces"};

std::vector<ConfigKey> top_keys() {
  return {
      {S::top,
       "pools",
       K::sections,
       "",
       "",
       "",
       "The pools by name. At least one. A pool's name begins the ids of its builders, which are their hostnames.",
       "",
       nullptr,
       true,
       S::pool,
       {},
       {},
       false,
       &pool_shape},
      {S::top,
       "images",
       K::sections,
       "",
       "",
       "",
       "Images that Mayfly builds from recipes, by name.",
       "",
       nullptr,
       false,
       S::image,
       {},
       {},
       false,
       &name_shape},
      {S::top,
       "secrets",
       K::sections,
       "",
       "",
       "",
       "Where the values of secrets come from, by name. The values themselves are never in this file.",
       "",
       nullptr,
       false,
       S::secret,
       {},
       {},
       false,
       &secret_shape},
      {S::top, "server", K::section, "", "", "",
       "The API over TCP. Without it the daemon listens on the unix socket in its state directory only.", "", nullptr,
       false, S::server},
      {S::top, "keep_jobs", K::duration, "30d", "1m", "3650d", "How long ended jobs and their logs are kept.", "7d",
       [](T t, V v) { t.config->keep_jobs = v.duration; }},
  };
}

std::vector<ConfigKey> image_keys() {
  return {
      {S::image, "recipe", K::path, "", "", "", "The folder with the Dockerfile; relative to this file.",
       "images/general", [](T t, V v) { t.image->recipe = v.text; }, true},
      {S::image,
       "args",
       K::texts,
       "",
       "",
       "",
       "Build arguments: values for the Dockerfile's ARG lines.",
       "{BASE: docker.io/library/debian:bookworm-slim}",
       [](T t, V v) { t.image->args = v.texts; },
       false,
       S::top,
       {},
       {},
       false,
       &variable_shape},
      {S::image, "try", K::later, "", "", "", "", ""},
      {S::image, "approvals", K::later, "", "", "", "", ""},
      {S::image, "rebuild", K::later, "", "", "", "", ""},
      {S::image, "publish", K::later, "", "", "", "", ""},
  };
}

std::vector<ConfigKey> pool_keys() {
  return {
      {S::pool,
       "image",
       K::text,
       "",
       "",
       "",
       "What its builders are made from: a name under `images:`, or a reference: `docker://HOST/NAME:TAG`, "
       "`oci:FOLDER`, `docker-archive:FILE`, or the name of an image in containers-storage, such as "
       "`localhost/general:1`.",
       "general",
       [](T t, V v) { t.pool->image = v.text; },
       true,
       S::top,
       {},
       {},
       false,
       &image_shape},
      {S::pool,
       "ci",
       K::choice,
       "builtin",
       "",
       "",
       "Where its jobs come from. `builtin` is Mayfly's own queue (`mayfly run`). `{builtin: {}}` means the same.",
       "builtin",
       [](T t, V v) { t.pool->ci = v.text; },
       false,
       S::top,
       {"builtin"},
       {"azure-devops", "github", "gitlab", "buildkite", "jenkins", "buildbot"},
       true},
      {S::pool,
       "platform",
       K::choice,
       "local",
       "",
       "",
       "Where its builders live. `local` is this machine.",
       "local",
       [](T t, V v) { t.pool->platform = v.text; },
       false,
       S::top,
       {"local"},
       {"docker", "kubernetes", "ecs"},
       true},
      {S::pool,
       "network",
       K::choice,
       "egress",
       "",
       "",
       "`none`: loopback only. `egress`: outgoing connections only, with no way to this machine's loopback nor to "
       "other builders. `host`: this machine's own network; it gives up isolation and is recorded in the ledger.",
       "none",
       [](T t, V v) { t.pool->network = network_from(v.text).value_or(Network::none); },
       false,
       S::top,
       {"none", "egress", "host"}},
      {S::pool,
       "secrets",
       K::names,
       "",
       "",
       "",
       "Names under `secrets:` that jobs of this pool may ask for.",
       "[npm-token]",
       [](T t, V v) { t.pool->secrets = v.names; },
       false,
       S::top,
       {},
       {},
       false,
       &secret_shape},
      {S::pool, "builders", K::section, "", "", "", "How many builders, and what each may use.", "", nullptr, false,
       S::builders},
      {S::pool, "schedule", K::later, "", "", "", "", ""},
  };
}

std::vector<ConfigKey> builder_keys() {
  return {
      {S::builders, "warm", K::integer, "0", "0", "10000",
       "Builders kept ready ahead of jobs. Each takes one job and is replaced. At most `max`.", "2",
       [](T t, V v) { t.pool->warm = static_cast<int>(v.integer); }},
      {S::builders, "max", K::integer, "10", "1", "100000", "Builders that exist at once, at most.", "20",
       [](T t, V v) { t.pool->max = static_cast<int>(v.integer); }},
      {S::builders, "cpu", K::number, "", "0.01", "4096", "Cores. Not limited when not given.", "2",
       [](T t, V v) { t.pool->limits.cpu = v.number; }},
      {S::builders, "memory", K::size, "4GiB", "16MiB", "64TiB", "Memory, with the workspace in it.", "8GiB",
       [](T t, V v) { t.pool->limits.memory = v.integer; }},
      {S::builders, "disk", K::size, "", "1MiB", "64TiB",
       "The workspace: everything that a job writes. It lives in memory, so it is at most `memory`. "
       "Half of `memory` when not given.",
       "2GiB", [](T t, V v) { t.pool->limits.disk = v.integer; }},
      {S::builders, "pids", K::integer, "4096", "16", "4194304", "Processes and threads at once.", "512",
       [](T t, V v) { t.pool->limits.pids = static_cast<int>(v.integer); }},
      {S::builders, "timeout", K::duration, "1h", "1s", "30d",
       "How long a job may run. A job may ask for less, never for more.", "20m",
       [](T t, V v) { t.pool->limits.timeout = v.duration; }},
      {S::builders, "grace", K::duration, "10s", "100ms", "1h", "Between SIGTERM and SIGKILL, when a job is stopped.",
       "30s", [](T t, V v) { t.pool->limits.grace = v.duration; }},
      {S::builders, "log", K::size, "1GiB", "1KiB", "1TiB",
       "How much of a job's output is kept. The rest is dropped, and the log says so.", "100MiB",
       [](T t, V v) { t.pool->limits.log = v.integer; }},
  };
}

std::vector<ConfigKey> other_keys() {
  return {
      {S::secret,
       "env",
       K::text,
       "",
       "",
       "",
       "The daemon's environment variable that holds the value.",
       "NPM_TOKEN",
       [](T t, V v) { t.secret->env = v.text; },
       false,
       S::top,
       {},
       {},
       false,
       &variable_shape},
      {S::secret, "file", K::path, "", "", "",
       "The file that holds the value; relative to this file. Only its owner may be allowed to read it (chmod 600). "
       "One newline at its end is dropped.",
       "secrets/npm-token", [](T t, V v) { t.secret->file = v.text; }},
      {S::server,
       "listen",
       K::text,
       "",
       "",
       "",
       "Where to listen.",
       "0.0.0.0:8443",
       [](T t, V v) { t.config->server.listen = v.text; },
       false,
       S::top,
       {},
       {},
       false,
       &address_shape,
       {"tls", "tokens"}},
      {S::server,
       "tls",
       K::section,
       "",
       "",
       "",
       "The server's certificate.",
       "",
       nullptr,
       false,
       S::tls,
       {},
       {},
       false,
       nullptr,
       {"listen"}},
      {S::server,
       "tokens",
       K::path,
       "",
       "",
       "",
       "The file of bearer tokens: lines of `NAME SHA256-HEX-OF-TOKEN`; relative to this file.",
       "tokens",
       [](T t, V v) { t.config->server.tokens = v.text; },
       false,
       S::top,
       {},
       {},
       false,
       nullptr,
       {"listen"}},
      {S::tls, "certificate", K::path, "", "", "",
       "PEM file with the certificate and those that signed it; relative to this file.", "tls/server.pem",
       [](T t, V v) { t.config->server.tls_certificate = v.text; }, true},
      {S::tls, "key", K::path, "", "", "", "PEM file with its private key; relative to this file.", "tls/server.key",
       [](T t, V v) { t.config->server.tls_key = v.text; }, true},
  };
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    for (auto* part : {top_keys, image_keys, pool_keys, builder_keys, other_keys})
      for (auto& key : part()) all.push_back(std::move(key));
    return all;
  }();
  return keys;
}

const std::vector<ConfigSectionInfo>& config_sections() {
  static const std::vector<ConfigSectionInfo> sections{
      {S::top, "top", "the top level", "(top level)", "The file as a whole."},
      {S::pool, "pool", "pool", "pools.NAME", "Builders of one kind."},
      {S::builders, "builders", "builders", "pools.NAME.builders",
       "How many builders a pool has, and what each may use."},
      {S::image, "image", "image", "images.NAME",
       "An image that Mayfly builds from its recipe, when the recipe has changed."},
      {S::secret, "secret", "secret", "secrets.NAME",
       "Where one secret's value comes from: exactly one of these keys. It is read anew each time a job needs "
       "it, so a changed value needs no restart.",
       true},
      {S::server, "server", "server", "server", "The API over TCP, with TLS and bearer tokens."},
      {S::tls, "tls", "tls", "server.tls", "Both keys belong together."}};
  return sections;
}

const ConfigSectionInfo& config_section(ConfigSection section) {
  for (const auto& info : config_sections())
    if (info.section == section) return info;
  MAYFLY_CHECK(!"a section without a row");
  return config_sections().front();
}

double config_bound(ConfigKind kind, std::string_view text) {
  if (kind == K::size) {
    auto bytes = parse_bytes(text);
    MAYFLY_CHECK(bytes.has_value());
    return static_cast<double>(*bytes);
  }
  if (kind == K::duration) {
    auto duration = parse_duration(text);
    MAYFLY_CHECK(duration.has_value());
    return static_cast<double>(duration->count());
  }
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  MAYFLY_CHECK(ec == std::errc() && end == text.data() + text.size());
  return number;
}

}  // namespace mayfly

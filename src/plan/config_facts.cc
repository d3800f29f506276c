#include "plan/config_facts.h"

#include <map>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::plan {
namespace {

// Exact, and as they would be written, unlike what is shown of a job: 1 GiB and 1.01 GiB must differ here.
std::string number(double n) { return fmt::format("{}", n); }

std::string bytes(std::int64_t n) {
  std::string_view unit = "B";
  for (std::string_view next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (n == 0 || n % 1024 != 0) break;
    n /= 1024;
    unit = next;
  }
  return fmt::format("{}{}", n, unit);
}

std::string duration(Duration d) {
  constexpr std::pair<std::int64_t, std::string_view> units[] = {
      {86'400'000'000, "d"}, {3'600'000'000, "h"}, {60'000'000, "m"}, {1'000'000, "s"}, {1000, "ms"}, {1, "us"}};
  std::string out;
  auto left = d.count();
  for (auto [size, unit] : units) {
    if (left / size > 0) out += fmt::format("{}{}", left / size, unit);
    left %= size;
  }
  return out.empty() ? "0s" : out;
}

std::string percent(double share) { return number(share * 100) + "%"; }

std::string entry_numbers(const ScheduleEntry& e) {
  std::vector<std::string> parts;
  auto add = [&](std::string_view key, const std::optional<int>& n) {
    if (n) parts.push_back(fmt::format("{} {}", key, *n));
  };
  add("warm", e.warm);
  add("min", e.min);
  add("max", e.max);
  if (e.refresh) parts.emplace_back("refresh idle");
  return join(parts, ", ");
}

// An entry is known by its time, so that one more at the top does not make all others look changed.
void add_schedule(std::vector<Fact>& facts, const PoolSpec& pool) {
  std::map<std::string, std::size_t> seen;
  std::vector<std::string> order;
  for (const auto& e : pool.schedule) {
    auto key = fmt::format("schedule \"{}\" {}", e.cron, e.timezone);
    order.push_back(fmt::format("\"{}\" {}", e.cron, e.timezone));
    auto [known, fresh] = seen.try_emplace(key, facts.size());
    if (fresh)
      facts.push_back({key, entry_numbers(e)});
    else
      facts[known->second].value += "; " + entry_numbers(e);
  }
  // Of entries at the same moment the later in the list counts.
  if (pool.schedule.size() > 1) facts.push_back({"schedule (order)", join(order, ", ")});
}

class Hash {  // FNV-1a, 64 bits
 public:
  void add(std::string_view text) {
    for (unsigned char c : text) state_ = (state_ ^ c) * 0x100000001b3ull;
    state_ = (state_ ^ 0xffu) * 0x100000001b3ull;  // no UTF-8 has this byte: "a","b" is not "ab"
  }
  void add(const std::vector<Fact>& facts) {
    for (const auto& f : facts) add(f.key), add(f.value);
  }
  std::string hex() const { return fmt::format("{:016x}", state_); }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325ull;
};

}  // namespace

std::vector<Fact> facts_of(const PoolSpec& p) {
  const Limits& l = p.limits;
  std::vector<Fact> out{
      {"image", p.image},
      {"ci", p.ci},
      {"platform", p.platform},
      {"network", std::string(to_string(p.network))},
      {"secrets", join(p.secrets, ", ")},
      {"labels", join(p.labels, ", ")},
      {"preference", std::to_string(p.preference)},
      {"weight", number(p.weight)},
      {"price", number(p.price)},
      {"rollout.canary", percent(p.rollout.canary)},
      {"rollout.min_jobs", std::to_string(p.rollout.min_jobs)},
      {"rollout.margin", percent(p.rollout.margin)},
      {"rollout.soak", duration(p.rollout.soak)},
      {"builders.warm", std::to_string(p.warm)},
      {"builders.min", std::to_string(p.min)},
      {"builders.max", std::to_string(p.max)},
      {"builders.cpu", l.cpu == 0 ? "not limited" : number(l.cpu)},
      {"builders.memory", bytes(l.memory)},
      {"builders.disk", bytes(l.disk)},
      {"builders.pids", std::to_string(l.pids)},
      {"builders.timeout", duration(l.timeout)},
      {"builders.grace", duration(l.grace)},
      {"builders.log", bytes(l.log)},
  };
  for (const auto& [key, value] : p.ci_settings) out.push_back({"ci." + key, value});
  add_schedule(out, p);
  return out;
}

std::vector<Fact> facts_of(const ImageSpec& image) {
  std::vector<Fact> out{{"recipe", image.recipe}};
  for (const auto& [name, value] : image.args) out.push_back({"args." + name, value});
  out.push_back({"publish", join(image.publish, ", ")});
  out.push_back({"provides", join(image.provides, ", ")});
  out.push_back({"compression", image.compression});
  auto add = [&](std::string name, std::string value) {
    if (!value.empty()) out.push_back({std::move(name), std::move(value)});
  };
  add("repository", image.repository);
  add("branch", image.branch == ImageSpec().branch ? "" : image.branch);
  add("builder", image.builder);
  add("watch", image.watch == Duration(0) ? "" : duration(image.watch));
  add("watch_base", image.watch_base ? duration(*image.watch_base) : "");
  add("secrets", join(image.secrets, ", "));
  add("try", join(image.attempts, "; "));
  add("forbid", join(image.forbid, ", "));
  add("growth", image.growth == ImageSpec().growth ? "" : number(image.growth));
  add("approvals", image.approvals == 0 ? "" : number(image.approvals));
  add("rebuild", image.rebuild);
  add("platforms", join(image.platforms, ", "));
  add("docker.url", image.docker.url);
  add("docker.certificates", image.docker.certificates);
  add("commit_status.pool", image.commit_status.pool);
  add("commit_status.repository", image.commit_status.repository);
  return out;
}

std::vector<Fact> facts_of(const SecretSpec& secret) {
  std::vector<Fact> out;
  if (!secret.env.empty()) out.push_back({"env", secret.env});
  if (!secret.file.empty()) out.push_back({"file", secret.file});
  return out;
}

std::vector<Fact> facts_of_daemon(const Config& c) {
  std::vector<Fact> out{{"keep_jobs", duration(c.keep_jobs)}};
  auto add = [&](std::string key, const std::string& value) {
    if (!value.empty()) out.push_back({std::move(key), value});
  };
  add("release.key", c.release.key);
  add("release.keep", std::to_string(c.release.keep));
  add("release.patience", duration(c.release.patience));
  for (const auto& [name, p] : c.platforms) {
    auto key = "platforms." + name;
    out.push_back({key + ".max", p.max == 0 ? "not limited" : std::to_string(p.max)});
    out.push_back(
        {key + ".parallel_launches", p.parallel_launches == 0 ? "by itself" : std::to_string(p.parallel_launches)});
    out.push_back({key + ".launches_per_minute",
                   p.launches_per_minute == 0 ? "not limited" : std::to_string(p.launches_per_minute)});
    add(key + ".registries", join(p.registries, ", "));
  }
  add("report.url", c.report.url);
  add("report.secret", c.report.secret);
  add("report.timeout", duration(c.report.timeout));
  add("server.listen", c.server.listen);
  add("server.tls.certificate", c.server.tls_certificate);
  add("server.tls.key", c.server.tls_key);
  add("server.tokens", c.server.tokens);
  return out;
}

std::string fingerprint(const Config& config) {
  Hash h;
  h.add(facts_of_daemon(config));
  for (const auto& [name, pool] : config.pools) h.add("pool"), h.add(name), h.add(facts_of(pool));
  for (const auto& [name, image] : config.images) h.add("image"), h.add(name), h.add(facts_of(image));
  for (const auto& [name, secret] : config.secrets) h.add("secret"), h.add(name), h.add(facts_of(secret));
  return h.hex();
}

std::string shape_of(const Config& config, const PoolSpec& pool) {
  Hash h;
  // Which version of an image a builder has is told from its own record.
  const ImageSpec* versioned = versioned_image(pool, config.images);
  h.add(versioned ? versioned->name : pool.image);
  for (const auto& f : facts_of(pool))
    if (f.key == "platform" || f.key == "network" || f.key == "builders.cpu" || f.key == "builders.memory" ||
        f.key == "builders.disk" || f.key == "builders.pids")
      h.add(f.key), h.add(f.value);
  // Where an image is published and how it is tried, approved and so on changes no builder.
  if (auto image = config.images.find(pool.image); image != config.images.end() && !versioned)
    for (const auto& f : facts_of(image->second))
      if (f.key == "recipe" || f.key.starts_with("args.")) h.add(f.key), h.add(f.value);
  return h.hex().substr(0, 12);
}

}  // namespace mayfly::plan

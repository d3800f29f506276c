// The life of a job.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "control/core.h"
#include "model/json.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t max_queued = 100'000;
constexpr std::size_t max_labels = 100;
constexpr std::size_t max_text = 4u << 20;  // command, script and environment together; a frame to the agent holds it
constexpr auto unclaimed_upload = std::chrono::hours(1);
constexpr Duration cancel_slack = std::chrono::seconds(15);

std::string subject(JobId id) { return fmt::format("job/{}", id); }

std::size_t text_size(const JobSpec& s) {
  std::size_t n = s.script.size();
  for (const auto& a : s.command) n += a.size();
  for (const auto& [k, v] : s.env) n += k.size() + v.size();
  return n;
}

bool is_variable_name(const std::string& name) {
  return !name.empty() && name.find('=') == std::string::npos && name.find('\0') == std::string::npos;
}

Unexpected invalid(std::string what, std::string next = {}) {
  return fail(ErrorCode::invalid, std::move(what), "job", std::move(next));
}

}  // namespace

// Whether there is a pool for it, and that allows what it asks for.
Result<void> Core::validate_place(const JobSpec& s) const {
  if (!s.labels.empty()) return validate_labels(s);
  auto pool = parts_.config.pools.find(s.pool);
  if (pool == parts_.config.pools.end()) {
    const auto names = keys_of(parts_.config.pools);
    auto near = nearest(s.pool, names);
    return fail(ErrorCode::not_found, fmt::format("there is no pool '{}'", s.pool), "job",
                near ? fmt::format("Did you mean '{}'?", *near) : fmt::format("Pools: {}.", join(names, ", ")));
  }
  const PoolSpec& p = pool->second;
  for (const auto& name : s.secrets)
    if (std::find(p.secrets.begin(), p.secrets.end(), name) == p.secrets.end())
      return fail(ErrorCode::denied, fmt::format("pool '{}' may not read secret '{}'", p.name, name), "job",
                  "Allow it in the pool's `secrets:` list.");
  if (s.timeout && *s.timeout > p.limits.timeout)
    return invalid(fmt::format("the timeout {} is outside the pool's limit of {}", format_duration(*s.timeout),
                               format_duration(p.limits.timeout)));
  return {};
}

Result<void> Core::validate_labels(const JobSpec& s) const {
  if (!s.pool.empty()) return invalid("it names a pool and labels", "Give one of them.");
  if (s.labels.size() > max_labels) return invalid(fmt::format("it asks for more than {} labels", max_labels));
  const auto& pools = roster_.seen().pools;
  if (!plan::pools_for(s, pools).empty()) return {};
  JobSpec less;
  less.labels = s.labels;
  auto labels = join(s.labels, ", ");
  if (plan::pools_for(less, pools).empty())
    return fail(ErrorCode::not_found, fmt::format("no pool has the labels '{}'", labels), "job",
                "Add them to a pool's `labels:` list, or name a pool.");
  less.secrets = s.secrets;
  if (plan::pools_for(less, pools).empty())
    return fail(ErrorCode::denied,
                fmt::format("no pool with the labels '{}' may read '{}'", labels, join(s.secrets, ", ")), "job",
                "Allow it in the pool's `secrets:` list.");
  return invalid(fmt::format("the timeout {} is outside the limits of the pools with the labels '{}'",
                             format_duration(s.timeout.value_or(Duration(0))), labels));
}

Result<void> Core::validate(const JobSpec& s) const {
  MAYFLY_TRY(validate_place(s));
  if (s.command.empty() == s.script.empty()) return invalid("a job needs either a command or a script");
  if (!s.command.empty() && s.command.front().empty()) return invalid("the command's first word is empty");
  if (text_size(s) > max_text)
    return invalid("command, script and environment exceed 4 MiB", "Upload large data as a directory.");
  for (const auto& [k, v] : s.env)
    if (!is_variable_name(k) || v.find('\0') != std::string::npos)
      return invalid(fmt::format("'{}' cannot be an environment variable", k));
  for (const auto& a : s.command)
    if (a.find('\0') != std::string::npos) return invalid("a word of the command contains a NUL byte");
  if (s.timeout && *s.timeout <= Duration(0)) return invalid("the timeout is not positive");
  if (!s.input.empty() && (!is_dns_label(s.input) || !std::filesystem::exists(parts_.paths.upload(s.input))))
    return fail(ErrorCode::not_found, fmt::format("there is no upload '{}'", s.input), "job",
                "Upload the directory again.");
  if (jobs_.size() >= max_queued)
    return fail(ErrorCode::exhausted, fmt::format("{} jobs wait or run already", jobs_.size()), "queue",
                "Try again later.");
  return {};
}

void Core::submit(JobRequest request, Done<Job> done) {
  auto& [spec, key, ci, external, one_time] = request;
  auto refuse = [&](Error e) { done(Unexpected(std::move(e))); };
  if (!store_problem_.empty())
    return refuse({ErrorCode::exhausted, "the daemon cannot record new jobs: " + store_problem_, "job",
                   "Free some disk space and try again."});
  if (!key.empty()) {
    std::optional<JobId> known;
    if (auto pending = pending_keys_.find(key); pending != pending_keys_.end())
      known = pending->second;
    else if (auto stored = parts_.store.job_with_key(key); stored && *stored)
      known = **stored;
    if (known) return effect("submit.reply", [this, id = *known, done] { done(job(id)); });
  }
  spec.one_time_secrets.clear();
  for (const auto& [variable, value] : one_time) spec.one_time_secrets.push_back(variable);
  if (auto valid = validate(spec); !valid) return refuse(valid.error());
  Job j;
  j.id = next_job_++;
  j.spec = std::move(spec);
  j.queued_at = now();
  j.waiting = {ReasonCode::submitted, "it has just arrived", now(), {}};
  j.idempotency_key = key;
  j.ci = std::move(ci);
  j.external = std::move(external);
  if (!key.empty()) pending_keys_[key] = j.id;
  record("job.submitted", subject(j.id),
         json::serialize(
             json::object{{"pool", j.spec.pool},
                          {"by", j.spec.submitter},
                          {"ci", j.ci},
                          {"ci_job", j.external.id},
                          {"url", j.external.url},
                          {"command", j.spec.command.empty() ? "(script)" : shell_quote(j.spec.command).substr(0, 500)},
                          {"secrets", json::value_from(j.spec.secrets)}}));
  save(j);
  JobId id = j.id;
  if (!one_time.empty()) one_time_secrets_[id] = std::move(one_time);
  roster_.add(jobs_.emplace(id, std::move(j)).first->second);
  effect("submit.files", [this, id] { create_files(id); });
  effect("submit.reply", [this, id, done] { done(job(id)); });
}

// Followers of the log watch this directory from the moment the job exists.
bool Core::create_files(JobId id) {
  if (parts_.paths.root.empty() || id <= files_made_up_to_) return true;
  std::error_code ec;
  std::filesystem::create_directories(parts_.paths.job(id), ec);
  if (ec) parts_.log.error("cannot create {}: {}", parts_.paths.job(id), ec.message());
  return !ec;
}

// The next job's directory and what will be written into it, while nobody waits for it: making one of them may take as
// long as a whole warm start.
void Core::create_next_files() {
  if (files_made_up_to_ >= next_job_ || parts_.paths.root.empty() || !create_files(next_job_)) return;
  files_made_up_to_ = next_job_;
  const auto& paths = parts_.paths;
  for (const auto& path : {paths.log(next_job_), paths.log_index(next_job_), paths.result(next_job_)}) {
    std::ofstream made(path, std::ios::app);  // what cannot be made now is made with the order, which tells why not
    std::error_code ec;
    using enum std::filesystem::perms;
    std::filesystem::permissions(path, owner_read | owner_write, ec);
  }
}

Result<AgentOrder> Core::order_for(const Job& job, const Builder& builder) {
  auto found = parts_.config.pools.find(builder.pool);
  if (found == parts_.config.pools.end())  // a daemon started with another configuration adopts what the last one did
    return fail(ErrorCode::conflict, fmt::format("pool '{}' is no longer in the configuration", builder.pool), "job");
  const PoolSpec& pool = found->second;
  const auto& images = pools_.at(builder.pool).images;
  auto image = images.find(builder.image_version);
  AgentOrder o;
  auto& m = o.message;
  m.job = job.id;
  m.argv = job.spec.command;
  m.script = job.spec.script;
  if (image != images.end()) {
    m.env = image->second.env;
    m.user = image->second.user;
  }
  m.env.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  m.env["CI"] = "true";
  m.env["MAYFLY_JOB_ID"] = std::to_string(job.id);
  m.env["MAYFLY_POOL"] = builder.pool;
  m.env["MAYFLY_BUILDER"] = builder.id;
  for (const auto& [k, v] : job.spec.env) m.env[k] = v;
  for (const auto& name : job.spec.secrets) {
    // Asked again: the configuration may have changed since the job was taken in.
    if (std::find(pool.secrets.begin(), pool.secrets.end(), name) == pool.secrets.end())
      return fail(ErrorCode::denied, fmt::format("pool '{}' may no longer read secret '{}'", pool.name, name), "job");
    MAYFLY_ASSIGN(m.secrets[secret_variable(name)], parts_.secrets.get(name));
  }
  if (auto values = one_time_secrets_.find(job.id); values != one_time_secrets_.end())
    m.secrets.insert(values->second.begin(), values->second.end());
  else if (!job.spec.one_time_secrets.empty())
    return fail(ErrorCode::not_found, "its one-time secrets were in the memory of a daemon that has ended", "job",
                "Submit it again.");
  m.timeout = std::min(job.spec.timeout.value_or(pool.limits.timeout), pool.limits.timeout);
  m.grace = pool.limits.grace;
  m.log_limit = pool.limits.log;
  m.has_input = !job.spec.input.empty();
  m.output = job.spec.output;
  o.log_path = parts_.paths.log(job.id);
  o.index_path = parts_.paths.log_index(job.id);
  o.result_path = parts_.paths.result(job.id);
  if (m.has_input) o.input_path = parts_.paths.upload(job.spec.input);
  if (!m.output.empty()) o.output_path = parts_.paths.output(job.id);
  return o;
}

// Where a repeat is made, beside the builder that was lost: for the record.
std::string Core::compared_with(const BuilderId& lost, const Builder& builder) const {
  const PoolName pool = lost.substr(0, lost.rfind('-'));
  if (pool == builder.pool) return "another builder of the same pool than " + lost;
  auto spec = parts_.config.pools.find(pool);
  bool here = spec != parts_.config.pools.end() && spec->second.platform == builder.platform;
  return fmt::format("another {} than {}", here ? "pool" : "platform", lost);
}

void Core::assign(Job& job, Builder& builder) {
  if (from_ci(job) && !may_mint(job)) return;
  auto order = order_for(job, builder);
  if (!order) {
    wake_by(now());  // the builder is free for the next job
    return end_job(job, JobResult{JobCause::secret_unavailable, 0, 0, order.error().text()});
  }
  MAYFLY_CHECK(builder.job == 0 || builder.job == job.id);  // one builder, at most one job, ever
  MAYFLY_CHECK(may_follow(job.state, JobState::assigned));
  job.state = JobState::assigned;
  job.assigned_at = now();
  job.spec.pool = builder.pool;  // of those with its labels
  job.builder = builder.id;
  job.timeout = order->message.timeout;
  job.grace = order->message.grace;
  roster_.moved(job, job.assigned_at);
  job.image_digest = builder.image_digest;
  job.image_version = builder.image_version;
  builder.state = BuilderState::busy;
  builder.job = job.id;
  json::object how{{"builder", builder.id}, {"image_digest", builder.image_digest}, {"attempt", job.attempt}};
  if (!job.lost_on.empty()) how["place"] = compared_with(job.lost_on, builder);
  record("job.assigned", subject(job.id), json::serialize(how));
  save(job);
  save(builder);
  if (from_ci(job)) return mint(job, builder);
  hand_over(job, builder, std::move(*order));
}

// While its assignment is being recorded (docs/adr/0011-orders-travel-ahead.md). Not with secrets: a builder of which
// no record says that it may see them never does. Not after another attempt, whose files may not have been put aside
// yet. Not in a crowd, which waits for the processors and not for the disk.
bool Core::may_travel_ahead(const Job& job, const AgentOrder& order) {
  constexpr int crowd = 3;
  return prepared_ < crowd && store_problem_.empty() && order.message.secrets.empty() && job.attempt == 1 &&
         create_files(job.id);
}

void Core::hand_over(const Job& job, const Builder& builder, AgentOrder order) {
  handed_over_.insert(builder.id);
  auto shared = std::make_shared<AgentOrder>(std::move(order));
  if (may_travel_ahead(job, *shared)) {
    agents_.prepare(builder.id, *shared);
    ++prepared_;
  }
  urgent_effect("assign", [this, id = job.id, b = builder.id, shared] {
    create_files(id);
    agents_.assign(b, std::move(*shared));
  });
}

void Core::end_job(Job& job, JobResult result) {
  MAYFLY_CHECK(!is_final(job.state));
  if (!result.message.empty() && result.message.size() > 2000) result.message.resize(2000);
  job.result = std::move(result);
  job.state = final_state(job.result);
  job.ended_at = now();
  record("job.ended", subject(job.id),
         json::serialize(json::object{{"state", to_string(job.state)},
                                      {"cause", to_string(job.result.cause)},
                                      {"exit_code", job.result.exit_code},
                                      {"signal", job.result.signal},
                                      {"message", job.result.message},
                                      {"builder", job.builder}}));
  save(job);
  count_end(job);
  JobId id = job.id;
  cancel_deadlines_.erase(id);
  forget_notes_of_ci(id);
  one_time_secrets_.erase(id);
  if (!job.spec.input.empty())
    effect("job.remove-input", [path = parts_.paths.upload(job.spec.input)] {
      std::error_code ec;
      std::filesystem::remove(path, ec);
    });
  roster_.remove(job);
  auto node = jobs_.extract(id);
  ended_jobs_[id] = std::move(node.mapped());
  if (auto w = waiters_.extract(id); !w.empty())
    effect("job.tell", [ended = ended_jobs_[id], waiting = std::move(w.mapped())] {
      for (const auto& done : waiting) done(ended);
    });
}

void Core::cancel(JobId id, const std::string& who, Done<Job> done) {
  auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    auto old = job(id);
    if (!old) return done(old);
    return done(
        fail(ErrorCode::conflict, fmt::format("job {} has ended already ({})", id, to_string(old->state)), "job"));
  }
  Job& j = found->second;
  if (!j.cancel_requested) {
    record("job.cancel-requested", subject(id), json::serialize(json::object{{"by", who}}));
    j.cancel_requested = true;
    save(j);
    if (from_ci(j)) cancel_at_ci(j);
    if (j.state == JobState::queued) {
      end_job(j, JobResult{JobCause::cancelled, 0, 0, "cancelled by " + who + " before it started"});
    } else {
      if (!settling_.contains(id)) send_cancel(j);
    }
  }
  effect("cancel.reply", [this, id, done] { done(job(id)); });
}

void Core::send_cancel(const Job& j) {
  cancel_deadlines_[j.id] = now() + j.grace + cancel_slack;
  effect("cancel", [this, id = j.id, b = j.builder] { agents_.cancel(b, id); });
}

// An agent that does not end a cancelled job in time loses its builder.
void Core::check_cancels() {
  std::vector<JobId> due;
  for (const auto& [id, deadline] : cancel_deadlines_) {
    if (now() >= deadline)
      due.push_back(id);
    else
      wake_by(deadline);
  }
  for (JobId id : due) {
    Job& j = jobs_.at(id);
    auto b = builders_.find(j.builder);
    if (b != builders_.end() && ended_unseen(b->second)) continue;
    conclude(j,
             JobResult{JobCause::cancelled, 0, 0, "cancelled; it did not stop by itself, so its builder was stopped"});
    if (b != builders_.end() && b->second.state != BuilderState::stopping)
      stop_builder(b->second, "its job was cancelled and did not stop");
  }
}

bool Core::ended_unseen(Builder& b) {
  if (b.state != BuilderState::busy || !jobs_.contains(b.job)) return false;
  std::ifstream in(parts_.paths.result(b.job), std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  auto finished = agent::decode_result(text.str());
  if (!finished || finished->job != b.job) return false;
  on_finished(b, *finished);
  return true;
}

void Core::forget_old_jobs() {
  auto old = parts_.store.jobs_ended_before(now() - parts_.config.keep_jobs, 1000);
  if (!old || old->empty()) return;
  record("jobs.forgotten", "daemon",
         json::serialize(json::object{{"count", old->size()}, {"first", old->front()}, {"last", old->back()}}));
  for (JobId id : *old) {
    batch_.forget.push_back(id);
    if (!parts_.paths.root.empty())
      effect("job.forget", [path = parts_.paths.job(id)] {
        std::error_code ec;
        std::filesystem::remove_all(path, ec);
      });
  }
}

// Uploads that no job came for: their client died between the two requests.
void Core::forget_old_uploads() {
  if (parts_.paths.root.empty()) return;
  std::set<std::string> wanted;
  for (const auto& [id, j] : jobs_) wanted.insert(j.spec.input);
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(parts_.paths.uploads(), ec)) {
    auto age = std::filesystem::file_time_type::clock::now() - entry.last_write_time(ec);
    if (ec || age < unclaimed_upload || wanted.contains(entry.path().stem().string())) continue;
    effect("upload.forget", [path = entry.path()] {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    });
  }
}

void Core::when_ended(JobId id, Done<Job> done) {
  if (jobs_.contains(id)) return waiters_[id].push_back(std::move(done));
  // Ended in a step that is not committed yet: the answer waits for the commit too.
  if (ended_jobs_.contains(id)) return effect("job.tell", [this, id, done] { done(job(id)); });
  done(job(id));
}

Result<Job> Core::job(JobId id) {
  if (auto active = jobs_.find(id); active != jobs_.end()) return with_reason(active->second);
  MAYFLY_ASSIGN(auto stored, parts_.store.job(id));
  if (!stored)
    return fail(ErrorCode::not_found, fmt::format("there is no job {}", id), {}, "`mayfly jobs` lists them.");
  return *stored;
}

Result<std::vector<Job>> Core::jobs(const JobFilter& filter) {
  MAYFLY_ASSIGN(auto found, parts_.store.jobs(filter));
  // The store knows what was committed; why a job waits at this moment is only here.
  for (auto& j : found)
    if (auto active = jobs_.find(j.id); active != jobs_.end()) j = with_reason(active->second);
  return found;
}

Result<Explanation> Core::explain(JobId id) {
  Explanation e;
  MAYFLY_ASSIGN(e.job, job(id));
  MAYFLY_ASSIGN(e.story, parts_.store.ledger(0, 100, subject(id)));
  if (!e.job.builder.empty()) {
    MAYFLY_ASSIGN(auto more, parts_.store.ledger(0, 100, "builder/" + e.job.builder));
    e.story.insert(e.story.end(), more.begin(), more.end());
    std::sort(e.story.begin(), e.story.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  }
  auto active = jobs_.find(id);
  if (active == jobs_.end() || active->second.state != JobState::queued) return e;  // it may just have ended
  auto pool = waits_in(active->second);
  for (const auto& wait : told_.waits) {
    if (wait.job == id) return e;
    auto other = jobs_.find(wait.job);
    if (wait.pool != pool || other == jobs_.end() || other->second.state != JobState::queued) continue;
    ++e.ahead_total;
    if (e.ahead.size() < 20) e.ahead.push_back(other->second);
  }
  return e;
}

}  // namespace mayfly

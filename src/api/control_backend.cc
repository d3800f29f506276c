#include "api/control_backend.h"

namespace mayfly::api {
namespace {

constexpr int most_reading = 8;  // a configuration takes milliseconds: more at once are no people

Backend::Done<plan::ConfigChange> with_file(std::string file, bool own, Backend::Done<ConfigPlan> done) {
  return [file = std::move(file), own, done = std::move(done)](Result<plan::ConfigChange> change) {
    if (!change) return done(Unexpected(change.error()));
    auto summary = plan::summary(*change);
    done(ConfigPlan{std::move(*change), std::move(summary), file, own});
  };
}

}  // namespace

void ControlBackend::read(ConfigSource source, std::function<void(Result<ReadConfig>)> then) {
  if (reading_.fetch_add(1) >= most_reading) {
    --reading_;
    return then(fail(ErrorCode::exhausted, "too many configurations are being read", {}, "Try again."));
  }
  readers_.post([this, source = std::move(source), then = std::move(then)] {
    auto config = reader_(source);
    --reading_;
    then(std::move(config));
  });
}

void ControlBackend::plan_config(ConfigSource source, Done<ConfigPlan> done) {
  read(std::move(source), [this, done = std::move(done)](Result<ReadConfig> read) {
    if (!read) return done(Unexpected(read.error()));
    control_.plan_config(std::move(read->config), with_file(read->file, read->own, done));
  });
}

void ControlBackend::apply_config(ConfigSource source, ConfigOrder order, Done<ConfigPlan> done) {
  read(std::move(source), [this, order = std::move(order), done = std::move(done)](Result<ReadConfig> read) mutable {
    if (!read) return done(Unexpected(read.error()));
    order.config = std::move(read->config);
    order.file = read->file;
    control_.apply_config(std::move(order), with_file(read->file, read->own, done));
  });
}

}  // namespace mayfly::api

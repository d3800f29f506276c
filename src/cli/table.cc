#include "cli/table.h"

#include <algorithm>

#include "cli/commands.h"

namespace mayfly {
namespace {

const Option json_option{"json", 0, {}, "Print JSON, for scripts"};

Command run_command() {
  return {
      .name = "run",
      .operands = "[--] CMD [ARG…]",
      .least = 0,
      .most = -1,
      .summary = "Run one job in a new builder, stream its output and exit with its exit code",
      .description =
          "The job's standard output and error come out as they are. With --pool the daemon runs it; with --image and "
          "no "
          "--pool this program does, without any daemon. Ctrl-C cancels the job and waits for its end; a second Ctrl-C "
          "leaves at once.\n\n"
          "Exit code: the job's own; 128+N if signal N ended it; 124 stopped at its time limit; 125 a failure of "
          "Mayfly, "
          "not of the job; 126 the command cannot be executed; 127 the command is not in the image; 130 cancelled; 2 "
          "the "
          "command line is wrong.",
      .options =
          {
              {"pool", 'p', "POOL", "The pool whose builder runs the job", Completes::pool},
              {"label", 'L', "LABEL", "Any pool with this label may run it; with several, a pool that has them all",
               Completes::nothing, true},
              {"image", 0, "REF",
               "Run in this image without a daemon (docker://…, oci:DIR, docker-archive:FILE, or a local name)"},
              {"name", 'n', "NAME", "A name for people"},
              {"env", 'e', "K=V", "Set a variable in the job; K alone passes on its value from here",
               Completes::nothing, true},
              {"env-file", 0, "FILE", "Set the variables in FILE, a K=V a line", Completes::file, true},
              {"secret", 0, "NAME",
               "Give the job this secret, as a variable: npm-token becomes NPM_TOKEN. With --image its value "
               "is taken from the variable of that name here",
               Completes::nothing, true},
              {"upload", 0, "DIR", "Copy DIR into the job's workspace first", Completes::directory},
              {"download", 0, "DIR[:PATH]",
               "Copy PATH (default: the whole workspace) from the builder to DIR afterwards", Completes::directory},
              {"timeout", 0, "TIME", "Stop the job after this time, such as 90s, 10m or 1h30m (default: the pool's)"},
              {"priority", 0, "N", "Higher goes first within the pool, -1000 to 1000 (default: 0)"},
              {"network", 0, "KIND", "none, egress (outgoing only; the default) or host; with --image only",
               Completes::network},
              {"memory", 0, "SIZE", "Memory limit, such as 512MiB or 4GiB; with --image only"},
              {"script", 0, "FILE",
               "Run this file ('-': standard input) by its #! line, or by /bin/sh -e, instead of CMD", Completes::file},
              {"repeatable", 0, {}, "The job may be run again if its builder is lost"},
              {"detach", 'd', {}, "Print the job's number and do not wait"},
              {"json",
               0,
               {},
               "Print the job as JSON when it has ended (or was submitted, with --detach); its output goes to standard "
               "error"},
          },
      .examples = {"mayfly run --pool general -- make test",
                   "mayfly run --pool general --upload . --download out:dist -- npm run build",
                   "mayfly run --image docker://debian:bookworm-slim -- cat /etc/os-release",
                   "mayfly run --pool general --secret npm-token --timeout 10m --script ci/publish.sh"},
      .run = command_run,
      .passes_on = true,
  };
}

std::vector<Command> queries() {
  std::vector<Command> out;
  out.push_back({.name = "status",
                 .summary = "What the daemon is doing, in a few lines",
                 .options = {json_option},
                 .examples = {"mayfly status", "mayfly status --json"},
                 .run = command_status});
  out.push_back({.name = "pools",
                 .summary = "List the pools",
                 .options = {{"quiet", 'q', {}, "Only the names"}, json_option},
                 .examples = {"mayfly pools"},
                 .run = command_pools});
  out.push_back(
      {.name = "jobs",
       .summary = "List jobs, the newest first",
       .options =
           {{"state", 's', "STATE",
             "Only jobs in this state: queued, assigned, running, succeeded, failed, cancelled, timed_out or lost",
             Completes::job_state},
            {"pool", 'p', "POOL", "Only jobs of this pool", Completes::pool},
            {"limit", 'l', "N", "At most so many (default: 20)"},
            {"before", 0, "JOB", "Only jobs older than this one: the next page"},
            {"quiet", 'q', {}, "Only the numbers"},
            json_option},
       .examples = {"mayfly jobs --state failed --limit 5", "mayfly jobs --pool general --json"},
       .run = command_jobs});
  out.push_back(
      {.name = "builders",
       .summary = "List the builders there are",
       .options = {{"all", 'a', {}, "Those that are gone too"}, {"quiet", 'q', {}, "Only the names"}, json_option},
       .examples = {"mayfly builders --all"},
       .run = command_builders});
  out.push_back(
      {.name = "logs",
       .operands = "JOB",
       .least = 1,
       .most = 1,
       .summary = "Print a job's output",
       .description = "What the job wrote to standard output and to standard error goes there again, byte for byte.",
       .options = {{"follow", 'f', {}, "Go on until the job has ended"},
                   {"offset", 0, "N", "Begin at this byte of the log"}},
       .examples = {"mayfly logs 17", "mayfly logs -f 17 2>/dev/null"},
       .run = command_logs,
       .completes = Completes::job});
  out.push_back({.name = "explain",
                 .operands = "JOB|POOL",
                 .least = 1,
                 .most = 1,
                 .summary = "Say why a job waits, or how it ended; or why a pool has the builders that it has",
                 .description =
                     "Of a job: all that happened to it. Of a pool: how many builders it may have now and why, what "
                     "they do, what its jobs wait for, and how the last starts went.",
                 .options = {json_option},
                 .examples = {"mayfly explain 17", "mayfly explain general"},
                 .run = command_explain,
                 .completes = Completes::job});
  out.push_back({.name = "cancel",
                 .operands = "JOB…",
                 .least = 1,
                 .most = -1,
                 .summary = "Cancel jobs",
                 .options = {json_option},
                 .examples = {"mayfly cancel 17", "mayfly cancel $(mayfly jobs --state queued --quiet)"},
                 .run = command_cancel,
                 .completes = Completes::job});
  out.push_back(
      {.name = "drain",
       .summary = "End the daemon once its running jobs have finished",
       .description =
           "Nothing new is started from now on; queued jobs, and those that are still submitted, wait for the "
           "daemon's next start. Waits until the daemon is gone; Ctrl-C ends the waiting, not the draining. "
           "To stop at once, and have the next start adopt the jobs that run, end the daemon with SIGTERM.",
       .options = {{"no-wait", 0, {}, "Do not wait for the end"}, json_option},
       .examples = {"mayfly drain", "mayfly drain && apt-get install mayfly && systemctl start mayfly"},
       .run = command_drain});
  out.push_back(
      {.name = "audit show",
       .summary = "Print the ledger: everything that was decided, done and seen",
       .options = {{"subject", 0, "SUBJECT", "Only entries on this: job/17, builder/general-4, pool/general, daemon"},
                   {"from", 0, "N", "Begin at this entry (default: 1)"},
                   {"limit", 'l', "N", "At most so many (default: 100)"},
                   json_option},
       .examples = {"mayfly audit show --subject job/17", "mayfly audit show --from 1000 --limit 50 --json"},
       .run = command_audit_show});
  out.push_back({.name = "audit verify",
                 .summary = "Check that no entry of the ledger was changed, dropped or reordered",
                 .options = {json_option},
                 .examples = {"mayfly audit verify"},
                 .run = command_audit_verify});
  return out;
}

Command simulate_command() {
  return {
      .name = "simulate",
      .summary =
          "Say how long jobs would wait and what it would cost, with the daemon's own planner on a simulated clock",
      .description =
          "The jobs are either --jobs equal ones, or a --trace, or what the daemon has run (--history). A trace is CSV "
          "with a header: `submitted` (RFC 3339, or seconds), `duration` (such as 90s, or seconds), `pool` or "
          "`labels` (with blanks between them), and perhaps `submitter` and `priority`.\n\n"
          "A wait lasts from a job's submission to the start of its process. Builders cost from the wish for them "
          "until "
          "they are gone, by the pool's `price` for an hour. Warm builders are there when the first job comes.\n\n"
          "Exit code: 0; 1 if there is a --target and it is missed; 2 the command line is wrong.",
      .options =
          {
              {"config", 'c', "FILE", "The configuration (default: mayfly.yaml here, else /etc/mayfly/mayfly.yaml)",
               Completes::file},
              {"jobs", 'j', "N", "Simulate so many equal jobs"},
              {"at", 0, "once", "All --jobs come at once (the default)"},
              {"over", 0, "TIME", "The --jobs come evenly over this time"},
              {"duration", 0, "TIME", "How long each of the --jobs takes (default: 5m)"},
              {"trace", 't', "FILE", "Simulate the jobs in this file", Completes::file},
              {"history", 0, {}, "Simulate the jobs that the daemon has run"},
              {"limit", 'l', "N", "With --history: the last N jobs (default: 10000)"},
              {"pool", 'p', "POOL", "All jobs go to this pool (default: the trace's; else the only one)",
               Completes::pool},
              {"start", 0, "TIME", "How long a new builder takes until it is ready (default: 15ms, as here)"},
              {"launches", 0, "N", "How many builders a platform starts at once (default: 4, as here)"},
              {"target", 0, "TARGET", "What is to be met, such as \"p95 wait <= 30s\" or \"max wait <= 5m\""},
              {"find", 0, {}, "Find the cheapest `warm`, `max` and `schedule` that meet the target"},
              {"compare", 0, "FILE", "Simulate this configuration as well, and show both", Completes::file},
              {"resolution", 0, "TIME",
               "Move arrivals and ends onto a grid of this width; 0s: exact (default: exact, unless that took long)"},
              {"html", 0, "FILE", "Write a page with pictures too", Completes::file},
              json_option,
          },
      .examples = {"mayfly simulate --jobs 100 --at once --duration 5m --target \"max wait <= 5m\"",
                   "mayfly simulate --trace day.csv --target \"p95 wait <= 30s\" --find",
                   "mayfly simulate --history --compare bigger.yaml --html report.html"},
      .run = command_simulate,
  };
}

std::vector<Command> local_commands() {
  std::vector<Command> out;
  out.push_back({.name = "doctor",
                 .summary = "Check whether this host is fit to run builders, and say what to do if not",
                 .description = "Exits with 1 if something that is needed is missing.",
                 .options = {json_option},
                 .daemon = false,
                 .examples = {"mayfly doctor"},
                 .run = command_doctor});
  out.push_back({.name = "init",
                 .operands = "[DIR]",
                 .most = 1,
                 .summary = "Write a commented mayfly.yaml and a first recipe",
                 .options = {json_option},
                 .daemon = false,
                 .examples = {"mayfly init", "mayfly init ci/"},
                 .run = command_init,
                 .completes = Completes::directory});
  out.push_back({.name = "config check",
                 .operands = "[FILE]",
                 .most = 1,
                 .summary = "Check a configuration file (default: mayfly.yaml)",
                 .daemon = false,
                 .examples = {"mayfly config check mayfly.yaml"},
                 .run = command_config_check,
                 .completes = Completes::file});
  out.push_back({.name = "config schema",
                 .summary = "Print the JSON Schema of the configuration",
                 .daemon = false,
                 .examples = {"mayfly config schema > mayfly.schema.json"},
                 .run = command_config_schema});
  out.push_back({.name = "completion",
                 .operands = "SHELL",
                 .least = 1,
                 .most = 1,
                 .summary = "Print the completion script for bash, zsh or fish",
                 .daemon = false,
                 .examples = {"mayfly completion bash > /etc/bash_completion.d/mayfly",
                              "mayfly completion zsh > ~/.zfunc/_mayfly",
                              "mayfly completion fish > ~/.config/fish/completions/mayfly.fish"},
                 .run = command_completion,
                 .completes = Completes::shell});
  out.push_back({.name = "version",
                 .summary = "Print the version",
                 .options = {json_option},
                 .daemon = false,
                 .examples = {"mayfly version"},
                 .run = command_version});
  out.push_back({.name = "help",
                 .operands = "[COMMAND]",
                 .most = 2,
                 .summary = "Explain a command",
                 .options = {{"markdown", 0, {}, "Print the reference of all commands, as in docs/cli.md"}},
                 .daemon = false,
                 .examples = {"mayfly help run"},
                 .run = command_help});
  return out;
}

std::vector<Command> build() {
  std::vector<Command> out;
  out.push_back(
      {.name = "up",
       .summary = "Run the daemon in the foreground, until SIGTERM or Ctrl-C",
       .options = {{"config", 'c', "FILE",
                    "The configuration (default: mayfly.yaml here, else /etc/mayfly/mayfly.yaml)", Completes::file},
                   {"state", 0, "DIR",
                    "Where everything is kept (default: MAYFLY_STATE, else /var/lib/mayfly for root and "
                    "~/.local/state/mayfly for others)",
                    Completes::directory},
                   {"log-level", 0, "LEVEL", "debug, info, warning or error (default: info)", Completes::log_level}},
       .daemon = false,
       .examples = {"mayfly up", "mayfly up --config ci/mayfly.yaml --state /srv/mayfly"},
       .run = command_up});
  out.push_back(run_command());
  for (auto& c : queries()) out.push_back(std::move(c));
  for (auto& c : image_commands()) out.push_back(std::move(c));
  for (auto& c : config_change_commands()) out.push_back(std::move(c));
  for (auto& c : rollout_commands()) out.push_back(std::move(c));
  for (auto& c : image_build_commands()) out.push_back(std::move(c));
  out.push_back(simulate_command());
  for (auto& c : local_commands()) out.push_back(std::move(c));
  return out;
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> table = build();
  return table;
}

const std::vector<Option>& connection_options() {
  static const std::vector<Option> table{
      {"server", 0, "URL", "The daemon's address: https://HOST[:PORT] or unix:///PATH (default: MAYFLY_SERVER)"},
      {"state", 0, "DIR",
       "The daemon's state directory (default: MAYFLY_STATE, else /var/lib/mayfly for root and ~/.local/state/mayfly "
       "for others)",
       Completes::directory},
      {"token-file", 0, "FILE", "A file with the token for https:// (default: the token in MAYFLY_TOKEN)",
       Completes::file},
      {"ca", 0, "FILE", "Trust the certificates in this PEM file (default: MAYFLY_CA, else the system's)",
       Completes::file},
  };
  return table;
}

const Option& help_option() {
  static const Option option{"help", 'h', {}, "Explain this command"};
  return option;
}

std::vector<Option> options_of(const Command& command) {
  auto out = command.options;
  for (const auto& o : connection_options()) {
    bool state_for_jobs = command.name == "jobs" && o.name == "state";  // there --state is the job's
    if (command.daemon && !state_for_jobs) out.push_back(o);
  }
  out.push_back(help_option());
  return out;
}

bool is_group(std::string_view word) {
  return std::any_of(commands().begin(), commands().end(), [&](const Command& c) {
    return c.name.size() > word.size() && c.name.starts_with(word) && c.name[word.size()] == ' ';
  });
}

}  // namespace mayfly

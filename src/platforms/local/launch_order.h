#pragma once
// What the daemon and its launcher say to each other: one SOCK_SEQPACKET message each way for every launch. Both
// ends are always of the same build, so there are no versions here.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/pool.h"
#include "os/file.h"

namespace mayfly::local {

// How the launcher is started: its command line.
struct LauncherSetup {
  std::string directory;  // the platform's own
  std::string runtime;    // full path of crun or runc
  bool is_runc = false;
  std::string cgroup;  // cgroup path below each hierarchy's root under which builders live; empty: no limits
  std::vector<std::string> cgroup_roots;  // memory, cpu and pids hierarchies (v1), or the one of v2
  std::vector<std::string>
      all_cgroup_roots;  // every mounted hierarchy: runc uses them all, and leaves its groups there
  bool cgroup_v2 = false;
  bool hide_unified = false;                 // crun refuses hybrid hosts unless it cannot see /sys/fs/cgroup/unified
  bool rootless = false;                     // this process enters a user namespace of its own first, and is its root
  std::uint32_t host_uid = 0, host_gid = 0;  // rootless: who that root is outside
  std::uint32_t sub_uid = 0, sub_gid = 0, sub_count = 0;  // rootless: the subordinate ids that uid 1 and on become
  std::uint32_t first_uid = 0, first_gid = 0, ids = 0;    // builders' uid 0 on the host, and how many follow
  std::string agent;                                      // on the host
  std::vector<std::string> configs;                       // config.json for each Network, by its number
  std::vector<int> expected;     // the Networks of builders to come, for which slots are kept ready from the start
  std::string remove_when_gone;  // a directory: should the daemon be killed, all builders and this go; empty: they stay
  std::string place;  // an existing directory that builders' file systems cover, each in a mount namespace of its own
};

// In LauncherSetup::directory: the filter around every agent and so around every job, struct sock_filter[], raw.
inline constexpr const char* seccomp_file = "seccomp";

// One builder.
struct LaunchOrder {
  std::uint64_t number = 0;  // of the request; the answer carries it
  std::string id;
  std::string directory;                                   // <platform>/b/<id>
  std::vector<std::string> lowers;                         // the image's layers, topmost first
  std::string shared;                                      // a directory bound read-only at layers_in_builder; or empty
  std::vector<std::pair<std::string, std::string>> files;  // path in the builder → content
  std::int64_t disk = 0, memory = 0;
  std::int64_t cpu_micros = 0;  // of each 100 ms; 0: not limited
  int pids = 0;
  Network network = Network::none;
  bool cancel = false;   // not a launch: give up the one of this id
  bool goodbye = false;  // not a launch: the daemon ends, and has left here what it wants to leave
};

// In LauncherSetup::configs, known only once a slot is made: the /proc directory of the process whose network and user
// namespace a builder with egress joins, and the slot's name.
inline constexpr std::string_view network_placeholder = "@NETWORK@";
inline constexpr std::string_view slot_placeholder = "@SLOT@";
void replace_all(std::string& text, std::string_view placeholder, std::string_view value);

struct LaunchAnswer {
  std::uint64_t number = 0;
  bool ok = false;
  std::string error;
};

std::string encode(const LauncherSetup& setup);
std::string encode(const LaunchOrder& order);
std::string encode(const LaunchAnswer& answer);
// Empty or torn input (the peer died while writing) is refused, never guessed at.
Result<LauncherSetup> decode_setup(std::string_view bytes);
Result<LaunchOrder> decode_order(std::string_view bytes);
Result<LaunchAnswer> decode_answer(std::string_view bytes);

inline constexpr std::size_t max_message = 160u << 10;  // below the default send buffer of a socket

// One message. receive(): an empty text means that the peer is gone.
Result<void> send_message(int socket, std::string_view bytes);
Result<std::string> receive_message(int socket);

// When a process started, in clock ticks since boot: with its pid it names a process for good. 0: there is none (a
// zombie counts as none).
std::uint64_t process_start_time(int pid);

}  // namespace mayfly::local

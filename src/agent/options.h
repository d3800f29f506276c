#pragma once
// How the agent is started and where things are inside a builder. Launchers include this too, so nothing but constants.
namespace mayfly::agent {

// Inside the container.
inline constexpr const char* agent_path = "/.mayfly/agent";      // the agent's program; bind-mounted read-only
inline constexpr const char* workspace_path = "/workspace";      // the job's working directory; the agent makes it
inline constexpr const char* script_directory = "/tmp/.mayfly";  // where a job's script lies while it runs

// The command line: agent_path, then flags, each followed by its value.
inline constexpr const char* listen_fd_flag = "--listen-fd";    // a bound and listening unix stream socket; required
inline constexpr const char* oom_fd_flag = "--oom-fd";          // memory.events (v2) or memory.oom_control (v1)
inline constexpr const char* hold_fd_flag = "--hold-fd";        // kept open for life; its closing tells a helper to go
inline constexpr const char* seccomp_fd_flag = "--seccomp-fd";  // a system call filter: struct sock_filter[], raw
inline constexpr const char* orphan_grace_flag =
    "--orphan-grace-ms";                                    // with no connection for so long, an idle agent goes
inline constexpr const char* hostname_flag = "--hostname";  // set it (where the container runtime does not)

// The numbers launchers give the descriptors by convention; the flags say what they are.
inline constexpr int listen_fd = 3;
inline constexpr int oom_fd = 4;
inline constexpr int hold_fd = 5;
inline constexpr int seccomp_fd = 6;

inline constexpr int default_orphan_grace_ms = 60'000;

// Exit codes of the agent itself.
inline constexpr int exit_released = 0;    // told to go, or nobody came
inline constexpr int exit_unusable = 125;  // could not start: wrong flags, not PID 1, or no filter where one was given

}  // namespace mayfly::agent

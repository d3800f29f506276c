#include "platforms/local/seccomp.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>

#include <boost/json.hpp>

#include "model/json.h"
#include "os/file.h"
#include "platforms/local/container_config.h"

namespace mayfly::local {
namespace {

namespace json = boost::json;
constexpr std::size_t profile_limit = 4u << 20;
constexpr std::size_t program_limit = 4096 * 8;  // the kernel takes 4096 instructions of 8 bytes

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

Unexpected bad(const std::string& what, const std::string& where) {
  return fail(ErrorCode::invalid, "the seccomp profile cannot be used: " + what, where,
              "Reinstall the package that owns it (containers-common or golang-github-containers-common)");
}

std::uint64_t number_at(const json::object& o, std::string_view key, std::uint64_t otherwise) {
  const auto* v = o.if_contains(key);
  if (v && v->is_uint64()) return v->get_uint64();
  if (v && v->is_int64()) return static_cast<std::uint64_t>(v->get_int64());
  return otherwise;
}

Result<std::uint32_t> action(const std::string& name, std::uint64_t error) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error) & 0xffff);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  return bad("unknown action " + name, "seccomp");
}

// As the profiles name architectures.
std::set<std::string> own_architectures() {
  switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64:
      return {"amd64", "x32", "x86"};
    case SCMP_ARCH_AARCH64:
      return {"arm64", "arm"};
    default:
      return {};
  }
}

bool lists_any(const json::object& condition, std::string_view key, const std::set<std::string>& of) {
  const auto* list = condition.if_contains(key);
  if (!list || !list->is_array()) return false;
  return std::any_of(list->get_array().begin(), list->get_array().end(),
                     [&](const json::value& v) { return v.is_string() && of.contains(std::string(v.get_string())); });
}

bool lists_something(const json::object& condition, std::string_view key) {
  const auto* list = condition.if_contains(key);
  return list && list->is_array() && !list->get_array().empty();
}

bool applies(const json::object& rule) {
  static const std::set<std::string> architectures = own_architectures();
  const std::set<std::string> capabilities(job_capabilities.begin(), job_capabilities.end());
  if (const auto* includes = rule.if_contains("includes"); includes && includes->is_object()) {
    const json::object& o = includes->get_object();
    if (lists_something(o, "arches") && !lists_any(o, "arches", architectures)) return false;
    if (lists_something(o, "caps") && !lists_any(o, "caps", capabilities)) return false;
  }
  const auto* excludes = rule.if_contains("excludes");
  if (!excludes || !excludes->is_object()) return true;
  return !lists_any(excludes->get_object(), "arches", architectures) &&
         !lists_any(excludes->get_object(), "caps", capabilities);
}

Result<std::vector<scmp_arg_cmp>> arguments(const json::object& rule) {
  static const std::map<std::string, scmp_compare> operators = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                                {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                                {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                                {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                                {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                                {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                                {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  std::vector<scmp_arg_cmp> result;
  const auto* list = rule.if_contains("args");
  if (!list || !list->is_array()) return result;
  for (const auto& item : list->get_array()) {
    if (!item.is_object()) return bad("an argument is not an object", "args");
    const json::object& o = item.get_object();
    const auto op = operators.find(text_at(o, "op"));
    const std::uint64_t index = number_at(o, "index", 99);
    if (op == operators.end() || index > 5) return bad("unknown comparison " + text_at(o, "op"), "args");
    result.push_back({static_cast<unsigned>(index), op->second, number_at(o, "value", 0), number_at(o, "valueTwo", 0)});
  }
  return result;
}

Result<void> add_rule(const Filter& filter, const json::object& rule, std::uint32_t default_action) {
  if (!applies(rule)) return {};
  MAYFLY_ASSIGN(const std::uint32_t what, action(text_at(rule, "action"), number_at(rule, "errnoRet", EPERM)));
  if (what == default_action) return {};  // libseccomp refuses what changes nothing
  MAYFLY_ASSIGN(const auto args, arguments(rule));
  const auto* names = rule.if_contains("names");
  if (!names || !names->is_array()) return bad("a rule without names", "syscalls");
  for (const auto& name : names->get_array()) {
    const int number = name.is_string() ? seccomp_syscall_resolve_name(name.get_string().c_str()) : __NR_SCMP_ERROR;
    if (number == __NR_SCMP_ERROR) continue;  // newer than this libseccomp: the default action covers it
    const int error =
        seccomp_rule_add_array(filter.get(), what, number, static_cast<unsigned>(args.size()), args.data());
    if (error != 0 && error != -EDOM && error != -EEXIST)
      return bad("rule for " + std::string(name.get_string()), std::to_string(error));
  }
  return {};
}

Result<Filter> new_filter(std::uint32_t default_action) {
  Filter filter(seccomp_init(default_action));
  if (!filter) return fail(ErrorCode::unsupported, "libseccomp cannot make a filter");
  // Without its relatives a 32-bit program would bypass the filter, or be killed by it.
  if (seccomp_arch_native() == SCMP_ARCH_X86_64)
    for (const std::uint32_t arch : {SCMP_ARCH_X86, SCMP_ARCH_X32}) seccomp_arch_add(filter.get(), arch);
  if (seccomp_arch_native() == SCMP_ARCH_AARCH64) seccomp_arch_add(filter.get(), SCMP_ARCH_ARM);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree: a system call passes 10 tests, not 400
  return filter;
}

Result<std::string> bytes_of(const Filter& filter) {
  const os::Fd memory(memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return Unexpected(errno_error("cannot make a memory file", errno));
  if (const int error = seccomp_export_bpf(filter.get(), memory.get()); error != 0)
    return Unexpected(errno_error("libseccomp cannot compile the filter", -error));
  MAYFLY_ASSIGN(std::string program, os::read_file("/proc/self/fd/" + std::to_string(memory.get()), program_limit));
  return program;
}

Result<Filter> from_profile(const std::string& text, const std::string& path) {
  boost::system::error_code error;
  const json::value profile = json::parse(text, error);
  if (error || !profile.is_object()) return bad("it is not a JSON object", path);
  const json::object& o = profile.get_object();
  MAYFLY_ASSIGN(const std::uint32_t otherwise,
                action(text_at(o, "defaultAction"), number_at(o, "defaultErrnoRet", EPERM)));
  MAYFLY_ASSIGN(Filter filter, new_filter(otherwise));
  const auto* rules = o.if_contains("syscalls");
  if (!rules || !rules->is_array()) return bad("it has no list `syscalls`", path);
  for (const auto& rule : rules->get_array()) {
    if (!rule.is_object()) return bad("a rule is not an object", path);
    MAYFLY_TRY(add_rule(filter, rule.get_object(), otherwise));
  }
  return filter;
}

// Weaker than a profile, since what is new is allowed; it bars what reaches into the kernel or into other processes.
Result<Filter> built_in() {
  MAYFLY_ASSIGN(Filter filter, new_filter(SCMP_ACT_ALLOW));
  for (const char* name : {"acct",
                           "add_key",
                           "bpf",
                           "clock_adjtime",
                           "clock_settime",
                           "create_module",
                           "delete_module",
                           "finit_module",
                           "fsconfig",
                           "fsmount",
                           "fsopen",
                           "fspick",
                           "get_kernel_syms",
                           "init_module",
                           "io_uring_enter",
                           "io_uring_register",
                           "io_uring_setup",
                           "ioperm",
                           "iopl",
                           "kcmp",
                           "kexec_file_load",
                           "kexec_load",
                           "keyctl",
                           "lookup_dcookie",
                           "mbind",
                           "migrate_pages",
                           "mount",
                           "mount_setattr",
                           "move_mount",
                           "move_pages",
                           "name_to_handle_at",
                           "nfsservctl",
                           "open_by_handle_at",
                           "open_tree",
                           "perf_event_open",
                           "pidfd_getfd",
                           "pivot_root",
                           "process_vm_readv",
                           "process_vm_writev",
                           "query_module",
                           "quotactl",
                           "reboot",
                           "request_key",
                           "setdomainname",
                           "sethostname",
                           "setns",
                           "settimeofday",
                           "stime",
                           "swapoff",
                           "swapon",
                           "syslog",
                           "umount",
                           "umount2",
                           "unshare",
                           "uselib",
                           "userfaultfd",
                           "ustat",
                           "vhangup",
                           "vm86",
                           "vm86old"}) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR) seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), number, 0);
  }
  return filter;
}

}  // namespace

Result<SeccompFilter> compile_seccomp_filter(const std::string& profile) {
  auto text = os::read_file(profile, profile_limit);
  if (!text && text.error().code != ErrorCode::not_found) return Unexpected(text.error());
  MAYFLY_ASSIGN(const Filter filter, text ? from_profile(*text, profile) : built_in());
  MAYFLY_ASSIGN(std::string program, bytes_of(filter));
  return SeccompFilter{std::move(program), text ? profile : "built-in"};
}

}  // namespace mayfly::local

#pragma once
// Deliberate faults that live in the ports around control. Each must be found: that shows that the checks check.
// Faults inside plan and control are patches, in mutations/.
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace mayfly::sim {

enum class Mutation {
  none,
  store_forgets,       // acknowledges a commit that it did not write
  store_drops_ledger,  // writes the rows without their ledger entries
  store_half,          // a batch of several jobs is written without its last
  store_swaps_ledger,  // two entries of a batch change places
  stop_forgotten,      // the executor says "stopped" and did nothing
  stop_wrong_builder,  // … and stopped another one
  launch_twice,        // starts a second builder beside the one asked for
  launch_wrong_image,  // starts another image than the one asked for
  assign_twice,        // a job is handed to two builders
  assign_other,        // a job is handed to another builder than the one written down
  result_changed,      // the exit code that reaches control is not the job's
  list_forgets,        // the platform's list never comes back, for one of the platforms
};

inline constexpr std::array<std::pair<Mutation, std::string_view>, 12> mutations{{
    {Mutation::store_forgets, "store-forgets"},
    {Mutation::store_drops_ledger, "store-drops-ledger"},
    {Mutation::store_half, "store-half"},
    {Mutation::store_swaps_ledger, "store-swaps-ledger"},
    {Mutation::stop_forgotten, "stop-forgotten"},
    {Mutation::stop_wrong_builder, "stop-wrong-builder"},
    {Mutation::launch_twice, "launch-twice"},
    {Mutation::launch_wrong_image, "launch-wrong-image"},
    {Mutation::assign_twice, "assign-twice"},
    {Mutation::assign_other, "assign-other"},
    {Mutation::result_changed, "result-changed"},
    {Mutation::list_forgets, "list-forgets"},
}};

inline std::optional<Mutation> mutation_named(std::string_view name) {
  for (const auto& [m, n] : mutations)
    if (n == name) return m;
  return std::nullopt;
}

}  // namespace mayfly::sim

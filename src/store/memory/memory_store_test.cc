#include "store/memory/memory_store.h"

#include <gtest/gtest.h>

#include "tests/contract/store_contract.h"

namespace mayfly {
namespace {

class InMemory final : public contract::StoreUnderTest {
 public:
  Store& store() override { return store_; }
  void reopen() override {}

 private:
  MemoryStore store_;
};

TEST(MemoryStore, AFailureOnPurposeChangesNothing) {
  MemoryStore store;
  store.fail_commits(Error{ErrorCode::exhausted, "the disk is full"});
  auto refused = store.commit({.jobs = {contract::make_job(1)}, .ledger = {contract::make_entry("job/1")}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_EQ(store.load()->next_job, 1U);
  store.fail_commits(std::nullopt);
  EXPECT_TRUE(store.commit({.jobs = {contract::make_job(1)}}));
  EXPECT_EQ(store.commits(), 1U);
}

}  // namespace

namespace contract {
INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         testing::Values(StoreMaker{[] { return std::make_unique<InMemory>(); }}));
}  // namespace contract
}  // namespace mayfly

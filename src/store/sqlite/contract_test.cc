#include "store/sqlite/scratch.h"
#include "tests/contract/store_contract.h"

namespace mayfly::contract {
namespace {

class OnDisk final : public StoreUnderTest {
 public:
  OnDisk() { reopen(); }
  Store& store() override { return *store_; }
  void reopen() override {
    store_.reset();
    store_ = open_store(scratch_.database());
  }

 private:
  Scratch scratch_;
  std::unique_ptr<SqliteStore> store_;
};

}  // namespace
INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(StoreMaker{[] { return std::make_unique<OnDisk>(); }}));
}  // namespace mayfly::contract

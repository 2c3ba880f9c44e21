// State bytes that the real optimizers keep: recorded on a CPU with torch 2.13.0, bitsandbytes 0.50.2 and transformers
// 5.23.0 (2026-11-21), one step on a parameter of each shape, summing the tensors of its state (`step` and the shared
// quantization maps left out).
#include "model/optimizer.hpp"

#include "catch.hpp"

using namespace shardsim;

namespace {

using Shape = std::vector<std::int64_t>;

std::int64_t bytes(OptimizerKind kind, const Shape& shape, DType type = DType::f32) {
  std::int64_t sum = 0;
  for (const StateTensor& state : state_tensors(kind, {shape, type})) sum += state.bytes;
  return sum;
}

Architecture model(const std::string& name) {
  return load_architecture(name, std::string(SHARDSIM_SOURCE) + "/model/zoo");
}

std::int64_t bytes_of(const std::string& name, OptimizerKind kind) {
  return state_bytes(kind, optimized_parameters(model(name), DType::f32));
}

}  // namespace

TEST_CASE("states have the sizes that were recorded") {
  struct Row {
    Shape shape;
    std::int64_t adamw_8bit, paged_adamw, lion, lion_8bit, adafactor, adamw;
  };
  const std::vector<Row> rows = {{{4096}, 8320, 32768, 16384, 4160, 16388, 32768},
                                 {{4095}, 32760, 32760, 16380, 16380, 16384, 32760},
                                 {{5000}, 10160, 40000, 20000, 5080, 20004, 40000},
                                 {{63, 65}, 32760, 32760, 16380, 16380, 516, 32760},
                                 {{64, 64}, 8320, 32768, 16384, 4160, 516, 32768},
                                 {{1000, 300}, 609376, 2400000, 1200000, 304688, 5204, 2400000},
                                 {{4096, 11008}, 91586560, 360710144, 180355072, 45793280, 60420, 360710144},
                                 {{100000}, 203128, 800000, 400000, 101564, 400004, 800000}};
  for (const Row& row : rows) {
    INFO(row.shape.front());
    CHECK(bytes(OptimizerKind::adamw_8bit, row.shape) == row.adamw_8bit);
    CHECK(bytes(OptimizerKind::paged_adamw, row.shape) == row.paged_adamw);
    CHECK(bytes(OptimizerKind::lion, row.shape) == row.lion);
    CHECK(bytes(OptimizerKind::lion_8bit, row.shape) == row.lion_8bit);
    CHECK(bytes(OptimizerKind::adafactor, row.shape) == row.adafactor);
    CHECK(bytes(OptimizerKind::adamw, row.shape) == row.adamw);
    CHECK(bytes(OptimizerKind::sgd_momentum, row.shape) == row.lion);
    CHECK(bytes(OptimizerKind::sgd, row.shape) == 0);
    // bitsandbytes and Adafactor keep fp32 whatever the weights are; PyTorch's own follow them.
    for (const OptimizerKind kind : {OptimizerKind::adamw_8bit, OptimizerKind::lion, OptimizerKind::adafactor}) {
      CHECK(bytes(kind, row.shape, DType::bf16) == bytes(kind, row.shape));
    }
    CHECK(bytes(OptimizerKind::adamw, row.shape, DType::bf16) == row.adamw / 2);
    CHECK(bytes(OptimizerKind::adamw_bf16, row.shape) == row.adamw / 2);
  }
}

TEST_CASE("Muon keeps one moment for hidden matrices, AdamW's two for the rest") {
  CHECK(bytes(OptimizerKind::muon, {1000, 300}) == 1'200'000);
  CHECK(bytes(OptimizerKind::muon, {1000, 300}, DType::bf16) == 600'000);
  CHECK(bytes(OptimizerKind::muon, {300}) == 2400);
  const Architecture llama = model("llama-3-8b");
  const std::int64_t table = llama.dims.vocab * llama.dims.hidden;
  const std::int64_t norms = (2 * llama.dims.layers + 1) * llama.dims.hidden;
  const std::int64_t hidden = llama.parameter_count() - 2 * table - norms;
  CHECK(bytes_of("llama-3-8b", OptimizerKind::muon) == 4 * hidden + 8 * (2 * table + norms));
}

TEST_CASE(
    "the Trainer keeps 32-bit states for embeddings, tied heads included, and 8-bit ones for heads of their own") {
  for (const std::string name : {"llama-2-7b", "llama-3.2-1b"}) {
    INFO(name);
    const Architecture architecture = model(name);
    const std::int64_t table = architecture.dims.vocab * architecture.dims.hidden;
    std::int64_t expected = 8 * table + 2 * 1024;
    for (const Parameter& parameter : architecture.parameters) {
      if (parameter.name.find("embed_tokens") != std::string::npos) continue;
      expected += bytes(OptimizerKind::adamw_8bit, parameter.shape);
    }
    CHECK(bytes_of(name, OptimizerKind::adamw_8bit) == expected);
  }
}

TEST_CASE("paged states are the moments of 100 000 elements and more") {
  for (const auto& [elements, paged] : std::vector<std::pair<std::int64_t, bool>>{{99'999, false}, {100'000, true}}) {
    for (const StateTensor& state : state_tensors(OptimizerKind::paged_adamw_8bit, {{elements}})) {
      CHECK(state.paged == (paged && state.name.starts_with("state")));
    }
    for (const StateTensor& state : state_tensors(OptimizerKind::adamw_8bit, {{elements}})) CHECK_FALSE(state.paged);
  }
}

TEST_CASE("8-bit moments never take more than 32-bit ones, and save 7B models about 42 GB") {
  for (const std::string name : {"gpt2", "llama-3-8b", "mixtral-8x7b", "bloom-560m"}) {
    INFO(name);
    CHECK(bytes_of(name, OptimizerKind::adamw_8bit) < bytes_of(name, OptimizerKind::adamw));
    CHECK(bytes_of(name, OptimizerKind::lion_8bit) < bytes_of(name, OptimizerKind::lion));
    CHECK(bytes_of(name, OptimizerKind::adafactor) < bytes_of(name, OptimizerKind::lion_8bit));
    CHECK(bytes_of(name, OptimizerKind::paged_adamw_8bit) == bytes_of(name, OptimizerKind::adamw_8bit));
  }
  // 7e9 parameters at 8 and at 2 + 8/256 bytes: the round figure of the field.
  const OptimizedTensor seven_billion = flat_partition(7'000'000'000, DType::f32);
  const std::int64_t saved =
      state_bytes(OptimizerKind::adamw, {seven_billion}) - state_bytes(OptimizerKind::adamw_8bit, {seven_billion});
  CHECK(static_cast<double>(saved) == Approx(41.78e9).epsilon(1e-3));
  // Llama-2-7B has 6.74e9, of which 0.13e9 stay in fp32.
  const std::int64_t llama =
      bytes_of("llama-2-7b", OptimizerKind::adamw) - bytes_of("llama-2-7b", OptimizerKind::adamw_8bit);
  CHECK(static_cast<double>(llama) == Approx(39.4e9).epsilon(2e-3));
}

TEST_CASE("a flat partition has no rows, so Adafactor keeps a full second moment of it") {
  CHECK(state_bytes(OptimizerKind::adafactor, {flat_partition(1'000'000, DType::f32)}) == 4'000'004);
  CHECK(state_bytes(OptimizerKind::adafactor, {{{1000, 1000}, DType::f32}}) == 8'004);
}

#include "sim/plan/optimizers/zero_muon.hpp"

#include <algorithm>

#include "model/graph_builder.hpp"

namespace shardsim {
namespace {

constexpr int iterations = 5;
constexpr int restart = 2;  // where the iteration on the Gram matrix begins anew, for stability in 16 bits
constexpr std::int64_t fp16_bytes = 2;
// The Gram matrix, the polynomial, its running product and one result under way: what is read later on. Assumed of
// inductor's reuse of buffers.
constexpr std::int64_t square_buffers = 4;

}  // namespace

ZeroMuon::ZeroMuon(const Architecture& architecture, Recorder& recorder, Precision precision)
    : architecture_(architecture),
      recorder_(recorder),
      gradient_bytes_(zero_sizes(precision).weight),
      scales_loss_(precision == Precision::fp16_mixed) {}

void ZeroMuon::orthogonalize(const FlatGroup& group) {
  if (group.owned.empty()) return;
  stage_momentum(group);
  for (const OwnedSlice& slice : group.owned) update(architecture_.parameter(slice.parameter));
}

// _muon_momentum_buffer and _muon_staging_momentum.
void ZeroMuon::stage_momentum(const FlatGroup& group) {
  if (!has_momentum_) {
    has_momentum_ = true;
    for (const OwnedSlice& slice : group.owned) {
      momentum_bytes_ += architecture_.parameter(slice.parameter).numel * gradient_bytes_;
    }
    recorder_.allocate(Category::optimizer, momentum_bytes_, "momentum_buffer");
    recorder_.elementwise(static_cast<double>(momentum_bytes_), "zero moments");
    recorder_.allocate(Category::buffers, momentum_bytes_, "staged momentum");
  }
  recorder_.elementwise(2.0 * static_cast<double>(momentum_bytes_), "stage momentum");
}

void ZeroMuon::commit_momentum() {
  if (has_momentum_) recorder_.elementwise(2.0 * static_cast<double>(momentum_bytes_), "commit momentum");
}

void ZeroMuon::update(const Parameter& parameter) {
  const std::vector<std::int64_t>& shape = parameter.shape;
  const std::int64_t rows = shape[shape.size() - 2], columns = shape.back();
  const Matrices matrices{std::min(rows, columns), std::max(rows, columns), parameter.numel / (rows * columns)};
  const auto elements = static_cast<double>(parameter.numel);
  const auto bytes = elements * static_cast<double>(gradient_bytes_);
  recorder_.elementwise(bytes, "muon finite");
  recorder_.elementwise(4 * bytes, "muon momentum");  // and Nesterov's gradient, both in place
  recorder_.elementwise(bytes, "muon norm");
  const TensorId orthogonal = rows == columns ? iterate_on_whole(matrices) : iterate_on_gram(matrices);
  updates_.push_back(recorder_.allocate(Category::gradients, parameter.numel * gradient_bytes_, "muon update"));
  recorder_.elementwise(2 * bytes + fp16_bytes * elements, "muon update");
  recorder_.release(orthogonal);
}

TensorId ZeroMuon::operand(const Matrices& matrices) {
  return recorder_.allocate(Category::workspace, matrices.numel() * fp16_bytes, "muon temporaries");
}

TensorId ZeroMuon::iterate_on_gram(const Matrices& matrices) {
  const StreamId stream = Recorder::compute_stream();
  const std::int64_t n = matrices.short_side, m = matrices.long_side, count = matrices.count;
  const auto elements = static_cast<double>(matrices.numel());
  TensorId x = operand(matrices);
  recorder_.elementwise(elements * static_cast<double>(gradient_bytes_ + fp16_bytes), "muon scale");
  const std::int64_t square_bytes = n * n * count * fp16_bytes;
  const TensorId squares = recorder_.allocate(Category::workspace, square_buffers * square_bytes, "muon gram matrices");
  const auto square = [&](int times) {
    for (int i = 0; i < times; ++i) {
      recorder_.kernel(graph::matmul_kernel(DType::f16, n, n, n, count), "muon polynomial", stream);
      recorder_.elementwise(3.0 * static_cast<double>(square_bytes), "muon combine");
    }
  };
  const auto gram = [&] { recorder_.kernel(graph::matmul_kernel(DType::f16, n, n, m, count), "muon gram", stream); };
  const auto orthogonalize = [&] {
    const TensorId result = operand(matrices);
    recorder_.kernel(graph::matmul_kernel(DType::f16, n, m, n, count), "muon orthogonalize", stream);
    recorder_.release(x);
    x = result;
  };
  gram();
  for (int i = 0; i < iterations; ++i) {
    if (i == restart) {
      orthogonalize();
      gram();
    }
    square(1);                                              // the polynomial of the Gram matrix
    if (i != 0 && i != restart) square(1);                  // the product of polynomials so far
    if (i + 1 < iterations && i + 1 != restart) square(2);  // the next Gram matrix
  }
  orthogonalize();
  recorder_.release(squares);
  return x;
}

TensorId ZeroMuon::iterate_on_whole(const Matrices& matrices) {
  const StreamId stream = Recorder::compute_stream();
  const std::int64_t n = matrices.short_side, count = matrices.count;
  const auto bytes = static_cast<double>(matrices.numel() * fp16_bytes);
  TensorId x = operand(matrices);
  recorder_.elementwise(static_cast<double>(matrices.numel() * gradient_bytes_) + bytes, "muon scale");
  const Kernel product = graph::matmul_kernel(DType::f16, n, n, n, count);
  for (int i = 0; i < iterations; ++i) {
    const TensorId gram = operand(matrices);
    recorder_.kernel(product, "muon gram", stream);
    const TensorId polynomial = operand(matrices);
    recorder_.kernel(product, "muon polynomial", stream);
    recorder_.elementwise(3 * bytes, "muon combine");
    recorder_.release(gram);
    const TensorId result = operand(matrices);
    recorder_.kernel(product, "muon orthogonalize", stream);
    recorder_.elementwise(3 * bytes, "muon combine");
    recorder_.release(polynomial);
    recorder_.release(x);
    x = result;
  }
  return x;
}

void ZeroMuon::release_updates() {
  for (const TensorId update : updates_) recorder_.release(update);
  updates_.clear();
}

void ZeroMuon::step(std::int64_t elements, std::int64_t master) {
  const auto bytes = static_cast<double>(elements * master);
  if (scales_loss_) recorder_.elementwise(2 * bytes, "scale muon update");
  recorder_.elementwise(2 * bytes, "muon weight decay");
  recorder_.elementwise(3 * bytes, "add muon update");
  release_updates();
}

}  // namespace shardsim

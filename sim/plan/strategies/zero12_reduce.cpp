// ZeRO stages 1 and 2: gradients through the buckets to their owners.
#include <utility>

#include "sim/plan/strategies/strategies.hpp"
#include "sim/plan/strategies/zero12.hpp"

namespace shardsim {

void Zero12::set_up_buckets() {
  const std::int64_t bytes = request_.zero.reduce_bucket_size * sizes_.weight;
  for (std::size_t i = 0; i < (overlaps_ ? 2 : 1); ++i) {
    if (!ipg_buffers_[i].valid()) ipg_buffers_[i] = recorder_.allocate(Category::buffers, bytes, "ipg bucket");
  }
}

void Zero12::add_to_bucket(ParameterId parameter, TensorId gradient) {
  const std::int64_t numel = architecture_.parameter(parameter).numel;
  if (bucket_elements_ > 0 && bucket_elements_ + numel > request_.zero.reduce_bucket_size) flush();
  if (numel <= request_.zero.reduce_bucket_size) {
    recorder_.elementwise(2.0 * static_cast<double>(numel * sizes_.weight), "copy to bucket");
    recorder_.release(gradient);
    gradient = TensorId{};
  } else if (offload_) {
    gradient = cloned(gradient);
  }
  bucket_.push_back({parameter, gradient});
  bucket_elements_ += numel;
}

// With offload a gradient that is reduced where it is gets a storage of its own first.
TensorId Zero12::cloned(TensorId gradient) {
  const std::int64_t bytes = recorder_.bytes_of(gradient);
  const TensorId clone = recorder_.allocate(Category::gradients, bytes, "grad");
  recorder_.elementwise(2.0 * static_cast<double>(bytes), "clone grad");
  recorder_.release(gradient);
  return clone;
}

std::vector<OwnerSlice> Zero12::slices_of_bucket() const {
  std::vector<OwnerSlice> slices;
  for (const Pending& pending : bucket_) {
    add_slices(places_[pending.parameter.index()], architecture_.parameter(pending.parameter).numel, slices);
  }
  return slices;
}

// reduce_ipg_grads and average_tensor: divide, all-reduce, keep what is owned.
void Zero12::flush() {
  if (bucket_.empty()) return;
  recorder_.wait_stream(reduce_, Recorder::compute_stream());
  recorder_.wait_stream(Recorder::compute_stream(), reduce_);
  recorder_.elementwise(2.0 * static_cast<double>(bucket_elements_ * sizes_.weight), "average", reduce_);
  if (request_.zero.reduce_scatter) {
    all_reduce_by_owner();
  } else {
    reduce_over_ranks(bucket_elements_);
  }
  for (const Pending& pending : bucket_) {
    if (owned_elements_[pending.parameter.index()] > 0) keep_owned(pending.parameter);
  }
  for (Pending& pending : bucket_) {
    if (!pending.gradient.valid()) continue;
    // Stage 1 clears the gradients that others own in its epilogue only.
    const bool stays = !stage2_ && owned_elements_[pending.parameter.index()] == 0;
    if (stays) {
      reduced_in_place_.push_back(pending.gradient);
    } else {
      recorder_.release(pending.gradient);
    }
  }
  bucket_.clear();
  bucket_elements_ = 0;
}

void Zero12::all_reduce_by_owner() {
  std::vector<OwnerSlice> together;
  std::int64_t elements = 0;
  for (const OwnerSlice& slice : slices_of_bucket()) {
    together.push_back(slice);
    elements += slice.elements;
    if (elements <= request_.zero.reduce_bucket_size) continue;
    all_reduce(together, elements);
    together.clear();
    elements = 0;
  }
  if (!together.empty()) all_reduce(together, elements);
}

// In communication_data_type: another type goes through a copy.
void Zero12::reduce_over_ranks(std::int64_t elements) {
  const std::int64_t bytes = elements * size_of(*request_.reduce_dtype);
  TensorId cast;
  if (*request_.reduce_dtype != gradient_type(request_.precision)) {
    cast = recorder_.allocate(Category::buffers, bytes, "gradients in communication type", reduce_);
    recorder_.elementwise(static_cast<double>(bytes + elements * sizes_.weight), "cast gradients", reduce_);
  }
  recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bytes), "all-reduce gradients", reduce_);
  if (!cast.valid()) return;
  recorder_.elementwise(static_cast<double>(bytes + elements * sizes_.weight), "cast gradients back", reduce_);
  recorder_.release(cast);
}

// allreduce_and_scatter: slices of several owners are flattened first, and the owner's copied back.
void Zero12::all_reduce(const std::vector<OwnerSlice>& slices, std::int64_t elements) {
  const double bytes = static_cast<double>(elements * sizes_.weight);
  TensorId flat;
  if (slices.size() > 1) {
    flat = recorder_.allocate(Category::buffers, elements * sizes_.weight, "flat bucket", reduce_);
    recorder_.elementwise(2 * bytes, "flatten", reduce_);
  }
  reduce_over_ranks(elements);
  if (!flat.valid()) return;
  std::int64_t owned = 0;
  for (const OwnerSlice& slice : slices) owned += slice.owner == recorder_.rank() ? slice.elements : 0;
  if (owned > 0) {
    recorder_.elementwise(2.0 * static_cast<double>(owned * sizes_.weight), "copy owned slices", reduce_);
  }
  recorder_.release(flat);
}

// copy_grads_in_partition, or the way to host memory. All owned parameters' gradients share one storage, each with
// its full length even where only a slice of it is owned.
void Zero12::keep_owned(ParameterId p) {
  const double bytes = static_cast<double>(architecture_.parameter(p).numel * sizes_.weight);
  if (offload_) {
    download(p);
    return;
  }
  if (stage2_ && micro_step_ > 0) {
    // Later micro-steps fill a second storage, which is then added to the first.
    if (!accumulated_.valid()) {
      accumulated_ =
          recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition", reduce_);
    }
    recorder_.elementwise(5 * bytes, "accumulate grad", reduce_);
    return;
  }
  if (!grads_in_partition_.valid()) {
    grads_in_partition_ =
        recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition", reduce_);
  }
  recorder_.elementwise(2 * bytes, "copy grad to partition", reduce_);
}

void Zero12::download(ParameterId p) {
  const std::int64_t slice = owned_elements_[p.index()];
  if (stage2_ && request_.grad_accum > 1) accumulate_on_host(p);
  if (!boundary_) return;
  const TensorId wide = recorder_.allocate(Category::workspace, 8 * slice, "norm in fp64", reduce_);
  recorder_.elementwise(18.0 * static_cast<double>(slice), "norm", reduce_);
  recorder_.release(wide);
  check_overflow(architecture_.parameter(p).numel, reduce_);
  recorder_.synchronize_stream(reduce_);
  TensorId cast;
  if (sizes_.master != sizes_.weight) {
    cast = recorder_.allocate(Category::buffers, slice * sizes_.master, "fp32 grad", reduce_);
    recorder_.elementwise(static_cast<double>(slice * (sizes_.weight + sizes_.master)), "cast grad", reduce_);
  }
  last_download_ = recorder_.copy(Direction::to_host, static_cast<double>(slice * sizes_.master), pinned_,
                                  "download fp32 grad", reduce_);
  recorder_.reset(cast);
}

// async_accumulate_grad_in_cpu_via_gpu: each parameter has its own buffer, made in the first micro-step; with a
// 16-bit master the optimizer's gradient serves. The host waits for the copies under way before it starts more.
void Zero12::accumulate_on_host(ParameterId p) {
  const bool whole = sizes_.master != 2;
  const std::int64_t elements = whole ? architecture_.parameter(p).numel : owned_elements_[p.index()];
  const double bytes = static_cast<double>(elements * sizes_.weight);
  recorder_.synchronize(last_download_);
  if (whole && !accumulates_[p.index()]) {
    accumulates_[p.index()] = true;
    recorder_.allocate_host(pinned_pool(), Category::gradients, elements * sizes_.weight, "accumulated grads");
  }
  if (micro_step_ > 0) {
    recorder_.copy(Direction::to_device, bytes, pinned_, "upload accumulated grad", reduce_);
    recorder_.elementwise(3 * bytes, "accumulate grad", reduce_);
  }
  last_download_ = recorder_.copy(Direction::to_host, bytes, pinned_, "download accumulated grad", reduce_);
}

}  // namespace shardsim

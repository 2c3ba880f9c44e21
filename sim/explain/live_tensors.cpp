#include "sim/explain/live_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/report/phases.hpp"

namespace shardsim {

void LiveTensors::add(const Program& program, std::size_t last, std::int64_t ranks) {
  std::vector<std::optional<std::uint32_t>> made(program.tensors.size());
  std::uint32_t mark = 0;
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::mark) mark = instruction.index;
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (std::find(pools_.begin(), pools_.end(), tensor.pool) == pools_.end()) continue;
    if (allocates && i <= last) made[instruction.index] = mark;
    if (allocates || !made[instruction.index]) continue;
    if (i > last) note(program, tensor, ranks, *made[instruction.index], mark);
    made[instruction.index].reset();
  }
  for (std::size_t t = 0; t < made.size(); ++t) {
    if (made[t]) note(program, program.tensors[t], ranks, *made[t], std::nullopt);
  }
}

void LiveTensors::note(const Program& program, const Tensor& tensor, std::int64_t ranks, std::uint32_t since,
                       std::optional<std::uint32_t> until) {
  Life& life = lives_[{tensor.category, static_cast<std::uint32_t>(tensor.label.index()), tensor.bytes}];
  if (life.count == 0) life = {&program, 0, tensor.layer, tensor.layer, since, std::nullopt, false};
  life.count += ranks;
  if (life.program != &program) return;
  life.since = std::min(life.since, since);
  if (tensor.layer >= 0) {
    life.first_layer = life.first_layer < 0 ? tensor.layer : std::min(life.first_layer, tensor.layer);
    life.last_layer = std::max(life.last_layer, tensor.layer);
  }
  if (!until) life.stays = true;
  if (until) life.until = std::max(life.until.value_or(0), *until);
}

TensorGroup LiveTensors::group(const Key& key, const Life& life, const Arithmetic& arithmetic) const {
  TensorGroup made;
  made.name = plan_.labels[std::get<1>(key)];
  made.count = life.count;
  made.bytes_each = std::get<2>(key);
  made.arithmetic = arithmetic.of(std::get<0>(key), made.bytes_each);
  if (life.first_layer >= 0) {
    made.layers = life.first_layer == life.last_layer
                      ? fmt::format("layer {}", life.first_layer)
                      : fmt::format("layers {} to {}", life.first_layer, life.last_layer);
  }
  made.since = describe(plan_, life.program->marks[life.since]);
  if (!life.stays && life.until) made.until = describe(plan_, life.program->marks[*life.until]);
  return made;
}

std::vector<CategoryExplanation> LiveTensors::explain(const std::array<std::int64_t, category_count>& held,
                                                      const Arithmetic& arithmetic) const {
  std::vector<CategoryExplanation> categories;
  for (std::size_t c = 0; c < category_count; ++c) {
    if (held[c] == 0) continue;
    CategoryExplanation entry;
    entry.category = static_cast<Category>(c);
    entry.bytes = held[c];
    entry.rounding = entry.bytes;
    for (const auto& [key, life] : lives_) {
      if (std::get<0>(key) != entry.category) continue;
      entry.groups.push_back(group(key, life, arithmetic));
      entry.rounding -= entry.groups.back().bytes();
    }
    entry.arithmetic = arithmetic.of_all(entry.category, entry.bytes - entry.rounding);
    std::stable_sort(entry.groups.begin(), entry.groups.end(),
                     [](const TensorGroup& a, const TensorGroup& b) { return a.bytes() > b.bytes(); });
    categories.push_back(std::move(entry));
  }
  return categories;
}

}  // namespace shardsim

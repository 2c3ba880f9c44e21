// A number of bytes as a product of the model's own numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "sim/plan/plan.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Finds how a tensor's size comes about: "1 x 4096 tokens x 11008 ffn x 2 B", "11008 x 4096 (mlp.gate_proj) x 2 B / 8
/// ranks". Only exact products count; what none explains stays without one.
class Arithmetic {
 public:
  Arithmetic(const Request& request, const Architecture& architecture, std::int64_t ranks, std::int64_t ranks_a_node);

  /// Empty where no product is exact.
  std::string of(Category category, std::int64_t bytes) const;
  /// A whole category as a number of bytes a parameter, to a thousandth; empty where it is none.
  std::string of_all(Category category, std::int64_t bytes) const;

 private:
  struct Product {
    std::int64_t elements = 0;
    std::string text;
  };
  std::string match(const std::vector<Product>& products, std::int64_t bytes) const;

  std::vector<Product> activations_, parameters_, wholes_;
  std::vector<std::int64_t> shards_;
};

}  // namespace shardsim

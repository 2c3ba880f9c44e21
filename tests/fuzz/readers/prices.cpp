// The price lists of plan.
#include "sim/search/prices.hpp"
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added prices({.name = "prices",
                    .file_name = "prices.yaml",
                    .seeds = {"topologies/prices.yaml"},
                    .read = [](const Input& input) { PriceList().read(input.file); }});

}  // namespace shardsim::fuzz

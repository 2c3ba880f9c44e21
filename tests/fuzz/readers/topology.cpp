// What --topology takes in one word, and its routes.
#include "fuzz/reader.hpp"
#include "model/core/error.hpp"
#include "sim/topology/shorthand.hpp"

namespace shardsim::fuzz {

namespace {

/// Large clusters take a while and have nothing new; larger ones yet are refused.
void read(const Input& input) {
  static const std::vector<std::string> systems = system_names(data().topologies);
  const Shorthand shorthand = parse_shorthand(input.text, systems);
  if (shorthand.nodes <= 4 || shorthand.nodes > 32'768) build_machine(input.text, "");
}

}  // namespace

const Added topology({.name = "topology",
                      .file_name = "unused",
                      .seeds = {},
                      .read = read,
                      .own_seeds = {"4xA100", "2x8xH100", "2xdgx-a100", "p4d.24xlarge", "1xRTX-4090", "64x8xH100"}});

}  // namespace shardsim::fuzz

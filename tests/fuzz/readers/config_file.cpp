// Our own --config files, up to the request.
#include "fuzz/reader.hpp"
#include "sim/request/parse_request.hpp"

namespace shardsim::fuzz {

const Added config_file({.name = "config_file",
                         .file_name = "run.conf",
                         .seeds = {"examples/*.conf", "examples/lessons/*.conf"},
                         .read = [](const Input& input) {
                           parse_request({"--config", input.file.string()});
                         }});

}  // namespace shardsim::fuzz

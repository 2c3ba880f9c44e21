#include "model/architecture.hpp"

#include <algorithm>
#include <cctype>

#include "model/architecture_builder.hpp"
#include "model/config.hpp"
#include "model/config_dimensions.hpp"
#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "model/core/units.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

/// Whether what the user typed can only be, or is, a config on disk.
bool names_config(std::string_view name) {
  if (name.find('/') != std::string_view::npos || name.ends_with(".json")) return true;
  std::error_code ignored;
  return fs::exists(fs::path(name) / "config.json", ignored);
}

/// Like normalized_name, but numbers stay apart: opt-1.3b is not opt-13b.
std::string with_numbers_apart(std::string_view name) {
  std::string key;
  bool apart = false;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0) {
      apart = true;
      continue;
    }
    if (apart && std::isdigit(byte) != 0 && !key.empty() && std::isdigit(static_cast<unsigned char>(key.back())) != 0) {
      key.push_back('.');
    }
    key.push_back(static_cast<char>(std::tolower(byte)));
    apart = false;
  }
  return key;
}

/// The one shipped name that is spelled so, if there is exactly one.
template <class Spelling>
std::optional<std::string> only_match(const std::vector<std::string>& known, std::string_view name, Spelling spelling) {
  const std::string wanted = spelling(name);
  std::optional<std::string> match;
  for (const std::string& candidate : known) {
    if (spelling(candidate) != wanted) continue;
    if (match) return std::nullopt;
    match = candidate;
  }
  return match;
}

}  // namespace

std::int64_t Parameter::stored_bytes(DType otherwise) const {
  if (!quantization) return numel * size_of(type.value_or(otherwise));
  return quantized().data + quantized().statistics;
}

std::int64_t Architecture::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters) {
    if (__builtin_add_overflow(count, parameter.numel, &count)) throw_overflow("the number of parameters");
  }
  constexpr std::int64_t most_parameters = 1'000'000'000'000'000;
  if (count > most_parameters) {
    throw InputError("the model has " + std::to_string(count) + " parameters", name,
                     "at most " + std::to_string(most_parameters));
  }
  return count;
}

std::int64_t Architecture::trainable_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters) count += parameter.trainable ? parameter.numel : 0;
  return count;
}
std::int64_t Architecture::buffer_bytes() const {
  constexpr std::int64_t f32 = 4;
  std::int64_t bytes = 0;
  for (const Module& module : modules) {
    if (module.kind == ModuleKind::rotary) bytes += dims.rotary_dim / 2 * f32;
  }
  if (dims.family == Family::gpt2) bytes += dims.layers * dims.max_positions * dims.max_positions;
  if (dims.family == Family::deepseek_v3 && dims.experts) {
    bytes += std::count(dims.layer_is_moe.begin(), dims.layer_is_moe.end(), true) * dims.experts->count * f32;
  }
  return bytes;
}

bool Architecture::adapted() const {
  return std::any_of(parameters.begin(), parameters.end(), [](const Parameter& p) { return !p.trainable; });
}
std::int64_t Architecture::active_parameter_count() const {
  const std::int64_t all = parameter_count();
  if (!dims.experts) return all;
  std::int64_t routed = 0;
  for (const Parameter& parameter : parameters) {
    if (parameter.name.find(".experts.") != std::string::npos) routed += parameter.numel;
  }
  return all - routed / dims.experts->count * (dims.experts->count - dims.experts->per_token);
}

std::vector<ModuleId> Architecture::layer_modules() const {
  std::vector<ModuleId> layers;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    if (modules[i].layer >= 0 && module(modules[i].parent).layer < 0) layers.emplace_back(i);
  }
  return layers;
}

Architecture read_architecture(const fs::path& config, std::string_view name) {
  std::error_code ignored;
  const fs::path file = fs::is_directory(config, ignored) ? config / "config.json" : config;
  const Config read = Config::read(file);
  Architecture architecture =
      build_architecture(read_dimensions(read), name.empty() ? file.string() : std::string(name));
  architecture.stored = read_quantization(read);
  for (const std::string_view part : {"vision_config", "audio_config"}) {
    if (!read.has({part})) continue;
    architecture.warnings.push_back(architecture.name + ": its " + std::string(part) +
                                    " is not simulated: memory and time are those of the language model alone");
  }
  return architecture;
}

Architecture build_architecture(const Dimensions& dims, std::string_view name) {
  Architecture architecture;
  architecture.name = name;
  architecture.dims = dims;
  ArchitectureBuilder builder(architecture);
  switch (dims.family) {
    case Family::gpt2:
      build_gpt2(builder);
      break;
    case Family::gpt_neox:
      build_gpt_neox(builder);
      break;
    case Family::falcon:
      build_falcon(builder);
      break;
    case Family::opt:
      build_opt(builder);
      break;
    case Family::bloom:
      build_bloom(builder);
      break;
    case Family::mpt:
      build_mpt(builder);
      break;
    default:
      build_llama_like(builder);
  }
  architecture.parameter_count();  // refuses a model whose size leaves 64 bits
  return architecture;
}

Architecture load_architecture(std::string_view name_or_path, const fs::path& zoo) {
  const fs::path path(name_or_path);
  std::error_code ignored;
  if (names_config(name_or_path) && fs::exists(path, ignored)) return read_architecture(path);

  const std::vector<std::string> known = zoo_names(zoo);
  if (names_config(name_or_path)) {
    // "Qwen/Qwen2.5-7B" has no ending; "my-llama/config.json" names its folder.
    const fs::path model = path.filename() == "config.json" ? path.parent_path() : path;
    const std::string typed = (model.extension() == ".json" ? model.stem() : model.filename()).string();
    const std::vector<std::string> near = nearest_names(typed, known, 1);
    throw InputError("no such file: '" + path.string() + "'", "",
                     "a config.json, or a shipped model's name" + (near.empty() ? "" : " such as " + near.front()));
  }
  auto match = only_match(known, name_or_path, with_numbers_apart);
  if (!match) match = only_match(known, name_or_path, normalized_name);
  if (match) return read_architecture(zoo / (*match + ".json"), *match);
  if (fs::is_regular_file(path, ignored)) return read_architecture(path);
  throw_unknown_name("model", name_or_path, "", known);
}

std::vector<std::string> zoo_names(const fs::path& zoo) {
  std::vector<std::string> names;
  std::error_code fault;
  for (fs::directory_iterator entry(zoo, fault), end; !fault && entry != end; entry.increment(fault)) {
    if (entry->path().extension() == ".json") names.push_back(entry->path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace shardsim

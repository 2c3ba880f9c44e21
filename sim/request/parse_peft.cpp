#include "sim/request/parse_peft.hpp"

#include <algorithm>
#include <charconv>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/peft_config.hpp"

namespace shardsim {

namespace {

constexpr std::int64_t most_rank = 1 << 20;

const OptionText* find(const OptionTexts& texts, std::string_view option) {
  const auto text = texts.find(option);
  return text == texts.end() ? nullptr : &text->second;
}

/// Says that an option belongs to other methods, unless it says what counts anyway.
void refuse_without(bool method, const OptionText* text, std::string_view otherwise, const std::string& right) {
  if (method || text == nullptr || text->value == otherwise) return;
  throw InputError(text->where + " " + text->value + " has nothing to act on", "--peft", right);
}

std::int64_t parse_rank(const OptionText& text) {
  const std::int64_t rank = parse_count(text.value, text.where);
  if (rank < 1 || rank > most_rank) {
    throw InputError("'" + text.value + "' is no rank", text.where, "a whole number from 1 up, such as 16");
  }
  return rank;
}

double parse_dropout(const OptionText& text) {
  double share = 0;
  const char* end = text.value.data() + text.value.size();
  const auto [rest, error] = std::from_chars(text.value.data(), end, share);
  if (error != std::errc() || rest != end || !(share >= 0 && share < 1)) {
    throw InputError("'" + text.value + "' is no dropout", text.where, "a number from 0 to below 1, such as 0.05");
  }
  return share;
}

std::vector<std::string> parse_targets(const OptionText& text) {
  std::vector<std::string> targets(1);
  for (const char c : text.value) {
    if (c == ',') {
      targets.emplace_back();
    } else if (c != ' ') {
      targets.back() += c;
    }
  }
  const bool gap = std::any_of(targets.begin(), targets.end(), [](const std::string& name) { return name.empty(); });
  const bool mixed = targets.size() > 1 && std::find(targets.begin(), targets.end(), "all-linear") != targets.end();
  if (gap || mixed) {
    throw InputError("'" + text.value + "' is no list of modules", text.where,
                     "names with commas between them, such as q_proj,v_proj, or all-linear alone");
  }
  return targets;
}

PeftKind with_quantized_base(PeftKind kind) {
  if (kind == PeftKind::lora) return PeftKind::qlora;
  return kind == PeftKind::dora ? PeftKind::qdora : kind;
}

}  // namespace

void parse_peft(const OptionTexts& texts, Request& request) {
  Peft& peft = request.peft;
  const OptionText* quantization = find(texts, "quantization");
  if (const OptionText* method = find(texts, "peft")) {
    const std::vector<std::string> methods = names_of(peft_choices);
    const bool is_method = std::find(methods.begin(), methods.end(), method->value) != methods.end();
    if (!is_method && names_peft_config(method->value)) {
      request.peft_config = method->value;
      peft = read_peft_config(method->value, request.warnings);
      if (quantization != nullptr) peft.kind = with_quantized_base(peft.kind);
    } else {
      peft.kind = choose(peft_choices, "peft", *method);
    }
  }
  const OptionText* rank = find(texts, "lora-rank");
  const OptionText* targets = find(texts, "lora-targets");
  const OptionText* dropout = find(texts, "lora-dropout");
  const OptionText* upcast = find(texts, "kbit-upcast");
  refuse_without(peft.low_rank(), rank, "16", "lora, qlora, dora or qdora");
  refuse_without(peft.low_rank(), targets, "", "lora, qlora, dora or qdora");
  refuse_without(peft.low_rank(), dropout, "0", "lora, qlora, dora or qdora");
  refuse_without(peft.quantizes(), quantization, "nf4-dq", "qlora or qdora");
  if (peft.low_rank() && rank != nullptr) peft.rank = parse_rank(*rank);
  if (peft.low_rank() && dropout != nullptr) peft.dropout = parse_dropout(*dropout);
  if (targets != nullptr) {
    peft.targets = parse_targets(*targets);
    peft.target_pattern.clear();
  }
  if (quantization != nullptr) peft.quantization = choose(quantization_choices, "quantization", *quantization);
  if (peft.kind == PeftKind::qdora && peft.quantization == Quantization::gptq4) {
    throw InputError("PEFT has no DoRA over GPTQ's layers", "--quantization gptq4",
                     "nf4-dq, nf4, fp4 or int8, or qlora");
  }
  if (upcast != nullptr) {
    const bool on = parse_switch(*upcast);
    refuse_without(on ? peft.quantizes() : peft.any(), upcast, "", "qlora or qdora");
    peft.kbit_upcast = on;
  }
}

std::string targets_text(const Peft& peft) {
  std::string text;
  for (const std::string& target : peft.targets) text += (text.empty() ? "" : ",") + target;
  return text;
}

}  // namespace shardsim

// The words of the options that choose among values, and the values that they stand for.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/check.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

template <class Value>
struct Choice {
  std::string_view name;
  Value value;
};

inline constexpr std::array precision_choices = {Choice<Precision>{"bf16-mixed", Precision::bf16_mixed},
                                                 Choice<Precision>{"fp16-mixed", Precision::fp16_mixed},
                                                 Choice<Precision>{"amp-bf16", Precision::amp_bf16},
                                                 Choice<Precision>{"bf16", Precision::bf16},
                                                 Choice<Precision>{"fp32", Precision::fp32},
                                                 Choice<Precision>{"fp8-mixed", Precision::fp8_mixed}};
inline constexpr std::array reduce_dtype_choices = {
    Choice<DType>{"bf16", DType::bf16}, Choice<DType>{"fp16", DType::f16}, Choice<DType>{"fp32", DType::f32}};
inline constexpr std::array peft_choices = {
    Choice<PeftKind>{"none", PeftKind::none},    Choice<PeftKind>{"lora", PeftKind::lora},
    Choice<PeftKind>{"qlora", PeftKind::qlora},  Choice<PeftKind>{"dora", PeftKind::dora},
    Choice<PeftKind>{"qdora", PeftKind::qdora},  Choice<PeftKind>{"adapter", PeftKind::adapter},
    Choice<PeftKind>{"prompt", PeftKind::prompt}};
inline constexpr std::array quantization_choices = {
    Choice<Quantization>{"nf4-dq", Quantization::nf4_dq}, Choice<Quantization>{"nf4", Quantization::nf4},
    Choice<Quantization>{"fp4", Quantization::fp4}, Choice<Quantization>{"int8", Quantization::int8},
    Choice<Quantization>{"gptq4", Quantization::gptq4}};
inline constexpr std::array checkpointing_choices = {Choice<Checkpointing>{"none", Checkpointing::none},
                                                     Choice<Checkpointing>{"full", Checkpointing::full},
                                                     Choice<Checkpointing>{"selective", Checkpointing::selective}};
inline constexpr std::array attention_choices = {Choice<AttentionKind>{"flash", AttentionKind::flash},
                                                 Choice<AttentionKind>{"sdpa", AttentionKind::sdpa},
                                                 Choice<AttentionKind>{"eager", AttentionKind::eager}};
inline constexpr std::array allocator_choices = {Choice<AllocatorKind>{"caching", AllocatorKind::caching},
                                                 Choice<AllocatorKind>{"expandable", AllocatorKind::expandable}};
inline constexpr std::array loss_choices = {
    Choice<LossKind>{"eager", LossKind::eager}, Choice<LossKind>{"plain", LossKind::plain},
    Choice<LossKind>{"chunked", LossKind::chunked}, Choice<LossKind>{"fused", LossKind::fused}};
inline constexpr std::array implementation_choices = {
    Choice<Implementation>{"hf", Implementation::hf}, Choice<Implementation>{"torchtitan", Implementation::torchtitan},
    Choice<Implementation>{"liger", Implementation::liger}, Choice<Implementation>{"foak", Implementation::foak},
    Choice<Implementation>{"megatron", Implementation::megatron}};
inline constexpr std::array transformers_choices = {Choice<Transformers>{"4.45", Transformers::v4_45},
                                                    Choice<Transformers>{"4.48", Transformers::v4_48},
                                                    Choice<Transformers>{"4.57", Transformers::v4_57}};
inline constexpr std::array optimizer_choices = {
    Choice<OptimizerKind>{"adamw", OptimizerKind::adamw},
    Choice<OptimizerKind>{"adamw-8bit", OptimizerKind::adamw_8bit},
    Choice<OptimizerKind>{"paged-adamw", OptimizerKind::paged_adamw},
    Choice<OptimizerKind>{"paged-adamw-8bit", OptimizerKind::paged_adamw_8bit},
    Choice<OptimizerKind>{"adamw-bf16", OptimizerKind::adamw_bf16},
    Choice<OptimizerKind>{"adafactor", OptimizerKind::adafactor},
    Choice<OptimizerKind>{"lion", OptimizerKind::lion},
    Choice<OptimizerKind>{"lion-8bit", OptimizerKind::lion_8bit},
    Choice<OptimizerKind>{"muon", OptimizerKind::muon},
    Choice<OptimizerKind>{"sgd", OptimizerKind::sgd},
    Choice<OptimizerKind>{"sgd-momentum", OptimizerKind::sgd_momentum}};
inline constexpr std::array optimizer_impl_choices = {Choice<OptimizerImpl>{"fused", OptimizerImpl::fused},
                                                      Choice<OptimizerImpl>{"foreach", OptimizerImpl::foreach},
                                                      Choice<OptimizerImpl>{"for-loop", OptimizerImpl::for_loop}};
inline constexpr std::array save_choices = {
    Choice<SaveKind>{"none", SaveKind::none}, Choice<SaveKind>{"sharded", SaveKind::sharded},
    Choice<SaveKind>{"full", SaveKind::full}, Choice<SaveKind>{"gathered-16bit", SaveKind::gathered_16bit},
    Choice<SaveKind>{"adapter", SaveKind::adapter}};
inline constexpr std::array format_choices = {
    Choice<Format>{"text", Format::text}, Choice<Format>{"json", Format::json}, Choice<Format>{"csv", Format::csv},
    Choice<Format>{"markdown", Format::markdown}, Choice<Format>{"html", Format::html}};

template <class Value, std::size_t count>
std::vector<std::string> names_of(const std::array<Choice<Value>, count>& choices) {
  std::vector<std::string> names;
  for (const Choice<Value>& choice : choices) names.emplace_back(choice.name);
  return names;
}

/// The value that `text` names. Throws InputError for a name that nobody knows.
template <class Value, std::size_t count>
Value choose(const std::array<Choice<Value>, count>& choices, std::string_view option, const OptionText& text) {
  for (const Choice<Value>& choice : choices) {
    if (choice.name == text.value) return choice.value;
  }
  throw_unknown_name(option, text.value, text.where, names_of(choices));
}

/// The word for a value.
template <class Value, std::size_t count>
std::string_view name_in(const std::array<Choice<Value>, count>& choices, Value value) {
  const auto found = std::find_if(choices.begin(), choices.end(), [&](const auto& c) { return c.value == value; });
  SHARDSIM_CHECK(found != choices.end(), "every value that parses has a name");
  return found->name;
}

}  // namespace shardsim

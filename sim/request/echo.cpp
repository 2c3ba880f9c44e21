#include "sim/request/echo.hpp"

#include <fmt/format.h>

#include "sim/request/choices.hpp"
#include "sim/request/parse_peft.hpp"

namespace shardsim {

namespace {

OptionValue text_or_none(const std::string& text) {
  if (text.empty()) return {};
  return text;
}
OptionValue bytes_or_none(const std::optional<Bytes>& bytes) {
  if (!bytes) return {};
  return bytes->value();
}
template <class Value>
OptionValue value_or_none(const std::optional<Value>& value) {
  if (!value) return {};
  return *value;
}
template <class Value, std::size_t count>
OptionValue word(const std::array<Choice<Value>, count>& choices, Value value) {
  return std::string(name_in(choices, value));
}

std::string checkpointing_text(const Request& request) {
  if (request.checkpointing == Checkpointing::every) return fmt::format("every:{}", request.checkpoint_every);
  return std::string(name_in(checkpointing_choices, request.checkpointing));
}

}  // namespace

std::vector<std::pair<std::string_view, OptionValue>> echo(const Request& request) {
  const OptionValue none;
  const Peft& peft = request.peft;
  return {
      {"topology", request.topology},
      {"gpu", text_or_none(request.gpu)},
      {"model", request.model},
      {"strategy", request.strategy},
      {"deepspeed", text_or_none(request.deepspeed)},
      {"accelerate", text_or_none(request.accelerate)},
      {"seq-len", request.seq_len},
      {"micro-batch", request.micro_batch},
      {"grad-accum", request.grad_accum},
      {"precision", word(precision_choices, request.precision)},
      {"optimizer", word(optimizer_choices, request.optimizer)},
      {"peft", request.peft_config.empty() ? word(peft_choices, peft.kind) : OptionValue(request.peft_config)},
      {"lora-rank", peft.low_rank() ? OptionValue(peft.rank) : none},
      {"lora-targets", text_or_none(targets_text(peft))},
      {"lora-dropout", peft.low_rank() ? OptionValue(peft.dropout) : none},
      {"quantization", peft.quantizes() ? word(quantization_choices, peft.quantization) : none},
      {"kbit-upcast", peft.quantizes() ? value_or_none(peft.kbit_upcast) : none},
      {"reduce-dtype", request.reduce_dtype ? word(reduce_dtype_choices, *request.reduce_dtype) : none},
      {"checkpointing", checkpointing_text(request)},
      {"use-reentrant", request.checkpointing == Checkpointing::none ? none : value_or_none(request.use_reentrant)},
      {"attention", word(attention_choices, request.attention)},
      {"loss", word(loss_choices, request.loss)},
      {"implementation", word(implementation_choices, request.implementation)},
      {"transformers", word(transformers_choices, request.transformers)},
      {"keep-outputs", request.keep_outputs},
      {"compile", request.compile},
      {"optimizer-impl", word(optimizer_impl_choices, request.optimizer_impl)},
      {"pin-memory", value_or_none(request.pin_memory)},
      {"cpu-threads", value_or_none(request.cpu_threads)},
      {"allocator", word(allocator_choices, request.allocator)},
      {"save", word(save_choices, request.save)},
      {"tokens", value_or_none(request.tokens)},
      {"examples", value_or_none(request.examples)},
      {"epochs", value_or_none(request.epochs)},
      {"host-memory", bytes_or_none(request.host_memory)},
      {"nvme", bytes_or_none(request.nvme)},
      {"fabric", text_or_none(request.fabric)},
      {"slow-gpu", text_or_none(request.slow_gpus)},
      {"price", value_or_none(request.price)},
      {"seed", static_cast<std::int64_t>(request.seed)},
  };
}

std::string to_text(const OptionValue& value) {
  struct Writer {
    std::string operator()(std::monostate) const { return ""; }
    std::string operator()(bool on) const { return on ? "on" : "off"; }
    std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return text; }
  };
  return std::visit(Writer{}, value);
}

}  // namespace shardsim

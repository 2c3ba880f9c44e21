// A model as Hugging Face's config.json describes it: its dimensions, and its modules and parameters
// with the names, the shapes and the order that they have in the real checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/adapter.hpp"
#include "model/core/id.hpp"
#include "model/precision.hpp"

namespace shardsim {

using ModuleId = Id<struct ModuleTag>;
using ParameterId = Id<struct ParameterTag>;

/// The model families that are known.
enum class Family : std::uint8_t {
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3_moe,
  gemma,
  gemma2,
  gemma3,
  phi3,
  gpt2,
  gpt_neox,
  falcon,
  opt,
  bloom,
  mpt,
  deepseek_v3,
};
enum class Activation : std::uint8_t { silu, gelu, gelu_tanh, gelu_new, relu };
enum class NormKind : std::uint8_t { rms, layer };

/// One tensor of the model. `shape` is as in the checkpoint (Conv1D of gpt2: [in, out]; else [out, in]).
struct Parameter {
  std::string name;  ///< full checkpoint name, "model.layers.3.self_attn.q_proj.weight"
  std::vector<std::int64_t> shape;
  std::int64_t numel = 0;  ///< the product of `shape`
  bool trainable = true;
  std::optional<DType> type;  ///< where it does not follow the training precision: fp32 adapters, upcast norms
  std::optional<Quantization> quantization;

  /// What a device holds of it; `otherwise` is its type where `type` leaves it open.
  std::int64_t stored_bytes(DType otherwise) const;
  QuantizedBytes quantized() const { return quantized_bytes(*quantization, shape.front(), numel / shape.front()); }
};

enum class ModuleKind : std::uint8_t {
  container,  ///< root, model, decoder layer, attention, mlp, expert: its own forward may run operators
  embedding,
  linear,  ///< one matrix product (nn.Linear, Conv1D, a router)
  norm,
  activation,  ///< a module without parameters, such as SiLU
  rotary,      ///< computes cos and sin; takes no part in backward
  dropout,
  adapter,  ///< a bottleneck behind attention or mlp
};

/// One nn.Module that runs: a ModuleList never does, nor does an attention's dropout under fused attention, so neither
/// is here; but what PEFT replaced by a trained copy is, for its parameters. `parameters` are its direct ones (what a
/// hook on this module sees); a tied weight is listed by each module that uses it under one ParameterId. `children`
/// stand in the order in which forward calls them.
struct Module {
  std::string name;        ///< "model.layers.3.self_attn"; the root is ""
  std::string class_name;  ///< as in transformers: "LlamaDecoderLayer"
  ModuleKind kind = ModuleKind::container;
  ModuleId parent;
  std::vector<ModuleId> children;
  std::vector<ParameterId> parameters;
  std::int64_t in_features = 0;   ///< linear only
  std::int64_t out_features = 0;  ///< linear only
  std::int32_t layer = -1;        ///< index of the decoder layer it belongs to, -1 outside

  /// PEFT's ModulesToSaveWrapper: of the kind that it wraps, with the original and the copy, which runs, as children.
  bool is_copied() const { return class_name == "ModulesToSaveWrapper"; }
};

/// Mixture of experts; absent in dense models.
struct Experts {
  std::int64_t count = 0;       ///< routed experts
  std::int64_t per_token = 0;   ///< routed experts that a token visits
  std::int64_t ffn = 0;         ///< intermediate size of one expert
  std::int64_t shared_ffn = 0;  ///< intermediate size of the shared expert(s) together, 0 = none
};

/// Multi-head latent attention (deepseek_v3); absent elsewhere.
struct LatentAttention {
  std::int64_t q_rank = 0;  ///< 0: queries are projected directly
  std::int64_t kv_rank = 0;
  std::int64_t rope_dim = 0;
  std::int64_t nope_dim = 0;
  std::int64_t value_dim = 0;
};

/// All facts that shape memory and work. Widths are elements; q = heads * head_dim, kv = kv_heads * head_dim.
/// With latent attention head_dim is that of queries and keys (nope + rope); values have latent->value_dim.
struct Dimensions {
  Family family = Family::llama;
  std::int64_t vocab = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t ffn = 0;  ///< of dense layers
  std::int64_t max_positions = 0;
  bool learned_positions = false;  ///< gpt2, opt, mpt: a position table is added to the embedding
  bool rotary = true;
  std::int64_t rotary_dim = 0;  ///< rotated elements of each head: head_dim, or a part of it (gpt_neox); 0 = none
  bool alibi = false;           ///< bloom, mpt, falcon-rw: positions are a bias on the attention scores
  bool gated_mlp = true;        ///< gate and up projections (SwiGLU, GeGLU)
  bool fused_qkv = false;       ///< one projection for q, k, v
  bool fused_gate_up = false;
  bool attention_bias = false;  ///< on q, k, v
  bool output_bias = false;     ///< on the attention's output projection
  bool mlp_bias = false;
  bool norm_bias = false;              ///< layer norms usually have one
  bool qk_norm = false;                ///< norms over q and k heads (qwen3, gemma3)
  bool parallel_residual = false;      ///< attention and mlp read the same input (gpt_neox, falcon)
  bool two_norms_in_parallel = false;  ///< gpt_neox and falcon's new architecture: one norm for each branch
  bool sandwich_norms = false;         ///< gemma2, gemma3: a norm after attention and after mlp too
  bool post_norm = false;              ///< opt-350m: norms follow the residual sums instead of preceding the branches
  bool embedding_norm = false;         ///< bloom
  bool final_norm = true;
  bool tied_embeddings = false;
  bool embedding_scale = false;  ///< gemma multiplies the embedding by sqrt(hidden)
  double dropout = 0;            ///< probability on residual, embedding (gpt2, opt default 0.1)
  double attention_dropout = 0;
  double attention_softcap = 0;        ///< gemma2, 0 = none
  double final_softcap = 0;            ///< gemma2, 0 = none
  std::int64_t sliding_window = 0;     ///< 0 = none
  std::vector<bool> layer_is_sliding;  ///< per layer; empty where there is no window
  std::int64_t embedding_dim = 0;      ///< opt's word_embed_proj_dim; else hidden
  NormKind norm = NormKind::rms;
  Activation activation = Activation::silu;
  std::optional<Experts> experts;
  std::vector<bool> layer_is_moe;  ///< per layer; empty in dense models
  std::optional<LatentAttention> latent;

  std::int64_t q() const { return heads * head_dim; }
  std::int64_t kv() const { return kv_heads * head_dim; }
};

/// How a checkpoint says that it is quantized, in its config.json's quantization_config.
struct StoredQuantization {
  std::string method;                   ///< as transformers names it: "bitsandbytes", "gptq", "awq"
  std::optional<Quantization> storage;  ///< absent where the method is not simulated
  std::vector<std::string> warnings;    ///< settings of it that are not simulated, a sentence each
};

class Architecture {
 public:
  std::string name;  ///< as asked for
  Dimensions dims;
  std::optional<StoredQuantization> stored;
  std::vector<std::string> warnings;  ///< parts of the config.json that are not simulated, a sentence each
  std::vector<Module> modules;        ///< [0] is the root; parents stand before children
  std::vector<Parameter> parameters;  ///< each once, in the checkpoint's (registration) order

  const Module& module(ModuleId id) const { return modules[id.index()]; }
  const Parameter& parameter(ParameterId id) const { return parameters[id.index()]; }
  /// What runs in the module's place: PEFT's copy of it, or the module itself.
  ModuleId running(ModuleId id) const { return module(id).is_copied() ? module(id).children.back() : id; }
  /// The original that a copy replaced.
  bool is_idle(ModuleId id) const {
    const ModuleId parent = module(id).parent;
    return parent.valid() && module(parent).is_copied() && module(parent).children.front() == id;
  }
  /// Elements of all parameters, tied ones once. Throws InputError beyond 1e15: their bytes stay within 64 bits.
  std::int64_t parameter_count() const;
  /// Elements of those that are trained.
  std::int64_t trainable_count() const;
  /// What transformers registers as buffers, which every rank holds whole: rotary frequencies in fp32, gpt2's causal
  /// mask of every layer (a byte for each pair of positions), the corrections of deepseek_v3's routers.
  std::int64_t buffer_bytes() const;
  /// True where the base is frozen and something small is trained.
  bool adapted() const;
  /// Elements that a token uses: routed experts count per_token / count.
  std::int64_t active_parameter_count() const;
  /// The decoder layers' modules, in order.
  std::vector<ModuleId> layer_modules() const;
};

/// Reads a config.json, or the one in the folder given (any family above; transformers v4 and v5 spellings; of a
/// multimodal model its `text_config`). Vocabulary, hidden size, layers, heads and the mlp's width must be given
/// (gemma3 may leave out all but hidden size, layers and mlp, as its published files do); other absent keys take the
/// defaults of the family's configuration class in transformers. `name` labels the result; empty: the path. Throws
/// InputError naming file and key.
Architecture read_architecture(const std::filesystem::path& config, std::string_view name = {});
/// Builds modules and parameters for given dimensions, as transformers 4.57 does (experts are modules, not one fused
/// tensor). Throws InputError where a tensor's size leaves 64 bits.
Architecture build_architecture(const Dimensions& dims, std::string_view name);
/// A shipped name ("llama-2-7b", matched without regard to case and punctuation), or a path to a config.json or to a
/// folder that holds one: what ends in .json or contains '/', a folder with such a file, and any other file that is no
/// shipped name.
/// Unknown names raise InputError with the nearest shipped names.
Architecture load_architecture(std::string_view name_or_path, const std::filesystem::path& zoo);
/// The names of the shipped models, sorted.
std::vector<std::string> zoo_names(const std::filesystem::path& zoo);

}  // namespace shardsim

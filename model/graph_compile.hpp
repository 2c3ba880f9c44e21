// torch.compile of each decoder layer: what its partitioner keeps for backward, and which kernels are fused.
#pragma once

#include "model/operators.hpp"

namespace shardsim::graph {

/// Rewrites the layers of a graph as if each were compiled by itself, as torchtitan does. Equal operators are one. By
/// torch's min-cut partitioner (torch/_functorch/partitioners.py, checked against it in
/// tests/model/graph_compiled_test.cpp): what a product or an attention kernel saves stays saved; of what other
/// operators save, a value that they can rebuild from fewer saved bytes is rebuilt in backward. By Inductor's
/// scheduler, simplified: operators between products that read each other's results are one kernel, forward and
/// backward, which moves what enters and leaves it; what stays inside it takes no memory; sums of gradients are part of
/// such kernels. Random masks and row statistics are never rebuilt. Products keep their own kernels.
void compile_layers(Graph& graph, const Architecture& architecture);

}  // namespace shardsim::graph

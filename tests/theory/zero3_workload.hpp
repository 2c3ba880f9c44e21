// The reference workload "Z3": a ZeRO-3 step of 8 GPUs with 32 equal layers whose step time has a closed form.
#pragma once

#include <cmath>

#include "tests/engine/plan_writer.hpp"

namespace shardsim {

/// Forward: ring all-gather of a layer (7 hops) on the communication stream, then its compute. Backward: all-gather,
/// compute, ring reduce-scatter, then a copy of the shard to the host through a GPU's own PCIe link (64 GB/s), a switch
/// of two GPUs (64 GB/s) and a root of four (100 GB/s). Gathers are prefetched as far as the one communication stream
/// allows, so T = L cf + L (cb + 2 tc) + d with tc = 7 shard / port and d = shard / 25 GB/s.
struct Zero3Workload {
  std::int64_t layers = 32;
  double shard = 12.0 * 4096 * 4096 * 2 / 8;  ///< bytes: 12 h^2 bf16 parameters a layer over 8 GPUs
  double port = 450e9;                        ///< bytes a second, each way
  Time forward = Time(16'492'700'000);        ///< compute of a layer
  Time backward = Time(32'985'400'000);
  double jitter = 0;  ///< amounts grow by up to this part, so that no two events coincide

  static constexpr std::size_t gpus = 8;
  static constexpr std::size_t hops = gpus - 1;

  double closed_form() const {
    const double gather = static_cast<double>(hops) * shard / port;
    return static_cast<double>(layers) * (forward.seconds() + backward.seconds() + 2 * gather) + shard / 25e9;
  }

  /// What eight equal GPUs do, simulated once: shared links are taken several times over, a ring is one transfer.
  Plan folded() const {
    PlanWriter w;
    Routes routes;
    routes.ring = {{{w.link(port), 1}, {w.link(port), 1}}};
    routes.host = {{{w.link(64e9), 1}, {w.link(64e9), 2}, {w.link(100e9), 4}}};
    write(w, w.program(3), routes, 1);
    return w.plan;
  }

  /// Every hop of every GPU a flow of its own. One program holds all streams, so that a hop can wait for its
  /// neighbour's.
  Plan per_hop() const {
    PlanWriter w;
    const Routes routes = all_routes(w);
    write(w, w.program(3 * gpus), routes, hops);
    return w.plan;
  }

  /// A program a GPU; every collective is one transfer in which all eight take part.
  Plan rendezvous() const {
    PlanWriter w;
    const Routes routes = all_routes(w);
    std::vector<TransferUse> ports;
    for (const std::vector<TransferUse>& route : routes.ring) ports.insert(ports.end(), route.begin(), route.end());
    Transfer all;
    all.participants = gpus;
    std::vector<TransferId> collectives;
    for (std::int64_t i = 0; i < 3 * layers; ++i) {
      collectives.push_back(w.transfer(static_cast<double>(hops) * shard, ports, all));
    }
    for (std::size_t g = 0; g < gpus; ++g) {
      const std::size_t p = w.program(3);
      auto collective = collectives.begin();
      for (std::int64_t layer = 0; layer < layers; ++layer) w.compute(p, 0, forward, {w.move(p, 1, *collective++)});
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        const TaskId computed = w.compute(p, 0, backward, {w.move(p, 1, *collective++)});
        const TaskId reduced = w.move(p, 1, *collective++, {computed});
        w.move(p, 2, w.transfer(shard, routes.host[g]), {reduced});
      }
    }
    return w.plan;
  }

 private:
  /// By GPU: to its neighbour in the ring, and to the host.
  struct Routes {
    std::vector<std::vector<TransferUse>> ring, host;
  };

  Routes all_routes(PlanWriter& w) const {
    std::vector<std::uint32_t> out, in, own, switches, roots;
    for (std::size_t g = 0; g < gpus; ++g) out.push_back(w.link(port));
    for (std::size_t g = 0; g < gpus; ++g) in.push_back(w.link(port));
    for (std::size_t g = 0; g < gpus; ++g) own.push_back(w.link(64e9));
    for (std::size_t g = 0; g < gpus / 2; ++g) switches.push_back(w.link(64e9));
    for (std::size_t g = 0; g < gpus / 4; ++g) roots.push_back(w.link(100e9));
    Routes routes;
    for (std::size_t g = 0; g < gpus; ++g) {
      routes.ring.push_back({{out[g], 1}, {in[(g + 1) % gpus], 1}});
      routes.host.push_back({{own[g], 1}, {switches[g / 2], 1}, {roots[g / 4], 1}});
    }
    return routes;
  }

  /// Each collective as `pieces` transfers a GPU, one after the other round the ring.
  void write(PlanWriter& w, std::size_t p, const Routes& routes, std::size_t pieces) const {
    const std::size_t n = routes.ring.size();
    const double piece = static_cast<double>(hops) * shard / static_cast<double>(pieces);
    std::size_t tasks = 0;
    const auto grown = [&](double amount) {
      const double turn = static_cast<double>(tasks++) * 0.6180339887;
      return amount * (1 + jitter * (turn - std::floor(turn)));
    };
    const auto stream = [](std::size_t gpu, std::size_t kind) { return 3 * gpu + kind; };
    const auto before = [n](std::size_t gpu) { return (gpu + n - 1) % n; };
    std::vector<TaskId> computed(n), sent(n), sends(n);

    const auto compute = [&](Time duration) {
      for (std::size_t g = 0; g < n; ++g) {
        const Time grown_duration = Time::from_seconds(grown(duration.seconds()));
        computed[g] = w.compute(p, stream(g, 0), jitter > 0 ? grown_duration : duration, {sent[before(g)]});
      }
    };
    const auto ring = [&](bool reduces) {
      for (std::size_t k = 0; k < pieces; ++k) {
        for (std::size_t g = 0; g < n; ++g) {
          std::vector<TaskId> waits;
          if (k > 0) waits.push_back(sent[before(g)]);
          if (k == 0 && reduces) waits.push_back(computed[g]);
          sends[g] = w.move(p, stream(g, 1), w.transfer(grown(piece), routes.ring[g]), waits);
        }
        sent = sends;
      }
    };
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      ring(false);
      compute(forward);
    }
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      ring(false);
      compute(backward);
      ring(true);
      for (std::size_t g = 0; g < n; ++g) {
        w.move(p, stream(g, 2), w.transfer(grown(shard), routes.host[g]), {sent[before(g)]});
      }
    }
  }
};

}  // namespace shardsim

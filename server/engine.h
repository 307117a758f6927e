// The loaded model and all that answers calls with it.
#ifndef ZEROSHOT_SERVER_ENGINE_H_
#define ZEROSHOT_SERVER_ENGINE_H_

#include <memory>
#include <utility>

#include "clip/model.h"
#include "server/gpu_monitor.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/stores.h"
#include "stores/tiered_store.h"
#include "zeroshot/embedder.h"
#include "zeroshot/image_classifier.h"
#include "zeroshot/weight_set_builder.h"
#include "zeroshot/weight_set_check.h"

namespace zeroshot::server {

// Thread rule: every member may be used from many threads at once.
struct Engine {
  // `stores` and `metrics` are borrowed.
  Engine(std::unique_ptr<clip::Model> loaded, const ServerOptions& options,
         Stores* stores, Metrics* metrics)
      : model(std::move(loaded)),
        store(stores->all()),
        embedder(model.get(), options.embedder,
                 [metrics](int images) { metrics->BatchRan(images); }),
        builder(model.get(), &store, options.build, options.max_builds,
                options.vector_cache_bytes),
        classifier(model.get(), &embedder, &store),
        gpus(model->info().devices, options.gpu_monitor) {
    store.SetCheck([info = model->info()](const stores::WeightSet& set) {
      return CheckStored(set, info);
    });
  }

  // In the order in which each borrows those above it.
  const std::unique_ptr<clip::Model> model;
  stores::TieredStore& store;
  Embedder embedder;
  WeightSetBuilder builder;
  ImageClassifier classifier;
  GpuMonitor gpus;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_ENGINE_H_

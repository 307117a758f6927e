# The server and its client as an image, for CPUs or for NVIDIA GPUs:
#
#   docker build -t zeroshot:cpu .
#   docker build -t zeroshot:cuda --build-arg DEVICE=cuda .
#   docker build -t zeroshot:fetch-model --target fetch-model .
#
# Behind a proxy with an authority of its own add --secret id=ca,src=CA.pem.
# deploy/README.md shows how to run it; scripts/test-containers tests it.
#
# Packages are Debian's of the day, on purpose: that is where security fixes
# come from. What decides numbers, LibTorch and CUDA, is pinned by hash.
# hadolint global ignore=DL3008
ARG DEVICE=cpu

# --- Fetches and verifies weights: for init containers. ---
FROM debian:trixie-slim AS fetch-model
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY scripts/fetch_model scripts/steps.sh /usr/local/lib/zeroshot/scripts/
USER 10001:10001
ENTRYPOINT ["/usr/local/lib/zeroshot/scripts/fetch_model"]

# --- LibTorch and what compiles: fetched again only when its pins change. ---
FROM debian:trixie-slim AS libtorch
ARG DEVICE
WORKDIR /src
COPY scripts/setup scripts/steps.sh scripts/
COPY scripts/wheels/libtorch.txt scripts/wheels/libtorch-cuda.txt scripts/wheels/nvcc.txt scripts/wheels/
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    export PIP_CACHE_DIR=/var/cache/pip && \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi && \
    case $DEVICE in \
      cpu) scripts/setup --no-build ;; \
      cuda) scripts/setup --no-build --cuda ;; \
      *) echo "DEVICE is '$DEVICE'; allowed: cpu, cuda" >&2; exit 1 ;; \
    esac && \
    apt-get update && apt-get install -y --no-install-recommends ccache && \
    rm -rf /var/lib/apt/lists/*
# What runs of it.
COPY cmake/InstallLibTorch.cmake cmake/
RUN cmake -DFROM=/src/.deps/torch-2.11.0 -DTO=/runtime -DCUDA="$([ "$DEVICE" = cuda ] && echo ON || echo OFF)" \
      -DSTRIP=ON -P cmake/InstallLibTorch.cmake

# --- The programs. ---
FROM libtorch AS build
ARG DEVICE
ARG JOBS
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json LICENSE THIRD_PARTY_NOTICES.md ./
COPY cmake/ cmake/
COPY data/ data/
COPY proto/ proto/
COPY base/ base/
COPY stores/ stores/
COPY clip/ clip/
COPY zeroshot/ zeroshot/
COPY client/ client/
COPY server/ server/
COPY models/demo/ models/demo/
RUN --mount=type=cache,target=/var/cache/ccache \
    export CCACHE_DIR=/var/cache/ccache && \
    preset=$([ "$DEVICE" = cuda ] && echo cuda || echo release) && \
    cmake --preset "$preset" -DZEROSHOT_TESTS=OFF && \
    cmake --build --preset "$preset" --parallel "${JOBS:-$(nproc)}" \
      --target zeroshot_server zeroshot_client && \
    cmake --install "build/$preset" --component server --prefix /install --strip && \
    install -s "build/$preset/client/zeroshot_client" /install/bin/

# --- The image: nothing that compiles or downloads. ---
FROM debian:trixie-slim
# The libraries behind scripts/setup's -dev packages.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates \
      libabsl20240722 libarchive13t64 libcpp-httplib0.18 libfmt10 libgrpc++1.51t64 libgrpc29t64 libavif16 libheif1 libheif-plugin-libde265 libhiredis1.1.0 \
      libicu76 libjemalloc2 libjpeg62-turbo libpng16-16t64 libprometheus-cpp-core1.0 libprotobuf32t64 opentelemetry-cpp \
      libspdlog1.15 libssl3t64 libtiff6 libwebp7 libwebpdemux2 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY --from=libtorch /runtime/ /usr/local/lib/zeroshot/
COPY --from=build /install/ /usr/local/
# Last, because what follows is made again with every commit.
ARG DEVICE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="zeroshot" \
      org.opencontainers.image.description="CLIP zero-shot image classification over gRPC ($DEVICE)" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
EXPOSE 50051 8080 9464
STOPSIGNAL SIGTERM
# Kubernetes does not read this: it asks by gRPC itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["zeroshot_client", "health", "--timeout=3s"]
# Variables, so that others (-e ZEROSHOT_LISTEN=...) and flags replace them. An
# image for GPUs that sees none ends, instead of serving slowly.
ENV ZEROSHOT_DEVICE=$DEVICE ZEROSHOT_LISTEN=0.0.0.0:50051 ZEROSHOT_HTTP_LISTEN=0.0.0.0:8080 ZEROSHOT_METRICS_LISTEN=0.0.0.0:9464
# What the NVIDIA container runtime goes by; others ignore it.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Flags follow the image's name. Real models come by a volume:
# -v ./models:/models:ro IMAGE --model=/models/ViT-B-32.pt
ENTRYPOINT ["zeroshot_server"]

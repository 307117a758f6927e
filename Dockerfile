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
FROM debian:bookworm-slim AS fetch-model
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY scripts/fetch_model scripts/steps.sh /usr/local/lib/zeroshot/scripts/
USER 10001:10001
ENTRYPOINT ["/usr/local/lib/zeroshot/scripts/fetch_model"]

# --- LibTorch and what compiles: fetched again only when its pins change. ---
FROM debian:bookworm-slim AS libtorch
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
# What runs of it, in the wheels' own layout, by which LibTorch finds the CUDA
# libraries; without symbols for linkers and debuggers (a fifth of its size) and
# without what nothing here loads: nvcc's own library, an alternative NVRTC,
# multi-GPU solvers, BLAS and FFTW by other names. With its licences.
WORKDIR /src/.deps/torch-2.11.0
RUN mkdir -p /runtime && \
    find torch/lib nvidia -name '*.so*' ! -path '*/stubs/*' ! -name 'libnvvm.*' ! -name '*.alt.*' \
      ! -name 'libcusolverMg.*' ! -name 'libnvblas.*' ! -name 'libcufftw.*' -exec cp -a --parents -t /runtime {} + && \
    find . -path './*.dist-info/*' -iname '*licen[cs]e*' -type f -exec cp --parents -t /runtime {} + && \
    find /runtime/torch -name '*.so*' -type f -exec strip --strip-unneeded {} +

# --- The programs. ---
FROM libtorch AS build
ARG DEVICE
ARG JOBS
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake/ cmake/
COPY data/ data/
COPY proto/ proto/
COPY clip/ clip/
COPY zeroshot/ zeroshot/
COPY client/ client/
COPY server/ server/
COPY models/demo/ models/demo/
# hadolint ignore=SC2016
RUN --mount=type=cache,target=/var/cache/ccache \
    export CCACHE_DIR=/var/cache/ccache && \
    preset=$([ "$DEVICE" = cuda ] && echo cuda || echo release) && \
    cmake --preset "$preset" -DZEROSHOT_TESTS=OFF \
      '-DCMAKE_INSTALL_RPATH=$ORIGIN/../lib/zeroshot/torch/lib;$ORIGIN/../lib/zeroshot/nvidia/cu13/lib' && \
    cmake --build --preset "$preset" --parallel "${JOBS:-$(nproc)}" \
      --target zeroshot_server zeroshot_client && \
    cmake --install "build/$preset" --component server --prefix /install --strip && \
    install -s "build/$preset/client/zeroshot_client" /install/bin/
COPY LICENSE THIRD_PARTY_NOTICES.md /install/share/doc/zeroshot/

# --- The image: nothing that compiles or downloads. ---
FROM debian:bookworm-slim
# The libraries behind scripts/setup's -dev packages.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates \
      libabsl20220623 libcpp-httplib0.11 libfmt9 libgrpc++1.51 libgrpc29 libhiredis0.14 \
      libicu72 libjemalloc2 libjpeg62-turbo libpng16-16 libprometheus-cpp-core1.0 libprotobuf32 \
      libspdlog1.10 libssl3 libwebp7 libwebpdemux2 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY --from=libtorch /runtime/ /usr/local/lib/zeroshot/
COPY --from=build /install/ /usr/local/
# Last, because what follows is made anew with every commit.
ARG DEVICE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="zeroshot" \
      org.opencontainers.image.description="CLIP zero-shot image classification over gRPC ($DEVICE)" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
EXPOSE 50051 9090
STOPSIGNAL SIGTERM
# Kubernetes does not read this: it asks by gRPC itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["zeroshot_client", "health", "--timeout=3s"]
# More flags follow; the last of a kind counts. Real models come by a volume:
# -v ./models:/models:ro IMAGE --model=/models/ViT-B-32.pt
ENTRYPOINT ["zeroshot_server", "--listen=0.0.0.0:50051", "--metrics_listen=0.0.0.0:9090"]

# Two images from one file:
#   docker build --target cpu  -t flow-vocoder:cpu  .
#   docker build --target cuda -t flow-vocoder:cuda .
# On x86-64 the default index serves torch with CUDA libraries, and torch does not start without most of them. For a CPU
# image without them, give the address of PyTorch's CPU wheels: --build-arg TORCH_INDEX_URL=...
FROM python:3.13-slim-trixie AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1

FROM base AS build
ARG TORCH_INDEX_URL=""
WORKDIR /build
RUN python3 -m venv /opt/venv
# Dependencies first: this layer is built again only when they change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print('\n'.join(p['dependencies'] + p['optional-dependencies']['server']))" > requirements.txt \
    && pip install --no-cache-dir ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
      --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY vocoder ./vocoder
COPY training ./training
COPY server ./server
RUN pip install --no-cache-dir --no-deps .
# Compile the numba kernels for this processor (half a minute). The cache is valid while the sources' modification times
# are the same; COPY keeps them to the second.
RUN cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && find vocoder -name '*.py' -exec touch -d @1700000000 {} + && python -m compileall -q -f vocoder \
    && NUMBA_CACHE_DIR=/opt/compiled python -c "import numpy, vocoder; v = vocoder.load('reverse', guard='off'); \
      v.synthesize(numpy.full((80, 32), -5.0, 'f'), denoise=0.1)"

FROM build AS build-cpu
# Remove libraries that torch loads only with a GPU; with the CPU wheels there are none.
RUN cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -rf triton triton-*.dist-info nvidia/cudnn/lib/libcudnn_* nvidia/cu*/lib/libnvrtc* \
      nvidia/cu*/lib/libcusolverMg* nvidia/cu*/lib/libnvperf* nvidia/cu*/include nvidia/cudnn/include \
    && python -c "import torch, torchaudio, vocoder; vocoder.load('reverse')"

FROM base AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vocoder \
    && mkdir /models
# Caches go to /tmp, the one place that may be written when the root file system is read-only. It may be mounted anew, so
# the compiled code is copied there at the start.
ENV HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    VOCODER_HOST=0.0.0.0 \
    VOCODER_PORT=8000 \
    VOCODER_ADMIN_HOST=0.0.0.0 \
    VOCODER_MODELS=reverse
WORKDIR /models
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['VOCODER_PORT'] + '/readyz', timeout=4)"]
ENTRYPOINT ["/bin/sh", "-c", "[ -e /tmp/numba ] || cp -R /opt/compiled /tmp/numba; exec vocoder-serve \"$@\"", "vocoder-serve"]

FROM runtime AS cuda
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/compiled /opt/compiled
# The NVIDIA container runtime reads these and brings the driver; the CUDA libraries came with torch.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    VOCODER_DEVICE=cuda

FROM runtime AS cpu
COPY --from=build-cpu /opt/venv /opt/venv
COPY --from=build /opt/compiled /opt/compiled
ENV VOCODER_DEVICE=cpu

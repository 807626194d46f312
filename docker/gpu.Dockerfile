# flamestream on an NVIDIA GPU, with everything of the extra `gpu`. At the root of the repository:
#
#     docker build -f docker/gpu.Dockerfile -t flamestream:gpu .
#     docker run --rm --gpus all flamestream:gpu doctor
#     docker run --rm --gpus all -v "$PWD:/data" -v flamestream:/var/cache/flamestream flamestream:gpu run clip.mp4 --redis redis://…
#
# Of the host it needs the driver (580 or newer) and the NVIDIA container toolkit. The base is not one of NVIDIA's CUDA
# images: the wheels of PyTorch, DALI and TensorRT bring their own CUDA libraries, and would leave that copy unused.
FROM python:3.11.14-slim-bookworm AS build
# TensorRT's library is not on PyPI. An empty TENSORRT leaves it out: engines are then compiled by inductor.
ARG TENSORRT=11.1.0.106
ARG NVIDIA_INDEX=https://pypi.nvidia.com
ENV VIRTUAL_ENV=/opt/flamestream UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
RUN python -m venv --without-pip /opt/flamestream
WORKDIR /build
COPY requirements-gpu.lock ./
RUN uv pip install --no-deps --require-hashes -r requirements-gpu.lock
RUN if [ -n "$TENSORRT" ]; then uv pip install --no-deps --only-binary :all: --index-url "$NVIDIA_INDEX" \
    "tensorrt-cu13==$TENSORRT" "tensorrt-cu13-bindings==$TENSORRT" "tensorrt-cu13-libs==$TENSORRT"; fi
COPY pyproject.toml README.md ./
COPY models models
COPY stream stream
COPY train train
RUN uv pip install --no-deps .

FROM python:3.11.14-slim-bookworm
# Inductor and Triton compile what they generate. Compiled networks belong into a volume, as do fetched files.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home flamestream \
    && install -d -o flamestream -g flamestream /var/cache/flamestream /data
COPY --from=build /opt/flamestream /opt/flamestream
ENV PATH=/opt/flamestream/bin:$PATH FLAMESTREAM_CACHE=/var/cache/flamestream PYTHONUNBUFFERED=1
ENV TORCHINDUCTOR_CACHE_DIR=/var/cache/flamestream/inductor TRITON_CACHE_DIR=/var/cache/flamestream/triton
# What the toolkit mounts of the driver: `video` is NVDEC, which it leaves out by default; `utility` is NVML.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,video,utility
VOLUME /var/cache/flamestream
WORKDIR /data
# As a number, by which orchestrators can see that it is not root.
USER 1000:1000
ENTRYPOINT ["flamestream"]
CMD ["--help"]

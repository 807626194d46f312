# flamestream on the CPU. At the root of the repository:
#
#     docker build -f docker/cpu.Dockerfile -t flamestream:cpu .
#     docker run --rm flamestream:cpu doctor
#     docker run --rm -v "$PWD:/data" -v flamestream:/var/cache/flamestream flamestream:cpu run clip.mp4 --redis redis://…
#
# The base is the Python that CI tests, on the smallest image whose C library the wheels are built for.
FROM python:3.11.14-slim-bookworm AS build
# On PyPI, PyTorch for Linux brings 3 GB of CUDA along; this index has the builds without.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV VIRTUAL_ENV=/opt/flamestream UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
RUN python -m venv --without-pip /opt/flamestream
WORKDIR /build
COPY requirements.lock ./
# Everything as locked, but for PyTorch: its two packages in the locked versions, and none of its CUDA.
RUN awk '/^[^ ]/ { keep = !/^(torch|torchvision|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)==/ } keep' requirements.lock > cpu.lock \
    && uv pip install --no-deps --require-hashes -r cpu.lock
RUN uv pip install --no-deps --index-url "$TORCH_INDEX" $(grep -oE '^torch(vision)?==[^ ]+' requirements.lock)
COPY pyproject.toml README.md ./
COPY models models
COPY stream stream
COPY train train
RUN uv pip install --no-deps .

FROM python:3.11.14-slim-bookworm
# Compiled networks and fetched files belong into a volume: else every container compiles and fetches them anew.
RUN useradd --uid 1000 --create-home flamestream \
    && install -d -o flamestream -g flamestream /var/cache/flamestream /data
COPY --from=build /opt/flamestream /opt/flamestream
ENV PATH=/opt/flamestream/bin:$PATH FLAMESTREAM_CACHE=/var/cache/flamestream PYTHONUNBUFFERED=1
VOLUME /var/cache/flamestream
WORKDIR /data
# As a number, by which orchestrators can see that it is not root.
USER 1000:1000
ENTRYPOINT ["flamestream"]
CMD ["--help"]

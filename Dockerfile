# syntax=docker/dockerfile:1
# Two images of the same code: `base` for api, relay, projector and migrate, `render` with torch.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_CONSTRAINT=/src/constraints.txt \
    PIP_BUILD_CONSTRAINT=/src/constraints.txt \
    PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home atelier
COPY . /src
RUN --mount=type=cache,target=/var/cache/pip pip install --quiet /src
USER atelier
WORKDIR /home/atelier
ENTRYPOINT ["python", "-m", "api"]
CMD ["--help"]

FROM base AS render
USER root
RUN --mount=type=cache,target=/var/cache/pip pip install --quiet "/src[render]"
# A named volume mounted here belongs to the user, too.
RUN install -d -o atelier -g atelier /var/cache/anny
# Without OMP_WAIT_POLICY torch's threads spin while they wait, and starve what shares the cores.
ENV ANNY_CACHE_DIR=/var/cache/anny \
    OMP_WAIT_POLICY=PASSIVE
USER atelier

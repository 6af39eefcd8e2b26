# One static binary and the public certificate authorities on nothing: no shell, no package, no user but a number.
#
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) --tag REGISTRY/acr-pull-proxy:0.1.0 .
#
# It is written for BuildKit (Docker 23 and later), buildah and podman: each says in TARGETARCH what is asked for.
# Several architectures: docker buildx build --platform linux/amd64,linux/arm64 …; amd64 and arm64 are built on either.
# The same source gives the same image: add --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) and, for the times
# in its layers, --output type=image,rewrite-timestamp=true; --provenance=false, since what BuildKit adds has the time of the
# build in it; and pin the compiler: RUST=rust@sha256:… as `docker buildx imagetools inspect rust:1.95-bookworm` tells it.
# Without a registry in reach, tests/image/from-dockerfile builds both and holds them against all of this.

ARG RUST=rust:1.95-bookworm

# Compiled where the build runs, for where the image runs: a compiler under emulation would take an hour.
FROM --platform=${BUILDPLATFORM} ${RUST} AS build
# No value here: it would stand over the one that the builder gives.
ARG TARGETARCH
RUN arch="${TARGETARCH:-$(dpkg --print-architecture)}" && case "${arch}" in \
        amd64) echo x86_64-unknown-linux-gnu x86-64-linux-gnu ;; \
        arm64) echo aarch64-unknown-linux-gnu aarch64-linux-gnu ;; \
        *) echo "no image is built for ${arch}" >&2; exit 1 ;; \
    esac >/target && read -r triple gcc </target \
    && if [ "$(rustc -vV | sed -n 's/^host: //p')" != "${triple}" ]; then \
        apt-get update && apt-get install -y --no-install-recommends "gcc-${gcc}" "libc6-dev-${arch}-cross" \
        && { [ -d "$(rustc --print target-libdir --target "${triple}")" ] || rustup target add "${triple}"; } \
    ; fi
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
# Not rust-toolchain.toml, which would fetch what only developers need: RUST says which compiler.
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY tests/cloudsim tests/cloudsim
# glibc 2.34 and later resolves names from /etc/hosts and DNS without loading anything, so it can be linked in. Naming
# the target keeps the flags away from build scripts. Paths of this stage do not get into the binary.
RUN read -r triple gcc </target \
    && export ACR_PULL_PROXY_COMMIT="${COMMIT}" CARGO_PROFILE_RELEASE_STRIP=symbols \
    && export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    && export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    && export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=. --remap-path-prefix=${CARGO_HOME}=cargo" \
    && cargo build --release --locked --bin acr-pull-proxy --target "${triple}" \
    && install -D "target/${triple}/release/acr-pull-proxy" /out/acr-pull-proxy \
    && case "${triple}" in x86_64-*) machine=X86-64 ;; *) machine=AArch64 ;; esac \
    && readelf --file-header /out/acr-pull-proxy | grep -q "Machine:.*${machine}" \
    && if [ "$(rustc -vV | sed -n 's/^host: //p')" = "${triple}" ]; then /out/acr-pull-proxy --version; fi

FROM scratch
ARG COMMIT=unknown
COPY --from=build /out/acr-pull-proxy /acr-pull-proxy
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title="acr-pull-proxy" \
      org.opencontainers.image.description="A per-node registry mirror that pulls from Alibaba Cloud ACR instances of other accounts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${COMMIT}"
# A number that no other image has: who runs as it on the node's network may listen beside the daemon (SO_REUSEPORT). The
# DaemonSet says the same.
USER 65521:65521
ENTRYPOINT ["/acr-pull-proxy"]
CMD ["serve"]

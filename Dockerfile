# One static binary and the public certificate authorities on nothing: no shell, no package, no user but a number.
#
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) --tag REGISTRY/acr-pull-proxy:0.1.0 .
#
# Several architectures: docker buildx build --platform linux/amd64,linux/arm64 …
# The same source gives the same image: add --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) and, for the times
# in its layers, --output type=image,rewrite-timestamp=true; and pin RUST to a digest.

ARG RUST=rust:1.95-bookworm

FROM ${RUST} AS build
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
COPY benches benches
COPY tests/cloudsim tests/cloudsim
# glibc 2.34 and later resolves names from /etc/hosts and DNS without loading anything, so it can be linked in. Naming
# the target keeps the flags away from build scripts. Paths of this stage do not get into the binary.
RUN triple="$(rustc -vV | sed -n 's/^host: //p')" \
    && export ACR_PULL_PROXY_COMMIT="${COMMIT}" CARGO_PROFILE_RELEASE_STRIP=symbols \
    && export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=. --remap-path-prefix=${CARGO_HOME}=cargo" \
    && cargo build --release --locked --bin acr-pull-proxy --target "${triple}" \
    && install -D "target/${triple}/release/acr-pull-proxy" /out/acr-pull-proxy \
    && /out/acr-pull-proxy --version

FROM scratch
ARG COMMIT=unknown
COPY --from=build /out/acr-pull-proxy /acr-pull-proxy
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title="acr-pull-proxy" \
      org.opencontainers.image.description="A per-node registry mirror that pulls from Alibaba Cloud ACR instances of other accounts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${COMMIT}"
# Nobody in particular; the DaemonSet says the same.
USER 65532:65532
ENTRYPOINT ["/acr-pull-proxy"]
CMD ["serve"]

# The service. Its networks run elsewhere, on a Triton: LEXICROP_TRITON_ADDRESS.
#
#   docker build -t lexicrop .

FROM golang:1.26-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends libjpeg62-turbo-dev libwebp7 libheif1
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN git config --global --add safe.directory /src \
 && go build -tags=nodynamic -trimpath -ldflags="-s -w" -o /out/usr/bin/lexicrop ./cmd/lexicrop
# The libraries that it is linked to or loads, and theirs.
RUN ./docker-libraries.sh /out/usr/bin/lexicrop /out/usr/lib

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out /
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK CMD ["/usr/bin/lexicrop", "healthcheck"]
ENTRYPOINT ["/usr/bin/lexicrop"]
CMD ["serve"]

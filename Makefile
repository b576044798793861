# What there is to do; `make` alone lists it. Everything that is downloaded or
# built goes to build/ and ~/.cache/lexicrop.
#
#   make run ARGS="--server-address :9000"    a flag of the service
#   make test GOTESTFLAGS="-run Crop -v"      a flag of go test
#   make test PACKAGES=./preprocess/...       one part

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The Go that .ci/prepare fetched where the machine's own is missing or too old.
export PATH := $(CURDIR)/build/go/bin:$(PATH)

# The decoders of AVIF and WebP that are fallbacks stay inside WebAssembly and look for no libraries.
export GOFLAGS := $(GOFLAGS) -tags=nodynamic

PACKAGES ?= ./...

# It takes minutes to build: without make test-weaviate, its tests are left out.
ifeq ($(wildcard build/weaviate/stamp),)
export LEXICROP_SKIP_WEAVIATE := 1
endif

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | column -t -s '|'

.PHONY: run
run: setup build ## serve on :8080 with a Triton on this machine; sets up what that needs
	exec build/lexicrop serve $(ARGS)

.PHONY: setup
setup:
	.ci/prepare
	triton/local/setup.sh

.PHONY: setup-tests
setup-tests: setup
	.ci/chromium
	index/postgres/setup.sh

.PHONY: build
build: ## build the command build/lexicrop
	.ci/prepare
	go build -o build/lexicrop ./cmd/lexicrop

.PHONY: test
test: setup-tests ## run the tests, a real Triton and PostgreSQL included; those of training where they are set up, and in CI; those of the chart and on a Kubernetes where make test-helm has set them up (CI has that as a step of its own)
	@if [ "$(CI)" = true ]; then training/setup.sh; fi # a test exports a network of torchvision's
	@status=0; packages='$(PACKAGES)'; \
	if [ "$(CI)" = true ]; then packages=$$(go list $(PACKAGES) | grep -v '/lexicrop/helm$$'); \
	elif [ -d build/testbed ]; then helm/testbed/setup.sh chart || exit; \
	else echo 'helm/ is left out: make test-helm sets up what it needs'; export LEXICROP_SKIP_HELM=1; fi; \
	if [ "$(CI)" != true ]; then \
	if [ ! -e build/testbed/bin/done ]; then \
	echo 'The control plane is left out: make test-helm builds it'; export LEXICROP_SKIP_KUBERNETES=1; fi; \
	echo 'The swap drill is left out: make test-helm has it'; export LEXICROP_SKIP_DRILL=1; fi; \
	echo 'go test -timeout 30m $(GOTESTFLAGS)' $$packages; go test -timeout 30m $(GOTESTFLAGS) $$packages || status=1; \
	if [ -d build/training ] || [ "$(CI)" = true ]; then $(MAKE) --no-print-directory test-training || status=1; fi; \
	exit $$status

.PHONY: test-race
test-race: setup-tests ## run the tests of what works concurrently under the race detector
	go test -race -timeout 30m $(GOTESTFLAGS) ./index/... ./service/... ./triton/...

# Where the tests of swapping models are: files of large packages, and whole packages.
SWAP_FILES := config/watch_test.go $(wildcard service/rest/swap_test.go service/rest/contract_test.go service/rest/triton_test.go cmd/lexicrop/models*_test.go)
SWAP_PACKAGES := ./service ./service/comparison ./modelrepo ./modelrepo/brought ./modelrepo/onnx ./modelrepo/staging ./triton

.PHONY: test-swaps
test-swaps: setup ## run the tests of swapping models; LONG=1: 200 swaps, and a model that loads for a minute
	go test -count=1 $(SWAP_PACKAGES)
	$(if $(LONG),LEXICROP_TEST_LONG=1) go test -count=1 -v -timeout 60m \
		-run "^($$(sed -n 's/^func \(Test[[:alnum:]]*\)(.*/\1/p' $(SWAP_FILES) | paste -sd '|'))$$" ./config ./service/rest ./cmd/lexicrop

.PHONY: test-helm
test-helm: setup ## run the tests of the chart; the first time, a Kubernetes is built for them (5 to 10 minutes)
	helm/testbed/setup.sh
	go test -count=1 -v -timeout 30m $(GOTESTFLAGS) ./helm/...

.PHONY: test-weaviate
test-weaviate: ## run the tests of the catalogue in Weaviate (the first time it is built, which takes minutes)
	.ci/prepare
	index/weaviate/setup.sh
	env -u LEXICROP_SKIP_WEAVIATE go test -count=1 -timeout 30m $(GOTESTFLAGS) ./index/weaviate/...

.PHONY: test-training
test-training: ## run the tests of training/ (the first time, about 2 GB are downloaded)
	.ci/prepare
	training/setup.sh
	cd training && ../build/training/bin/python -m pytest $(PYTESTFLAGS)

.PHONY: lint
lint: ## check style, imports, module files, generated code and scripts
	.ci/prepare
	.ci/lint

.PHONY: fuzz
fuzz: setup-tests ## run every fuzz target for FUZZTIME (default 30s)
	.ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: setup-tests ## run the benchmarks and print the machine's name with them
	@echo "machine: $$(uname -srm), $$(nproc) cores, $$(sed -n 's/^model name.*: //p;' /proc/cpuinfo | head -1)"
	go test -run '^$$' -bench . -benchmem $(GOTESTFLAGS) $(PACKAGES)

.PHONY: bench-compare
bench-compare: setup build ## measure lexicrop beside the service it replaces (20 minutes); writes docs/performance.md
	training/setup.sh
	bench/original/setup.sh
	go run ./bench/compare $(ARGS)

.PHONY: generate
generate: ## make all generated code again (every generate.sh)
	.ci/prepare
	.ci/generate

.PHONY: generate-testdata
generate-testdata: ## make the test pictures again (every testdata/generate.sh)
	.ci/prepare
	@set -e; for script in $$(git ls-files '*testdata/generate.sh'); do echo "$$script"; "$$script"; done

.PHONY: clean
clean: ## remove build/: all that was built or downloaded here
	rm -rf build

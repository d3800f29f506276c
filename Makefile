# Thin: each target calls one tool. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CMAKE_QUIET := --log-level=NOTICE

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what is missing with apt (needs root or sudo; nothing to do, nothing done)
	@tools/install-deps run build test

.PHONY: build
build: deps ## the program, optimised, at build/mayfly
	@[ -f build/release/build.ninja ] || cmake $(CMAKE_QUIET) --preset release
	@cmake --build build/release --target mayfly
	@ln -sf release/src/app/mayfly build/mayfly

.PHONY: test
test: deps ## all tests; ends with `N passed, N failed` (CI=true: with sanitizers and fuzzers too)
	@tools/run-tests

.PHONY: demo
demo: ## set up, build, and run real jobs, each in a builder of its own
	@tools/demo

.PHONY: bench
bench: build ## measure beside podman, crun and runc; writes docs/PERFORMANCE.md
	@tools/install-deps bench
	@bench/run.py

.PHONY: bench-plan
bench-plan: deps ## one plan over 1,000 pools and 100,000 builders
	@tools/install-deps bench
	@[ -f build/release/build.ninja ] || cmake $(CMAKE_QUIET) --preset release
	@cmake --build build/release --target plan_bench
	@build/release/src/plan/plan_bench

.PHONY: bench-simulate
bench-simulate: build ## a million simulated jobs, of several shapes
	@bench/simulate.py

.PHONY: asan
asan: deps ## unit and contract tests under AddressSanitizer and UBSan
	@tools/run-tests asan

.PHONY: tsan
tsan: deps ## unit and contract tests under ThreadSanitizer
	@tools/run-tests tsan

.PHONY: fuzz
fuzz: deps ## each fuzz target for FUZZ_SECONDS (20)
	@tools/run-tests fuzz

SIMULATION := build/release/tests/simulation/simulation

.PHONY: simulation
simulation: deps
	@[ -f build/release/build.ninja ] || cmake $(CMAKE_QUIET) --preset release
	@cmake --build build/release --target simulation

.PHONY: simulate
simulate: simulation ## one seed again, as it was: make simulate SEED=17 [LOUD=1]
	@$(SIMULATION) --seed $(or $(SEED),1) $(if $(LOUD),--loud)

.PHONY: soak
soak: simulation ## new seeds for as long as told: make soak FOR=10m
	@$(SIMULATION) --for $(or $(FOR),10m) --from $$(date +%s)000

.PHONY: mutants
mutants: deps ## break the planner and control on purpose; the simulation must notice each time
	@tests/simulation/mutants.py

.PHONY: format
format: ## put all C++ into the house's format
	@tools/install-deps dev
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

.PHONY: tidy
tidy: ## clang-tidy over src/
	@tools/install-deps build dev
	@[ -f build/debug/build.ninja ] || cmake $(CMAKE_QUIET) --preset debug
	@git ls-files 'src/*.cc' | xargs -n 1 -P "$$(nproc)" clang-tidy-19 -p build/debug --quiet

.PHONY: clean
clean: ## remove what was built (what was downloaded for base images stays in ~/.cache/mayfly)
	@rm -rf build

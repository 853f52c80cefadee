# Everything a person does with this repository. `make help` lists it; `make run` from nothing installs, builds the
# quickstart's models and runs; what is done already isn't done again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
ARGS ?=
# What `python -m pytest` gets on top, e.g. TESTS="-k learner -x".
TESTS ?=
# Unit tests run in as many processes as there are cores, at most four: each needs a gigabyte.
PROCESSES ?= --numprocesses auto --maxprocesses 4 --dist loadfile
# pytest's log handlers go to every logger before each test, and libraries make thousands: a tenth of the time.
UNIT := tests/unit -p no:logging $(PROCESSES)
# Integration tests wait for engines to load much of their time, and need up to six gigabytes a process.
ENGINE_PROCESSES ?= --numprocesses 2 --dist loadfile
# Which benchmarks, e.g. BENCH=learning; all of them where it is empty.
BENCH ?=
# Where torch's CPU build comes from when the configured package indexes have none. For torch alone: pip asks an index
# that it can't reach five times for every package.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

VENV := .venv
BIN := $(VENV)/bin
# A virtual environment is for CPUs until `make install-gpu` has been run in it.
DEVICE := $(if $(wildcard $(VENV)/.installed-gpu-*),gpu,cpu)
hash = $(shell cat $(1) | cksum | cut -d' ' -f1)
CPU_STAMP := $(VENV)/.installed-cpu-$(call hash,requirements/installer.txt requirements/cpu-torch.txt requirements/cpu.txt)
GPU_STAMP := $(VENV)/.installed-gpu-$(call hash,requirements/installer.txt requirements/gpu.txt)
DEV_STAMP := $(VENV)/.installed-dev-$(call hash,requirements/installer.txt requirements/dev.txt)
STAMP := $(if $(filter gpu,$(DEVICE)),$(GPU_STAMP),$(CPU_STAMP))
MODELS := .cache/models
WORDS := .venv-word-lists
WORDS_STAMP := $(WORDS)/.installed-$(call hash,requirements/word-lists.txt)
# The package needs transformers 4 and numpy 1: an environment of its own.
COMET := .venv-comet
COMET_STAMP := $(COMET)/.installed-$(call hash,requirements/comet.txt)
COMET_CASES := .cache/comet-parity
# A few packages more than .venv has, whose packages it sees.
MUTANTS := .venv-mutants
MUTANTS_STAMP := $(MUTANTS)/.installed-$(call hash,requirements/mutants.txt)
# pip-audit, which needs nothing of .venv: it reads the lists.
AUDIT := .venv-audit
AUDIT_STAMP := $(AUDIT)/.installed-$(call hash,requirements/audit.txt)
# Another trainer, with the versions that it asks for.
TRL := .venv-trl
TRL_STAMP := $(TRL)/.installed-$(call hash,requirements/trl.txt)
# SkyPilot, and the checkers of Kubernetes' objects, of scripts and of Dockerfiles.
SINKS := .venv-sinks
SINKS_STAMP := $(SINKS)/.installed-$(call hash,requirements/sinks.txt)
CLUSTER_CHECK := .venv-cluster-check
CLUSTER_CHECK_STAMP := $(CLUSTER_CHECK)/.installed-$(call hash,requirements/cluster-check.txt)
# lm-evaluation-harness, with the versions that it asks for.
EVAL_CHECK := .venv-eval-check
EVAL_CHECK_STAMP := $(EVAL_CHECK)/.installed-$(call hash,requirements/eval-check.txt)
EVAL_CHECK_CASES := .cache/eval-check

# uv installs several times faster than pip, and pip takes over where uv can't. uv doesn't read pip's settings: the two
# that decide where packages come from are passed on.
UV := UV_FIND_LINKS="$${UV_FIND_LINKS:-$$(tr ' ' ',' <<< "$${PIP_FIND_LINKS:-}")}" \
	UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-}}" $(BIN)/uv
UV_INSTALL := $(UV) pip install --python $(BIN)/python --no-deps
PIP_INSTALL := $(BIN)/python -m pip install --no-deps --progress-bar off --disable-pip-version-check
# The lists are complete: nothing is resolved (--no-deps), so what must be absent stays absent.
install_list = $(UV_INSTALL) -r $(1) || { echo "uv could not install $(1); trying pip, which takes longer"; $(PIP_INSTALL) -r $(1); }

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  ARGS="..." goes to driver/run.py, e.g. make run ARGS="algorithm.steps=3" or make run ARGS="plan configs/x.toml"'

.PHONY: run
run: install models  ## Train; with no ARGS the quickstart (configs/quickstart.toml), a few minutes on two CPU cores
	$(BIN)/python driver/run.py $(ARGS)

.PHONY: install
install: $(STAMP)  ## Set up .venv: for CPUs, or again for GPUs where it was made for them

.PHONY: install-gpu
install-gpu: $(GPU_STAMP)  ## Set up .venv for NVIDIA GPUs (CUDA 13)

.PHONY: models
models: install  ## Build the quickstart's models in .cache/models, once
	@if [ -e $(MODELS)/SmolLM2-135M-Instruct ] && [ -e $(MODELS)/multilingual-e5-small ] \
		&& [ -e $(MODELS)/numbers-pivot ] && [ -e $(MODELS)/numbers-policy ] \
		&& [ -e $(MODELS)/tiny ] && [ -e $(MODELS)/tiny-encoder ]; then exit 0; fi; \
	echo "== building the quickstart's models (once, half a minute)"; $(BIN)/python -m quickstart --cache $(MODELS)

.PHONY: test
test: install models  ## Run the unit tests, then the integration tests (real engines, tiny models; minutes)
	$(BIN)/python -m pytest $(UNIT) $(TESTS)
	$(BIN)/python -m pytest tests/integration $(ENGINE_PROCESSES) $(TESTS)

.PHONY: integration
integration: install models  ## Run only the integration tests
	$(BIN)/python -m pytest tests/integration $(ENGINE_PROCESSES) $(TESTS)

.PHONY: test-gpu
test-gpu: install  ## Test on this machine's GPUs, up to four of them, after `make install-gpu`; ten minutes
	$(BIN)/python -m pytest tests/gpu $(TESTS)

.PHONY: check
check: install $(DEV_STAMP)  ## Before a commit: format, lint, types, unit tests but for the slow ones
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	@# The type checker uses one core: the tests run beside it.
	$(BIN)/pyright & types=$$!; \
	$(BIN)/python -m pytest $(UNIT) -m "not slow" $(TESTS) && wait $$types || { wait $$types; exit 1; }

.PHONY: sinks-check
sinks-check: $(SINKS_STAMP)  ## Read with TensorBoard, Weights & Biases and MLflow what a run passes on to them; nothing is sent
	$(SINKS)/bin/python -m pytest --noconftest tests/sinks $(TESTS)

.PHONY: docs
docs: install  ## Write the generated pages of docs/ anew
	$(BIN)/python -m driver.generated_docs

.PHONY: format
format: $(DEV_STAMP)  ## Format the code and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: mutants
mutants: install $(MUTANTS_STAMP)  ## Change the code of rewards/ and driver/learning/ in small ways and see whether tests fail (tests/mutants/README.md); ARGS="'rewards.gates.*'" for some
	nice -n 19 $(MUTANTS)/bin/mutmut run --max-children 1 $(ARGS)
	$(BIN)/python -m tests.mutants.report

.PHONY: bench
bench: install models  ## Measure this machine beside bare loops (benchmarks/README.md); BENCH="learning push" for some
	$(BIN)/python -m benchmarks $(BENCH) $(ARGS)

.PHONY: proof
proof: install models  ## Run what is missing of the experiments (experiments/README.md), for hours; ARGS="--arms pb-rlsvr" for some
	$(BIN)/python -m experiments numbers $(ARGS)

.PHONY: chaos
chaos: install  ## Kill, hang and starve the processes of a real run, then verify its folder; ARGS="--steps 60 --faults 36 --seed 1"
	$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: word-lists
word-lists: $(WORDS_STAMP)  ## Check the lists of frequent words in languages/ against their sources, and write them again
	$(WORDS)/bin/python benchmarks/word_lists.py

.PHONY: comet-parity
comet-parity: install $(COMET_STAMP)  ## Compare our COMET modules with the unbabel-comet package, on small random checkpoints
	rm -rf $(COMET_CASES)
	$(COMET)/bin/python -W ignore benchmarks/comet_parity/package_side.py $(COMET_CASES)
	$(BIN)/python -m benchmarks.comet_parity.our_side $(COMET_CASES)

.PHONY: bench-trl
bench-trl: install models $(TRL_STAMP)  ## Measure whole GRPO steps beside TRL's GRPOTrainer, in turn; ARGS="--rounds 5" for more
	$(BIN)/python -m benchmarks.trl_step --trl-python $(TRL)/bin/python $(ARGS)

.PHONY: eval-check
eval-check: install models $(EVAL_CHECK_STAMP)  ## Compare our evaluation with lm-evaluation-harness: same model, prompts and items; minutes
	rm -rf $(EVAL_CHECK_CASES)
	$(BIN)/python -m benchmarks.eval_check.our_side $(EVAL_CHECK_CASES) $(ARGS)
	HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 $(EVAL_CHECK)/bin/python -W ignore benchmarks/eval_check/package_side.py $(EVAL_CHECK_CASES)
	$(BIN)/python -m benchmarks.eval_check.compare $(EVAL_CHECK_CASES)

.PHONY: audit-packages
audit-packages: $(AUDIT_STAMP)  ## Ask an advisory service for known vulnerabilities of all pinned packages; exit code 2 where none answers
	@$(AUDIT)/bin/python benchmarks/audit_packages.py \
		requirements/cpu-torch.txt requirements/cpu.txt requirements/gpu.txt requirements/dev.txt

.PHONY: cluster-check
cluster-check: install $(CLUSTER_CHECK_STAMP)  ## Check the launch files of cluster/clouds/ and the Dockerfile; starts nothing, asks no cloud
	$(BIN)/python -m pytest tests/unit/cluster/clouds --quiet
	$(CLUSTER_CHECK)/bin/python benchmarks/cluster_check.py

.PHONY: wheel
wheel: | $(BIN)/uv  ## Build dist/pb_rlsvr-*.whl, the program as a package (docs/installation.md)
	$(UV) build --quiet --wheel --build-constraint requirements/build.txt --out-dir dist
	@ls dist/pb_rlsvr-*.whl

.PHONY: clean
clean:  ## Remove .venv and the tools' caches; runs/ and .cache/ stay
	rm -rf $(VENV) $(WORDS) $(COMET) $(MUTANTS) $(TRL) $(EVAL_CHECK) $(AUDIT) $(CLUSTER_CHECK) $(SINKS) mutants .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- installation ---

# Importing the engines once compiles the thousands of modules that a start needs, and shows that the installation is
# whole. Otherwise each of a run's processes would compile them by itself, 8 s of processor time apiece.
FIRST_IMPORTS := datasets, deepspeed, lingua, matplotlib.pyplot, ray, sentence_transformers, \
	transformers.models.llama.modeling_llama, vllm.v1.engine.llm_engine, vllm.v1.worker.cpu_worker

$(BIN)/uv: requirements/installer.txt
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not on the PATH: install Python 3.11 (with venv), or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== making .venv with $$($(PYTHON) --version)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --quiet -r requirements/installer.txt
	@touch $@

$(CPU_STAMP): | $(BIN)/uv
	@echo "== installing torch for CPUs"
	@$(UV_INSTALL) -r requirements/cpu-torch.txt 2> /dev/null \
		|| $(UV_INSTALL) --index $(TORCH_INDEX) -r requirements/cpu-torch.txt \
		|| $(PIP_INSTALL) -r requirements/cpu-torch.txt \
		|| $(PIP_INSTALL) --extra-index-url $(TORCH_INDEX) -r requirements/cpu-torch.txt \
		|| { echo "torch's CPU build ($$(cat requirements/cpu-torch.txt)) was found neither in the configured package indexes nor at $(TORCH_INDEX); make it reachable, or name a place that has it: make TORCH_INDEX=..."; exit 1; }
	@echo "== installing $$(grep -c == requirements/cpu.txt) packages (requirements/cpu.txt)"
	@$(call install_list,requirements/cpu.txt)
	@echo "== importing the engines for the first time"
	@said=$$(env -u PYTHONDONTWRITEBYTECODE DS_ACCELERATOR=cpu $(BIN)/python -c "import $(FIRST_IMPORTS)" 2>&1) \
		|| { echo "$$said"; echo "the installation is broken; run 'make clean' and try again"; exit 1; }
	@rm -f $(VENV)/.installed-cpu-*; touch $@

$(GPU_STAMP): | $(BIN)/uv
	@if compgen -G "$(VENV)/.installed-cpu-*" > /dev/null; then echo ".venv was made for CPUs; run 'make clean' first, then 'make install-gpu'"; exit 1; fi
	@echo "== installing $$(grep -c == requirements/gpu.txt) packages (requirements/gpu.txt)"
	@$(call install_list,requirements/gpu.txt)
	@rm -f $(VENV)/.installed-gpu-*; touch $@

$(DEV_STAMP): | $(STAMP)
	@echo "== installing the tools of make check (requirements/dev.txt)"
	@$(call install_list,requirements/dev.txt)
	@rm -f $(VENV)/.installed-dev-*; touch $@

$(WORDS_STAMP): | $(BIN)/uv
	@echo "== making $(WORDS) with $$(grep -c == requirements/word-lists.txt) packages (requirements/word-lists.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(WORDS)
	@$(UV) pip install --python $(WORDS)/bin/python --no-deps -r requirements/word-lists.txt
	@rm -f $(WORDS)/.installed-*; touch $@

$(COMET_STAMP): | $(BIN)/uv
	@echo "== making $(COMET) with $$(grep -c == requirements/comet.txt) packages (requirements/comet.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(COMET)
	@$(UV) pip install --python $(COMET)/bin/python --no-deps -r requirements/comet.txt 2> /dev/null \
		|| $(UV) pip install --python $(COMET)/bin/python --no-deps --index $(TORCH_INDEX) --index-strategy unsafe-best-match -r requirements/comet.txt
	@rm -f $(COMET)/.installed-*; touch $@

$(MUTANTS_STAMP): | $(STAMP)
	@echo "== making $(MUTANTS): the packages of .venv and those of requirements/mutants.txt"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(MUTANTS)
	@$(UV) pip install --python $(MUTANTS)/bin/python --no-deps -r requirements/mutants.txt
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$(ls -d $(MUTANTS)/lib/python*/site-packages)/product.pth
	@rm -f $(MUTANTS)/.installed-*; touch $@

$(AUDIT_STAMP): | $(BIN)/uv
	@echo "== making $(AUDIT) with $$(grep -c == requirements/audit.txt) packages (requirements/audit.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(AUDIT)
	@$(UV) pip install --python $(AUDIT)/bin/python --no-deps -r requirements/audit.txt
	@rm -f $(AUDIT)/.installed-*; touch $@

$(CLUSTER_CHECK_STAMP): | $(BIN)/uv
	@echo "== making $(CLUSTER_CHECK) with $$(grep -c == requirements/cluster-check.txt) packages (requirements/cluster-check.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(CLUSTER_CHECK)
	@$(UV) pip install --python $(CLUSTER_CHECK)/bin/python --no-deps -r requirements/cluster-check.txt
	@rm -f $(CLUSTER_CHECK)/.installed-*; touch $@

$(SINKS_STAMP): | $(BIN)/uv
	@echo "== making $(SINKS) with $$(grep -c == requirements/sinks.txt) packages (requirements/sinks.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(SINKS)
	@$(UV) pip install --python $(SINKS)/bin/python --no-deps -r requirements/sinks.txt
	@rm -f $(SINKS)/.installed-*; touch $@

$(TRL_STAMP): | $(BIN)/uv
	@echo "== making $(TRL) with $$(grep -c == requirements/trl.txt) packages (requirements/trl.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(TRL)
	@$(UV) pip install --python $(TRL)/bin/python --no-deps -r requirements/trl.txt 2> /dev/null \
		|| $(UV) pip install --python $(TRL)/bin/python --no-deps --index $(TORCH_INDEX) --index-strategy unsafe-best-match -r requirements/trl.txt
	@rm -f $(TRL)/.installed-*; touch $@

$(EVAL_CHECK_STAMP): | $(BIN)/uv
	@echo "== making $(EVAL_CHECK) with $$(grep -c == requirements/eval-check.txt) packages (requirements/eval-check.txt)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(EVAL_CHECK)
	@$(UV) pip install --python $(EVAL_CHECK)/bin/python --no-deps -r requirements/eval-check.txt 2> /dev/null \
		|| $(UV) pip install --python $(EVAL_CHECK)/bin/python --no-deps --index $(TORCH_INDEX) --index-strategy unsafe-best-match -r requirements/eval-check.txt
	@rm -f $(EVAL_CHECK)/.installed-*; touch $@

# --- pinned requirements: from pyproject.toml, keeping what is pinned already; add UPGRADE=--upgrade for newer versions ---

UPGRADE ?=
COMPILE = pip compile --quiet --no-config --no-annotate --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 $(UPGRADE)
EXTRAS := --extra quickstart --extra test

.PHONY: lock-cpu
lock-cpu: | $(BIN)/uv  ## Write requirements/cpu.txt and dev.txt; needs a place that has torch's CPU build (PIP_FIND_LINKS or TORCH_INDEX)
	$(UV) $(COMPILE) pyproject.toml --extra cpu $(EXTRAS) --overrides requirements/cpu-excluded.txt --no-emit-package torch \
		$(if $(UV_FIND_LINKS)$(PIP_FIND_LINKS),,--index $(TORCH_INDEX) --index-strategy unsafe-best-match) \
		--python-platform x86_64-manylinux_2_28 --output-file requirements/cpu.txt
	$(UV) $(COMPILE) --group dev --constraints requirements/cpu.txt \
		--python-platform x86_64-manylinux_2_28 --output-file requirements/dev.txt

.PHONY: lock-comet
lock-comet: | $(BIN)/uv  ## Write requirements/comet.txt; needs a place that has torch's CPU build, as lock-cpu does
	$(UV) $(COMPILE) requirements/comet.in --python-platform x86_64-manylinux_2_28 --output-file requirements/comet.txt \
		$(if $(UV_FIND_LINKS)$(PIP_FIND_LINKS),,--index $(TORCH_INDEX) --index-strategy unsafe-best-match)

.PHONY: lock-word-lists
lock-word-lists: | $(BIN)/uv  ## Write requirements/word-lists.txt
	$(UV) $(COMPILE) --no-deps requirements/word-lists.in --output-file requirements/word-lists.txt

.PHONY: lock-mutants
lock-mutants: | $(BIN)/uv  ## Write requirements/mutants.txt, with the versions of .venv where it has the package
	$(UV) $(COMPILE) requirements/mutants.in --constraints requirements/cpu.txt \
		--python-platform x86_64-manylinux_2_28 --output-file requirements/mutants.txt

.PHONY: lock-build
lock-build: | $(BIN)/uv  ## Write requirements/build.txt
	$(UV) $(COMPILE) requirements/build.in --python-platform x86_64-manylinux_2_28 --output-file requirements/build.txt

.PHONY: lock-audit
lock-audit: | $(BIN)/uv  ## Write requirements/audit.txt
	$(UV) $(COMPILE) requirements/audit.in --python-platform x86_64-manylinux_2_28 --output-file requirements/audit.txt

.PHONY: lock-cluster-check
lock-cluster-check: | $(BIN)/uv  ## Write requirements/cluster-check.txt
	$(UV) $(COMPILE) requirements/cluster-check.in --python-platform x86_64-manylinux_2_28 --output-file requirements/cluster-check.txt

.PHONY: lock-sinks
lock-sinks: | $(BIN)/uv  ## Write requirements/sinks.txt
	$(UV) $(COMPILE) requirements/sinks.in --python-platform x86_64-manylinux_2_28 --output-file requirements/sinks.txt

.PHONY: lock-trl
lock-trl: | $(BIN)/uv  ## Write requirements/trl.txt; needs a place that has torch's CPU build, as lock-cpu does
	$(UV) $(COMPILE) requirements/trl.in --python-platform x86_64-manylinux_2_28 --output-file requirements/trl.txt \
		$(if $(UV_FIND_LINKS)$(PIP_FIND_LINKS),,--index $(TORCH_INDEX) --index-strategy unsafe-best-match)

.PHONY: lock-eval-check
lock-eval-check: | $(BIN)/uv  ## Write requirements/eval-check.txt; needs a place that has torch's CPU build, as lock-cpu does
	$(UV) $(COMPILE) requirements/eval-check.in --python-platform x86_64-manylinux_2_28 --output-file requirements/eval-check.txt \
		$(if $(UV_FIND_LINKS)$(PIP_FIND_LINKS),,--index $(TORCH_INDEX) --index-strategy unsafe-best-match)

# A folder of CPU wheels among the places to look in would answer "torch==2.13.0" with its CPU build.
.PHONY: lock-gpu
lock-gpu: | $(BIN)/uv  ## Write requirements/gpu.txt
	env -u UV_FIND_LINKS -u PIP_FIND_LINKS $(BIN)/uv $(COMPILE) pyproject.toml --extra gpu $(EXTRAS) \
		--overrides requirements/gpu-excluded.txt --python-platform x86_64-manylinux_2_35 --output-file requirements/gpu.txt

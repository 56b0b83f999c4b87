# siplane: `make test` is all that is checked before a change counts. GNU make and rustup's cargo are presumed.

.DEFAULT_GOAL := help
.PHONY: help tools setup demo test lint core docs deny unit release deb sipp load bench sweep fuzz clean

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/siplane
SIM_SEEDS ?= 10000
FUZZ_SECONDS ?= 60
# Prometheus's tool for rules, of the Debian package, without the server that it would start.
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
# The tests start a PostgreSQL of their own: the package needs to create and start none.
CLUSTER_CONF := /etc/postgresql-common/createcluster.conf
NO_CLUSTER := [ -e $(CLUSTER_CONF) ] || { $(SUDO) mkdir -p $(dir $(CLUSTER_CONF)) && \
	echo "create_main_cluster = false" | $(SUDO) tee $(CLUSTER_CONF) >/dev/null; }

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

tools: ## install what building needs and is missing: a C compiler and linker
	@command -v cc >/dev/null || { $(SUDO) apt-get update && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential; }

setup: tools ## install what testing needs and is missing: sipp, sipsak, kamailio, kamcli, chromium, valgrind, python3, PostgreSQL and MariaDB (Debian packages), cargo-deny; put promtool aside
	@missing=""; \
	command -v sipp >/dev/null || missing="$$missing sip-tester"; \
	command -v sipsak >/dev/null || missing="$$missing sipsak"; \
	PATH="$$PATH:/usr/sbin" command -v kamailio >/dev/null || missing="$$missing kamailio"; \
	command -v kamcli >/dev/null || missing="$$missing kamcli"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v valgrind >/dev/null || missing="$$missing valgrind"; \
	command -v python3 >/dev/null || missing="$$missing python3"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	PATH="$$PATH:/usr/sbin" command -v mariadbd >/dev/null || missing="$$missing mariadb-server-core"; \
	if [ -n "$$missing" ]; then \
		case "$$missing" in *postgresql*) $(NO_CLUSTER);; esac; \
		$(SUDO) apt-get update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; \
	fi
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	@command -v promtool >/dev/null || [ -x $(TOOLS)/usr/bin/promtool ] || { mkdir -p $(TOOLS) && cd $(TOOLS) && \
		{ apt-get download prometheus || { $(SUDO) apt-get update && apt-get download prometheus; }; } && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm prometheus_*.deb; }

demo: tools ## build siplane and watch it take calls for some 15 s, with a destination that fails half-way
	cargo build --release --locked
	$(BINARY) demo

# One after the other: they share two cores and one target folder.
test: ## everything: format, lints, core alone, docs, licences, tests, real calls (and `make deb` tries the package out)
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory core
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory sipp

lint: ## formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

core: ## the sans-IO core builds and passes without the I/O floors
	cargo clippy --no-default-features --lib --tests --locked -- -D warnings
	cargo test --no-default-features --lib --test scenario --locked

docs: ## rustdoc without a warning
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

# The advisory database is a git repository elsewhere: without a way there, that part is said to be left out.
deny: ## licences, bans, sources; advisories where their database can be reached
	cargo deny --locked --workspace check --hide-inclusion-graph -A duplicate licenses bans sources
	@said=$$(cargo deny --locked --workspace check advisories 2>&1) && echo "$$said" || { echo "$$said"; \
		echo "$$said" | grep -q 'failed to fetch advisory database' && echo "advisories: NOT CHECKED, their database is out of reach"; }

unit: ## every cargo test (cargo-nextest where it is installed, and then the doc tests)
	@if command -v cargo-nextest >/dev/null; then \
		cargo nextest run --workspace --locked && cargo test --doc --locked; \
	else \
		cargo test --workspace --locked; \
	fi

release: ## the release binary
	cargo build --release --locked

# cargo-deb unoptimised, with the system's xz, which packs fast: seconds, where all of them at their best take minutes.
deb: release ## the Debian package, in target/debian, tried out in a copy of this machine (installs cargo-deb where it is missing)
	@command -v cargo-deb >/dev/null || cargo install cargo-deb --locked --debug --no-default-features
	cargo deb --locked --no-build --fast
	cargo test --locked --test packaging -- --ignored deb

sipp: release ## real calls through the release binary, on 127.0.0.0/8, and what `load` makes of its samples
	loadtest/sipp/run.py --binary $(BINARY) all
	python3 -m unittest discover -q -s loadtest/compare

# LOAD_ARGS: e.g. `--only costs`, `--rounds 9`, `--all`, `--write` (the tables into PERF.md); loadtest/compare/run.py --help tells all.
load: ## siplane beside Kamailio and a null forwarder, in one run of under 15 minutes; wants the machine for itself
	cargo build --release --locked --workspace
	loadtest/compare/run.py --binaries $(dir $(BINARY)) $(LOAD_ARGS)

bench: ## the benchmarks
	cargo bench --locked

sweep: ## a long simulation: SIM_SEEDS seeds (default 10000)
	SIM_SEEDS=$(SIM_SEEDS) cargo test --release --locked --test sim -- --nocapture

# FUZZ_TARGETS: those of them that are wanted; docs/testing.md tells which there are.
fuzz: tools ## libFuzzer on everything that reads what others wrote: FUZZ_SECONDS (default 60) for each target in turn
	FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ_TARGETS)

clean: ## remove what was built
	cargo clean

# The commands of this house. Each target is one script or one cargo call; nothing is decided here.
.PHONY: run test check bench conformance schemathesis build soak chaos clean

# Set up what is missing, build quickly, start on the embedded default. Options: make run ARGS="--listen 127.0.0.1:5000"
run:
	@ARGS='$(ARGS)' scripts/run.sh

# Set up, start servers, run every test and the conformance suite, stop the servers.
test:
	@scripts/test.sh

# Format, lint, tidy, dependency policy.
check:
	@scripts/check.sh

# Measure the release binary, beside other proxies where they are installed: make bench PEERS="nginx mcp-proxy"
bench:
	@PEERS='$(PEERS)' scripts/bench.sh

# One line per requirement set and cell; fails when something outside the baselines fails.
conformance:
	@scripts/conformance.sh

# The hub against its own OpenAPI document.
schemathesis:
	@scripts/schemathesis.sh

# The release binary: target/release/trunkline
build:
	cargo build --locked --release -p trunkline

# Long runs, never in continuous integration: make soak MINUTES=60 CLIENTS=16
soak:
	cargo build --locked --release -p trunkline
	cargo build --locked -p testkit --bins
	TRUNKLINE_BIN=target/release/trunkline target/debug/soak

# The same while the upstream and the hub are killed and restarted.
chaos:
	cargo build --locked --release -p trunkline
	cargo build --locked -p testkit --bins
	TRUNKLINE_BIN=target/release/trunkline target/debug/soak --chaos

clean:
	cargo clean

# The verbs of this project; each is a line or a script that you could type yourself.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build run test unit integration lint fuzz package bench bench-firewall bench-frontends lab clean

build:            ## the one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o regwarden ./cmd/regwarden

run: build        ## the main job with nothing set up: sample logs, blocks, an unblock
	./regwarden demo

test: lint        ## everything; as root it installs what the tests want and runs all of them
	./testing/all

unit:             ## what needs no root, in under two minutes
	$(GO) test ./...

integration:      ## the firewalls, with real traffic in network namespaces of their own; needs root
	REGWARDEN_STRESS=1 $(GO) test -count=1 -timeout 20m ./actions ./internal/daemon

lab:              ## a registry, front ends and real clients in namespaces of their own; needs root
	./lab/run

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz:             ## every fuzz target for a minute
	./testing/fuzz 60s

package:          ## deb and rpm for amd64 and arm64 in packaging/out, the same bytes from the same commit
	./packaging/build

bench:            ## throughput beside grep, ripgrep, awk, fail2ban and CrowdSec; writes bench/RESULTS.md and the README's table
	./bench/run

bench-firewall:   ## blocks into the kernel, beside one rule or one command a block; needs root; writes bench/FIREWALL.md
	CGO_ENABLED=0 $(GO) build -o bench/out/firewall ./bench/firewall
	unshare --net bench/out/firewall
	$(GO) test -run - -bench HundredThousand -benchtime 1x ./actions

bench-frontends:  ## what the front ends cost, with 100,000 blocks; needs root; writes bench/FRONTENDS.md
	./bench/frontends/run

clean:
	rm -rf regwarden bench/data bench/out lab/out packaging/out testing/out

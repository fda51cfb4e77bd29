package scan_test

import (
	"bytes"
	"os"
	"testing"

	"regwarden/detector"
)

// BenchmarkPath is what a line costs from the block to the decision, the log's data being near the core: of the tests' logs, and of the first MiB of the log that
// REGWARDEN_BENCH_LOG names.
func BenchmarkPath(b *testing.B) {
	logs := map[string][]byte{"nginx": log(b, "real/nginx_gitlab_registry_access.log"), "registry": log(b, "real/gitlab-registry-json.log"), "rails": log(b, "incident/production_json.log")}
	if file := os.Getenv("REGWARDEN_BENCH_LOG"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		logs["file"] = data[:bytes.LastIndexByte(data[:min(len(data), 1<<20)], '\n')+1]
	}
	for name, data := range logs {
		lines := float64(bytes.Count(data, []byte{'\n'}))
		for _, counted := range []bool{false, true} {
			b.Run(name+map[bool]string{false: "/found", true: "/counted"}[counted], func(b *testing.B) {
				p := newPath(b)
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					p.findings.Reset()
					p.block.Read(data, &p.findings)
					if counted {
						p.detector.Count(&p.findings, func(detector.Decision) {})
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
			})
		}
	}
}

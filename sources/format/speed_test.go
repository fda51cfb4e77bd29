package format_test

import (
	"bytes"
	"os"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

// steady are logs of every hot dialect.
var steady = map[string]string{
	"nginx":            "real/nginx_gitlab_registry_access.log",
	"combined":         "real/nginx_combined_access.log",
	"rails":            "incident/production_json.log",
	"auth":             "incident/auth.log",
	"registry-json":    "real/gitlab-registry-json.log",
	"registry-mixed":   "real/svlogd-registry-text.current",
	"distribution":     "real/registry-v2-json.stderr.log",
	"distribution-txt": "real/registry-v2-text.stderr.log",
	"docker":           "real/docker-json-file.registry-v2.log",
	"sshd":             "real/sshd_auth.log.traditional.log",
}

// usual leaves out the lines after which the reader drops its parsers on purpose.
func usual(t testing.TB, name string) (kept [][]byte) {
	for _, line := range lines(t, name) {
		if len(line) < 16<<10 {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestReadAllocatesNothing(t *testing.T) {
	for name, file := range steady {
		t.Run(name, func(t *testing.T) {
			r := reader(t, format.Options{Reference: reference})
			all := usual(t, file)
			var e detector.Event
			allocations := testing.AllocsPerRun(5, func() {
				for _, line := range all {
					r.Read(line, &e)
				}
			})
			if allocations != 0 {
				t.Errorf("want none in %d lines, got %v", len(all), allocations)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, file := range steady {
		b.Run(name, func(b *testing.B) {
			r := reader(b, format.Options{Reference: reference})
			all := usual(b, file)
			size := 0
			for _, line := range all {
				size += len(line)
			}
			var e detector.Event
			b.SetBytes(int64(size / len(all)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Read(all[i], &e)
				if i++; i == len(all) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkReadHostile is what a client can make the longest lines cost.
func BenchmarkReadHostile(b *testing.B) {
	for name, line := range hostile() {
		b.Run(name, func(b *testing.B) {
			r := reader(b, format.Options{Reference: reference})
			var e detector.Event
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				r.Read(line, &e)
			}
		})
	}
}

// BenchmarkSkim is what is done with every line of the tests' logs; of the log that REGWARDEN_BENCH_LOG names, the first MiB.
func BenchmarkSkim(b *testing.B) {
	for _, name := range []string{"nginx", "registry-json", "rails"} {
		b.Run(name, func(b *testing.B) { skimBlock(b, bytes.Join(lines(b, steady[name]), []byte{'\n'})) })
	}
	if file := os.Getenv("REGWARDEN_BENCH_LOG"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("log", func(b *testing.B) { skimBlock(b, data[:bytes.LastIndexByte(data[:min(len(data), 1<<20)], '\n')]) })
	}
}

func skimBlock(b *testing.B, data []byte) {
	r := reader(b, format.Options{Reference: reference})
	var g detector.Glance
	count := bytes.Count(data, []byte{'\n'}) + 1
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for at := 0; at < len(data); {
			end, _ := r.Skim(data[at:], &g)
			at += end + 1
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/line")
}

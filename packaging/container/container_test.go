package container_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"regwarden/internal/config"
)

// documents reads all YAML documents of a file.
func documents(t *testing.T, path string) (out []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc map[string]any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, doc)
	}
}

func TestTheComposeFileGivesTheHostsNetworkAndNoMoreRightsThanNeeded(t *testing.T) {
	docs := documents(t, "compose.yaml")
	s := docs[0]["services"].(map[string]any)["regwarden"].(map[string]any)
	if s["network_mode"] != "host" || s["read_only"] != true {
		t.Errorf("want the host's network and a read-only root, got %v", s)
	}
	if got := s["cap_add"].([]any); !slices.Equal(got, []any{"NET_ADMIN", "DAC_READ_SEARCH"}) {
		t.Errorf("got the rights %v", got)
	}
}

// TestTheConfigurationForKubernetesIsTaken and begins as a dry run.
func TestTheConfigurationForKubernetesIsTaken(t *testing.T) {
	configs := map[string]string{}
	kinds := []string{}
	for _, doc := range documents(t, "../kubernetes/daemonset.yaml") {
		kinds = append(kinds, doc["kind"].(string))
		if doc["kind"] == "ConfigMap" {
			configs["kubernetes"] = doc["data"].(map[string]any)["regwarden.toml"].(string)
		}
	}
	if !slices.Equal(kinds, []string{"Namespace", "ConfigMap", "DaemonSet"}) || len(configs) != 1 {
		t.Errorf("got the objects %v", kinds)
	}
	for name, text := range configs {
		c, err := config.Parse(name, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !c.DryRun || c.Actions.NFTables == nil {
			t.Errorf("%s: want a dry run with nftables, got %+v", name, c)
		}
	}
}

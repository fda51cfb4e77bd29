// Command manifests reads the compose file and the Kubernetes objects as their own tools do, strictly: a key that these do not know is a mistake. It is a module
// of its own, so that regwarden does not depend on any of that.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	err := errors.Join(compose("packaging/container/compose.yaml"), kubernetes("packaging/kubernetes/daemonset.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("compose reads the compose file, and Kubernetes its objects")
}

func compose(path string) error {
	o, err := cli.NewProjectOptions([]string{path}, cli.WithName("regwarden"))
	if err != nil {
		return err
	}
	p, err := o.LoadProject(context.Background())
	if err == nil && len(p.Services) != 1 {
		err = fmt.Errorf("%s: %d services", path, len(p.Services))
	}
	return err
}

func kubernetes(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		object, known := map[string]any{"v1/Namespace": &corev1.Namespace{}, "v1/ConfigMap": &corev1.ConfigMap{}, "apps/v1/DaemonSet": &appsv1.DaemonSet{}}[kind.APIVersion+"/"+kind.Kind]
		if !known {
			return fmt.Errorf("%s: %s %s is not known here", path, kind.APIVersion, kind.Kind)
		}
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			return fmt.Errorf("%s: %s: %w", path, kind.Kind, err)
		}
	}
}

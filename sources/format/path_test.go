package format_test

import (
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

func TestOperations(t *testing.T) {
	const digest = "sha256:b83a79c9efe60cffe5096b6fe0b2592ec682679100dfe34806a8dd8d62fdec0d"
	for _, c := range []struct {
		request    string
		operation  detector.Operation
		repository string
		reference  string
	}{
		{"GET /v2/", detector.OpPing, "", ""},
		{"GET /v2", detector.OpPing, "", ""},
		{"GET /v2/?x=1", detector.OpPing, "", ""},
		{"HEAD /v2/a/b/manifests/latest", detector.OpManifest, "a/b", "latest"},
		{"PUT /v2/a/manifests/" + digest, detector.OpManifest, "a", digest},
		{"GET /v2/a/b/manifests/latest?ns=docker.io", detector.OpManifest, "a/b", "latest"},
		{"GET /v2/a/manifests/b/manifests/latest", detector.OpManifest, "a/manifests/b", "latest"},
		{"GET /v2/a/blobs/uploads/manifests/latest", detector.OpManifest, "a/blobs/uploads", "latest"},
		{"GET /v2/a%2Fb/manifests/%6Catest", detector.OpManifest, "a/b", "latest"},
		{"GET /v2/a%252Fb/manifests/x", detector.OpManifest, "a%2Fb", "x"},
		{"GET /v2/a%zz/manifests/100%", detector.OpManifest, "a%zz", "100%"},
		{"GET /v2/a/manifests/b/c", detector.OpManifest, "a", "b/c"},
		{"GET http://registry.example.org/v2/a/manifests/x", detector.OpManifest, "a", "x"},
		{"GET /v2/a/manifests/", detector.OpOther, "", ""},
		{"GET /v2/manifests/x", detector.OpOther, "", ""},
		{"GET /v2/" + strings.Repeat("a", 256) + "/manifests/x", detector.OpOther, "", ""},
		{"GET /v2/a/manifests/" + strings.Repeat("a", 256), detector.OpOther, "", ""},
		{"GET /v2/a/b/blobs/" + digest, detector.OpBlob, "a/b", digest},
		{"GET /v2/a/manifests/b/blobs/" + digest, detector.OpBlob, "a/manifests/b", digest},
		{"POST /v2/a/b/blobs/uploads/?mount=x&from=y", detector.OpUpload, "a/b", ""},
		{"POST /v2/a/b/blobs/uploads", detector.OpUpload, "a/b", ""},
		{"PATCH /v2/a/b/blobs/uploads/0d9f?_state=z", detector.OpUpload, "a/b", ""},
		{"GET /v2/a/b/tags/list?n=5&last=x", detector.OpTags, "a/b", ""},
		{"GET /v2/a/b/referrers/" + digest, detector.OpTags, "a/b", digest},
		{"GET /v2/_catalog?n=100", detector.OpCatalog, "", ""},
		{"GET /v2/a", detector.OpOther, "", ""},
		{"GET /v2x/a/manifests/b", detector.OpOther, "", ""},
		{"GET /v1/_ping", detector.OpOther, "", ""},
		{"GET /.env", detector.OpOther, "", ""},
		{"GET /gitlab/v1/repositories/a/manifests/b", detector.OpOther, "", ""},
		{"OPTIONS *", detector.OpOther, "", ""},
		{"GET /jwt/auth?service=container_registry&scope=repository%3Agroup%2Fproject%3Apull&account=x", detector.OpToken, "group/project", ""},
		{"GET /jwt/auth?scope=repository:a/b:pull&scope=repository:c/d:pull,push", detector.OpToken, "c/d", ""},
		{"GET /jwt/auth?scope=repository:a/b:pull+repository:c/d:pull", detector.OpToken, "c/d", ""},
		{"GET /jwt/auth?scope=repository:host:5000/b:pull&scope=registry:catalog:*", detector.OpToken, "host:5000/b", ""},
		{"GET /jwt/auth", detector.OpToken, "", ""},
		{"GET /v2/token?service=x", detector.OpToken, "", ""},
		{"GET /service/token?service=harbor-registry&scope=repository:lib/x:pull", detector.OpToken, "lib/x", ""},
		{"GET /token?service=x&scope=repository:lib/x:pull", detector.OpToken, "lib/x", ""},
		{"GET /token?x=service=", detector.OpOther, "", ""},
		{"GET /a/b.git/info/refs?service=git-upload-pack", detector.OpGit, "", ""},
		{"POST /a/b.git/git-receive-pack", detector.OpGit, "", ""},
		{"POST /a/b.git/info/lfs/objects/batch", detector.OpGit, "", ""},
		{"GET /a/b.git/config", detector.OpOther, "", ""},
		{"GET /.git/config", detector.OpOther, "", ""},
		{"GET /api/v4/projects", detector.OpAPI, "", ""},
		{"GET /api/docker/hub/v2/a/b/manifests/x", detector.OpManifest, "hub/a/b", "x"},
		{"GET /artifactory/api/docker/hub/v2/", detector.OpPing, "", ""},
		{"GET /repository/hosted/v2/a/tags/list", detector.OpTags, "hosted/a", ""},
		{"GET /repository/hosted/x.jar", detector.OpOther, "", ""},
		{"POST /users/sign_in", detector.OpLogin, "", ""},
		{"GET /users/sign_in", detector.OpOther, "", ""},
		{"POST /users/auth/ldapmain/callback", detector.OpLogin, "", ""},
		{"POST /users/password", detector.OpLogin, "", ""},
		{"GET /a/b/c?/v2/x/manifests/y", detector.OpOther, "", ""},
	} {
		line := `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "` + c.request + ` HTTP/1.1" 404 9 "" "-" -`
		e, verdict := read(t, format.Options{}, line)
		method, path, _ := strings.Cut(c.request, " ")
		path, _, _ = strings.Cut(path, "?")
		if verdict != format.Parsed || e.Operation != c.operation || e.Repository != c.repository || e.Reference != c.reference {
			t.Errorf("%s: want %v %q %q, got %v %v %q %q", c.request, c.operation, c.repository, c.reference,
				verdict, e.Operation, e.Repository, e.Reference)
		}
		if e.Method != method || e.Path != path {
			t.Errorf("%s: got method %q, path %q", c.request, e.Method, e.Path)
		}
	}
}

package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"regwarden/internal/strict"
)

// Answers is [answers]: what a blocked client reads, in whatever action answers it.
type Answers struct {
	// Message is the operator's text, "" for the default; UnblockURL the page where a block is lifted. The answer room checks both.
	Message, UnblockURL string
}

// AnswerFiles is [actions.answer-files].
type AnswerFiles struct{ Path string }

// AnswerEndpoint is [actions.answer-endpoint].
type AnswerEndpoint struct {
	Socket, Group, Listen string
	ClientHeader          string
	FailClosed            bool
}

// NginxGeo is [actions.nginx-geo].
type NginxGeo struct {
	Path         string
	Test, Reload []string
	Interval     time.Duration
}

// HAProxy is [actions.haproxy].
type HAProxy struct{ Socket, Map, Repositories string }

// fileAnswers are the tables of the answering actions as TOML has them.
type fileAnswers struct {
	Files *struct {
		Path string `toml:"path"`
	} `toml:"answer-files"`
	Endpoint *struct {
		Socket       string `toml:"socket"`
		Group        string `toml:"group"`
		Listen       string `toml:"listen"`
		ClientHeader string `toml:"client_header"`
		FailClosed   bool   `toml:"fail_closed"`
	} `toml:"answer-endpoint"`
	Geo *struct {
		Path     string   `toml:"path"`
		Test     []string `toml:"test"`
		Reload   []string `toml:"reload"`
		Interval *string  `toml:"interval"`
	} `toml:"nginx-geo"`
	HAProxy *struct {
		Socket       string `toml:"socket"`
		Map          string `toml:"map"`
		Repositories string `toml:"repositories"`
	} `toml:"haproxy"`
}

func (p *parser) answers(f *file) {
	a := &p.out.Actions
	a.Answers = Answers{Message: f.Answers.Message, UnblockURL: f.Answers.UnblockURL}
	for _, key := range []string{"message", "unblock_url"} {
		p.note(0, "answers", key)
	}
	for _, key := range []string{"test", "reload"} {
		p.note(0, "actions", "nginx-geo", key)
	}
	p.note(0, "actions", "answer-files", "path")
	if n := f.Actions.Files; n != nil {
		a.AnswerFiles = &AnswerFiles{Path: p.relative(cmp.Or(n.Path, "/run/regwarden/answers"))}
		if filepath.Clean(a.AnswerFiles.Path) == "/" {
			p.fail(fmt.Sprintf("%q is no directory for it", n.Path), "write one of its own, such as /run/regwarden/answers", "actions", "answer-files", "path")
		}
		if m := p.out.Mask; m.V4 < 20 || m.V6 < 52 {
			p.fail("cannot stand beside so wide an ipv4_prefix (below 20) or ipv6_prefix (below 52): a file is for an address or a small net", "take actions.answer-endpoint, which knows every prefix", "actions", "answer-files")
		}
	}
	if n := f.Actions.Endpoint; n != nil {
		a.AnswerEndpoint = &AnswerEndpoint{Socket: p.relative(n.Socket), Group: n.Group, Listen: n.Listen, ClientHeader: n.ClientHeader, FailClosed: n.FailClosed}
		p.endpoint(a.AnswerEndpoint)
	}
	if n := f.Actions.Geo; n != nil {
		a.NginxGeo = &NginxGeo{Path: p.required(n.Path, "/var/opt/gitlab/nginx/conf/regwarden.geo", "actions", "nginx-geo", "path"), Test: n.Test, Reload: n.Reload, Interval: 5 * time.Second}
		p.program(n.Test, true, `["/usr/sbin/nginx", "-t", "-q"]`, "actions", "nginx-geo", "test")
		p.program(n.Reload, false, `["/usr/sbin/nginx", "-s", "reload"], or ["/opt/gitlab/bin/gitlab-ctl", "hup", "nginx"]`, "actions", "nginx-geo", "reload")
		if n.Interval != nil {
			a.NginxGeo.Interval = p.duration(*n.Interval, "actions", "nginx-geo", "interval")
		}
	}
	if n := f.Actions.HAProxy; n != nil {
		a.HAProxy = &HAProxy{Socket: p.required(n.Socket, "/run/haproxy/admin.sock", "actions", "haproxy", "socket"),
			Map: p.required(n.Map, "/etc/haproxy/regwarden.map", "actions", "haproxy", "map"), Repositories: p.relative(n.Repositories)}
		for _, path := range []string{a.HAProxy.Map, a.HAProxy.Repositories} {
			if strings.ContainsAny(path, " ;\\\n") {
				p.fail(fmt.Sprintf("%q cannot be named to HAProxy", path), "choose a path without blanks, semicolons and backslashes", "actions", "haproxy", "map")
			}
		}
		if a.HAProxy.Repositories != "" && a.HAProxy.Repositories == a.HAProxy.Map {
			p.fail("is the map of addresses", "name a file of its own", "actions", "haproxy", "repositories")
		}
	}
}

func (p *parser) endpoint(e *AnswerEndpoint) {
	key := []string{"actions", "answer-endpoint"}
	if e.Socket == "" && e.Listen == "" {
		e.Socket = "/run/regwarden/answer.sock"
	}
	if len(e.Socket) > 107 {
		p.fail("the path is longer than the 107 bytes that a socket may have", "choose a shorter one", append(key, "socket")...)
	}
	if e.Listen != "" {
		host, port, err := net.SplitHostPort(e.Listen)
		addr, bad := netip.ParseAddr(host)
		if err != nil || bad != nil || !addr.IsLoopback() || port == "" {
			p.fail(fmt.Sprintf("%q is no address on loopback", e.Listen), `write it like "127.0.0.1:9441"; whoever reaches it may ask about any client`, append(key, "listen")...)
		}
	}
	for _, c := range e.ClientHeader {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			p.fail(fmt.Sprintf("%q is no header's name", e.ClientHeader), `write one that the front end always sets itself, such as "X-Real-IP"`, append(key, "client_header")...)
			break
		}
	}
}

// required is a path that has no default.
func (p *parser) required(path, example string, key ...string) string {
	if path == "" {
		p.fail("is missing", "write a path, such as "+example, key...)
	}
	return p.relative(path)
}

// program checks a command by its full path.
func (p *parser) program(command []string, optional bool, example string, key ...string) {
	if optional && len(command) == 0 {
		return
	}
	if len(command) == 0 || !filepath.IsAbs(command[0]) {
		p.fail("must be a list that begins with the program's full path", "as in "+key[len(key)-1]+" = "+example+"; it is run without a shell", key...)
	}
}

// AnswersProblem is a mistake in [answers], "key: what is wrong; what to do", as a problem with file and line.
func (c *Config) AnswersProblem(err error) error {
	key, rest, _ := strings.Cut(err.Error(), ": ")
	text, hint, _ := strings.Cut(rest, "; ")
	return strict.Problems{c.Problem(0, text, hint, "answers."+key)}
}

// Problem is a mistake that another room sees in a key of the n-th table of its kind, with file and line.
func (c *Config) Problem(n int, text, hint, key string) strict.Problem {
	return strict.Problem{File: c.Path, Line: c.Lines[lineKey(n, key)], Key: key, Text: text, Hint: hint}
}

func lineKey(n int, key string) string { return fmt.Sprint(key, " ", n) }

// note remembers where a key stands in the n-th table of its kind.
func (p *parser) note(n int, key ...string) {
	p.out.Lines[lineKey(n, strings.Join(key, "."))], _ = p.doc.Nth(n, key...)
}
